package node

import (
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"kumo/pkg/journal"
	"kumo/pkg/mail"
	"kumo/pkg/message"
	"kumo/pkg/spool"
)

// BenchmarkAudit audits logs of messages that were received and delivered, a thousand of them open at a time.
func BenchmarkAudit(b *testing.B) {
	const messages = 100_000
	root := b.TempDir()
	dir, logs := filepath.Join(root, "spool"), filepath.Join(root, "log")
	quiet := slog.New(slog.DiscardHandler)
	j, err := journal.Open(journal.Config{Files: []journal.FileOptions{{LogDir: logs}}, Log: quiet})
	if err != nil {
		b.Fatal(err)
	}
	s, err := spool.Open(b.Context(), spool.Config{Dir: dir, Log: quiet, LogDirs: []string{logs}})
	if err != nil {
		b.Fatal(err)
	}
	ids := message.NewIDSource(time.Now)
	var open []*message.Message
	now := time.Now().Add(-time.Hour)
	for i := range messages {
		if i%10_000 == 0 {
			_ = j.Flush()
		}
		now = now.Add(30 * time.Microsecond)
		m := &message.Message{
			ID: ids.Next(), Sender: mail.Restore("bounces+someone@news.example.com"), Created: now, Queue: "tenant@example.net", Meta: message.NewMeta(nil),
			Recipients: []mail.Address{mail.Restore("somebody@example.net")}, Size: 1000,
		}
		j.Record(&journal.Record{Type: journal.Reception, Msg: m, Time: now, PeerName: "load.example.com", PeerAddr: "192.0.2.1"})
		if open = append(open, m); len(open) > 1000 {
			j.Record(&journal.Record{Type: journal.Delivery, Msg: open[0], Time: now})
			open = open[1:]
		}
	}
	for _, m := range open {
		j.Record(&journal.Record{Type: journal.Delivery, Msg: m, Time: now})
	}
	if err := j.Close(); err != nil {
		b.Fatal(err)
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		r, err := Audit(b.Context(), AuditOptions{Spool: dir})
		if err != nil || !r.OK() || r.Received != messages {
			b.Fatal(err, r)
		}
	}
	b.ReportMetric(float64(b.N)*2*messages/b.Elapsed().Seconds(), "records/s")
}
