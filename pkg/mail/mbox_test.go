package mail

import (
	"errors"
	"strings"
	"testing"
)

func TestToCRLF(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"", ""},
		{"a", "a"},
		{"a\nb\n", "a\r\nb\r\n"},
		{"a\r\nb\r\n", "a\r\nb\r\n"},
		{"a\r\nb\nc", "a\r\nb\r\nc"},
		{"\n\n", "\r\n\r\n"},
	} {
		got, err := ToCRLF([]byte(c.in))
		if err != nil || string(got) != c.want {
			t.Errorf("ToCRLF(%q) = %q, %v; want %q", c.in, got, err, c.want)
		}
	}
	for in, line := range map[string]int{"a\rb\n": 1, "a\n\nb\r": 3, "a\n\r\r\n": 2, "a\r\nb\n\rc": 3} {
		_, err := ToCRLF([]byte(in))
		var le *LineError
		if !errors.As(err, &le) || le.Line != line {
			t.Errorf("ToCRLF(%q) says %v, want line %d", in, err, line)
		}
	}
}

func TestMbox(t *testing.T) {
	long := strings.Repeat("x", 200<<10)
	in := "From a Mon\nSubject: 1\n\none\n>From here\n>>From there\n\nFrom b Tue\nSubject: 2\n\nnot a\nFrom line\n" + long + "\n"
	var got []string
	var lines []int
	err := Mbox(strings.NewReader(in), 1<<20, func(line int, text []byte) error {
		got, lines = append(got, string(text)), append(lines, line)
		return nil
	})
	want := []string{"Subject: 1\n\none\nFrom here\n>From there\n", "Subject: 2\n\nnot a\nFrom line\n" + long + "\n"}
	if err != nil || len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
		t.Fatalf("read %.300q, %v", got, err)
	}
	if lines[0] != 2 || lines[1] != 9 {
		t.Errorf("first lines %v, want 2 and 9", lines)
	}
	for _, bad := range []string{"Subject: no mbox\n\nx\n", "From a\n" + strings.Repeat("y\n", 1<<20), "From a\n" + strings.Repeat("z", 2<<20)} {
		var le *LineError
		err := Mbox(strings.NewReader(bad), 1<<20, func(int, []byte) error { return nil })
		if !errors.As(err, &le) {
			t.Errorf("Mbox(%.20q…) = %v, want a LineError", bad, err)
		}
	}
	if err := Mbox(strings.NewReader(""), 10, nil); err != nil {
		t.Errorf("an empty file: %v", err)
	}
	stop := errors.New("stop")
	if err := Mbox(strings.NewReader(in), 1<<20, func(int, []byte) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("the callback's error came back as %v", err)
	}
}
