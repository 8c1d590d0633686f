package admin

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// trusted reports whether the TCP peer is one of trusted_hosts.
func (s *Server) trusted(r *http.Request) bool {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	return err == nil && s.opts.TrustedHosts.Contains(peer.Addr().Unmap())
}

// ownName reports whether a Host header names this server: an address, localhost, or a host name of ours. A page that
// points its own name at us (DNS rebinding) sends that name.
func (s *Server) ownName(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.Trim(host, "[]")
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	for _, name := range s.names {
		if strings.EqualFold(host, name) {
			return true
		}
	}
	return false
}

// foreign reports whether a browser says that another site asks. Programs that are no browsers send neither header.
func foreign(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "same-origin", "none":
	default:
		return true
	}
	origins := r.Header.Values("Origin")
	if len(origins) == 0 {
		return false
	}
	u, err := url.Parse(origins[0])
	return len(origins) > 1 || err != nil || u.Host == "" || !strings.EqualFold(u.Host, r.Host)
}

// admit answers a request that must not go on and returns false.
func (s *Server) admit(w http.ResponseWriter, r *http.Request) bool {
	switch {
	case !s.trusted(r):
		refuse(w, http.StatusForbidden, "your address is not one of trusted_hosts")
	case !s.ownName(r.Host):
		refuse(w, http.StatusMisdirectedRequest, "the Host header does not name this server: use its address, localhost, or the hostname option")
	case foreign(r) || s.cross.Check(r) != nil:
		refuse(w, http.StatusForbidden, "requests from web pages of other sites are refused")
	default:
		return true
	}
	return false
}

// refuse answers with a status and one line of text.
func refuse(w http.ResponseWriter, status int, why string) { http.Error(w, why, status) }
