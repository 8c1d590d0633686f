package luahost

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	lua "github.com/yuin/gopher-lua"
)

// withModules is a host with the modules that know no mail.
func withModules(o *Options) {
	o.Modules = append([]Module{testModule()}, Modules()...)
	o.Types = append(o.Types, Types()...)
}

// say runs a chunk as an event handler and gives what it returns.
func say(t *testing.T, chunk string) (any, error) {
	t.Helper()
	h := newHost(t, "local kumo = require 'kumo' kumo.on('init', function() "+chunk+" end)", withModules)
	v, _, err := fire(t, h, evInit)
	return v, err
}

func TestModules(t *testing.T) {
	for _, c := range []struct{ chunk, want string }{
		// FIPS 180-2, RFC 4648, and `crc32` of Debian's libarchive-zip-perl.
		{`return kumo.digest.sha256('ab', 'c').hex`, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
		{`return tostring(kumo.digest.sha1 'hello')`, "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d"},
		{`return kumo.digest.sha1('hello').base32hex`, "LBQCC7ESONKA5MLURO7JMI1CR6NAIGQD"},
		{`return kumo.digest.sha1('hello').base64url_nopad`, "qvTGHdzF6KLavt4PO0gs2a6pQ00"},
		{`return kumo.digest.crc32('hello').hex`, "3610a686"},
		{`return kumo.digest.sha3_256('').hex`, "a7ffc6f8bf1ed76651c14756a061d662f580ff4de43b49fa82d80a4b80f8434a"},
		{`return kumo.encode.base64_encode '\0\xff'`, "AP8="},
		{`return kumo.encode.hex_decode '6869'`, "hi"},
		{`return kumo.encode.base32_nopad_encode 'foobar'`, "MZXW6YTBOI"},
		{`local u = kumo.uuid.parse '{d7df2fca-7df3-4d43-a1d9-5ac5cb1ac0d9}' return u.simple .. ' ' .. u.urn`, "d7df2fca7df34d43a1d95ac5cb1ac0d9 urn:uuid:d7df2fca-7df3-4d43-a1d9-5ac5cb1ac0d9"},
		{`local u = kumo.uuid.new_v7() return tostring(kumo.uuid.parse(u.bytes) == u) .. u.hyphenated:sub(15, 15)`, "true7"},
		{`local c = kumo.regex.compile("'(?<title>[^']+)'\\s+\\((\\d{4})\\)"):captures "see 'Citizen Kane' (1941)." return c.title .. c[1] .. c[2] .. c[0]`, "Citizen KaneCitizen Kane1941'Citizen Kane' (1941)"},
		{`return kumo.regex.compile('[^01]+'):replace('1078910', '')`, "1010"},
		{`return table.concat(kumo.regex.compile('[ \\t]+'):split 'a b \t c', '|')`, "a|b|c"},
		{`return tostring(kumo.regex.compile('x'):find 'abc')`, "nil"},
		{`return kumo.regex.compile('(o)'):replacen('fooo', 2, '<$1>')`, "f<o><o>o"},
		{`return kumo.regex.escape 'a.b[c]'`, `a\.b\[c\]`},
		{`local m = kumo.domain_map.new { ['*.x.example'] = 'wild', ['a.x.example'] = 'exact' } return m['a.X.example'] .. m['b.c.x.example'] .. tostring(m['x.example'])`, "exactwildnil"},
		{`local m = kumo.domain_map.new() m['*.b'] = 1 m['*.a.b'] = 2 return m['c.a.b'] .. m['a.b']`, "21"},
		{`local m = kumo.cidr.make_map { ['10.0.0.0/8'] = 'wide', ['10.1.0.0/16'] = 'near', ['::1'] = 'six' } return m['10.1.2.3:25'] .. m['[10.2.0.1]'] .. m['[::1]:25'] .. tostring(m['192.0.2.1']) .. tostring(m['x'])`, "nearwidesixnilnil"},
		{`local m = kumo.regex_set_map.new { hello = 'hi', ['(?<=good)bye'] = 'farewell' } return m['goodbye'] .. m['hello there'] .. tostring(m['x'])`, "farewellhinil"},
		{`return table.concat(kumo.string.rsplitn('Mary had a little lamb', 3, ' '), '|')`, "lamb|little|Mary had a"},
		{`return table.concat(kumo.string.split('a,,b', ','), '|') .. #kumo.string.splitn('a,b', 0, ',')`, "a||b0"},
		{`return kumo.string.wrap(('A'):rep(200), 75, 100)`, strings.Repeat("A", 100) + "\r\n\t" + strings.Repeat("A", 100)},
		{`return kumo.string.wrap(('hello there '):rep(10), 75, 100)`, "hello there hello there hello there hello there hello there hello there\r\n\thello there hello there hello there hello there"},
		{`return kumo.string.psl_domain 'WWW.example.co.uk.' .. kumo.string.psl_suffix 'a.b.com' .. tostring(kumo.string.psl_domain 'com')`, "example.co.ukcomnil"},
		{`return kumo.string.trim '\u{a0} x\n' .. kumo.string.trim_end 'y \t' .. kumo.string.trim_start ' z '`, "xyz "},
		{`local t = kumo.time.with_ymd_hms(2000, 1, 2, 3, 4, 5) return tostring(t) .. '|' .. t.unix_timestamp .. '|' .. t.rfc2822 .. '|' .. t.rfc3339`, "2000-01-02 03:04:05 UTC|946782245|Sun, 2 Jan 2000 03:04:05 +0000|2000-01-02T03:04:05+00:00"},
		{`local t = kumo.time.parse_rfc3339 '2026-11-20T13:00:00.25+01:00' return t:format '%Y-%m-%d %H:%M:%S%.3f %3f %j %a %U %W %V %G %s %:z %e %-d %_m %k %% %P'`, "2026-11-20 12:00:00.250 250 324 Fri 46 46 47 2026 1795176000 +00:00 20 20 11 12 % pm"},
		{`local a, b = kumo.time.parse_rfc2822 'Fri, 20 Nov 2026 13:00:00 +0100', kumo.time.from_unix_timestamp(1795176000.5) return (b - a).seconds .. tostring(a < b) .. tostring(a + (b - a) == b) .. (b - kumo.time.parse_duration '500ms' == a and 'same' or 'other')`, "0.5truetruesame"},
		{`local d = kumo.time.parse_duration(-90) return d.human .. ' ' .. d.milliseconds .. ' ' .. tostring(d - d) .. ' ' .. kumo.time.parse_duration('1h 30m').seconds`, "-1m 30s -90000 0s 5400"},
		{`local t = kumo.time.now() kumo.time.sleep(0.002) local e = t.elapsed.seconds return e >= 0.002 and e < 60 and 'slept' or tostring(e)`, "slept"},
		{`return kumo.serde.json_encode { b = 1, a = { 1.5, 'x', true }, n = 2^53 }`, `{"a":[1.5,"x",true],"b":1,"n":9007199254740992}`},
		{"local v = kumo.serde.json_parse '{\"a\": 1, // one\\n # two\\n /* three */ \"b\": \"//\"}' return v.a .. v.b", "1//"},
		{`return kumo.serde.json_encode_pretty { a = '<b>' }`, "{\n  \"a\": \"<b>\"\n}"},
		{`local v = kumo.serde.toml_parse '[a."b.c"]\nx = 1\nd = 2026-11-20' return v.a['b.c'].x .. v.a['b.c'].d`, "12026-11-20"},
		{`return kumo.serde.toml_encode { a = { x = 1 }, l = { 'y' } }`, "l = ['y']\n\n[a]\nx = 1\n"},
		{`local v = kumo.serde.yaml_parse 'a: &x [1, two]\nb: *x\nc: null' return v.b[2] .. v.b[1] .. tostring(v.c)`, "two1nil"},
		{`return kumo.serde.yaml_encode { a = 1 }`, "a: 1\n"},
		{`return tostring(kumo.serde.json_parse('[18446744073709551615, 1.5, 1e3]')[3])`, "1000"},
	} {
		if got, err := say(t, c.chunk); err != nil || got != c.want {
			t.Errorf("%s: %v %v, want %s", c.chunk, got, err, c.want)
		}
	}
}

func TestModulesRefuse(t *testing.T) {
	for _, c := range []struct{ chunk, want string }{
		{`kumo.digest.sha1()`, "string expected"},
		{`kumo.digest.sha1({})`, "string expected"},
		{`kumo.encode.base64_decode '***'`, "kumo.encode.base64_decode: illegal base64 data"},
		{`kumo.uuid.parse 'nope'`, `kumo.uuid.parse: "nope" is not a UUID`},
		{`kumo.time.with_ymd_hms(2026, 2, 29, 0, 0, 0)`, "there is no 2026-02-29"},
		{`kumo.time.parse_rfc3339 'soon'`, "is no time such as"},
		{`kumo.time.now():format '%Q'`, "is unknown at"},
		{`kumo.time.parse_duration {}`, "a number of seconds or a text"},
		{`kumo.time.parse_duration '5 parsecs'`, "kumo.time.parse_duration: invalid value"},
		{`kumo.time.sleep(-1)`, "zero or more"},
		{`kumo.time.sleep(0/0)`, "zero or more"},
		{`return kumo.time.now() + 1`, "a timedelta expected, got number"},
		{`kumo.serde.json_parse '{"a":\n tru}'`, "kumo.serde.json_parse: line 2 column"},
		{`kumo.serde.json_parse '{"a":1'`, "the text ends in the middle"},
		{`kumo.serde.json_parse '1 2'`, "more behind the value"},
		{`kumo.serde.toml_parse 'a = \nb = 2'`, "kumo.serde.toml_parse: line 1 column"},
		{`kumo.serde.toml_load '/nonexistent/x.toml'`, "kumo.serde.toml_load: stat /nonexistent/x.toml: no such file"},
		{`kumo.serde.toml_encode { 1 }`, "only a table with named values"},
		{`kumo.serde.yaml_parse 'a: [1'`, "kumo.serde.yaml_parse: "},
		{`local t = {} t.t = t kumo.serde.json_encode(t)`, "nested more than"},
		{`kumo.serde.json_encode(print)`, "cannot convert a function"},
		{`kumo.regex.compile '('`, "kumo.regex.compile: invalid value"},
		{`local m = kumo.cidr.make_map() m['nope'] = 1`, "an IP address or a CIDR block"},
		{`kumo.cidr.make_map { [1] = 2 }`, "a key is a number, expected a string"},
		{`kumo.regex_set_map.new { ['('] = 1 }`, "invalid value"},
		{`local m = kumo.regex_set_map.new {} m.x = 1`, "a regex_set_map cannot be changed"},
		{`return kumo.regex.compile('(?=(a+)+b)a'):is_match(('a'):rep(60))`, "took more than 1s"},
	} {
		if _, err := say(t, c.chunk); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", c.chunk, err, c.want)
		}
	}
}

// TestFreeze takes values from one state to another.
func TestFreeze(t *testing.T) {
	h := newHost(t, `local kumo = require 'kumo'
kumo.on('init', function()
  local map = kumo.domain_map.new { ['*.example.com'] = { weight = 2 } }
  return { list = { 1, 'two', true }, map = map, id = kumo.uuid.parse 'd7df2fca-7df3-4d43-a1d9-5ac5cb1ac0d9', [7] = 'seven',
    re = kumo.regex.compile 'o+', empty = {}, sum = kumo.digest.crc32 'x', cidr = kumo.cidr.make_map { ['10.0.0.0/8'] = 'lan' } }
end)
kumo.on('get_listener_domain', function(v)
  assert(v.list[2] == 'two' and v.list[3] == true and #v.list == 3 and v[7] == 'seven' and next(v.empty) == nil)
  assert(v.map['mail.example.com'].weight == 2 and v.cidr['10.1.1.1'] == 'lan' and v.re:find 'foo' == 'oo')
  return v.id.simple .. v.sum.hex
end)`, withModules)
	s, err := h.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer h.Release(s)
	got, _, err := s.Fire(evInit)
	if err != nil {
		t.Fatal(err)
	}
	frozen, err := Freeze(got)
	if err != nil {
		t.Fatal(err)
	}
	other, err := h.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer h.Release(other)
	back, _, err := other.Fire(evDomain, Thaw(other, frozen))
	if err != nil || back.String() != "d7df2fca7df34d43a1d95ac5cb1ac0d98cdc1683" {
		t.Fatal(back, err)
	}
	if _, err := Freeze(s.L.NewFunction(func(*lua.LState) int { return 0 })); err == nil || !strings.Contains(err.Error(), "cannot be kept") {
		t.Error(err)
	}
	loop := s.L.NewTable()
	loop.RawSetString("loop", loop)
	if _, err := Freeze(loop); err == nil || !strings.Contains(err.Error(), "nested more than") {
		t.Error(err)
	}
}

// TestYAMLBomb has a small text that stands for ten thousand million values.
func TestYAMLBomb(t *testing.T) {
	var b strings.Builder
	b.WriteString("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n")
	for i := range 9 {
		fmt.Fprintf(&b, "a%d: &a%d [", i+1, i+1)
		b.WriteString(strings.Repeat(fmt.Sprintf("*a%d,", i), 10))
		b.WriteString("]\n")
	}
	v, err := decodeYAML([]byte(b.String()))
	if err != nil {
		t.Fatal(err)
	}
	nodes := 0
	if _, err := neutral(v, 0, &nodes); !errors.Is(err, errTooBig) {
		t.Error(err)
	}
}
