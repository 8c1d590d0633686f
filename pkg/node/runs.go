package node

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// runsName is a file in the spool: when daemons ran on it, so that kumo why can tell mail that waited for nobody from
// mail that waited for something. One line each: "start TIME PID", and "stop TIME PID" or "killed TIME PID". It is a
// convenience: nothing else rests on it, and it may be deleted. Nobody else reads it, as the rest of the spool.
const runsName = "runs"

const (
	// lifeSign is how often a daemon touches the file: its time is when one that was killed was last seen.
	lifeSign = 5 * time.Second
	// maxRuns is the size of the file, in bytes, from which the older half of it is dropped.
	maxRuns = 128 << 10
)

// Run is when a daemon had a spool. End is zero while it does, and for one that was killed when it was last seen.
type Run struct {
	Start, End time.Time
	Killed     bool
}

// Runs reads when daemons ran on the spool in dir, oldest first; nothing if that was never noted. held says that one
// does now.
func Runs(dir string, held bool) ([]Run, error) {
	f, err := os.Open(filepath.Join(dir, runsName))
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("runs of daemons: %w", err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("runs of daemons: %w", err)
	}
	var runs []Run
	for lines := bufio.NewScanner(f); lines.Scan(); {
		runs = addRun(runs, strings.Fields(lines.Text()))
	}
	if n := len(runs); n > 0 && runs[n-1].End.IsZero() && !held {
		runs[n-1].End, runs[n-1].Killed = latest(st.ModTime(), runs[n-1].Start), true
	}
	return runs, nil
}

// addRun takes one line; what makes no sense is passed over.
func addRun(runs []Run, words []string) []Run {
	if len(words) < 2 {
		return runs
	}
	at, err := time.Parse(time.RFC3339Nano, words[1])
	if err != nil {
		return runs
	}
	n := len(runs)
	switch {
	case words[0] == "start":
		return append(runs, Run{Start: at})
	case n > 0 && runs[n-1].End.IsZero():
		runs[n-1].End, runs[n-1].Killed = latest(at, runs[n-1].Start), words[0] == "killed"
	}
	return runs
}

func latest(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// runLog notes the run of this daemon.
type runLog struct {
	path string
	log  *slog.Logger
}

// began notes that a daemon has taken the spool, and how the one before it ended if it could not say so.
func began(dir string, log *slog.Logger) *runLog {
	r := &runLog{filepath.Join(dir, runsName), log}
	_ = os.Chmod(r.path, 0o600) // an earlier version let everybody read it; if it is not there yet it will be made so
	if runs, err := Runs(dir, false); err == nil {
		if n := len(runs); n > 0 && runs[n-1].Killed {
			r.trim()
			r.add("killed", runs[n-1].End)
		}
	}
	r.add("start", time.Now())
	return r
}

// add appends a line. A failure is told and borne.
func (r *runLog) add(what string, at time.Time) {
	f, err := os.OpenFile(r.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err == nil {
		_, err = fmt.Fprintf(f, "%s %s %d\n", what, at.UTC().Format(time.RFC3339Nano), os.Getpid())
		if end := f.Close(); err == nil {
			err = end
		}
	}
	if err != nil {
		r.log.Warn("cannot note when this daemon ran: kumo why will not know", "file", r.path, "error", err)
	}
}

// trim drops the older half of a file that has grown large.
func (r *runLog) trim() {
	b, err := os.ReadFile(r.path)
	if err != nil || len(b) < maxRuns {
		return
	}
	half := string(b[len(b)/2:])
	if i := strings.Index(half, "\nstart "); i >= 0 {
		half = half[i+1:]
	}
	if os.WriteFile(r.path+".new", []byte(half), 0o600) == nil {
		_ = os.Rename(r.path+".new", r.path)
	}
}

// run touches the file until ctx ends.
func (r *runLog) run(ctx context.Context) error {
	tick := time.NewTicker(lifeSign)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			if err := os.Chtimes(r.path, now, now); err != nil && !os.IsNotExist(err) && !os.IsPermission(err) {
				r.log.Debug("cannot show a sign of life", "file", r.path, "error", err)
			}
		}
	}
}

// ended notes that the daemon has left the spool.
func (r *runLog) ended() {
	if r != nil {
		r.add("stop", time.Now())
	}
}
