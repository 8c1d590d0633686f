package torture

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"kumo/pkg/spool"
)

// siege is a point that kills a real daemon.
type siege struct {
	*point
	program string
	dir     string
	sink    *sink
	load    *load
	kills   []time.Time
	last    time.Time // the last daemon was started
}

// kill starts program as a daemon, kills it while mail comes and goes, starts it again, and waits until everything
// that was acknowledged has arrived.
func (p *point) kill(ctx context.Context, program string) {
	if program == "" {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	s := &siege{point: p, program: program, load: newLoad()}
	if err := s.run(ctx); err != nil && len(p.wrong) == 0 {
		p.failf("%v", err)
	}
	p.count.Messages += len(s.load.acked)
}

func (s *siege) run(ctx context.Context) (err error) {
	if s.dir, err = os.MkdirTemp("", "kumo-torture-"); err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(s.dir) }()
	if s.sink, err = newSink(); err != nil {
		return err
	}
	defer s.sink.close()
	if err := writePolicy(s.dir, s.sink.addr()); err != nil {
		return err
	}
	for round := range 1 + s.IntN(2) {
		if err := s.round(ctx, round); err != nil {
			return err
		}
	}
	return s.finish(ctx)
}

// round lets mail flow until the kill: after so many acknowledgements, or so many deliveries, before or after the sink
// answers; sometimes a SIGTERM comes first, sometimes the next start is killed, too, while it recovers.
func (s *siege) round(ctx context.Context, round int) error {
	d, err := startDaemon(ctx, s.program, s.dir, s.said)
	if err != nil {
		return err
	}
	defer d.kill()
	if err := d.wait(); err != nil {
		return err
	}
	reached := s.load.start(ctx, d.addr, 1+s.IntN(8), 20+s.IntN(150), s.Uint64(), fmt.Sprint("round", round))
	if k := s.IntN(4); k < 2 {
		reached = s.sink.stopAt(1+s.IntN(100), k == 0)
	}
	select {
	case <-reached:
	case <-d.ended:
		return fmt.Errorf("the daemon ended by itself: %w", d.err)
	case <-ctx.Done():
		return fmt.Errorf("the load did not flow: %w", ctx.Err())
	}
	if s.IntN(4) == 0 {
		d.terminate()
		pause(ctx, d, time.Duration(s.IntN(1000))*time.Millisecond)
	}
	s.kills = append(s.kills, d.kill())
	s.sink.goOn()
	s.load.wg.Wait()
	if s.IntN(3) > 0 {
		return nil
	}
	again, err := startDaemon(ctx, s.program, s.dir, s.said)
	if err != nil {
		return err
	}
	if !pause(ctx, again, time.Duration(s.IntN(400))*time.Millisecond) {
		again.kill()
		return fmt.Errorf("the daemon ended by itself: %w", again.err)
	}
	s.kills = append(s.kills, again.kill())
	return nil
}

// pause waits, and reports whether the daemon still lives then.
func pause(ctx context.Context, d *daemon, how time.Duration) bool {
	t := time.NewTimer(how)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return true
	case <-d.ended:
		return false
	}
}

// finish starts the daemon for the last time and waits until everything has arrived.
func (s *siege) finish(ctx context.Context) error {
	if err := s.sink.quiet(ctx); err != nil {
		return err
	}
	s.last = time.Now()
	d, err := startDaemon(ctx, s.program, s.dir, s.said)
	if err != nil {
		return err
	}
	defer d.kill()
	if err := d.wait(); err != nil {
		return err
	}
	names := s.load.names()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		n, one := s.sink.missing(names)
		if n == 0 {
			break
		}
		select {
		case <-tick.C:
		case <-d.ended:
			return fmt.Errorf("the daemon ended by itself: %w", d.err)
		case <-ctx.Done():
			return fmt.Errorf("%d of %d acknowledged messages have not arrived, such as %s", n, len(names), one)
		}
	}
	if err := d.stop(); err != nil {
		return fmt.Errorf("stop of the daemon: %w", err)
	}
	s.count.Opens++
	s.repeats()
	if err := s.audit(ctx); err != nil {
		return err
	}
	return s.left()
}

// audit has the program itself prove from its spool and its logs that nothing disappeared.
func (s *siege) audit(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, s.program, "spool", "check", "--audit", "--spool", filepath.Join(s.dir, "spool"))
	cmd.Args[0] = "kumo"
	cmd.Env = environment(s.dir)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("kumo spool check --audit: %w: %s", err, out)
	}
	return nil
}

// repeatTime is how long before a kill a delivery may be whose end the log does not have: 10 ms until it is written,
// and as long as the disk takes for the batch before it.
const repeatTime = time.Second

// repeats looks at what arrived more than once: there must be a kill between the two, and the first must have been on
// its way then.
func (s *siege) repeats() {
	s.sink.mu.Lock()
	defer s.sink.mu.Unlock()
	s.wrong = append(s.wrong, s.sink.wrong...)
	for name, times := range s.sink.arrived {
		for i := 1; i < len(times); i++ {
			if !s.excused(times[i-1], times[i]) {
				s.failf("%s arrived twice, %s apart, and no kill explains it", name, times[i].Sub(times[i-1]))
			}
			s.count.Repeats++
		}
	}
}

func (s *siege) excused(first, second time.Time) bool {
	for _, k := range s.kills {
		// What the kernel had of a connection can reach the sink after the kill.
		if k.Before(second) && k.Sub(first) < repeatTime && first.Sub(k) < repeatTime {
			return true
		}
	}
	return false
}

// left looks into the spool after the daemon has ended as it should: nothing that it delivered may be there. What was
// delivered before the last kill, and whose end that kill took away, may wait to be delivered once more.
func (s *siege) left() error {
	sp, err := spool.Open(context.Background(), spool.Config{
		Dir: filepath.Join(s.dir, "spool"), NoIndex: true, Log: slog.New(slog.NewTextHandler(s.said, nil)),
	})
	if err != nil {
		return err
	}
	defer sp.Close()
	if r := sp.Recovery(); len(r.Damaged)+len(r.Missing) > 0 {
		s.failf("the log has %d damaged parts and misses %d segments", len(r.Damaged), len(r.Missing))
	}
	sp.Live(func(e spool.Entry) bool {
		m, err := sp.Load(e.ID)
		if err != nil {
			s.failf("what is left: %v", err)
			return true
		}
		b, _ := m.Data()
		_, rest, _ := bytes.Cut(b, []byte(nameHeader+": "))
		name, _, _ := bytes.Cut(rest, []byte(" "))
		s.sink.mu.Lock()
		defer s.sink.mu.Unlock()
		for _, r := range m.Recipients {
			for _, at := range s.sink.arrived[string(name)+" "+r.String()] {
				if at.After(s.last) {
					s.failf("message %s (%s) was delivered, and is still in the spool after a clean stop", e.ID, name)
				}
			}
		}
		return true
	})
	return nil
}
