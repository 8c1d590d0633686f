package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"kumo/pkg/kumotest"
)

const realPolicy = `
local kumo = require 'kumo'
kumo.on('init', function()
  kumo.define_spool { name = 'data', path = 'spool/data' }
  kumo.define_spool { name = 'meta', path = 'spool/meta' }
  kumo.configure_local_logs { log_dir = 'logs' }
  kumo.start_esmtp_listener { listen = '127.0.0.1:0', hostname = 'kumo.test' }
  kumo.dns.configure_resolver { name_servers = { os.getenv 'DNS' } }
end)
kumo.on('get_egress_path_config', function(domain, source, site)
  return kumo.make_egress_path {
    prohibited_hosts = {},
    smtp_port = tonumber(os.getenv(domain == 'postfix.test' and 'POSTFIXPORT' or 'SMTPSINKPORT')),
    enable_tls = 'OpportunisticInsecure',
  }
end)
`

// TestRealParts sends mail with swaks through kumo to smtp-sink and to a real Postfix, whose MX records NSD serves.
func TestRealParts(t *testing.T) {
	swaks := kumotest.Need(t, "swaks", "swaks")
	zone := `$ORIGIN test.
$TTL 30
@ SOA ns host 1 3600 600 86400 30
@ NS ns
ns A 127.0.0.1
postfix MX 10 mx.postfix
mx.postfix A 127.0.0.1
sink MX 10 dead.sink
sink MX 20 mx.sink
dead.sink A 127.0.0.99
mx.sink A 127.0.0.1
nullmx MX 0 .
`
	dns := kumotest.StartNSD(t, "test.", zone)
	postfix := kumotest.StartPostfix(t, "postfix.test")
	dump := t.TempDir()
	sink := kumotest.StartSMTPSink(t, dump)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "init.lua"), []byte(realPolicy), 0o644); err != nil {
		t.Fatal(err)
	}
	d, err := startDaemon(dir, append(os.Environ(), "HOME="+dir, "DNS="+dns, "POSTFIXPORT="+port(postfix.Addr), "SMTPSINKPORT="+port(sink)),
		"--policy", "init.lua", "--user", currentUser())
	if err != nil {
		t.Fatalf("%v\n%s", err, d.said())
	}
	t.Cleanup(d.kill)
	for i, to := range []string{"you@postfix.test", "you@sink.test", "nobody@nullmx.test", `"a b"@postfix.test`} {
		out, err := exec.Command(swaks, "--server", d.smtp, "--from", "me@example.com", "--to", to,
			"--header", fmt.Sprintf("Subject: number %d", i), "--body", ".\n..two dots\nend").CombinedOutput()
		if err != nil {
			t.Fatalf("swaks to %s: %v\n%s", to, err, out)
		}
	}
	filed := strings.Join(postfix.Mail(t, 2), "\n")
	for _, want := range []string{"Subject: number 0\n", "Subject: number 3\n", "\n.\n..two dots\nend\n", `for <"a b"@postfix.test>`} {
		if !strings.Contains(filed, want) {
			t.Errorf("Postfix filed no %q in:\n%s", want, filed)
		}
	}
	if err := d.stop(); err != nil {
		t.Fatalf("stop: %v\n%s", err, d.said())
	}
	names, _ := filepath.Glob(filepath.Join(dump, "mail-*"))
	if len(names) != 1 {
		t.Errorf("smtp-sink has %d messages, want 1 (by its second MX host, since the first is dead)", len(names))
	}
	log, err := exec.Command("kumo", "log", "tail", "--logs", filepath.Join(dir, "logs"), "--format", "jsonl").Output()
	if err != nil {
		t.Fatal(err)
	}
	for kind, n := range map[string]int{"Reception": 4, "Delivery": 3, "Bounce": 1} {
		if got := strings.Count(string(log), fmt.Sprintf(`"type":"%s"`, kind)); got != n {
			t.Errorf("the log has %d %s records, want %d:\n%s", got, kind, n, log)
		}
	}
	if !strings.Contains(string(log), "Recipient address has a null MX") {
		t.Errorf("no record says why nullmx.test bounced:\n%s", log)
	}
}

func port(addr string) string {
	_, p, _ := net.SplitHostPort(addr)
	return p
}
