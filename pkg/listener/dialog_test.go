package listener

import (
	"encoding/json"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"kumo/pkg/option"
)

// TestDialogs plays the conversations of testdata/*.smtp. Their lines:
//
//	# a comment
//	opt NAME JSON         an option of the listener; before the first C, T or S
//	from ADDRESS          where the client connects from
//	relay_to DOMAIN       policy relays to the domain
//	relay_from DOMAIN IP  policy relays for senders of the domain from there
//	C: TEXT               the client sends TEXT and CRLF
//	C= "TEXT"             the client sends a Go string as it is
//	S: PATTERN            a reply line, as path.Match has it ("*" does not match "/")
//	tls                   STARTTLS and handshake
//	closed                the server closes the connection
//	mail SENDER RCPT… "DATA"   a transaction that came in, in order
//	record CODE X.Y.Z COMMAND  a Rejection record, in order
//	no more               no further mail and no further record
func TestDialogs(t *testing.T) {
	files, err := filepath.Glob("testdata/*.smtp")
	if err != nil || len(files) == 0 {
		t.Fatalf("no dialogs: %v", err)
	}
	for _, f := range files {
		t.Run(strings.TrimSuffix(filepath.Base(f), ".smtp"), func(t *testing.T) {
			t.Parallel()
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			p := &play{t: t, w: newWorld(), opts: map[string]any{}, from: friend}
			for i, line := range strings.Split(strings.TrimRight(string(b), "\n"), "\n") {
				if line == "" || line[0] == '#' {
					continue
				}
				if err := p.line(line); err != nil {
					t.Fatalf("%s:%d: %s: %v", f, i+1, line, err)
				}
			}
		})
	}
}

type play struct {
	t       *testing.T
	w       *world
	opts    map[string]any
	from    string
	c       *client
	pending []string // reply lines that were read and not expected yet
	mails   int
	records int
}

func (p *play) line(line string) error {
	word, arg, _ := strings.Cut(line, " ")
	switch word {
	case "opt":
		name, text, _ := strings.Cut(arg, " ")
		var v any
		if err := json.Unmarshal([]byte(text), &v); err != nil {
			return err
		}
		if f, ok := v.(float64); ok {
			v = int64(f)
		}
		p.opts[name] = v
	case "from":
		p.from = arg
	case "relay_to":
		d := p.w.domains[arg]
		d.RelayTo = true
		p.w.domains[arg] = d
	case "relay_from":
		name, ip, _ := strings.Cut(arg, " ")
		set, err := option.CIDRs(ip)
		d := p.w.domains[name]
		d.RelayFrom = set
		p.w.domains[name] = d
		return err
	case "C:":
		p.client().send(arg + "\r\n")
	case "C=":
		s, err := strconv.Unquote(arg)
		p.client().send(s)
		return err
	case "S:":
		return p.reply(arg)
	case "tls":
		p.client().startTLS()
	case "closed":
		if r := p.client().reply(); r != "" || len(p.pending) > 0 {
			return fmt.Errorf("got %q %q", p.pending, r)
		}
	case "mail":
		return p.mail(arg)
	case "record":
		return p.record(arg)
	case "no":
		if n, m := len(p.w.mail()), len(p.w.log()); n != p.mails || m != p.records {
			return fmt.Errorf("%d transactions and %d records", n, m)
		}
	default:
		return fmt.Errorf("unknown word")
	}
	return nil
}

func (p *play) client() *client {
	if p.c == nil {
		p.c = start(p.t, p.w, p.opts, p.from)
	}
	return p.c
}

func (p *play) reply(pattern string) error {
	if len(p.pending) == 0 {
		p.pending = strings.Split(p.client().reply(), "\n")
	}
	got := p.pending[0]
	p.pending = p.pending[1:]
	if ok, err := path.Match(pattern, got); err != nil || !ok {
		return fmt.Errorf("got %q (%v)", got, err)
	}
	return nil
}

func (p *play) mail(want string) error {
	subs := p.w.mail()
	if len(subs) <= p.mails {
		return fmt.Errorf("there are %d transactions", len(subs))
	}
	sub := subs[p.mails]
	p.mails++
	var b strings.Builder
	fmt.Fprintf(&b, "<%s>", sub.Sender)
	for _, r := range sub.Recipients {
		fmt.Fprintf(&b, " <%s>", r)
	}
	fmt.Fprintf(&b, " %q", sub.Data)
	if b.String() != want {
		return fmt.Errorf("got %s", b.String())
	}
	return nil
}

func (p *play) record(want string) error {
	log := p.w.log()
	if len(log) <= p.records {
		return fmt.Errorf("there are %d records", len(log))
	}
	r := log[p.records].Response
	p.records++
	if got := fmt.Sprintf("%d %s %s", r.Code, r.Enhanced, r.Command); got != want {
		return fmt.Errorf("got %s", got)
	}
	return nil
}
