package delivery

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kumo/pkg/egress"
	"kumo/pkg/option"
)

// authority signs certificates for tests.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newAuthority(t *testing.T) *authority {
	a := &authority{pool: x509.NewCertPool()}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Test CA"},
		NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<33, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	a.key, a.cert = sign(t, tmpl, tmpl, nil)
	a.pool.AddCert(a.cert)
	return a
}

func sign(t *testing.T, tmpl, parent *x509.Certificate, by *ecdsa.PrivateKey) (*ecdsa.PrivateKey, *x509.Certificate) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if by == nil {
		by = key
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, &key.PublicKey, by)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return key, cert
}

// issue makes a server certificate for a name or address, valid until then.
func (a *authority) issue(t *testing.T, name string, until time.Time) tls.Certificate {
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(2),
		Subject:      pkix.Name{CommonName: name, Organization: []string{"Org\x1bX"}, Country: []string{"DE"}},
		NotBefore:    time.Unix(0, 0), NotAfter: until,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if ip := net.ParseIP(name); ip != nil {
		tmpl.IPAddresses = []net.IP{ip}
	} else {
		tmpl.DNSNames = []string{name}
	}
	key, cert := sign(t, tmpl, a.cert, a.key)
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key}
}

// startTLS serves STARTTLS with cert and one message over it; a client without TLS gets its message taken as well.
func startTLS(cert tls.Certificate) func(*peer) {
	return func(p *peer) {
		p.hello("PIPELINING", "STARTTLS")
		if line := p.hear(); line != "STARTTLS" {
			p.hear()
			p.hear()
			p.say("250 ok", "250 ok", "354 go")
			p.text()
			p.say("250 2.0.0 in the clear")
			p.wait()
			return
		}
		p.say("220 go")
		secure := newPeer(tls.Server(p.Conn, &tls.Config{Certificates: []tls.Certificate{cert}}))
		secure.hear()
		secure.say("250-fake.test", "250 PIPELINING")
		secure.take(false)
		secure.wait()
	}
}

func TestTLSModes(t *testing.T) {
	ca := newAuthority(t)
	stranger := newAuthority(t)
	forever := time.Unix(1<<33, 0)
	certs := map[string]tls.Certificate{
		"good":       ca.issue(t, "mx1.test", forever),
		"wrong name": ca.issue(t, "elsewhere.test", forever),
		"expired":    ca.issue(t, "mx1.test", time.Unix(1, 0)),
		"unknown CA": stranger.issue(t, "mx1.test", forever),
		"address":    ca.issue(t, "10.0.0.1", forever),
	}
	for _, c := range []struct {
		cert string
		name string // of the target; "" for mx1.test.
		mode egress.TLSMode
		want string // "tls", "clear", or part of the failure
	}{
		{"good", "", egress.TLSOpportunistic, "tls"},
		{"good", "", egress.TLSRequired, "tls"},
		{"good", "", egress.TLSDisabled, "clear"},
		{"wrong name", "", egress.TLSOpportunistic, "certificate is valid for elsewhere.test, not mx1.test"},
		{"wrong name", "", egress.TLSRequired, "certificate is valid for elsewhere.test, not mx1.test"},
		{"wrong name", "", egress.TLSOpportunisticInsecure, "tls"},
		{"wrong name", "", egress.TLSRequiredInsecure, "tls"},
		{"expired", "", egress.TLSRequired, "expired"},
		{"expired", "", egress.TLSRequiredInsecure, "tls"},
		{"unknown CA", "", egress.TLSOpportunistic, "unknown authority"},
		{"unknown CA", "", egress.TLSOpportunisticInsecure, "tls"},
		{"address", "10.0.0.1", egress.TLSRequired, "tls"},
		{"good", "10.0.0.1", egress.TLSRequired, "10.0.0.1"},
	} {
		t.Run(c.cert+" "+string(c.mode)+" "+c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := &fakeDialer{scripts: []func(*peer){startTLS(certs[c.cert])}}
				if c.name != "" {
					d.names = []string{c.name}
				}
				plan := testPlan(func(p *egress.Path) { p.EnableTLS = c.mode })
				s, err := New(Options{Dialer: d, Hostname: "client.test", Roots: ca.pool}).Carrier(plan).Open(t.Context(), plan)
				switch {
				case err != nil && !strings.Contains(err.Error(), c.want):
					t.Errorf("%v, want %s", err, c.want)
				case err == nil:
					m := testMessage("a@test")
					res := s.Deliver(t.Context(), m)
					got := "clear"
					if info := res.Attempts[0].Route.TLS; info != nil {
						got = "tls"
						if info.PeerSubject[0] != "C=DE" || info.PeerSubject[1] != "O=Org X" {
							t.Errorf("subject %q", info.PeerSubject)
						}
					}
					if got != c.want || outcomes(m, res) != `Delivered "." 250 a@test` {
						t.Errorf("%s by %s, want %s", outcomes(m, res), got, c.want)
					}
					s.Close()
				}
				d.running.Wait()
			})
		})
	}
}

// TestBrokenTLS: what the path allows after a failed handshake.
func TestBrokenTLS(t *testing.T) {
	broken := func(p *peer) {
		p.hello("PIPELINING", "STARTTLS")
		if p.hear() == "STARTTLS" {
			p.say("220 go")
			p.wait()
			return
		}
		p.hear()
		p.hear()
		p.say("250 ok", "250 ok", "354 go")
		p.text()
		p.say("250 2.0.0 in the clear")
		p.wait()
	}
	remember := func(p *egress.Path) { p.RememberBrokenTLS = option.Duration(time.Hour) }
	mode := func(m egress.TLSMode) func(*egress.Path) { return func(p *egress.Path) { p.EnableTLS = m } }
	for _, c := range []struct {
		name string
		path []func(*egress.Path)
		want string // of three tries, the last after two hours
	}{
		{"nothing", nil, "fail fail fail"},
		{"reconnect", []func(*egress.Path){reconnectClear}, "clear clear clear"},
		{"remember", []func(*egress.Path){remember}, "fail clear fail"},
		{"both", []func(*egress.Path){remember, reconnectClear}, "clear clear clear"},
		{"required", []func(*egress.Path){remember, reconnectClear, mode(egress.TLSRequired)}, "fail fail fail"},
		{"required insecure", []func(*egress.Path){remember, reconnectClear, mode(egress.TLSRequiredInsecure)}, "fail fail fail"},
		{"disabled", []func(*egress.Path){mode(egress.TLSDisabled)}, "clear clear clear"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := &fakeDialer{scripts: []func(*peer){broken}}
				plan := testPlan(c.path...)
				carrier := New(Options{Dialer: d, Hostname: "client.test"}).Carrier(plan)
				var got []string
				for i := range 3 {
					if i == 2 {
						time.Sleep(2 * time.Hour)
					}
					s, err := carrier.Open(t.Context(), plan)
					var f *egress.Failure
					switch {
					case errors.As(err, &f):
						got = append(got, "fail")
					case err != nil:
						t.Fatal(err)
					default:
						deliverAll(t, s, testMessage("a@test"))
						s.Close()
						got = append(got, "clear")
					}
				}
				if strings.Join(got, " ") != c.want {
					t.Errorf("got %v, want %s", got, c.want)
				}
				d.running.Wait()
			})
		})
	}
}

// TestRefusedSTARTTLS: a host that says no to STARTTLS is still good for the Opportunistic modes.
func TestRefusedSTARTTLS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &fakeDialer{scripts: []func(*peer){func(p *peer) {
			p.hello("PIPELINING", "STARTTLS")
			p.hear()
			p.say("454 4.7.0 TLS not available")
			p.take(false)
			p.wait()
		}}}
		s := mustOpen(t, d, testPlan())
		deliverAll(t, s, testMessage("a@test"))
		s.Close()
		d.running.Wait()
	})
}

func TestBrokenTLSIsBounded(t *testing.T) {
	now := time.Unix(0, 0)
	b := newBrokenTLS(func() time.Time { return now })
	for i := range 3 * maxBroken {
		b.add(strings.Repeat("x", i%100)+string(rune('a'+i%26))+big.NewInt(int64(i)).String(), time.Hour)
		if i == maxBroken {
			now = now.Add(2 * time.Hour)
		}
	}
	if len(b.until) > maxBroken {
		t.Errorf("%d sites are remembered", len(b.until))
	}
}

// TestHugeChain is fault F82: a certificate chain of megabytes is cut off by the handshake's own bounds.
func TestHugeChain(t *testing.T) {
	synctest.Test(t, testHugeChain)
}

func testHugeChain(t *testing.T) {
	ca := newAuthority(t)
	cert := ca.issue(t, "mx1.test", time.Unix(1<<33, 0))
	for len(cert.Certificate) < 20_000 {
		cert.Certificate = append(cert.Certificate, ca.cert.Raw)
	}
	d := &fakeDialer{scripts: []func(*peer){startTLS(cert)}}
	s, err := open(t, d, testPlan(func(p *egress.Path) { p.EnableTLS = egress.TLSRequiredInsecure }))
	if err == nil {
		s.Close()
		t.Error("a chain of megabytes was taken")
	}
	d.running.Wait()
}
