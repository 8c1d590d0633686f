package queue

import (
	"math"
	"strings"
	"testing"
	"time"

	"kumo/pkg/option"
)

func resolve(t *testing.T, values map[string]any) (Config, error) {
	t.Helper()
	r, err := schema.Resolve("make_queue_config", option.NewLayer(values, option.Origin{Kind: option.KindLua, At: "init.lua:7"}))
	return r.Value, err
}

func TestDefaults(t *testing.T) {
	c, err := resolve(t, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []struct {
		name      string
		got, want any
	}{
		{"egress_pool", c.EgressPool, "unspecified"},
		{"retry_interval", c.RetryInterval.Std(), 20 * time.Minute},
		{"max_retry_interval", c.MaxRetryInterval.Std(), time.Duration(0)},
		{"max_age", c.MaxAge.Std(), 7 * 24 * time.Hour},
		{"max_message_rate", c.MaxMessageRate.IsZero(), true},
		{"reap_interval", c.ReapInterval.Std(), 10 * time.Minute},
		{"refresh_interval", c.RefreshInterval.Std(), time.Minute},
		{"refresh_strategy", string(c.RefreshStrategy), "Ttl"},
		{"provider_name", c.ProviderName, ""},
	} {
		if f.got != f.want {
			t.Errorf("%s is %v, want %v", f.name, f.got, f.want)
		}
	}
}

func TestConfigErrors(t *testing.T) {
	for _, c := range []struct {
		values map[string]any
		want   string
	}{
		{map[string]any{"retry_interval": "0s"}, "retry_interval must be more than zero"},
		{map[string]any{"max_age": int64(0)}, "max_age must be more than zero"},
		{map[string]any{"reap_interval": "0s"}, "reap_interval must be more than zero"},
		{map[string]any{"refresh_interval": "0s"}, "refresh_interval must be more than zero"},
		{map[string]any{"egress_pool": ""}, "egress_pool must not be empty"},
		{map[string]any{"max_message_rate": "fast"}, "max_message_rate"},
		{map[string]any{"strategy": "Heap"}, "strategy"},
		{map[string]any{"retry_intervall": "1m"}, "retry_interval"},
		{map[string]any{"shrink_policy": []any{map[string]any{"interval": "1m", "policy": "Shrink"}}}, "shrink_policy"},
	} {
		_, err := resolve(t, c.values)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "init.lua:7") {
			t.Errorf("%v: %v, want %q", c.values, err, c.want)
		}
	}
}

func TestDelay(t *testing.T) {
	for _, c := range []struct {
		retry, top string
		attempts   int
		want       time.Duration
	}{
		{"20m", "", 0, 20 * time.Minute},
		{"20m", "", 1, 40 * time.Minute},
		{"20m", "", 3, 160 * time.Minute},
		{"20m", "", math.MaxInt32, 10 * 365 * 24 * time.Hour},
		{"20m", "1h", 1, 40 * time.Minute},
		{"20m", "1h", 2, time.Hour},
		{"20m", "1h", 1000, time.Hour},
		{"20m", "5m", 0, 5 * time.Minute},
		{"1ns", "", 70, 10 * 365 * 24 * time.Hour},
	} {
		values := map[string]any{"retry_interval": c.retry}
		if c.top != "" {
			values["max_retry_interval"] = c.top
		}
		cfg, err := resolve(t, values)
		if err != nil {
			t.Fatal(err)
		}
		if got := cfg.delay(c.attempts, 0.5); got != c.want && c.want < longest {
			t.Errorf("%s up to %q after %d attempts: %s, want %s", c.retry, c.top, c.attempts, got, c.want)
		} else if got > longest || got < c.want/2 {
			t.Errorf("%s after %d attempts: %s", c.retry, c.attempts, got)
		}
		half := min(cfg.RetryInterval.Std()/20, time.Minute) / 2
		if lo, hi := cfg.delay(c.attempts, 0), cfg.delay(c.attempts, 0.9999999); hi-lo > 2*half || hi-lo < half {
			t.Errorf("%s: jitter from %s to %s, want %s to either side", c.retry, lo, hi, half)
		}
	}
}
