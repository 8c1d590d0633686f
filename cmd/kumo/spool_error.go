package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"

	"kumo/pkg/cli"
	"kumo/pkg/node"
	"kumo/pkg/spool"
)

// spoolError gives errors of the spool and its daemon their exit codes.
func spoolError(verb string, err error) error {
	var held *spool.HeldError
	var where *spool.WhereError
	switch {
	case errors.As(err, new(*cli.Exit)):
		return err
	case errors.Is(err, context.Canceled):
		return cli.Errorf(cli.CodeInterrupted, "%s: interrupted", verb)
	case errors.As(err, &where):
		return cli.Usagef("%s: --where %s: %s", verb, where.Where, where.Msg).WithHint("kumo man kumo-spool.5 lists the columns of the view messages")
	case errors.As(err, &held):
		return cli.Errorf(cli.CodeSpoolHeld, "%s: %w", verb, err)
	case errors.Is(err, spool.ErrNoSpool):
		return cli.Errorf(cli.CodeNoSpool, "%s: %w", verb, err).WithHint("name it with --spool DIR or KUMO_SPOOL, or the policy that defines it with --policy FILE")
	case errors.Is(err, node.ErrDaemonSlow):
		return cli.Errorf(cli.CodeUnreachable, "%s: %w", verb, err)
	}
	e := cli.Failf("%s: %w", verb, err)
	if errors.Is(err, fs.ErrPermission) {
		return e.WithHint("%s", mayHint(err))
	}
	return e
}

// mayHint says who may do what the system refused: the user that the place belongs to.
func mayHint(err error) string {
	const who = "run it as the user that the daemon runs as"
	var at *fs.PathError
	if !errors.As(err, &at) {
		return who
	}
	for path := at.Path; ; path = filepath.Dir(path) {
		info, serr := os.Stat(path)
		if serr != nil && path != filepath.Dir(path) {
			continue
		}
		owner, ok := fileOwner(info)
		if !ok || owner == os.Geteuid() {
			return who
		}
		name := "uid " + strconv.Itoa(owner)
		if u, err := user.LookupId(strconv.Itoa(owner)); err == nil {
			name = u.Username
		}
		return fmt.Sprintf("%s belongs to %s: run it as %s", path, name, name)
	}
}

func fileOwner(info fs.FileInfo) (uid int, ok bool) {
	if info == nil {
		return 0, false
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return int(st.Uid), true
}
