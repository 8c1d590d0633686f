package policy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"kumo/pkg/mail"
	"kumo/pkg/message"
	"kumo/pkg/option"
	"kumo/pkg/smtp"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew")

const policies = "testdata/policies"

// The mail that each policy gets to see: recipient, headers.
var testMail = []struct{ to, headers string }{
	{"user@example.com", "From: Me <me@example.org>\r\nTo: user@example.com\r\nSubject: hello\r\nX-Tenant: gold\r\n"},
	{"user@gmail.com", "Received: from x\r\nReceived: from y\r\nFrom: me@example.org\r\nTo: a@b.example, \"C, D\" <c@d.example>\r\nX-Campaign: flash\r\nX-Mailer: acme\r\nX-Secret: 1\r\nX-Twice: one\r\nX-Twice: =?utf-8?q?zw=C3=B6lf?=\r\n"},
	{"user@internal.example.com", "Subject: no from\r\nX-Tenant: slow\r\n"},
	{"soft@example.com", ""},
	{"hard@example.com", ""},
	{"plain@example.com", ""},
	{"gone@example.com", ""},
	{"bug@example.com", ""},
}

// Each policy is loaded and started, sees the test mail, and is asked the questions that follow from it. What it
// answered is compared with a golden file.
func TestPolicies(t *testing.T) {
	files, err := filepath.Glob(policies + "/*.lua")
	if err != nil || len(files) == 0 {
		t.Fatalf("no policies: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			got := runPolicy(t, file)
			golden := strings.TrimSuffix(file, ".lua") + ".golden"
			if *rewrite {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

func runPolicy(t *testing.T, file string) string {
	t.Helper()
	ctx := context.Background()
	var out, printed bytes.Buffer
	here, _ := os.Getwd()
	clean := strings.NewReplacer(policies+"/", "", here, "(cwd)")
	p, err := Load(ctx, Options{
		Path: file, Version: "2026.11.20-test", StateDir: "/state", Print: &printed,
		Log:          slog.New(slog.NewTextHandler(&printed, &slog.HandlerOptions{ReplaceAttr: noTime})),
		HTTPListener: func(option.Layer) error { return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	setup, err := p.Start(ctx)
	if err != nil {
		t.Fatal(err)
	}
	showSetup(&out, &setup)
	conn := message.NewMeta(nil)
	conn.Set("received_from", "127.0.0.1:5000")
	ids := message.NewIDSource(fixedClock)
	for i, tm := range testMail {
		m := &message.Message{ID: ids.Next(), Sender: mail.Restore("me@example.org"), Recipients: []mail.Address{mail.Restore(tm.to)}, Meta: message.NewMeta(conn)}
		m.SetData([]byte(tm.headers + "\r\nbody\r\n"))
		fmt.Fprintf(&out, "mail %s\n", tm.to)
		if err := p.MessageReceived(ctx, "ESMTP", m, conn); err != nil {
			showError(&out, err)
			continue
		}
		if i > 2 { // those are for rejections
			continue
		}
		showMessage(&out, m, tm.headers)
		showRoute(ctx, &out, p, m)
	}
	showDomains(ctx, &out, p, conn)
	if n := conn.Get("x_count"); n != nil {
		fmt.Fprintf(&out, "connection x_count %v\n", n)
	}
	if _, err := p.Validate(ctx); err != nil {
		fmt.Fprintf(&out, "validate: %v\n", err)
	}
	if printed.Len() > 0 {
		fmt.Fprintf(&out, "said:\n%s", &printed)
	}
	return clean.Replace(out.String())
}

func noTime(_ []string, a slog.Attr) slog.Attr {
	if a.Key == slog.TimeKey {
		return slog.Attr{}
	}
	return a
}

// showTrace prints the options that somebody set.
func showTrace(out *bytes.Buffer, indent, name string, tr option.Trace) {
	fmt.Fprintf(out, "%s%s\n", indent, name)
	for _, e := range tr {
		if !e.IsDefault() {
			b, _ := json.Marshal(e.Value)
			fmt.Fprintf(out, "%s  %s = %s  %s\n", indent, e.Name, b, e.Origin)
		}
	}
}

func showSetup(out *bytes.Buffer, s *Setup) {
	for _, r := range s.Spools {
		showTrace(out, "", "spool", r.Trace)
	}
	for _, r := range s.Logs {
		showTrace(out, "", "logs", r.Trace)
	}
	for _, r := range s.ESMTP {
		showTrace(out, "", "esmtp listener", r.Trace)
	}
	for _, l := range s.HTTP {
		fmt.Fprintf(out, "http listener %v\n", l["listen"].Value)
	}
	if s.Resolver != nil {
		showTrace(out, "", "resolver", s.Resolver.Trace)
	}
}

func showError(out *bytes.Buffer, err error) {
	var reply *smtp.Error
	if errors.As(err, &reply) {
		fmt.Fprintf(out, "  peer hears %s (disconnect %v)\n", reply.Reply, reply.Disconnect)
		return
	}
	first, _, _ := strings.Cut(err.Error(), "\n")
	fmt.Fprintf(out, "  local fault: %s\n", first)
}

func showMessage(out *bytes.Buffer, m *message.Message, before string) {
	if m.Sender.String() != "me@example.org" {
		fmt.Fprintf(out, "  sender %s\n", m.Sender)
	}
	meta := m.Meta.All()
	keys := make([]string, 0, len(meta))
	for k := range meta {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	for _, k := range keys {
		b, _ := json.Marshal(meta[k])
		fmt.Fprintf(out, "  meta %s = %s\n", k, b)
	}
	data, _ := m.Data()
	if string(data) != before+"\r\nbody\r\n" {
		head, _, _ := strings.Cut(string(data), "\r\n\r\n")
		fmt.Fprintf(out, "  header now\n    | %s\n", strings.ReplaceAll(head, "\r\n", "\n    | "))
	}
}

func showRoute(ctx context.Context, out *bytes.Buffer, p *Policy, m *message.Message) {
	name := m.QueueName()
	fmt.Fprintf(out, "  queue %s\n", name)
	if name == message.NullQueue {
		return
	}
	q, err := p.QueueConfig(ctx, message.ParseQueueName(name))
	if err != nil {
		showError(out, err)
		return
	}
	showTrace(out, "    ", "queue config", q.Trace)
	pool, err := p.EgressPool(ctx, q.Value.EgressPool)
	if err != nil {
		showError(out, err)
		return
	}
	for _, e := range pool.Value.Entries {
		src, err := p.EgressSource(ctx, e.Name)
		if err != nil {
			showError(out, err)
			return
		}
		fmt.Fprintf(out, "    source %s weight %d address %v\n", e.Name, e.Weight, orNone(src.Value.SourceAddress))
	}
	path, err := p.EgressPath(ctx, message.ParseQueueName(name).Effective(), "ip-1", "mx.google.com")
	if err != nil {
		showError(out, err)
		return
	}
	showTrace(out, "    ", "path", path.Trace)
}

func orNone(a netip.Addr) string {
	if !a.IsValid() {
		return "any"
	}
	return a.String()
}

func showDomains(ctx context.Context, out *bytes.Buffer, p *Policy, conn *message.Meta) {
	for _, d := range []string{"example.com", "client.example", "other.example"} {
		dom, err := p.ListenerDomain(ctx, d, "127.0.0.1:25", conn)
		if err != nil {
			showError(out, err)
			continue
		}
		fmt.Fprintf(out, "listener domain %s: relay_to %v, relay_from loopback %v, 10.0.0.9 %v\n", d, dom.RelayTo,
			dom.RelayFrom.Contains(netip.MustParseAddr("127.0.0.1")), dom.RelayFrom.Contains(netip.MustParseAddr("10.0.0.9")))
	}
}
