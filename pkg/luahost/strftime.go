package luahost

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// maxFormat bounds a format, in bytes.
const maxFormat = 4096

// strftime writes t by a format of C's strftime with the additions of Rust's chrono.
func strftime(t time.Time, format string) (string, error) {
	if len(format) > maxFormat {
		return "", fmt.Errorf("a format of %d bytes, at most %d are taken", len(format), maxFormat)
	}
	var b strings.Builder
	for {
		before, rest, ok := strings.Cut(format, "%")
		b.WriteString(before)
		if !ok {
			return b.String(), nil
		}
		out, n := directive(t, rest)
		if n == 0 {
			return "", fmt.Errorf("%q is unknown at %q", "%"+clip(rest, 3), clip(format, 40))
		}
		b.WriteString(out)
		format = rest[n:]
	}
}

// layouts are the letters that Go's formats can say.
var layouts = map[byte]string{
	'Y': "2006", 'y': "06", 'm': "01", 'd': "02", 'b': "Jan", 'h': "Jan", 'B': "January", 'a': "Mon", 'A': "Monday",
	'H': "15", 'I': "03", 'M': "04", 'S': "05", 'p': "PM", 'P': "pm", 'e': "_2", 'j': "002", 'Z': "MST", 'z': "-0700",
	'D': "01/02/06", 'x': "01/02/06", 'F': "2006-01-02", 'v': "_2-Jan-2006", 'T': "15:04:05", 'X': "15:04:05", 'R': "15:04",
	'r': "03:04:05 PM", 'c': "Mon Jan _2 15:04:05 2006", '+': "2006-01-02T15:04:05.999999999-07:00",
}

// directive writes what stands behind a percent sign, and says how many bytes of it that was; 0 when it is unknown.
func directive(t time.Time, s string) (out string, n int) {
	if s == "" {
		return "", 0
	}
	if layout, ok := layouts[s[0]]; ok {
		return t.Format(layout), 1
	}
	switch s[0] {
	case '%':
		return "%", 1
	case 'n':
		return "\n", 1
	case 't':
		return "\t", 1
	case 's':
		return strconv.FormatInt(t.Unix(), 10), 1
	case 'C':
		return fmt.Sprintf("%02d", t.Year()/100), 1
	case 'k':
		return fmt.Sprintf("%2d", t.Hour()), 1
	case 'l':
		return fmt.Sprintf("%2s", t.Format("3")), 1
	case 'u':
		return strconv.Itoa((int(t.Weekday())+6)%7 + 1), 1
	case 'w':
		return strconv.Itoa(int(t.Weekday())), 1
	case 'U':
		return fmt.Sprintf("%02d", (t.YearDay()+6-int(t.Weekday()))/7), 1
	case 'W':
		return fmt.Sprintf("%02d", (t.YearDay()+6-(int(t.Weekday())+6)%7)/7), 1
	case 'f':
		return fmt.Sprintf("%09d", t.Nanosecond()), 1
	case 'G', 'g', 'V':
		return isoWeek(t, s[0]), 1
	case ':':
		if strings.HasPrefix(s, ":z") {
			return t.Format("-07:00"), 2
		}
	case '-', '_', '0':
		return padded(t, s)
	}
	return fraction(t, s)
}

func isoWeek(t time.Time, letter byte) string {
	year, week := t.ISOWeek()
	switch letter {
	case 'G':
		return strconv.Itoa(year)
	case 'g':
		return fmt.Sprintf("%02d", year%100)
	}
	return fmt.Sprintf("%02d", week)
}

// padded is a number without its zeros (-), or filled up with blanks (_) or zeros (0).
func padded(t time.Time, s string) (out string, n int) {
	out, n = directive(t, s[1:])
	if n == 0 {
		return "", 0
	}
	plain := strings.TrimLeft(out, "0 ")
	if plain == "" {
		plain = "0"
	}
	switch s[0] {
	case '_':
		plain = strings.Repeat(" ", max(len(out)-len(plain), 0)) + plain
	case '0':
		plain = strings.Repeat("0", max(len(out)-len(plain), 0)) + plain
	}
	return plain, n + 1
}

// fraction is %.f, %.3f or %3f: of a second, with and without the point.
func fraction(t time.Time, s string) (out string, n int) {
	point := strings.HasPrefix(s, ".")
	rest := strings.TrimPrefix(s, ".")
	nanos := fmt.Sprintf("%09d", t.Nanosecond())
	switch {
	case point && strings.HasPrefix(rest, "f"):
		if t.Nanosecond() == 0 {
			return "", 2
		}
		return "." + nanos, 2
	case len(rest) >= 2 && strings.IndexByte("369", rest[0]) >= 0 && rest[1] == 'f':
		digits := nanos[:rest[0]-'0']
		if point {
			return "." + digits, 3
		}
		return digits, 2
	}
	return "", 0
}
