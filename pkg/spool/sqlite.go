package spool

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"strconv"
	"strings"

	"modernc.org/sqlite" // the driver registers itself as "sqlite"; this is the only import of it
	sqlite3 "modernc.org/sqlite/lib"
)

// minSQLite is the first release without the bug that could corrupt a database when its WAL was reset.
const minSQLite = "3.51.3"

// dbOptions are how a database is opened.
type dbOptions struct {
	readOnly    bool
	synchronous string // NORMAL: a power cut may take the last transactions; FULL: it may not
}

// openDB opens the SQLite database at path in WAL mode. It refuses anything that is not a regular file, and
// versions of SQLite that can lose data.
func openDB(ctx context.Context, path string, o dbOptions) (*sql.DB, error) {
	st, err := os.Lstat(path)
	switch {
	case err == nil && !st.Mode().IsRegular():
		return nil, fmt.Errorf("%s is not a regular file", path)
	case err != nil && (o.readOnly || !errors.Is(err, fs.ErrNotExist)):
		return nil, err
	}
	isNew := err != nil
	q := url.Values{"_pragma": {"busy_timeout(10000)"}, "_txlock": {"immediate"}}
	if o.readOnly {
		q.Set("mode", "ro")
		q.Add("_pragma", "query_only(1)")
	} else {
		q.Add("_pragma", "journal_mode(WAL)")
		q.Add("_pragma", "synchronous("+o.synchronous+")")
		q.Add("_pragma", "journal_size_limit(67108864)")
	}
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Path: path, RawQuery: q.Encode()}).String())
	if err != nil {
		return nil, err
	}
	if err := checkDB(ctx, db); err != nil {
		_ = db.Close()
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	if isNew {
		giveToOwner(path, path+"-wal", path+"-shm")
	}
	return db, nil
}

func checkDB(ctx context.Context, db *sql.DB) error {
	var version string
	if err := db.QueryRowContext(ctx, "SELECT sqlite_version()").Scan(&version); err != nil {
		return err
	}
	if olderThan(version, minSQLite) {
		return fmt.Errorf("SQLite %s can corrupt databases: %s or later is needed", version, minSQLite)
	}
	// The first read finds out whether the file is a database at all.
	_, err := db.ExecContext(ctx, "SELECT count(*) FROM sqlite_schema")
	return err
}

// olderThan compares dotted numbers.
func olderThan(a, b string) bool {
	x, y := strings.Split(a, "."), strings.Split(b, ".")
	for i := range min(len(x), len(y)) {
		m, _ := strconv.Atoi(x[i])
		n, _ := strconv.Atoi(y[i])
		if m != n {
			return m < n
		}
	}
	return len(x) < len(y)
}

// isCorrupt reports an error that says that the file itself is bad.
func isCorrupt(err error) bool {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return false
	}
	code := e.Code() & 0xff
	return code == sqlite3.SQLITE_CORRUPT || code == sqlite3.SQLITE_NOTADB || code == sqlite3.SQLITE_FORMAT
}

// removeDB deletes a database with its companions.
func removeDB(path string) error {
	for _, suffix := range []string{"-wal", "-shm", ""} {
		if err := os.Remove(path + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// setAside renames a database that cannot be read, so that somebody may look at it.
func setAside(path string) error {
	for _, suffix := range []string{"-wal", "-shm"} {
		if err := os.Rename(path+suffix, path+".damaged"+suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return os.Rename(path, path+".damaged")
}
