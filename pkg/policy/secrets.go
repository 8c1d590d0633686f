package policy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	lua "github.com/yuin/gopher-lua"

	"kumo/pkg/luahost"
	"kumo/pkg/option"
	"kumo/pkg/policy/internal/vault"
)

// maxSecret bounds key material in a file, in bytes.
const maxSecret = 1 << 20

// secrets fetches key material. What Vault gave before is used while Vault does not answer, so that mail goes on.
type secrets struct {
	vault vault.Client

	mu   sync.Mutex
	last map[option.Secret][]byte // of Vault
}

// maxLast bounds how much material is remembered.
const maxLast = 10_000

// Secret fetches what s refers to. Errors say where it was looked for, never what was found. It may be called by any
// room (it satisfies their interfaces for key sources).
func (p *Policy) Secret(ctx context.Context, s option.Secret) ([]byte, error) {
	switch s.Kind {
	case option.SecretFile:
		return secretFile(s.Path)
	case option.SecretData:
		return []byte(s.KeyData), nil
	case option.SecretVault:
		return p.secrets.fromVault(ctx, s, p.opt.Log.Warn)
	case option.SecretEvent:
		return p.secretEvent(ctx, s)
	}
	return nil, errors.New("no key source is set")
}

func secretFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("key source: %w", err)
	}
	defer f.Close()
	if st, err := f.Stat(); err == nil && !st.Mode().IsRegular() {
		return nil, fmt.Errorf("key source: %s is not a regular file", path)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	if err == nil && len(b) > maxSecret {
		err = fmt.Errorf("%s is larger than %d bytes", path, maxSecret)
	}
	if err != nil {
		return nil, fmt.Errorf("key source: %w", err)
	}
	return b, nil
}

func (c *secrets) fromVault(ctx context.Context, s option.Secret, warn func(string, ...any)) ([]byte, error) {
	addr, token := s.VaultAddress, s.VaultToken
	if addr == "" {
		addr = os.Getenv("VAULT_ADDR")
	}
	if token == "" {
		token = os.Getenv("VAULT_TOKEN")
	}
	b, err := c.vault.Secret(ctx, addr, token, s.VaultMount, s.VaultPath, s.VaultKey)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		if old, ok := c.last[s]; ok && ctx.Err() == nil {
			warn("a secret cannot be read again; what was read before is used", "error", err)
			return old, nil
		}
		return nil, fmt.Errorf("key source: %w", err)
	}
	if c.last == nil || len(c.last) >= maxLast {
		c.last = make(map[option.Secret][]byte)
	}
	c.last[s] = b
	return b, nil
}

func (p *Policy) secretEvent(ctx context.Context, s option.Secret) ([]byte, error) {
	st, err := p.host.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer p.host.Release(st)
	v, _, err := st.FireNamed(s.EventName, luahost.ToLua(st.L, s.EventArgs))
	if err != nil {
		return nil, fmt.Errorf("key source: %w", err)
	}
	b, ok := v.(lua.LString)
	if !ok {
		return nil, fmt.Errorf("key source: the handler of %s returned a %s, expected a string", s.EventName, v.Type())
	}
	return []byte(b), nil
}

var secretsModule = luahost.Module{
	Name: "kumo.secrets",
	Doc:  "Key material.",
	Funcs: []luahost.Func{
		{Name: "load", Args: "(source)", Returns: "string", Doc: "Fetches what a key source refers to: the path of a file, { key_data = … }, { vault_mount =, vault_path =, vault_key =, vault_address =, vault_token = } (HashiCorp Vault KV v2; VAULT_ADDR and VAULT_TOKEN stand in), or { event_name =, event_args = }.", Example: `local key = kumo.secrets.load { key_data = 'sesame' }`, Go: func(l *lua.LState) int {
			b, err := of(luahost.From(l)).Secret(luahost.From(l).Context(), secretArg(l, 1))
			if err != nil {
				luahost.Fail(l, fmt.Errorf("kumo.secrets.load: %w", err))
			}
			l.Push(lua.LString(b))
			return 1
		}},
	},
}

// secretArg is argument n as a key source.
func secretArg(l *lua.LState, n int) option.Secret {
	v, err := luahost.ToGo(l.CheckAny(n))
	var s option.Secret
	if err == nil {
		err = s.DecodeOption(v)
	}
	if err != nil {
		l.ArgError(n, err.Error())
	}
	return s
}
