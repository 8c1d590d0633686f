package listener

import (
	"crypto/tls"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kumo/pkg/option"
)

// TestCertificates: files, key_data, and a renewal that went wrong.
func TestCertificates(t *testing.T) {
	dir := t.TempDir()
	if _, err := New(Parts{Options: options(t, map[string]any{
		"tls_certificate": filepath.Join(dir, "none"), "tls_private_key": filepath.Join(dir, "none"),
	})}); err == nil || !strings.Contains(err.Error(), "tls_certificate") {
		t.Errorf("a missing file: %v", err)
	}
	chain, key := pemPair(t)
	cert, priv := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for name, b := range map[string]string{cert: chain, priv: key} {
		if err := os.WriteFile(name, []byte(b), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	o := options(t, map[string]any{"tls_certificate": cert, "tls_private_key": map[string]any{"key_data": key}})
	s := newServer(t, newWorld(), o)
	c := dial(t, serve(t, s).addr, friend)
	c.hello()
	c.startTLS()
	if got := c.conn.(*tls.Conn).ConnectionState().PeerCertificates[0].Subject.CommonName; got != "file.test" {
		t.Errorf("certificate of %q", got)
	}
	certs := &certificates{chain: o.TLSCertificate, key: o.TLSPrivateKey, log: s.log}
	first, err := certs.get(nil)
	if err != nil || first == nil {
		t.Fatal(first, err)
	}
	certs.read = time.Now().Add(-certificateTTL)
	if err := os.WriteFile(cert, []byte("broken"), 0o600); err != nil {
		t.Fatal(err)
	}
	if again, err := certs.get(nil); again != first || err != nil {
		t.Errorf("a broken renewal: %v, %v", again, err)
	}
}

func TestOptions(t *testing.T) {
	for _, c := range []struct {
		name string
		v    any
		want string
	}{
		{"client_timeout", int64(0), "client_timeout"},
		{"listen", "127.0.0.1:99999", "listen"},
		{"listen", "127.0.0.1", "listen"},
		{"listen", "::1:25", "listen"},
		{"banner", "x\r\n250 y", "banner"},
		{"hostname", "a b", "hostname"},
		{"trace_headers", map[string]any{"header_name": "X Y"}, "header_name"},
		{"tls_certificate", "/x", "tls_private_key"},
		{"invalid_line_endings", "allow", "invalid_line_endings"},
		{"relay_hosts", []any{"10.0.0.1/8"}, "relay_hosts"},
		{"batch_handling", "x", "batch_handling"},
		{"max_message_size", int64(0), "max_message_size"},
		{"deferred_queue", true, "deferred_queue"},
	} {
		_, err := optionsSchema.Resolve("start_esmtp_listener", option.NewLayer(map[string]any{c.name: c.v}, option.Origin{}))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s = %v: %v", c.name, c.v, err)
		}
	}
	domain := option.SchemaOf[Domain]()
	for _, c := range []struct {
		v  any
		ok bool
	}{{false, true}, {"Ignore", true}, {true, false}, {"LogThenRelay", false}, {"LogThenDrop", false}, {"x", false}, {int64(1), false}} {
		_, err := domain.Resolve("make_listener_domain", option.NewLayer(map[string]any{"log_oob": c.v}, option.Origin{}))
		if (err == nil) != c.ok {
			t.Errorf("log_oob = %v: %v", c.v, err)
		}
	}
}
