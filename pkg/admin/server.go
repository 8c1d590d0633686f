package admin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

// The bounds of the listener.
const (
	readHeaderTimeout = 10 * time.Second
	readTimeout       = 60 * time.Second
	writeTimeout      = 60 * time.Second
	idleTimeout       = 60 * time.Second
	maxHeaderBytes    = 64 << 10
	maxConnections    = 512
	drainTimeout      = 5 * time.Second
)

// Config is what a Server is made of.
type Config struct {
	Options ListenerOptions
	Live    func() error // nil error: the node takes mail; else the reason why it does not
	Metrics http.Handler // GET /metrics
	Log     *slog.Logger // diagnostics; nil means none
}

// Server answers on one HTTP listener.
type Server struct {
	opts    ListenerOptions
	live    func() error
	metrics http.Handler
	log     *slog.Logger
	names   []string
	cross   *http.CrossOriginProtection
}

// resource is one row of what there is.
type resource struct {
	path   string
	anyone bool // also for peers that are not trusted
	serve  func(*Server, http.ResponseWriter, *http.Request)
}

func resources() []resource {
	return []resource{
		{"/api/check-liveness/v1", true, (*Server).liveness},
		{"/metrics", false, func(s *Server, w http.ResponseWriter, r *http.Request) { s.metrics.ServeHTTP(w, r) }},
	}
}

// New makes a server; nothing is opened.
func New(cfg Config) *Server {
	s := &Server{
		opts: cfg.Options, live: cfg.Live, metrics: cfg.Metrics, log: cfg.Log, names: []string{"localhost"},
		cross: http.NewCrossOriginProtection(),
	}
	if s.live == nil {
		s.live = func() error { return nil }
	}
	if s.metrics == nil {
		s.metrics = http.NotFoundHandler()
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.opts.Hostname != "" {
		s.names = append(s.names, s.opts.Hostname)
	}
	if host, err := os.Hostname(); err == nil {
		s.names = append(s.names, host)
	}
	return s
}

// Serve answers on ln until ctx ends; then requests in hand have five seconds to finish. It closes ln.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	srv := &http.Server{
		Handler:                      s,
		ReadHeaderTimeout:            readHeaderTimeout,
		ReadTimeout:                  readTimeout,
		WriteTimeout:                 writeTimeout,
		IdleTimeout:                  idleTimeout,
		MaxHeaderBytes:               maxHeaderBytes,
		DisableGeneralOptionsHandler: true,
		ErrorLog:                     slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(limit(ln, maxConnections)) }()
	select {
	case err := <-done:
		return fmt.Errorf("http listener on %s: %w", ln.Addr(), err)
	case <-ctx.Done():
	}
	patience, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	if err := srv.Shutdown(patience); err != nil {
		_ = srv.Close()
	}
	if err := <-done; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// ServeHTTP finds the row of a request and asks whether the peer may have it.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	if len(r.TransferEncoding) > 0 {
		// RFC 9112 6.1: where the length of a body can be read in two ways, nothing may follow it.
		h.Set("Connection", "close")
	}
	row, found := find(r.RequestURI)
	switch {
	case !(found && row.anyone) && !s.admit(w, r):
	case !found:
		refuse(w, http.StatusNotFound, "there is nothing here")
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		h.Set("Allow", "GET, HEAD")
		refuse(w, http.StatusMethodNotAllowed, "only GET is allowed here")
	case r.ContentLength > s.opts.RequestBodyLimit.Bytes():
		h.Set("Connection", "close")
		refuse(w, http.StatusRequestEntityTooLarge, "the body is over request_body_limit")
	default:
		r.Body = http.MaxBytesReader(w, r.Body, s.opts.RequestBodyLimit.Bytes())
		row.serve(s, w, r)
	}
}

// find compares the target as it was sent, up to the query.
func find(target string) (resource, bool) {
	path, _, _ := strings.Cut(target, "?")
	for _, row := range resources() {
		if row.path == path {
			return row, true
		}
	}
	return resource{}, false
}

// liveness answers GET /api/check-liveness/v1: 200, or 503 with the reason why no mail is taken.
func (s *Server) liveness(w http.ResponseWriter, _ *http.Request) {
	if err := s.live(); err != nil {
		w.Header().Set("Retry-After", "10")
		refuse(w, http.StatusServiceUnavailable, err.Error())
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte("OK\n"))
}
