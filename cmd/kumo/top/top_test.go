package top

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"
)

var noon = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

// fake is a spool that says what it is told to.
type fake struct {
	look     Look
	messages map[string][]Message
	err      error
	looks    int
}

func (f *fake) Look(context.Context) (*Look, error) {
	f.looks++
	l := f.look
	return &l, f.err
}

func (f *fake) Messages(_ context.Context, queue string, most int) ([]Message, error) {
	all := f.messages[queue]
	return all[:min(len(all), most)], f.err
}

func aSpool() *fake {
	return &fake{
		look: Look{
			Time: noon, Spool: "/var/spool/kumo", Owner: 4711, Count: Count{At: noon, Run: "a", In: 100, Out: 50},
			Queues: []Queue{
				{Name: "acme@gmail.com", Messages: 1200, Bytes: 5 << 20, Oldest: noon.Add(-3 * time.Hour), NextDue: noon.Add(10 * time.Minute)},
				{Name: "example.org", Messages: 3, Bytes: 900, Oldest: noon.Add(-26 * time.Hour)},
				{Name: "yahoo.com", Messages: 77, Bytes: 1 << 31, Oldest: noon.Add(-time.Minute), NextDue: noon.Add(time.Minute)},
			},
		},
		messages: map[string][]Message{"example.org": {
			{ID: "00000000000000000000000000000001", Recipients: []string{"a@example.org"}, Created: noon.Add(-26 * time.Hour), Attempts: 4, Size: 300, Last: "451 4.7.1 try later"},
			{ID: "00000000000000000000000000000002", Recipients: []string{"b@example.org"}, Created: noon.Add(-time.Hour), Due: noon.Add(time.Minute), Size: 300},
			{ID: "00000000000000000000000000000003", Recipients: []string{"c@example.org", "d@example.org"}, Created: noon, Held: true, Size: 300},
		}},
	}
}

// world is a model that is driven as bubbletea would drive it, without its goroutines and timers.
type world struct {
	*testing.T
	*Model
	source *fake
}

func newWorld(t *testing.T, f *fake) *world {
	m := NewModel(t.Context(), Options{Source: f, Interval: time.Hour, Now: func() time.Time { return noon }})
	w := &world{T: t, Model: m, source: f}
	w.do(m.Init())
	return w
}

// do runs a command that answers at once.
func (w *world) do(cmd tea.Cmd) {
	if cmd == nil {
		return
	}
	if a, ok := cmd().(answer); ok {
		w.send(a)
	}
}

// send gives the model a message. What it wants to wait for is left alone.
func (w *world) send(msg tea.Msg) tea.Cmd {
	_, cmd := w.Update(msg)
	return cmd
}

func (w *world) keys(keys ...string) {
	w.Helper()
	special := map[string]tea.KeyPressMsg{
		"enter": {Code: tea.KeyEnter}, "esc": {Code: tea.KeyEscape}, "up": {Code: tea.KeyUp}, "down": {Code: tea.KeyDown},
		"pgdown": {Code: tea.KeyPgDown}, "pgup": {Code: tea.KeyPgUp}, "home": {Code: tea.KeyHome}, "end": {Code: tea.KeyEnd},
		"backspace": {Code: tea.KeyBackspace}, "ctrl+c": {Code: 'c', Mod: tea.ModCtrl}, "ctrl+u": {Code: 'u', Mod: tea.ModCtrl},
	}
	for _, k := range keys {
		msg, ok := special[k]
		if !ok {
			msg = tea.KeyPressMsg{Code: []rune(k)[0], Text: k}
		}
		cmd := w.send(msg)
		if k == "enter" && cmd != nil {
			w.do(cmd)
		}
	}
}

func (w *world) has(want ...string) {
	w.Helper()
	p := w.picture()
	for _, s := range want {
		if !strings.Contains(p, s) {
			w.Errorf("no %q in:\n%s", s, p)
		}
	}
}

func (w *world) hasNot(bad ...string) {
	w.Helper()
	p := w.picture()
	for _, s := range bad {
		if strings.Contains(p, s) {
			w.Errorf("%q in:\n%s", s, p)
		}
	}
}

// order tells whether these texts come in that order.
func (w *world) order(texts ...string) {
	w.Helper()
	p, at := w.picture(), 0
	for _, s := range texts {
		i := strings.Index(p[at:], s)
		if i < 0 {
			w.Fatalf("%q is not behind the others of %q in:\n%s", s, texts, p)
		}
		at += i + len(s)
	}
}

func TestQueues(t *testing.T) {
	w := newWorld(t, aSpool())
	w.has("/var/spool/kumo", "daemon 4711", "waiting 1,280 messages, 2.0 GiB, in 3 queues, the oldest 1d2h")
	w.order("QUEUE", "acme@gmail.com", "1,200", "3h", "10m", "5.0 MiB", "yahoo.com", "77", "example.org")
	w.keys("s") // by age
	w.order("by age", "example.org", "acme@gmail.com", "yahoo.com")
	w.keys("s") // by next try
	w.order("by next", "example.org", "yahoo.com", "acme@gmail.com")
	w.keys("s", "r") // by name
	w.order("by name reversed", "yahoo.com", "example.org", "acme@gmail.com")
}

func TestRates(t *testing.T) {
	w := newWorld(t, aSpool())
	w.has("in          -/s", "out         -/s")
	later := func(d time.Duration, run string, in, out int64) {
		w.source.look.Count = Count{At: noon.Add(d), Run: run, In: in, Out: out}
		w.do(w.ask())
	}
	later(2*time.Second, "a", 2100, 51)
	w.has("in      1,000/s", "peak 1,000/s", "█", "out       0.5/s")
	later(2*time.Second, "a", 2100, 51) // nobody has counted since
	w.has("in      1,000/s")
	if n := len(w.rates.in); n != 1 {
		t.Errorf("%d rates after a count that was the same", n)
	}
	later(4*time.Second, "b", 5, 5) // another daemon
	w.has("in          -/s")
	later(5*time.Second, "b", 6, 5)
	w.has("in          1/s")
	w.source.look.Count, w.source.look.Owner = Count{}, 0
	w.do(w.ask())
	w.has("in          -/s", "no daemon")
}

func TestSparkline(t *testing.T) {
	for _, c := range []struct {
		s     series
		cells int
		want  string
	}{
		{nil, 3, "   "},
		{series{0, 1, 4, 8}, 4, " ▁▄█"},
		{series{8, 1}, 4, "  █▁"},
		{series{1, 2, 3, 8}, 2, "▃█"},
		{series{8}, 0, ""},
	} {
		if got := c.s.spark(c.cells, c.s.peak()); got != c.want {
			t.Errorf("%v in %d cells: %q, want %q", c.s, c.cells, got, c.want)
		}
	}
	var s series
	for i := range 3 * history {
		s.add(float64(i))
	}
	if len(s) != history || s[history-1] != 3*history-1 {
		t.Errorf("%d kept, the last is %v", len(s), s[len(s)-1])
	}
}

func TestFilter(t *testing.T) {
	w := newWorld(t, aSpool())
	w.keys("/", "G", "M", "A", "x", "backspace")
	w.has("filter: GMA_", "acme@gmail.com")
	w.hasNot("yahoo.com")
	w.keys("enter")
	w.has("filter: GMA")
	w.hasNot("GMA_")
	w.keys("/", "q", "\x1b")
	w.has("nothing has that in it")
	w.keys("ctrl+u", "esc")
	w.has("yahoo.com")
	w.send(tea.PasteMsg{Content: "yahoo"}) // nobody is typing
	w.has("example.org")
	w.keys("/")
	w.send(tea.PasteMsg{Content: "yah\noo\x1b[31m" + strings.Repeat("x", 2*maxFilter)})
	w.has("filter: _")
	w.send(tea.PasteMsg{Content: "yah\noo"})
	w.has("filter: yahoo_")
	w.hasNot("example.org")
}

func TestMessagesOfAQueue(t *testing.T) {
	w := newWorld(t, aSpool())
	w.send(tea.WindowSizeMsg{Width: 200, Height: 20})
	w.keys("end", "enter")
	w.order("example.org by age", "LAST ANSWER", "a@example.org", "1d2h", "now", "4", "451 4.7.1 try later", "b@example.org", "1h", "1m", "c@example.org,d@example.org", "held")
	w.has("00000000000000000000000000000001  a@example.org  451 4.7.1 try later") // the detail
	w.keys("down", "down")
	w.has("00000000000000000000000000000003  c@example.org,d@example.org  held")
	w.keys("/", "b", "@", "enter")
	w.hasNot("a@example.org")
	w.keys("esc")
	w.has("a@example.org")
	w.keys("esc")
	w.has("queues by depth", "yahoo.com")
}

func TestAnswerForAQueueThatWasLeftIsDropped(t *testing.T) {
	w := newWorld(t, aSpool())
	w.keys("end")
	ask := w.send(tea.KeyPressMsg{Code: tea.KeyEnter})
	late := ask().(answer)
	w.keys("esc", "home", "enter")
	w.send(late)
	if w.open != "acme@gmail.com" || w.loaded {
		t.Errorf("open %q, loaded %v: that answer was for %q", w.open, w.loaded, late.queue)
	}
	w.has("looking…")
}

func TestCursorStaysWithItsQueue(t *testing.T) {
	w := newWorld(t, aSpool())
	w.keys("down") // yahoo.com
	w.source.look.Queues = append([]Queue{{Name: "new.example", Messages: 9999}}, w.source.look.Queues...)
	w.do(w.ask())
	w.has("> yahoo.com")
	w.source.look.Queues = w.source.look.Queues[:1]
	w.do(w.ask())
	w.has("> new.example")
	w.source.look.Queues = nil
	w.do(w.ask())
	w.has("nothing waits")
	w.keys("down", "up", "end", "enter")
	w.has("queues by depth")
}

func TestErrorIsShownAndGoesAway(t *testing.T) {
	f := aSpool()
	w := newWorld(t, f)
	f.err = errors.New("disk \x1b[2Jis gone")
	w.do(w.ask())
	w.has(`disk \x1b[2Jis gone`, "acme@gmail.com")
	f.err = nil
	w.do(w.ask())
	w.hasNot("gone")
}

func TestOneQuestionAtATime(t *testing.T) {
	f := aSpool()
	m := NewModel(t.Context(), Options{Source: f, Interval: time.Hour, Now: time.Now})
	first := m.Init()
	for range 5 {
		if _, cmd := m.Update(tick{}); cmd != nil {
			t.Fatal("a second question is asked while the first is under way")
		}
	}
	if _, again := m.Update(first()); again == nil || !m.asking {
		t.Error("what was wanted meanwhile is not asked")
	}
}

func TestPause(t *testing.T) {
	w := newWorld(t, aSpool())
	w.keys("p")
	w.has("paused")
	looks := w.source.looks
	w.send(tick{})
	if w.asking || w.source.looks != looks {
		t.Error("looked while paused")
	}
	w.keys("p")
	if w.send(tick{}) == nil || !w.asking {
		t.Error("does not look after the pause")
	}
}

func TestQuit(t *testing.T) {
	for _, k := range []string{"q", "ctrl+c"} {
		w := newWorld(t, aSpool())
		msg := tea.KeyPressMsg{Code: 'q', Text: "q"}
		if k == "ctrl+c" {
			w.keys("/")
			msg = tea.KeyPressMsg{Code: 'c', Mod: tea.ModCtrl}
		}
		cmd := w.send(msg)
		if cmd == nil {
			t.Fatalf("%s does nothing", k)
		}
		if _, ok := cmd().(tea.QuitMsg); !ok {
			t.Errorf("%s does not quit", k)
		}
	}
}

// hostile has names that would move a cursor, forge a line, or be wider than they look.
func hostile() *fake {
	f := aSpool()
	f.look.Spool = "/spool\x1b]0;title\x07"
	f.look.Queues = nil
	for i := range 300 {
		f.look.Queues = append(f.look.Queues, Queue{
			Name: fmt.Sprintf("%c\x1b[2J\r\n\u202e漢字漢字%s\xff%d", rune(i), strings.Repeat("長", i), i), Messages: i, Bytes: 1 << (i % 60),
			Oldest: noon.Add(-time.Duration(i) * time.Hour), NextDue: noon.Add(time.Duration(i) * time.Hour),
		})
	}
	f.messages = map[string][]Message{}
	for _, q := range f.look.Queues {
		f.messages[q.Name] = []Message{{ID: "x", Recipients: []string{q.Name, q.Name}, Last: q.Name}}
	}
	return f
}

func TestFitsEverySize(t *testing.T) {
	for _, color := range []bool{false, true} {
		w := newWorld(t, hostile())
		w.opt.Color = color
		for _, open := range []bool{false, true} {
			if open {
				w.keys("end", "enter")
			}
			for _, width := range []int{1, 2, 3, 7, 19, 20, 40, 79, 80, 200, 1000} {
				for _, height := range []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 24, 200} {
					w.send(tea.WindowSizeMsg{Width: width, Height: height})
					w.keys("pgdown", "pgup", "down", "?")
					checkFits(t, w.picture(), width, height)
					w.keys("?")
					checkFits(t, w.picture(), width, height)
				}
			}
		}
	}
}

func checkFits(t *testing.T, picture string, width, height int) {
	t.Helper()
	all := strings.Split(picture, "\n")
	if len(all) > height {
		t.Fatalf("%d lines on a terminal of %dx%d:\n%s", len(all), width, height, picture)
	}
	for _, s := range all {
		if n := ansi.StringWidth(s); n > width {
			t.Fatalf("a line of %d cells on a terminal of %dx%d: %q", n, width, height, s)
		}
		plain := ansi.Strip(s)
		if strings.ContainsAny(plain, "\x1b\r\a\u202e\t") || !utf8.ValidString(plain) {
			t.Fatalf("a hostile byte reaches the terminal: %q", s)
		}
	}
}

func TestUnknownSize(t *testing.T) {
	w := newWorld(t, aSpool())
	w.send(tea.WindowSizeMsg{})
	checkFits(t, w.picture(), 80, 24)
	w.has("kumo top", "yahoo.com", keysHelp[:6])
}

func TestSmallTerminalsShowRowsFirst(t *testing.T) {
	w := newWorld(t, aSpool())
	for height, want := range map[int]string{1: "> acme@gmail.com", 2: "queues by depth", 4: "yahoo.com", 10: "q quit"} {
		w.send(tea.WindowSizeMsg{Width: 200, Height: height})
		w.has(want)
	}
}

func TestNoColour(t *testing.T) {
	w := newWorld(t, aSpool())
	w.hasNot("\x1b")
	w.opt.Color = true
	w.has("\x1b[1m")
}

func TestNumbersAndSizes(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 0.25: "0.2", 1: "1", 9.96: "10.0", 999: "999", 1000: "1,000", 1234567: "1,234,567"} {
		if got := number(v); got != want {
			t.Errorf("number %v: %s, want %s", v, got, want)
		}
	}
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 200 << 10: "200 KiB", 1 << 62: "4096 PiB"} {
		if got := sizeText(n); got != want {
			t.Errorf("size %d: %s, want %s", n, got, want)
		}
	}
}

func TestOrders(t *testing.T) {
	for _, o := range Orders() {
		if got, err := ParseOrder(string(o)); err != nil || got != o {
			t.Errorf("%s: %v, %v", o, got, err)
		}
	}
	if _, err := ParseOrder("size"); err == nil {
		t.Error("any word is an order")
	}
}
