package throttle

import (
	"cmp"
	"strconv"
	"strings"

	"kumo/pkg/option"
)

// ConnLimit is how many may run at once, as operators write it: N, "N" or "local:N"; texts may have "_" or ","
// between the digits. Zero allows nothing.
type ConnLimit struct {
	Limit int64
	Local bool // counts in this process even when limits are shared
}

const connLimitForm = `a limit such as 32, "1,000" or "local:10"`

// ParseConnLimit reads the text forms. Errors are *option.Error.
func ParseConnLimit(text string) (ConnLimit, error) {
	rest, local := strings.CutPrefix(text, "local:")
	n, ok := option.ParseDigits(rest)
	if !ok || n > maxCount {
		return ConnLimit{}, option.InvalidValue(text, connLimitForm)
	}
	return ConnLimit{Limit: n, Local: local}, nil
}

// DecodeOption reads an option.
func (c *ConnLimit) DecodeOption(v any) error {
	if text, ok := v.(string); ok {
		p, err := ParseConnLimit(text)
		if err == nil {
			*c = p
		}
		return err
	}
	n, err := option.Int(v)
	if err != nil {
		return option.InvalidType(v, connLimitForm)
	}
	if n < 0 || n > maxCount {
		return option.InvalidValue(v, connLimitForm)
	}
	*c = ConnLimit{Limit: n}
	return nil
}

// EncodeOption is the number, or the text of a local limit.
func (c ConnLimit) EncodeOption() any {
	if c.Local {
		return c.String()
	}
	return c.Limit
}

// OptionType names the type in the manual.
func (c *ConnLimit) OptionType() string { return "limit" }

// String is the limit as ParseConnLimit reads it.
func (c ConnLimit) String() string {
	s := strconv.FormatInt(c.Limit, 10)
	if c.Local {
		return "local:" + s
	}
	return s
}

// Compare sorts limits by size, smallest first: the order in which several of them are taken.
func (c ConnLimit) Compare(o ConnLimit) int { return cmp.Compare(c.Limit, o.Limit) }
