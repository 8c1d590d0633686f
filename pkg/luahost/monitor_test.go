package luahost

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// edited is a policy in files that the test changes under the monitor.
type edited struct {
	*testing.T

	dir string
	h   *Host
	log *bytes.Buffer
}

// monitored runs f under a monitor, in a bubble whose clock jumps.
func monitored(t *testing.T, f func(e *edited)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		e := &edited{T: t, dir: t.TempDir(), log: &bytes.Buffer{}}
		e.write("init.lua", "local kumo = require 'kumo' local part = require 'part' kumo.on('init', function() return part() end)")
		e.write("part.lua", "return function() return 1 end")
		e.write("conf.toml", "a = 1")
		h, err := New(t.Context(), Options{
			Path: filepath.Join(e.dir, "init.lua"), Events: testEvents, SearchPath: []string{filepath.Join(e.dir, "?.lua")},
			Modules: append([]Module{func() Module { m := testModule(); m.Funcs = append(m.Funcs, CoreFuncs()...); return m }()}, Modules()...), Types: Types(),
			Log: slog.New(slog.NewTextHandler(e.log, nil)),
		})
		if err != nil {
			t.Fatal(err)
		}
		e.h = h
		h.monitor.globs = []string{e.dir + "/*.toml"}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- h.Watch(ctx) }()
		synctest.Wait()
		f(e)
		stop()
		<-done
		h.Close()
	})
}

func (e *edited) write(name, text string) {
	e.Helper()
	if err := os.WriteFile(filepath.Join(e.dir, name), []byte(text), 0o600); err != nil {
		e.Fatal(err)
	}
}

// after waits for the monitor's next look and checks the epoch and what the handler returns.
func (e *edited) after(epoch uint64, want any) {
	e.Helper()
	time.Sleep(monitorPeriod + time.Second)
	synctest.Wait()
	got, _, err := fire(e.T, e.h, evInit)
	if err != nil || got != want || e.h.Epoch() != epoch {
		e.Errorf("epoch %d, %v, %v; want epoch %d, %v\n%s", e.h.Epoch(), got, err, epoch, want, e.log)
	}
}

func TestConfigurationEpochs(t *testing.T) {
	monitored(t, func(e *edited) {
		e.after(1, int64(1))
		e.write("conf.toml", "a = 2")
		e.after(2, int64(1))
		e.write("conf.toml", "a = 2") // written again, the same
		e.after(2, int64(1))
		e.write("part.lua", "return function() return 2 end") // required by the policy, in no glob
		e.after(3, int64(2))
		e.write("new.toml", "")
		e.after(4, int64(2))
		if err := os.Remove(filepath.Join(e.dir, "new.toml")); err != nil {
			e.Fatal(err)
		}
		e.after(5, int64(2))
		e.h.BumpEpoch()
		e.after(6, int64(2))
	})
}

// TestBrokenPolicy edits the policy into something that does not load, in three ways.
func TestBrokenPolicy(t *testing.T) {
	for _, broken := range []string{"local kumo = ", "error 'not today'", "require 'nowhere'"} {
		monitored(t, func(e *edited) {
			e.write("init.lua", broken)
			e.after(1, int64(1))
			e.after(1, int64(1))
			if n := strings.Count(e.log.String(), "the policy does not load"); n != 1 || !e.h.Broken() {
				e.Errorf("%s: said %d times, broken %v", broken, n, e.h.Broken())
			}
			if !strings.Contains(e.log.String(), "init.lua:1") {
				e.Errorf("%s: the log has no file and line: %s", broken, e.log)
			}
			e.write("init.lua", "local kumo = require 'kumo' kumo.on('init', function() return 3 end)")
			e.after(2, int64(3))
			if e.h.Broken() {
				e.Error("still broken")
			}
		})
	}
}

// TestReloadKeepsCalls has a call at work while the policy is loaded anew: it ends as it began, and its State goes.
func TestReloadKeepsCalls(t *testing.T) {
	monitored(t, func(e *edited) {
		s, err := e.h.Acquire(e.Context())
		if err != nil {
			e.Fatal(err)
		}
		e.write("part.lua", "return function() return 2 end")
		e.after(2, int64(2))
		v, _, err := s.Fire(evInit)
		if err != nil || v.String() != "1" {
			e.Errorf("%v %v", v, err)
		}
		e.h.Release(s)
		if alive, spare := e.h.Count(); alive != 1 || spare != 1 {
			e.Errorf("%d contexts alive, %d spare", alive, spare)
		}
	})
}
