package luahost

import (
	"strings"
	"testing"
)

func TestLoadErrorsNameFileAndLine(t *testing.T) {
	deep := strings.Repeat("(", 300) + "1" + strings.Repeat(")", 300)
	cases := map[string]struct{ src, want string }{
		"syntax":            {"local x = 1\nlocal y = = 2\n", "init.lua:2: syntax error near '='"},
		"eof":               {"if true then\n\n", "init.lua:1: syntax error near <eof>"},
		"runtime":           {"\n\nnope()\n", "init.lua:3: attempt to call 'nope', which is not a function; kumo-lua(7) lists the functions that there are"},
		"error call":        {"\nerror 'boom'\n", "init.lua:2: boom"},
		"unfinished string": {"\nlocal s = 'abc\n", "init.lua:2: unfinished string"},
		"bad hex escape":    {`x = "\xZZ"`, `init.lua:1: hexadecimal digits expected after \x`},
		"bad escape":        {`x = "\q"`, `init.lua:1: invalid escape sequence '\q' (hint: write \\ for a backslash)`},
		"large escape":      {`x = "\300"`, "init.lua:1: decimal escape too large"},
		"deep parentheses":  {"x = " + deep, "init.lua:1: blocks or brackets nested more than 200 deep"},
		"deep blocks":       {strings.Repeat("do\n", 300) + strings.Repeat("end ", 300), "init.lua:201: blocks or brackets nested more than 200 deep"},
		"unary minuses":     {"x = " + strings.Repeat("- ", 5000) + "1", "init.lua:1: expression with more than 1000 operators"},
		"nots":              {"x = " + strings.Repeat("not ", 5000) + "1", "init.lua:1: expression with more than 1000 operators"},
		"concat":            {"x = 'a'" + strings.Repeat("..'a'", 5000), "init.lua:1: expression with more than 1000 operators"},
		"index chain":       {"x = a" + strings.Repeat(".a", 5000), "init.lua:1: expression with more than 1000 operators"},
		"call chain":        {"f" + strings.Repeat("()", 5000), "init.lua:1: expression with more than 1000 operators"},
		"string call chain": {"f" + strings.Repeat("''", 5000), "init.lua:1: expression with more than 1000 operators"},
		"elseif":            {"if a then " + strings.Repeat("elseif a then ", 5000) + "end", "init.lua:1: more than 1000 elseif in one statement"},
		"too large":         {strings.Repeat("-- comment\n", 100_000), "init.lua:1: the file has 1100000 bytes, more than the limit of 1048576"},
		"floor division":    {"\nx = 7 // 2", "init.lua:2: operator '//' is not available (hint: use math.floor(a / b))"},
		"bit and":           {"x = 7 & 2", "init.lua:1: operator '&' is not available"},
		"close":             {"\nlocal f <close> = nil", "init.lua:2: attribute '<close>' is not available"},
		"attribute":         {"local f <foo> = nil", "init.lua:1: unknown attribute 'foo'"},
		"double handler": {
			"local kumo = require 'kumo'\nkumo.on('init', function() end)\nkumo.on('init', function() end)\n",
			"init.lua:3: init event already has a handler defined at init.lua:2",
		},
		"double named handler": {
			"local kumo = require 'kumo'\nkumo.on('my.hook', function() end)\nkumo.on('my.hook', function() end)\n",
			"init.lua:3: my.hook event already has a handler defined at init.lua:2",
		},
		"missing module": {"\nrequire 'no.such'", "init.lua:2: module 'no.such' not found:\n\tno field package.preload['no.such']"},
		"os.exit":        {"os.exit(1)", "init.lua:1: os.exit is not available in a policy: stop kumo with a signal"},
		"os.execute":     {"os.execute('true')", "init.lua:1: os.execute is not available in a policy"},
		"io write":       {"io.open('/tmp/x', 'w')", `init.lua:1: io.open("/tmp/x", "w"): a policy only reads files`},
		"fail":           {"local kumo = require 'kumo'\nkumo.fail()", "init.lua:2: it broke"},
		"fail in pcall":  {"local kumo = require 'kumo'\nlocal ok, e = pcall(kumo.fail)\nerror(e, 0)", "init.lua:2: it broke"},
		"table error":    {"error {}", "(error object is a table value)"},
		"nil error":      {"error(nil)", "(error object is a nil value)"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := tryHost(c.src)
			if err == nil || !strings.HasPrefix(err.Error(), c.want) {
				t.Fatalf("got  %v\nwant %s", err, c.want)
			}
		})
	}
}

func TestDialect(t *testing.T) {
	cases := []struct{ expr, want string }{
		{`"\x41\x0a" == "A\n"`, "true"},
		{`"\u{48}\u{20AC}"`, "H€"},
		{"\"a\\z\n   \n  b\"", "ab"},
		{`"\065\10\9"`, "A\n\t"},
		{`'it''s' == nil`, "error"},
		{`#"\u{10FFFF}"`, "4"},
		{`tostring(3)`, "3"},
		{`tostring(10/2)`, "5"},
		{`tostring(0.1)`, "0.1"},
		{`tostring(1e15)`, "1000000000000000"},
		{`tostring(math.huge)`, "inf"},
		{`tostring(-math.huge)`, "-inf"},
		{`math.type(1)`, "integer"},
		{`math.type(1.5)`, "float"},
		{`tostring(math.type('1'))`, "nil"},
		{`math.tointeger(3)`, "3"},
		{`math.tointeger('8')`, "8"},
		{`tostring(math.tointeger(3.5))`, "nil"},
		{`math.maxinteger > 9e18`, "true"},
		{`table.concat({table.unpack({1,2,3})}, ',')`, "1,2,3"},
		{`table.concat({table.unpack({1,2,3,4}, 2, 3)}, ',')`, "2,3"},
		{`table.pack(1,nil,3).n`, "3"},
		{`table.concat(table.move({1,2,3}, 1, 3, 2), ',')`, "1,1,2,3"},
		{`table.concat(table.move({1,2,3}, 2, 3, 1), ',')`, "2,3,3"},
		{`string.rep('ab', 3, '-')`, "ab-ab-ab"},
		{`('x'):rep(0)`, ""},
		{`string.rep('x', 1e9)`, "error"},
		{`string.rep('x', 1e9, 'y')`, "error"},
		{`utf8.char(72, 8364)`, "H€"},
		{`utf8.len('H€')`, "2"},
		{`utf8.codepoint('€')`, "8364"},
		{`("H€x"):gsub(utf8.charpattern, '.')`, "..."},
		{`select(2, xpcall(function(a, b) return a + b end, print, 1, 2))`, "3"},
		{`select(2, xpcall(function() error('x', 0) end, function(e) return e .. '!' end))`, "x!"},
		{`select('#', pcall(error))`, "2"},
		{`load('return 1 + 1')()`, "2"},
		{`load('return x', 'c', 't', {x = 7})()`, "7"},
		{`select(2, load('return +', '=chunk'))`, "chunk:1: syntax error near '+'"},
		{`load(function() return nil end)`, "function"},
		{`rawlen({1,2})`, "2"},
		{`table.pack(pairs(setmetatable({}, {__pairs = function() return next, {a = 1}, nil end}))).n`, "3"},
		{`(function() for k, v in pairs(setmetatable({}, {__pairs = function() return next, {a = 1}, nil end})) do return k .. v end end)()`, "a1"},
		{`(function() local n = 0 for i, v in ipairs(setmetatable({}, {__index = function(_, i) if i < 4 then return i end end})) do n = n + v end return n end)()`, "6"},
		{`(function() local x <const> = 5; local y <const>, z = 6, 7 return x + y + z end)()`, "18"},
		{`(function() for i = 1, 3 do if i == 2 then goto continue end ::continue:: end return 'ok' end)()`, "ok"},
		{`(function() local co = coroutine.wrap(function(a) local b = coroutine.yield(a + 1) return b * 2 end) return co(1) + co(10) end)()`, "22"},
		{`(function() local co = coroutine.create(function() error('in co', 0) end) local ok, e = coroutine.resume(co) return e end)()`, "in co"},
		{`select(2, pcall(coroutine.wrap(function() error('wrapped', 0) end)))`, "wrapped"},
		{`tostring(loadstring)`, "nil"},
		{`_VERSION`, "Lua 5.4"},
		{`type(os.time())`, "number"},
		{`debug.traceback('hi'):match('^hi\nstack traceback:') ~= nil`, "true"},
		{`0x10 + 1e2`, "116"},
		{`2^53 == 2^53 + 0`, "true"},
		{`"a" .. 1 .. 2`, "a12"},
		{`[[long
string]]`, "long\nstring"},
		{`#[==[ ]] ]==]`, "4"},
		{`(function() local a = {[1]=2} local t = {a[1]} return t[1] end)()`, "2"},
	}
	for _, c := range cases {
		t.Run(c.expr, func(t *testing.T) {
			h, err := tryHost("local v = " + c.expr + "\nrequire('kumo').on('init', function() return tostring(type(v) == 'function' and 'function' or v) end)")
			if err != nil {
				if c.want != "error" {
					t.Fatal(err)
				}
				return
			}
			got, _, err := fire(t, h, evInit)
			if err != nil || got != c.want {
				t.Fatalf("got %q, %v; want %q", got, err, c.want)
			}
		})
	}
}

// Rewritten strings must not move the lines that follow.
func TestTranslationKeepsLines(t *testing.T) {
	src := "local a = 'x\\z\n\n\n y\\\nz' local b = [[\n\n]] --[[\n\n]] error 'here'\n"
	_, err := tryHost(src)
	if err == nil || !strings.HasPrefix(err.Error(), "init.lua:9: here") {
		t.Fatalf("got %v", err)
	}
}
