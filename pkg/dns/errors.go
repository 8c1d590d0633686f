package dns

import (
	"errors"
)

// Kind says what a failed lookup means.
type Kind uint8

const (
	Temporary Kind = iota // no answer, or none to be believed: try again later
	NotFound              // the name does not exist (NXDOMAIN, RFC 1035 4.1.1)
	NoData                // the name exists, without a record of this type (RFC 2308 2.2)
	Invalid               // what was asked for cannot be a name
)

func (k Kind) String() string {
	switch k {
	case NotFound:
		return "no such name (NXDOMAIN)"
	case NoData:
		return "no record of this type"
	case Invalid:
		return "not a domain name"
	}
	return "temporary failure"
}

// Error is a lookup that failed. Everything but Temporary stays true until the zone changes.
type Error struct {
	Name  string // what was asked for
	Type  string // "MX", "A", …; "" when nothing was asked
	Kind  Kind
	Cause error // what the server or the network said
}

func (e *Error) Error() string {
	s := "resolve " + e.Name
	if e.Type != "" {
		s += " " + e.Type
	}
	s += ": " + e.Kind.String()
	if e.Cause != nil {
		s += ": " + e.Cause.Error()
	}
	return s
}

func (e *Error) Unwrap() error { return e.Cause }

// IsNotFound reports that the answer was "there is no such thing": NotFound, NoData or Invalid.
func IsNotFound(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Kind != Temporary
}

// IsTemporary reports that asking again later may help. Errors of other origin (a context that ended) count.
func IsTemporary(err error) bool { return err != nil && !IsNotFound(err) }
