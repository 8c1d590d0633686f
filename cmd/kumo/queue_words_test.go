package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"kumo/pkg/cli"
	"kumo/pkg/message"
	"kumo/pkg/option"
	"kumo/pkg/spool"
)

func TestWordsForNumbers(t *testing.T) {
	for n, want := range map[int]string{0: "no messages", 1: "1 message", 2: "2 messages", 999: "999 messages", 1000: "1,000 messages", 1234567: "1,234,567 messages"} {
		if got := counted(n, "message"); got != want {
			t.Errorf("counted(%d) = %q, want %q", n, got, want)
		}
	}
	for n, want := range map[int64]string{
		0: "no bytes", 1: "1 byte", 999: "999 bytes", 1000: "1.0 kB", 1234: "1.2 kB", 9949: "9.9 kB", 9999: "10 kB", 999_499: "999 kB",
		999_500: "1.0 MB", 1e9: "1.0 GB", 5e18: "5000 PB",
	} {
		if got := size(n); got != want {
			t.Errorf("size(%d) = %q, want %q", n, got, want)
		}
	}
}

func TestBar(t *testing.T) {
	for b, want := range map[bar]string{
		{0, 10}: "", {10, 10}: strings.Repeat("█", barWidth), {5, 10}: strings.Repeat("█", barWidth/2), {1, 1_000_000}: "▏", {0, 0}: "",
		{7, 96}: "▉", {8, 96}: "█", {9, 96}: "█▏",
	} {
		if got := b.String(); got != want {
			t.Errorf("%v is drawn as %q, want %q", b, got, want)
		}
	}
}

// TestMatchInWords: what an order was about is shown as the flags that say it.
func TestMatchInWords(t *testing.T) {
	for _, tt := range []struct {
		match spool.Match
		ids   int
		want  string
	}{
		{spool.Match{All: true}, 0, "--all"},
		{spool.Match{Queues: []string{"a", "b c"}}, 0, "--queue a --queue 'b c'"},
		{spool.Match{Domain: "d", Tenant: "t", Campaign: "c", RoutingDomain: "r"}, 0, "--domain d --tenant t --campaign c --routing-domain r"},
		{spool.Match{Sender: "<>", Recipient: "x@y", OlderThan: option.Duration(time.Hour)}, 0, "--sender '<>' --recipient x@y --older-than 1h"},
		{spool.Match{Where: "queue = 'it''s'"}, 0, `--where 'queue = '\''it'\'''\''s'\'''`},
		{spool.Match{ByID: true}, 2, "2 ids"},
		{spool.Match{ByID: true}, 0, "ids"},
	} {
		if got := matchText(&tt.match, tt.ids); got != tt.want {
			t.Errorf("got %s, want %s", got, tt.want)
		}
	}
}

func TestReadIDs(t *testing.T) {
	c, _, _ := console()
	const a, b = "0123456789abcdef0123456789abcdef", "00000000-0000-0000-0000-000000000001"
	n, err := readIDs(c, strings.NewReader(a+"\n"+b+"\n\n{\"id\":\""+a+"\"}\nnonsense\tx\n"+strings.Repeat("y", 100)+"\n"))
	if err != nil {
		t.Fatal(err)
	}
	if len(n.ids) != 2 || n.ids[0].String() != a {
		t.Errorf("ids are %v", n.ids)
	}
	if len(n.unknown) != 2 || n.unknown[0] != "nonsense" || len([]rune(n.unknown[1])) != 64 {
		t.Errorf("unknown are %q", n.unknown)
	}
	if _, err := readIDs(c, strings.NewReader("{\"id\":")); cli.CodeOf(err) != cli.CodeUsage {
		t.Errorf("half an object: %v", err)
	}
	many := strings.Repeat("x\n", maxUnknown+5)
	if n, err = readIDs(c, strings.NewReader(many)); err != nil || len(n.unknown) != maxUnknown || n.more != 5 {
		t.Errorf("%d unknown are kept and %d counted (%v)", len(n.unknown), n.more, err)
	}
	text := n.failure("queue hold").Error()
	if !strings.HasSuffix(text, " and 985 others") || len(text) > 200 {
		t.Errorf("got %q", text)
	}
}

// TestUnknownIDsFail: exit code 1, whether the others were done or there were none.
func TestUnknownIDsFail(t *testing.T) {
	n := &named{}
	if err := n.failure("queue hold"); err != nil {
		t.Errorf("nothing is unknown: %v", err)
	}
	n.missed(spool.Counts{Missing: []message.ID{{1}}, Unknown: 3})
	err := n.failure("queue hold")
	if cli.CodeOf(err) != cli.CodeFailed || !strings.HasSuffix(err.Error(), "01000000000000000000000000000000 and 2 others") {
		t.Errorf("got %v", err)
	}
}

// TestOutcomeIsAnObject: programs get one object with order, matched and done, whatever the numbers.
func TestOutcomeIsAnObject(t *testing.T) {
	for _, f := range []cli.Format{cli.JSON, cli.JSONL} {
		c, out, _ := console()
		c.Format = f
		if err := printOutcome(c, &outcome{Order: "ab", Kind: "hold"}); err != nil {
			t.Fatal(err)
		}
		var got map[string]any
		if err := json.Unmarshal(out.Bytes(), &got); err != nil {
			t.Fatalf("%v in %s", err, out)
		}
		for _, k := range []string{"order", "kind", "matched", "done", "busy"} {
			if _, ok := got[k]; !ok {
				t.Errorf("%s has no %q", out, k)
			}
		}
	}
}

// TestOrdersAreFoundByTheirFirstDigits.
func TestOrdersAreFoundByTheirFirstDigits(t *testing.T) {
	rows := []orderRow{{Order: "aaaa1111"}, {Order: "aaaa2222"}, {Order: "bbbb3333"}, {Order: "bbbb"}}
	for id, want := range map[string]string{"BBBB3": "bbbb3333", "bbbb": "bbbb", "aaaa2": "aaaa2222", "aaaa": "", "aaa": "", "cccc": ""} {
		got, err := findOrder(rows, "queue undo", id)
		if (err == nil) != (want != "") || (got != nil && got.Order != want) {
			t.Errorf("%s finds %v (%v), want %q", id, got, err, want)
		}
	}
}

// TestRawPartsOfMessages: bytes stay bytes in a pipe, and do no harm on a terminal.
func TestRawPartsOfMessages(t *testing.T) {
	data := []byte("A: \x1b[2J\r\n\r\nbody\ttab\r\nlast")
	c, _, _ := console()
	var b bytes.Buffer
	if err := (rawPart{data}).WriteText(c, &b); err != nil || !bytes.Equal(b.Bytes(), data) {
		t.Errorf("in a pipe: %q (%v)", &b, err)
	}
	b.Reset()
	c.OutTTY = true
	if err := (rawPart{data}).WriteText(c, &b); err != nil || b.String() != "A: \\x1b[2J\n\nbody\ttab\nlast\n" {
		t.Errorf("on a terminal: %q (%v)", &b, err)
	}
	head := headEnd(data)
	if got := string(part(data, head, true, false)); got != "A: \x1b[2J\r\n\r\n" {
		t.Errorf("header is %q", got)
	}
	if got := string(part(data, head, false, true)); got != "body\ttab\r\nlast" {
		t.Errorf("body is %q", got)
	}
	if n := headEnd([]byte("A: b\r\n")); n != 6 {
		t.Errorf("a message without a body has a header of %d bytes", n)
	}
}
