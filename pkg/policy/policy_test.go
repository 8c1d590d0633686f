package policy

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	shipped "kumo/policy"

	"kumo/pkg/luahost"
	"kumo/pkg/mail"
	"kumo/pkg/message"
	"kumo/pkg/option"
)

// receive runs the body of a message handler and gives what it printed.
func receive(t *testing.T, body string, m *message.Message, conn *message.Meta) string {
	t.Helper()
	var out bytes.Buffer
	p := load(t, "kumo.on('smtp_server_message_received', function(msg, conn_meta)\n"+body+"\nend)", func(o *Options) { o.Print = &out })
	if err := p.MessageReceived(context.Background(), "ESMTP", m, conn); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSuffix(out.String(), "\n")
}

func TestMessageMethods(t *testing.T) {
	headers := "From: \"Doe, Jane\" <jane@example.org>\r\nTo: a@b.example, Team: c@d.example, e@f.example;\r\nSubject: =?utf-8?q?gr=C3=BCn?=\r\nX-One: 1\r\nx-two: a\r\n b\r\nX-Two: last\r\nRaw: \xff\xfe\r\n"
	cases := map[string]struct{ body, want string }{
		"id":              {"print(#msg:id(), msg:id() == msg:id())", "32\ttrue"},
		"tostring":        {"print((tostring(msg):gsub(msg:id(), 'ID')))", "message ID"},
		"sender":          {"local s = msg:sender() print(s, s.user, s.domain, s.email, s.nothing)", "me@example.org\tme\texample.org\tme@example.org\tnil"},
		"sender null":     {"msg:set_sender '' print(tostring(msg:sender()) == '', msg:sender().domain == '')", "true\ttrue"},
		"sender address":  {"msg:set_sender(msg:recipient()) print(msg:sender(), msg:sender() == msg:recipient())", "you@example.com\ttrue"},
		"quoted sender":   {`msg:set_sender '"a b"@example.com' print(msg:sender(), msg:sender().user)`, "\"a b\"@example.com\ta b"},
		"recipient":       {"print(msg:recipient(), #msg:recipient_list())", "you@example.com\t1"},
		"recipients":      {"msg:set_recipient { 'a@x.example', msg:sender() } print(#msg:recipient(), msg:recipient_list()[2])", "2\tme@example.org"},
		"postmaster":      {"msg:set_recipient 'postmaster' print(msg:recipient(), msg:recipient().domain == '')", "postmaster\ttrue"},
		"queue":           {"msg:set_meta('tenant', 'acme') msg:set_meta('campaign', 'x') print(msg:queue_name())", "x:acme@example.com"},
		"queue meta":      {"msg:set_meta('queue', 'null') print(msg:queue_name())", "null"},
		"attempts":        {"print(msg:num_attempts())", "0"},
		"meta":            {"msg:set_meta('x', { a = { 1, 2 }, b = 'c', d = 1.5 }) local v = msg:get_meta 'x' print(v.a[2], v.b, v.d, msg:get_meta 'none')", "2\tc\t1.5\tnil"},
		"meta nil":        {"msg:set_meta('x', 1) msg:set_meta('x', nil) print(msg:get_meta 'x')", "nil"},
		"meta address":    {"msg:set_meta('x', msg:sender()) print(msg:get_meta 'x')", "me@example.org"},
		"meta empty":      {"msg:set_meta('x', {}) print(type(msg:get_meta 'x'), next(msg:get_meta 'x'))", "table\tnil"},
		"meta sparse":     {"msg:set_meta('x', { [5] = 'five' }) print(msg:get_meta('x')['5'])", "five"},
		"data":            {"print(#msg:get_data() > 10, msg:get_data():sub(-6) == 'body\\r\\n')", "true\ttrue"},
		"set data":        {"msg:set_data('Subject: new\\r\\n\\r\\nx\\r\\n') print(msg:get_first_named_header_value 'subject')", "new"},
		"set data lf":     {"msg:set_data('A: b\\n\\nx\\ry\\n') print((msg:get_data():gsub('\\r', 'R'):gsub('\\n', 'N')))", "A: bRNRNxRNyRN"},
		"first header":    {"print(msg:get_first_named_header_value 'SUBJECT', msg:get_first_named_header_value 'None')", "grün\tnil"},
		"folded":          {"print(msg:get_first_named_header_value 'X-Two')", "a b"},
		"all headers":     {"local all = msg:get_all_named_header_values 'x-two' print(#all, all[1], all[2])", "2\ta b\tlast"},
		"append":          {"msg:append_header('X-New', 'v') print(msg:get_data():match('Raw: ..\\r\\nX%-New: v\\r\\n\\r\\nbody') ~= nil)", "true"},
		"prepend":         {"msg:prepend_header('X-New', 'v') print(msg:get_data():match('^X%-New: v\\r\\nFrom') ~= nil)", "true"},
		"remove":          {"msg:remove_all_named_headers 'x-TWO' print(#msg:get_all_named_header_values 'X-Two')", "0"},
		"import":          {"msg:import_x_headers() print(msg:get_meta 'x_one', msg:get_meta 'x_two', msg:get_meta 'subject')", "1\tlast\tnil"},
		"import named":    {"msg:import_x_headers { 'Subject', 'X-ONE' } print(msg:get_meta 'subject', msg:get_meta 'x_one', msg:get_meta 'x_two')", "grün\t1\tnil"},
		"remove x":        {"msg:remove_x_headers() print(msg:get_data():find 'X%-' or msg:get_data():find 'x%-')", "nil"},
		"remove x named":  {"msg:remove_x_headers { 'x-one', 'subject' } print(msg:get_first_named_header_value 'X-One', msg:get_first_named_header_value 'Subject', msg:get_first_named_header_value 'X-Two')", "nil\tnil\ta b"},
		"from":            {"local f = msg:from_header() print(f.user, f.domain, f.email, f.name, #f.list, f.other)", "jane\texample.org\tjane@example.org\tDoe, Jane\t1\tnil"},
		"from tostring":   {"print(msg:from_header())", `[{"name":"Doe, Jane","address":"jane@example.org"}]`},
		"to list":         {"local l = msg:to_header().list print(#l, l[1].email, l[3].user, l[1].name, l[1])", "3\ta@b.example\te\tnil\t{\"name\":null,\"address\":\"a@b.example\"}"},
		"to is many":      {"print((select(2, pcall(function() return msg:to_header().domain end)):gsub('^.-: ', '')))", "To header: .domain needs exactly one plain address; use .list"},
		"no header":       {"msg:remove_all_named_headers 'From' print(msg:from_header())", "nil"},
		"meta of conn":    {"print(conn_meta:get_meta 'received_from', msg:get_meta 'received_from')", "127.0.0.1:1\t127.0.0.1:1"},
		"conn not in msg": {"conn_meta:set_meta('x_new', 1) print(conn_meta:get_meta 'x_new', msg:get_meta 'x_new')", "1\tnil"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			conn := message.NewMeta(nil)
			conn.Set("received_from", "127.0.0.1:1")
			m := newMessage(headers)
			m.Meta = message.NewMeta(conn)
			if got := receive(t, c.body, m, conn); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestMessageIsGoneAfterItsEvent(t *testing.T) {
	var out bytes.Buffer
	p := load(t, `local kept, conn
kumo.on('smtp_server_message_received', function(msg, conn_meta)
  if kept then
    print(pcall(kept.id, kept))
    print(pcall(conn.get_meta, conn, 'x'))
    print(tostring(kept))
  end
  kept, conn = msg, conn_meta
end)`, func(o *Options) { o.Print = &out })
	for range 2 {
		if err := p.MessageReceived(context.Background(), "ESMTP", newMessage(""), message.NewMeta(nil)); err != nil {
			t.Fatal(err)
		}
	}
	want := "false\tinit.lua:4: this message is gone: it was kept beyond the event that it was passed to\n" +
		"false\tinit.lua:5: this conn_meta is gone: it was kept beyond the event that it was passed to\nmessage (gone)\n"
	if out.String() != want {
		t.Errorf("got\n%s", &out)
	}
}

func TestMadeObjectsCanBeRead(t *testing.T) {
	var out bytes.Buffer
	load(t, `
local q = kumo.make_queue_config { max_age = '1 day', egress_pool = 'x' }
print(q.max_age, q.egress_pool, q.retry_interval, q.no_such)
local n, found = 0, nil
for k, v in pairs(kumo.make_egress_path { max_ready = 5 }) do
  n = n + 1
  if k == 'max_ready' then found = v end
end
print(n > 20, found)
print(kumo.make_egress_pool { name = 'p', entries = { { name = 's' } } }.entries[1].name)
print(kumo.make_queue_config(q).egress_pool, tostring(q))
print(kumo.make_listener_domain { relay_to = true }.relay_to)
print(kumo.version, kumo.state_dir)
local ok, err = pcall(kumo.make_egress_path, { max_ready = 'x' })
print(ok, err:match 'deserialize error: (invalid type: string "x", expected an integer).*, while processing')
`, func(o *Options) { o.Print = &out })
	want := "1d\tx\t20m\tnil\ntrue\t5\ns\nx\tmake_queue_config\ntrue\ntest\t/state\nfalse\tinvalid type: string \"x\", expected an integer\n"
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", &out, want)
	}
}

// What was made can be copied by pairs, changed and made again; what nobody set is nil, not 0.
func TestMadeObjectsCanBeMadeAgain(t *testing.T) {
	var out bytes.Buffer
	load(t, `
for _, make in ipairs { 'make_egress_source', 'make_egress_pool', 'make_egress_path', 'make_queue_config', 'make_listener_domain' } do
  local least = { make_egress_source = { name = 'a' }, make_egress_pool = { name = 'a', entries = {} } }
  local copy = {}
  for k, v in pairs(kumo[make](least[make] or {})) do copy[k] = v end
  print(make, pcall(kumo[make], copy))
end
print(kumo.make_egress_source { name = 'a' }.remote_port, kumo.make_egress_path {}.remember_broken_tls, kumo.make_queue_config {}.max_retry_interval)
`, func(o *Options) { o.Print = &out })
	want := "make_egress_source\ttrue\tmake_egress_source\nmake_egress_pool\ttrue\tmake_egress_pool\nmake_egress_path\ttrue\tmake_egress_path\n" +
		"make_queue_config\ttrue\tmake_queue_config\nmake_listener_domain\ttrue\tmake_listener_domain\nnil\tnil\tnil\n"
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", &out, want)
	}
}

func TestQueueConfigArguments(t *testing.T) {
	var out bytes.Buffer
	p := load(t, "kumo.on('get_queue_config', function(...) print(select('#', ...), ...) end)", func(o *Options) { o.Print = &out })
	for _, n := range []string{"example.com", "c:t@example.com!r.example", "t@example.com"} {
		if _, err := p.QueueConfig(context.Background(), message.ParseQueueName(n)); err != nil {
			t.Fatal(err)
		}
	}
	want := "4\texample.com\tnil\tnil\tnil\n4\texample.com\tt\tc\tr.example\n4\texample.com\tt\tnil\tnil\n"
	if out.String() != want {
		t.Errorf("got\n%s", &out)
	}
}

// A handler that returns nothing lets the next one answer; an explicit nil ends the chain with the defaults.
func TestQueueConfigChain(t *testing.T) {
	p := load(t, `
kumo.on('get_queue_config', function(domain) if domain == 'nil' then return nil end end)
kumo.on('get_queue_config', function(domain) return kumo.make_queue_config { egress_pool = domain } end)`)
	for domain, want := range map[string]string{"nil": "unspecified", "other": "other"} {
		r, err := p.QueueConfig(context.Background(), message.QueueName{Domain: domain})
		if err != nil || r.Value.EgressPool != want {
			t.Errorf("%s: got %q, %v, want %q", domain, r.Value.EgressPool, err, want)
		}
	}
}

// A plain table is as good as a made object; its origin is the handler's.
func TestPlainTableAnswers(t *testing.T) {
	p := load(t, "\nkumo.on('get_egress_path_config', function() return { max_ready = 7 } end)")
	r, err := p.EgressPath(context.Background(), "a", "b", "c")
	if err != nil || r.Value.MaxReady != 7 {
		t.Fatalf("got %v, %v", r.Value.MaxReady, err)
	}
	if e, _ := r.Trace.Find("max_ready"); e.Origin != (option.Origin{Kind: option.KindLua, At: "init.lua:2"}) {
		t.Errorf("origin %v", e.Origin)
	}
}

func TestWithoutHandlersNothingRuns(t *testing.T) {
	p := load(t, "")
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // Lua would notice
	if err := p.MessageReceived(ctx, "ESMTP", newMessage(""), nil); err != nil {
		t.Error(err)
	}
	if d, err := p.ListenerDomain(ctx, "a", "b", nil); err != nil || d.RelayTo {
		t.Error(d, err)
	}
	if q, err := p.QueueConfig(ctx, message.QueueName{Domain: "a"}); err != nil || q.Value.EgressPool != "unspecified" {
		t.Error(q.Value, err)
	}
	if _, err := p.EgressPath(ctx, "a", "b", "c"); err != nil {
		t.Error(err)
	}
	pool, err := p.EgressPool(ctx, "unspecified")
	if err != nil || len(pool.Value.Entries) != 1 || pool.Value.Entries[0].Name != "unspecified" || pool.Value.Entries[0].Weight != 1 {
		t.Error(pool.Value, err)
	}
	if src, err := p.EgressSource(ctx, "unspecified"); err != nil || src.Value.Name != "unspecified" {
		t.Error(src.Value, err)
	}
}

func TestInjectIsTheSameEvent(t *testing.T) {
	p := load(t, "kumo.on('smtp_server_message_received', function(msg, conn_meta) conn_meta:set_meta('x', 1) msg:set_meta('seen', true) end)")
	m := newMessage("")
	if err := p.MessageReceived(context.Background(), "Inject", m, nil); err != nil || m.Meta.Get("seen") != true {
		t.Fatalf("got %v, %v", m.Meta.Get("seen"), err)
	}
}

func TestLogLines(t *testing.T) {
	var buf bytes.Buffer
	log := slog.New(slog.NewTextHandler(&buf, &slog.HandlerOptions{ReplaceAttr: noTime}))
	load(t, "\nkumo.log_info('one', 2, nil, { } ~= nil)\nkumo.log_debug 'hidden'\nkumo.log_warn('w') kumo.log_error('e')", func(o *Options) { o.Log = log })
	want := `level=INFO msg="init.lua:2: one 2 nil true" target=lua
level=WARN msg="init.lua:4: w" target=lua
level=ERROR msg="init.lua:4: e" target=lua
`
	if buf.String() != want {
		t.Errorf("got\n%s", &buf)
	}
}

func TestScriptMain(t *testing.T) {
	var out bytes.Buffer
	p := load(t, "kumo.on('main', function(...) kumo.on('later', print) print(#{...}, ...) end)", func(o *Options) { o.Print = &out })
	if err := p.Main(context.Background(), []string{"a", "b"}); err != nil || out.String() != "2\ta\tb\n" {
		t.Fatalf("got %q, %v", out.String(), err)
	}
	if err := load(t, "").Main(context.Background(), nil); err == nil || !strings.Contains(err.Error(), "does not handle the event main") {
		t.Errorf("got %v", err)
	}
	if err := load(t, "kumo.on('main', function() error 'x' end)").Main(context.Background(), nil); err == nil {
		t.Error("an error in main is lost")
	}
}

func TestValidate(t *testing.T) {
	src := "kumo.on('init', function()" + spools + "end)\n" +
		"kumo.on('validate_config', function() end)\nkumo.on('validate_config', function() if FAIL then kumo.validation_failed() end end)"
	if _, err := load(t, src).Validate(context.Background()); err != nil {
		t.Error(err)
	}
	if _, err := load(t, "FAIL = true "+src).Validate(context.Background()); !errors.Is(err, ErrInvalid) {
		t.Errorf("got %v", err)
	}
}

// Rooms call from many goroutines at once.
func TestConcurrentEvents(t *testing.T) {
	p := load(t, `kumo.on('smtp_server_message_received', function(msg) msg:set_meta('x', msg:get_first_named_header_value 'X-N') end)
kumo.on('get_queue_config', function(d) return kumo.make_queue_config { egress_pool = d } end)`)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for range 100 {
				n := string(rune('a' + g))
				m := newMessage("X-N: " + n + "\r\n")
				if err := p.MessageReceived(context.Background(), "ESMTP", m, nil); err != nil || m.Meta.Get("x") != n {
					t.Errorf("got %v, %v", m.Meta.Get("x"), err)
				}
				if r, err := p.QueueConfig(context.Background(), message.QueueName{Domain: n}); err != nil || r.Value.EgressPool != n {
					t.Errorf("got %v, %v", r.Value.EgressPool, err)
				}
			}
		})
	}
	wg.Wait()
}

func TestDeadlineOfTheCaller(t *testing.T) {
	p := load(t, "kumo.on('smtp_server_message_received', function() while true do end end)")
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if err := p.MessageReceived(ctx, "ESMTP", newMessage(""), nil); !errors.Is(err, luahost.ErrTimeout) {
		t.Fatalf("got %v", err)
	}
}

func TestContextLimitsFromPolicy(t *testing.T) {
	p := load(t, `local n = 0
kumo.on('pre_init', function() kumo.set_max_lua_context_use_count(3) kumo.set_max_lua_context_age(1e6) kumo.set_max_spare_lua_contexts(4) end)
kumo.on('init', function()`+spools+`end)
kumo.on('smtp_server_message_received', function(msg) n = n + 1 msg:set_meta('n', n) end)`)
	if _, err := p.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	var got []any
	for range 5 {
		m := newMessage("")
		if err := p.MessageReceived(context.Background(), "ESMTP", m, nil); err != nil {
			t.Fatal(err)
		}
		got = append(got, m.Meta.Get("n"))
	}
	if got[0] != int64(1) || got[1] != int64(1) || got[3] != int64(3) || got[4] != int64(1) {
		t.Errorf("calls per context: %v, want 1 1 2 3 1", got)
	}
}

// The policies that ship load, start and validate.
func TestShippedPolicies(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"default.lua": shipped.Default, "sink.lua": shipped.Sink} {
		p, err := Load(context.Background(), Options{Source: []byte(text), Name: name, StateDir: dir, HTTPListener: func(option.Layer) error { return nil }})
		if err != nil {
			t.Fatal(err)
		}
		setup, err := p.Validate(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		data, _ := setup.Spool("data")
		if !strings.HasPrefix(data.Path, dir) || len(setup.ESMTP) != 1 || len(setup.Logs) != 1 || !strings.HasPrefix(setup.Logs[0].Value.LogDir, dir) {
			t.Errorf("%s: %+v", name, setup)
		}
		if entries, _ := os.ReadDir(dir); len(entries) != 0 {
			t.Errorf("%s: starting made files", name)
		}
		m := newMessage("")
		if err := p.MessageReceived(context.Background(), "ESMTP", m, nil); err != nil {
			t.Error(err)
		}
		if name == "sink.lua" && m.QueueName() != message.NullQueue {
			t.Errorf("the sink keeps mail in %s", m.QueueName())
		}
		p.Close()
	}
}

// Paths may be relative to the working directory.
func TestRelativePaths(t *testing.T) {
	p := load(t, "kumo.on('init', function() kumo.define_spool { name = 'data', path = 'd' } kumo.define_spool { name = 'meta', path = 'm' } kumo.configure_local_logs { log_dir = 'l' } end)")
	setup, err := p.Start(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	cwd, _ := os.Getwd()
	if d, _ := setup.Spool("data"); d.Path != filepath.Join(cwd, "d") || setup.Logs[0].Value.LogDir != filepath.Join(cwd, "l") {
		t.Errorf("got %s and %s", d.Path, setup.Logs[0].Value.LogDir)
	}
}

func TestDNSSetup(t *testing.T) {
	p := load(t, "kumo.on('init', function()"+spools+"kumo.dns.configure_test_resolver { '$ORIGIN one.test.', '$ORIGIN two.test.' } kumo.dns.configure_resolver { name_servers = { '10.0.0.1' } } end)")
	setup, err := p.Start(context.Background())
	if err != nil || len(setup.TestResolver.Value.Zones) != 2 || setup.Resolver.Value.NameServers[0].SocketAddr.String() != "10.0.0.1:53" {
		t.Fatalf("got %+v, %v", setup, err)
	}
	p = load(t, "kumo.on('init', function()"+spools+"kumo.dns.configure_test_resolver { zones = { '$ORIGIN z.test.' }, servfail = { 'a.example' } } end)")
	setup, err = p.Start(context.Background())
	if err != nil || len(setup.TestResolver.Value.Zones) != 1 || len(setup.TestResolver.Value.Servfail) != 1 {
		t.Fatalf("got %+v, %v", setup, err)
	}
}

// A body that is not in memory and cannot be read is a fault, not an empty message.
func TestUnreadableBody(t *testing.T) {
	p := load(t, "kumo.on('smtp_server_message_received', function(msg) msg:get_data() end)")
	m := newMessage("")
	m.SetLoader(brokenBody{})
	m.Shrink()
	err := p.MessageReceived(context.Background(), "ESMTP", m, nil)
	if err == nil || !strings.Contains(err.Error(), "init.lua:1: read the message: no such body") {
		t.Fatalf("got %v", err)
	}
}

type brokenBody struct{}

func (brokenBody) Body(message.ID) ([]byte, error) { return nil, errors.New("no such body") }

// Every example in the tables runs: of functions as a policy, of methods as the body of a message handler.
func TestExamples(t *testing.T) {
	run := func(t *testing.T, src string) {
		t.Helper()
		p := load(t, src)
		if _, err := p.Start(context.Background()); err != nil && !strings.HasPrefix(err.Error(), "no spool") {
			t.Error(err)
		}
		m := newMessage("From: a@b.example\r\nTo: c@d.example\r\nSubject: x\r\n")
		err := p.MessageReceived(context.Background(), "ESMTP", m, message.NewMeta(nil))
		if err != nil && !strings.Contains(src, "kumo.reject") && !strings.Contains(src, "kumo.disconnect") {
			t.Error(err)
		}
		ctx := context.Background()
		_, err1 := p.QueueConfig(ctx, message.QueueName{Domain: "a.example", Tenant: "t"})
		_, err2 := p.EgressPath(ctx, "a", "b", "c")
		_, err3 := p.ListenerDomain(ctx, "a", "b", nil)
		if err := errors.Join(err1, err2, err3); err != nil {
			t.Error(err)
		}
		if strings.Contains(src, "get_egress_pool") {
			if _, err := p.EgressPool(ctx, "x"); err != nil {
				t.Error(err)
			}
		}
		if strings.Contains(src, "get_egress_source") {
			if _, err := p.EgressSource(ctx, "x"); err != nil {
				t.Error(err)
			}
		}
	}
	for _, m := range Modules() {
		for _, f := range m.Funcs {
			t.Run(m.Name+"."+f.Name, func(t *testing.T) {
				if f.Doc == "" || f.Args == "" || !strings.Contains(f.Example, f.Name) {
					t.Error("a row needs Args, Doc, and an Example that calls the function")
				}
				run(t, f.Example)
			})
		}
	}
	for _, typ := range Types() {
		for _, f := range typ.Methods {
			t.Run(typ.Name+":"+f.Name, func(t *testing.T) {
				if f.Doc == "" || f.Args == "" || !strings.Contains(f.Example, f.Name) {
					t.Error("a row needs Args, Doc, and an Example that calls the method")
				}
				run(t, "kumo.on('smtp_server_message_received', function(msg, conn_meta)\n"+f.Example+"\nend)")
			})
		}
	}
}

func TestEventTable(t *testing.T) {
	want := map[luahost.EventID]string{
		evPreInit: "pre_init", evInit: "init", evValidateConfig: "validate_config", evMain: "main",
		evMessageReceived: "smtp_server_message_received", evHTTPMessageGenerated: "http_message_generated",
		evListenerDomain: "get_listener_domain", evQueueConfig: "get_queue_config", evEgressPool: "get_egress_pool",
		evEgressSource: "get_egress_source", evEgressPath: "get_egress_path_config",
	}
	seen := map[string]bool{}
	for i, e := range Events() {
		if w, ok := want[luahost.EventID(i)]; ok && w != e.Name {
			t.Errorf("row %d is %s, want %s", i, e.Name, w)
		}
		if seen[e.Name] || e.Doc == "" || e.Args == "" {
			t.Errorf("%s: doubled, or without Doc or Args", e.Name)
		}
		seen[e.Name] = true
	}
}

func TestAddressesStayAsWritten(t *testing.T) {
	m := newMessage("")
	m.Recipients = []mail.Address{mail.Restore(`"x > NOTIFY=NEVER <"@d.example`)}
	if got := receive(t, "msg:set_recipient(msg:recipient().email) print(msg:recipient())", m, nil); got != `"x > NOTIFY=NEVER <"@d.example` {
		t.Errorf("got %s", got)
	}
}
