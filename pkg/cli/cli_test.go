package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

type status string

func (s status) Style() Style {
	if s == "held" {
		return Warning
	}
	return Plain
}

type row struct {
	ID     string    `json:"id" col:"ID,keep"`
	Queue  string    `json:"queue" col:"QUEUE"`
	Count  int       `json:"count" col:"COUNT"`
	Due    time.Time `json:"due,omitzero" col:"DUE"`
	State  status    `json:"state" col:"STATE"`
	Secret string    `json:"secret,omitempty"`
}

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func console(format Format, tty bool) (*Console, *bytes.Buffer, *bytes.Buffer) {
	var out, errs bytes.Buffer
	return &Console{
		In: strings.NewReader(""), Out: &out, Err: &errs, InTTY: tty, OutTTY: tty, ErrTTY: tty, Width: 80,
		Format: format, Now: func() time.Time { return noon },
	}, &out, &errs
}

func sample() []row {
	return []row{
		{ID: "aa01", Queue: "example.com", Count: 3, Due: noon.Add(20 * time.Minute), State: "held"},
		{ID: "aa02", Queue: "a.example", Count: 1200, Secret: "x"},
	}
}

func seq(rows []row, end error) iter.Seq2[row, error] {
	return func(yield func(row, error) bool) {
		for _, r := range rows {
			if !yield(r, nil) {
				return
			}
		}
		if end != nil {
			yield(row{}, end)
		}
	}
}

func TestOneStructHasThreeFormats(t *testing.T) {
	tests := []struct {
		name   string
		format Format
		tty    bool
		want   string
	}{
		{"pipe", Text, false, "aa01\texample.com\t3\t2026-03-01T12:20:00Z\theld\naa02\ta.example\t1200\t-\t-\n"},
		{"terminal", Text, true, "" +
			"ID    QUEUE        COUNT  DUE     STATE\n" +
			"aa01  example.com      3  in 20m  held\n" +
			"aa02  a.example     1200  -       -\n"},
		{"jsonl", JSONL, true, "" +
			`{"id":"aa01","queue":"example.com","count":3,"due":"2026-03-01T12:20:00Z","state":"held"}` + "\n" +
			`{"id":"aa02","queue":"a.example","count":1200,"state":"","secret":"x"}` + "\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, out, _ := console(tt.format, tt.tty)
			if err := Rows(c, seq(sample(), nil)); err != nil {
				t.Fatal(err)
			}
			if out.String() != tt.want {
				t.Errorf("Rows printed\n%s\nwant\n%s", out, tt.want)
			}
			c, out, _ = console(tt.format, tt.tty)
			if err := c.Print(sample()); err != nil || out.String() != tt.want {
				t.Errorf("Print printed\n%s (%v)\nwant\n%s", out, err, tt.want)
			}
		})
	}
}

func TestJSONIsOneDocument(t *testing.T) {
	for _, rows := range [][]row{sample(), {}} {
		c, out, _ := console(JSON, false)
		if err := Rows(c, seq(rows, nil)); err != nil {
			t.Fatal(err)
		}
		var got []row
		if err := json.Unmarshal(out.Bytes(), &got); err != nil {
			t.Fatalf("%v in %q", err, out)
		}
		if len(got) != len(rows) {
			t.Errorf("got %d rows, want %d", len(got), len(rows))
		}
	}
}

func TestFailureLeavesStdoutEmpty(t *testing.T) {
	boom := Failf("read spool: %w", errors.New("gone"))
	for _, f := range []Format{Text, JSON, JSONL} {
		for _, tty := range []bool{false, true} {
			c, out, _ := console(f, tty)
			if err := Rows(c, seq(nil, boom)); !errors.Is(err, boom) {
				t.Errorf("%s: error %v, want the sequence's own", f, err)
			}
			if out.Len() != 0 {
				t.Errorf("%s: stdout holds %q after a failure", f, out)
			}
		}
	}
	c, out, _ := console(JSON, false)
	if err := Rows(c, seq(sample(), boom)); err == nil || out.Len() != 0 {
		t.Errorf("json: half a document was printed: %q, error %v", out, err)
	}
}

func TestColoursOnlyOnTerminals(t *testing.T) {
	c, out, _ := console(Text, true)
	c.Color = true
	if err := c.Print(sample()); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "\x1b[33mheld\x1b[0m") {
		t.Errorf("no colour for a styled value in %q", out)
	}
	c, out, _ = console(Text, false)
	c.Color = true
	if err := c.Print(sample()); err != nil || strings.Contains(out.String(), "\x1b") {
		t.Errorf("colours in a pipe: %q (%v)", out, err)
	}
}

func TestNarrowTerminalClipsButKeepsIDs(t *testing.T) {
	c, out, _ := console(Text, true)
	c.Width = 50
	r := sample()[0]
	r.ID = strings.Repeat("a", 32)
	r.Queue = strings.Repeat("q", 60)
	if err := c.Print([]row{r}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), r.ID) || !strings.Contains(out.String(), "…") {
		t.Errorf("want the whole id and a clipped queue:\n%s", out)
	}
}

func TestHostileTextIsTamed(t *testing.T) {
	tests := []struct{ in, want string }{
		{"plain ünï", "plain ünï"},
		{"a\tb\nc\r", `a\tb\nc\r`},
		{"\x1b[2J", `\x1b[2J`},
		{"\u009b31m", `\u009b31m`},
		{"\xff\xfe", `\xff\xfe`},
		{"\u202egnp.exe", `\u202egnp.exe`},
		{"line\u2028sep", `line\u2028sep`},
	}
	for _, tt := range tests {
		c, out, _ := console(Text, false)
		if err := c.Print([]row{{ID: "1", Queue: tt.in}}); err != nil {
			t.Fatal(err)
		}
		if want := "1\t" + tt.want + "\t0\t-\t-\n"; out.String() != want {
			t.Errorf("%q printed as %q, want %q", tt.in, out, want)
		}
	}
}

func TestStructPrintsItsFields(t *testing.T) {
	type detail struct {
		ID   string `json:"id" col:"ID"`
		Size int    `json:"size" col:"SIZE"`
		Rows []row  `json:"rows" col:"ATTEMPTS"`
	}
	v := detail{ID: "aa", Size: 9, Rows: sample()[1:]}
	c, out, _ := console(Text, true)
	if err := c.Print(v); err != nil {
		t.Fatal(err)
	}
	want := "ID        aa\nSIZE      9\n\nATTEMPTS\nID    QUEUE      COUNT  DUE  STATE\naa02  a.example   1200  -    -\n"
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out, want)
	}
	c, out, _ = console(Text, false)
	if err := c.Print(&v); err != nil || !strings.HasPrefix(out.String(), "ID\taa\nSIZE\t9\nATTEMPTS\naa02\t") {
		t.Errorf("got %q (%v)", out, err)
	}
}

// TestStreamsCanBeWatched: a row that nothing follows is shown all the same.
func TestStreamsCanBeWatched(t *testing.T) {
	for _, f := range []Format{Text, JSONL} {
		for _, tty := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				c, _, _ := console(f, tty)
				out := &lockedBuffer{}
				c.Out = out
				n := 0
				err := Rows(c, func(yield func(row, error) bool) {
					for _, r := range sample() {
						before := out.Len()
						if !yield(r, nil) {
							return
						}
						time.Sleep(2 * paceDelay)
						if out.Len() == before {
							t.Errorf("%s, terminal %v: row %d is not shown while nothing follows", f, tty, n)
						}
						n++
					}
				})
				if err != nil || n != 2 {
					t.Errorf("%d rows, error %v", n, err)
				}
			})
		}
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

func (b *lockedBuffer) Len() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Len()
}

type closedPipe struct{}

func (closedPipe) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

func TestWritingToAClosedPipeEnds(t *testing.T) {
	for _, f := range []Format{Text, JSON, JSONL} {
		c, _, _ := console(f, false)
		c.Out = closedPipe{}
		err := Rows(c, func(yield func(row, error) bool) {
			for range 100_000 {
				if !yield(sample()[0], nil) {
					return
				}
			}
		})
		if CodeOf(err) != CodeFailed {
			t.Errorf("%s: %v", f, err)
		}
	}
}

func TestRowsKeepsABoundedNumber(t *testing.T) {
	c, out, _ := console(Text, true)
	err := Rows(c, func(yield func(row, error) bool) {
		for i := range 20_000 {
			if !yield(row{ID: fmt.Sprint(i)}, nil) {
				return
			}
			if i == 5000 && out.Len() == 0 {
				t.Errorf("nothing is printed after %d rows", i)
			}
		}
	})
	if err != nil {
		t.Error(err)
	}
}

func TestExitCodes(t *testing.T) {
	tests := []struct {
		err  error
		want int
	}{
		{nil, 0},
		{errors.New("x"), 1},
		{Usagef("x"), 2},
		{fmt.Errorf("wrapped: %w", Errorf(CodeSpoolHeld, "spool %s: held by pid 7", "d")), 11},
		{fmt.Errorf("stop: %w", context.Canceled), 130},
		{Failf("inject: %w", Errorf(CodeNoSpool, "no spool")), 1},
	}
	for _, tt := range tests {
		if got := CodeOf(tt.err); got != tt.want {
			t.Errorf("CodeOf(%v) = %d, want %d", tt.err, got, tt.want)
		}
	}
}

func TestFailSpeaksTheFormat(t *testing.T) {
	err := Errorf(CodeSpoolHeld, "open spool /s: held by pid 7").WithHint("stop it first")
	c, out, errs := console(Text, false)
	if code := c.Fail(err); code != CodeSpoolHeld {
		t.Errorf("code %d", code)
	}
	if want := "kumo: open spool /s: held by pid 7\nhint: stop it first\n"; errs.String() != want {
		t.Errorf("said %q, want %q", errs, want)
	}
	if out.Len() != 0 {
		t.Errorf("stdout %q", out)
	}
	c, _, errs = console(JSON, false)
	c.Fail(err)
	want := `{"code":11,"message":"open spool /s: held by pid 7","hint":"stop it first"}` + "\n"
	if errs.String() != want {
		t.Errorf("said %q, want %q", errs, want)
	}
	c, _, errs = console(Text, false)
	if code := c.Fail(&Exit{Code: CodePartly}); code != CodePartly || errs.Len() != 0 {
		t.Errorf("a silent exit said %q with code %d", errs, code)
	}
}

func TestProgressOnlyOnATerminal(t *testing.T) {
	c, _, errs := console(Text, false)
	c.Progress("half %d", 1)
	if errs.Len() != 0 {
		t.Errorf("progress in a pipe: %q", errs)
	}
	c, _, errs = console(Text, true)
	c.Progress("half")
	c.Note("note")
	if want := "\r\x1b[Khalf\r\x1b[Knote\n"; errs.String() != want {
		t.Errorf("said %q, want %q", errs, want)
	}
}

func TestConfirm(t *testing.T) {
	for in, want := range map[string]bool{"y\n": true, "YES\n": true, "n\n": false, "\n": false, "": false} {
		c, _, _ := console(Text, true)
		c.In = strings.NewReader(in)
		if got, err := c.Confirm("really?", "--yes"); err != nil || got != want {
			t.Errorf("answer %q gives %v, %v", in, got, err)
		}
	}
	c, _, _ := console(Text, false)
	if _, err := c.Confirm("really?", "--yes"); CodeOf(err) != CodeUsage {
		t.Errorf("without a terminal: %v, want a usage error", err)
	}
}

// TestConfirmAsksTheTerminalBehindAPipe: ids may come by stdin while a person sits in front of it.
func TestConfirmAsksTheTerminalBehindAPipe(t *testing.T) {
	c, _, errs := console(Text, true)
	c.InTTY = false
	c.In = strings.NewReader("y\n")
	if c.CanAsk() {
		t.Error("without a terminal to open somebody can be asked")
	}
	c.Terminal = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("yes\n")), nil }
	if yes, err := c.Confirm("really?", "--yes"); !yes || err != nil || !c.CanAsk() {
		t.Errorf("got %v, %v", yes, err)
	}
	if !strings.Contains(errs.String(), "really? [y/N]") {
		t.Errorf("asked %q", errs)
	}
	if rest, _ := io.ReadAll(c.In); string(rest) != "y\n" {
		t.Errorf("stdin was read: %q is left", rest)
	}
	c.Terminal = func() (io.ReadCloser, error) { return nil, errors.New("none") }
	if c.CanAsk() {
		t.Error("a terminal that cannot be opened can be asked")
	}
	c.ErrTTY = false
	c.InTTY = true
	if c.CanAsk() {
		t.Error("somebody who cannot see the question can be asked")
	}
}

func TestPiped(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	file, err := os.Create(t.TempDir() + "/file")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, tt := range []struct {
		name string
		in   io.Reader
		tty  bool
		want bool
	}{
		{"pipe", r, false, true},
		{"file", file, false, true},
		{"/dev/null", null, false, false},
		{"terminal", r, true, false},
		{"memory", strings.NewReader(""), false, true},
	} {
		c, _, _ := console(Text, tt.tty)
		c.In = tt.in
		if got := c.Piped(); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestDrawnColumnsAreForTerminals(t *testing.T) {
	type drawn struct {
		ID  string `json:"id" col:"ID"`
		Bar string `json:"-" col:"BAR,terminal"`
	}
	rows := []drawn{{"a", "###"}}
	for format, want := range map[Format][2]string{
		Text:  {"a\n", "ID  BAR\na   ###\n"},
		JSONL: {"{\"id\":\"a\"}\n", "{\"id\":\"a\"}\n"},
	} {
		for i, tty := range []bool{false, true} {
			c, out, _ := console(format, tty)
			if err := c.Print(rows); err != nil || out.String() != want[i] {
				t.Errorf("%s, terminal %v: got %q (%v), want %q", format, tty, out, err, want[i])
			}
		}
	}
	c, out, _ := console(Text, false)
	if err := c.Print(rows[0]); err != nil || out.String() != "ID\ta\n" {
		t.Errorf("one row: got %q (%v)", out, err)
	}
}

func TestIDs(t *testing.T) {
	in := "aa01\n\n{\"id\":\"aa02\",\"queue\":\"q\"}\r\naa03\tqueue\t7\n"
	var got []string
	for id, err := range IDs(strings.NewReader(in)) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, id)
	}
	if want := []string{"aa01", "aa02", "aa03"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	for _, bad := range []string{"{\"id\":7}\n", "{}\n", "{\n", strings.Repeat("x", maxLine+1)} {
		var last error
		for _, err := range IDs(strings.NewReader(bad)) {
			last = err
		}
		if last == nil {
			t.Errorf("%.20q… is read without an error", bad)
		}
	}
}

func TestShortDuration(t *testing.T) {
	tests := []struct {
		d    time.Duration
		want string
	}{
		{0, "0s"},
		{250 * time.Millisecond, "250ms"},
		{90 * time.Second, "1m30s"},
		{20 * time.Minute, "20m"},
		{25*time.Hour + 5*time.Minute, "1d1h"},
		{-time.Minute, "-1m"},
	}
	for _, tt := range tests {
		if got := ShortDuration(tt.d); got != tt.want {
			t.Errorf("ShortDuration(%v) = %q, want %q", tt.d, got, tt.want)
		}
	}
}

func TestColumnWithoutJSONNameIsAMistake(t *testing.T) {
	type bad struct {
		ID string `col:"ID"`
	}
	defer func() {
		if recover() == nil {
			t.Error("a column without a json name is accepted")
		}
	}()
	c, _, _ := console(Text, false)
	_ = c.Print([]bad{{}})
}

func FuzzTame(f *testing.F) {
	f.Add("a\x1b[2Jb\xff\u202e\n")
	f.Fuzz(func(t *testing.T, s string) {
		for _, r := range tame(s) {
			if wild(r) {
				t.Fatalf("tame(%q) lets %U through", s, r)
			}
		}
	})
}
