package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kumo/pkg/journal"
	"kumo/pkg/mail"
	"kumo/pkg/message"
	"kumo/pkg/spool"
)

// desert is a spool with its journal, without a daemon: tests put records and messages where they want.
type desert struct {
	t       *testing.T
	dir     string
	logs    []string
	spool   *spool.Spool
	journal *journal.Journal
	now     time.Time
}

func newDesert(t *testing.T, loggers ...journal.FileOptions) *desert {
	t.Helper()
	root := t.TempDir()
	d := &desert{t: t, dir: filepath.Join(root, "spool"), now: time.Now().Add(-time.Hour)}
	if loggers == nil {
		loggers = []journal.FileOptions{{LogDir: "log"}}
	}
	for i := range loggers {
		loggers[i].LogDir = filepath.Join(root, loggers[i].LogDir)
		d.logs = append(d.logs, loggers[i].Dirs()...)
	}
	var err error
	quiet := slog.New(slog.DiscardHandler)
	if d.journal, err = journal.Open(journal.Config{Files: loggers, Log: quiet}); err != nil {
		t.Fatal(err)
	}
	if d.spool, err = spool.Open(t.Context(), spool.Config{Dir: d.dir, Log: quiet, LogDirs: d.logs}); err != nil {
		t.Fatal(err)
	}
	return d
}

// take takes a message in, as intake does.
func (d *desert) take(n int, rcpts ...string) *message.Message {
	d.t.Helper()
	d.now = d.now.Add(time.Second)
	m := &message.Message{ID: message.ID{8, byte(n), byte(n >> 8)}, Sender: mail.Restore("s@x"), Meta: message.NewMeta(nil), Queue: "q", Created: d.now}
	for _, r := range rcpts {
		m.Recipients = append(m.Recipients, mail.Restore(r))
	}
	m.SetData([]byte("Subject: x\r\n\r\nx\r\n"))
	if err := d.spool.Accept(context.Background(), "", m); err != nil {
		d.t.Fatal(err)
	}
	d.record(journal.Reception, m)
	return m
}

func (d *desert) record(t journal.Type, m *message.Message, rcpts ...string) {
	d.now = d.now.Add(time.Millisecond)
	r := &journal.Record{Type: t, Msg: m, Time: d.now}
	if t == journal.Reception {
		r.Time = m.Created
	}
	for _, s := range rcpts {
		r.Recipients = append(r.Recipients, mail.Restore(s))
	}
	d.journal.Record(r)
}

func (d *desert) end(m *message.Message, why spool.Ending) {
	d.t.Helper()
	if err := d.spool.End(m.ID, why); err != nil {
		d.t.Fatal(err)
	}
}

// leave closes both, as an orderly stop does.
func (d *desert) leave() {
	d.t.Helper()
	if err := d.journal.Close(); err != nil {
		d.t.Fatal(err)
	}
	if err := d.spool.Close(); err != nil {
		d.t.Fatal(err)
	}
}

func (d *desert) audit() *AuditResult {
	d.t.Helper()
	r, err := Audit(d.t.Context(), AuditOptions{Spool: d.dir})
	if err != nil {
		d.t.Fatal(err)
	}
	return r
}

// said is what an audit found, in short.
func said(r *AuditResult) string {
	var b strings.Builder
	fmt.Fprintf(&b, "received %d ended %v queued %d", r.Received, r.Ended, r.Queued)
	for _, n := range []struct {
		name string
		n    int64
	}{
		{"undone", r.Undone},
		{"discarded", r.Discarded},
		{"deferred", r.Deferred},
		{"before", r.Before},
		{"moving", r.Moving},
		{"unlogged", r.Unlogged},
		{"known lost", r.KnownLost},
		{"problems", r.Problems},
	} {
		if n.n != 0 {
			fmt.Fprintf(&b, " %s %d", n.name, n.n)
		}
	}
	for _, f := range r.Findings {
		fmt.Fprintf(&b, "; %s %d %s", f.Kind, f.ID[1], f.Recipient)
		if f.Excused {
			b.WriteString(" (excused)")
		}
	}
	return b.String()
}

func TestAuditBalances(t *testing.T) {
	d := newDesert(t)
	one := d.take(1, "a@y")
	d.record(journal.TransientFailure, one, "a@y")
	d.record(journal.Delivery, one, "a@y")
	d.end(one, spool.EndDelivered)
	d.take(2, "a@y", "b@y") // waits
	three := d.take(3, "a@y", "b@y", "\xffc@y")
	d.record(journal.Delivery, three, "b@y")
	d.record(journal.Bounce, three, "a@y")
	three.Recipients = three.Recipients[2:]
	if err := d.spool.Update(three); err != nil {
		t.Fatal(err)
	}
	four := d.take(4, "a@y")
	d.record(journal.Expiration, four)
	d.end(four, spool.EndExpired)
	five := d.take(5, "a@y", "b@y") // bounced by an order, and that undone
	d.record(journal.AdminBounce, five)
	d.record(journal.AdminUndo, five)
	six := d.take(6, "a@y") // bounced, undone, bounced again
	d.record(journal.AdminBounce, six)
	d.record(journal.AdminUndo, six)
	d.record(journal.AdminBounce, six)
	d.end(six, spool.EndAdminBounced)
	seven := d.take(7, "a@y")
	d.record(journal.XferOut, seven)
	d.end(seven, spool.EndDelivered)
	d.leave()
	r := d.audit()
	want := "received 11 ended map[AdminBounce:4 Bounce:1 Delivery:2 Expiration:1 XferOut:1] queued 5 undone 3"
	if got := said(r); got != want || !r.OK() || r.Messages != 7 || r.Held {
		t.Errorf("%s\nwant %s\n%+v", got, want, r)
	}
}

func TestAuditFinds(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(d *desert)
		want string // behind the figures
	}{
		{"a lost message", func(d *desert) { // as if the disk had lost it
			d.record(journal.Reception, &message.Message{ID: message.ID{8, 9}, Created: d.now, Meta: message.NewMeta(nil), Recipients: []mail.Address{mail.Restore("a@y"), mail.Restore("b@y")}})
		}, "problems 2; lost 9 a@y; lost 9 b@y"},
		{"a lost record of an end", func(d *desert) { d.end(d.take(9, "a@y"), spool.EndDelivered) }, "problems 1; unrecorded 9 a@y"},
		{"a lost record of one of two ends", func(d *desert) {
			m := d.take(9, "a@y", "b@y")
			d.record(journal.Delivery, m, "b@y")
			d.end(m, spool.EndDelivered)
		}, "problems 1; unrecorded 9 a@y"},
		{"a lost record of a reception", func(d *desert) {
			m := d.take(9, "a@y")
			d.now = d.now.Add(time.Second)
			other := &message.Message{ID: message.ID{8, 10}, Created: d.now, Meta: m.Meta, Recipients: m.Recipients}
			d.record(journal.Delivery, other)
			d.record(journal.Delivery, m)
			d.end(m, spool.EndDelivered)
		}, "problems 1; unreceived 10 a@y"},
		{"a message in the spool that was never received", func(d *desert) {
			m := &message.Message{ID: message.ID{8, 9}, Created: d.now, Meta: message.NewMeta(nil), Queue: "q", Recipients: []mail.Address{mail.Restore("a@y")}}
			m.SetData([]byte("x: y\r\n\r\n"))
			if err := d.spool.Accept(d.t.Context(), "", m); err != nil {
				d.t.Fatal(err)
			}
		}, "problems 1; unreceived 9 a@y"},
		{"two ends", func(d *desert) {
			m := d.take(9, "a@y")
			d.record(journal.Delivery, m)
			d.record(journal.Bounce, m)
			d.end(m, spool.EndDelivered)
		}, "problems 1; repeated 9 a@y"},
		{"an end, and in the spool", func(d *desert) { d.record(journal.Delivery, d.take(9, "a@y")) }, "problems 1; both 9 a@y"},
		{"an end of somebody else", func(d *desert) {
			m := d.take(9, "a@y")
			d.record(journal.Delivery, m, "b@y")
			d.end(m, spool.EndDelivered)
		}, "problems 2; unrecorded 9 a@y; unreceived 9 b@y"},
		{"a segment that was removed", func(d *desert) {
			m := &message.Message{ID: message.ID{8, 9}, Created: d.now, Meta: message.NewMeta(nil), Recipients: []mail.Address{mail.Restore("a@y")}}
			d.record(journal.Reception, m)
			line := fmt.Sprintf("{\"kind\":\"lost message\",\"id\":%q,\"lost\":true}\n", m.ID)
			into := filepath.Join(d.dir, "damaged")
			if err := errors.Join(os.MkdirAll(into, 0o700), os.WriteFile(filepath.Join(into, "lost-1.jsonl"), []byte(line), 0o600)); err != nil {
				d.t.Fatal(err)
			}
		}, "known lost 1"},
		{"a withdrawal", func(d *desert) { d.end(d.take(9, "a@y"), spool.EndDiscarded) }, "discarded 1"},
		{"deferred_spool", func(d *desert) {
			m := &message.Message{ID: message.ID{8, 9}, Created: d.now, Meta: message.NewMeta(nil), Recipients: []mail.Address{mail.Restore("a@y")}}
			r := &journal.Record{Type: journal.Reception, Msg: m, Time: d.now}
			r.Response.Code, r.Response.Text = 250, "deferred_spool: not stored before the first attempt fails"
			d.journal.Record(r)
		}, "deferred 1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newDesert(t)
			d.take(1, "a@y")
			c.do(d)
			d.leave()
			r := d.audit()
			if got := said(r); !strings.HasSuffix(got, " "+c.want) || r.OK() == strings.Contains(c.want, "problems") {
				t.Errorf("%s\nwant … %s", got, c.want)
			}
		})
	}
}

// TestAuditOfOldMail: what was received before the oldest record is told apart, wherever it is now.
func TestAuditOfOldMail(t *testing.T) {
	d := newDesert(t, journal.FileOptions{LogDir: "log", MaxFileSize: 1})
	old := d.take(1, "a@y", "b@y")
	waits := d.take(2, "a@y")
	_ = waits
	if err := d.journal.Flush(); err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob(filepath.Join(d.logs[0], "2*"))
	for _, f := range files {
		_ = os.Remove(f) // the administrator tidies up
	}
	d.take(3, "a@y")
	d.record(journal.Delivery, old)
	d.end(old, spool.EndDelivered)
	d.leave()
	if got, want := said(d.audit()), "received 1 ended map[] queued 1 before 3"; got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}

// TestAuditOfSeveralLogs: what two loggers write counts once, and types may be kept in places of their own.
func TestAuditOfSeveralLogs(t *testing.T) {
	d := newDesert(t,
		journal.FileOptions{LogDir: "log", PerRecord: map[string]journal.PerRecord{"Bounce": {Enable: true, Suffix: "_b"}}},
		journal.FileOptions{LogDir: "other", MaxFileSize: 2000, PerRecord: map[string]journal.PerRecord{"Reception": {}}},
	)
	for i := range 200 {
		m := d.take(i, "a@y", "b@y")
		d.record(journal.Delivery, m, "a@y")
		d.record(journal.Bounce, m, "b@y")
		d.end(m, spool.EndDelivered)
	}
	d.leave()
	if got, want := said(d.audit()), "received 400 ended map[Bounce:200 Delivery:200] queued 0"; got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}

func TestAuditBoundsWhatItNames(t *testing.T) {
	d := newDesert(t)
	for i := range 300 {
		d.end(d.take(i, "a@y"), spool.EndDelivered)
	}
	d.leave()
	r, err := Audit(t.Context(), AuditOptions{Spool: d.dir, Named: 7})
	if err != nil || r.Problems != 300 || len(r.Findings) != 7 || r.Counts[AuditUnrecorded] != 300 {
		t.Errorf("%v %+v", err, r)
	}
	if _, err := Audit(t.Context(), AuditOptions{Spool: t.TempDir(), Logs: []string{t.TempDir()}}); err == nil {
		t.Error("a directory without a spool was audited")
	}
}

// TestAuditBesideItsOwner: mail that moves while the audit runs is no finding.
func TestAuditBesideItsOwner(t *testing.T) {
	d := newDesert(t)
	done := make(chan error, 1)
	run, stop := context.WithCancel(t.Context())
	go func() { done <- d.journal.Run(run) }()
	work, rest := context.WithCancel(t.Context())
	begun, idle := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(idle)
		for i := 0; work.Err() == nil; i++ {
			d.now = time.Now().Add(-time.Second) // take adds one
			m := d.take(i, "a@y", "b@y")
			d.now = time.Now()
			d.record(journal.Delivery, m)
			d.end(m, spool.EndDelivered)
			if i == 1000 {
				close(begun)
			}
		}
	}()
	<-begun
	r := d.audit()
	if !r.OK() || !r.Held || r.Received == 0 {
		t.Errorf("%s", said(r))
	}
	rest()
	<-idle
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	d.leave()
	if r := d.audit(); !r.OK() {
		t.Errorf("at the end: %s", said(r))
	}
}
