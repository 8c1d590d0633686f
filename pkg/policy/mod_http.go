package policy

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	lua "github.com/yuin/gopher-lua"
	"golang.org/x/net/http/httpguts"

	"kumo/pkg/luahost"
	"kumo/pkg/option"
	"kumo/pkg/policy/internal/web"
)

var httpSchema = option.SchemaOf[web.Options]()

var httpModule = luahost.Module{
	Name: "kumo.http",
	Doc:  "An HTTP client. Link-local addresses are refused, answers are at most 64 MiB, and every request has a time limit.",
	Funcs: []luahost.Func{
		{Name: "build_client", Args: "{ user_agent=, timeout=, … }", Returns: "http_client", Doc: "Makes a client, which keeps connections between requests.", Example: `local client = kumo.http.build_client { timeout = '10s' }
client:close()`, Go: httpBuildClient},
		{Name: "build_url", Args: "(base, { name = value, … })", Returns: "string", Doc: "A URL with parameters added, in the order of their names.", Example: `assert(kumo.http.build_url('http://example.com/', { a = 'x y' }) == 'http://example.com/?a=x+y')`, Go: httpBuildURL},
		{Name: "connect_websocket", Args: "(url)", Returns: "websocket_stream, http_response", Since: "2024.06.10-84e84b89", Doc: "Connects to a WebSocket at a ws:// or wss:// URL, and gives the stream and the answer of the server.", Example: `local ok, stream = pcall(kumo.http.connect_websocket, 'ws://127.0.0.1:1/')`, Go: httpConnectWebsocket},
	},
}

var httpClientType = luahost.Type{
	Name: "http_client",
	Doc:  "An HTTP client.",
	Methods: []luahost.Func{
		newRequest("get", http.MethodGet), newRequest("post", http.MethodPost), newRequest("put", http.MethodPut),
		{Name: "close", Args: "()", Since: "2024.09.02-c5476b89", Doc: "Closes the connections that are kept.", Example: `kumo.http.build_client({}):close()`, Go: func(l *lua.LState) int {
			luahost.Check[*web.Client](l, 1, "an http_client").Close()
			return 0
		}},
	},
}

// httpRequest is a request that is being put together.
type httpRequest struct {
	client  *web.Client
	req     *http.Request
	body    []byte
	timeout time.Duration
	aws     *web.Credentials
}

func newRequest(name, method string) luahost.Func {
	return luahost.Func{
		Name: name, Args: "(url)", Returns: "http_request", Doc: "A " + method + " request, which is not sent yet.",
		Example: "local request = kumo.http.build_client({}):" + name + " 'http://127.0.0.1:1/'",
		Go: func(l *lua.LState) int {
			c, text := luahost.Check[*web.Client](l, 1, "an http_client"), l.CheckString(2)
			req, err := http.NewRequest(method, text, nil) //nolint:noctx // it gets one when it is sent
			if err == nil && (req.URL.Host == "" || req.URL.Scheme != "http" && req.URL.Scheme != "https") {
				err = errors.New("no http:// or https:// URL")
			}
			if err != nil {
				luahost.Fail(l, fmt.Errorf("http_client:%s: %q: %w", name, clip(text), plainURLError(err)))
			}
			l.Push(luahost.From(l).NewUserData(&httpRequestType, &httpRequest{client: c, req: req, timeout: c.Timeout.Std()}))
			return 1
		},
	}
}

// plainURLError is what was wrong, without the URL.
func plainURLError(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err
	}
	return err
}

func httpBuildClient(l *lua.LState) int {
	layer, call := layerArg(l, "build_client")
	r := resolve(l, httpSchema, "build_client", call, layer)
	l.Push(luahost.From(l).NewUserData(&httpClientType, web.New(r.Value)))
	return 1
}

func httpBuildURL(l *lua.LState) int {
	base := l.CheckString(1)
	u, err := url.Parse(base)
	if err != nil {
		luahost.Fail(l, fmt.Errorf("kumo.http.build_url: %q: %w", clip(base), plainURLError(err)))
	}
	q := u.Query()
	for k, v := range stringPairs(l, 2) {
		q.Add(k, v)
	}
	u.RawQuery = q.Encode()
	return text(l, u.String())
}

// stringPairs is a table argument of texts by name; numbers and booleans are written as text.
func stringPairs(l *lua.LState, n int) map[string]string {
	out := map[string]string{}
	l.CheckTable(n).ForEach(func(k, v lua.LValue) {
		key, ok := k.(lua.LString)
		if !ok {
			l.ArgError(n, "names expected as keys, got a "+k.Type().String())
		}
		switch v.(type) {
		case lua.LString, lua.LNumber, lua.LBool:
			out[string(key)] = l.ToStringMeta(v).String()
		default:
			l.ArgError(n, fmt.Sprintf("%s: a string expected, got a %s", clip(string(key)), v.Type()))
		}
	})
	return out
}

var httpRequestType = luahost.Type{
	Name: "http_request",
	Doc:  "A request that is being put together. Every method but send gives the request back, so that calls can be strung together.",
	Methods: []luahost.Func{
		{Name: "header", Args: "(name, value)", Returns: "http_request", Doc: "Sets a header.", Example: request(`:header('X-Kind', 'test')`), Go: chain(func(l *lua.LState, r *httpRequest) {
			r.header(l, l.CheckString(2), l.CheckString(3))
		})},
		{Name: "headers", Args: "{ name = value, … }", Returns: "http_request", Doc: "Sets several headers.", Example: request(`:headers { ['X-Kind'] = 'test' }`), Go: chain(func(l *lua.LState, r *httpRequest) {
			for k, v := range stringPairs(l, 2) {
				r.header(l, k, v)
			}
		})},
		{Name: "basic_auth", Args: "(user [, password])", Returns: "http_request", Doc: "Authenticates by user and password.", Example: request(`:basic_auth('me', 'sesame')`), Go: chain(func(l *lua.LState, r *httpRequest) {
			r.req.Header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(l.CheckString(2)+":"+l.OptString(3, ""))))
		})},
		{Name: "bearer_auth", Args: "(token)", Returns: "http_request", Doc: "Authenticates by a token.", Example: request(`:bearer_auth 'token'`), Go: chain(func(l *lua.LState, r *httpRequest) {
			r.header(l, "Authorization", "Bearer "+l.CheckString(2))
		})},
		{Name: "body", Args: "(bytes)", Returns: "http_request", Doc: "Sets the body.", Example: request(`:body 'hello'`), Go: chain(func(l *lua.LState, r *httpRequest) {
			r.body = []byte(l.CheckString(2))
		})},
		{Name: "form_url_encoded", Args: "{ name = value, … }", Returns: "http_request", Doc: "Sets a form as body, with its Content-Type.", Example: request(`:form_url_encoded { a = 'b' }`), Go: chain(func(l *lua.LState, r *httpRequest) {
			q := url.Values{}
			for k, v := range stringPairs(l, 2) {
				q.Set(k, v)
			}
			r.body = []byte(q.Encode())
			r.req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		})},
		{Name: "form_multipart_data", Args: "{ name = value, … }", Returns: "http_request", Doc: "Sets a form of several parts as body, with its Content-Type. A value is a string or { data =, file_name = }; what is not UTF-8 goes as application/octet-stream.", Example: request(`:form_multipart_data { a = 'b', file = { data = 'x', file_name = 'x.txt' } }`), Go: chain(multipartForm)},
		{Name: "timeout", Args: "(duration)", Returns: "http_request", Since: "2024.06.10-84e84b89", Doc: "How long this request may take.", Example: request(`:timeout '5s'`), Go: chain(func(l *lua.LState, r *httpRequest) {
			r.timeout = durationArg(l, 2).Std()
		})},
		{Name: "aws_sign_v4", Args: "{ access_key=, secret_key=, region=, service=, session_token= }", Returns: "http_request", Since: "2026.03.04-bb93ecb1", Doc: "Signs the request for Amazon's services when it is sent (Signature Version 4). The keys are key sources.", Example: request(`:aws_sign_v4 { access_key = { key_data = 'AKID' }, secret_key = { key_data = 'secret' }, region = 'us-east-1', service = 'ses' }`), Go: chain(awsSign)},
		{Name: "send", Args: "()", Returns: "http_response", Doc: "Sends the request and waits for the whole answer. An answer with any status is one; not to get one is an error.", Example: `local ok, response = pcall(function() return kumo.http.build_client({}):get('http://127.0.0.1:1/'):send() end)`, Go: httpSend},
	},
}

// request is the example of a method of requests.
func request(call string) string {
	return "kumo.http.build_client({}):post('http://127.0.0.1:1/')" + call
}

// chain is a method that gives the request back.
func chain(f func(*lua.LState, *httpRequest)) lua.LGFunction {
	return func(l *lua.LState) int {
		f(l, luahost.Check[*httpRequest](l, 1, "an http_request"))
		l.Push(l.Get(1))
		return 1
	}
}

func (r *httpRequest) header(l *lua.LState, name, value string) {
	if !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value) {
		luahost.Fail(l, fmt.Errorf("http_request:header: %q has a character that no header may have", clip(name)))
	}
	if strings.EqualFold(name, "host") {
		r.req.Host = value
		return
	}
	r.req.Header.Set(name, value)
}

func multipartForm(l *lua.LState, r *httpRequest) {
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	l.CheckTable(2).ForEach(func(k, v lua.LValue) {
		data, file := v.String(), ""
		if t, ok := v.(*lua.LTable); ok {
			data, file = t.RawGetString("data").String(), t.RawGetString("file_name").String()
		} else if v.Type() != lua.LTString && v.Type() != lua.LTNumber {
			l.ArgError(2, fmt.Sprintf("%s: a string or a table with data expected, got a %s", clip(k.String()), v.Type()))
		}
		disposition := "form-data; name=" + quoted(k.String())
		if file != "" {
			disposition += "; filename=" + quoted(file)
		}
		h := textproto.MIMEHeader{"Content-Disposition": {disposition}}
		if !utf8.ValidString(data) || file != "" {
			h.Set("Content-Type", "application/octet-stream")
		}
		part, err := w.CreatePart(h)
		if err == nil {
			_, err = part.Write([]byte(data))
		}
		if err != nil {
			luahost.Fail(l, err)
		}
	})
	_ = w.Close()
	r.body = b.Bytes()
	r.req.Header.Set("Content-Type", w.FormDataContentType())
}

// quoted is a parameter that cannot end early or begin another header (RFC 7578 section 2).
func quoted(s string) string {
	return `"` + strings.NewReplacer("\r", "%0D", "\n", "%0A", `"`, "%22").Replace(s) + `"`
}

func awsSign(l *lua.LState, r *httpRequest) {
	t := l.CheckTable(2)
	word := func(name string, needed bool) string {
		s, ok := t.RawGetString(name).(lua.LString)
		if !ok && needed {
			l.ArgError(2, name+": a string expected, got a "+t.RawGetString(name).Type().String())
		}
		return string(s)
	}
	secret := func(name string) string {
		v, err := luahost.ToGo(t.RawGetString(name))
		var s option.Secret
		if err == nil {
			err = s.DecodeOption(v)
		}
		var b []byte
		if err == nil {
			b, err = of(luahost.From(l)).Secret(luahost.From(l).Context(), s)
		}
		if err != nil {
			luahost.Fail(l, fmt.Errorf("http_request:aws_sign_v4: %s: %w", name, err))
		}
		return strings.TrimSpace(string(b))
	}
	r.aws = &web.Credentials{
		AccessKey: secret("access_key"), SecretKey: secret("secret_key"), SessionToken: word("session_token", false),
		Region: word("region", true), Service: word("service", true),
	}
}

func httpSend(l *lua.LState) int {
	r, s := luahost.Check[*httpRequest](l, 1, "an http_request"), luahost.From(l)
	req := r.req.Clone(s.Context())
	if r.body != nil {
		req.Body, req.ContentLength = http.NoBody, int64(len(r.body))
		if len(r.body) > 0 {
			req.Body = io.NopCloser(bytes.NewReader(r.body))
			req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(r.body)), nil }
		}
	}
	if r.aws != nil {
		r.aws.Sign(req, r.body, of(s).now())
	}
	resp, err := r.client.Do(s.Context(), req, min(r.timeout, max(time.Until(s.Deadline()), time.Millisecond)))
	if err != nil {
		luahost.Fail(l, fmt.Errorf("http_request:send: %w", err))
	}
	l.Push(s.NewUserData(&httpResponseType, resp))
	return 1
}
