package node

import (
	"context"
	"fmt"
	"reflect"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"kumo/pkg/mail"
	"kumo/pkg/message"
	"kumo/pkg/queue"
	"kumo/pkg/spool"
)

// enumerator asks policy about the messages that wait in the spool, before the queues have them.
type enumerator struct {
	spool   *spool.Spool
	ask     func(context.Context, *message.Message) error
	restore func(queue.Entry)
	threads int // 0: as many as there are processors
	done    atomic.Int64
	changed atomic.Int64
}

// enumerate hands what the spool kept to the scheduled queues, through policy if that wants to see it. Messages that
// an order holds or has trashed are not asked about: nobody wants to send them.
func (n *server) enumerate(ctx context.Context, s *spool.Spool, live func(queue.Entry)) error {
	if !n.plan.policy.Enumerates() {
		var wg sync.WaitGroup
		parts := runtime.NumCPU()
		for part := range parts {
			wg.Go(func() {
				s.LiveShare(part, parts, func(e spool.Entry) bool {
					live(entryOf(&e))
					return true
				})
			})
		}
		wg.Wait()
		return nil
	}
	e := &enumerator{spool: s, ask: n.plan.policy.MessageEnumerated, restore: live, threads: n.plan.setup.SpoolinThreads}
	began := time.Now()
	tell := time.NewTicker(5 * time.Second)
	defer tell.Stop()
	result := make(chan error, 1)
	go func() { result <- e.run(ctx) }()
	for {
		select {
		case <-tell.C:
			n.Log.Info("policy looks at the messages in the spool", "done", e.done.Load(), "of", s.Len())
		case err := <-result:
			if err == nil && e.done.Load() > 0 {
				n.Log.Info("policy has looked at the messages in the spool", "messages", e.done.Load(), "changed", e.changed.Load(),
					"took", time.Since(began).Round(time.Millisecond))
			}
			return err
		}
	}
}

// run asks about all messages, some of them at the same time. The first error ends it.
func (e *enumerator) run(ctx context.Context) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	threads := e.threads
	if threads == 0 {
		threads = runtime.NumCPU()
	}
	entries := make(chan spool.Entry, threads)
	var wg sync.WaitGroup
	for range threads {
		wg.Go(func() {
			for x := range entries {
				if ctx.Err() != nil {
					continue
				}
				if err := e.one(ctx, &x); err != nil {
					stop(err)
				}
			}
		})
	}
	e.spool.Live(func(x spool.Entry) bool {
		entries <- x
		return ctx.Err() == nil
	})
	close(entries)
	wg.Wait()
	return context.Cause(ctx)
}

// one asks about one message and hands it on.
func (e *enumerator) one(ctx context.Context, x *spool.Entry) error {
	at := entryOf(x)
	if at.Place == queue.Waiting {
		m, err := e.spool.Load(x.ID)
		if err == nil { // a damaged message is the queue's business, when it is due
			if at.Queue, err = e.consult(ctx, m); err != nil {
				return fmt.Errorf("spool_message_enumerated for message %s: %w", x.ID, err)
			}
			e.done.Add(1)
		}
	}
	e.restore(at)
	return nil
}

// consult asks about m, keeps what was changed, and returns its scheduled queue.
func (e *enumerator) consult(ctx context.Context, m *message.Message) (string, error) {
	before := m.Meta.All()
	sender, recipients := m.Sender, slices.Clone(m.Recipients)
	if err := e.ask(ctx, m); err != nil {
		return "", err
	}
	if m.Sender == sender && slices.Equal[[]mail.Address](m.Recipients, recipients) && reflect.DeepEqual(before, m.Meta.All()) {
		return m.Queue, nil
	}
	e.changed.Add(1)
	m.Queue = m.QueueName()
	return m.Queue, e.spool.Update(m)
}
