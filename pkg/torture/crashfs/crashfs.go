package crashfs

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
	"time"

	"kumo/pkg/spool"
)

// ErrPowerCut is what every call gets after the power was cut.
var ErrPowerCut = errors.New("power is off")

// FS is a disk in memory that keeps apart what was written and what was synced. Power can be cut before or after any
// operation, and any operation can fail. Operations are the calls that change something: create, write, sync,
// truncate, mkdir, rename, remove, sync of a directory (syncdir). They are counted from 1.
type FS struct {
	mu     sync.Mutex
	files  map[string]*inode // as the running system sees it, by path
	saved  map[string]*inode // directory entries that survive a power cut
	locks  map[string]bool
	next   uint64
	ops    int
	kinds  map[string]int // operations of each kind
	cut    int            // no operation after this one; 0: no cut
	cutAt  Cut
	off    bool
	fault  Fault
	read   ReadFault
	delays map[string]time.Duration
	space  spool.Space
	limit  int // bytes that all files together may have; 0: no limit
	used   int // bytes of all files
	trace  []string
}

// Cut names the operation at which the power goes.
type Cut struct {
	Only   string // the kind that counts, "" for all; "sync" is syncs of files and of directories
	At     int    // which of them, counted from the call of CutAt; 0: none
	Before bool   // the operation does not happen any more
	// Torn, of a write that the power is cut before: so many bytes of it reach the disk all the same.
	Torn int
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
	// "rename", "remove", "syncdir". With Nth, At counts only these, from the call of Fail.
	Only string
	Nth  bool
}

// ReadFault makes reads of files fail: after Skip of them, Times of them.
type ReadFault struct {
	Skip, Times int
	Err         error
}

type inode struct {
	num    uint64
	dir    bool
	data   []byte // as the running system sees it
	synced []byte // what survives a power cut for certain

	// Sectors that were written since the last sync. Those of a sync that failed are not among them: Linux calls
	// their pages clean then, and no later sync writes them unless they are written to again.
	touched map[int]bool
}

// New makes an empty disk with a root directory.
func New() *FS {
	root := &inode{num: 1, dir: true}
	return &FS{
		files: map[string]*inode{"/": root}, saved: map[string]*inode{"/": root}, locks: make(map[string]bool), next: 2,
		kinds: make(map[string]int), delays: make(map[string]time.Duration),
		space: spool.Space{Type: "ext4", FreeBytes: 1 << 40, TotalBytes: 1 << 40, FreeInodes: 1 << 30, TotalInodes: 1 << 30},
	}
}

// CutAfter cuts the power after operation n, counted from the beginning; 0 takes that back.
func (c *FS) CutAfter(n int) {
	c.mu.Lock()
	c.cut = n
	c.off = c.off || n > 0 && c.ops >= n
	c.mu.Unlock()
}

// CutAt cuts the power at an operation that is yet to come.
func (c *FS) CutAt(cut Cut) {
	c.mu.Lock()
	c.cutAt = cut
	c.mu.Unlock()
}

// CutNow cuts the power.
func (c *FS) CutNow() {
	c.mu.Lock()
	c.off = true
	c.mu.Unlock()
}

// Off reports that the power is off.
func (c *FS) Off() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.off
}

// Fail arms a fault, in place of the one before it; its At counts from the beginning, or with Nth from now.
func (c *FS) Fail(f Fault) {
	c.mu.Lock()
	if f.Nth {
		f.At += c.count(f.Only)
	}
	c.fault = f
	c.mu.Unlock()
}

// FailReads arms a fault of reads.
func (c *FS) FailReads(f ReadFault) {
	c.mu.Lock()
	c.read = f
	c.mu.Unlock()
}

// SetDelay makes every operation of a kind take so long; "read" delays reads.
func (c *FS) SetDelay(kind string, d time.Duration) {
	c.mu.Lock()
	c.delays[kind] = d
	c.mu.Unlock()
}

// SetSpace says what Space answers.
func (c *FS) SetSpace(s spool.Space) {
	c.mu.Lock()
	c.space = s
	c.mu.Unlock()
}

// SetCapacity says how many bytes all files together may have; 0 takes the limit away. A write that does not fit
// writes what fits and fails with ENOSPC. Space answers accordingly.
func (c *FS) SetCapacity(n int) {
	c.mu.Lock()
	c.limit = n
	c.mu.Unlock()
}

// Used is how many bytes all files together have.
func (c *FS) Used() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.used
}

// Ops is how many operations there were.
func (c *FS) Ops() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ops
}

// Trace lists the operations, one line each.
func (c *FS) Trace() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.trace)
}

// sector is the unit in which a disk loses or keeps what was not synced.
const sector = 512

// Crash is the disk after a power cut: what was synced, and of the rest keep percent of the sectors and of the
// directory entries, chosen by rng. c itself is not changed. Locks and faults are gone.
func (c *FS) Crash(keep int, rng *rand.Rand) *FS {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := c.successor()
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
		out.used += len(n.data)
	}
	return out
}

func (c *FS) successor() *FS {
	out := New()
	out.space, out.next, out.limit = c.space, c.next, c.limit
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
	out := make([]int, 0, len(in.touched))
	for k := range in.touched {
		if k*sector < len(in.data) {
			out = append(out, k)
		}
	}
	slices.Sort(out)
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

// Kill is the disk after the process died and the system lived on: everything written is there. Locks and faults
// are gone.
func (c *FS) Kill() *FS {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := c.successor()
	out.used = c.used
	copies := make(map[*inode]*inode)
	twin := func(in *inode) *inode {
		if copies[in] == nil {
			copies[in] = &inode{num: in.num, dir: in.dir, data: slices.Clone(in.data), synced: slices.Clone(in.synced), touched: maps.Clone(in.touched)}
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
func (c *FS) Bytes(name string) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	if in := c.files[name]; in != nil {
		return slices.Clone(in.data)
	}
	return nil
}

// Put makes or replaces a file, durably.
func (c *FS) Put(name string, data []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if old := c.files[name]; old != nil {
		c.used -= len(old.data)
	}
	in := &inode{num: c.next, data: slices.Clone(data), synced: slices.Clone(data)}
	c.next++
	c.used += len(data)
	c.files[name], c.saved[name] = in, in
}

// Drop removes a file, durably.
func (c *FS) Drop(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if in := c.files[name]; in != nil {
		c.used -= len(in.data)
	}
	delete(c.files, name)
	delete(c.saved, name)
}

// Names lists all files, sorted.
func (c *FS) Names() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Sorted(maps.Keys(c.files))
}

// pause makes the caller wait as long as an operation of that kind takes.
func (c *FS) pause(kind string) {
	c.mu.Lock()
	d := c.delays[kind]
	c.mu.Unlock()
	if d > 0 {
		time.Sleep(d)
	}
}

// count is how many operations of a kind there were. The lock is held.
func (c *FS) count(kind string) int {
	switch kind {
	case "":
		return c.ops
	case "sync":
		return c.kinds["sync"] + c.kinds["syncdir"]
	}
	return c.kinds[kind]
}

// op counts an operation and decides whether it happens. The lock is held.
func (c *FS) op(kind, name string) error {
	if c.off {
		return c.gone(kind, name)
	}
	counts := c.cutAt.At > 0 && (c.cutAt.Only == "" || strings.HasPrefix(kind, c.cutAt.Only))
	if counts {
		c.cutAt.At--
	}
	if counts && c.cutAt.At == 0 {
		c.off = true
		if c.cutAt.Before {
			return c.gone(kind, name)
		}
	}
	c.ops++
	c.kinds[kind]++
	c.trace = append(c.trace, kind+" "+name)
	c.off = c.off || c.ops == c.cut
	f := c.fault
	n := c.ops
	if f.Nth {
		n = c.count(f.Only)
	}
	if f.At == 0 || f.Only != "" && f.Only != kind || n < f.At || n > f.At && !f.Forever {
		return nil
	}
	if f.Err == nil {
		f.Err = syscall.EIO
	}
	return &fs.PathError{Op: kind, Path: name, Err: f.Err}
}

func (c *FS) gone(kind, name string) error {
	return &fs.PathError{Op: kind, Path: name, Err: ErrPowerCut}
}

// dead is the error of calls that change nothing. The lock is held.
func (c *FS) dead() error {
	if c.off {
		return ErrPowerCut
	}
	return nil
}

// String draws the disk for a failing test.
func (c *FS) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var b strings.Builder
	for _, path := range slices.Sorted(maps.Keys(c.files)) {
		in := c.files[path]
		fmt.Fprintf(&b, "%s %d bytes, %d synced, entry synced: %v\n", path, len(in.data), len(in.synced), c.saved[path] == in)
	}
	return b.String()
}

var _ spool.FS = (*FS)(nil)
