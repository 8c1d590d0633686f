package spool

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"strings"

	"kumo/pkg/spool/internal/segment"
)

// readSmall reads a file of at most 4 KiB.
func readSmall(fsys FS, path string) ([]byte, error) {
	f, err := fsys.Open(path, false)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b := make([]byte, 4<<10)
	n, err := f.ReadAt(b, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return b[:n], nil
}

// openFormat reads the spool's version and key, and writes them for a new spool. A file that is damaged or missing
// is made again from the segments, which all carry the key.
func openFormat(fsys FS, dir string, log *slog.Logger) (segment.Key, error) {
	path := filepath.Join(dir, formatName)
	b, err := readSmall(fsys, path)
	if err != nil && !isMissing(err) {
		return segment.Key{}, explain(err, dir)
	}
	if err == nil {
		key, version, perr := parseFormat(string(b))
		if perr == nil && version < segment.Version {
			// Before anything of the new format is written, so that no older program comes upon it.
			log.Info("spool: carried on in a newer format", "from", version, "to", segment.Version)
			perr = writeFormat(fsys, dir, key)
			return key, perr
		}
		if perr == nil {
			return key, nil
		}
		if v := (*segment.VersionError)(nil); errors.As(perr, &v) {
			return key, fmt.Errorf("%w: use the version of kumo that wrote it, or a later one", perr)
		}
		log.Warn("spool: format file is damaged and made again from the log", "path", path)
	}
	key, err := keyFromLog(fsys, filepath.Join(dir, logName))
	if err != nil {
		return key, err
	}
	if key.IsZero() {
		key = newKey()
	}
	return key, writeFormat(fsys, dir, key)
}

func newKey() segment.Key {
	var b [12]byte
	_, _ = rand.Read(b[:])
	return segment.Key{Mark: binary.LittleEndian.Uint32(b[:]) | 1, Salt: binary.LittleEndian.Uint64(b[4:])}
}

const formatText = "kumo spool, format %d\nkey %08x%016x\n"

func formatFile(key segment.Key) string {
	text := fmt.Sprintf(formatText, segment.Version, key.Mark, key.Salt)
	return fmt.Sprintf("%scheck %08x\n", text, segment.Checksum([]byte(text)))
}

func parseFormat(text string) (segment.Key, uint32, error) {
	var key segment.Key
	var version, check uint32
	_, err := fmt.Sscanf(text, formatText+"check %08x\n", &version, &key.Mark, &key.Salt, &check)
	i := strings.Index(text, "check ")
	if err != nil || i < 0 || segment.Checksum([]byte(text[:i])) != check {
		return segment.Key{}, 0, segment.ErrHeader
	}
	if version > segment.Version {
		return segment.Key{}, version, &segment.VersionError{Have: version}
	}
	return key, version, nil
}

// keyFromLog finds the key in a segment's header; zero when there is no segment.
func keyFromLog(fsys FS, dir string) (segment.Key, error) {
	files, _, err := listLog(fsys, dir)
	if err != nil {
		return segment.Key{}, err
	}
	if err := readHeaders(fsys, newSegments(fsys, dir, segment.Key{}), files); err != nil {
		return segment.Key{}, err
	}
	readable := 0
	for _, l := range files {
		if l.ok {
			return l.header.Key, nil
		}
		if l.size > segment.HeaderSize {
			readable++
		}
	}
	if readable > 0 {
		return segment.Key{}, fmt.Errorf("neither %s nor the header of any segment in %s can be read: restore one of them from a backup", formatName, dir)
	}
	return segment.Key{}, nil
}

// writeFormat replaces the format file in one step.
func writeFormat(fsys FS, dir string, key segment.Key) error {
	return explain(writeSmall(fsys, filepath.Join(dir, formatName), []byte(formatFile(key))), dir)
}

// writeSmall replaces a file in one step, durably.
func writeSmall(fsys FS, path string, text []byte) error {
	tmp := path + ".new"
	if err := fsys.Remove(tmp); err != nil && !isMissing(err) {
		return err
	}
	f, err := fsys.Create(tmp)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	n, err := f.WriteAt(0, text)
	if err == nil {
		err = shortWrite(n, int64(len(text)))
	}
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = fsys.Rename(tmp, path)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return fsys.SyncDir(filepath.Dir(path))
}
