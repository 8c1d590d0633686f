package policy

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"kumo/pkg/luahost"
	"kumo/pkg/message"
	"kumo/pkg/option"
	"kumo/pkg/smtp"
)

// What an operator reads when a policy does not load or start.
func TestStartErrors(t *testing.T) {
	inInit := func(body string) string { return "kumo.on('init', function()\n" + body + "\nend)" }
	cases := map[string]struct{ src, want string }{
		"syntax":                 {"\nlocal = 1", "init.lua:2: syntax error near '='"},
		"top level":              {"\nerror 'boom'", "init.lua:2: boom"},
		"failing init":           {inInit("local x = nil; x()"), "init: init.lua:2: attempt to call 'x', which is not a function"},
		"failing pre_init":       {"kumo.on('pre_init', function() error 'early' end)", "pre_init: init.lua:1: early"},
		"no spools":              {inInit(""), "no spools have been defined: call kumo.define_spool { name = 'data', path = … }"},
		"no init":                {"", "no spools have been defined"},
		"no meta":                {inInit("kumo.define_spool { name = 'data', path = '/d' }"), "no spool named meta has been defined: add kumo.define_spool { name = 'meta', path = … } to the init event"},
		"no data":                {inInit("kumo.define_spool { name = 'meta', path = '/d' }"), "no spool named data has been defined"},
		"two datas":              {inInit("kumo.define_spool { name = 'data', path = '/d' } kumo.define_spool { name = 'data', path = '/e' }"), "init: init.lua:2: define_spool: the spool \"data\" is defined already"},
		"unknown option":         {inInit("kumo.define_spool { name = 'data', pth = '/d' }"), "init: init.lua:2: define_spool: deserialize error: unknown field `pth`, did you mean `path`?, while processing option pth"},
		"misspelt option":        {inInit("kumo.start_esmtp_listener { relay_host = { '127.0.0.1' } }"), "init: init.lua:2: start_esmtp_listener: deserialize error: unknown field `relay_host`, did you mean `relay_hosts`?, while processing option relay_host"},
		"wrong type":             {inInit("kumo.start_esmtp_listener { max_message_size = {} }"), "init: init.lua:2: start_esmtp_listener: deserialize error: invalid type: "},
		"wrong enum":             {inInit("kumo.start_esmtp_listener { invalid_line_endings = 'deny' }"), "init: init.lua:2: start_esmtp_listener: deserialize error: "},
		"bad CIDR":               {inInit("kumo.start_esmtp_listener { relay_hosts = { '10.0.0.1/8' } }"), "init: init.lua:2: start_esmtp_listener: deserialize error: "},
		"bad duration":           {inInit("kumo.configure_local_logs { log_dir = '/l', max_segment_duration = 'soon' }"), "init: init.lua:2: configure_local_logs: deserialize error: "},
		"list for options":       {inInit("kumo.define_spool { 'data' }"), "init: init.lua:2: define_spool: deserialize error: invalid type: sequence, expected a table of options by name"},
		"string for options":     {inInit("kumo.define_spool 'data'"), "init: init.lua:2: define_spool: deserialize error: invalid type: string \"data\", expected a table of options"},
		"nil for options":        {inInit("kumo.define_spool()"), "init: init.lua:2: define_spool: deserialize error: invalid type: null, expected a table of options"},
		"function in options":    {inInit("kumo.define_spool { name = print }"), "init: init.lua:2: define_spool: deserialize error: invalid value: name: cannot convert a function"},
		"cycle in options":       {inInit("local t = {} t.name = t kumo.define_spool(t)"), "init: init.lua:2: define_spool: deserialize error: invalid value: name: a table is nested more than 64 deep (or contains itself)"},
		"mixed table":            {inInit("kumo.start_esmtp_listener { relay_hosts = { '::1', x = 1 } }"), "init: init.lua:2: start_esmtp_listener: deserialize error: invalid value: relay_hosts: a table has both list items and named values"},
		"spool at top level":     {"\nkumo.define_spool { name = 'data', path = '/d' }", "init.lua:2: kumo.define_spool may only be called in the init event: put it inside kumo.on('init', function() … end)"},
		"listener at top level":  {"\nkumo.start_esmtp_listener {}", "init.lua:2: kumo.start_esmtp_listener may only be called in the init event"},
		"resolver at top level":  {"\nkumo.dns.configure_resolver {}", "init.lua:2: kumo.dns.configure_resolver may only be called in the init event"},
		"nobody to ask":          {inInit("kumo.dns.configure_resolver { name_servers = {} }"), "init: init.lua:2: configure_resolver: deserialize error: name_servers is empty: name at least one server"},
		"broken zone":            {inInit("kumo.dns.configure_test_resolver { '$ORIGIN a.test.', 'x MX ten y' }"), "init: init.lua:2: configure_test_resolver: deserialize error: zone 2: "},
		"logs nowhere":           {inInit("kumo.configure_local_logs { log_dir = '' }"), "init: init.lua:2: configure_local_logs: deserialize error: log_dir is empty: name a directory"},
		"validation outside":     {inInit("kumo.validation_failed()"), "init: init.lua:2: kumo.validation_failed may only be called in a validate_config handler"},
		"second handler":         {"kumo.on('init', print)\nkumo.on('init', print)", "init.lua:2: init event already has a handler defined at init.lua:1"},
		"handler is no function": {"kumo.on('init', 'x')", "init.lua:1: bad argument #2 to on (function expected, got string)"},
		"reject outside":         {inInit("kumo.reject(200, 'x')"), "init: init.lua:2: bad argument #1 to reject (200: a rejection needs a code from 400 to 599)"},
		"reject at start":        {inInit("kumo.reject(500, 'x')"), "init: init.lua:2: 500 x"},
		"http refused":           {inInit("kumo.start_http_listener { listen = 'bad' }"), "init: init.lua:2: the node says no"},
		"endless init":           {inInit("while true do end"), "init: init.lua:2: the handler ran too long and was stopped"},
		"unknown function":       {inInit("kumo.defin_spool {}"), "init: init.lua:2: attempt to call 'defin_spool', which is not a function; did you mean define_spool?"},
		"function of later":      {inInit("return kumo.configure_bounce_classifier { files = {} }"), "init: init.lua:2: attempt to call 'configure_bounce_classifier', which is not a function; kumo-lua(7) lists the functions that there are"},
		"call without a name":    {inInit("local t = {} t[1]()"), "init: init.lua:2: attempt to call a non-function object"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			p, err := tryLoad(c.src, func(o *Options) {
				o.Timeout = 200 * time.Millisecond
				o.HTTPListener = func(l option.Layer) error { return errors.New("the node says no") }
			})
			if err == nil {
				defer p.Close()
				_, err = p.Start(context.Background())
			}
			if err == nil || !strings.HasPrefix(err.Error(), c.want) {
				t.Fatalf("got  %v\nwant %s", err, c.want)
			}
		})
	}
}

// The error of a fault names its place and says who called whom.
func TestFaultsCarryTracebacks(t *testing.T) {
	p := load(t, "local function helper(msg)\nreturn msg:no_such_method()\nend\nkumo.on('smtp_server_message_received', function(msg)\nlocal x = helper(msg)\nend)")
	err := p.MessageReceived(context.Background(), "ESMTP", newMessage(""), nil)
	var fail *luahost.Error
	if !errors.As(err, &fail) {
		t.Fatalf("got %v", err)
	}
	for _, want := range []string{"init.lua:2:", "init.lua:5:", "stack traceback"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing:\n%v", want, err)
		}
	}
	var reply *smtp.Error
	if errors.As(err, &reply) {
		t.Errorf("a fault became an answer for the peer: %v", reply)
	}
}

func TestRejects(t *testing.T) {
	cases := []struct {
		call, want string
		disconnect bool
	}{
		{"kumo.reject(550, '5.7.1 go away')", "550 5.7.1 go away", false},
		{"kumo.reject(450, 'no code')", "450 no code", false},
		{"kumo.reject(450, '5.7.1 wrong class')", "450 5.7.1 wrong class", false},
		{"kumo.reject(550, '5.7.1')", "550 5.7.1", false},
		{"kumo.reject(550, 'a\\r\\nb')", "550 a b", false},
		{"kumo.reject(550, 'a\\r250 ok\\0')", "550 a 250 ok", false},
		{"kumo.reject(550, 'bad \\xff byte')", "550 bad ? byte", false},
		{"pcall(error) local ok, e = pcall(kumo.reject, 550, 'again') error(e)", "550 again", false},
		{"kumo.disconnect(451, '4.3.2 bye')", "451 4.3.2 bye", true},
		{"kumo.disconnect(451, '4.3.2 bye', 'FollowWith421')", "451 4.3.2 bye", true},
		{"kumo.disconnect(451, 'bye', 'If421')", "451 bye", false},
		{"kumo.disconnect(421, 'bye', 'If421')", "421 bye", true},
	}
	for _, c := range cases {
		t.Run(c.call, func(t *testing.T) {
			p := load(t, "kumo.on('smtp_server_message_received', function() "+c.call+" end)")
			err := p.MessageReceived(context.Background(), "ESMTP", newMessage(""), nil)
			var reply *smtp.Error
			if !errors.As(err, &reply) || reply.Reply.String() != c.want || reply.Disconnect != c.disconnect {
				t.Fatalf("got %v, want %s", err, c.want)
			}
		})
	}
}

// L1: whatever a handler does, the answer is a local fault and the next event works.
func TestHostileHandlers(t *testing.T) {
	cases := map[string]string{
		"loop":           "while true do end",
		"pcall loop":     "while true do pcall(function() while true do end end) end",
		"recursion":      "local function f() local x = f() return x end f()",
		"huge rep":       "local s = string.rep('x', 1e10)",
		"kept message":   "kept = kept or msg if kept ~= msg then kept:id() end error 'first'",
		"wrong self":     "msg.id()",
		"foreign self":   "msg.id(conn)",
		"nil meta key":   "msg:set_meta(nil, 1)",
		"function meta":  "msg:set_meta('x', print)",
		"cyclic meta":    "local t = {} t.t = t msg:set_meta('x', t)",
		"wide meta":      "local t = {} for i = 1, 30 do t = {t, t} end msg:set_meta('x', t)",
		"binary meta":    "msg:set_meta('x', '\\xff')",
		"number tenant":  "msg:set_meta('tenant', 1)",
		"bad sender":     "msg:set_sender 'a b@c'",
		"sender inject":  "msg:set_sender 'a@b> NOTIFY=NEVER <c@d'",
		"no recipient":   "msg:set_recipient {}",
		"null recipient": "msg:set_recipient ''",
		"header inject":  "msg:append_header('X-A', 'b\\r\\nBcc: c')",
		"bad header":     "msg:append_header('X A', 'b')",
		"bad list":       "msg:import_x_headers { 1 }",
		"metatable":      "getmetatable(msg).__index = nil",
		"error table":    "error({})",
		"error nil":      "error()",
		"collect":        "collectgarbage('collect') error 'done'",
		"exit":           "os.exit(0)",
	}
	for name, body := range cases {
		t.Run(name, func(t *testing.T) {
			p := load(t, "kumo.on('smtp_server_message_received', function(msg, conn) if msg:get_meta 'calm' then return end "+body+" end)",
				func(o *Options) { o.Timeout = 50 * time.Millisecond })
			before := "Subject: x\r\n"
			m := newMessage(before)
			err := p.MessageReceived(context.Background(), "ESMTP", m, message.NewMeta(nil))
			var fail *luahost.Error
			if !errors.As(err, &fail) {
				t.Fatalf("got %v, want a local fault", err)
			}
			if data, _ := m.Data(); string(data) != before+"\r\nbody\r\n" {
				t.Errorf("the message was changed: %q", data)
			}
			calm := newMessage("")
			calm.Meta.Set("calm", true)
			if err := p.MessageReceived(context.Background(), "ESMTP", calm, nil); err != nil {
				t.Fatalf("the next event fails: %v", err)
			}
		})
	}
}

func TestWrongAnswers(t *testing.T) {
	ctx := context.Background()
	queue := func(p *Policy) error {
		_, err := p.QueueConfig(ctx, message.QueueName{Domain: "example.com"})
		return err
	}
	pool := func(p *Policy) error { _, err := p.EgressPool(ctx, "nowhere"); return err }
	source := func(p *Policy) error { _, err := p.EgressSource(ctx, "nowhere"); return err }
	path := func(p *Policy) error { _, err := p.EgressPath(ctx, "a", "b", "c"); return err }
	cases := map[string]struct {
		src  string
		ask  func(*Policy) error
		want string
	}{
		"string":        {"kumo.on('get_queue_config', function() return 'x' end)", queue, "init.lua:1: the handler of get_queue_config returned a string, expected the result of kumo.make_queue_config"},
		"wrong object":  {"kumo.on('get_queue_config', function() return kumo.make_egress_path {} end)", queue, "init.lua:1: the handler of get_queue_config returned the result of kumo.make_egress_path, expected that of kumo.make_queue_config"},
		"bad table":     {"kumo.on('get_queue_config', function() return { max_aeg = 1 } end)", queue, "init.lua:1: make_queue_config: deserialize error: unknown field `max_aeg`"},
		"error":         {"kumo.on('get_queue_config', function() error 'x' end)", queue, "get_queue_config: init.lua:1: x"},
		"unknown pool":  {"kumo.on('get_egress_pool', function() end)", pool, `egress_pool "nowhere" is not defined: get_egress_pool (init.lua:1) returned nothing for it`},
		"no pools":      {"", pool, `egress_pool "nowhere" is not defined: the policy does not handle get_egress_pool`},
		"other pool":    {"kumo.on('get_egress_pool', function() return kumo.make_egress_pool { name = 'x', entries = {} } end)", pool, `egress_pool "nowhere" is not defined: get_egress_pool (init.lua:1) returned one named "x"`},
		"no sources":    {"", source, `egress_source "nowhere" is not defined: the policy does not handle get_egress_source`},
		"bad path":      {"kumo.on('get_egress_path_config', function() return kumo.make_egress_path { max_raedy = 5 } end)", path, "get_egress_path_config: init.lua:1: make_egress_path: deserialize error: unknown field `max_raedy`, did you mean `max_ready`?, while processing option max_raedy"},
		"bad path type": {"kumo.on('get_egress_path_config', function() return kumo.make_egress_path { max_ready = 'many' } end)", path, "get_egress_path_config: init.lua:1: make_egress_path: deserialize error: invalid type: string \"many\""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			err := c.ask(load(t, c.src))
			if err == nil || !strings.HasPrefix(err.Error(), c.want) {
				t.Fatalf("got  %v\nwant %s", err, c.want)
			}
		})
	}
}
