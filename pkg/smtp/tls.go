package smtp

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"strings"
	"time"
)

// TLSInfo is what log records say about an encrypted connection: the cipher and protocol version in KumoMTA's
// spelling (TLS_AES_256_GCM_SHA384, TLSv1.3) and the subject name of the peer's certificate as RDN strings.
type TLSInfo struct {
	Cipher          string
	ProtocolVersion string
	PeerSubject     []string
}

// NewTLSInfo describes a finished handshake.
func NewTLSInfo(s tls.ConnectionState) *TLSInfo {
	info := &TLSInfo{Cipher: tls.CipherSuiteName(s.CipherSuite), ProtocolVersion: versionName(s.Version)}
	if len(s.PeerCertificates) > 0 {
		info.PeerSubject = rdnStrings(s.PeerCertificates[0].Subject)
	}
	return info
}

func versionName(v uint16) string {
	if v == tls.VersionTLS10 {
		return "TLSv1"
	}
	return strings.Replace(tls.VersionName(v), "TLS ", "TLSv", 1)
}

// rdnStrings writes each attribute as NAME=value, in the order of the certificate. At most 32.
func rdnStrings(n pkix.Name) []string {
	var out []string
	for _, a := range n.Names {
		if len(out) == 32 {
			break
		}
		out = append(out, attributeName(a.Type.String())+"="+clean([]byte(fmt.Sprint(a.Value))))
	}
	return out
}

// attributeName is the short name of RFC 4514 and OpenSSL, else the number.
func attributeName(oid string) string {
	switch oid {
	case "2.5.4.3":
		return "CN"
	case "2.5.4.4":
		return "SN"
	case "2.5.4.5":
		return "serialNumber"
	case "2.5.4.6":
		return "C"
	case "2.5.4.7":
		return "L"
	case "2.5.4.8":
		return "ST"
	case "2.5.4.9":
		return "street"
	case "2.5.4.10":
		return "O"
	case "2.5.4.11":
		return "OU"
	case "2.5.4.17":
		return "postalCode"
	case "2.5.4.41":
		return "name"
	case "0.9.2342.19200300.100.1.25":
		return "DC"
	case "1.2.840.113549.1.9.1":
		return "emailAddress"
	}
	return oid
}

// ClientTLS is the TLS configuration for a mail host. host is its name (a trailing dot is dropped) or the text of its
// address. With verify its certificate must be good for that name by roots; nil means the CA bundle of the system,
// and without one nothing verifies. Without verify any certificate will do. cache may be nil.
func ClientTLS(host string, verify bool, roots *x509.CertPool, cache tls.ClientSessionCache) *tls.Config {
	return &tls.Config{
		ServerName:         strings.TrimSuffix(host, "."),
		InsecureSkipVerify: !verify, //nolint:gosec // the operator chose an Insecure mode
		RootCAs:            roots,
		ClientSessionCache: cache,
		MinVersion:         tls.VersionTLS12,
		// A record for 16 KiB instead of many small ones: bodies are what we send.
		DynamicRecordSizingDisabled: true,
	}
}

// StartTLS asks for STARTTLS and does the handshake; the answer and the handshake each have timeout. A reply other
// than 220 leaves the connection in clear text and usable. Anything that the peer sent behind its 220 came in clear
// text and could have been planted: the connection is dropped (RFC 3207 4.2, CVE-2021-38371). After the handshake Caps
// is empty, for EHLO has to be said again.
func (c *Conn) StartTLS(config *tls.Config, timeout time.Duration) (Reply, error) {
	c.queue("STARTTLS\r\n")
	if err := c.Flush("STARTTLS", timeout); err != nil {
		return Reply{}, err
	}
	r, err := c.Read("STARTTLS", timeout)
	if err != nil || r.Code != 220 {
		return r, err
	}
	if c.r != c.w {
		return r, c.fail(&ConnError{Stage: "STARTTLS", Kind: KindEarly, Err: errEarly})
	}
	return r, c.handshake(config, timeout)
}

func (c *Conn) handshake(config *tls.Config, timeout time.Duration) error {
	nc := tls.Client(c.sock, config)
	began := time.Now()
	err := c.sock.SetDeadline(began.Add(timeout))
	if err == nil {
		err = nc.Handshake()
		c.waits.add("TLS", began)
	}
	if err != nil {
		e := ioError("STARTTLS", err)
		if e.Kind == KindClosed {
			e.Kind = KindTLS
		}
		return c.fail(e)
	}
	c.nc = nc
	c.TLS = NewTLSInfo(nc.ConnectionState())
	c.Caps = Caps{}
	return nil
}
