package policy

import (
	"strings"
	"testing"
)

type fakeMemory [3]int64

func (f *fakeMemory) Limit(which MemoryLimit) int64       { return f[which] }
func (f *fakeMemory) SetLimit(which MemoryLimit, n int64) { f[which] = n }

func TestLimits(t *testing.T) {
	const spools = `
kumo.on('init', function()
  kumo.define_spool { name = 'data', path = 'a' }
  kumo.define_spool { name = 'meta', path = 'b' }
  kumo.suspend_delivery_when_spool_unhealthy(false)
end)
`
	load := func(t *testing.T, source string, m Memory) (Setup, error) {
		t.Helper()
		p, err := Load(t.Context(), Options{Source: []byte("local kumo = require 'kumo'\n" + source), Name: "t.lua", Memory: m})
		if err != nil {
			return Setup{}, err
		}
		t.Cleanup(p.Close)
		return p.Start(t.Context())
	}
	m := &fakeMemory{1, 2, 3}
	setup, err := load(t, spools+`
kumo.on('pre_init', function()
  assert(kumo.get_memory_hard_limit() == 1 and kumo.get_memory_soft_limit() == 2 and kumo.get_memory_low_thresh() == 3)
  kumo.set_memory_hard_limit(4 * 1024 * 1024)
  kumo.set_memory_soft_limit(3 * 1024 * 1024)
  kumo.set_memory_low_thresh(2 * 1024 * 1024)
  kumo.enable_memory_callstack_tracking(true)
  kumo.set_spoolin_threads(7)
end)`, m)
	if err != nil {
		t.Fatal(err)
	}
	if *m != (fakeMemory{4 << 20, 3 << 20, 2 << 20}) || setup.SpoolinThreads != 7 || !setup.DeliverUnhealthy {
		t.Errorf("limits %v, threads %d, delivers %v", *m, setup.SpoolinThreads, setup.DeliverUnhealthy)
	}
	if setup, err = load(t, strings.ReplaceAll(spools, "(false)", "(true)")+"assert(kumo.get_memory_hard_limit() == nil)", nil); err != nil || setup.DeliverUnhealthy {
		t.Errorf("without limits: %v, %v", err, setup.DeliverUnhealthy)
	}
	for source, want := range map[string]string{
		"kumo.set_memory_soft_limit(1000)":                                "at least 1048576",
		"kumo.set_memory_hard_limit(0/0)":                                 "number of bytes",
		"kumo.set_memory_low_thresh('2GB')":                               "number expected",
		"kumo.set_spoolin_threads(4)":                                     "pre_init and init",
		"kumo.on('pre_init', function() kumo.set_spoolin_threads(0) end)": "1 to 4096",
		"kumo.suspend_delivery_when_spool_unhealthy(true)":                "pre_init and init",
	} {
		if _, err := load(t, spools+source, m); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "t.lua:") {
			t.Errorf("%s: %v", source, err)
		}
	}
}
