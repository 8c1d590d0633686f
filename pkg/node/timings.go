package node

import (
	"context"
	"time"

	"kumo/pkg/message"
	"kumo/pkg/metric"
	"kumo/pkg/spool"
)

// timings are how long the spool takes.
type timings struct{ save, meta, data *metric.Histogram }

func newTimings(reg *metric.Registry) *timings {
	return &timings{
		save: reg.Histogram("message_save_latency", "Seconds until messages of a transaction were on stable storage."),
		meta: reg.Histogram("message_meta_load_latency", "Seconds until a message that is due was read back, without its content."),
		data: reg.Histogram("message_data_load_latency", "Seconds until the content of a message was read back."),
	}
}

// bodies is the spool where it brings contents back, with a clock.
type bodies struct {
	spool *spool.Spool
	times *timings
}

// Body implements message.Body.
func (b *bodies) Body(id message.ID) ([]byte, error) {
	began := time.Now()
	data, err := b.spool.Body(id)
	b.times.data.ObserveDuration(time.Since(began))
	return data, err
}

// Accept implements intake.Store.
func (k keeper) Accept(ctx context.Context, order string, ms ...*message.Message) error {
	began := time.Now()
	err := k.store.Accept(ctx, order, ms...)
	k.times.save.ObserveDuration(time.Since(began))
	if err == nil {
		for _, m := range ms {
			m.SetLoader(k.bodies)
		}
	}
	return err
}

// measureResident declares how many messages memory has. r is nil for the manual.
func measureResident(reg *metric.Registry, r *rooms) {
	reg.GaugeFunc("message_data_resident_count", "Messages with their content in memory.", func() float64 {
		_, bodies := r.ready.Resident()
		return float64(bodies + r.queues.Holding())
	})
	reg.GaugeFunc("message_meta_resident_count", "Messages with their metadata in memory. Those that wait have neither there.", func() float64 {
		messages, _ := r.ready.Resident()
		return float64(messages + r.queues.Holding())
	})
}
