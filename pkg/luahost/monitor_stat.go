package luahost

import (
	"os"
	"syscall"
	"time"
)

// changeTime is when the file's content or attributes last changed; nobody can set it back.
func changeTime(st os.FileInfo) time.Time {
	if s, ok := st.Sys().(*syscall.Stat_t); ok {
		return time.Unix(s.Ctim.Sec, s.Ctim.Nsec)
	}
	return st.ModTime()
}

// inode tells files of the same name apart.
func inode(st os.FileInfo) any {
	if s, ok := st.Sys().(*syscall.Stat_t); ok {
		return s.Ino
	}
	return nil
}
