package luahost

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync/atomic"
	"time"

	lua "github.com/yuin/gopher-lua"

	"kumo/pkg/cache"
	"kumo/pkg/option"
)

// MemoizeOptions are the options of kumo.memoize.
type MemoizeOptions struct {
	// Names the cache, which all contexts share: one for each function.
	Name string `opt:"name,required"`
	// How long a result counts.
	TTL option.Duration `opt:"ttl,required"`
	// How many results are kept; the oldest one leaves when there is no room.
	Capacity int `opt:"capacity,required,min=1"`
	// Results count until the configuration changes, if that is sooner.
	InvalidateWithEpoch bool `opt:"invalidate_with_epoch,default=false,since=2025.03.19-1d3f1f67"`
	// How long a call waits for another one that works the same result out.
	PopulateTimeout option.Duration `opt:"populate_timeout,default=120s,since=2025.05.06-b29689af"`
	// After populate_timeout, work the result out here too; without it that is an error.
	RetryOnPopulateTimeout bool `opt:"retry_on_populate_timeout,default=false,since=2025.05.06-b29689af"`
	// Give the old result while another call works the new one out. invalidate_with_epoch is then off.
	AllowStaleReads bool `opt:"allow_stale_reads,default=false,since=2025.05.06-b29689af"`
}

var memoizeSchema = option.SchemaOf[MemoizeOptions]()

// MemoizeSchema declares the options of kumo.memoize.
func MemoizeSchema() *option.Schema[MemoizeOptions] { return memoizeSchema }

// memo is the cache of one memoized function. It belongs to the Host.
type memo struct {
	MemoizeOptions

	results *cache.Cache[string, *result]
}

// result is what a function returned.
type result struct {
	values  []any // frozen
	fresh   time.Time
	renewal atomic.Bool // somebody works out the next one
}

var memoizeRow = Func{
	Name: "memoize", Args: "(function, { name=, ttl=, capacity=, … })", Returns: "function",
	Doc: "A function that remembers what the one given returned for the same arguments. Arguments and results are values without state: nil, booleans, numbers, strings, tables of these, and objects that say so, such as a domain_map. Errors are not remembered.",
	Example: `local lookup = kumo.memoize(function(domain)
  return { pool = 'pool-' .. domain }
end, { name = 'pools', ttl = '5 minutes', capacity = 100 })
assert(lookup('example.com').pool == 'pool-example.com')`,
	Go: memoize,
}

func memoize(l *lua.LState) int {
	fn := l.CheckFunction(1)
	l.CheckTable(2)
	v, err := ToGo(l.Get(2))
	if err != nil {
		Fail(l, fmt.Errorf("kumo.memoize: %w", err))
	}
	given, ok := v.(map[string]any)
	if !ok {
		l.ArgError(2, "a table with name, ttl and capacity expected")
	}
	layer, call := option.Layer{}, option.Origin{Kind: option.KindLua, At: Where(l)}
	for k, x := range given {
		layer[k] = option.Setting{Value: x, Origin: call}
	}
	got, err := memoizeSchema.ResolveAt(call, "memoize", layer)
	if err != nil {
		Fail(l, err)
	}
	m := From(l).host.memo(got.Value)
	l.Push(l.NewFunction(func(l *lua.LState) int { return m.call(l, fn) }))
	return 1
}

// memo finds or makes the cache of that name. The first who asks says how it is.
func (h *Host) memo(o MemoizeOptions) *memo {
	h.memosMu.Lock()
	defer h.memosMu.Unlock()
	if m := h.memos[o.Name]; m != nil {
		return m
	}
	if o.AllowStaleReads {
		o.InvalidateWithEpoch = false
	}
	ttl := o.TTL.Std()
	if o.AllowStaleReads {
		ttl = 0 // what is old stays until it is replaced
	}
	m := &memo{MemoizeOptions: o}
	m.results = cache.New[string, *result](h.opt.Caches, o.Name, cache.Options{Capacity: o.Capacity, TTL: ttl, OldestOut: true})
	if h.memos == nil {
		h.memos = make(map[string]*memo)
	}
	h.memos[o.Name] = m
	return m
}

// call is a call of the memoized function.
func (m *memo) call(l *lua.LState, fn *lua.LFunction) int {
	s := From(l)
	key, err := m.key(s, l)
	if err != nil {
		Fail(l, fmt.Errorf("memoized function %s: %w", m.Name, err))
	}
	if r, ok := m.results.Get(key); ok && m.good(s, r) {
		return r.push(s, l)
	}
	var thrown any
	n := l.GetTop()
	work := func(context.Context) (r *result, ttl time.Duration, err error) {
		defer func() {
			if thrown = recover(); thrown != nil { // an error of Lua: others who wait hear of it, this call ends by it
				err = fmt.Errorf("%v", thrown)
			}
		}()
		r, err = m.populate(s, l, fn, n)
		return r, 0, err
	}
	r, err := m.once(s, key, work)
	if thrown != nil {
		panic(thrown)
	}
	if err != nil {
		Fail(l, fmt.Errorf("memoized function %s: %w", m.Name, err))
	}
	return r.push(s, l)
}

// good tells whether r may be given: it is fresh, or old and somebody else works out the next one.
func (m *memo) good(s *State, r *result) bool {
	if !m.AllowStaleReads || s.host.opt.Now().Before(r.fresh) {
		return true
	}
	return !r.renewal.CompareAndSwap(false, true)
}

// once has one caller at a time work a result out.
func (m *memo) once(s *State, key string, work cache.Load[*result]) (*result, error) {
	if m.AllowStaleReads {
		if old, ok := m.results.Get(key); ok { // this caller renews it
			defer old.renewal.Store(false)
			r, _, err := work(s.Context())
			if err == nil {
				m.results.Put(key, r, 0)
			}
			return r, err
		}
	}
	wait := min(m.PopulateTimeout.Std(), max(time.Until(s.Deadline()), 0))
	ctx, cancel := context.WithTimeout(s.Context(), wait)
	defer cancel()
	mine := false
	r, err := m.results.GetOrLoad(ctx, key, func(ctx context.Context) (*result, time.Duration, error) {
		mine = true
		return work(ctx)
	})
	if err == nil || mine || ctx.Err() == nil {
		return r, err
	}
	if !m.RetryOnPopulateTimeout || s.guard.expired() != nil {
		return nil, fmt.Errorf("another call did not have the result within %s", wait.Round(time.Millisecond))
	}
	r, _, err = work(s.Context())
	return r, err
}

// populate calls the function with the n arguments on the stack.
func (m *memo) populate(s *State, l *lua.LState, fn *lua.LFunction, n int) (*result, error) {
	top := l.GetTop()
	l.Push(fn)
	for i := 1; i <= n; i++ {
		l.Push(l.Get(i))
	}
	s.enter(l)
	defer func() { s.depth-- }()
	l.Call(n, lua.MultRet)
	r := &result{values: make([]any, l.GetTop()-top), fresh: s.host.opt.Now().Add(m.TTL.Std())}
	for i := range r.values {
		v, err := Freeze(l.Get(top + 1 + i))
		if err != nil {
			return nil, fmt.Errorf("result %d: %w", i+1, err)
		}
		r.values[i] = v
	}
	l.SetTop(top)
	return r, nil
}

func (r *result) push(s *State, l *lua.LState) int {
	for _, v := range r.values {
		l.Push(Thaw(s, v))
	}
	return len(r.values)
}

// key writes the arguments so that different ones differ.
func (m *memo) key(s *State, l *lua.LState) (string, error) {
	b := make([]byte, 0, 64)
	if m.InvalidateWithEpoch {
		b = binary.BigEndian.AppendUint64(b, s.host.Epoch())
	}
	nodes := 0
	for i := 1; i <= l.GetTop(); i++ {
		var err error
		if b, err = appendKey(b, l.Get(i), 0, &nodes); err != nil {
			return "", fmt.Errorf("argument %d: %w", i, err)
		}
	}
	return string(b), nil
}

// maxKey bounds the arguments of a memoized function, in bytes.
const maxKey = 1 << 20

var errKey = fmt.Errorf("the arguments are longer than %d bytes", maxKey)

func appendKey(b []byte, v lua.LValue, depth int, nodes *int) ([]byte, error) {
	switch *nodes++; {
	case len(b) > maxKey:
		return nil, errKey
	case *nodes > maxConvertNodes:
		return nil, errTooBig
	case depth > maxConvertDepth:
		return nil, errTooDeep
	}
	switch x := v.(type) {
	case *lua.LNilType:
		return append(b, '-'), nil
	case lua.LBool:
		if x {
			return append(b, 't'), nil
		}
		return append(b, 'f'), nil
	case lua.LNumber:
		return binary.BigEndian.AppendUint64(append(b, 'n'), math.Float64bits(float64(x))), nil
	case lua.LString:
		b = binary.AppendUvarint(append(b, 's'), uint64(len(x)))
		return append(b, x...), nil
	case *lua.LTable:
		return appendTableKey(b, x, depth, nodes)
	case *lua.LUserData:
		if p, ok := x.Value.(Plainer); ok {
			text := fmt.Sprint(p.Plain())
			b = binary.AppendUvarint(append(b, 'u'), uint64(len(text)))
			return append(b, text...), nil
		}
	}
	return nil, errors.New("a " + typeName(v) + " cannot be compared with those of other calls")
}

func appendTableKey(b []byte, t *lua.LTable, depth int, nodes *int) ([]byte, error) {
	var entries []string
	var failed error
	t.ForEach(func(k, v lua.LValue) {
		if failed != nil {
			return
		}
		var e []byte
		if e, failed = appendKey(nil, k, depth+1, nodes); failed == nil {
			e, failed = appendKey(e, v, depth+1, nodes)
		}
		entries = append(entries, string(e))
	})
	if failed != nil {
		return nil, failed
	}
	slices.Sort(entries)
	b = binary.AppendUvarint(append(b, '{'), uint64(len(entries)))
	for _, e := range entries {
		b = append(b, e...)
	}
	return b, nil
}

// PurgeCaches drops what memoized functions remember, when memory is short.
func (h *Host) PurgeCaches() {
	h.memosMu.Lock()
	defer h.memosMu.Unlock()
	for _, m := range h.memos {
		m.results.Purge()
	}
	h.globs.Purge()
}
