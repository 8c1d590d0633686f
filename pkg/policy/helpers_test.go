package policy

import (
	"context"
	"io"
	"testing"
	"time"

	"kumo/pkg/mail"
	"kumo/pkg/message"
	"kumo/pkg/option"
)

func fixedClock() time.Time { return time.Date(2026, 11, 20, 13, 0, 0, 0, time.UTC) }

// load is a policy from text; kumo is required already.
func load(t testing.TB, src string, change ...func(*Options)) *Policy {
	t.Helper()
	p, err := tryLoad(src, change...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

func tryLoad(src string, change ...func(*Options)) (*Policy, error) {
	opt := Options{
		Name: "init.lua", Source: []byte("local kumo = require 'kumo' " + src), Version: "test", Print: io.Discard,
		StateDir: "/state", HTTPListener: func(option.Layer) error { return nil },
	}
	for _, c := range change {
		c(&opt)
	}
	return Load(context.Background(), opt)
}

// newMessage is a message with one recipient.
func newMessage(headers string) *message.Message {
	m := &message.Message{
		ID:     message.NewIDSource(fixedClock).Next(),
		Sender: mail.Restore("me@example.org"), Recipients: []mail.Address{mail.Restore("you@example.com")},
		Meta: message.NewMeta(nil),
	}
	m.SetData([]byte(headers + "\r\nbody\r\n"))
	return m
}

const spools = ` kumo.define_spool { name = 'data', path = '/data' } kumo.define_spool { name = 'meta', path = '/meta' } `
