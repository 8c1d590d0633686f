package mail

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// LineError is a byte that mail must not have, with the number of its line, counted from 1.
type LineError struct {
	Line int
	What string
}

func (e *LineError) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.What) }

// ToCRLF gives every line of a text from a Unix pipe the line end that mail has. A CR that does not end a line is a
// *LineError. Text that has CRLF throughout is returned as it is.
func ToCRLF(b []byte) ([]byte, error) {
	bare, line := 0, 1
	for i := 0; i < len(b); {
		j := bytes.IndexAny(b[i:], "\r\n")
		if j < 0 {
			break
		}
		i += j
		switch {
		case b[i] == '\n':
			bare++
			i++
		case i+1 < len(b) && b[i+1] == '\n':
			i += 2
		default:
			return nil, &LineError{Line: line, What: "a bare carriage return, which no mail may have"}
		}
		line++
	}
	if bare == 0 {
		return b, nil
	}
	out := make([]byte, 0, len(b)+bare)
	for len(b) > 0 {
		i := bytes.IndexByte(b, '\n')
		if i < 0 {
			return append(out, b...), nil
		}
		end := i
		if end > 0 && b[end-1] == '\r' {
			end--
		}
		out = append(append(out, b[:end]...), '\r', '\n')
		b = b[i+1:]
	}
	return out, nil
}

// Mbox reads the messages of an mbox file one by one: each begins with a line "From …" at the start of the file or
// after an empty line; a line of ">"s and "From " inside a message loses one ">" (the mboxrd form). Message is called with the number of the message's first
// line in the file; its error ends the reading. A message larger than limit bytes is an error.
func Mbox(r io.Reader, limit int, message func(line int, text []byte) error) error {
	in := bufio.NewReaderSize(r, 64<<10)
	var text []byte
	line, start, open, blank := 0, 0, false, true
	flush := func() error {
		if !open {
			return nil
		}
		if n := len(text); n >= 1 && bytes.HasSuffix(text, []byte("\n\n")) {
			text = text[:n-1] // the empty line that parts messages
		} else if bytes.HasSuffix(text, []byte("\r\n\r\n")) {
			text = text[:n-2]
		}
		return message(start, bytes.Clone(text))
	}
	for {
		l, err := in.ReadSlice('\n')
		long := err == bufio.ErrBufferFull
		if long {
			err = nil
		}
		if len(l) > 0 {
			line++
			switch {
			case blank && bytes.HasPrefix(l, []byte("From ")):
				if err := flush(); err != nil {
					return err
				}
				text, start, open = text[:0], line+1, true
				if long {
					return &LineError{Line: line, What: `the "From " line has no end`}
				}
			case !open && len(bytes.TrimSpace(l)) > 0:
				return &LineError{Line: line, What: `not an mbox: the first line must begin with "From "`}
			case open:
				if quoted := bytes.TrimLeft(l, ">"); len(quoted) < len(l) && bytes.HasPrefix(quoted, []byte("From ")) {
					l = l[1:]
				}
				text = append(text, l...)
			}
			blank = len(bytes.TrimRight(l, "\r\n")) == 0 && !long
			for long && err == nil { // the rest of a line longer than the buffer
				l, err = in.ReadSlice('\n')
				text = append(text, l...)
				if long = err == bufio.ErrBufferFull; long {
					err = nil
				}
				if len(text) > limit {
					break
				}
			}
			if len(text) > limit {
				return &LineError{Line: start, What: fmt.Sprintf("the message that begins here is larger than %d bytes", limit)}
			}
		}
		if errors.Is(err, io.EOF) {
			return flush()
		}
		if err != nil {
			return fmt.Errorf("read mbox: %w", err)
		}
	}
}
