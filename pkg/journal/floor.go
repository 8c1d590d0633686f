package journal

import (
	"fmt"
	"strconv"
	"strings"

	"kumo/pkg/option"
)

// Floor is the least that must be free of a volume: a share of it ("10%") or an absolute number. The zero value asks
// for nothing.
type Floor struct {
	Percent float64 // used when it is not 0
	Count   uint64
}

const floorForm = `a percentage such as "10%" or a number`

// DecodeOption reads an integer, or a text: digits, or a percentage from 0% to 100%.
func (f *Floor) DecodeOption(v any) error {
	text, ok := v.(string)
	if !ok {
		n, err := option.Int(v)
		if err != nil {
			return option.InvalidType(v, floorForm)
		}
		if n < 0 {
			return option.InvalidValue(v, floorForm)
		}
		*f = Floor{Count: uint64(n)}
		return nil
	}
	if p, ok := strings.CutSuffix(strings.TrimSpace(text), "%"); ok {
		share, err := strconv.ParseFloat(strings.TrimSpace(p), 64)
		if err != nil || !(share >= 0 && share <= 100) {
			return option.InvalidValue(v, floorForm)
		}
		*f = Floor{Percent: share}
		return nil
	}
	n, ok := option.ParseDigits(strings.TrimSpace(text))
	if !ok {
		return option.InvalidValue(v, floorForm)
	}
	*f = Floor{Count: uint64(n)}
	return nil
}

// String is the form that options are written in.
func (f Floor) String() string {
	if f.Percent > 0 {
		return strconv.FormatFloat(f.Percent, 'g', -1, 64) + "%"
	}
	return strconv.FormatUint(f.Count, 10)
}

// EncodeOption is the text form.
func (f Floor) EncodeOption() any { return f.String() }

// OptionType names the type in the manual.
func (f *Floor) OptionType() string { return "percentage or number" }

// check compares what is free with the floor; total is 0 on file systems that do not count.
func (f Floor) check(what string, free, total uint64) error {
	if total == 0 {
		return nil
	}
	if f.Percent > 0 && float64(free) < float64(total)*f.Percent/100 || f.Percent == 0 && free < f.Count {
		return fmt.Errorf("%w: %d of %d %s are free and %s is wanted", ErrDiskFull, free, total, what, f)
	}
	return nil
}
