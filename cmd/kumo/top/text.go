package top

import (
	"strconv"
	"strings"
)

// The ways in which text stands out (ECMA-48 8.3.117).
const (
	bold    = "1"
	dim     = "2"
	reverse = "7"
	red     = "31"
	green   = "32"
	yellow  = "33"
	cyan    = "36"
)

// paint makes s stand out, unless the terminal or its user wants no colours.
func (m *Model) paint(how, s string) string {
	if !m.opt.Color || s == "" {
		return s
	}
	return "\x1b[" + how + "m" + s + "\x1b[0m"
}

// number is v with as many digits as mean something, and a separator between thousands.
func number(v float64) string {
	if v > 0 && v < 10 && v != float64(int64(v)) {
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	s := strconv.FormatFloat(v, 'f', 0, 64)
	var b strings.Builder
	for i, c := range s {
		if i > 0 && (len(s)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(c)
	}
	return b.String()
}

// sizeText is a size in the unit that fits.
func sizeText(n int64) string {
	units := [...]string{"B", "KiB", "MiB", "GiB", "TiB", "PiB"}
	v, u := float64(n), 0
	for v >= 1024 && u < len(units)-1 {
		v /= 1024
		u++
	}
	if u == 0 || v >= 100 {
		return strconv.FormatFloat(v, 'f', 0, 64) + " " + units[u]
	}
	return strconv.FormatFloat(v, 'f', 1, 64) + " " + units[u]
}
