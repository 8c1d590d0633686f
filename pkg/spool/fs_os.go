package spool

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// OS is the FS of the running system.
type OS struct{}

type osFile struct {
	f  *os.File
	fd int
}

func osOpen(name string, flags int) (File, error) {
	fd, err := retry(func() (int, error) {
		return unix.Open(name, flags|unix.O_NOFOLLOW|unix.O_CLOEXEC|unix.O_NONBLOCK, 0o600)
	})
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
		_ = unix.Close(fd)
		return nil, &fs.PathError{Op: "open", Path: name, Err: errors.New("not a regular file")}
	}
	return &osFile{f: os.NewFile(uintptr(fd), name), fd: fd}, nil
}

func retry(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		if !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
}

// Create implements FS.
func (OS) Create(name string) (File, error) {
	f, err := osOpen(name, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL)
	if err == nil {
		giveToOwner(name)
	}
	return f, err
}

// Open implements FS.
func (OS) Open(name string, write bool) (File, error) {
	if write {
		return osOpen(name, unix.O_RDWR)
	}
	return osOpen(name, unix.O_RDONLY)
}

// Mkdir implements FS.
func (OS) Mkdir(name string) error {
	err := os.Mkdir(name, 0o700)
	if err == nil {
		giveToOwner(name)
	}
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}

// giveToOwner makes files that root made in a directory the property of the directory's owner, so that a verb run
// by root does not lock the daemon out.
func giveToOwner(names ...string) {
	if os.Getuid() != 0 {
		return
	}
	st, err := OS{}.Stat(filepath.Dir(names[0]))
	if err != nil || st.UID == 0 {
		return
	}
	for _, name := range names {
		_ = os.Lchown(name, int(st.UID), -1)
	}
}

// Rename implements FS.
func (OS) Rename(from, to string) error { return os.Rename(from, to) }

// Remove implements FS.
func (OS) Remove(name string) error { return os.Remove(name) }

// ReadDir implements FS.
func (OS) ReadDir(name string) ([]Dirent, error) {
	entries, err := os.ReadDir(name)
	if err != nil {
		return nil, err
	}
	out := make([]Dirent, 0, len(entries))
	for _, e := range entries {
		out = append(out, Dirent{Name: e.Name(), Mode: e.Type()})
	}
	return out, nil
}

// SyncDir implements FS.
func (OS) SyncDir(name string) error {
	d, err := os.Open(name)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// Stat implements FS.
func (OS) Stat(name string) (Dirent, error) {
	var st unix.Stat_t
	if err := unix.Lstat(name, &st); err != nil {
		return Dirent{}, &fs.PathError{Op: "stat", Path: name, Err: err}
	}
	fi, err := os.Lstat(name)
	if err != nil {
		return Dirent{}, err
	}
	return Dirent{Name: fi.Name(), Mode: fi.Mode(), Size: st.Size, Inode: st.Ino, UID: st.Uid}, nil
}

var fsTypes = map[int64]string{
	unix.EXT4_SUPER_MAGIC: "ext4", unix.XFS_SUPER_MAGIC: "xfs", unix.BTRFS_SUPER_MAGIC: "btrfs",
	unix.TMPFS_MAGIC: "tmpfs", unix.RAMFS_MAGIC: "ramfs", unix.NFS_SUPER_MAGIC: "nfs", unix.SMB_SUPER_MAGIC: "smb",
	unix.CIFS_SUPER_MAGIC: "cifs", unix.SMB2_SUPER_MAGIC: "smb", unix.OVERLAYFS_SUPER_MAGIC: "overlay",
	unix.FUSE_SUPER_MAGIC: "fuse",
}

// Space implements FS.
func (OS) Space(name string) (Space, error) {
	var st unix.Statfs_t
	if _, err := retry(func() (int, error) { return 0, unix.Statfs(name, &st) }); err != nil {
		return Space{}, &fs.PathError{Op: "statfs", Path: name, Err: err}
	}
	return Space{
		Type:        fsTypes[st.Type],
		FreeBytes:   int64(st.Bavail) * st.Bsize,
		TotalBytes:  int64(st.Blocks) * st.Bsize,
		FreeInodes:  int64(st.Ffree),
		TotalInodes: int64(st.Files),
		ReadOnly:    st.Flags&unix.ST_RDONLY != 0,
	}, nil
}

// lockPatience is how long Lock waits for a lock that somebody may only be probing.
const lockPatience = 300 * time.Millisecond

// Lock implements FS by flock(2): the kernel lets go of it when the process ends, however it ends.
func (OS) Lock(name string) (io.Closer, error) {
	fd, err := unix.Open(name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	f := os.NewFile(uintptr(fd), name)
	for deadline := time.Now().Add(lockPatience); ; time.Sleep(20 * time.Millisecond) {
		_, err = retry(func() (int, error) { return 0, unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) })
		if !errors.Is(err, unix.EWOULDBLOCK) || time.Now().After(deadline) {
			break
		}
	}
	switch {
	case err == nil:
		return f, nil
	case errors.Is(err, unix.EWOULDBLOCK):
		err = ErrLocked
	}
	_ = f.Close()
	return nil, fmt.Errorf("lock %s: %w", name, err)
}

func (o *osFile) ReadAt(b []byte, off int64) (int, error) { return o.f.ReadAt(b, off) }
func (o *osFile) Close() error                            { return o.f.Close() }
func (o *osFile) Truncate(size int64) error               { return o.f.Truncate(size) }

func (o *osFile) Sync() error {
	_, err := retry(func() (int, error) { return 0, unix.Fdatasync(o.fd) })
	if err != nil {
		return &fs.PathError{Op: "fdatasync", Path: o.f.Name(), Err: err}
	}
	return nil
}

func (o *osFile) Size() (int64, error) {
	var st unix.Stat_t
	err := unix.Fstat(o.fd, &st)
	return st.Size, err
}

// maxVectors is IOV_MAX of Linux.
const maxVectors = 1024

func (o *osFile) WriteAt(off int64, bufs ...[]byte) (int64, error) {
	var done int64
	for len(bufs) > 0 {
		n, err := o.write(off+done, bufs[:min(len(bufs), maxVectors)])
		if n <= 0 && err == nil {
			err = io.ErrShortWrite
		}
		if err != nil {
			return done, &fs.PathError{Op: "write", Path: o.f.Name(), Err: err}
		}
		done += int64(n)
		bufs = skip(bufs, n)
	}
	return done, nil
}

func (o *osFile) write(off int64, bufs [][]byte) (int, error) {
	if len(bufs) == 1 {
		return retry(func() (int, error) { return unix.Pwrite(o.fd, bufs[0], off) })
	}
	return retry(func() (int, error) { return unix.Pwritev(o.fd, bufs, off) })
}

// Locked reports whether another process holds the lock of name.
func (OS) Locked(name string) (bool, error) {
	fd, err := unix.Open(name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return false, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	defer func() { _ = unix.Close(fd) }()
	_, err = retry(func() (int, error) { return 0, unix.Flock(fd, unix.LOCK_SH|unix.LOCK_NB) })
	if errors.Is(err, unix.EWOULDBLOCK) {
		return true, nil
	}
	return false, err
}

// skip is what is left of bufs after n bytes; the bufs themselves are not changed but for the array's elements.
func skip(bufs [][]byte, n int) [][]byte {
	for len(bufs) > 0 && n >= len(bufs[0]) {
		n -= len(bufs[0])
		bufs = bufs[1:]
	}
	if n > 0 {
		bufs[0] = bufs[0][n:]
	}
	return bufs
}
