package listener

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"kumo/pkg/option"
	"kumo/pkg/smtp"
)

// certificateTTL is how long certificate files are believed before they are read again.
const certificateTTL = 5 * time.Minute

// certificates holds the certificate of a listener and reads it again when it is old.
type certificates struct {
	chain, key option.Secret
	log        *slog.Logger

	mu    sync.Mutex
	read  time.Time
	value *tls.Certificate
}

// newCertificates loads the certificate of o, or makes one for host.
func newCertificates(o *Options, host string, log *slog.Logger) (*certificates, error) {
	c := &certificates{chain: o.TLSCertificate, key: o.TLSPrivateKey, log: log, read: time.Now()}
	var err error
	if c.chain.IsZero() {
		c.value, err = selfSigned(host)
	} else {
		c.value, err = c.load()
	}
	return c, err
}

func (c *certificates) load() (*tls.Certificate, error) {
	chain, err := material(c.chain)
	if err != nil {
		return nil, fmt.Errorf("tls_certificate: %w", err)
	}
	key, err := material(c.key)
	if err != nil {
		return nil, fmt.Errorf("tls_private_key: %w", err)
	}
	pair, err := tls.X509KeyPair(chain, key)
	if err != nil {
		return nil, fmt.Errorf("tls_certificate %s with tls_private_key %s: %w", c.chain, c.key, err)
	}
	return &pair, nil
}

func material(s option.Secret) ([]byte, error) {
	switch s.Kind {
	case option.SecretFile:
		return os.ReadFile(s.Path)
	case option.SecretData:
		return []byte(s.KeyData), nil
	}
	return nil, errors.New(s.String() + ": want a path or {key_data=...}")
}

// get is the certificate of this moment. When a changed file cannot be used the old certificate stays in use: a
// renewal that went wrong must not turn encryption off.
func (c *certificates) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.chain.Kind != option.SecretFile && c.key.Kind != option.SecretFile || time.Since(c.read) < certificateTTL {
		return c.value, nil
	}
	c.read = time.Now()
	fresh, err := c.load()
	if err != nil {
		c.log.Error("certificate of an SMTP listener was not renewed, the old one stays in use", "error", err)
		return c.value, nil
	}
	c.value = fresh
	return c.value, nil
}

// config is for the server side of STARTTLS.
func (c *certificates) config() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: c.get}
}

// selfSigned makes a certificate that encrypts and proves nothing.
func selfSigned(host string) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make self-signed certificate: %w", err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("make self-signed certificate: %w", err)
	}
	now := time.Now()
	t := x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: host[:min(len(host), 64)]},
		NotBefore:    now.Add(-time.Hour),
		NotAfter:     now.AddDate(10, 0, 0),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if ip := net.ParseIP(strings.TrimPrefix(strings.Trim(host, "[]"), "IPv6:")); ip != nil {
		t.IPAddresses = []net.IP{ip}
	} else {
		t.DNSNames = []string{host}
	}
	der, err := x509.CreateCertificate(rand.Reader, &t, &t, &key.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("make self-signed certificate: %w", err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

// startTLS is STARTTLS (RFC 3207). After it nothing of what was said in clear counts: neither the peer's name and
// its transaction, nor a single byte that came with the command. A handshake that fails ends the session.
func (s *session) startTLS() {
	switch {
	case s.tls != nil:
		s.orderError("TLS is active already")
		return
	case s.tx.open:
		s.orderError("not within a transaction")
		return
	case s.buffered():
		// Somebody may have put these bytes in front of the handshake (CVE-2011-0411).
		s.syntax(554, "5.5.1", "input after STARTTLS")
		s.farewell, s.impolite = true, true
		return
	}
	s.say("220 2.0.0 go ahead")
	if s.flush() != nil {
		s.farewell = true
		return
	}
	conn := tls.Server(s.conn, s.srv.tls)
	if err := s.shake(conn); err != nil {
		s.failed = fmt.Errorf("TLS handshake: %w", err)
		s.farewell = true
		return
	}
	s.secure(conn)
}

// shake waits for the handshake as for a command.
func (s *session) shake(conn *tls.Conn) error {
	_ = s.conn.SetDeadline(time.Now().Add(s.timeout))
	s.waiting.Store(cutIdle)
	defer s.waiting.Store(0)
	if s.cut.Load() >= cutIdle {
		return errCut
	}
	return conn.HandshakeContext(s.ctx)
}

// secure goes on under TLS as if the session began now.
func (s *session) secure(conn *tls.Conn) {
	s.conn = conn
	s.tls = smtp.NewTLSInfo(conn.ConnectionState())
	s.reset()
	s.ehlo = ""
	s.describe()
}
