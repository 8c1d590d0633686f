package spool

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// repairPatience is how long repair waits for the index to be made.
const repairPatience = 10 * time.Minute

// repair mends what Check has found. Opening the spool does most of it: it makes the format file again, sets a damaged
// orders.db aside, finishes orders that were cut short, and makes the index.
//
//  1. What is known of mail that is lost is written to damaged/, because the index forgets it.
//  2. An index that is wrong is removed.
//  3. The spool is opened, and the index is waited for.
//  4. Damaged stretches are copied to damaged/, and the messages that cannot be delivered ended.
//  5. What is alive is copied out of the segments that have damage or a gap before them; these go to damaged/.
//  6. Check looks again: what it does not find any more is mended.
func repair(ctx context.Context, dir string, o CheckOptions, found Report) (Report, error) {
	if found.Problems == 0 && found.Counts[FoundUnfinish] == 0 {
		return found, nil
	}
	if err := keepLost(dir, &found); err != nil {
		return found, err
	}
	if wrong(&found, FoundIndex) {
		if err := removeDB(indexPath(dir)); err != nil {
			return found, err
		}
	}
	if err := reopen(ctx, dir, o, &found); err != nil {
		return found, err
	}
	o.Repair = false
	again, err := check(ctx, dir, o)
	if err != nil {
		return found, err
	}
	return merge(found, again), nil
}

// wrong reports a problem of the kind.
func wrong(r *Report, kind string) bool {
	return slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Kind == kind && !f.Harmless })
}

// keepLost writes the findings about mail that is lost to a file of their own.
func keepLost(dir string, r *Report) error {
	var lines []byte
	for _, f := range r.Findings {
		if !f.Lost || filepath.Dir(f.Path) == damagedName {
			continue // nothing is lost, or a file names it already
		}
		f.Mended = true // whoever repairs is told of it: another check need not
		b, err := json.Marshal(f)
		if err != nil {
			return err
		}
		lines = append(append(lines, b...), '\n')
	}
	if len(lines) == 0 {
		return nil
	}
	return putAside(dir, lostPrefix+lostStamp()+lostSuffix, lines)
}

// putAside writes a file into damaged/, durably.
func putAside(dir, name string, b []byte) error {
	fsys, into := OS{}, filepath.Join(dir, damagedName)
	if err := fsys.Mkdir(into); err != nil {
		return err
	}
	path := filepath.Join(into, name)
	f, err := fsys.Create(path)
	if errors.Is(err, os.ErrExist) {
		return nil // an earlier repair was cut short
	}
	if err != nil {
		return err
	}
	n, err := f.WriteAt(0, b)
	if err == nil {
		err = shortWrite(n, int64(len(b)))
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return errors.Join(fsys.SyncDir(into), fsys.SyncDir(dir))
}

// reopen opens the spool, lets it mend itself, and closes it.
func reopen(ctx context.Context, dir string, o CheckOptions, found *Report) error {
	s, err := Open(ctx, Config{Dir: dir, Log: slog.New(slog.DiscardHandler), Progress: o.Progress, TrashKeep: TrashStays, repair: true})
	if err != nil {
		return err
	}
	err = s.mend(ctx, dir, o, found)
	return errors.Join(err, s.Close())
}

func (s *Spool) mend(ctx context.Context, dir string, o CheckOptions, found *Report) error {
	if err := s.indexReady(ctx); err != nil {
		return err
	}
	for _, d := range s.found.Damaged {
		if err := s.copyAside(dir, d); err != nil {
			return err
		}
	}
	for _, f := range found.Findings {
		if f.Kind != FoundBody || f.ID == nil {
			continue
		}
		if err := s.End(*f.ID, EndDiscarded); err != nil && !errors.Is(err, ErrGone) {
			return err
		}
	}
	if wrong(found, FoundDamage) || wrong(found, FoundMissing) {
		return s.compactAll(ctx, true, o.Progress)
	}
	return nil
}

// copyAside keeps the bytes of a damaged stretch, at most 64 MiB of them.
func (s *Spool) copyAside(dir string, d DamagedPart) error {
	g, err := s.segs.acquire(d.Segment)
	if isMissing(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer s.segs.release(g)
	b := make([]byte, min(d.Length, 64<<20))
	n, err := g.file.ReadAt(b, d.Offset)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if n == 0 {
		return nil // there is nothing where something was
	}
	return putAside(dir, fmt.Sprintf("%010d-%d.part", d.Segment, d.Offset), b[:n])
}

// indexReady waits until the index says what the log says.
func (s *Spool) indexReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, repairPatience)
	defer cancel()
	for {
		if ready, err := indexRun(ctx, s.cfg.Dir); err == nil && ready == s.run {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for the index: %w", ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// indexRun is the run of the owner that made the index ready.
func indexRun(ctx context.Context, dir string) (string, error) {
	db, err := openDB(ctx, indexPath(dir), dbOptions{readOnly: true})
	if err != nil {
		return "", err
	}
	defer func(db *sql.DB) { _ = db.Close() }(db)
	return readMeta(ctx, db, "ready")
}

// merge is the second report, with what the first had found and it has not as mended.
func merge(before, after Report) Report {
	left := make(map[string]bool)
	for _, f := range after.Findings {
		left[f.key()] = true
	}
	out := after
	out.Findings, out.Counts, out.Lost = nil, map[string]int{}, 0
	for _, f := range before.Findings {
		if left[f.key()] {
			continue
		}
		f.Mended = !f.Harmless
		out.Findings = append(out.Findings, f)
	}
	out.Findings = append(out.Findings, after.Findings...)
	for kind, n := range after.Counts {
		out.Counts[kind] = n
	}
	for kind, n := range before.Counts {
		out.Counts[kind] = max(n, out.Counts[kind])
	}
	out.Lost = max(before.Lost, after.Lost)
	return out
}

// key tells findings apart.
func (f *Finding) key() string {
	id := ""
	if f.ID != nil {
		id = f.ID.String()
	}
	return fmt.Sprint(f.Kind, " ", f.Path, " ", f.Offset, " ", id)
}
