package spool_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"kumo/pkg/mail"
	"kumo/pkg/message"
	"kumo/pkg/option"
	"kumo/pkg/spool"
)

// assorted fills a spool with messages of several queues, senders and ages, and names them m0, m1 and so on.
func assorted(t testing.TB, s *spool.Spool, n int) (ids []message.ID, names map[message.ID]string) {
	t.Helper()
	next := newID()
	queues := []string{"a.test", "acme@a.test", "spring:acme@b.test", "b.test!relay.test", "o'hara@c.test"}
	names = make(map[message.ID]string)
	var ms []*message.Message
	for i := range n {
		m := newMessage(next(), strings.Repeat("x", i))
		m.Queue = queues[i%len(queues)]
		m.Sender = mail.Restore([]string{"", "news@sender.test", "Ops@sender.test"}[i%3])
		m.Recipients = []mail.Address{mail.Restore(fmt.Sprintf("r%d@a.test", i)), mail.Restore(`"x, y"@a.test`)}[:1+i%2]
		m.Created = time.Now().Add(-time.Duration(i) * time.Hour)
		m.Attempts = i % 4
		if i%4 > 0 {
			m.LastResponse = fmt.Sprintf("4%02d later", i)
		}
		ids, ms, names[m.ID] = append(ids, m.ID), append(ms, m), fmt.Sprint("m", i)
	}
	if err := s.Accept(context.Background(), "", ms...); err != nil {
		t.Fatal(err)
	}
	return ids, names
}

// matches are matches with the messages of assorted(20) that they find.
func matches(ids []message.ID) []struct {
	match spool.Match
	want  string
} {
	return []struct {
		match spool.Match
		want  string
	}{
		{spool.Match{All: true}, "m0 m1 m10 m11 m12 m13 m14 m15 m16 m17 m18 m19 m2 m3 m4 m5 m6 m7 m8 m9"},
		{spool.Match{Queues: []string{"a.test"}}, "m0 m10 m15 m5"},
		{spool.Match{Queues: []string{"a.test", "o'hara@c.test", "none"}}, "m0 m10 m14 m15 m19 m4 m5 m9"},
		{spool.Match{Queues: []string{"A.test"}}, ""},
		{spool.Match{Domain: "a.test"}, "m0 m1 m10 m11 m15 m16 m5 m6"},
		{spool.Match{Domain: "a.test", Tenant: "acme"}, "m1 m11 m16 m6"},
		{spool.Match{Tenant: "acme"}, "m1 m11 m12 m16 m17 m2 m6 m7"},
		{spool.Match{Tenant: "o'hara"}, "m14 m19 m4 m9"},
		{spool.Match{Campaign: "spring"}, "m12 m17 m2 m7"},
		{spool.Match{RoutingDomain: "relay.test"}, "m13 m18 m3 m8"},
		{spool.Match{Sender: "<>"}, "m0 m12 m15 m18 m3 m6 m9"},
		{spool.Match{Sender: "news@sender.test"}, "m1 m10 m13 m16 m19 m4 m7"},
		{spool.Match{Sender: "<news@sender.test>", Domain: "a.test"}, "m1 m10 m16"},
		{spool.Match{Recipient: "r7@a.test"}, "m7"},
		{spool.Match{Recipient: `<"x, y"@a.test>`, Queues: []string{"a.test"}}, "m15 m5"},
		{spool.Match{Recipient: "r%@a.test"}, ""},
		{spool.Match{OlderThan: option.Duration(17*time.Hour + time.Minute)}, "m18 m19"},
		{spool.Match{OlderThan: option.Duration(17*time.Hour + time.Minute), Where: "attempts = 3"}, "m19"},
		{spool.Match{Where: "attempts > 2"}, "m11 m15 m19 m3 m7"},
		{spool.Match{Where: "attempts > '2' and size < 10"}, "m3 m7"},
		{spool.Match{Where: "queue like '%@b.test'"}, "m12 m17 m2 m7"},
		{spool.Match{Where: "domain = 'a.test' or tenant = 'o''hara'"}, "m0 m1 m10 m11 m14 m15 m16 m19 m4 m5 m6 m9"},
		{spool.Match{Where: "last_response = '' and state = 'scheduled'", OlderThan: option.Duration(7 * time.Hour)}, "m12 m16 m8"},
		{spool.Match{Where: "last_response glob '*13*'"}, "m13"},
		{spool.Match{Where: "created < unixepoch() - 3600 * 17 - 60"}, "m18 m19"},
		{spool.Match{Where: "due <= unixepoch() + 1 and size = 3"}, "m3"},
		{spool.Match{Where: "json_array_length(recipients) = 2 and size < 4"}, "m1 m3"},
		{spool.Match{Where: `exists (select 1 from json_each(recipients) where value like 'r1%')`}, "m1 m10 m11 m12 m13 m14 m15 m16 m17 m18 m19"},
		{spool.Match{Where: "id = '" + ids[3].String() + "'"}, "m3"},
		{spool.Match{Where: "held_by <> ''"}, ""},
		{spool.Match{Where: `"size" between 3 and 4`}, "m3 m4"},
		{spool.Match{ByID: true}, "m2 m5"},
		{spool.Match{ByID: true, Queues: []string{"a.test"}}, "m5"},
		{spool.Match{ByID: true, Sender: "<>"}, ""},
		{spool.Match{ByID: true, Where: "size = 2"}, "m2"},
	}
}

func byID(m spool.Match, ids []message.ID) []message.ID {
	if !m.ByID {
		return nil
	}
	return []message.ID{ids[2], ids[5], {1, 2, 3}}
}

func namesOf(found []message.ID, names map[message.ID]string) string {
	set := make(map[string]bool)
	for _, id := range found {
		set[names[id]] = true
	}
	return strings.Join(slices.Sorted(maps.Keys(set)), " ")
}

// TestReadersMatch lists by match: rows of the index, and messages that only the log has.
func TestReadersMatch(t *testing.T) {
	dir := t.TempDir()
	s := openIndexed(t, dir)
	ids, names := assorted(t, s, 20)
	written(t, dir, 20)
	check := func(t *testing.T) {
		r, err := spool.OpenReader(context.Background(), dir)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		for _, c := range matches(ids) {
			var found []message.ID
			n, bytes, want := 0, int64(0), spool.Filter{Match: c.match, IDs: byID(c.match, ids)}
			err := r.List(context.Background(), want, func(row spool.Row) error {
				found, n, bytes = append(found, row.ID), n+1, bytes+int64(row.Size)
				return nil
			})
			if got := namesOf(found, names); err != nil || got != c.want {
				t.Errorf("%+v: %s, want %s (%v)", c.match, got, c.want, err)
			}
			sums, err := r.Summary(context.Background(), want)
			for _, q := range sums {
				n, bytes = n-q.Messages, bytes-q.Bytes
			}
			if n != 0 || bytes != 0 || err != nil {
				t.Errorf("%+v: summary %+v is %d messages and %d bytes short (%v)", c.match, sums, n, bytes, err)
			}
		}
	}
	t.Run("daemon", check)
	_ = s.Close()
	t.Run("index", check)
	remove(t, dir, "index.db")
	t.Run("log", check)
}

// found are the messages that the owner's Match gives.
func found(t testing.TB, s *spool.Spool, m spool.Match, ids []message.ID) []message.ID {
	t.Helper()
	var out []message.ID
	err := s.Match(context.Background(), m, ids, func(page []message.ID) error {
		if len(page) == 0 || len(page) > 10_000 {
			t.Errorf("a page of %d ids", len(page))
		}
		out = append(out, page...)
		return nil
	})
	if err != nil {
		t.Errorf("%+v: %v", m, err)
	}
	return out
}

// TestOwnersMatch finds the same: for messages that the index does not have yet, that it has, that changed since, and
// with an index that is of no use.
func TestOwnersMatch(t *testing.T) {
	dir := t.TempDir()
	s := openIndexed(t, dir)
	defer func() { _ = s.Close() }()
	ids, names := assorted(t, s, 20)
	check := func(t *testing.T) {
		for _, c := range matches(ids) {
			got := found(t, s, c.match, byID(c.match, ids))
			if namesOf(got, names) != c.want || len(got) != len(strings.Fields(c.want)) {
				t.Errorf("%+v: %d messages, %s, want %s", c.match, len(got), namesOf(got, names), c.want)
			}
		}
	}
	if n := len(found(t, s, spool.Match{}, nil)); n != 0 {
		t.Errorf("a match without anything finds %d messages", n)
	}
	t.Run("at once", check)
	written(t, dir, 20)
	t.Run("indexed", check)
	m, err := s.Load(ids[3])
	if err != nil {
		t.Fatal(err)
	}
	m.LastResponse, m.Queue = "not what it was", "elsewhere.test"
	if err := s.Update(m); err != nil {
		t.Fatal(err)
	}
	if got := namesOf(found(t, s, spool.Match{Where: "last_response like 'not what%' and queue = 'elsewhere.test'"}, nil), names); got != "m3" {
		t.Errorf("a change is not seen at once: %s", got)
	}
	if got := namesOf(found(t, s, spool.Match{Where: "size = 3 and queue <> 'elsewhere.test'"}, nil), names); got != "" {
		t.Errorf("what a message was is found: %s", got)
	}
	m.LastResponse, m.Queue = "403 later", "b.test!relay.test"
	if err := s.Update(m); err != nil {
		t.Fatal(err)
	}
	t.Run("changed", check)
	if err := s.End(ids[19], spool.EndDelivered); err != nil {
		t.Fatal(err)
	}
	if got := found(t, s, spool.Match{Where: "size >= 18"}, nil); namesOf(got, names) != "m18" {
		t.Errorf("ended: %s", namesOf(got, names))
	}
	_ = s.Close()
	s, err = spool.Open(context.Background(), spool.Config{Dir: dir, Log: quiet, NoIndex: true})
	if err != nil {
		t.Fatal(err)
	}
	if got := found(t, s, spool.Match{Where: "size >= 18"}, nil); namesOf(got, names) != "m18" {
		t.Errorf("without an index: %s", namesOf(got, names))
	}
}

// TestBadConditions: the error names the column, or the place.
func TestBadConditions(t *testing.T) {
	dir := t.TempDir()
	s := openIndexed(t, dir)
	defer s.Close()
	assorted(t, s, 3)
	r, err := spool.OpenReader(context.Background(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for where, want := range map[string]string{
		"":                             "no condition",
		"  ":                           "no condition",
		"quue = 'x'":                   "no column quue, did you mean queue?",
		`queue = "x"`:                  "no column x (text stands in '…'); the columns are id, queue",
		"messages.id = 'x'":            "messages.id",
		"1; delete from message":       "one expression",
		"1) union select id_ from (1":  "no ( for the )",
		"((1)":                         "1 of its ( are not closed",
		"1 -- x":                       "no comments",
		"1 /* x":                       "no comments",
		"queue = 'x":                   "does not end",
		"queue = ?":                    "no parameters",
		"queue = :x":                   "no parameters",
		"queue = ":                     "syntax error",
		"sum(size) > 3":                "misuse of aggregate",
		"(select 1 union select queu)": "no column queu, did you mean queue?",
		"size > (select max(size) from messages)":                                         "cannot read the table messages",
		"exists (select 1 from message)":                                                  "cannot read the table message",
		"exists (select 1 from sqlite_schema)":                                            "can read nothing else",
		"exists (select 1 from pragma_table_info('x'))":                                   "",
		"(with recursive x(n) as (select 1 union all select n+1 from x) select 1 from x)": "",
		"nosuch(id)":                      "no such function: nosuch",
		"load_extension('x')":             "",
		strings.Repeat("(", 17000):        "longer than",
		strings.Repeat("not ", 900) + "1": "too large",
		"size = 1 limit 3":                "syntax error",
		"queue match 'x'":                 "",
		"id = x'00' collate nosuch":       "",
	} {
		n := 0
		err := r.List(context.Background(), spool.Filter{Match: spool.Match{Where: where}}, func(spool.Row) error {
			n++
			return nil
		})
		var bad *spool.WhereError
		if where == "" { // no condition at all
			err = spool.CheckWhere(context.Background(), where)
		}
		if !errors.As(err, &bad) || !strings.Contains(bad.Msg, want) || n != 0 && where != "" {
			t.Errorf("where %.60q: %d rows, %v; want an error with %q", where, n, err, want)
		}
	}
}
