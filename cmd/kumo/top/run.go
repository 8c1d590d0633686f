package top

import (
	"context"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/term"
)

// Run shows the view on the terminal out, with keys from in if that is a terminal, until the user quits, ctx ends, or
// the terminal goes away: all of these are a good end. The error is of the terminal.
func Run(ctx context.Context, o Options, in, out *os.File) error {
	ctx, stop := context.WithCancel(ctx)
	source := &guarded{source: o.Source}
	o.Source = source
	defer source.end() // after stop: nothing is asked any more
	defer stop()
	opts := []tea.ProgramOption{
		tea.WithOutput(&screen{File: out, gone: stop}), tea.WithoutSignalHandler(), tea.WithFPS(20), tea.WithWindowSize(80, 24),
	}
	if term.IsTerminal(in.Fd()) {
		opts = append(opts, tea.WithInput(&keyboard{File: in, gone: stop}))
	} else {
		opts = append(opts, tea.WithInput(nil))
	}
	p := tea.NewProgram(NewModel(ctx, o), opts...)
	// A terminal that hangs up, or a pipe that nobody reads any more, ends the view, and not the process as it stands.
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGHUP, syscall.SIGPIPE)
	defer signal.Stop(signals)
	go func() {
		select {
		case <-signals:
			stop()
		case <-ctx.Done():
		}
		p.Quit()
	}()
	_, err := p.Run()
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// screen is the terminal as bubbletea writes to it.
type screen struct {
	*os.File
	gone func()
}

func (s *screen) Write(p []byte) (int, error) {
	n, err := s.File.Write(p)
	if err != nil {
		s.gone()
	}
	return n, err
}

// keyboard is the terminal as bubbletea reads from it.
type keyboard struct {
	*os.File
	gone func()
}

func (k *keyboard) Read(p []byte) (int, error) {
	n, err := k.File.Read(p)
	if err == nil {
		return n, nil
	}
	k.gone()
	return n, io.EOF
}

// guarded is a source that is left alone once the view has ended: bubbletea does not wait for its commands.
type guarded struct {
	mu     sync.Mutex
	source Source
	over   bool
}

// end waits for the question that is under way.
func (g *guarded) end() {
	g.mu.Lock()
	g.over = true
	g.mu.Unlock()
}

// Look implements Source.
func (g *guarded) Look(ctx context.Context) (*Look, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.over {
		return nil, context.Canceled
	}
	return g.source.Look(ctx)
}

// Messages implements Source.
func (g *guarded) Messages(ctx context.Context, queue string, most int) ([]Message, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.over {
		return nil, context.Canceled
	}
	return g.source.Messages(ctx, queue, most)
}
