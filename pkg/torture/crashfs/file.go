package crashfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"syscall"

	"kumo/pkg/spool"
)

func missing(op, name string) error { return &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist} }

// Create implements spool.FS.
func (c *FS) Create(name string) (spool.File, error) {
	c.pause("create")
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.files[name] != nil {
		return nil, &fs.PathError{Op: "create", Path: name, Err: fs.ErrExist}
	}
	if p := c.files[filepath.Dir(name)]; p == nil || !p.dir {
		return nil, missing("create", name)
	}
	if err := c.op("create", name); err != nil {
		return nil, err
	}
	in := &inode{num: c.next}
	c.next++
	c.files[name] = in
	return &file{c: c, in: in, name: name}, nil
}

// Open implements spool.FS.
func (c *FS) Open(name string, _ bool) (spool.File, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.dead(); err != nil {
		return nil, err
	}
	in := c.files[name]
	if in == nil {
		return nil, missing("open", name)
	}
	if in.dir {
		return nil, fmt.Errorf("open %s: not a regular file", name)
	}
	return &file{c: c, in: in, name: name}, nil
}

// Mkdir implements spool.FS.
func (c *FS) Mkdir(name string) error {
	c.pause("mkdir")
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.files[name] != nil {
		return nil
	}
	if err := c.op("mkdir", name); err != nil {
		return err
	}
	c.files[name] = &inode{num: c.next, dir: true}
	c.next++
	return nil
}

// Rename implements spool.FS.
func (c *FS) Rename(from, to string) error {
	c.pause("rename")
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.files[from] == nil {
		return missing("rename", from)
	}
	if err := c.op("rename", to); err != nil {
		return err
	}
	if old := c.files[to]; old != nil {
		c.used -= len(old.data)
	}
	c.files[to] = c.files[from]
	delete(c.files, from)
	return nil
}

// Remove implements spool.FS.
func (c *FS) Remove(name string) error {
	c.pause("remove")
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.files[name] == nil {
		return missing("remove", name)
	}
	if err := c.op("remove", name); err != nil {
		return err
	}
	if !c.files[name].dir {
		c.used -= len(c.files[name].data)
	}
	delete(c.files, name)
	return nil
}

func within(dir, path string) bool {
	return path != "/" && filepath.Dir(path) == filepath.Clean(dir)
}

// ReadDir implements spool.FS.
func (c *FS) ReadDir(name string) ([]spool.Dirent, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.dead(); err != nil {
		return nil, err
	}
	if in := c.files[name]; in == nil || !in.dir {
		return nil, missing("readdir", name)
	}
	var out []spool.Dirent
	for path, in := range c.files {
		if within(name, path) {
			out = append(out, in.dirent(path))
		}
	}
	return out, nil
}

func (in *inode) dirent(path string) spool.Dirent {
	d := spool.Dirent{Name: filepath.Base(path), Size: int64(len(in.data)), Inode: in.num}
	if in.dir {
		d.Mode = fs.ModeDir
	}
	return d
}

// SyncDir implements spool.FS.
func (c *FS) SyncDir(name string) error {
	c.pause("syncdir")
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.op("syncdir", name); err != nil {
		return err
	}
	maps.DeleteFunc(c.saved, func(path string, _ *inode) bool { return within(name, path) && c.files[path] == nil })
	for path, in := range c.files {
		if within(name, path) {
			c.saved[path] = in
		}
	}
	return nil
}

// Stat implements spool.FS.
func (c *FS) Stat(name string) (spool.Dirent, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.dead(); err != nil {
		return spool.Dirent{}, err
	}
	in := c.files[name]
	if in == nil {
		return spool.Dirent{}, missing("stat", name)
	}
	return in.dirent(name), nil
}

// Space implements spool.FS.
func (c *FS) Space(string) (spool.Space, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	sp := c.space
	if c.limit > 0 {
		sp.TotalBytes, sp.FreeBytes = int64(c.limit), int64(max(0, c.limit-c.used))
	}
	return sp, c.dead()
}

type unlocker func()

func (u unlocker) Close() error {
	u()
	return nil
}

// Lock implements spool.FS.
func (c *FS) Lock(name string) (io.Closer, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.files[name] == nil {
		return nil, missing("lock", name)
	}
	if c.locks[name] {
		return nil, fmt.Errorf("lock %s: %w", name, spool.ErrLocked)
	}
	c.locks[name] = true
	return unlocker(func() {
		c.mu.Lock()
		delete(c.locks, name)
		c.mu.Unlock()
	}), nil
}

type file struct {
	c    *FS
	in   *inode
	name string
}

func (f *file) ReadAt(b []byte, off int64) (int, error) {
	f.c.pause("read")
	f.c.mu.Lock()
	defer f.c.mu.Unlock()
	if err := f.c.dead(); err != nil {
		return 0, err
	}
	if err := f.c.failRead(f.name); err != nil {
		return 0, err
	}
	if off >= int64(len(f.in.data)) {
		return 0, io.EOF
	}
	n := copy(b, f.in.data[off:])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

// failRead decides whether a read fails. The lock is held.
func (c *FS) failRead(name string) error {
	switch f := &c.read; {
	case f.Times == 0:
		return nil
	case f.Skip > 0:
		f.Skip--
		return nil
	default:
		f.Times--
		return &fs.PathError{Op: "read", Path: name, Err: f.Err}
	}
}

func (f *file) WriteAt(off int64, bufs ...[]byte) (int64, error) {
	f.c.pause("write")
	f.c.mu.Lock()
	defer f.c.mu.Unlock()
	all := slices.Concat(bufs...)
	was := f.c.off
	err := f.c.op("write", f.name)
	if err == nil {
		fits := len(all)
		if grow := int(off) + len(all) - len(f.in.data); f.c.limit > 0 && grow > 0 {
			fits = len(all) - max(0, min(grow-(f.c.limit-f.c.used), len(all)))
		}
		f.write(off, all[:fits])
		if fits < len(all) {
			err = &fs.PathError{Op: "write", Path: f.name, Err: syscall.ENOSPC}
		}
		return int64(fits), err
	}
	if errors.Is(err, ErrPowerCut) {
		if torn := min(f.c.cutAt.Torn, len(all)); !was && torn > 0 {
			f.write(off, all[:torn])
			f.in.synced = put(f.in.synced, int(off), all[:torn])
		}
		return 0, err
	}
	if !f.c.fault.Half && f.c.fault.Err != nil {
		return 0, err
	}
	half := all[:len(all)/2]
	f.write(off, half)
	if f.c.fault.Landed {
		f.in.synced = slices.Clone(f.in.data)
	}
	if f.c.fault.Err == nil {
		err = nil
	}
	return int64(len(half)), err
}

// write changes what the running system sees. The lock is held.
func (f *file) write(off int64, b []byte) {
	before := len(f.in.data)
	f.in.data = put(f.in.data, int(off), b)
	f.c.used += len(f.in.data) - before
	if f.in.touched == nil {
		f.in.touched = make(map[int]bool)
	}
	for k := min(int(off), before) / sector; k*sector < int(off)+len(b); k++ {
		f.in.touched[k] = true
	}
}

// Sync implements spool.File. After a failure it behaves as Linux does: the error is reported once, and what it did
// not write no later sync will write.
func (f *file) Sync() error {
	f.c.pause("sync")
	f.c.mu.Lock()
	defer f.c.mu.Unlock()
	in := f.in
	err := f.c.op("sync", f.name)
	switch {
	case errors.Is(err, ErrPowerCut):
		return err
	case err != nil && !f.c.fault.Landed:
		clear(in.touched)
		return err
	}
	for _, k := range in.dirty() {
		off, end := k*sector, min((k+1)*sector, len(in.data))
		in.synced = put(in.synced, off, in.data[off:end])
	}
	clear(in.touched)
	if len(in.synced) > len(in.data) {
		in.synced = in.synced[:len(in.data)]
	}
	return err
}

func (f *file) Truncate(size int64) error {
	f.c.mu.Lock()
	defer f.c.mu.Unlock()
	if err := f.c.op("truncate", f.name); err != nil {
		return err
	}
	if n := len(f.in.data) - int(size); n > 0 {
		f.in.data = slices.Clone(f.in.data[:size])
		f.c.used -= n
	}
	return nil
}

func (f *file) Size() (int64, error) {
	f.c.mu.Lock()
	defer f.c.mu.Unlock()
	return int64(len(f.in.data)), f.c.dead()
}

func (f *file) Close() error { return nil }
