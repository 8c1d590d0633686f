package journal

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"kumo/pkg/mail"
	"kumo/pkg/message"
	"kumo/pkg/option"
)

// texts is what the segments of dir hold, by suffix.
func texts(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, path := range segments(t, dir) {
		suffix, _ := segmentSuffix(filepath.Base(path))
		c, err := openCursor(path, func(err error) { t.Error(err) })
		if err != nil {
			t.Fatal(err)
		}
		for line, ok := c.next(); ok; line, ok = c.next() {
			out[suffix] += string(line) + "\n"
		}
		c.close()
	}
	return out
}

func TestTemplatesReplaceRecords(t *testing.T) {
	dir := t.TempDir()
	j := openTest(t, FileOptions{
		LogDir: dir, Headers: []string{"X-*"}, Meta: []string{"tenant"},
		PerRecord: map[string]PerRecord{
			"Delivery": {Enable: true, Suffix: ".csv", SegmentHeader: "id,code,x", Template: "{{ id }},{{ response.code }},{{ headers['x-mailer'] }},{{ meta.tenant }}"},
			"Bounce":   {Enable: true, Suffix: "_b", SegmentHeader: "# bounces\n", Template: "{% if response.code == 550 %}gone{% endif %}"},
			"Delayed":  {Enable: true, Suffix: "_d", Template: "{{ response.missing.deep if response.code == 451 else 'fine' }}"},
			"Any":      {Enable: true, Suffix: "_all", Template: "{{ log_record|tojson }}"},
		},
	})
	r := delivery()
	r.Msg = &message.Message{ID: message.ID{7}, Meta: message.NewMeta(nil), Recipients: []mail.Address{mail.Restore("a@b")}}
	r.Msg.Meta.Set("tenant", "acme")
	r.Msg.SetData([]byte("X-Mailer: it's\r\n\r\n"))
	for typ, code := range map[Type]int{Delivery: 250, Bounce: 550, Expiration: 551, Delayed: 451} {
		r.Type, r.Response.Code, r.Response.Text = typ, code, "no\r\nway"
		j.Record(r)
	}
	r.Type, r.Response.Code = Bounce, 551
	j.Record(r)
	if err := errors.Join(j.Flush(), j.Close()); err != nil {
		t.Fatal(err)
	}
	got := texts(t, dir)
	id := r.Msg.ID.String()
	if want := "id,code,x\n" + id + ",250,it's,acme\n"; got[".csv"] != want {
		t.Errorf("Delivery: %q, want %q", got[".csv"], want)
	}
	if want := "# bounces\ngone\n"; got["_b"] != want {
		t.Errorf("Bounce: %q, want %q", got["_b"], want)
	}
	if !strings.HasPrefix(got["_d"], `{"type":"Delayed"`) {
		t.Errorf("a template that fails: %q, want the record", got["_d"])
	}
	if !strings.HasPrefix(got["_all"], `{"type":"Expiration","id":"`+id+`","sender":`) || !strings.HasSuffix(got["_all"], `"headers":{"x-mailer":"it\u0027s"}}`+"\n") {
		t.Errorf("the whole record: %q", got["_all"])
	}
}

func TestEachSegmentHasItsHeader(t *testing.T) {
	dir := t.TempDir()
	per := PerRecord{Enable: true, SegmentHeader: "head", Template: "{{ num_attempts }}"}
	j := openTest(t, FileOptions{LogDir: dir, MaxFileSize: 7, PerRecord: map[string]PerRecord{AnyType: per}})
	for i := range 3 {
		j.Record(numbered(i))
		if err := j.Flush(); err != nil {
			t.Fatal(err)
		}
		if i == 1 { // somebody takes the segment away: the next one begins with the header, too
			if err := os.Remove(segments(t, dir)[len(segments(t, dir))-1]); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, path := range segments(t, dir) {
		c, err := openCursor(path, func(err error) { t.Error(err) })
		if err != nil {
			t.Fatal(err)
		}
		line, _ := c.next()
		all = append(all, string(line))
		c.close()
	}
	if len(all) < 2 || slices.ContainsFunc(all, func(s string) bool { return s != "head" }) {
		t.Errorf("segments begin with %q", all)
	}
}

func TestTemplateMistakesNameOptionAndLine(t *testing.T) {
	for text, want := range map[string]string{
		"a\n{{ nope( }}":                  "per_record.Bounce.template: line 2: ",
		"{{ id|nope }}":                   `per_record.Bounce.template: line 1: there is no filter "nope"`,
		"{% include '/etc/passwd' %}":     "per_record.Bounce.template: line 1: include: templates read no files",
		"{{ id }}\n\n{{ timestamp % 0 }}": "divide by zero",
	} {
		_, err := option.SchemaOf[FileOptions]().Resolve("configure_local_logs", option.NewLayer(map[string]any{
			"log_dir": "/log", "per_record": map[string]any{"Bounce": map[string]any{"template": text}},
		}, option.Origin{Kind: option.KindLua, At: "init.lua:3"}))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

type sieve struct {
	asked []string
	err   error
}

func (s *sieve) Wants(event string, m *message.Message) (bool, error) {
	s.asked = append(s.asked, event+" "+m.Meta.String("tenant"))
	return m.Meta.String("tenant") == "acme", s.err
}

func TestFilterEvent(t *testing.T) {
	dir, all := t.TempDir(), t.TempDir()
	filter := &sieve{}
	var said bytes.Buffer
	j, err := Open(Config{
		Files:  []FileOptions{{LogDir: dir, FilterEvent: "mine", MinFreeSpace: Floor{}}, {LogDir: all}},
		Filter: filter, Log: slog.New(slog.NewTextHandler(&said, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	record := func(typ Type, n int, tenant string) {
		r := Record{Type: typ, Attempts: n}
		if tenant != "" {
			r.Msg = &message.Message{ID: message.ID{1}, Meta: message.NewMeta(nil)}
			r.Msg.Meta.Set("tenant", tenant)
		}
		j.Record(&r)
	}
	record(Delivery, 1, "acme")
	record(Delivery, 2, "other")
	record(Rejection, 3, "") // about no message
	filter.err = errors.New("line 7: boom")
	record(Delivery, 4, "other") // a fact is not dropped because a filter failed
	record(Delivery, 5, "other")
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	numbers := func(dir string) (n []int) {
		for _, e := range readAll(t, dir) {
			n = append(n, e.Attempts)
		}
		return n
	}
	if got := fmt.Sprint(numbers(dir), numbers(all)); got != "[1 3 4 5] [1 2 3 4 5]" {
		t.Errorf("records %s", got)
	}
	if len(filter.asked) != 4 || filter.asked[0] != "mine acme" {
		t.Errorf("asked %q", filter.asked)
	}
	if strings.Count(said.String(), "boom") != 1 {
		t.Errorf("the failure is told %d times: %s", strings.Count(said.String(), "boom"), said.String())
	}
}

func TestCompressionLevels(t *testing.T) {
	size := map[int]int64{}
	for _, level := range []int{0, 1, 3, 9, 21} {
		dir := t.TempDir()
		j := openTest(t, FileOptions{LogDir: dir, CompressionLevel: level})
		r := delivery()
		for i := range 500 {
			r.Attempts, r.Time = i, r.Time.Add(time.Second)
			j.Record(r)
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		wantNumbers(t, dir, 500)
		info, err := os.Stat(segments(t, dir)[0])
		if err != nil {
			t.Fatal(err)
		}
		size[level] = info.Size()
	}
	if size[0] != size[3] || size[1] == size[3] || size[21] == size[3] {
		t.Errorf("sizes by level: %v; want 0 to be 3, and the others to differ", size)
	}
	if _, err := option.SchemaOf[FileOptions]().Resolve("x", option.NewLayer(map[string]any{"log_dir": "/l", "compression_level": int64(22)}, option.Origin{})); err == nil {
		t.Error("level 22 is taken")
	}
}

func BenchmarkTemplate(b *testing.B) {
	t, err := compile("{{ timestamp }},{{ id }},{{ sender }},{{ recipient }},{{ response.code }}")
	if err != nil {
		b.Fatal(err)
	}
	l := &logger{}
	line := encode(delivery(), nil, nil)
	b.ReportAllocs()
	for b.Loop() {
		if len(l.render(t, line)) == 0 {
			b.Fatal("nothing")
		}
	}
}
