package spool

import (
	"errors"
	"io"
	"io/fs"
)

// FS is everything that the log asks of a disk. The runtime's is OS; tests put one in its place that loses what was
// not synced, tears writes, or fails the nth call. Names are absolute paths. No call follows a symbolic link in
// the last element of a name. The SQLite files do not go through FS.
type FS interface {
	// Create makes a new file for reading and writing; it fails with fs.ErrExist if there is one.
	Create(name string) (File, error)
	// Open opens an existing regular file, for writing too if write is set.
	Open(name string, write bool) (File, error)
	Mkdir(name string) error // parents must exist; an existing directory is no error
	Rename(from, to string) error
	Remove(name string) error
	// ReadDir lists a directory in no order.
	ReadDir(name string) ([]Dirent, error)
	// SyncDir makes the entries of a directory durable.
	SyncDir(name string) error
	Stat(name string) (Dirent, error)
	Space(name string) (Space, error)
	// Lock takes the exclusive lock of a file or directory for as long as the Closer is open; ErrLocked if
	// another process has it.
	Lock(name string) (io.Closer, error)
}

// File is an open file of the log.
type File interface {
	io.ReaderAt
	io.Closer
	// WriteAt writes bufs one after the other at off. It returns the bytes written, and an error if they are fewer
	// than given.
	WriteAt(off int64, bufs ...[]byte) (int64, error)
	// Sync makes the file's data and size durable. After an error the file's unsynced content is unknown.
	Sync() error
	Truncate(size int64) error
	Size() (int64, error)
}

// Dirent is what FS knows of a file without opening it.
type Dirent struct {
	Name  string
	Mode  fs.FileMode // type bits
	Size  int64
	Inode uint64
	UID   uint32 // owner
}

// Space is what is left of a file system.
type Space struct {
	Type                    string // "ext4", "tmpfs", "nfs"…; "" when it has no name here
	FreeBytes, TotalBytes   int64
	FreeInodes, TotalInodes int64 // 0, 0 where the file system has no fixed number of them
	ReadOnly                bool
}

// ErrLocked is a lock that another process holds.
var ErrLocked = errors.New("locked by another process")
