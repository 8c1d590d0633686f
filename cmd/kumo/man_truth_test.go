package main

import (
	"bufio"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"kumo/pkg/kumotest"
	"kumo/pkg/node"
)

// TestLuaPageIsTrue: what kumo-lua(7) says about the language is so.
func TestLuaPageIsTrue(t *testing.T) {
	for name, text := range map[string]string{
		"escapes": `assert('\x41\u{42}\z
			C' == 'ABC')`,
		"goto":          "goto done; error 'not skipped' ::done::",
		"constants":     "local x <const> = 1; assert(x == 1)",
		"whole numbers": "assert(tostring(4 / 2) == '2' and ('%d'):format(3) == '3')",
		"utf8":          `assert(utf8.char(228) == '\u{e4}' and utf8.len 'Grüße' == 5)`,
		"tables":        "assert(select('#', table.unpack { 1, 2 }) == 2 and table.pack(1, nil).n == 2)",
		"math":          "assert(math.type and math.tointeger '8' == 8 and math.maxinteger > 0)",
		"reads files":   "assert(#io.open('main.go'):read 'a' > 0 and os.getenv 'PATH')",
		"no writing":    "assert(not pcall(io.open, 'x', 'w') and not pcall(os.remove, 'x'))",
		"no programs":   "assert(not pcall(os.execute, 'true') and not pcall(io.popen, 'true'))",
		"no end":        "assert(not pcall(os.exit, 0))",
	} {
		t.Run(name, func(t *testing.T) {
			if err := runExample(text); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestLuaPageIsTrueOfRefusals: what it says is refused is refused, with the line.
func TestLuaPageIsTrueOfRefusals(t *testing.T) {
	for _, op := range []string{"//", "&", "|", "<<", ">>", "~"} {
		err := runExample("\nlocal x = 6 " + op + " 3")
		if err == nil || !strings.Contains(err.Error(), "example.lua:2: ") {
			t.Errorf("%s: got %v, want a refusal with the line", op, err)
		}
	}
}

const metricsPolicy = `
local kumo = require 'kumo'
kumo.on('init', function()
  kumo.define_spool { name = 'data', path = 'spool/data' }
  kumo.define_spool { name = 'meta', path = 'spool/meta' }
  kumo.start_esmtp_listener { listen = '127.0.0.1:0' }
  kumo.start_http_listener { listen = '127.0.0.1:0' }
  kumo.dns.configure_test_resolver { '$ORIGIN dest.test.\n@ 60 IN MX 10 mx\nmx 60 IN A 127.0.0.1\n' }
end)
kumo.on('get_egress_path_config', function()
  return kumo.make_egress_path { prohibited_hosts = {}, smtp_port = tonumber(os.getenv 'SINKPORT'), enable_tls = 'Disabled' }
end)
`

// TestMetricsPageIsComplete: what a working daemon shows stands in kumo-metrics(7), which is made of node.Metrics.
func TestMetricsPageIsComplete(t *testing.T) {
	listed := map[string]bool{}
	for _, m := range node.Metrics() {
		listed[m.Name] = true
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "init.lua"), []byte(metricsPolicy), 0o644); err != nil {
		t.Fatal(err)
	}
	sink := kumotest.NewSink(t, false)
	d, err := startDaemon(dir, append(os.Environ(), "HOME="+dir, "SINKPORT="+port(sink.Addr)), "--policy", "init.lua", "--user", currentUser())
	if err != nil {
		t.Fatalf("%v\n%s", err, d.said())
	}
	t.Cleanup(d.kill)
	inject := exec.Command("kumo", "inject", "--smtp", d.smtp)
	inject.Stdin = strings.NewReader("From: me@example.com\nTo: you@dest.test\n\nhi\n")
	if out, err := inject.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	sink.Wait(t, 1)
	resp, err := http.Get("http://" + d.http + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	shown := 0
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		rest, ok := strings.CutPrefix(lines.Text(), "# HELP ")
		if !ok {
			continue
		}
		shown++
		if name, _, _ := strings.Cut(rest, " "); !listed[name] {
			t.Errorf("GET /metrics shows %s, which node.Metrics does not list: declare it there, too, and run make gen", name)
		}
	}
	if shown < 20 {
		t.Errorf("GET /metrics shows %d metrics, and there should be many (%s)", shown, resp.Status)
	}
}
