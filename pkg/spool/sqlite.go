package spool

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"strconv"
	"strings"
	"syscall"

	"modernc.org/sqlite" // the driver registers itself as "sqlite"; this is the only import of it
	sqlite3 "modernc.org/sqlite/lib"
)

// minSQLite is the first release without the bug that could corrupt a database when its WAL was reset.
const minSQLite = "3.51.3"

// dbOptions are how a database is opened.
type dbOptions struct {
	readOnly    bool
	synchronous string // NORMAL: a power cut may take the last transactions; FULL: it may not
	cache       int    // KiB of pages that a connection keeps; 0 is SQLite's own 2,000
	// keepWAL leaves the WAL where it is when the last process closes the database, and never gives its room back:
	// what it has, it has also on a full disk.
	keepWAL bool
}

// dsn is the name under which the driver opens path.
func (o dbOptions) dsn(path string) string {
	q := url.Values{"_pragma": {"busy_timeout(10000)"}, "_txlock": {"immediate"}, "_dqs": {"0"}}
	if o.cache > 0 {
		q.Add("_pragma", fmt.Sprintf("cache_size(-%d)", o.cache))
	}
	if o.readOnly {
		q.Set("mode", "ro")
		q.Add("_pragma", "query_only(1)")
	} else {
		q.Add("_pragma", "journal_mode(WAL)")
		q.Add("_pragma", "synchronous("+o.synchronous+")")
		if o.keepWAL {
			q.Add("_pragma", "wal_autocheckpoint(64)")
		} else {
			q.Add("_pragma", "journal_size_limit(67108864)")
		}
	}
	return (&url.URL{Scheme: "file", Path: path, RawQuery: q.Encode()}).String()
}

// connector opens connections and sets up what a DSN cannot say.
type connector struct {
	driver.Connector
	setup func(driver.Conn) error
}

// Connect implements driver.Connector.
func (c connector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	if err != nil || c.setup == nil {
		return conn, err
	}
	if err := c.setup(conn); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return conn, nil
}

// persistWAL has the connection leave the WAL in place when it is the last to close the database.
func persistWAL(c driver.Conn) error {
	if fc, ok := c.(sqlite.FileControl); ok {
		_, err := fc.FileControlPersistWAL("main", 1)
		return err
	}
	return errors.New("the SQLite driver cannot keep a WAL")
}

// openDB opens the SQLite database at path in WAL mode. It refuses anything that is not a regular file, and
// versions of SQLite that can lose data. A new file can be read by its owner only; the WAL inherits that.
func openDB(ctx context.Context, path string, o dbOptions) (*sql.DB, error) {
	st, err := os.Lstat(path)
	switch {
	case err == nil && !st.Mode().IsRegular():
		return nil, fmt.Errorf("%s is not a regular file", path)
	case err != nil && (o.readOnly || !errors.Is(err, fs.ErrNotExist)):
		return nil, err
	}
	isNew := err != nil
	if isNew {
		// mknod makes the file without opening it: closing a descriptor of it would take away the locks that another
		// connection of this process may have.
		if err := syscall.Mknod(path, syscall.S_IFREG|0o600, 0); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, &fs.PathError{Op: "create", Path: path, Err: err}
		}
		giveToOwner(path) // SQLite makes the WAL the property of the same user
	} else if !o.readOnly && st.Mode().Perm() != 0o600 {
		for _, suffix := range []string{"", "-wal", "-shm"} {
			_ = os.Chmod(path+suffix, 0o600) // somebody else's file stays as it is
		}
	}
	inner, err := sqlite.NewConnector(o.dsn(path))
	if err != nil {
		return nil, err
	}
	c := connector{Connector: inner}
	if o.keepWAL && !o.readOnly {
		c.setup = persistWAL
	}
	db := sql.OpenDB(c)
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

// sqliteCode is the primary result code of an error of SQLite, 0 for any other error.
func sqliteCode(err error) int {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return 0
	}
	return e.Code() & 0xff
}

// isCorrupt reports an error that says that the file itself is bad.
func isCorrupt(err error) bool {
	code := sqliteCode(err)
	return errors.Is(err, errTorn) || code == sqlite3.SQLITE_CORRUPT || code == sqlite3.SQLITE_NOTADB || code == sqlite3.SQLITE_FORMAT
}

// isBusy reports that others held the database for longer than one try waits.
func isBusy(err error) bool {
	code := sqliteCode(err)
	return code == sqlite3.SQLITE_BUSY || code == sqlite3.SQLITE_LOCKED
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
