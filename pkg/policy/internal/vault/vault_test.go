package vault

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// server is a Vault as far as a reader sees it.
func server(t *testing.T) *httptest.Server {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("/v1/secret/data/dkim/example.org", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Vault-Token") != "hvs.good" {
			w.WriteHeader(http.StatusForbidden)
			_, _ = w.Write([]byte(`{"errors":["permission denied"]}`))
			return
		}
		_, _ = w.Write([]byte(`{"data":{"data":{"key":"PEM","n":7},"metadata":{"version":3}}}`))
	})
	mux.HandleFunc("/v1/secret/data/old", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"data":{"key":"PEM"}}`)) })
	mux.HandleFunc("/v1/secret/data/away", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://192.0.2.1/v1/secret/data/away", http.StatusTemporaryRedirect)
	})
	mux.HandleFunc("/v1/secret/data/moved", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/v1/secret/data/dkim/example.org", http.StatusTemporaryRedirect)
	})
	mux.HandleFunc("/v1/secret/data/sealed", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	mux.HandleFunc("/v1/secret/data/huge", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(strings.Repeat(" ", maxAnswer+2)))
	})
	mux.HandleFunc("/v1/secret/data/slow", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

func TestSecret(t *testing.T) {
	s := server(t)
	var c Client
	for _, place := range []string{"dkim/example.org", "moved"} {
		got, err := c.Secret(t.Context(), s.URL, "hvs.good", "secret", place, "key")
		if err != nil || string(got) != "PEM" {
			t.Errorf("%s: %q %v", place, got, err)
		}
	}
	slow, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	for _, c := range []struct {
		ctx                    context.Context
		addr, token, path, key string
		want                   string
	}{
		{t.Context(), s.URL, "hvs.bad", "dkim/example.org", "key", "status 403: permission denied"},
		{t.Context(), s.URL, "hvs.good", "none", "key", "status 404: "},
		{t.Context(), s.URL, "hvs.good", "dkim/example.org", "other", `the secret has no entry "other"`},
		{t.Context(), s.URL, "hvs.good", "dkim/example.org", "n", `the entry "n" is no string`},
		{t.Context(), s.URL, "hvs.good", "old", "key", "not that of a key-value store of version 2"},
		{t.Context(), s.URL, "hvs.good", "away", "key", "redirects to another host"},
		{t.Context(), s.URL, "hvs.good", "sealed", "key", "status 503: it is sealed"},
		{t.Context(), s.URL, "hvs.good", "huge", "key", "an answer of more than"},
		{slow, s.URL, "hvs.good", "slow", "key", "deadline exceeded"},
		{t.Context(), s.URL, "", "old", "key", "no token: set vault_token"},
		{t.Context(), "vault", "hvs.good", "old", "key", "set vault_address or VAULT_ADDR"},
		{t.Context(), "http://127.0.0.1:1", "hvs.good", "old", "key", "connection refused"},
	} {
		_, err := (&Client{}).Secret(c.ctx, c.addr, c.token, "secret", c.path, c.key)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hvs.") {
			t.Errorf("%s %s: %v, want %s", c.path, c.key, err, c.want)
		}
		if strings.HasPrefix(c.addr, "http") && !strings.Contains(err.Error(), c.addr) {
			t.Errorf("%v does not name the server", err)
		}
	}
}
