package node

import (
	"kumo/pkg/metric"
	"kumo/pkg/spool"
)

// contexts counts Lua contexts: alive, and those that wait for work.
type contexts func() (alive, spare int)

// measure declares what only the node as a whole knows: memory, Lua contexts and the spool's disk.
func measure(reg *metric.Registry, m *memory, c contexts, s *spool.Spool) {
	reg.GaugeFunc("lua_count", "Lua contexts that are alive, at work or waiting for work.", func() float64 {
		alive, _ := c()
		return float64(alive)
	})
	reg.GaugeFunc("lua_spare_count", "Lua contexts that wait for work.", func() float64 {
		_, spare := c()
		return float64(spare)
	})
	reg.GaugeFunc("memory_limit", "Bytes of memory above which no new mail is taken: 75 % of what the process may have.",
		func() float64 { return float64(m.soft) })
	reg.GaugeFunc("memory_usage", "Bytes of memory that the process uses.",
		func() float64 { return float64(m.used.Load()) })
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
