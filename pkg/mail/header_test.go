package mail

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"
)

const sample = "Received: from a\r\n\tby b\r\nSubject: one\r\nX-Tag : two\r\nsubject:three\r\n\r\nSubject: body\r\n"

func TestFields(t *testing.T) {
	var got []string
	for f := range Fields([]byte(sample)) {
		got = append(got, fmt.Sprintf("%s=%s[%d:%d]", f.Name, f.Text(), f.Start, f.End))
	}
	want := "[Received=from a\tby b[0:25] Subject=one[25:39] X-Tag=two[39:52] subject=three[52:67]]"
	if fmt.Sprint(got) != want {
		t.Errorf("fields\n%v, want\n%s", got, want)
	}
	if f, ok := First([]byte(sample), "SUBJECT"); !ok || f.Text() != "one" {
		t.Errorf("First = %q, %v", f.Value, ok)
	}
	if f, ok := Last([]byte(sample), "SUBJECT"); !ok || f.Text() != "three" {
		t.Errorf("Last = %q, %v", f.Value, ok)
	}
	if n := Count([]byte(sample), "Subject"); n != 2 {
		t.Errorf("Count = %d", n)
	}
	if n := Count([]byte(sample), ""); n != 4 {
		t.Errorf("Count of all = %d", n)
	}
	for range All([]byte(sample), "subject") {
		break
	}
}

func TestHeaderEnd(t *testing.T) {
	for _, c := range []struct {
		data         string
		header, body int
		n            int
	}{
		{"", 0, 0, 0},
		{"\r\n", 0, 2, 0},
		{"\n", 0, 1, 0},
		{"\r\nbody\r\n", 0, 2, 0},
		{"A: b\r\n", 6, 6, 1},
		{"A: b", 4, 4, 1},
		{"A: b\r\n\r\n", 6, 8, 1},
		{"A: b\n\nbody", 5, 6, 1},
		{"A: b\r\n c\r\n\r\nbody", 10, 12, 1},
		{"no header here\r\n", 0, 0, 0},
		{"A: b\r\nno field\r\nC: d\r\n\r\n", 6, 6, 1},
		{" leading blank\r\nA: b\r\n", 0, 0, 0},
		{": no name\r\n", 0, 0, 0},
		{"two words: x\r\n", 0, 0, 0},
		{"A:\r\nB:\r\n\r\n", 8, 10, 2},
		{"\xfff\xe4: 8bit\r\n\r\n", 11, 13, 1},
		{"A\x00: b\r\n", 0, 0, 0},
		{"A", 0, 0, 0},
		{"A:", 2, 2, 1},
	} {
		h, b := HeaderEnd([]byte(c.data))
		if h != c.header || b != c.body || Count([]byte(c.data), "") != c.n {
			t.Errorf("%q: header %d, body %d, %d fields; want %d, %d, %d", c.data, h, b, Count([]byte(c.data), ""), c.header, c.body, c.n)
		}
	}
}

func TestEdits(t *testing.T) {
	x := []byte("X: y\r\n")
	for _, c := range []struct{ data, prepended, appended string }{
		{"A: b\r\n\r\nbody", "X: y\r\nA: b\r\n\r\nbody", "A: b\r\nX: y\r\n\r\nbody"},
		{"A: b\r\n", "X: y\r\nA: b\r\n", "A: b\r\nX: y\r\n"},
		{"A: b", "X: y\r\nA: b", "A: b\r\nX: y\r\n"},
		{"", "X: y\r\n", "X: y\r\n"},
		{"\r\nbody", "X: y\r\n\r\nbody", "X: y\r\n\r\nbody"},
		{"body only\r\n", "X: y\r\n\r\nbody only\r\n", "X: y\r\n\r\nbody only\r\n"},
	} {
		in := []byte(c.data)
		if got := string(Prepend(in, x)); got != c.prepended {
			t.Errorf("Prepend to %q: %q", c.data, got)
		}
		if got := string(Append(in, x)); got != c.appended {
			t.Errorf("Append to %q: %q", c.data, got)
		}
		if string(in) != c.data {
			t.Errorf("%q was changed in place", c.data)
		}
	}
	if got := string(Remove([]byte(sample), "Subject")); got != "Received: from a\r\n\tby b\r\nX-Tag : two\r\n\r\nSubject: body\r\n" {
		t.Errorf("Remove: %q", got)
	}
	if got := string(RemoveFirst([]byte(sample), "received")); !strings.HasPrefix(got, "Subject: one") {
		t.Errorf("RemoveFirst: %q", got)
	}
	same := []byte(sample)
	if got := Remove(same, "None"); &got[0] != &same[0] {
		t.Error("Remove copied although there was nothing to remove")
	}
}

func TestAppendField(t *testing.T) {
	long := strings.Repeat("word ", 40)
	for _, c := range []struct {
		name, value string
		encode      bool
		want        string // "" for an error
	}{
		{"X", "plain", false, "X: plain\r\n"},
		{"X", "", false, "X: \r\n"},
		{"X", long, false, "X: " + long + "\r\n"},
		{"X", "a\r\n b", false, "X: a\r\n b\r\n"},
		{"X", "a\n\tb\n c", false, "X: a\r\n\tb\r\n c\r\n"},
		{"X", "\r\n b", false, "X: \r\n b\r\n"},
		{"X", "grüße", false, "X: grüße\r\n"},
		{"X", "grüße", true, "X: =?UTF-8?B?Z3LDvMOfZQ==?=\r\n"},
		{"To", "Jürgen of Somewhere Groß <j@x.test>", true, "To: =?UTF-8?Q?J=C3=BCrgen_of_Somewhere_Gro=C3=9F?= <j@x.test>\r\n"},
		{"X", "a\r\n b", true, "X: a b\r\n"},
		{"X", "a\r\nEvil: b", false, ""},
		{"X", "a\nEvil: b", true, ""},
		{"X", "a\r Evil", false, ""},
		{"X", "a\r\n", false, ""},
		{"X", "a\n", false, ""},
		{"X", "a\r", false, ""},
		{"X", "a\r\n \r\n b", false, ""},
		{"X", "a\r\n \t", false, ""},
		{"X", "a\r\n\r\nbody", false, ""},
		{"X", "a\x00b", false, ""},
		{"X", "a\r\n \x00b", false, ""},
		{"X", "\xff", true, ""},
		{"", "a", false, ""},
		{"X:", "a", false, ""},
		{"X Y", "a", false, ""},
		{"X\r\nEvil", "a", false, ""},
		{"Grüße", "a", false, ""},
		{strings.Repeat("x", 257), "a", false, ""},
	} {
		got, err := AppendField([]byte("~"), c.name, c.value, c.encode)
		switch {
		case c.want == "" && (err == nil || string(got) != "~"):
			t.Errorf("%q: %q was taken: %q", c.name, c.value, got)
		case c.want != "" && (err != nil || string(got) != "~"+c.want):
			t.Errorf("%q: %q: %q, %v", c.name, c.value, got, err)
		}
	}
}

func TestAppendFieldWraps(t *testing.T) {
	for _, value := range []string{
		strings.Repeat("word ", 100),
		strings.Repeat("größer ", 100),
		strings.Repeat("用", 500),
		strings.Repeat("x", 5000),
		"a" + strings.Repeat(" ", 2000) + "b",
		strings.Repeat("x", 80) + " " + strings.Repeat("y", 80),
	} {
		out, err := AppendField(nil, "Subject", value, true)
		if err != nil {
			t.Fatal(err)
		}
		for i, line := range strings.Split(strings.TrimSuffix(string(out), "\r\n"), "\r\n") {
			limit := wrapAt
			if strings.Contains(value, strings.Repeat("x", 80)) {
				limit = wrapMax
			}
			if len(line) > limit || i > 0 && (line[0] != ' ' || strings.TrimSpace(line) == "") {
				t.Errorf("line %d of %.20q is %d long: %q", i+1, value, len(line), line)
			}
		}
		f, _ := First(out, "Subject")
		if got := f.Decoded(); len(value) < 2000 && got != strings.TrimSpace(value) {
			t.Errorf("%.20q came back as %q", value, got)
		}
	}
}

func TestDecode(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"plain", "plain"},
		{" a\r\n b ", "a b"},
		{"=?utf-8?Q?gr=C3=BC=C3=9Fe?=", "grüße"},
		{"=?UTF-8?b?Z3LDvMOfZQ==?= x", "grüße x"},
		{"=?UTF-8?B?Z3LDvMOfZQ?=", "grüße"},
		{"=?iso-8859-1?q?caf=E9_bar?=", "café bar"},
		{"=?ISO-2022-JP?B?GyRCRnxLXBsoQg==?=", "日本"},
		{"=?utf-8*en?q?a?=", "a"},
		{"=?utf-8?q?a?= =?utf-8?q?b?=", "ab"},
		{"=?utf-8?q?a?=\r\n =?utf-8?q?b?= c", "ab c"},
		{"=?utf-8?q?a?= b =?utf-8?q?c?=", "a b c"},
		{"x =?utf-8?q?a?= ", "x a"},
		{"=?utf-8?q?=C3?= =?utf-8?q?=BC?=", "ü"}, // a character split between words
		{"=?iso-8859-1?q?a?= =?utf-8?q?b?=", "ab"},
		{"=?utf-8?q?=FF?=", "=?utf-8?q?=FF?="},
		{"=?x-none?q?a?=", "=?x-none?q?a?="},
		{"=?utf-8?z?a?=", "=?utf-8?z?a?="},
		{"=?utf-8?b?!!?=", "=?utf-8?b?!!?="},
		{"=?utf-8?q?open", "=?utf-8?q?open"},
		{"=?utf-8?q", "=?utf-8?q"},
		{"=?", "=?"},
		{"a =?= =?utf-8?q?b?=", "a =?= b"},
		{"=?utf-8?q?a=0D=0AEvil:_b?=", "a  Evil: b"},
		{"\xff raw", "\xff raw"},
	} {
		if got := Decode([]byte(c.in)); got != c.want {
			t.Errorf("Decode(%q) = %q, want %q", c.in, got, c.want)
		}
	}
}

func TestAddressLists(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"", ""},
		{`(\`, ""},
		{"a@b", "|a@b"},
		{" a@b , c@d,, ", "|a@b;|c@d"},
		{"Joe Doe <a@b>", "Joe Doe|a@b"},
		{`"Doe, Joe" <a@b>`, "Doe, Joe|a@b"},
		{`"a \"q\" b" <a@b>`, `a "q" b|a@b`},
		{"=?utf-8?q?J=C3=BCrgen?= <a@b>", "Jürgen|a@b"},
		{"Jürgen <a@b>", "Jürgen|a@b"},
		{"J. R. Ewing <a@b>", "J. R. Ewing|a@b"},
		{"a@b (Joe (old) Doe)", "Joe (old) Doe|a@b"},
		{"(x) Joe (y) <(z) a@b (w)> (v)", "Joe|a@b"},
		{`"a b"@c`, `|"a b"@c`},
		{"<a@[10.0.0.1]>", "|a@[10.0.0.1]"},
		{"<@r1,@r2:a@b>", "|a@b"},
		{"a . b @ c . d", "|a.b@c.d"},
		{"friends: a@b, Joe <c@d>;, e@f", "friends:(|a@b,Joe|c@d);|e@f"},
		{"undisclosed-recipients:;", "undisclosed-recipients:()"},
		{"a@b,\r\n c@d", "|a@b;|c@d"},
	} {
		list, err := ParseAddressList([]byte(c.in))
		if got := show(list); err != nil || got != c.want {
			t.Errorf("%q: %s, %v; want %s", c.in, got, err, c.want)
		}
	}
	for _, bad := range []string{
		"a", "a b@c", "<a@b", "a@b c@d", "a@b>", `"open <a@b>`, "g: a@b", "g: h: a@b;;", "<>", "a@", "@b", "a@b@c",
		"<@r a@b>", "a@[1.2", "a;b@c", "g: a@b c@d;", "x\x00 <a@b>", `\`, `"\`, "a@(", "<a@b>x",
	} {
		if list, err := ParseAddressList([]byte(bad)); err == nil {
			t.Errorf("%q was taken: %s", bad, show(list))
		}
	}
	got := Addresses([]ListEntry{{IsGroup: true, Members: []Mailbox{{Name: "a"}, {Name: "b"}}}, {Mailbox: Mailbox{Name: "c"}}})
	if len(got) != 3 || got[2].Name != "c" {
		t.Errorf("Addresses = %v", got)
	}
}

func show(list []ListEntry) string {
	var out []string
	for _, e := range list {
		if !e.IsGroup {
			out = append(out, e.Name+"|"+e.Address.String())
			continue
		}
		var in []string
		for _, m := range e.Members {
			in = append(in, m.Name+"|"+m.Address.String())
		}
		out = append(out, e.Name+":("+strings.Join(in, ",")+")")
	}
	return strings.Join(out, ";")
}

// TestBombs holds every parser to linear time (F116, F119, X9): a quadratic one takes minutes on these.
func TestBombs(t *testing.T) {
	const n = 1 << 20
	folded := "X: " + strings.Repeat("a\r\n ", n/4) + "\r\n\r\nbody"
	many := strings.Repeat("X-Name: value\r\n", 20_000) + "\r\n"
	start := time.Now()
	if Count([]byte(folded), "X") != 1 || Count([]byte(many), "x-name") != 20_000 {
		t.Error("fields were lost")
	}
	if got := Remove([]byte(many), "X-Name"); string(got) != crlf {
		t.Errorf("%d bytes are left", len(got))
	}
	for _, piece := range []string{
		"=?utf-8?q?a?= ", "=?a?q?", "=?", "=?utf-8?b?", "?", "(", ")", "()", `"`, `\`, "a@b,", "<", "<a@b>,", "g:", "@", "@a,", "a ", "a.", ".", "[", "a@[", " ", ";", ",",
		"<@", "a@b(", "é", "=?utf-8?q?=C3?= ", "\r\n ", "g:a@b;,",
	} {
		bomb := []byte(strings.Repeat(piece, n/len(piece)))
		Decode(bomb)
		_, _ = ParseAddressList(bomb)
		_, _ = ParsePath("<"+string(bomb)+">", true)
		_, _ = ParsePath(`<"`+string(bomb)+`"@d>`, true)
		_, _ = AppendField(nil, "X", string(bomb), true)
	}
	if took := time.Since(start); took > 30*time.Second {
		t.Errorf("took %s", took)
	}
}

func TestAppendDate(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.FixedZone("", -3600))
	if got := string(AppendDate(nil, at)); got != "Fri, 2 Jan 2026 03:04:05 -0100" {
		t.Error(got)
	}
}

func FuzzHeader(f *testing.F) {
	f.Add([]byte(sample), "Subject", "v\r\n w")
	f.Add([]byte("body only"), "X", "=?utf-8?q?a?= =?utf-8?b?YQ==?=")
	f.Add([]byte("A: =?utf-8?q?a?="), "A", "Joe \"x\" <a@b>, g: (c) c@d;")
	f.Fuzz(func(t *testing.T, data []byte, name, value string) {
		pos := 0
		for fd := range Fields(data) {
			if fd.Start != pos || fd.End <= pos {
				t.Fatalf("field at %d..%d follows offset %d", fd.Start, fd.End, pos)
			}
			pos = fd.End
		}
		Decode([]byte(value))
		if list, err := ParseAddressList([]byte(value)); err == nil {
			for _, m := range Addresses(list) {
				if again, err := ParseAddress(m.Address.String(), true); err != nil || again != m.Address {
					t.Fatalf("%q gave %q, which parses to %q, %v", value, m.Address, again, err)
				}
			}
		}
		for _, encode := range []bool{false, true} {
			field, err := AppendField(nil, name, value, encode)
			if err != nil {
				continue
			}
			if n := Count(append(bytes.Clone(field), "\r\nX: y\r\n"...), ""); n != 1 {
				t.Fatalf("%q: %q became %d fields: %q", name, value, n, field)
			}
			both := Prepend(data, field)
			if Count(both, "") != Count(data, "")+1 && Count(data, "") > 0 {
				t.Fatalf("prepending %q to %q", field, data)
			}
			if Count(Append(data, field), "") != Count(data, "")+1 {
				t.Fatalf("appending %q to %q: %q", field, data, Append(data, field))
			}
			if got := RemoveFunc(Append(data, field), func(Field) bool { return true }); Count(data, "") == 0 && Count(got, "") > 0 && blankLine(data) > 0 {
				t.Fatalf("removing all from %q leaves %q", data, got)
			}
		}
	})
}

func BenchmarkFields(b *testing.B) {
	data := []byte(strings.Repeat("X-Some-Name: some value of a header\r\n\tfolded once\r\n", 20) + "\r\nbody")
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := First(data, "Missing"); ok {
			b.Fatal("found")
		}
	}
}

func BenchmarkPrepend(b *testing.B) {
	data := []byte(sample + strings.Repeat("x", 1000))
	b.ReportAllocs()
	for b.Loop() {
		Prepend(data, []byte("Received: from x\r\n"))
	}
}

func BenchmarkAppendDate(b *testing.B) {
	at, buf := time.Now(), make([]byte, 0, 64)
	b.ReportAllocs()
	for b.Loop() {
		AppendDate(buf, at)
	}
}
