package node

import (
	"runtime/metrics"

	"kumo/pkg/metric"
	"kumo/pkg/policy"
)

// measureMemory declares the metrics of memory.
func measureMemory(reg *metric.Registry, m *memory) {
	reg.GaugeFunc("memory_limit", "Bytes of memory above which no new mail is taken: 75 % of what the process may have, or what policy says.",
		func() float64 { return float64(m.soft()) })
	reg.GaugeFunc("memory_low_thresh", "Bytes of memory above which bodies leave memory as soon as they are stored.",
		func() float64 { return float64(m.Limit(policy.MemoryLow)) })
	reg.GaugeFunc("memory_usage", "Bytes of memory that the process uses.",
		func() float64 { return float64(m.used.Load()) })
	reg.GaugeFunc("memory_usage_rust", "Bytes of live objects as the runtime's allocator counts them. (KumoMTA's name.)",
		func() float64 { return heapBytes() })
	reg.CounterVecFunc(metric.Def{Name: "memory_low_count", Help: "How often memory came to be low."},
		func(emit metric.Emit) { emit(float64(m.lows.Load())) })
	reg.CounterVecFunc(metric.Def{Name: "memory_over_limit_count", Help: "How often memory came to be over its limit, so that no mail was taken."},
		func(emit metric.Emit) { emit(float64(m.overs.Load())) })
}

// heapBytes is what objects take, dead ones that were not collected yet included.
func heapBytes() float64 {
	s := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(s)
	if s[0].Value.Kind() != metrics.KindUint64 {
		return 0
	}
	return float64(s[0].Value.Uint64())
}
