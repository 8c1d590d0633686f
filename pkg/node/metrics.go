package node

import (
	"kumo/pkg/metric"
	"kumo/pkg/policy"
	"kumo/pkg/spool"
)

// measure declares what only the node as a whole knows: memory, the policy, the spool and the disks of spool and logs.
func measure(reg *metric.Registry, m *memory, p *policy.Policy, s *spool.Spool, logs []string) {
	reg.GaugeFunc("config_epoch", "How often the configuration has changed since the start, and one.", func() float64 { return float64(p.Epoch()) })
	reg.GaugeFunc("config_broken", "1 while the policy on disk does not load, so that the one of before is in force.", func() float64 {
		if p.Broken() {
			return 1
		}
		return 0
	})
	reg.GaugeFunc("lua_count", "Lua contexts that are alive, at work or waiting for work.", func() float64 {
		alive, _ := p.Contexts()
		return float64(alive)
	})
	reg.GaugeFunc("lua_spare_count", "Lua contexts that wait for work.", func() float64 {
		_, spare := p.Contexts()
		return float64(spare)
	})
	measureMemory(reg, m)
	measureDisks(reg, s, logs)
	measureSpool(reg, s)
}
