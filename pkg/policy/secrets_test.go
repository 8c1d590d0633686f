package policy

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"kumo/pkg/message"
)

func TestSecrets(t *testing.T) {
	var down atomic.Bool
	vault := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if down.Load() || r.Header.Get("X-Vault-Token") != "hvs.good" || r.URL.Path != "/v1/secret/data/smtp" {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte(`{"data":{"data":{"key":"from vault"}}}`))
	}))
	defer vault.Close()
	t.Setenv("VAULT_ADDR", vault.URL)
	t.Setenv("VAULT_TOKEN", "hvs.good")
	dir := t.TempDir()
	file := filepath.Join(dir, "key")
	if err := os.WriteFile(file, []byte("from a file"), 0o600); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	p := load(t, `kumo.on('my.key', function(args) return 'from ' .. args.place end)
kumo.on('smtp_server_message_received', function(msg)
  local source = kumo.serde.json_parse(msg:get_meta 'source')
  msg:set_meta('got', kumo.secrets.load(source))
end)`, func(o *Options) { o.Log = slog.New(slog.NewTextHandler(&said, nil)) })
	get := func(source string) (string, error) {
		m := newMessage("")
		m.Meta.Set("source", source)
		err := p.MessageReceived(t.Context(), "ESMTP", m, message.NewMeta(nil))
		return m.Meta.String("got"), err
	}
	for source, want := range map[string]string{
		`"` + file + `"`:                                        "from a file",
		`{"key_data":"as it stands"}`:                           "as it stands",
		`{"vault_mount":"secret","vault_path":"smtp"}`:          "from vault",
		`{"event_name":"my.key","event_args":{"place":"home"}}`: "from home",
	} {
		if got, err := get(source); err != nil || got != want {
			t.Errorf("%s: %q %v", source, got, err)
		}
	}
	down.Store(true)
	if got, err := get(`{"vault_mount":"secret","vault_path":"smtp"}`); err != nil || got != "from vault" || !strings.Contains(said.String(), "what was read before is used") {
		t.Errorf("%q %v %s", got, err, said.String())
	}
	for source, want := range map[string]string{
		`"` + dir + `"`:      "is not a regular file",
		`"/nonexistent/key"`: "open /nonexistent/key: no such file",
		`{"vault_mount":"secret","vault_path":"other"}`: "vault " + vault.URL + ": key in secret/other: status 503",
		`{"vault_mount":"secret"}`:                      "missing field `vault_path`",
		`{"event_name":"nobody"}`:                       "no handler is registered",
		`{"key_data":"hush","extra":1}`:                 "unknown field `extra`",
		`7`:                                             "expected a key source",
	} {
		_, err := get(source)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hush") || strings.Contains(err.Error(), "hvs.") {
			t.Errorf("%s: %v, want %s", source, err, want)
		}
	}
}
