package luahost

import (
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	lua "github.com/yuin/gopher-lua"
)

func TestMailboxes(t *testing.T) {
	for _, c := range []struct{ chunk, want string }{
		{`local q = kumo.mpsc.define('q', 2) q:send(1) q:send { a = 2 } assert(not q:try_send(3)) local v = q:recv_many(9) return #v .. v[2].a .. q:len() .. tostring(q:is_empty())`, "220true"},
		{`local q = kumo.mpsc.define 'q' q:send 'x' q:close() assert(q:is_closed() and not q:try_send(1)) return q:recv() .. tostring(q:recv()) .. tostring(q:recv_many(1)) .. tostring(q:try_recv())`, "xnilnilnil"},
		{`assert(kumo.mpsc.define('q', 1):try_send(1)) return tostring(kumo.mpsc.define('q', 5):try_send(2))`, "false"},
	} {
		if got, err := say(t, c.chunk); err != nil || got != c.want {
			t.Errorf("%s: %v %v, want %s", c.chunk, got, err, c.want)
		}
	}
	for _, c := range []struct{ chunk, want string }{
		{`kumo.mpsc.define('q', 0)`, "a number above zero"},
		{`kumo.mpsc.define('q'):send(print)`, "a function cannot be kept"},
		{`local q = kumo.mpsc.define('q') q:close() q:send(1)`, "the queue is closed"},
		{`local q = kumo.mpsc.define('q', 1) q:send(1) q:send_timeout(2, 0.01)`, "there was no room in time"},
		{`kumo.mpsc.define('q'):recv_many(0)`, "a number above zero"},
	} {
		if _, err := say(t, c.chunk); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", c.chunk, err, c.want)
		}
	}
}

// TestMailboxBetweenStates has senders wait for room, one receiver wait for values, and a second one refused.
func TestMailboxBetweenStates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, `local kumo = require 'kumo'
kumo.on('init', function(n) local q = kumo.mpsc.define('q', 3) for i = 1, n do q:send(i) end end)
kumo.on('get_listener_domain', function() local q, sum = kumo.mpsc.define('q', 3), 0
  while true do local v = q:recv() if not v then return sum end sum = sum + v end end)
kumo.on('get_queue_config', function(how) local q = kumo.mpsc.define('q', 3) if how == 'close' then q:close() else q:recv() end return 0 end)`, withModules)
		defer h.Close()
		sum := make(chan any, 1)
		go func() {
			v, _, err := fire(t, h, evDomain)
			if err != nil {
				t.Error(err)
			}
			sum <- v
		}()
		synctest.Wait()
		if _, _, err := fire(t, h, evQueue); err == nil || !strings.Contains(err.Error(), "only one may") {
			t.Error(err)
		}
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				if _, _, err := fire(t, h, evInit, lua.LNumber(100)); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if _, _, err := fire(t, h, evQueue, lua.LString("close")); err != nil {
			t.Error(err)
		}
		if got := <-sum; got != int64(4*5050) {
			t.Error(got)
		}
	})
}
