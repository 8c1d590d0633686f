package cli

import (
	"errors"
	"iter"
	"math"
	"testing"
	"time"
)

func gridRows(end error, rows ...[]any) iter.Seq2[[]any, error] {
	return func(yield func([]any, error) bool) {
		for _, r := range rows {
			if !yield(r, nil) {
				return
			}
		}
		if end != nil {
			yield(nil, end)
		}
	}
}

func TestGridHasThreeFormats(t *testing.T) {
	titles := []string{"id", "n", "n", "what\tever"}
	rows := [][]any{
		{"aa", int64(3), 1795195241.25, nil},
		{"b\tb\"ü", int64(-1200), math.Inf(1), []byte{0, 255}},
		{"", true, time.Unix(0, 0), int64(7)},
	}
	for _, c := range []struct {
		format Format
		tty    bool
		want   string
	}{
		{Text, false, "aa\t3\t1795195241.25\t-\nb\\tb\"ü\t-1200\t+Inf\t00ff\n-\ttrue\t1970-01-01T00:00:00Z\t7\n"},
		{Text, true, "" +
			"id          n                     n  what\\tever\n" +
			"aa          3         1795195241.25  -\n" +
			"b\\tb\"ü  -1200                  +Inf  00ff\n" +
			"-        true  1970-01-01T00:00:00Z  7\n"},
		{JSONL, true, "" +
			`{"id":"aa","n":3,"n_2":1795195241.25,"what\tever":null}` + "\n" +
			`{"id":"b\tb\"ü","n":-1200,"n_2":null,"what\tever":"00ff"}` + "\n" +
			`{"id":"","n":true,"n_2":"1970-01-01T00:00:00Z","what\tever":7}` + "\n"},
		{JSON, false, "[\n" +
			`  {"id":"aa","n":3,"n_2":1795195241.25,"what\tever":null},` + "\n" +
			`  {"id":"b\tb\"ü","n":-1200,"n_2":null,"what\tever":"00ff"},` + "\n" +
			`  {"id":"","n":true,"n_2":"1970-01-01T00:00:00Z","what\tever":7}` + "\n]\n"},
	} {
		con, out, _ := console(c.format, c.tty)
		if err := Grid(con, titles, gridRows(nil, rows...)); err != nil || out.String() != c.want {
			t.Errorf("%s, terminal %v:\n%s\nwant\n%s\n%v", c.format, c.tty, out, c.want, err)
		}
	}
	boom := errors.New("boom")
	for _, f := range []Format{Text, JSON, JSONL} {
		con, out, _ := console(f, false)
		if err := Grid(con, titles, gridRows(boom)); !errors.Is(err, boom) || out.Len() != 0 {
			t.Errorf("%s: %q, %v", f, out, err)
		}
	}
}
