package listener

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"kumo/pkg/message"
	"kumo/pkg/smtp"
)

// Times of a server; they are not options.
const (
	drainTime  = 10 * time.Second       // how long sessions in DATA may go on after the shutdown began
	workTime   = 20 * time.Second       // how long policy and spool may go on with a message after it began
	denyTime   = time.Second            // how long writing the 421 of a refused connection may take
	minBackoff = 5 * time.Millisecond   // first pause after an accept error, doubled up to
	maxBackoff = 500 * time.Millisecond // this
	tellAgain  = 10 * time.Second       // between two complaints about accept errors
)

// Server runs the sessions of one listener. Its zero value is of no use; see New.
type Server struct {
	Parts
	hostname string
	meta     *message.Meta // what each connection starts with; frozen
	tls      *tls.Config
	pool     *bufferPool
	log      *slog.Logger
	metrics  *Metrics

	mu   sync.Mutex
	open map[*session]struct{}
	cut  int32 // how far the shutdown has come
	done sync.WaitGroup
}

// New makes a server from its parts and loads its certificate.
func New(p Parts) (*Server, error) {
	s := &Server{
		Parts: p, hostname: p.Options.Hostname, log: p.Log, metrics: p.Metrics,
		open: make(map[*session]struct{}),
		pool: newBufferPool(int64(p.Options.DataBufferSize)),
	}
	s.pool.memory = p.Memory
	if s.log == nil {
		s.log = slog.Default()
	}
	if s.hostname == "" {
		s.hostname = localName()
	}
	certs, err := newCertificates(&s.Options, s.hostname, s.log)
	if err != nil {
		return nil, fmt.Errorf("start smtp listener on %s: %w", p.Options.Listen, err)
	}
	s.tls = certs.config()
	m := message.NewMeta(nil)
	for k, v := range p.Options.Meta {
		m.Set(k, v)
	}
	s.meta = m.Freeze()
	return s, nil
}

func localName() string {
	name, err := os.Hostname()
	if err != nil || !validHelo(name) {
		return "localhost"
	}
	return name
}

// Hostname is the name that the server gives itself.
func (s *Server) Hostname() string { return s.hostname }

// Serve runs sessions for the connections of ln until ctx ends, and returns when the last one has ended. Then idle
// peers have heard 421 4.3.2, and messages on their way in have come in or, after ten seconds, have heard it too,
// or after twenty, if policy was busy with them. abort, which may end at any time, closes every connection at once;
// what has not been acknowledged by then has not been taken in. Serve closes ln. The error is nil after ctx or abort has ended, else what closed ln.
func (s *Server) Serve(ctx, abort context.Context, ln net.Listener) error {
	stop := context.AfterFunc(ctx, func() { _ = ln.Close() })
	defer stop()
	work, stopWork := context.WithCancel(abort)
	defer stopWork()
	err := s.acceptAll(ctx, work, ln)
	_ = ln.Close()
	s.interrupt(cutIdle)
	late := time.AfterFunc(drainTime, func() { s.interrupt(cutAll) })
	defer late.Stop()
	later := time.AfterFunc(workTime, stopWork)
	defer later.Stop()
	defer context.AfterFunc(abort, s.closeAll)()
	s.done.Wait()
	if ctx.Err() != nil || abort.Err() != nil {
		return nil
	}
	return err
}

// acceptAll takes connections until ln is closed. Other errors (no descriptors left, say) are waited out.
func (s *Server) acceptAll(ctx, work context.Context, ln net.Listener) error {
	pause := time.Duration(0)
	var told time.Time
	for {
		conn, err := ln.Accept()
		switch {
		case err == nil:
			pause = 0
			s.start(work, conn)
			continue
		case ctx.Err() != nil, errors.Is(err, net.ErrClosed):
			return fmt.Errorf("accept on %s: %w", ln.Addr(), err)
		}
		if now := time.Now(); now.Sub(told) >= tellAgain {
			told = now
			s.log.Error("smtp listener cannot accept, trying again", "listen", ln.Addr().String(), "error", err)
		}
		pause = min(max(2*pause, minBackoff), maxBackoff)
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// start runs a session for conn if there is room for it.
func (s *Server) start(ctx context.Context, conn net.Conn) {
	s.metrics.arrived()
	ss := s.newSession(ctx, conn)
	if why := s.admit(ss); why != "" {
		s.metrics.deny()
		_ = conn.SetWriteDeadline(time.Now().Add(denyTime))
		_, _ = conn.Write([]byte("421 4.3.2 " + s.hostname + " " + why + "\r\n"))
		_ = conn.Close()
		return
	}
	s.metrics.opened()
	go func() {
		defer s.leave(ss)
		ss.run()
	}()
}

// admit counts the session in; the text says why not.
func (s *Server) admit(ss *session) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.cut != cutNothing:
		return "shutting down"
	case len(s.open) >= s.Options.MaxConnections:
		return "too many concurrent sessions. Try later"
	}
	s.open[ss] = struct{}{}
	s.done.Add(1)
	return ""
}

func (s *Server) leave(ss *session) {
	_ = ss.raw.Close()
	s.mu.Lock()
	delete(s.open, ss)
	s.mu.Unlock()
	s.metrics.closed()
	s.done.Done()
}

// interrupt ends the waits of all sessions up to level.
func (s *Server) interrupt(level int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cut = max(s.cut, level)
	for ss := range s.open {
		ss.interrupt(level)
	}
}

func (s *Server) closeAll() {
	s.interrupt(cutAll)
	s.mu.Lock()
	defer s.mu.Unlock()
	for ss := range s.open {
		_ = ss.raw.Close()
	}
}

// gate asks whether mail can be taken.
func (s *Server) gate() *smtp.Error {
	if s.Gate == nil {
		return nil
	}
	return s.Gate()
}

func (s *Server) newSession(ctx context.Context, conn net.Conn) *session {
	ss := &session{
		wire: newWire(conn, s.Options.ClientTimeout, s.pool),
		srv:  s, opts: &s.Options, ctx: ctx, id: message.NewSessionID(),
		peer: addrPort(conn.RemoteAddr()), local: addrPort(conn.LocalAddr()),
	}
	ss.relayHost = s.Options.RelayHosts.Contains(ss.peer.Addr())
	ss.describe()
	return ss
}

// addrPort is the address of a TCP connection, zero for others.
func addrPort(a net.Addr) netip.AddrPort {
	t, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := t.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}
