package policy

import (
	"net"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestSQLite(t *testing.T) {
	db := filepath.Join(t.TempDir(), "x.db")
	for _, chunk := range []string{
		`local db = require('sqlite').open ':memory:'
assert(db:execute 'CREATE TABLE people (name, age)' == 0)
assert(db:execute('INSERT INTO people VALUES (?, ?)', 'john', 42) == 1)
db:execute('INSERT INTO people VALUES (:name, :age)', { name = 'fred', age = 32 })
db:execute('INSERT INTO people VALUES (?, ?)', 'nil', nil)
local ages = db:execute 'SELECT age FROM people WHERE age IS NOT NULL ORDER BY age'
assert(#ages == 2 and ages[1] == 32 and ages[2] == 42)
local all = db:execute('SELECT * FROM people WHERE name = ?', 'fred')
assert(#all == 1 and all[1].name == 'fred' and all[1].age == 32)
assert(#db:execute 'SELECT * FROM people WHERE 0' == 0)
assert(db:execute 'DELETE FROM people' == 3)
db:close() db:close()`,
		`local db = require('sqlite').open 'URL' db:execute 'CREATE TABLE t (b BLOB)' db:execute('INSERT INTO t VALUES (?)', 'a\0b') db:close()
db = require('sqlite').open('URL', 100) assert(db:execute('SELECT b FROM t')[1] == 'a\0b') db:close()`,
	} {
		if err := askServer(t, db, chunk); err != nil {
			t.Errorf("%s: %v", chunk, err)
		}
	}
	for chunk, want := range map[string]string{
		`require('sqlite').open '/nonexistent/x.db'`:                                                                                 "sqlite.open /nonexistent/x.db: unable to open",
		`require('sqlite').open(':memory:', -1)`:                                                                                     "a number of milliseconds",
		`require('sqlite').open(':memory:'):execute 'SELECT nope'`:                                                                   "no such column: nope",
		`require('sqlite').open(':memory:'):execute('SELECT ?', print)`:                                                              "a string expected, got a function",
		`local db = require('sqlite').open ':memory:' db:close() db:execute 'SELECT 1'`:                                              "database is closed",
		`require('sqlite').open(':memory:'):execute 'WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c) SELECT x FROM c'`: "more than 200000 rows",
	} {
		if err := askServer(t, db, chunk); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", chunk, err, want)
		}
	}
}

// redisServer starts a real one.
func redisServer(t *testing.T) string {
	t.Helper()
	program, err := exec.LookPath("redis-server")
	if err != nil {
		t.Skip("SKIP: Debian package redis-server is missing")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	_ = l.Close()
	cmd := exec.Command(program, "--bind", "127.0.0.1", "--port", strconv.Itoa(port), "--save", "", "--appendonly", "no", "--dir", t.TempDir(), "--requirepass", "sesame")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	addr := "127.0.0.1:" + strconv.Itoa(port)
	for began := time.Now(); ; {
		if c, err := net.Dial("tcp", addr); err == nil {
			_ = c.Close()
			return addr
		}
		if time.Since(began) > 20*time.Second {
			t.Fatal("redis-server does not start")
		}
	}
}

func TestRedis(t *testing.T) {
	addr := redisServer(t)
	open := `local c = require('redis').open({ node = 'redis://:sesame@URL/0' }) `
	for _, chunk := range []string{
		open + `assert(c:query('SET', 'a', 'b') == 'OK' and c:query('GET', 'a') == 'b' and c:query('GET', 'none') == nil)`,
		open + `assert(c:query('INCRBY', 'n', 2) == 2 and c:query('INCRBY', 'n', 2) == 4)`,
		open + `c:query('RPUSH', 'l', 'x', 'y') local l = c:query('LRANGE', 'l', 0, -1) assert(#l == 2 and l[2] == 'y')`,
		open + `c:query('HSET', 'h', 'k', 'v') assert(c:query('HGETALL', 'h').k == 'v')`,
	} {
		if err := askServer(t, addr, chunk); err != nil {
			t.Errorf("%s: %v", chunk, err)
		}
	}
	for chunk, want := range map[string]string{
		open + `c:query('NOPE')`:     "redis_conn:query: URL: NOPE: ERR unknown command",
		open + `c:query('GET', {})`:  "a string expected, got a table",
		open + `c:query('GET', nil)`: "got nil",
		`require('redis').open({ node = 'redis://:wrong@URL/0' }):query('GET', 'a')`:                   "WRONGPASS",
		`require('redis').open({ node = 'redis://127.0.0.1:1', connect_timeout = '1s' }):query 'PING'`: "127.0.0.1:1: PING: dial tcp 127.0.0.1:1",
		`require('redis').open({ node = 'http://:sesame@x' })`:                                         "such as redis://127",
		`require('redis').open({})`: "node",
	} {
		err := askServer(t, addr, chunk)
		if err == nil || !strings.Contains(err.Error(), strings.ReplaceAll(want, "URL", addr)) || strings.Contains(err.Error(), "sesame") {
			t.Errorf("%s: %v, want %s", chunk, err, want)
		}
	}
}
