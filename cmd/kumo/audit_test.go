package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"kumo/pkg/kumotest"
)

// audited runs kumo spool check --audit in dir and returns its exit code and what it says.
func audited(t *testing.T, dir string) (int, checked) {
	t.Helper()
	cmd := exec.Command("kumo", "spool", "check", "--audit", "--spool", "spool/data", "--format", "json")
	cmd.Dir = dir
	var talk bytes.Buffer
	cmd.Stderr = &talk
	out, err := cmd.Output()
	var failed *exec.ExitError
	if err != nil && !errors.As(err, &failed) {
		t.Fatal(err)
	}
	var c checked
	if err := json.Unmarshal(out, &c); err != nil {
		t.Fatalf("%v: %s%s", err, out, talk.String())
	}
	return cmd.ProcessState.ExitCode(), c
}

// TestAuditAfterKills kills the daemon again and again under load, and audits: between death and next start, beside
// the daemon, and in the end, when every message must have been received and delivered by the records, exactly.
// KUMO_LONG=1 kills 20 times instead of 3.
func TestAuditAfterKills(t *testing.T) {
	kills := 3
	if os.Getenv("KUMO_LONG") != "" {
		kills = 20
	}
	sink := kumotest.NewSink(t, false)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "init.lua"), []byte(crashPolicy), 0o644); err != nil {
		t.Fatal(err)
	}
	start := func() *daemon {
		d, err := startDaemon(dir, append(os.Environ(), "HOME="+dir, "SINKPORT="+port(sink.Addr)), "--policy", "init.lua", "--user", currentUser())
		if err != nil {
			t.Fatalf("%v\n%s", err, d.said())
		}
		t.Cleanup(d.kill)
		return d
	}
	good := func(when string) checked {
		t.Helper()
		code, c := audited(t, dir)
		if code != 0 || c.Audit == nil || !c.Audit.OK() {
			t.Errorf("%s: exit %d\n%+v\n%+v", when, code, c.Audit, c.Spool)
		}
		return c
	}
	var acked atomic.Int64
	d := start()
	for round := range kills {
		ctx, cancel := context.WithCancel(t.Context())
		enough := make(chan struct{})
		var once sync.Once
		before := acked.Load()
		var wg sync.WaitGroup
		for s := range 4 {
			wg.Go(func() {
				_ = smtpLoad(ctx, d.smtp, 100*round+s, 100_000, func(string) {
					if acked.Add(1)-before >= 600 {
						once.Do(func() { close(enough) })
					}
				})
			})
		}
		select {
		case <-enough:
		case <-time.After(time.Minute):
			t.Fatalf("no load\n%s", d.said())
		}
		if round == 1 {
			if c := good("under load"); !c.Audit.Held {
				t.Error("the daemon runs, and the audit does not know")
			}
		}
		d.kill()
		cancel()
		wg.Wait()
		good("after a kill")
		d = start()
	}
	deadline := time.Now().Add(time.Minute)
	for len(arrivals(sink)) < int(acked.Load()) {
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d messages arrived\n%s", len(arrivals(sink)), acked.Load(), d.said())
		}
		time.Sleep(50 * time.Millisecond) // another process delivers: there is nothing to wait on
	}
	if err := d.stop(); err != nil {
		t.Fatalf("stop: %v\n%s", err, d.said())
	}
	c := good("in the end").Audit
	t.Logf("%d acknowledged; the audit says: received %d, ended %v, queued %d, repeated %d", acked.Load(), c.Received, c.Ended, c.Queued, c.Counts["repeated"])
	var ended int64
	for _, n := range c.Ended {
		ended += n
	}
	// Of the messages that came at the same time as the first, one may be older than the first record.
	if c.Received+c.Before < acked.Load() || c.Before > 8 || ended+c.Queued != c.Received+c.Counts["repeated"] || c.Unlogged != 0 || len(c.Findings) != int(c.Counts["repeated"]) {
		t.Errorf("the books do not balance: %+v", c)
	}

	loseRecord(t, filepath.Join(dir, "logs"), `{"type":"Delivery"`)
	if code, c := audited(t, dir); code != 4 || c.Audit.Problems != 1 {
		t.Errorf("a lost record: exit %d, %+v", code, c.Audit)
	}
}

// loseRecord takes the last record that begins so out of a log.
func loseRecord(t *testing.T, dir, begin string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "2*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no segments: %v", err)
	}
	path := files[len(files)-1]
	packed, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	dec, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer dec.Close()
	text, err := dec.DecodeAll(packed, nil)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.LastIndex(text, []byte(begin))
	if at < 0 {
		t.Fatalf("%s has no such record", path)
	}
	end := at + bytes.IndexByte(text[at:], '\n') + 1
	enc, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	text = append(text[:at:at], text[end:]...)
	if err := errors.Join(os.Remove(path), os.WriteFile(path, enc.EncodeAll(text, nil), 0o444)); err != nil {
		t.Fatal(err)
	}
}
