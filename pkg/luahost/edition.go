package luahost

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"

	lua "github.com/yuin/gopher-lua"
)

// edition is the policy's text as it was when it was last read: all States of one edition run the same code.
type edition struct {
	main   *lua.FunctionProto
	chunks sync.Map // path of a required file -> *lua.FunctionProto
	has    []atomic.Bool
}

func newEdition(main *lua.FunctionProto, events int) *edition {
	return &edition{main: main, has: make([]atomic.Bool, events)}
}

// Reload reads the policy again, and runs its top level once, under ctx. From then on new calls have the new text, and
// States of the old one are dropped as they come back. When the text does not load everything stays as it is: errors
// are those of New. A policy that does not come from a file is not read again, but its States are renewed all the same.
func (h *Host) Reload(ctx context.Context) error {
	main := h.edition.Load().main
	if h.file {
		src, err := readText(h.opt.Path)
		if err != nil {
			return fmt.Errorf("read policy: %w", err)
		}
		if main, err = Compile(h.opt.Name, bytes.Clone(src)); err != nil {
			return err
		}
	}
	e, now := newEdition(main, len(h.opt.Events)), h.opt.Now()
	s := newState(h, e, now)
	defer s.L.Close()
	s.guard.arm(ctx, now, h.opt.Timeout)
	if err := s.load(); err != nil {
		return err
	}
	h.edition.Store(e)
	for _, old := range h.pool.drain() {
		old.close()
	}
	return nil
}

// Files are the files that the policy was read from so far: its own, and those that it required.
func (h *Host) Files() []string {
	var out []string
	if h.file {
		out = append(out, h.opt.Path)
	}
	h.edition.Load().chunks.Range(func(name, _ any) bool {
		if path := name.(string); !strings.HasPrefix(path, "kumo:") { // those ship in the binary
			out = append(out, path)
		}
		return true
	})
	return out
}
