package policy

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kumo/pkg/message"
)

func TestThrottle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := load(t, `kumo.on('smtp_server_message_received', function(msg)
  local t = kumo.make_throttle('one', '60/min,max_burst=1')
  local first = t:throttle()
  assert(not first.throttled and first.limit == 2 and first.retry_after == nil, 'first')
  kumo.make_throttle('one', '60/min,max_burst=1'):throttle()
  local third = t:throttle()
  assert(third.throttled and third.remaining == 0 and third.retry_after > 0.9 and third.retry_after <= 1, 'third')
  assert(third.reset_after > 1.9 and third.reset_after <= 2, third.reset_after)
  local began = kumo.time.now()
  assert(t:sleep_if_throttled() == true)
  assert(began.elapsed.seconds > 0.9, 'slept')
  assert(t:delay_message_if_throttled(msg) == true)
  assert(kumo.make_throttle('other', '1/s'):delay_message_if_throttled(msg) == false)
end)`)
		m := newMessage("Subject: x\r\n")
		if err := p.MessageReceived(t.Context(), "ESMTP", m, message.NewMeta(nil)); err != nil {
			t.Fatal(err)
		}
		if wait := time.Until(m.Due); wait <= 0 || wait > time.Second {
			t.Errorf("due in %s", wait)
		}
		for chunk, want := range map[string]string{
			`kumo.make_throttle('x', 'fast')`:                                "kumo.make_throttle: ",
			`kumo.make_throttle('x')`:                                        "string expected",
			`kumo.make_throttle(('x'):rep(2000), '1/s')`:                     "at most 1024 bytes",
			`kumo.make_throttle('x', '1/s'):delay_message_if_throttled('y')`: "a message expected",
			`kumo.spawn_task { event_name = 'x' }`:                           "may only be called in the init event",
		} {
			p := load(t, `kumo.on('smtp_server_message_received', function(msg) `+chunk+` end)`)
			err := p.MessageReceived(t.Context(), "ESMTP", newMessage(""), message.NewMeta(nil))
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %s", chunk, err, want)
			}
		}
	})
}

func TestTasks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var said bytes.Buffer
		p := load(t, `kumo.on('init', function() `+spools+`
  kumo.spawn_task { event_name = 'ticker', args = { every = 600, what = 'tick' } }
  kumo.spawn_task { event_name = 'failing' }
end)
kumo.on('ticker', function(args)
  while true do kumo.sleep(args.every) kumo.log_info(args.what) end
end)
kumo.on('failing', function() error 'broken' end)`, func(o *Options) { o.Log = slog.New(slog.NewTextHandler(&said, nil)) })
		setup, err := p.Start(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan bool)
		tasks := setup.Tasks()
		for _, run := range tasks {
			go func() { run(ctx, p); done <- true }()
		}
		time.Sleep(time.Hour + time.Minute)
		stop()
		for range tasks {
			<-done
		}
		if n := strings.Count(said.String(), "tick"); n < 6 {
			t.Errorf("%d ticks in an hour: %s", n, said.String())
		}
		if !strings.Contains(said.String(), "event=failing") || !strings.Contains(said.String(), "broken") || strings.Contains(said.String(), "event=ticker") {
			t.Errorf("%s", said.String())
		}
	})
}

func TestSpawnTaskIsChecked(t *testing.T) {
	for chunk, want := range map[string]string{
		`kumo.spawn_task { event_name = 'x', arg = 1 }`:      "unknown field `arg`",
		`kumo.spawn_task { }`:                                "event_name must be the name of an event",
		`kumo.spawn_task { event_name = 'x', args = print }`: "spawn_task: args: a function cannot be kept",
	} {
		p := load(t, `kumo.on('init', function() `+spools+chunk+` end)`)
		if _, err := p.Start(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", chunk, err, want)
		}
	}
}

func TestInvoke(t *testing.T) {
	p := load(t, `kumo.on('get_queue_config', function(domain, tenant)
  if tenant then return kumo.make_queue_config { max_age = '1h', egress_pool = tenant } end
end)
kumo.on('get_egress_source', function(name) if name == 'bad' then error 'no such source' end return name end)
kumo.on('smtp_server_message_received', function(msg)
  local c = kumo.invoke_get_queue_config 'acme@example.com'
  assert(c.egress_pool == 'acme' and c.max_age == '1h', c.max_age)
  assert(kumo.invoke_get_queue_config('example.com').egress_pool == 'unspecified')
  assert(kumo.invoke_get_egress_path_config('a', 'b', 'c').connection_limit)
  local ok, err = pcall(kumo.invoke_get_egress_source, 'x')
  assert(not ok and tostring(err):find 'get_egress_source returned a string', err)
  ok, err = pcall(kumo.invoke_get_egress_source, 'bad')
  assert(not ok and tostring(err):find 'no such source', err)
  local who = kumo.get_event_registrars 'get_queue_config'
  assert(#who == 1 and who[1][1].short_src == 'init.lua' and who[1][1].curr_line == 1)
  assert(#kumo.get_event_registrars 'nothing' == 0)
end)`)
	if err := p.MessageReceived(t.Context(), "ESMTP", newMessage(""), message.NewMeta(nil)); err != nil {
		t.Fatal(err)
	}
}
