// Package web is the HTTP client of policies: bounded in time and size, and kept away from link-local addresses, where
// clouds offer their machines' secrets.
package web

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"time"

	"kumo/pkg/option"
)

// Options are those of kumo.http.build_client.
type Options struct {
	// User-Agent header of every request.
	UserAgent string `opt:"user_agent"`
	// Accepted for the sake of existing policies; errors say what went wrong.
	ConnectionVerbose bool `opt:"connection_verbose,default=false,since=2024.06.10-84e84b89"`
	// How long an idle connection is kept.
	PoolIdleTimeout option.Duration `opt:"pool_idle_timeout,default=90s,since=2024.06.10-84e84b89"`
	// How long a request may take with everything in it, unless the request says otherwise.
	Timeout option.Duration `opt:"timeout,default=60s,since=2024.06.10-84e84b89"`
	// Do not verify certificates: for tests only.
	AcceptInvalidCerts bool `opt:"accept_invalid_certs,default=false,since=2026.05.12-a6845223"`
}

// MaxBody is the largest answer that is read, in bytes.
const MaxBody = 64 << 20

// Client sends requests and keeps connections.
type Client struct {
	Options

	http http.Client
}

// New makes a client.
func New(o Options) *Client {
	return &Client{Options: o, http: http.Client{Transport: Transport(o.PoolIdleTimeout.Std(), o.AcceptInvalidCerts)}}
}

// Transport is how policies connect.
func Transport(idle time.Duration, insecure bool) *http.Transport {
	d := &net.Dialer{Timeout: 30 * time.Second, Control: refuseLinkLocal}
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           d.DialContext,
		ForceAttemptHTTP2:     true,
		MaxIdleConns:          100,
		MaxIdleConnsPerHost:   32,
		IdleConnTimeout:       idle,
		TLSHandshakeTimeout:   10 * time.Second,
		ExpectContinueTimeout: time.Second,
		TLSClientConfig:       &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: insecure}, //nolint:gosec // only where the policy asks for it by name
	}
}

// errLinkLocal is an address that no policy may connect to, wherever a redirect or DNS points.
var errLinkLocal = errors.New("link-local addresses are refused: machines' metadata are there")

// refuseLinkLocal looks at the address after name resolution, so that no name can hide one.
func refuseLinkLocal(_, address string, _ syscall.RawConn) error {
	ap, err := netip.ParseAddrPort(address)
	if err == nil && ap.Addr().Unmap().WithZone("").IsLinkLocalUnicast() {
		return errLinkLocal
	}
	return nil
}

// Close gives idle connections up.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Response is a whole answer.
type Response struct {
	Status int
	Length int64 // of Content-Length; -1 when there is none
	Header http.Header
	Body   []byte
}

// Do sends a request and reads the whole answer.
func (c *Client) Do(ctx context.Context, req *http.Request, timeout time.Duration) (*Response, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if c.UserAgent != "" && req.Header.Get("User-Agent") == "" {
		req.Header.Set("User-Agent", c.UserAgent)
	}
	resp, err := c.http.Do(req.WithContext(ctx))
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	out := &Response{Status: resp.StatusCode, Length: resp.ContentLength, Header: resp.Header}
	out.Body, err = io.ReadAll(io.LimitReader(resp.Body, MaxBody+1))
	if err == nil && len(out.Body) > MaxBody {
		err = fmt.Errorf("an answer of more than %d bytes", MaxBody)
	}
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", req.Method, req.URL.Redacted(), err)
	}
	return out, nil
}
