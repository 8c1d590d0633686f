package node

import (
	"errors"
	"fmt"

	"kumo/pkg/mail"
)

// Letter is a message from a pipe with the envelope that it will have.
type Letter struct {
	Sender     mail.Address
	Recipients []mail.Address
	Data       []byte // CRLF line ends, no Bcc
}

// Limits for letters, the same as a listener's defaults.
const (
	MaxLetter     = 20 << 20 // bytes of one letter
	maxRecipients = 1024
)

// ReadLetter makes a letter of the bytes that came through a pipe. Without from the sender is that of the Sender or
// From header; without to the recipients are those of To, Cc and Bcc. Bcc is taken out. Line ends become CRLF; a bare
// CR is a *mail.LineError.
func ReadLetter(text []byte, from string, to []string) (*Letter, error) {
	data, err := mail.ToCRLF(text)
	if err != nil {
		return nil, err
	}
	if len(data) > MaxLetter {
		return nil, fmt.Errorf("the message has %d bytes, and %d are the limit", len(data), MaxLetter)
	}
	l := &Letter{}
	if l.Sender, err = letterSender(data, from); err != nil {
		return nil, err
	}
	if l.Recipients, err = letterRecipients(data, to); err != nil {
		return nil, err
	}
	l.Data = mail.Remove(data, "Bcc")
	return l, nil
}

// letterSender takes "<>" as the null sender. A message without a sender anywhere has it, too.
func letterSender(data []byte, from string) (mail.Address, error) {
	if from == "<>" {
		return mail.Address{}, nil
	}
	if from != "" {
		a, err := mail.ParseAddress(from, true)
		if err != nil {
			return a, fmt.Errorf("--from %s: %w", from, err)
		}
		return a, nil
	}
	for _, name := range []string{"Sender", "From"} {
		f, ok := mail.First(data, name)
		if !ok {
			continue
		}
		list, err := mail.ParseAddressList(f.Value)
		if err != nil {
			return mail.Address{}, fmt.Errorf("header %s: %w", name, err)
		}
		if boxes := mail.Addresses(list); len(boxes) > 0 {
			return boxes[0].Address, nil
		}
	}
	return mail.Address{}, nil
}

func letterRecipients(data []byte, to []string) ([]mail.Address, error) {
	var out []mail.Address
	seen := make(map[mail.Address]bool)
	add := func(a mail.Address) {
		if !seen[a] && !a.IsNull() {
			seen[a] = true
			out = append(out, a)
		}
	}
	for _, s := range to {
		a, err := mail.ParseAddress(s, true)
		if err != nil {
			return nil, fmt.Errorf("--to %s: %w", s, err)
		}
		add(a)
	}
	if len(to) == 0 {
		for _, name := range []string{"To", "Cc", "Bcc"} {
			for f := range mail.All(data, name) {
				list, err := mail.ParseAddressList(f.Value)
				if err != nil {
					return nil, fmt.Errorf("header %s: %w", name, err)
				}
				for _, box := range mail.Addresses(list) {
					add(box.Address)
				}
			}
		}
	}
	switch {
	case len(out) == 0:
		return nil, errors.New("no recipient: name one with --to, or in a To, Cc or Bcc header")
	case len(out) > maxRecipients:
		return nil, fmt.Errorf("%d recipients, and %d are the limit of one message", len(out), maxRecipients)
	}
	return out, nil
}
