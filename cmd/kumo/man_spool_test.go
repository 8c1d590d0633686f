package main

import (
	"context"
	"log/slog"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kumo/pkg/mail"
	"kumo/pkg/message"
	"kumo/pkg/spool"
)

// spoolSections are the parts of kumo-spool(5) about the index.
func spoolSections(p *page) {
	p.section1("VIEWS")
	p.text(`What waits in the spool can be read with SQL: with kumo sql, or with sqlite3 3.38 or later and the file index.db
while the daemon runs or not. kumo sql also sees what a daemon that died did not bring into the index any more, and holds
no daemon up; whoever reads with another program should not keep a transaction open for long. The views below are kept as
they are, columns are only added; the tables behind them change between versions.`)
	for _, v := range spool.Views() {
		p.b.WriteString(".SS \"" + v.Name + "\"\n")
		p.text(v.Doc)
		for _, c := range v.Columns {
			if v.Name == "trash" && c.Name != "trashed" {
				continue
			}
			p.item(bold(c.Name), c.Doc)
		}
		p.more(v.Answers)
		p.example(v.Example, false)
	}
	p.section1("CONDITIONS")
	p.text(`The flag --where of kumo queue takes a condition: one SQL expression over the columns of the view messages, as it
could stand behind WHERE. It is about one message: it can read no table, but the recipients are a list that
json_each(recipients) takes apart. Text stands between single quotation marks. A condition has at most 16,384 bytes, and a
pattern of LIKE or GLOB at most 512.`)
	for _, c := range conditions {
		p.example("kumo queue list --where \""+c+"\"", false)
	}
}

// conditions are examples; TestManQueries runs them.
var conditions = []string{
	"attempts > 5 AND last_response LIKE '4%'",
	"created < unixepoch('now', '-1 day') AND size > 1000000",
	"sender = '' OR tenant IN ('acme', 'blue')",
	"EXISTS (SELECT 1 FROM json_each(recipients) WHERE value LIKE '%@example.com')",
}

// TestManQueries runs every query of the manual with kumo sql and with Debian's sqlite3, and every condition.
func TestManQueries(t *testing.T) {
	shell, err := exec.LookPath("sqlite3")
	if err != nil {
		t.Skip("SKIP: Debian package sqlite3 is missing")
	}
	dir := t.TempDir()
	queriedSpool(t, dir)
	for _, v := range spool.Views() {
		c, out, errs := console()
		if code := run(c, []string{"sql", "--spool", dir, v.Example}); code != 0 || out.Len() == 0 {
			t.Errorf("%s: kumo sql: code %d, %q, %s", v.Name, code, out, errs)
		}
		plain, err := exec.Command(shell, "-batch", "-separator", "\t", "-nullvalue", "-", filepath.Join(dir, "index.db"), v.Example).CombinedOutput()
		if err != nil || strings.TrimSpace(string(plain)) != strings.TrimSpace(out.String()) {
			t.Errorf("%s: sqlite3 gives\n%s\nkumo sql gives\n%s\n%v", v.Name, plain, out, err)
		}
	}
	for i, w := range conditions {
		c, out, errs := console()
		if code := run(c, []string{"queue", "list", "--spool", dir, "--where", w}); code != 0 || out.Len() == 0 && i != 1 {
			t.Errorf("%s: code %d, %q, %s", w, code, out, errs)
		}
	}
}

// indexIsThere reports that the owner has made the index, which takes a moment.
func indexIsThere(dir string) bool {
	out, err := exec.Command("sqlite3", "-batch", filepath.Join(dir, "index.db"), "SELECT value FROM meta WHERE name = 'ready'").Output()
	return err == nil && len(strings.TrimSpace(string(out))) > 1
}

// queriedSpool makes a spool in which every view has rows.
func queriedSpool(t *testing.T, dir string) {
	t.Helper()
	ctx := context.Background()
	s, err := spool.Open(ctx, spool.Config{Dir: dir, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ids := message.NewIDSource(time.Now)
	var all []message.ID
	for _, tenant := range []string{"acme", "acme", "blue"} {
		m := &message.Message{
			ID: ids.Next(), Recipients: []mail.Address{mail.Restore("you@example.com")}, Meta: message.NewMeta(nil),
			Queue: tenant + "@example.com", Created: time.Now(), Attempts: 6, LastResponse: "451 4.7.1 later",
		}
		m.Tried(message.Try{At: time.Now(), Response: m.LastResponse, Source: "ip-1", Peer: "mx.example.com [192.0.2.1]"})
		m.SetData([]byte("Subject: x\r\n\r\n"))
		if err := s.Accept(ctx, "", m); err != nil {
			t.Fatal(err)
		}
		s.Give(m.ID)
		all = append(all, m.ID)
	}
	o, err := spool.NewCommand(spool.OrderBounce, "me", spool.Command{Match: spool.Match{Tenant: "acme"}, Reason: "test"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	orders, err := s.Orders().Append(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Apply(ctx, orders[0], spool.ChangeTrash, time.Time{}, all[:1]); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(90 * time.Second); !indexIsThere(dir); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("there is no index after 90 s")
		}
	}
	if err := s.Close(); err != nil { // brings everything into it
		t.Fatal(err)
	}
}
