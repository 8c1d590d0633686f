package spool_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kumo/pkg/kumotest"
	"kumo/pkg/message"
	"kumo/pkg/spool"
)

// TestARecoveryCanBeCutShort is fault F06: a start that is told to end, while it reads a long log, ends at once and has
// changed nothing; the next one finds everything.
func TestARecoveryCanBeCutShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 20_000
		disk := kumotest.NewCrashFS()
		s := openWith(t, disk, 1<<20)
		next := newID()
		for range n / 100 {
			var ms []*message.Message
			for range 100 {
				ms = append(ms, newMessage(next(), "body"))
			}
			if err := s.Accept(context.Background(), "", ms...); err != nil {
				t.Fatal(err)
			}
		}
		_ = s.Close()
		content := func() string {
			var b strings.Builder
			for _, name := range disk.Names() {
				if strings.Contains(name, "/log") {
					fmt.Fprintf(&b, "%s %x\n", name, disk.Bytes(name))
				}
			}
			return b.String()
		}
		before := content()
		ctx, cancel := context.WithCancel(context.Background())
		told := int64(0)
		cfg := crashConfig(disk)
		cfg.Progress = func(done, total int64) {
			if told == 0 && done > total/4 {
				told = done
				cancel()
			}
			if told > 0 && done > total/2 {
				t.Errorf("recovery goes on at %d of %d bytes; it was told to end at %d", done, total, told)
			}
		}
		if s, err := spool.Open(ctx, cfg); !errors.Is(err, context.Canceled) {
			t.Errorf("open: %v, want context.Canceled", err)
			_ = s.Close()
		}
		if content() != before {
			t.Error("a recovery that was cut short changed the log")
		}
		s = openWith(t, disk, 1<<20)
		if s.Len() != n {
			t.Errorf("%d messages, want %d", s.Len(), n)
		}
		_ = s.Close()
	})
}

// TestDatabasesHeldByOthers is fault F48: somebody's sqlite3 holds the writer's lock of index.db and of orders.db. Mail is
// not affected, whoever leaves an order is told in time, and everything is made up for afterwards.
func TestDatabasesHeldByOthers(t *testing.T) {
	dir := t.TempDir()
	s := openIndexed(t, dir)
	defer s.Close()
	next := newID()
	stock(t, s, next, 10)
	indexed(t, dir, 10)
	var held []*sql.Conn
	for _, name := range []string{"index.db", "orders.db"} {
		db, err := sql.Open("sqlite", filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		conn, err := db.Conn(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		eventually(t, name+" is held", func() bool {
			_, err := conn.ExecContext(context.Background(), "BEGIN EXCLUSIVE")
			return err == nil
		})
		held = append(held, conn)
	}
	began := time.Now()
	ids := stock(t, s, next, 200)
	for _, id := range ids[100:] {
		if err := s.End(id, spool.EndDelivered); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(s.Flush(), s.Healthy()); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("mail took %s while the databases were held", took)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	outside, err := spool.OpenOrders(ctx, dir)
	if err == nil {
		if _, err = outside.Append(ctx, command(t, spool.OrderRequeue, spool.Command{Match: spool.Match{All: true}})); err == nil {
			t.Error("an order was left in a table that somebody else has locked")
		}
		_ = outside.Close()
	}
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("whoever leaves an order waits for %s", took)
	}
	for _, conn := range held {
		if _, err := conn.ExecContext(context.Background(), "ROLLBACK"); err != nil {
			t.Error(err)
		}
	}
	eventually(t, "the index has made up for it", func() bool { return len(list(t, dir, spool.Filter{})) == 110 })
	outside, err = spool.OpenOrders(context.Background(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer outside.Close()
	if _, err := outside.Append(context.Background(), command(t, spool.OrderRequeue, spool.Command{Match: spool.Match{All: true}})); err != nil {
		t.Error(err)
	}
}
