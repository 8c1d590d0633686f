package kumotest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
	"net"
	"sync"
	"testing"
	"time"

	gosmtp "github.com/emersion/go-smtp"
)

// Mail is one message that a Sink took.
type Mail struct {
	From string
	To   []string
	Data []byte
}

// Sink is an SMTP server of emersion/go-smtp that keeps what it is sent, so that our client is judged by code that
// is not ours. Its hooks may be set before mail flows; a nil hook accepts.
type Sink struct {
	Addr string // host:port on loopback

	// Rcpt and Data may refuse with a *gosmtp.SMTPError.
	Rcpt func(to string) error
	Data func(m Mail) error

	mu   sync.Mutex
	mail []Mail
	more chan struct{}
}

// OnData sets Data although mail may flow already: that of a stranger, who had this port before.
func (s *Sink) OnData(f func(m Mail) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Data = f
}

func (s *Sink) onData() func(m Mail) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.Data
}

// NewSink starts a sink that lives as long as the test. With secure it offers STARTTLS with a self-signed certificate.
func NewSink(t testing.TB, secure bool) *Sink {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s, stop := ServeSink(l, secure)
	t.Cleanup(stop)
	return s
}

// ServeSink starts a sink on l and returns how to stop it.
func ServeSink(l net.Listener, secure bool) (*Sink, func()) {
	s := &Sink{Addr: l.Addr().String(), more: make(chan struct{})}
	srv := gosmtp.NewServer(gosmtp.BackendFunc(func(*gosmtp.Conn) (gosmtp.Session, error) {
		return &sinkSession{sink: s}, nil
	}))
	srv.Domain = "sink.test"
	srv.EnableSMTPUTF8 = true
	srv.ReadTimeout = time.Minute
	srv.WriteTimeout = time.Minute
	srv.MaxMessageBytes = 64 << 20
	if secure {
		srv.TLSConfig = &tls.Config{Certificates: []tls.Certificate{SelfSigned("sink.test", "127.0.0.1")}}
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = srv.Serve(l)
	}()
	return s, func() {
		_ = srv.Close()
		<-done
	}
}

// Mail is a copy of what has arrived so far.
func (s *Sink) Mail() []Mail {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Mail(nil), s.mail...)
}

// Wait returns once n messages have arrived, and fails the test after 30 s.
func (s *Sink) Wait(t testing.TB, n int) []Mail {
	t.Helper()
	deadline := time.After(30 * time.Second)
	for {
		s.mu.Lock()
		got, more := append([]Mail(nil), s.mail...), s.more
		s.mu.Unlock()
		if len(got) >= n {
			return got
		}
		select {
		case <-more:
		case <-deadline:
			t.Fatalf("the sink has %d messages after 30 s, want %d", len(got), n)
		}
	}
}

func (s *Sink) add(m Mail) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mail = append(s.mail, m)
	close(s.more)
	s.more = make(chan struct{})
}

type sinkSession struct {
	sink *Sink
	m    Mail
}

func (s *sinkSession) Reset()        { s.m = Mail{} }
func (s *sinkSession) Logout() error { return nil }

func (s *sinkSession) Mail(from string, _ *gosmtp.MailOptions) error {
	s.m = Mail{From: from}
	return nil
}

func (s *sinkSession) Rcpt(to string, _ *gosmtp.RcptOptions) error {
	if s.sink.Rcpt != nil {
		if err := s.sink.Rcpt(to); err != nil {
			return err
		}
	}
	s.m.To = append(s.m.To, to)
	return nil
}

func (s *sinkSession) Data(r io.Reader) error {
	b, err := io.ReadAll(r)
	if err != nil {
		return errors.New("the message was cut off")
	}
	s.m.Data = b
	if data := s.sink.onData(); data != nil {
		if err := data(s.m); err != nil {
			return err
		}
	}
	s.sink.add(s.m)
	return nil
}

// SelfSigned makes a certificate for names and addresses that nobody trusts.
func SelfSigned(names ...string) tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: names[0]},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(24 * time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, n := range names {
		if ip := net.ParseIP(n); ip != nil {
			tmpl.IPAddresses = append(tmpl.IPAddresses, ip)
		} else {
			tmpl.DNSNames = append(tmpl.DNSNames, n)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}
