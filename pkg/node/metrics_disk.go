package node

import (
	"kumo/pkg/metric"
	"kumo/pkg/spool"
)

// measureDisks declares how much room the file systems have that the spool and the logs are on. The label is "data" for
// the spool, and its directory for a log.
func measureDisks(reg *metric.Registry, s *spool.Spool, logs []string) {
	disk := func(name, help string, value func(spool.Space) (float64, bool)) {
		reg.GaugeVecFunc(metric.Def{Name: name, Help: help, Labels: []string{"name"}}, func(emit metric.Emit) {
			if room, err := s.Space(); err == nil {
				if v, ok := value(room.Space); ok {
					emit(v, "data")
				}
			}
			for _, dir := range logs {
				if room, err := (spool.OS{}).Space(dir); err == nil {
					if v, ok := value(room); ok {
						emit(v, dir)
					}
				}
			}
		})
	}
	disk("disk_free_bytes", "Bytes free on the file system of the spool (data) and of each log directory.", func(s spool.Space) (float64, bool) {
		return float64(s.FreeBytes), true
	})
	disk("disk_free_percent", "Share of the bytes that is free on the file system of the spool (data) and of each log directory, in percent.", func(s spool.Space) (float64, bool) {
		return percent(s.FreeBytes, s.TotalBytes)
	})
	disk("disk_free_inodes", "Inodes free on the file system of the spool (data) and of each log directory.", func(s spool.Space) (float64, bool) {
		return float64(s.FreeInodes), s.TotalInodes > 0
	})
	disk("disk_free_inodes_percent", "Share of the inodes that is free on the file system of the spool (data) and of each log directory, in percent.", func(s spool.Space) (float64, bool) {
		return percent(s.FreeInodes, s.TotalInodes)
	})
}

func percent(part, whole int64) (float64, bool) {
	if whole <= 0 {
		return 0, false
	}
	return 100 * float64(part) / float64(whole), true
}

// measureSpool declares what the spool says of itself.
func measureSpool(reg *metric.Registry, s *spool.Spool) {
	gauge := func(name, help string, value func(spool.Stats) float64) {
		reg.GaugeFunc(name, help, func() float64 { return value(s.Stats()) })
	}
	counter := func(name, help string, value func(spool.Stats) int64) {
		reg.CounterVecFunc(metric.Def{Name: name, Help: help}, func(emit metric.Emit) { emit(float64(value(s.Stats()))) })
	}
	gauge("spool_message_count", "Messages in the spool, held and trashed ones included.", func(st spool.Stats) float64 { return float64(st.Live) })
	gauge("spool_log_bytes", "Bytes of the spool's log.", func(st spool.Stats) float64 { return float64(st.Bytes) })
	gauge("spool_log_segments", "Files of the spool's log.", func(st spool.Stats) float64 { return float64(st.Segments) })
	counter("spool_syncs_total", "Syncs of the spool's log.", func(st spool.Stats) int64 { return st.Syncs })
	counter("spool_failures_total", "Writes and syncs of the spool's log that failed.", func(st spool.Stats) int64 { return st.Failures })
	counter("spool_written_bytes_total", "Bytes written to the spool's log.", func(st spool.Stats) int64 { return st.Written })
	reg.GaugeFunc("spool_unhealthy", "1 while the spool's disk fails, so that no mail is taken and, unless policy says otherwise, none delivered.", func() float64 {
		if s.Healthy() != nil {
			return 1
		}
		return 0
	})
}
