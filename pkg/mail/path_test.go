package mail

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
)

func TestParsePath(t *testing.T) {
	long := strings.Repeat("a", 63)
	for _, c := range []struct{ in, wire, local, domain, user string }{
		{"<>", "", "", "", ""},
		{"<a@b>", "a@b", "a", "b", "a"},
		{"<Some.One+tag@Example.COM>", "Some.One+tag@Example.COM", "Some.One+tag", "Example.COM", "Some.One+tag"},
		{"<postmaster>", "postmaster", "postmaster", "", "postmaster"},
		{"<PostMaster>", "PostMaster", "PostMaster", "", "PostMaster"},
		{`<"a b"@d.test>`, `"a b"@d.test`, `"a b"`, "d.test", "a b"},
		{`<"a@b"@d.test>`, `"a@b"@d.test`, `"a@b"`, "d.test", "a@b"},
		{`<"a\"b\\c"@d.test>`, `"a\"b\\c"@d.test`, `"a\"b\\c"`, "d.test", `a"b\c`},
		{`<"x > NOTIFY=NEVER <"@d>`, `"x > NOTIFY=NEVER <"@d`, `"x > NOTIFY=NEVER <"`, "d", "x > NOTIFY=NEVER <"},
		{`<""@d>`, `""@d`, `""`, "d", ""},
		{"<@relay.test,@[10.0.0.1]:user@d.test>", "user@d.test", "user", "d.test", "user"},
		{"<a@[1.2.3.4]>", "a@[1.2.3.4]", "a", "[1.2.3.4]", "a"},
		{"<a@[IPv6:2001:db8::1]>", "a@[IPv6:2001:db8::1]", "a", "[IPv6:2001:db8::1]", "a"},
		{"<a@[ipv6:::ffff:1.2.3.4]>", "a@[ipv6:::ffff:1.2.3.4]", "a", "[ipv6:::ffff:1.2.3.4]", "a"},
		{"<a@[::1]>", "a@[::1]", "a", "[::1]", "a"},
		{"<a@_dmarc.my_host.test>", "a@_dmarc.my_host.test", "a", "_dmarc.my_host.test", "a"},
		{"<!#$%&'*+-/=?^_`{|}~@d>", "!#$%&'*+-/=?^_`{|}~@d", "!#$%&'*+-/=?^_`{|}~", "d", "!#$%&'*+-/=?^_`{|}~"},
		{"<" + long + "a@" + long + ".test>", long + "a@" + long + ".test", long + "a", long + ".test", long + "a"},
	} {
		a, err := ParsePath(c.in, false)
		if err != nil {
			t.Errorf("ParsePath(%q): %v", c.in, err)
			continue
		}
		if a.String() != c.wire || a.Local() != c.local || a.Domain() != c.domain || a.User() != c.user {
			t.Errorf("ParsePath(%q) = %q: local %q, domain %q, user %q", c.in, a, a.Local(), a.Domain(), a.User())
		}
		if Restore(a.String()) != a {
			t.Errorf("Restore(%q) is another address", a)
		}
	}
}

func TestParsePathRefuses(t *testing.T) {
	for _, c := range []struct{ in, problem string }{
		{"", "want <address>"},
		{"a@b", "want <address>"},
		{"<a@b", "want <address>"},
		{"a@b>", "want <address>"},
		{"<a@b> SIZE=1", "text after"},
		{"<<a@b>>", "needs quotes"},
		{"<a>", "no domain"},
		{"<postmaster@>", "no domain"},
		{`<"postmaster">`, "no domain"},
		{"<@b>", "no local part"},
		{"<@a,@b>", "no local part"},
		{"<@a:>", "no local part"},
		{"<@a,b:c@d>", "source route"},
		{"<@a,:c@d>", "source route"},
		{"<.a@b>", "dot"},
		{"<a..b@c>", "dot"},
		{"<a.@c>", "dot"},
		{"<a b@c>", "needs quotes"},
		{"<a\tb@c>", "needs quotes"},
		{"<a(x)@c>", "needs quotes"},
		{"<a\r\nRCPT TO:@c>", "needs quotes"},
		{"<a\x00@c>", "needs quotes"},
		{"<a@b@c>", "no host name"},
		{"<a@b c>", "no host name"},
		{"<a@b\r\n>", "no host name"},
		{"<a@-b.test>", "hyphen"},
		{"<a@b-.test>", "hyphen"},
		{"<a@b..test>", "empty label"},
		{"<a@.test>", "empty label"},
		{"<a@test.>", "empty label"},
		{"<a@1.2.3.4>", "square brackets"},
		{"<a@[1.2.3]>", "no IP address"},
		{"<a@[1.2.3.4>", "not closed"},
		{"<a@[IPv6:1.2.3.4]>", "no IP address"},
		{"<a@[fe80::1%eth0]>", "no IP address"},
		{"<a@[x-tag:1]>", "no IP address"},
		{"<a@[]>", "not closed"},
		{`<"a@b>`, "want <address>"},
		{`<"a"b@c>`, "needs quotes"},
		{`<b"a"@c>`, "needs quotes"},
		{"<\"a\rb\"@c>", "control character"},
		{"<\"a\\\nb\"@c>", "backslash"},
		{"<\"a\x7fb\"@c>", "control character"},
		{"<é@c>", "SMTPUTF8"},
		{"<\"é\"@c>", "SMTPUTF8"},
		{"<a@bücher.test>", "SMTPUTF8"},
		{"<\xff@c>", "not valid UTF-8"},
		{"<" + strings.Repeat("a", 201) + "@c>", "200 octets"},
		{"<a@" + strings.Repeat("b", 64) + ".test>", "63 octets"},
		{"<a@" + strings.Repeat("b.", 127) + "bb>", "255 octets"},
		{"<" + strings.Repeat("a", 10) + "@" + strings.Repeat("b.", 125) + "bb>", "256 octets"},
	} {
		a, err := ParsePath(c.in, false)
		var bad *AddressError
		if !errors.As(err, &bad) {
			t.Errorf("ParsePath(%q) took it as %q", c.in, a)
			continue
		}
		if !strings.Contains(bad.Problem, c.problem) {
			t.Errorf("ParsePath(%q): %q, want something about %q", c.in, bad.Problem, c.problem)
		}
		if strings.ContainsAny(err.Error(), "\r\n\x00") {
			t.Errorf("the error of %q shows control characters: %q", c.in, err)
		}
	}
}

func TestWideAddresses(t *testing.T) {
	for _, good := range []string{"<é@c>", `<"é ü"@c>`, "<a@bücher.test>", "<用户@例え.test>", "<a@xn--bcher-kva.test>"} {
		a, err := ParsePath(good, true)
		if err != nil {
			t.Errorf("%q: %v", good, err)
		}
		if NeedsUTF8(a) != !isASCII(good) {
			t.Errorf("NeedsUTF8(%q) = %v", a, NeedsUTF8(a))
		}
		var bad *AddressError
		if _, err := ParsePath(good, false); !isASCII(good) && (!errors.As(err, &bad) || !bad.NeedsUTF8) {
			t.Errorf("%q without SMTPUTF8: %v", good, err)
		}
	}
	for _, bad := range []string{"<\xc3@c>", "<a\u0085b@c>", "<a\u2028@c>", "<a@b\u00a0c>", "<a@b\u3002c>", "<a@\u200b.test>", "<\xed\xa0\x80@c>", "<a@b\xff>"} {
		if a, err := ParsePath(bad, true); err == nil {
			t.Errorf("%q was taken as %q", bad, a)
		}
	}
}

func TestCutPathLeavesParameters(t *testing.T) {
	a, rest, err := CutPath(`<"x > SIZE=1 <"@d> SIZE=5 BODY=8BITMIME`, false)
	if err != nil || a.Domain() != "d" || rest != " SIZE=5 BODY=8BITMIME" {
		t.Errorf("%q, rest %q, %v", a, rest, err)
	}
}

func TestParseAddressWithoutBrackets(t *testing.T) {
	for _, good := range []string{"", "a@b", `"a b"@c`, "postmaster"} {
		if a, err := ParseAddress(good, false); err != nil || a.String() != good {
			t.Errorf("%q: %q, %v", good, a, err)
		}
	}
	for _, bad := range []string{"<a@b>", "a@b>", "a", "a@b c", "a@b\r\n", " a@b", "@r:a@b"} {
		if a, err := ParseAddress(bad, false); err == nil {
			t.Errorf("%q was taken as %q", bad, a)
		}
	}
}

// alphabet is weighted towards what breaks parsers.
var alphabet = []string{
	"a", "b", "Z", "0", "9", "-", "_", ".", ".", "@", "@", `"`, `"`, `\`, "<", ">", " ", "\t", "\r", "\n", "\x00",
	"\x7f", "[", "]", ":", ",", "(", ")", ";", "!", "#", "%", "+", "=", "é", "用", "\xff", "\xc3", "\u0085", "IPv6:", "1.2.3.4",
	"postmaster", "NOTIFY=NEVER", "\r\nRCPT TO:<x@y>", "example.com",
}

func randomPath(r *rand.Rand) string {
	var b strings.Builder
	word := func(n int) {
		for range r.IntN(n) {
			b.WriteString(alphabet[r.IntN(len(alphabet))])
		}
	}
	b.WriteByte('<')
	switch r.IntN(4) {
	case 0:
		word(12)
	case 1:
		b.WriteByte('"')
		word(8)
		b.WriteString(`"@example.com`)
	case 2:
		b.WriteString("user")
		word(4)
		b.WriteString("@")
		word(5)
	default:
		b.WriteString("u@d")
		word(3)
	}
	b.WriteByte('>')
	return b.String()
}

// checkPrinted fails if what was parsed from in cannot be printed and parsed again, or could leave its brackets.
func checkPrinted(t *testing.T, in string, a Address, wide bool) {
	t.Helper()
	printed := "<" + a.String() + ">"
	again, err := ParsePath(printed, wide)
	if err != nil || again != a {
		t.Fatalf("%q parsed to %q, which parses to %q, %v", in, a, again, err)
	}
	if Restore(a.String()) != a {
		t.Fatalf("%q: Restore gives another address", in)
	}
	quoted := false
	for i, c := range a.String() {
		switch {
		case c < ' ' || c >= 0x7f && c <= 0x9f || c == '\ufffd':
			t.Fatalf("%q printed %q: control character", in, a)
		case c == '"' && !(i > 0 && escaped(a.String(), i)):
			quoted = !quoted
		case !quoted && (c == '<' || c == '>' || c == ' '):
			t.Fatalf("%q printed %q: leaves its brackets", in, a)
		case c > 0x7f && !wide:
			t.Fatalf("%q printed %q: not ASCII", in, a)
		}
	}
	if quoted {
		t.Fatalf("%q printed %q: open quote", in, a)
	}
}

func escaped(s string, i int) bool {
	n := 0
	for i--; i >= 0 && s[i] == '\\'; i-- {
		n++
	}
	return n%2 == 1
}

// TestWireForm is invariant wire-form on 300,000 random paths.
func TestWireForm(t *testing.T) {
	r := rand.New(rand.NewPCG(rand.Uint64(), 1))
	taken := 0
	for i := range 300_000 {
		in, wide := randomPath(r), i%2 == 0
		if a, err := ParsePath(in, wide); err == nil {
			taken++
			checkPrinted(t, in, a, wide)
		}
	}
	if taken < 10_000 {
		t.Errorf("only %d paths were good: the test tests little", taken)
	}
}

func FuzzPath(f *testing.F) {
	for _, s := range []string{"<a@b>", `<"x > NOTIFY=NEVER <"@d>`, "<@a:b@[IPv6:::1]>", "<é@bücher.test>"} {
		f.Add(s, true)
		f.Add(s, false)
	}
	f.Fuzz(func(t *testing.T, s string, wide bool) {
		if a, err := ParsePath(s, wide); err == nil {
			checkPrinted(t, s, a, wide)
		}
		if a, err := ParseAddress(s, wide); err == nil {
			checkPrinted(t, s, a, wide)
		}
	})
}

func BenchmarkParsePath(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParsePath("<someone@mail.example.com>", false); err != nil {
			b.Fatal(err)
		}
	}
}
