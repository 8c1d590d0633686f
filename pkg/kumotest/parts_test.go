package kumotest

import (
	"net/smtp"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const letter = "From: a@example.com\r\nTo: b@postfix.test\r\nSubject: parts\r\n\r\nhello\r\n"

func TestPostfixFilesMail(t *testing.T) {
	p := StartPostfix(t, "postfix.test")
	if err := smtp.SendMail(p.Addr, nil, "a@example.com", []string{"b@postfix.test"}, []byte(letter)); err != nil {
		t.Fatal(err)
	}
	if got := p.Mail(t, 1)[0]; !strings.Contains(got, "Subject: parts\n") {
		t.Errorf("filed:\n%s", got)
	}
}

func TestSMTPSinkTakesMail(t *testing.T) {
	dir := t.TempDir()
	addr := StartSMTPSink(t, dir)
	if err := smtp.SendMail(addr, nil, "a@example.com", []string{"b@sink.test"}, []byte(letter)); err != nil {
		t.Fatal(err)
	}
	names, _ := filepath.Glob(filepath.Join(dir, "mail-*"))
	if len(names) != 1 {
		t.Fatalf("smtp-sink wrote %v", names)
	}
	b, err := os.ReadFile(names[0])
	if err != nil || !strings.Contains(string(b), "Subject: parts") {
		t.Errorf("smtp-sink wrote %q, %v", b, err)
	}
}

func TestSinkKeepsMail(t *testing.T) {
	s := NewSink(t, true)
	if err := smtp.SendMail(s.Addr, nil, "a@example.com", []string{"b@sink.test"}, []byte(letter)); err == nil {
		t.Error("net/smtp took a certificate that nobody signed")
	}
	plain := NewSink(t, false)
	if err := smtp.SendMail(plain.Addr, nil, "a@example.com", []string{"b@sink.test"}, []byte(letter)); err != nil {
		t.Fatal(err)
	}
	if m := plain.Wait(t, 1)[0]; m.From != "a@example.com" || string(m.Data) != letter {
		t.Errorf("kept %+v", m)
	}
}

func TestNSDAnswers(t *testing.T) {
	StartNSD(t, "test.", "$ORIGIN test.\n$TTL 30\n@ SOA ns host 1 3600 600 86400 30\n@ NS ns\nns A 127.0.0.1\n")
}
