package node

import (
	"kumo/pkg/metric"
	"kumo/pkg/policy"
	"kumo/pkg/spool"
)

// measure declares what only the node as a whole knows: memory, the policy and the spool's disk.
func measure(reg *metric.Registry, m *memory, p *policy.Policy, s *spool.Spool) {
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
	disk := func(name, help string, value func(spool.Space) (float64, bool)) {
		reg.GaugeVecFunc(metric.Def{Name: name, Help: help, Labels: []string{"name"}}, func(emit metric.Emit) {
			room, err := s.Space()
			if err != nil {
				return
			}
			if v, ok := value(room.Space); ok {
				emit(v, "data")
			}
		})
	}
	disk("disk_free_bytes", "Bytes free on the spool's file system.", func(s spool.Space) (float64, bool) {
		return float64(s.FreeBytes), true
	})
	disk("disk_free_percent", "Share of the bytes of the spool's file system that is free, in percent.", func(s spool.Space) (float64, bool) {
		return percent(s.FreeBytes, s.TotalBytes)
	})
	disk("disk_free_inodes", "Inodes free on the spool's file system.", func(s spool.Space) (float64, bool) {
		return float64(s.FreeInodes), s.TotalInodes > 0
	})
	disk("disk_free_inodes_percent", "Share of the inodes of the spool's file system that is free, in percent.", func(s spool.Space) (float64, bool) {
		return percent(s.FreeInodes, s.TotalInodes)
	})
}

func percent(part, whole int64) (float64, bool) {
	if whole <= 0 {
		return 0, false
	}
	return 100 * float64(part) / float64(whole), true
}
