package cli

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/mattn/go-isatty"
	"golang.org/x/sys/unix"
)

// Format is how values are printed.
type Format string

// The formats of --format.
const (
	Text  Format = "text"  // for people, and for cut and awk in a pipe
	JSON  Format = "json"  // one document
	JSONL Format = "jsonl" // one object per line
)

// ParseFormat reads the value of --format.
func ParseFormat(s string) (Format, error) {
	switch f := Format(s); f {
	case Text, JSON, JSONL:
		return f, nil
	}
	return "", Usagef("--format %q: want text, json or jsonl", s)
}

// Set, String and Type make a Format a flag value.
func (f *Format) Set(s string) error {
	v, err := ParseFormat(s)
	if err != nil {
		return err
	}
	*f = v
	return nil
}

func (f *Format) String() string { return string(*f) }

// Type is the word for the value in help texts.
func (*Format) Type() string { return "format" }

// Console is everything that a verb can see and say.
type Console struct {
	In     io.Reader
	Out    io.Writer
	Err    io.Writer
	InTTY  bool
	OutTTY bool
	ErrTTY bool
	Width  int  // columns of the terminal
	Color  bool // whether terminals get colours
	Format Format
	Now    func() time.Time // what relative times relate to
	// Terminal opens the terminal of the process, for answers while stdin is a pipe; nil if there is none.
	Terminal func() (io.ReadCloser, error)

	progress bool // a progress line stands on the terminal
}

// Std is the console of this process. KUMO_FORCE_TTY (any value) makes all three streams terminals, for tests;
// COLUMNS sets the width; NO_COLOR or TERM=dumb takes colours away.
func Std() *Console {
	forced := os.Getenv("KUMO_FORCE_TTY") != ""
	return &Console{
		In: os.Stdin, Out: os.Stdout, Err: os.Stderr,
		InTTY:  forced || isTTY(os.Stdin),
		OutTTY: forced || isTTY(os.Stdout),
		ErrTTY: forced || isTTY(os.Stderr),
		Width:  width(os.Stdout),
		Color:  os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb",
		Format: Text,
		Now:    time.Now,
		Terminal: func() (io.ReadCloser, error) {
			return os.Open("/dev/tty")
		},
	}
}

func isTTY(f *os.File) bool { return isatty.IsTerminal(f.Fd()) || isatty.IsCygwinTerminal(f.Fd()) }

const defaultWidth = 80

func width(f *os.File) int {
	if n, err := strconv.Atoi(os.Getenv("COLUMNS")); err == nil && n > 0 {
		return n
	}
	if ws, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ); err == nil && ws.Col > 0 {
		return int(ws.Col)
	}
	return defaultWidth
}

// Note says something to the user on stderr.
func (c *Console) Note(format string, args ...any) { c.say("", format, args) }

// Warn says on stderr that something is not as it should be.
func (c *Console) Warn(format string, args ...any) {
	c.say(c.paint("warning:", Warning, c.ErrTTY)+" ", format, args)
}

func (c *Console) say(prefix, format string, args []any) {
	c.endProgress()
	fmt.Fprintf(c.Err, "%s%s\n", prefix, tameLines(fmt.Sprintf(format, args...)))
}

// Progress shows one line that the next one replaces; only on a terminal. It ends with the next Note, Warn or Fail,
// or with Done.
func (c *Console) Progress(format string, args ...any) {
	if !c.ErrTTY {
		return
	}
	line := clip(tame(fmt.Sprintf(format, args...)), c.Width-1)
	fmt.Fprintf(c.Err, "\r\x1b[K%s", line)
	c.progress = true
}

// Done takes the progress line away.
func (c *Console) Done() { c.endProgress() }

func (c *Console) endProgress() {
	if c.progress {
		fmt.Fprint(c.Err, "\r\x1b[K")
		c.progress = false
	}
}

// CanAsk reports whether Confirm would find somebody to ask.
func (c *Console) CanAsk() bool {
	in, done := c.answers()
	done()
	return in != nil
}

// Confirm asks a yes-or-no question on stderr and reads the answer from the terminal: stdin, or where that is a pipe
// the terminal behind it. Without a terminal nobody can answer: that is a usage error, whose hint names the flag that
// answers beforehand.
func (c *Console) Confirm(question, flag string) (bool, error) {
	in, done := c.answers()
	defer done()
	if in == nil {
		return false, Usagef("%s needs an answer, and stdin is not a terminal", question).WithHint("say %s", flag)
	}
	c.endProgress()
	fmt.Fprintf(c.Err, "%s [y/N] ", tame(question))
	answer, err := readLine(in)
	if err != nil && answer == "" {
		fmt.Fprintln(c.Err)
		return false, nil
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return true, nil
	}
	return false, nil
}

// answers is where answers come from, nil if from nowhere.
func (c *Console) answers() (in io.Reader, done func()) {
	switch {
	case !c.ErrTTY:
	case c.InTTY:
		return c.In, func() {}
	case c.Terminal != nil:
		if t, err := c.Terminal(); err == nil {
			return t, func() { _ = t.Close() }
		}
	}
	return nil, func() {}
}

// Piped reports whether stdin is a pipe or a file: something that a verb may read although nobody said "-".
func (c *Console) Piped() bool {
	if c.InTTY {
		return false
	}
	f, ok := c.In.(*os.File)
	if !ok {
		return true
	}
	st, err := f.Stat()
	return err == nil && (st.Mode().IsRegular() || st.Mode()&os.ModeNamedPipe != 0)
}

// Clock is the time by the console's clock.
func (c *Console) Clock() time.Time {
	if c.Now == nil {
		return time.Now()
	}
	return c.Now()
}

// readLine takes bytes up to a line end and no more, so that what follows is left for others.
func readLine(r io.Reader) (string, error) {
	var line []byte
	var b [1]byte
	for len(line) < 1024 {
		n, err := r.Read(b[:])
		if n > 0 {
			if b[0] == '\n' {
				return string(line), nil
			}
			line = append(line, b[0])
		}
		if err != nil {
			return string(line), err
		}
	}
	return string(line), nil
}
