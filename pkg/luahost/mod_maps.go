package luahost

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sort"
	"strings"

	lua "github.com/yuin/gopher-lua"

	"kumo/pkg/option"
)

// lookup is a dictionary whose keys are more than equal or not.
type lookup interface {
	// get gives the value for a key, nil when nothing fits.
	get(key string) any
	// set adds or (with nil) removes an entry. An error says what is wrong with the key.
	set(key string, v any) error
	// each calls f for every entry.
	each(f func(key string, v any))
	// fresh is an empty map of the same kind.
	fresh() lookup
}

// mapValue is a lookup with values of one State.
type mapValue struct {
	lookup
	of *Type
}

// Freeze implements Freezer.
func (m *mapValue) Freeze() (Frozen, error) {
	out := &frozenMap{lookup: m.fresh(), of: m.of}
	var failed error
	m.each(func(key string, v any) {
		f, err := Freeze(v.(lua.LValue))
		if err == nil {
			err = out.set(key, f)
		}
		if failed == nil {
			failed = err
		}
	})
	return out, failed
}

// frozenMap is a lookup with values of no State.
type frozenMap struct {
	lookup
	of *Type
}

// Thaw implements Frozen.
func (f *frozenMap) Thaw(s *State) lua.LValue {
	m := &mapValue{lookup: f.fresh(), of: f.of}
	f.each(func(key string, v any) { _ = m.set(key, Thaw(s, v)) }) // it was a good key before
	return s.NewUserData(f.of, m)
}

func mapIndex(l *lua.LState) int {
	m := Check[*mapValue](l, 1, "a map")
	l.Push(lua.LNil)
	if key, ok := l.Get(2).(lua.LString); ok {
		if v, ok := m.get(string(key)).(lua.LValue); ok {
			l.Pop(1)
			l.Push(v)
		}
	}
	return 1
}

func mapAssign(l *lua.LState) int {
	m := Check[*mapValue](l, 1, "a map")
	var v any
	if l.Get(3) != lua.LNil {
		v = l.Get(3)
	}
	if err := m.set(l.CheckString(2), v); err != nil {
		Fail(l, errors.New(plainly(err)))
	}
	return 0
}

// makeMap is a constructor: it takes a table of entries or nothing.
func makeMap(of *Type, kind lookup) lua.LGFunction {
	return func(l *lua.LState) int {
		m := &mapValue{lookup: kind.fresh(), of: of}
		if l.Get(1) != lua.LNil {
			l.CheckTable(1).ForEach(func(k, v lua.LValue) {
				key, ok := k.(lua.LString)
				if !ok {
					l.ArgError(1, fmt.Sprintf("a key is a %s, expected a string", k.Type()))
				}
				if err := m.set(string(key), v); err != nil {
					l.ArgError(1, plainly(err))
				}
			})
		}
		l.Push(From(l).NewUserData(of, m))
		return 1
	}
}

var domainMapType = Type{
	Name: "domain_map", Index: mapIndex, Assign: mapAssign,
	Doc: "A map by domain name. *.example.com stands for every name below example.com, not for itself; the name itself, then the closest wildcard, wins. Case does not matter.",
}

var domainMapModule = Module{
	Name: "kumo.domain_map",
	Doc:  "Maps by domain name, with wildcards.",
	Funcs: []Func{
		{Name: "new", Args: "([{ domain = value, … }])", Returns: "domain_map", Doc: "Makes a map, filled from a table if there is one.", Example: `local map = kumo.domain_map.new { ['*.example.com'] = 'wildcard' }
map['example.com'] = 'exact'
assert(map['mail.example.com'] == 'wildcard')`, Go: makeMap(&domainMapType, domainMap{})},
	},
}

// domainMap has wildcards under their suffix with its dot: "*.x" is ".x".
type domainMap map[string]any

func (domainMap) fresh() lookup { return domainMap{} }

func (m domainMap) get(key string) any {
	key = strings.ToLower(key)
	if v, ok := m[key]; ok && !strings.HasPrefix(key, ".") {
		return v
	}
	for i := range len(key) {
		if key[i] == '.' && i > 0 {
			if v, ok := m[key[i:]]; ok {
				return v
			}
		}
	}
	return m["."] // of "*."
}

func (m domainMap) set(key string, v any) error {
	key = strings.ToLower(key)
	if rest, ok := strings.CutPrefix(key, "*."); ok {
		key = "." + rest
	}
	if v == nil {
		delete(m, key)
		return nil
	}
	m[key] = v
	return nil
}

func (m domainMap) each(f func(string, any)) {
	for k, v := range m {
		if strings.HasPrefix(k, ".") {
			k = "*" + k
		}
		f(k, v)
	}
}

var cidrMapType = Type{
	Name: "cidr_map", Index: mapIndex, Assign: mapAssign,
	Doc: "A map by IP address. Keys are addresses and CIDR blocks; the smallest block that holds the address wins. An address may be looked up with port and brackets: [::1]:25.",
}

var cidrModule = Module{
	Name: "kumo.cidr",
	Doc:  "Maps by IP address.",
	Funcs: []Func{
		{Name: "make_map", Args: "([{ block = value, … }])", Returns: "cidr_map", Doc: "Makes a map, filled from a table if there is one.", Example: `local map = kumo.cidr.make_map { ['10.0.0.0/8'] = 'lan' }
map['127.0.0.1'] = 'loopback'
assert(map['10.2.3.4:25'] == 'lan')`, Go: makeMap(&cidrMapType, &cidrMap{})},
	},
}

// cidrMap looks from the smallest block to the largest.
type cidrMap struct {
	blocks map[netip.Prefix]any
	sizes  []int // that there are, the longest prefix first; those of IPv6 plus 1000
}

func (*cidrMap) fresh() lookup { return &cidrMap{blocks: map[netip.Prefix]any{}} }

func sizeOf(p netip.Prefix) int {
	if p.Addr().Is6() {
		return p.Bits() + 1000
	}
	return p.Bits()
}

func (m *cidrMap) get(key string) any {
	a, ok := looseAddr(key)
	if !ok {
		return nil
	}
	for _, n := range m.sizes {
		if a.Is6() != (n >= 1000) {
			continue
		}
		p, err := a.Prefix(n % 1000)
		if err != nil {
			continue
		}
		if v, ok := m.blocks[p]; ok {
			return v
		}
	}
	return nil
}

func (m *cidrMap) set(key string, v any) error {
	a, err := netip.ParsePrefix(key)
	if err != nil {
		addr, ok := looseAddr(key)
		if !ok {
			return option.InvalidValue(key, "an IP address or a CIDR block")
		}
		a = netip.PrefixFrom(addr, addr.BitLen())
	}
	a = a.Masked()
	if v == nil {
		delete(m.blocks, a)
		return nil
	}
	m.blocks[a] = v
	if n := sizeOf(a); !slices.Contains(m.sizes, n) {
		m.sizes = append(m.sizes, n)
		sort.Sort(sort.Reverse(sort.IntSlice(m.sizes)))
	}
	return nil
}

func (m *cidrMap) each(f func(string, any)) {
	for k, v := range m.blocks {
		f(k.String(), v)
	}
}

// looseAddr reads an address as connection metadata have it: with a port, in brackets.
func looseAddr(s string) (netip.Addr, bool) {
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return ap.Addr().Unmap().WithZone(""), true
	}
	s = strings.TrimSuffix(strings.TrimPrefix(s, "["), "]")
	s = strings.TrimPrefix(s, "IPv6:")
	a, err := netip.ParseAddr(s)
	return a.Unmap().WithZone(""), err == nil
}

var regexSetMapType = Type{
	Name: "regex_set_map", Index: mapIndex,
	Assign: func(l *lua.LState) int {
		l.RaiseError("a regex_set_map cannot be changed: make another one with kumo.regex_set_map.new")
		return 0
	},
	Doc: "A map whose keys are regular expressions: looking a text up gives the value of the first one, in the order of their text, that matches anywhere in it. It cannot be changed.",
}

var regexSetMapModule = Module{
	Name: "kumo.regex_set_map",
	Doc:  "Maps by regular expression.",
	Funcs: []Func{
		{Name: "new", Args: "([{ pattern = value, … }])", Returns: "regex_set_map", Since: "2023.11.28-b5252a41", Doc: "Makes a map of a table. A pattern that is wrong is an error.", Example: `local map = kumo.regex_set_map.new { hello = 'greeting', ['bye|later'] = 'farewell' }
assert(map['see you later'] == 'farewell')`, Go: makeMap(&regexSetMapType, &regexSetMap{})},
	},
}

type regexSetMap struct {
	patterns []*option.Pattern // in the order of their text
	values   []any
}

func (*regexSetMap) fresh() lookup { return &regexSetMap{} }

func (m *regexSetMap) get(key string) any {
	for i, p := range m.patterns {
		if ok, err := p.Match(key); ok && err == nil {
			return m.values[i]
		}
	}
	return nil
}

func (m *regexSetMap) set(key string, v any) error {
	p, err := option.ParsePattern(key)
	if err != nil {
		return err
	}
	i := sort.Search(len(m.patterns), func(i int) bool { return m.patterns[i].String() >= key })
	m.patterns = slices.Insert(m.patterns, i, p)
	m.values = slices.Insert(m.values, i, v)
	return nil
}

func (m *regexSetMap) each(f func(string, any)) {
	for i, p := range m.patterns {
		f(p.String(), m.values[i])
	}
}
