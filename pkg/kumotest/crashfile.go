package kumotest

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
func (c *CrashFS) Create(name string) (spool.File, error) {
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
	return &crashFile{c: c, in: in, name: name}, nil
}

// Open implements spool.FS.
func (c *CrashFS) Open(name string, _ bool) (spool.File, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.off(); err != nil {
		return nil, err
	}
	in := c.files[name]
	if in == nil {
		return nil, missing("open", name)
	}
	if in.dir {
		return nil, fmt.Errorf("open %s: not a regular file", name)
	}
	return &crashFile{c: c, in: in, name: name}, nil
}

// Mkdir implements spool.FS.
func (c *CrashFS) Mkdir(name string) error {
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
func (c *CrashFS) Rename(from, to string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.files[from] == nil {
		return missing("rename", from)
	}
	if err := c.op("rename", to); err != nil {
		return err
	}
	c.files[to] = c.files[from]
	delete(c.files, from)
	return nil
}

// Remove implements spool.FS.
func (c *CrashFS) Remove(name string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.files[name] == nil {
		return missing("remove", name)
	}
	if err := c.op("remove", name); err != nil {
		return err
	}
	delete(c.files, name)
	return nil
}

func within(dir, path string) bool {
	return path != "/" && filepath.Dir(path) == filepath.Clean(dir)
}

// ReadDir implements spool.FS.
func (c *CrashFS) ReadDir(name string) ([]spool.Dirent, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.off(); err != nil {
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
func (c *CrashFS) SyncDir(name string) error {
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
func (c *CrashFS) Stat(name string) (spool.Dirent, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.off(); err != nil {
		return spool.Dirent{}, err
	}
	in := c.files[name]
	if in == nil {
		return spool.Dirent{}, missing("stat", name)
	}
	return in.dirent(name), nil
}

// Space implements spool.FS.
func (c *CrashFS) Space(string) (spool.Space, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	sp := c.space
	if c.limit > 0 {
		sp.TotalBytes, sp.FreeBytes = int64(c.limit), int64(max(0, c.limit-c.used()))
	}
	return sp, c.off()
}

type unlocker func()

func (u unlocker) Close() error {
	u()
	return nil
}

// Lock implements spool.FS.
func (c *CrashFS) Lock(name string) (io.Closer, error) {
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

type crashFile struct {
	c    *CrashFS
	in   *inode
	name string
}

func (f *crashFile) ReadAt(b []byte, off int64) (int, error) {
	f.c.mu.Lock()
	defer f.c.mu.Unlock()
	if err := f.c.off(); err != nil {
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

func (f *crashFile) WriteAt(off int64, bufs ...[]byte) (int64, error) {
	f.c.mu.Lock()
	defer f.c.mu.Unlock()
	all := slices.Concat(bufs...)
	err := f.c.op("write", f.name)
	if err == nil {
		fits := len(all)
		if grow := int(off) + len(all) - len(f.in.data); f.c.limit > 0 && grow > 0 {
			fits = len(all) - max(0, min(grow-(f.c.limit-f.c.used()), len(all)))
		}
		f.in.write(off, all[:fits])
		if fits < len(all) {
			err = &fs.PathError{Op: "write", Path: f.name, Err: syscall.ENOSPC}
		}
		return int64(fits), err
	}
	if errors.Is(err, ErrPowerCut) || !f.c.fault.Half && f.c.fault.Err != nil {
		return 0, err
	}
	half := all[:len(all)/2]
	f.in.write(off, half)
	if f.c.fault.Landed {
		f.in.synced = slices.Clone(f.in.data)
	}
	if f.c.fault.Err == nil {
		err = nil
	}
	return int64(len(half)), err
}

func (in *inode) write(off int64, b []byte) {
	in.data = put(in.data, int(off), b)
	for k := int(off) / sector; k*sector < int(off)+len(b); k++ {
		delete(in.stuck, k)
	}
}

// Sync implements spool.File. After a failure it behaves as Linux does: the error is reported once, and what it did
// not write no later sync will write.
func (f *crashFile) Sync() error {
	f.c.mu.Lock()
	defer f.c.mu.Unlock()
	in := f.in
	err := f.c.op("sync", f.name)
	switch {
	case errors.Is(err, ErrPowerCut):
		return err
	case err != nil && !f.c.fault.Landed:
		if in.stuck == nil {
			in.stuck = make(map[int]bool)
		}
		for _, k := range in.dirty() {
			in.stuck[k] = true
		}
		return err
	}
	for _, k := range in.dirty() {
		off, end := k*sector, min((k+1)*sector, len(in.data))
		in.synced = put(in.synced, off, in.data[off:end])
	}
	if len(in.synced) > len(in.data) {
		in.synced = in.synced[:len(in.data)]
	}
	return err
}

func (f *crashFile) Truncate(size int64) error {
	f.c.mu.Lock()
	defer f.c.mu.Unlock()
	if err := f.c.op("truncate", f.name); err != nil {
		return err
	}
	if int64(len(f.in.data)) > size {
		f.in.data = slices.Clone(f.in.data[:size])
	}
	return nil
}

func (f *crashFile) Size() (int64, error) {
	f.c.mu.Lock()
	defer f.c.mu.Unlock()
	return int64(len(f.in.data)), f.c.off()
}

func (f *crashFile) Close() error { return nil }
