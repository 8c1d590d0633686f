package policy

import (
	"strings"
	"testing"
)

func TestFilterEventDecides(t *testing.T) {
	p := load(t, `
kumo.on('init', function()`+spools+`
  kumo.configure_local_logs { log_dir = '/log', filter_event = 'mine' }
end)
kumo.on('mine', function(msg)
  if msg:get_meta 'tenant' == 'odd' then return 'yes' end
  if msg:get_meta 'tenant' == 'bad' then error 'boom' end
  if msg:get_meta 'tenant' == nil then return end
  return msg:get_meta 'tenant' == 'acme'
end)`)
	if _, err := p.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	for tenant, want := range map[string]string{"acme": "true", "other": "false", "": "false", "odd": "want a boolean, not string", "bad": "boom"} {
		m := newMessage("")
		if tenant != "" {
			m.Meta.Set("tenant", tenant)
		}
		ok, err := p.Wants("mine", m)
		switch {
		case err == nil && (want == "true") != ok, err != nil && !strings.Contains(err.Error(), want), err == nil && want != "true" && want != "false":
			t.Errorf("%q: %t, %v; want %s", tenant, ok, err, want)
		}
	}
}

func TestFilterEventMustBeHandled(t *testing.T) {
	p := load(t, `
kumo.on('init', function()`+spools+`
  kumo.configure_local_logs { log_dir = '/log', filter_event = 'mine' }
end)
kumo.on('mein', function() end)`)
	_, err := p.Start(t.Context())
	if err == nil || !strings.Contains(err.Error(), `init.lua:`) || !strings.Contains(err.Error(), `filter_event: nobody handles the event "mine"`) {
		t.Errorf("%v", err)
	}
}
