package kumotest

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"

	"kumo/pkg/spool"
)

// ErrPowerCut is what every call gets after the power was cut.
var ErrPowerCut = errors.New("power is off")

// CrashFS is a disk in memory that keeps apart what was written and what was synced. Power can be cut after any
// operation, and any operation can fail. Operations are the calls that change something: create, write, sync,
// truncate, mkdir, rename, remove, sync of a directory. They are counted from 1.
type CrashFS struct {
	mu    sync.Mutex
	files map[string]*inode // as the running system sees it, by path
	saved map[string]*inode // directory entries that survive a power cut
	locks map[string]bool
	next  uint64
	ops   int
	cut   int // no operation after this one; 0: no cut
	fault Fault
	space spool.Space
	limit int // bytes that all files together may have; 0: no limit
	trace []string
}

// Fault makes operations fail.
type Fault struct {
	At      int   // the operation that fails; 0: none
	Forever bool  // and all that come after it
	Err     error // with this; nil: a write claims to be shorter than asked for, other operations fail with EIO
	// Half writes the first half of a failing write's bytes all the same.
	Half bool
	// Landed lets a failing sync have put everything on the disk all the same, and a failing write its half.
	Landed bool
	// Only lets none but this kind of operation fail, "" all: "create", "write", "sync", "truncate", "mkdir",
	// "rename", "remove", "syncdir".
	Only string
}

type inode struct {
	num    uint64
	dir    bool
	data   []byte // as the running system sees it
	synced []byte // what survives a power cut for certain

	// Sectors that were not on disk when a sync failed. Linux calls their pages clean then: no later sync writes
	// them, unless they are written to again.
	stuck map[int]bool
}

// NewCrashFS makes an empty disk with a root directory.
func NewCrashFS() *CrashFS {
	root := &inode{num: 1, dir: true}
	return &CrashFS{
		files: map[string]*inode{"/": root}, saved: map[string]*inode{"/": root}, locks: make(map[string]bool), next: 2,
		space: spool.Space{Type: "ext4", FreeBytes: 1 << 40, TotalBytes: 1 << 40, FreeInodes: 1 << 30, TotalInodes: 1 << 30},
	}
}

// CutAfter cuts the power after operation n, counted from the beginning.
func (c *CrashFS) CutAfter(n int) {
	c.mu.Lock()
	c.cut = n
	c.mu.Unlock()
}

// Fail arms a fault; its At counts from the beginning.
func (c *CrashFS) Fail(f Fault) {
	c.mu.Lock()
	c.fault = f
	c.mu.Unlock()
}

// SetSpace says what Space answers.
func (c *CrashFS) SetSpace(s spool.Space) {
	c.mu.Lock()
	c.space = s
	c.mu.Unlock()
}

// SetCapacity says how many bytes all files together may have; 0 takes the limit away. A write that does not fit
// writes what fits and fails with ENOSPC. Space answers accordingly.
func (c *CrashFS) SetCapacity(n int) {
	c.mu.Lock()
	c.limit = n
	c.mu.Unlock()
}

// used is how many bytes all files together have. The lock is held.
func (c *CrashFS) used() int {
	n := 0
	for _, in := range c.files {
		n += len(in.data)
	}
	return n
}

// Ops is how many operations there were.
func (c *CrashFS) Ops() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ops
}

// Trace lists the operations, one line each.
func (c *CrashFS) Trace() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.trace)
}

// sector is the unit in which a disk loses or keeps what was not synced.
const sector = 512

// Crash is the disk after a power cut: what was synced, and of the rest keep percent of the sectors and of the
// directory entries, chosen by rng. c itself is not changed. Locks are gone.
func (c *CrashFS) Crash(keep int, rng *rand.Rand) *CrashFS {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := NewCrashFS()
	out.space, out.next, out.limit = c.space, c.next, c.limit
	entries := maps.Clone(c.saved)
	for _, path := range slices.Sorted(maps.Keys(c.files)) {
		if c.saved[path] != c.files[path] && rng.IntN(100) < keep {
			entries[path] = c.files[path]
		}
	}
	for _, path := range slices.Sorted(maps.Keys(c.saved)) {
		if c.files[path] == nil && rng.IntN(100) < keep {
			delete(entries, path)
		}
	}
	for _, path := range slices.Sorted(maps.Keys(entries)) {
		in := entries[path]
		if p := out.files[filepath.Dir(path)]; p == nil || !p.dir {
			continue // its directory did not survive
		}
		n := &inode{num: in.num, dir: in.dir, data: survive(in, keep, rng)}
		n.synced = slices.Clone(n.data)
		out.files[path], out.saved[path] = n, n
	}
	return out
}

// survive is what a power cut leaves of a file.
func survive(in *inode, keep int, rng *rand.Rand) []byte {
	out := slices.Clone(in.synced)
	if len(in.data) < len(out) && rng.IntN(100) < keep {
		out = out[:len(in.data)]
	}
	for _, k := range in.dirty() {
		if rng.IntN(100) >= keep {
			continue
		}
		off, end := k*sector, min((k+1)*sector, len(in.data))
		if keep < 100 && rng.IntN(8) == 0 {
			end = off + rng.IntN(end-off) + 1 // torn within the sector
		}
		out = put(out, off, in.data[off:end])
	}
	return out
}

// dirty lists the sectors that a sync would write.
func (in *inode) dirty() []int {
	var out []int
	for k := 0; k*sector < len(in.data); k++ {
		off, end := k*sector, min((k+1)*sector, len(in.data))
		if !in.stuck[k] && (end > len(in.synced) || string(in.synced[off:end]) != string(in.data[off:end])) {
			out = append(out, k)
		}
	}
	return out
}

// put writes b into file at off, with zeros where there is nothing before it.
func put(file []byte, off int, b []byte) []byte {
	if n := off + len(b) - len(file); n > 0 {
		file = append(file, make([]byte, n)...)
	}
	copy(file[off:], b)
	return file
}

// Kill is the disk after the process died and the system lived on: everything written is there. Locks are gone.
func (c *CrashFS) Kill() *CrashFS {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := NewCrashFS()
	out.space, out.next, out.limit = c.space, c.next, c.limit
	copies := make(map[*inode]*inode)
	twin := func(in *inode) *inode {
		if copies[in] == nil {
			copies[in] = &inode{num: in.num, dir: in.dir, data: slices.Clone(in.data), synced: slices.Clone(in.synced), stuck: maps.Clone(in.stuck)}
		}
		return copies[in]
	}
	for path, in := range c.files {
		out.files[path] = twin(in)
	}
	for path, in := range c.saved {
		out.saved[path] = twin(in)
	}
	return out
}

// Bytes returns the content of a file, nil if there is none.
func (c *CrashFS) Bytes(name string) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	if in := c.files[name]; in != nil {
		return slices.Clone(in.data)
	}
	return nil
}

// Put makes or replaces a file, durably.
func (c *CrashFS) Put(name string, data []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	in := &inode{num: c.next, data: slices.Clone(data), synced: slices.Clone(data)}
	c.next++
	c.files[name], c.saved[name] = in, in
}

// Names lists all files, sorted.
func (c *CrashFS) Names() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Sorted(maps.Keys(c.files))
}

// op counts an operation and decides whether it happens. The lock is held.
func (c *CrashFS) op(kind, name string) error {
	if c.cut > 0 && c.ops >= c.cut {
		return &fs.PathError{Op: kind, Path: name, Err: ErrPowerCut}
	}
	c.ops++
	c.trace = append(c.trace, kind+" "+name)
	f := c.fault
	if f.At == 0 || f.Only != "" && f.Only != kind || c.ops < f.At || c.ops > f.At && !f.Forever {
		return nil
	}
	if f.Err == nil {
		f.Err = syscall.EIO
	}
	return &fs.PathError{Op: kind, Path: name, Err: f.Err}
}

func (c *CrashFS) off() error {
	if c.cut > 0 && c.ops >= c.cut {
		return ErrPowerCut
	}
	return nil
}

// String draws the disk for a failing test.
func (c *CrashFS) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var b strings.Builder
	for _, path := range slices.Sorted(maps.Keys(c.files)) {
		in := c.files[path]
		fmt.Fprintf(&b, "%s %d bytes, %d synced, entry synced: %v\n", path, len(in.data), len(in.synced), c.saved[path] == in)
	}
	return b.String()
}

var _ spool.FS = (*CrashFS)(nil)
