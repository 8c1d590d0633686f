package policy

import (
	"context"
	"fmt"
	"mime"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/coder/websocket"
	lua "github.com/yuin/gopher-lua"
	"golang.org/x/net/html/charset"

	"kumo/pkg/luahost"
	"kumo/pkg/policy/internal/web"
)

var httpResponseType = luahost.Type{
	Name: "http_response",
	Doc:  "The answer to a request.",
	Methods: []luahost.Func{
		{Name: "status_code", Args: "()", Returns: "number", Doc: "The status.", Example: response(`status_code`), Go: func(l *lua.LState) int {
			l.Push(lua.LNumber(responseOf(l).Status))
			return 1
		}},
		{Name: "status_reason", Args: "()", Returns: "string or nil", Doc: "What the status means, for people; nil when it is not a standard one.", Example: response(`status_reason`), Go: func(l *lua.LState) int {
			if s := http.StatusText(responseOf(l).Status); s != "" {
				return text(l, s)
			}
			l.Push(lua.LNil)
			return 1
		}},
		statusClass("informational", 1), statusClass("success", 2), statusClass("redirection", 3), statusClass("client_error", 4), statusClass("server_error", 5),
		{Name: "headers", Args: "()", Returns: "http_headers", Doc: "The headers of the answer, by name; pairs lists them.", Example: response(`headers`), Go: func(l *lua.LState) int {
			l.Push(luahost.From(l).NewUserData(&httpHeadersType, responseOf(l).Header))
			return 1
		}},
		{Name: "content_length", Args: "()", Returns: "number or nil", Doc: "What the Content-Length header says; nil without one.", Example: response(`content_length`), Go: func(l *lua.LState) int {
			n := responseOf(l).Length
			if n < 0 {
				l.Push(lua.LNil)
				return 1
			}
			l.Push(lua.LNumber(n))
			return 1
		}},
		{Name: "bytes", Args: "()", Returns: "string", Doc: "The body as it came.", Example: response(`bytes`), Go: func(l *lua.LState) int {
			l.Push(lua.LString(responseOf(l).Body))
			return 1
		}},
		{Name: "text", Args: "()", Returns: "string", Doc: "The body as UTF-8, from the charset that its Content-Type names.", Example: response(`text`), Go: func(l *lua.LState) int {
			r := responseOf(l)
			return text(l, decodedText(r.Body, r.Header.Get("Content-Type")))
		}},
	},
}

// response is the example of a method of answers.
func response(method string) string {
	return "local ok, answer = pcall(function()\n  return kumo.http.build_client({}):get('http://127.0.0.1:1/'):send():" + method + "()\nend)"
}

func responseOf(l *lua.LState) *web.Response {
	return luahost.Check[*web.Response](l, 1, "an http_response")
}

func statusClass(name string, class int) luahost.Func {
	return luahost.Func{
		Name: "status_is_" + name, Args: "()", Returns: "boolean", Doc: fmt.Sprintf("Whether the status is from %d00 to %d99.", class, class),
		Example: response("status_is_" + name),
		Go: func(l *lua.LState) int {
			l.Push(lua.LBool(responseOf(l).Status/100 == class))
			return 1
		},
	}
}

// decodedText is a body as UTF-8; what cannot be decoded becomes replacement characters.
func decodedText(b []byte, contentType string) string {
	_, params, err := mime.ParseMediaType(contentType)
	if err != nil || params["charset"] == "" {
		return strings.ToValidUTF8(strings.TrimPrefix(string(b), "\ufeff"), "\ufffd")
	}
	enc, _ := charset.Lookup(params["charset"])
	if enc == nil {
		return strings.ToValidUTF8(string(b), "\ufffd")
	}
	out, err := enc.NewDecoder().Bytes(b)
	if err != nil {
		out = b
	}
	return strings.ToValidUTF8(strings.TrimPrefix(string(out), "\ufeff"), "\ufffd")
}

var httpHeadersType = luahost.Type{
	Name: "http_headers",
	Doc:  "Headers by name, whatever its case. Several of one name are joined by commas.",
	Index: func(l *lua.LState) int {
		h := luahost.Check[http.Header](l, 1, "an http_headers")
		if v := h.Values(l.CheckString(2)); len(v) > 0 {
			return text(l, strings.Join(v, ", "))
		}
		l.Push(lua.LNil)
		return 1
	},
	Pairs: func(l *lua.LState) int {
		h := luahost.Check[http.Header](l, 1, "an http_headers")
		names := make([]string, 0, len(h))
		for k := range h {
			names = append(names, k)
		}
		slices.Sort(names)
		next := 0
		l.Push(l.NewFunction(func(l *lua.LState) int {
			if next >= len(names) {
				l.Push(lua.LNil)
				return 1
			}
			l.Push(lua.LString(strings.ToLower(names[next])))
			l.Push(lua.LString(strings.Join(h[names[next]], ", ")))
			next++
			return 2
		}))
		return 1
	},
}

// maxPacket bounds one packet of a WebSocket, in bytes; maxPackets how many recv_batch gathers.
const (
	maxPacket  = 16 << 20
	maxPackets = 10_000
)

// webSocket is a connection. Packets are read by a goroutine of its own, because reading with a deadline would end it.
type webSocket struct {
	conn    *websocket.Conn
	packets chan []byte // closed when the connection has ended
	err     error       // then
}

func httpConnectWebsocket(l *lua.LState) int {
	url, s := l.CheckString(1), luahost.From(l)
	if !strings.HasPrefix(url, "ws://") && !strings.HasPrefix(url, "wss://") {
		luahost.Fail(l, fmt.Errorf("kumo.http.connect_websocket: %q is no ws:// or wss:// URL", clip(url)))
	}
	ctx, cancel := context.WithTimeout(s.Context(), min(time.Minute, max(time.Until(s.Deadline()), time.Millisecond)))
	defer cancel()
	conn, resp, err := websocket.Dial(ctx, url, &websocket.DialOptions{HTTPClient: &http.Client{Transport: web.Transport(time.Minute, false)}}) //nolint:bodyclose // the library says that it need not be
	if err != nil {
		luahost.Fail(l, fmt.Errorf("kumo.http.connect_websocket: %w", err))
	}
	conn.SetReadLimit(maxPacket)
	w := &webSocket{conn: conn, packets: make(chan []byte, 16)}
	go w.read(s.Context())
	l.Push(s.NewUserData(&websocketType, w))
	l.Push(s.NewUserData(&httpResponseType, &web.Response{Status: resp.StatusCode, Length: -1, Header: resp.Header}))
	return 2
}

// read takes packets until the connection or the call that made it ends.
func (w *webSocket) read(ctx context.Context) {
	defer close(w.packets)
	defer func() { _ = w.conn.CloseNow() }()
	for {
		_, b, err := w.conn.Read(ctx)
		if err != nil {
			w.err = err
			return
		}
		select {
		case w.packets <- b:
		case <-ctx.Done():
			w.err = ctx.Err()
			return
		}
	}
}

var websocketType = luahost.Type{
	Name: "websocket_stream",
	Doc:  "A WebSocket. It ends with the event or task that connected it.",
	Methods: []luahost.Func{
		{Name: "recv", Args: "()", Returns: "string", Doc: "Waits for the next packet. The end of the connection is an error.", Example: socket(`recv()`), Go: func(l *lua.LState) int {
			w, s := luahost.Check[*webSocket](l, 1, "a websocket_stream"), luahost.From(l)
			wait := time.NewTimer(time.Until(s.Deadline()))
			defer wait.Stop()
			select {
			case b, ok := <-w.packets:
				if !ok {
					luahost.Fail(l, fmt.Errorf("websocket_stream:recv: %w", w.err))
				}
				l.Push(lua.LString(b))
				return 1
			case <-s.Context().Done():
			case <-wait.C:
			}
			luahost.Pause(l, 0)
			l.RaiseError("websocket_stream:recv: the call is over")
			return 0
		}},
		{Name: "recv_batch", Args: "(duration)", Returns: "list of strings", Since: "2025.03.19-1d3f1f67", Doc: "The packets that come within a time. The end of the connection is an error unless some came before it.", Example: socket(`recv_batch '1s'`), Go: websocketBatch},
	},
}

// socket is the example of a method of WebSockets.
func socket(call string) string {
	return "local ok, packet = pcall(function()\n  return kumo.http.connect_websocket('ws://127.0.0.1:1/'):" + call + "\nend)"
}

func websocketBatch(l *lua.LState) int {
	w, s := luahost.Check[*webSocket](l, 1, "a websocket_stream"), luahost.From(l)
	timer := time.NewTimer(min(durationArg(l, 2).Std(), max(time.Until(s.Deadline()), 0)))
	defer timer.Stop()
	out := l.NewTable()
	for out.Len() < maxPackets {
		select {
		case b, ok := <-w.packets:
			if !ok && out.Len() == 0 {
				luahost.Fail(l, fmt.Errorf("websocket_stream:recv_batch: %w", w.err))
			}
			if ok {
				out.Append(lua.LString(b))
				continue
			}
		case <-s.Context().Done():
			luahost.Pause(l, 0)
		case <-timer.C:
		}
		break
	}
	l.Push(out)
	return 1
}
