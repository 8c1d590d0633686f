package policy

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"kumo/pkg/message"
)

// echo answers what it was asked, and speaks WebSocket at /ws.
func echo(t *testing.T) *httptest.Server {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Seen", r.Header.Get("X-Kind")+"|"+r.Header.Get("Authorization")+"|"+r.Header.Get("Content-Type")+"|"+r.UserAgent())
		w.Header().Set("X-Amz", r.Header.Get("X-Amz-Date")+r.Header.Get("X-Amz-Content-Sha256"))
		w.WriteHeader(http.StatusCreated)
		fmt.Fprintf(w, "%s %s %s", r.Method, r.URL, b)
	})
	mux.HandleFunc("/form", func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseMultipartForm(1 << 20); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		f, h, err := r.FormFile("file")
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		b, _ := io.ReadAll(f)
		fmt.Fprintf(w, "%s %s %s", r.FormValue("a"), h.Filename, b)
	})
	mux.HandleFunc("/latin", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=iso-8859-1")
		_, _ = w.Write([]byte("gr\xfcn"))
	})
	mux.HandleFunc("/ws", func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		for _, s := range []string{"one", "two", "three"} {
			_ = c.Write(r.Context(), websocket.MessageText, []byte(s))
		}
		_ = c.Close(websocket.StatusNormalClosure, "that is all")
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

// ask runs a chunk in a message handler; URL in it is the server's.
func askServer(t *testing.T, url, chunk string) error {
	t.Helper()
	p := load(t, "kumo.on('smtp_server_message_received', function(msg) "+strings.ReplaceAll(chunk, "URL", url)+" end)")
	return p.MessageReceived(t.Context(), "ESMTP", newMessage(""), message.NewMeta(nil))
}

func TestHTTP(t *testing.T) {
	s := echo(t)
	for _, chunk := range []string{
		`local r = kumo.http.build_client({ user_agent = 'kumo/1' }):post('URL/p?q=1'):header('X-Kind', 'test'):bearer_auth('tok'):body('hello'):send()
assert(r:status_code() == 201 and r:status_reason() == 'Created' and r:status_is_success() and not r:status_is_client_error())
assert(r:text() == 'POST /p?q=1 hello', r:text())
assert(r:headers()['x-seen'] == 'test|Bearer tok||kumo/1', r:headers()['x-seen'])
assert(r:content_length() == #r:bytes())
local n = 0 for k, v in pairs(r:headers()) do n = n + 1 assert(k == k:lower()) end assert(n >= 3)
assert(r:headers()['none'] == nil)`,
		`local r = kumo.http.build_client({}):put('URL/'):basic_auth('me', 'sesame'):form_url_encoded({ a = 'b c', n = 1 }):send()
assert(r:text() == 'PUT / a=b+c&n=1' and r:headers()['X-Seen']:find('Basic bWU6c2VzYW1l|application/x-www-form-urlencoded', 1, true), r:text())`,
		`local r = kumo.http.build_client({}):post('URL/form'):form_multipart_data({ a = 'b', file = { data = 'x\0y', file_name = 'x".txt' } }):send()
assert(r:text():find('^b x.*txt x'), r:text())`,
		`assert(kumo.http.build_client({}):get('URL/latin'):send():text() == 'grün')`,
		`local r = kumo.http.build_client({}):get('URL/'):aws_sign_v4({ access_key = { key_data = 'AKID' }, secret_key = { key_data = 's' }, region = 'r', service = 'ses' }):send()
assert(r:headers()['x-seen']:find('AWS4-HMAC-SHA256 Credential=AKID/', 1, true) and #r:headers()['x-amz'] == 80)`,
		`local stream, r = kumo.http.connect_websocket(('URL/ws'):gsub('http', 'ws', 1))
assert(r:status_code() == 101)
assert(stream:recv() == 'one')
local batch = stream:recv_batch '5s'
assert(#batch == 2 and batch[2] == 'three', #batch)
local ok, err = pcall(stream.recv, stream)
assert(not ok and tostring(err):find 'that is all', err)`,
		`assert(kumo.http.build_url('http://h/?z=1', { a = 'x y', b = '&' }) == 'http://h/?a=x+y&b=%26&z=1')`,
	} {
		if err := askServer(t, s.URL, chunk); err != nil {
			t.Errorf("%s: %v", chunk, err)
		}
	}
	for chunk, want := range map[string]string{
		`kumo.http.build_client({}):get('ftp://x/')`:                             "no http:// or https:// URL",
		`kumo.http.build_client({}):get('http://a b/')`:                          "invalid character",
		`kumo.http.build_client({}):get('URL/'):header('X', 'a\r\nEvil: 1')`:     "a character that no header may have",
		`kumo.http.build_client({}):get('URL/'):headers { x = {} }`:              "x: a string expected, got a table",
		`kumo.http.build_client({}):get('URL/'):timeout 'soon'`:                  "invalid value",
		`kumo.http.build_client({ nope = 1 })`:                                   "nope",
		`kumo.http.build_client({}):get('http://169.254.169.254/'):send()`:       "link-local addresses are refused",
		`kumo.http.build_client({}):get('http://127.0.0.1:1/'):send()`:           "connection refused",
		`kumo.http.connect_websocket('URL/ws')`:                                  "no ws:// or wss:// URL",
		`kumo.http.connect_websocket('ws://127.0.0.1:1/')`:                       "connection refused",
		`kumo.http.build_client({}):get('http://me:sesame@127.0.0.1:1/'):send()`: "connection refused",
	} {
		err := askServer(t, s.URL, chunk)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "sesame@") {
			t.Errorf("%s: %v, want %s", chunk, err, want)
		}
	}
}
