package spool

import (
	"fmt"
	"os"
	"path/filepath"
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
	path, text := filepath.Join(dir, logDirsName), strings.Join(s.cfg.LogDirs, "\n")+"\n"
	if have, err := readSmall(fsys, path); err == nil && string(have) == text {
		return nil
	}
	return writeSmall(fsys, path, []byte(text))
}
