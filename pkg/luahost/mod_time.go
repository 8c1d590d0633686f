package luahost

import (
	"fmt"
	"math"
	"net/mail"
	"strconv"
	"strings"
	"time"

	lua "github.com/yuin/gopher-lua"

	"kumo/pkg/option"
)

const timeSince = "2025.12.02-67ee9e96"

// timeType is a moment.
var timeType = Type{
	Name: "time",
	Doc:  "A moment, in UTC. Times can be compared; a timedelta can be added and subtracted; the difference of two times is a timedelta.",
	Methods: []Func{
		{Name: "format", Args: "(format)", Returns: "string", Doc: "Writes the time by a format of strftime, with the additions of Rust's chrono (%.3f, %:z, %+). A letter that is unknown is an error.", Example: `print(kumo.time.now():format '%Y-%m-%d %H:%M:%S')`, Go: func(l *lua.LState) int {
			s, err := strftime(timeArg(l, 1), l.CheckString(2))
			if err != nil {
				Fail(l, fmt.Errorf("time:format: %w", err))
			}
			l.Push(lua.LString(s))
			return 1
		}},
	},
	Fields: []Field{
		{Name: "year", Doc: "the year"},
		{Name: "month", Doc: "the month, from 1"},
		{Name: "day", Doc: "the day of the month, from 1"},
		{Name: "hour", Doc: "0 to 23"},
		{Name: "minute", Doc: "0 to 59"},
		{Name: "second", Doc: "0 to 59"},
		{Name: "unix_timestamp", Doc: "whole seconds since 1970"},
		{Name: "unix_timestamp_millis", Doc: "whole milliseconds since 1970"},
		{Name: "rfc2822", Doc: "as in a Date header"},
		{Name: "rfc3339", Doc: "as in logs"},
		{Name: "elapsed", Doc: "a timedelta: how long ago it is"},
	},
	Index: timeIndex,
	String: func(l *lua.LState) int {
		l.Push(lua.LString(timeArg(l, 1).Format("2006-01-02 15:04:05.999999999 UTC")))
		return 1
	},
	Eq: func(l *lua.LState) int {
		l.Push(lua.LBool(timeArg(l, 1).Equal(timeArg(l, 2))))
		return 1
	},
	Less: func(l *lua.LState) int {
		l.Push(lua.LBool(timeArg(l, 1).Before(timeArg(l, 2))))
		return 1
	},
	Add: func(l *lua.LState) int {
		return like(l, 1, timeAt(timeArg(l, 1).Add(deltaArg(l, 2))))
	},
	Sub: func(l *lua.LState) int {
		if ud, ok := l.Get(2).(*lua.LUserData); ok {
			if t, ok := ud.Value.(timeValue); ok {
				return pushDelta(l, timeArg(l, 1).Sub(t.t))
			}
		}
		return like(l, 1, timeAt(timeArg(l, 1).Add(-deltaArg(l, 2))))
	},
}

// timeValue is the value of a time.
type timeValue struct{ t time.Time }

// Plain is the form of RFC 3339.
func (t timeValue) Plain() any { return t.t.Format(time.RFC3339Nano) }

// Freeze implements Freezer.
func (t timeValue) Freeze() (Frozen, error) { return t, nil }

// Thaw implements Frozen.
func (t timeValue) Thaw(s *State) lua.LValue { return s.NewUserData(&timeType, t) }

func timeArg(l *lua.LState, n int) time.Time { return Check[timeValue](l, n, "a time").t }

func timeAt(t time.Time) timeValue { return timeValue{t.UTC().Round(0)} }

func pushTime(l *lua.LState, t time.Time) int {
	l.Push(From(l).NewUserData(&timeType, timeAt(t)))
	return 1
}

// like returns a value of the same type as argument n.
func like(l *lua.LState, n int, v any) int {
	l.Push(&lua.LUserData{Value: v, Env: l.Env, Metatable: l.CheckUserData(n).Metatable})
	return 1
}

// rfc3339 is the form that log records have.
const rfc3339 = "2006-01-02T15:04:05.999999999-07:00"

func timeIndex(l *lua.LState) int {
	t := timeArg(l, 1)
	v := lua.LNil
	switch l.CheckString(2) {
	case "year":
		v = lua.LNumber(t.Year())
	case "month":
		v = lua.LNumber(t.Month())
	case "day":
		v = lua.LNumber(t.Day())
	case "hour":
		v = lua.LNumber(t.Hour())
	case "minute":
		v = lua.LNumber(t.Minute())
	case "second":
		v = lua.LNumber(t.Second())
	case "unix_timestamp":
		v = lua.LNumber(t.Unix())
	case "unix_timestamp_millis":
		v = lua.LNumber(t.UnixMilli())
	case "rfc2822":
		v = lua.LString(t.Format("Mon, 2 Jan 2006 15:04:05 -0700"))
	case "rfc3339":
		v = lua.LString(t.Format(rfc3339))
	case "elapsed":
		return pushDelta(l, From(l).host.opt.Now().Sub(t))
	}
	l.Push(v)
	return 1
}

// deltaType is a length of time.
var deltaType = Type{
	Name: "timedelta",
	Doc:  "A length of time, also a negative one. Lengths can be compared, added and subtracted. tostring writes it for people.",
	Fields: []Field{
		{Name: "seconds", Doc: "with a fraction"},
		{Name: "milliseconds", Doc: "whole"},
		{Name: "microseconds", Doc: "whole"},
		{Name: "nanoseconds", Doc: "whole"},
		{Name: "human", Doc: "such as 1h 30m"},
	},
	Index: func(l *lua.LState) int {
		d := deltaArg(l, 1)
		v := lua.LNil
		switch l.CheckString(2) {
		case "seconds":
			v = lua.LNumber(d.Seconds())
		case "milliseconds":
			v = lua.LNumber(d.Milliseconds())
		case "microseconds":
			v = lua.LNumber(d.Microseconds())
		case "nanoseconds":
			v = lua.LNumber(d.Nanoseconds())
		case "human":
			v = lua.LString(humanDelta(d))
		}
		l.Push(v)
		return 1
	},
	String: func(l *lua.LState) int {
		l.Push(lua.LString(humanDelta(deltaArg(l, 1))))
		return 1
	},
	Eq: func(l *lua.LState) int {
		l.Push(lua.LBool(deltaArg(l, 1) == deltaArg(l, 2)))
		return 1
	},
	Less: func(l *lua.LState) int {
		l.Push(lua.LBool(deltaArg(l, 1) < deltaArg(l, 2)))
		return 1
	},
	Add: func(l *lua.LState) int {
		return like(l, 1, deltaValue(deltaArg(l, 1)+deltaArg(l, 2)))
	},
	Sub: func(l *lua.LState) int {
		return like(l, 1, deltaValue(deltaArg(l, 1)-deltaArg(l, 2)))
	},
}

type deltaValue time.Duration

// Plain is the length in seconds, which options take.
func (d deltaValue) Plain() any { return time.Duration(d).Seconds() }

// Freeze implements Freezer.
func (d deltaValue) Freeze() (Frozen, error) { return d, nil }

// Thaw implements Frozen.
func (d deltaValue) Thaw(s *State) lua.LValue { return s.NewUserData(&deltaType, d) }

func deltaArg(l *lua.LState, n int) time.Duration {
	return time.Duration(Check[deltaValue](l, n, "a timedelta"))
}

func pushDelta(l *lua.LState, d time.Duration) int {
	l.Push(From(l).NewUserData(&deltaType, deltaValue(d)))
	return 1
}

// humanDelta writes a length as people do: 1day 2h 3m.
func humanDelta(d time.Duration) string {
	if d == 0 {
		return "0s"
	}
	sign, rest := "", uint64(d)
	if d < 0 {
		sign, rest = "-", -uint64(d)
	}
	var parts []string
	for _, u := range []struct {
		name string
		size time.Duration
		long bool // takes an s when there are several
	}{
		{"year", 31_557_600 * time.Second, true},
		{"month", 2_630_016 * time.Second, true},
		{"day", 24 * time.Hour, true},
		{"h", time.Hour, false},
		{"m", time.Minute, false},
		{"s", time.Second, false},
		{"ms", time.Millisecond, false},
		{"us", time.Microsecond, false},
		{"ns", time.Nanosecond, false},
	} {
		n := rest / uint64(u.size)
		if rest %= uint64(u.size); n == 0 {
			continue
		}
		part := strconv.FormatUint(n, 10) + u.name
		if u.long && n > 1 {
			part += "s"
		}
		parts = append(parts, part)
	}
	return sign + strings.Join(parts, " ")
}

var timeModule = Module{
	Name: "kumo.time",
	Doc:  "Moments and lengths of time.",
	Funcs: []Func{
		{Name: "now", Args: "()", Returns: "time", Since: timeSince, Doc: "The time now.", Example: `print(kumo.time.now().rfc3339)`, Go: func(l *lua.LState) int {
			return pushTime(l, From(l).host.opt.Now())
		}},
		{Name: "from_unix_timestamp", Args: "(seconds)", Returns: "time", Since: timeSince, Doc: "The moment so many seconds after 1970, with a fraction.", Example: `assert(kumo.time.from_unix_timestamp(0).year == 1970)`, Go: func(l *lua.LState) int {
			n := float64(l.CheckNumber(1))
			if !(math.Abs(n) < 1<<38) {
				l.ArgError(1, "a number of seconds expected, less than 8,000 years from 1970")
			}
			whole := math.Floor(n)
			return pushTime(l, time.Unix(int64(whole), int64((n-whole)*1e9)))
		}},
		{Name: "parse_rfc3339", Args: "(text)", Returns: "time", Since: timeSince, Doc: "Reads a time such as 2026-11-20T13:00:00Z.", Example: `print(kumo.time.parse_rfc3339('2026-11-20T13:00:00+01:00').hour)`, Go: func(l *lua.LState) int {
			t, err := time.Parse(time.RFC3339Nano, l.CheckString(1))
			if err != nil {
				Fail(l, fmt.Errorf("kumo.time.parse_rfc3339: %q is no time such as 2026-11-20T13:00:00Z", clip(l.CheckString(1), 60)))
			}
			return pushTime(l, t)
		}},
		{Name: "parse_rfc2822", Args: "(text)", Returns: "time", Since: timeSince, Doc: "Reads a time as a Date header has it.", Example: `print(kumo.time.parse_rfc2822('Fri, 20 Nov 2026 13:00:00 +0100').hour)`, Go: func(l *lua.LState) int {
			s := l.CheckString(1)
			if len(s) > 1000 {
				s = s[:1000]
			}
			t, err := mail.ParseDate(s)
			if err != nil {
				Fail(l, fmt.Errorf("kumo.time.parse_rfc2822: %q is no time such as Fri, 20 Nov 2026 13:00:00 +0100", clip(s, 60)))
			}
			return pushTime(l, t)
		}},
		{Name: "with_ymd_hms", Args: "(year, month, day, hour, minute, second)", Returns: "time", Since: timeSince, Doc: "The moment of that date and time in UTC. One that does not exist is an error.", Example: `print(kumo.time.with_ymd_hms(2026, 11, 20, 13, 0, 0))`, Go: timeOfParts},
		{Name: "parse_duration", Args: "(duration)", Returns: "timedelta", Since: timeSince, Doc: "Reads a length of time: a number of seconds, also negative, or a text such as 1h 30m.", Example: `assert(kumo.time.parse_duration('5m').seconds == 300)`, Go: deltaOf},
		{Name: "sleep", Args: "(seconds)", Since: "2025.01.23-7273d2bc", Doc: "Waits so long, with a fraction, without holding up other work. The handler's deadline goes on.", Example: `kumo.time.sleep(0.001)`, Go: Sleep},
	},
}

func timeOfParts(l *lua.LState) int {
	var n [6]int
	for i := range n {
		n[i] = l.CheckInt(i + 1)
	}
	t := time.Date(n[0], time.Month(n[1]), n[2], n[3], n[4], n[5], 0, time.UTC)
	if got := [6]int{t.Year(), int(t.Month()), t.Day(), t.Hour(), t.Minute(), t.Second()}; got != n || n[0] < 0 || n[0] > 9999 {
		Fail(l, fmt.Errorf("kumo.time.with_ymd_hms: there is no %04d-%02d-%02d %02d:%02d:%02d", n[0], n[1], n[2], n[3], n[4], n[5]))
	}
	return pushTime(l, t)
}

func deltaOf(l *lua.LState) int {
	switch v := l.Get(1).(type) {
	case lua.LNumber:
		if !(math.Abs(float64(v)) < 9e9) {
			l.ArgError(1, "a length of at most 285 years expected")
		}
		return pushDelta(l, time.Duration(float64(v)*float64(time.Second)))
	case lua.LString:
		d, err := option.ParseDuration(string(v))
		if err != nil {
			Fail(l, fmt.Errorf("kumo.time.parse_duration: %s", plainly(err)))
		}
		return pushDelta(l, d.Std())
	}
	l.ArgError(1, "a number of seconds or a text such as 1h 30m expected, got "+typeName(l.Get(1)))
	return 0
}

// Sleep is kumo.sleep: it waits until the time is over, or the call is stopped.
func Sleep(l *lua.LState) int {
	n := float64(l.CheckNumber(1))
	if !(n >= 0) {
		l.ArgError(1, "a number of seconds expected, zero or more")
	}
	Pause(l, time.Duration(min(n, 1e9)*float64(time.Second)))
	return 0
}

// Pause waits for d, or until the call is stopped, which it then raises.
func Pause(l *lua.LState, d time.Duration) {
	s := From(l)
	d = min(d, time.Until(s.Deadline())+time.Millisecond)
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.Context().Done():
	}
	if s.guard.look() != nil {
		l.RaiseError("%s", s.guard.err.Error())
	}
}
