package option

import (
	"strings"
	"testing"
	"time"
)

func TestPattern(t *testing.T) {
	for _, c := range []struct{ pattern, text, want string }{
		{`o+`, "foood", "ooo"},
		{`^(451|550) [45]\.1\.[1234] `, "550 5.1.1 no such user", "550 5.1.1 "},
		{`(?<=a)b`, "ab", "b"},
		{`a(?!b)`, "abac", "a"},
		{`(?P<q>['"])x\k<q>`, `'x" "x"`, `"x"`},
		{`(a)\1`, "aa", "aa"},
		{`(?i)STRASSE`, "die straße strasse", "strasse"},
		{`\w+`, "größe 7", "größe"},
		{`\d+`, "x ٣٤", "٣٤"},
		{`[]a]+`, "x]a", "]a"},
		{`(?x) a  b # comment`, "ab", "ab"},
		{`\bé`, "né é", "é"},
	} {
		p, err := ParsePattern(c.pattern)
		if err != nil {
			t.Errorf("%s: %v", c.pattern, err)
			continue
		}
		loc, err := p.Find(c.text, 1)
		if err != nil || len(loc) != 1 || c.text[loc[0][0]:loc[0][1]] != c.want {
			t.Errorf("%s in %q: %v %v, want %q", c.pattern, c.text, loc, err, c.want)
		}
		if ok, err := p.Match(c.text); !ok || err != nil {
			t.Errorf("%s does not match %q: %v", c.pattern, c.text, err)
		}
	}
}

// TestPatternGroups has named groups between others: they are numbered by where they open, on both engines.
func TestPatternGroups(t *testing.T) {
	for _, c := range []struct{ pattern, text, template, want string }{
		{`(?P<last>[^,\s]+),\s+(?P<first>\S+)`, "Springsteen, Bruce", "$first $last", "Bruce Springsteen"},
		{`(?<a>.)(.)(?<c>.)(?=!)`, "xyz!", "$1-$2-$3-${a}${c}", "x-y-z-xz"},
		{`(a)|(b)`, "b", "<$1$2$3$none>", "<b>"},
		{`(a)`, "a", "$1a|${1}a|$$1", "|aa|$1"},
		{`(é)(?=x)`, "aéx", "$1", "é"},
	} {
		p, err := ParsePattern(c.pattern)
		if err != nil {
			t.Fatal(err)
		}
		loc, err := p.Find(c.text, -1)
		if err != nil || len(loc) == 0 {
			t.Fatalf("%s in %q: %v %v", c.pattern, c.text, loc, err)
		}
		if got := string(p.Expand(nil, c.template, c.text, loc[0])); got != c.want {
			t.Errorf("%s: %q, want %q", c.pattern, got, c.want)
		}
	}
}

// TestPatternsAgree compares the engines where both can answer.
func TestPatternsAgree(t *testing.T) {
	for _, pattern := range []string{`a*`, `x?`, `b|a`, `(a)(b)?`, `\d*`, `[^a]`, ``} {
		fast, err := ParsePattern(pattern)
		if err != nil {
			t.Fatal(err)
		}
		slow, err := ParsePattern(pattern + `(?=)`)
		if err != nil || slow.fast != nil {
			t.Fatalf("%s: %v", pattern, err)
		}
		for _, s := range []string{"", "aab", "1a22b", "ba"} {
			a, err := fast.Find(s, -1)
			b, err2 := slow.Find(s, -1)
			if err != nil || err2 != nil || len(a) != len(b) {
				t.Fatalf("%s in %q: %v and %v", pattern, s, a, b)
			}
			for i := range a {
				for k := range a[i] {
					if a[i][k] != b[i][k] {
						t.Errorf("%s in %q: %v and %v", pattern, s, a, b)
					}
				}
			}
		}
	}
}

func TestPatternIsRefused(t *testing.T) {
	for _, s := range []string{"(", "a**", "[", `\`, "(?<x", strings.Repeat("a", maxPattern+1)} {
		if _, err := ParsePattern(s); err == nil || !strings.Contains(err.Error(), "invalid value") {
			t.Errorf("%.20q: %v", s, err)
		}
	}
}

func TestPatternIsStopped(t *testing.T) {
	p, err := ParsePattern(`^(?=(a+)+b)a`)
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if _, err := p.Match(strings.Repeat("a", 60)); err == nil || !strings.Contains(err.Error(), "took more than 1s") {
		t.Errorf("%v", err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("stopped after %s", took)
	}
}

func FuzzPattern(f *testing.F) {
	for _, s := range []string{`(?P<a>x)\k<a>`, `[]a-z]+(?=b)`, `\p{L}(?i:k)`, `(?x)a #`} {
		f.Add(s, "xxé]b")
	}
	f.Fuzz(func(t *testing.T, pattern, s string) {
		if len(pattern) > 40 || len(s) > 40 {
			return
		}
		p, err := ParsePattern(pattern)
		if err != nil {
			return
		}
		all, err := p.Find(s, -1)
		if err != nil {
			return
		}
		if ok, err := p.Match(s); err == nil && ok != (len(all) > 0) {
			t.Fatalf("%q in %q: match %v, %d found", pattern, s, ok, len(all))
		}
		for _, loc := range all {
			p.Expand(nil, "$0$1${x}$$", s, loc)
			_ = s[loc[0]:loc[1]]
		}
	})
}
