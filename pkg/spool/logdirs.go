package spool

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// logDirsName is the file in which a spool remembers where the log records about its mail are: one directory to a line.
const logDirsName = "logs"

// LogDirs says where the log records about the mail of the spool in dir are, as its last owner said; nil when it said
// nothing.
func LogDirs(dir string) ([]string, error) {
	b, err := os.ReadFile(filepath.Join(dir, logDirsName))
	if isMissing(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("log directories of spool %s: %w", dir, explain(err, dir))
	}
	var dirs []string
	for line := range strings.Lines(string(b)) {
		if line = strings.TrimRight(line, "\r\n"); filepath.IsAbs(line) {
			dirs = append(dirs, line)
		}
	}
	return dirs, nil
}

// rememberLogs writes the file when it does not say so already.
func (s *Spool) rememberLogs() error {
	dir, fsys := s.cfg.Dir, s.cfg.FS
	if s.cfg.LogDirs == nil {
		return nil
	}
	if have, err := LogDirs(dir); err == nil && slices.Equal(have, s.cfg.LogDirs) {
		return nil
	}
	path, tmp := filepath.Join(dir, logDirsName), filepath.Join(dir, logDirsName+".new")
	if err := fsys.Remove(tmp); err != nil && !isMissing(err) {
		return err
	}
	f, err := fsys.Create(tmp)
	if err != nil {
		return err
	}
	text := []byte(strings.Join(s.cfg.LogDirs, "\n") + "\n")
	n, err := f.WriteAt(0, text)
	if err == nil {
		err = shortWrite(n, int64(len(text)))
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = fsys.Rename(tmp, path)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return fsys.SyncDir(dir)
}
