package listener

import (
	"bufio"
	"context"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"kumo/pkg/message"
	"kumo/pkg/smtp"
)

// pipeListener hands out net.Pipe connections, which work in a synctest bubble.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
	fail   func() error // what Accept returns first
	tries  atomic.Int32
}

func newPipeListener() *pipeListener {
	return &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	l.tries.Add(1)
	if l.fail != nil {
		if err := l.fail(); err != nil {
			return nil, err
		}
	}
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error   { l.once.Do(func() { close(l.closed) }); return nil }
func (l *pipeListener) Addr() net.Addr { return &net.TCPAddr{} }

// fromFriend is a pipe end whose peer may relay.
type fromFriend struct{ net.Conn }

func (fromFriend) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9} }

func (l *pipeListener) dial(t *testing.T) *client {
	here, there := net.Pipe()
	l.conns <- fromFriend{there}
	return &client{t: t, conn: here, r: bufio.NewReader(here)}
}

// bubble runs f with a server whose time does not take time.
func bubble(t *testing.T, w *world, f func(l *pipeListener, stop, abort context.CancelFunc, done chan error)) {
	s := newServer(t, w, options(t, map[string]any{"client_timeout": "60s"}))
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(context.Background())
		abort, kill := context.WithCancel(context.Background())
		l := newPipeListener()
		done := make(chan error, 1)
		go func() {
			done <- s.Serve(ctx, abort, l)
			close(done)
		}()
		f(l, stop, kill, done)
		stop()
		kill()
		for range done {
		}
	})
}

// TestIdle is F133.
func TestIdle(t *testing.T) {
	bubble(t, newWorld(), func(l *pipeListener, _, _ context.CancelFunc, _ chan error) {
		c := l.dial(t)
		c.hello()
		begin := time.Now()
		c.expect("nothing", "421 4.3.2 mx.kumo.test idle too long")
		if d := time.Since(begin); d != time.Minute {
			t.Errorf("cut after %v", d)
		}
		c.expect("after 421", "")
	})
}

// TestDrippingCommand: the timeout is for the whole line, not for each byte.
func TestDrippingCommand(t *testing.T) {
	bubble(t, newWorld(), func(l *pipeListener, _, _ context.CancelFunc, _ chan error) {
		c := l.dial(t)
		c.hello()
		begin := time.Now()
		dripped := c.drip("N", 20*time.Second)
		c.expect("a dripping command", "421 4.3.2 mx.kumo.test idle too long")
		if d := time.Since(begin); d != time.Minute {
			t.Errorf("cut after %v", d)
		}
		_ = c.conn.Close()
		<-dripped
	})
}

// drip sends piece again and again until the connection is closed.
func (c *client) drip(piece string, pause time.Duration) chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			if _, err := c.conn.Write([]byte(piece)); err != nil {
				return
			}
			time.Sleep(pause)
		}
	}()
	return done
}

func (c *client) toData() {
	c.hello()
	c.ask("MAIL FROM:<a@example.org>", "250 ")
	c.ask("RCPT TO:<b@example.com>", "250 ")
	c.ask("DATA", "354 ")
}

// TestDrippingData: a peer that drips is cut although it never pauses for long.
func TestDrippingData(t *testing.T) {
	w := newWorld()
	bubble(t, w, func(l *pipeListener, _, _ context.CancelFunc, _ chan error) {
		c := l.dial(t)
		c.toData()
		begin := time.Now()
		dripped := c.drip("x\r\n", 5*time.Second)
		c.expect("dripping data", "421 4.3.2 mx.kumo.test idle too long")
		if d := time.Since(begin); d > 61*time.Second {
			t.Errorf("cut after %v", d)
		}
		_ = c.conn.Close()
		<-dripped
	})
	if len(w.mail()) != 0 {
		t.Error("half a message was taken in")
	}
}

// TestSlowButSteady: 20 MB at 1 Mbit/s pass.
func TestSlowButSteady(t *testing.T) {
	w := newWorld()
	bubble(t, w, func(l *pipeListener, _, _ context.CancelFunc, _ chan error) {
		c := l.dial(t)
		c.toData()
		second := strings.Repeat(strings.Repeat("x", 98)+"\r\n", 1250)
		for range 160 {
			c.send(second)
			time.Sleep(time.Second)
		}
		c.ask(".", "250 OK ids=")
		_ = c.conn.Close()
	})
	if len(w.mail()) != 1 || len(w.mail()[0].Data) != 20_000_000 {
		t.Error("the message did not come in whole")
	}
}

// TestNeverReads: a peer that does not take replies is cut, and what waits for it stays small (F108, F133).
func TestNeverReads(t *testing.T) {
	bubble(t, newWorld(), func(l *pipeListener, _, _ context.CancelFunc, _ chan error) {
		c := l.dial(t)
		begin := time.Now()
		n := 0
		for {
			if _, err := c.conn.Write([]byte("NOOP\r\n")); err != nil {
				break
			}
			n++
		}
		if d := time.Since(begin); d > 2*time.Minute || n > 2000 {
			t.Errorf("cut after %v and %d commands", d, n)
		}
	})
}

// TestShutdown is F04 and O1.
func TestShutdown(t *testing.T) {
	w := newWorld()
	bubble(t, w, func(l *pipeListener, stop, _ context.CancelFunc, done chan error) {
		idle, half, never := l.dial(t), l.dial(t), l.dial(t)
		idle.hello()
		half.toData()
		never.toData()
		half.send("some ")
		never.send("some ")
		begin := time.Now()
		stop()
		idle.expect("shutdown", "421 4.3.2 mx.kumo.test shutting down")
		idle.expect("after 421", "")
		time.Sleep(5 * time.Second)
		half.ask("more\r\n.", "250 OK ids=")
		half.expect("shutdown", "421 4.3.2 mx.kumo.test shutting down")
		never.expect("shutdown", "421 4.3.2 mx.kumo.test shutting down")
		if err := <-done; err != nil {
			t.Error(err)
		}
		if d := time.Since(begin); d != drainTime {
			t.Errorf("the shutdown took %v", d)
		}
	})
	if len(w.mail()) != 1 || len(w.log()) != 0 {
		t.Errorf("%d messages, records %v", len(w.mail()), w.log())
	}
}

// TestShutdownStopsPolicy: a handler that does not end must not keep the daemon from ending.
func TestShutdownStopsPolicy(t *testing.T) {
	w := newWorld()
	w.accept = func(ctx context.Context, _ *message.Submission) error {
		<-ctx.Done()
		return &smtp.Error{Reply: smtp.NewReply(421, "4.3.2", "mx.kumo.test shutting down"), Cause: ctx.Err()}
	}
	bubble(t, w, func(l *pipeListener, stop, _ context.CancelFunc, done chan error) {
		stuck := l.dial(t)
		stuck.toData()
		stuck.send(".\r\n")
		synctest.Wait()
		begin := time.Now()
		stop()
		stuck.expect("shutdown", "421 4.3.2 mx.kumo.test shutting down")
		if err := <-done; err != nil || time.Since(begin) != workTime {
			t.Errorf("%v after %v", err, time.Since(begin))
		}
	})
}

// TestAbort: the second signal ends everything at once, but not a message that is being stored.
func TestAbort(t *testing.T) {
	w := newWorld()
	w.accept = func(ctx context.Context, _ *message.Submission) error {
		<-ctx.Done()
		return ctx.Err()
	}
	bubble(t, w, func(l *pipeListener, stop, abort context.CancelFunc, done chan error) {
		idle, stuck := l.dial(t), l.dial(t)
		idle.hello()
		stuck.toData()
		stuck.send(".\r\n")
		synctest.Wait()
		begin := time.Now()
		abort()
		stop()
		if err := <-done; err != nil || time.Since(begin) != 0 {
			t.Errorf("%v after %v", err, time.Since(begin))
		}
	})
}

// TestAcceptErrors is F62: no descriptors left neither ends the listener nor makes it spin.
func TestAcceptErrors(t *testing.T) {
	s := newServer(t, newWorld(), options(t, nil))
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(context.Background())
		l := newPipeListener()
		begin := time.Now()
		l.fail = func() error {
			if time.Since(begin) < 10*time.Second {
				return &net.OpError{Op: "accept", Err: syscall.EMFILE}
			}
			return nil
		}
		done := make(chan error, 1)
		go func() { done <- s.Serve(ctx, context.Background(), l) }()
		c := l.dial(t)
		c.hello()
		if n := l.tries.Load(); n > 100 {
			t.Errorf("%d tries in 10 s", n)
		}
		_ = c.conn.Close()
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// TestListenerBreaks: what closes the listener from outside is an error.
func TestListenerBreaks(t *testing.T) {
	s := newServer(t, newWorld(), options(t, nil))
	l := newPipeListener()
	_ = l.Close()
	if err := s.Serve(context.Background(), context.Background(), l); err == nil {
		t.Error("no error")
	}
}

// TestProcessingTimeout: policy and spool have data_processing_timeout.
func TestProcessingTimeout(t *testing.T) {
	w := newWorld()
	w.accept = func(ctx context.Context, _ *message.Submission) error {
		if d, ok := ctx.Deadline(); !ok || time.Until(d) > 5*time.Minute || time.Until(d) < 4*time.Minute {
			t.Errorf("deadline %v %v", d, ok)
		}
		return nil
	}
	c := start(t, w, nil, friend)
	c.toData()
	c.ask(".", "250 ")
}
