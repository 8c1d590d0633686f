package kumotest

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Need skips the test, naming the Debian package, when a program is not installed. CI installs them all and takes
// no skip.
func Need(t testing.TB, program, debianPackage string) string {
	t.Helper()
	for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin", "/sbin") {
		path := filepath.Join(dir, program)
		if st, err := os.Stat(path); err == nil && st.Mode()&0o111 != 0 {
			return path
		}
	}
	t.Skipf("SKIP: Debian package %s is missing (no %s)", debianPackage, program)
	return ""
}

// FreePort is a TCP and UDP port of 127.0.0.1 that was free a moment ago, for programs that cannot choose one.
func FreePort(t testing.TB) int {
	t.Helper()
	for range 50 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		port := l.Addr().(*net.TCPAddr).Port
		u, err := net.ListenPacket("udp", l.Addr().String())
		_ = l.Close()
		if err == nil {
			_ = u.Close()
			return port
		}
	}
	t.Fatal("no port is free for both TCP and UDP")
	return 0
}

// Start runs a program until the test ends, and shows what it said if the test failed.
func Start(t testing.TB, program string, args ...string) *exec.Cmd {
	t.Helper()
	var out bytes.Buffer
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		timer := time.AfterFunc(5*time.Second, func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait()
		timer.Stop()
		if t.Failed() && out.Len() > 0 {
			t.Logf("%s said:\n%s", filepath.Base(program), out.String())
		}
	})
	return cmd
}

// Listening waits until somebody accepts connections at addr.
func Listening(t testing.TB, addr string) {
	t.Helper()
	for range 600 {
		c, err := net.DialTimeout("tcp", addr, time.Second)
		if err == nil {
			_ = c.Close()
			return
		}
		time.Sleep(50 * time.Millisecond) // another program's start: there is nothing to wait on
	}
	t.Fatalf("nobody listens on %s after 30 s", addr)
}

// StartNSD serves zone (the text of a master file) for origin on loopback by Debian's nsd, and returns its address.
func StartNSD(t testing.TB, origin, zone string) string {
	t.Helper()
	nsd := Need(t, "nsd", "nsd")
	dir := t.TempDir()
	port := FreePort(t)
	write(t, filepath.Join(dir, "zone"), zone)
	conf := filepath.Join(dir, "nsd.conf")
	write(t, conf, fmt.Sprintf(`server:
  ip-address: 127.0.0.1@%d
  username: ""
  zonesdir: "%[2]s"
  pidfile: "%[2]s/nsd.pid"
  database: ""
  zonelistfile: "%[2]s/zone.list"
  xfrdfile: "%[2]s/xfrd.state"
  xfrdir: "%[2]s"
remote-control:
  control-enable: no
zone:
  name: %[3]s
  zonefile: zone
`, port, dir, origin))
	Start(t, nsd, "-d", "-c", conf)
	addr := fmt.Sprintf("127.0.0.1:%d", port)
	Listening(t, addr)
	return addr
}

// StartSMTPSink runs Postfix's smtp-sink on loopback, which counts and forgets; dump is a directory that gets one
// file for each transaction, or "".
func StartSMTPSink(t testing.TB, dump string) string {
	t.Helper()
	sink := Need(t, "smtp-sink", "postfix")
	addr := fmt.Sprintf("127.0.0.1:%d", FreePort(t))
	args := []string{"-h", "sink.test"}
	if os.Geteuid() == 0 {
		args = append(args, "-u", "root")
	}
	if dump != "" {
		args = append(args, "-d", filepath.Join(dump, "mail-%M."))
	}
	Start(t, sink, append(args, addr, "100")...)
	Listening(t, addr)
	return addr
}

// Postfix is a running Postfix that takes mail for Domain and files it as one file per message in Maildir.
type Postfix struct {
	Addr    string
	Domain  string
	Maildir string
	Log     string
}

// StartPostfix runs Debian's Postfix from directories of its own. It needs root, as Postfix does.
func StartPostfix(t testing.TB, domain string) *Postfix {
	t.Helper()
	postfix := Need(t, "postfix", "postfix")
	if os.Geteuid() != 0 {
		t.Skip("SKIP: Postfix starts as root only")
	}
	owner, err := user.Lookup("postfix")
	if err != nil {
		t.Skip("SKIP: Debian package postfix is missing (no user postfix)")
	}
	// Postfix wants to walk to its directories as another user, which a test's private directory would not allow.
	dir, err := os.MkdirTemp("", "kumo-postfix-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	p := &Postfix{Addr: fmt.Sprintf("127.0.0.1:%d", FreePort(t)), Domain: domain, Maildir: filepath.Join(dir, "mail/all/new"), Log: filepath.Join(dir, "log/mail.log")}
	for _, d := range []string{"etc", "spool", "data", "mail", "log"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	run(t, "chown", "postfix", filepath.Join(dir, "data"), filepath.Join(dir, "mail"))
	write(t, filepath.Join(dir, "etc/main.cf"), fmt.Sprintf(`compatibility_level = 3.6
myhostname = postfix.test
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
queue_directory = %[1]s/spool
data_directory = %[1]s/data
maillog_file = %[1]s/log/mail.log
maillog_file_prefixes = %[1]s
alias_maps =
alias_database =
virtual_mailbox_domains = %[2]s
virtual_mailbox_base = %[1]s/mail
virtual_mailbox_maps = static:all/
virtual_minimum_uid = 1
virtual_uid_maps = static:%[3]s
virtual_gid_maps = static:%[4]s
smtpd_forbid_bare_newline = yes
`, dir, domain, owner.Uid, owner.Gid))
	write(t, filepath.Join(dir, "etc/master.cf"), p.Addr+` inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
`)
	etc := filepath.Join(dir, "etc")
	run(t, postfix, "-c", etc, "start")
	t.Cleanup(func() {
		if out, err := exec.Command(postfix, "-c", etc, "stop").CombinedOutput(); err != nil {
			t.Logf("postfix stop: %v: %s", err, out)
		}
		if log, err := os.ReadFile(p.Log); err == nil && t.Failed() {
			t.Logf("postfix said:\n%s", log)
		}
	})
	Listening(t, p.Addr)
	return p
}

// Mail waits until n messages are filed and returns their texts.
func (p *Postfix) Mail(t testing.TB, n int) []string {
	t.Helper()
	for range 600 {
		names, _ := os.ReadDir(p.Maildir)
		if len(names) >= n {
			var out []string
			for _, e := range names {
				b, err := os.ReadFile(filepath.Join(p.Maildir, e.Name()))
				if err != nil {
					t.Fatal(err)
				}
				out = append(out, string(b))
			}
			return out
		}
		time.Sleep(50 * time.Millisecond) // another program's files: there is nothing to wait on
	}
	t.Fatalf("fewer than %d messages in Postfix's maildir after 30 s", n)
	return nil
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func run(t testing.TB, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}
