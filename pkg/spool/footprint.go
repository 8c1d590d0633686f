package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
)

// Exists reports whether there is a spool in dir: its format file, or segments that it can be made again from.
func Exists(dir string) (bool, error) {
	if _, err := (OS{}).Stat(filepath.Join(dir, formatName)); err == nil || !isMissing(err) {
		return err == nil, explained(err, dir)
	}
	files, _, err := listLog(OS{}, filepath.Join(dir, logName))
	if isMissing(err) {
		return false, nil
	}
	return len(files) > 0, explained(err, dir)
}

func explained(err error, dir string) error {
	if err == nil || !errors.Is(err, fs.ErrPermission) {
		return err
	}
	return explain(err, dir)
}

// Footprint is what a spool takes on its disk, in bytes.
type Footprint struct {
	Dir      string `json:"dir"`
	PID      int    `json:"pid,omitempty"` // of the daemon that owns it, 0 if none does
	Held     bool   `json:"held"`          // a daemon owns it
	Segments int    `json:"segments"`      // files of the log
	Log      int64  `json:"log_bytes"`
	Index    int64  `json:"index_bytes"`  // index.db and its WAL
	Orders   int64  `json:"orders_bytes"` // orders.db and its WAL
	Reserve  int64  `json:"reserve_bytes"`
	Damaged  int64  `json:"damaged_bytes"` // what was set aside
	Space    Space  `json:"-"`
}

// Measure looks at the files of the spool in dir, whether a daemon owns it or not. Errors: ErrNoSpool.
func Measure(dir string) (Footprint, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return Footprint{}, err
	}
	p := Footprint{Dir: dir}
	switch there, err := Exists(dir); {
	case err != nil:
		return p, fmt.Errorf("spool %s: %w", dir, err)
	case !there:
		return p, fmt.Errorf("spool %s: %w", dir, ErrNoSpool)
	}
	if p.Held = Held(dir); p.Held {
		p.PID, _ = lockOwner(OS{}, filepath.Join(dir, lockName))
	}
	if p.Space, err = (OS{}).Space(dir); err != nil {
		return p, err
	}
	if p.Segments, p.Log, err = sizes(filepath.Join(dir, logName)); err != nil {
		return p, explained(err, dir)
	}
	if _, p.Damaged, err = sizes(filepath.Join(dir, damagedName)); err != nil && !isMissing(err) {
		return p, explained(err, dir)
	}
	size := func(name string) int64 {
		st, err := (OS{}).Stat(filepath.Join(dir, name))
		if err != nil {
			return 0
		}
		return st.Size
	}
	p.Index = size(indexName) + size(indexName+"-wal")
	p.Orders = size(ordersName) + size(ordersName+"-wal")
	p.Reserve = size(reserveName)
	return p, nil
}

// sizes adds the files of a directory up.
func sizes(dir string) (files int, bytes int64, err error) {
	entries, err := OS{}.ReadDir(dir)
	if err != nil {
		return 0, 0, err
	}
	for _, e := range entries {
		if !e.Mode.IsRegular() {
			continue
		}
		st, err := (OS{}).Stat(filepath.Join(dir, e.Name))
		if isMissing(err) {
			continue // the owner has just deleted it
		}
		if err != nil {
			return files, bytes, err
		}
		files, bytes = files+1, bytes+st.Size
	}
	return files, bytes, nil
}
