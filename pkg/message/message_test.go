package message

import (
	"encoding/json"
	"errors"
	"regexp"
	"testing"
	"time"

	"kumo/pkg/mail"
)

func TestQueueNames(t *testing.T) {
	for _, c := range []struct {
		text  string
		name  QueueName
		again string
	}{
		{"example.com", QueueName{Domain: "example.com"}, "example.com"},
		{"acme@example.com", QueueName{Tenant: "acme", Domain: "example.com"}, "acme@example.com"},
		{"spring:acme@example.com", QueueName{Campaign: "spring", Tenant: "acme", Domain: "example.com"}, "spring:acme@example.com"},
		{"spring:@example.com", QueueName{Campaign: "spring", Domain: "example.com"}, "spring:@example.com"},
		{"acme@example.com!relay.test:2025", QueueName{Tenant: "acme", Domain: "example.com", RoutingDomain: "relay.test:2025"}, "acme@example.com!relay.test:2025"},
		{"a:b:c@d@e!f!g", QueueName{Campaign: "a", Tenant: "b:c", Domain: "d@e", RoutingDomain: "f!g"}, "a:b:c@d@e!f!g"},
		{"", QueueName{}, ""},
	} {
		if got := ParseQueueName(c.text); got != c.name {
			t.Errorf("ParseQueueName(%q) = %+v, want %+v", c.text, got, c.name)
		}
		if got := c.name.String(); got != c.again {
			t.Errorf("%+v prints %q, want %q", c.name, got, c.again)
		}
	}
}

func TestQueueNameOfMessage(t *testing.T) {
	for _, c := range []struct {
		meta map[string]any
		want string
	}{
		{nil, "example.com"},
		{map[string]any{"tenant": "acme"}, "acme@example.com"},
		{map[string]any{"campaign": "spring"}, "spring:@example.com"},
		{map[string]any{"campaign": "spring", "tenant": "acme", "routing_domain": "mx.test"}, "spring:acme@example.com!mx.test"},
		{map[string]any{"queue": "elsewhere.test", "tenant": "acme"}, "elsewhere.test"},
		{map[string]any{"tenant": 7}, "example.com"}, // not a string: as if it were not there
	} {
		m := &Message{Recipients: []mail.Address{mail.Restore("Someone@EXAMPLE.com")}, Meta: NewMeta(nil)}
		for k, v := range c.meta {
			m.Meta.Set(k, v)
		}
		if got := m.QueueName(); got != c.want {
			t.Errorf("with %v: queue %q, want %q", c.meta, got, c.want)
		}
	}
}

func TestIDsStayUniqueWhenTheClockSteps(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	src := NewIDSource(func() time.Time { return now })
	seen := make(map[ID]bool)
	for i := range 1_000_000 {
		switch i {
		case 200_000:
			now = now.Add(-365 * 24 * time.Hour)
		case 400_000:
			now = now.Add(2 * 365 * 24 * time.Hour)
		case 600_000:
			now = time.Date(2106, 2, 7, 6, 28, 16, 0, time.UTC)
		case 800_000:
			now = time.Date(1990, 1, 1, 0, 0, 0, 0, time.UTC)
		}
		id := src.Next()
		if seen[id] {
			t.Fatalf("id %s was given twice, at %d", id, i)
		}
		seen[id] = true
	}
}

func TestIDText(t *testing.T) {
	at := time.Date(2026, 11, 20, 13, 0, 0, 123456700, time.UTC)
	id := NewIDSource(func() time.Time { return at }).Next()
	if !id.Time().Equal(at) {
		t.Errorf("id of %s says %s", at, id.Time().UTC())
	}
	back, err := ParseID(id.String())
	if err != nil || back != id {
		t.Errorf("ParseID(%s) = %s, %v", id, back, err)
	}
	if id[6]>>4 != 1 || id[8]>>6 != 2 {
		t.Errorf("%s is not a version 1 UUID", id)
	}
	for _, bad := range []string{"", "xyz", id.String() + "0", id.String()[1:], "zz" + id.String()[2:]} {
		if _, err := ParseID(bad); err == nil {
			t.Errorf("ParseID(%q) took it", bad)
		}
	}
}

func TestMetaOnABase(t *testing.T) {
	base := NewMeta(nil)
	base.Set("hostname", "mx.test")
	base.Set("received_from", "127.0.0.1:9")
	m := NewMeta(base)
	m.Set("tenant", "acme")
	m.Set("received_from", nil)
	if m.String("hostname") != "mx.test" || m.String("tenant") != "acme" || m.Get("received_from") != nil {
		t.Errorf("layers do not show through: %v", m.All())
	}
	b, err := json.Marshal(m)
	if err != nil || string(b) != `{"hostname":"mx.test","tenant":"acme"}` {
		t.Errorf("json %s, %v", b, err)
	}
	if base.String("received_from") == "" {
		t.Error("the base was changed")
	}
	var back Meta
	if err := json.Unmarshal([]byte(`{"n":3,"f":1.5,"deep":{"list":[1,"x",null]}}`), &back); err != nil {
		t.Fatal(err)
	}
	if back.Get("n") != int64(3) || back.Get("f") != 1.5 {
		t.Errorf("numbers came back as %#v, %#v", back.Get("n"), back.Get("f"))
	}
	var none *Meta
	if none.Get("x") != nil || none.Len() != 0 || len(none.All()) != 0 {
		t.Error("a nil Meta is not empty")
	}
}

type shelf map[ID][]byte

func (s shelf) Body(id ID) ([]byte, error) {
	if b, ok := s[id]; ok {
		return b, nil
	}
	return nil, errors.New("gone")
}

func TestBodyComesBack(t *testing.T) {
	m := &Message{ID: ID{1}}
	m.SetData([]byte("Subject: x\r\n\r\nhello\r\n"))
	m.Shrink()
	if !m.InMemory() {
		t.Fatal("a body that nobody else has was dropped")
	}
	m.SetLoader(shelf{m.ID: []byte("Subject: x\r\n\r\nhello\r\n")})
	m.Shrink()
	if m.InMemory() {
		t.Fatal("Shrink kept the body")
	}
	if b, err := m.Data(); err != nil || len(b) != m.Size {
		t.Errorf("Data() = %q, %v", b, err)
	}
	m.ID = ID{2}
	m.Shrink()
	if _, err := m.Data(); err == nil {
		t.Error("a lost body was not reported")
	}
}

func BenchmarkNextID(b *testing.B) {
	src := NewIDSource(time.Now)
	b.ReportAllocs()
	for b.Loop() {
		src.Next()
	}
}

func BenchmarkQueueName(b *testing.B) {
	base := NewMeta(nil)
	base.Set("hostname", "mx.test")
	m := &Message{Recipients: []mail.Address{mail.Restore("someone@example.com")}, Meta: NewMeta(base)}
	m.Meta.Set("tenant", "acme")
	b.ReportAllocs()
	for b.Loop() {
		_ = m.QueueName()
	}
}

func TestMetaFreeze(t *testing.T) {
	conn := NewMeta(nil)
	conn.Set("hostname", "a")
	first := NewMeta(conn)
	conn.Set("hostname", "b")
	second := NewMeta(conn)
	if first.String("hostname") != "a" || second.String("hostname") != "b" {
		t.Errorf("got %q and %q: a base that changes must not change what stands on it", first.String("hostname"), second.String("hostname"))
	}
	once := conn.Freeze()
	if again := conn.Freeze(); again != once || again.Freeze() != once {
		t.Error("freezing unchanged metadata makes a new view")
	}
	defer func() {
		if recover() == nil {
			t.Error("frozen metadata can be changed")
		}
	}()
	conn.Freeze().Set("x", 1)
}

func TestSessionIDs(t *testing.T) {
	form := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	seen := map[string]bool{}
	for range 1000 {
		id := NewSessionID()
		if !form.MatchString(id) || seen[id] {
			t.Fatalf("session id %s: want a version 4 UUID of its own", id)
		}
		seen[id] = true
	}
}
