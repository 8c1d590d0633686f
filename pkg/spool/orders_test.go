package spool_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kumo/pkg/message"
	"kumo/pkg/spool"
)

func runOrders(t testing.TB, s *spool.Spool, exec func(ctx context.Context, o spool.Order) spool.Result) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := s.RunOrders(ctx, exec); err != nil {
			t.Error(err)
		}
	})
	return func() {
		cancel()
		wg.Wait()
	}
}

func TestInjectOrders(t *testing.T) {
	dir := t.TempDir()
	ctx := context.Background()
	outside, err := spool.OpenOrders(ctx, dir)
	if err != nil {
		t.Fatal(err)
	}
	defer outside.Close()
	var orders []spool.Order
	for i := range 150 {
		o, err := spool.NewInject("me", spool.Inject{Sender: "a@b.test", Recipients: []string{fmt.Sprint(i, "@c.test")}, Protocol: "Inject"}, []byte("Subject: x\r\n\r\n"))
		if err != nil {
			t.Fatal(err)
		}
		orders = append(orders, o)
	}
	before, err := outside.Append(ctx, orders[:75]...) // nobody owns the spool yet
	if err != nil {
		t.Fatal(err)
	}
	s := openIndexed(t, dir)
	next := newID()
	var ran atomic.Int64
	stop := runOrders(t, s, func(ctx context.Context, o spool.Order) spool.Result {
		ran.Add(1)
		in, err := o.Inject()
		if err != nil || len(in.Recipients) != 1 || string(o.Data) != "Subject: x\r\n\r\n" {
			t.Errorf("order %+v: %v", o, err)
		}
		if in.Recipients[0] == "7@c.test" {
			return spool.Result{Error: "550 5.7.1 not you"}
		}
		m := newMessage(next(), string(o.Data))
		if err := s.Accept(ctx, o.ID, m); err != nil {
			return spool.Result{Later: true}
		}
		return spool.Result{IDs: []message.ID{m.ID}}
	})
	after, err := outside.Append(ctx, orders[75:]...)
	if err != nil {
		t.Fatal(err)
	}
	done, err := outside.Wait(ctx, append(before, after...)...)
	if err != nil {
		t.Fatal(err)
	}
	for i, o := range done {
		if i == 7 {
			if o.State != spool.OrderFailed || o.Error != "550 5.7.1 not you" {
				t.Errorf("refused order: %+v", o)
			}
			continue
		}
		if o.State != spool.OrderDone || len(o.IDs) != 1 || o.Payload != nil {
			t.Errorf("order %d: %+v", i, o)
		}
	}
	if ran.Load() != 150 || s.Len() != 149 {
		t.Errorf("%d runs, %d messages", ran.Load(), s.Len())
	}
	start := time.Now()
	id, err := outside.Append(ctx, orders[0])
	if err != nil {
		t.Fatal(err)
	}
	if _, err := outside.Wait(ctx, id...); err != nil {
		t.Fatal(err)
	}
	t.Logf("an order took %s", time.Since(start))
	stop()
	_ = s.Close()
	if _, err := outside.Get(ctx, "none"); !errors.Is(err, spool.ErrNoOrder) {
		t.Errorf("unknown order: %v", err)
	}
}

func TestAnOrderIsDoneOnce(t *testing.T) {
	dir := t.TempDir()
	ctx := context.Background()
	s := openIndexed(t, dir)
	o, _ := spool.NewInject("me", spool.Inject{Recipients: []string{"a@b.test"}}, []byte("x"))
	id, err := s.Orders().Append(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	m := newMessage(newID()(), "x")
	if err := s.Accept(ctx, id[0], m); err != nil {
		t.Fatal(err)
	}
	var done *spool.OrderDoneError
	if err := s.Accept(ctx, id[0], newMessage(newID()(), "x")); !errors.As(err, &done) || !errors.Is(err, spool.ErrOrderDone) || done.IDs[0] != m.ID {
		t.Errorf("second acceptance: %v", err)
	}
	_ = s.Close() // as if the process had died before it could finish the order
	s = openIndexed(t, dir)
	stop := runOrders(t, s, func(context.Context, spool.Order) spool.Result {
		t.Error("order is carried out again")
		return spool.Result{}
	})
	got, err := s.Orders().Wait(ctx, id...)
	if err != nil || got[0].State != spool.OrderDone || len(got[0].IDs) != 1 || got[0].IDs[0] != m.ID {
		t.Errorf("order: %+v, %v", got, err)
	}
	stop()
	if _, known := s.OrderDone(id[0]); known {
		t.Error("the log still keeps the finished order")
	}
	_ = s.Close()
}

func TestDamagedOrdersDoNotStopMail(t *testing.T) {
	dir := t.TempDir()
	s := openIndexed(t, dir)
	if err := s.Accept(context.Background(), "", newMessage(newID()(), "x")); err != nil {
		t.Fatal(err)
	}
	_ = s.Close()
	remove(t, dir, "orders.db-wal", "orders.db-shm")
	if err := os.WriteFile(filepath.Join(dir, "orders.db"), []byte("this is no database, whoever says so, at all"), 0o600); err != nil {
		t.Fatal(err)
	}
	s = openIndexed(t, dir)
	if s.Len() != 1 {
		t.Errorf("%d messages", s.Len())
	}
	if _, err := os.Stat(filepath.Join(dir, "orders.db.damaged")); err != nil {
		t.Error(err)
	}
	_ = s.Close()
}
