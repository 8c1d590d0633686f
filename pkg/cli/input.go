package cli

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"iter"
	"os"
	"strings"
)

// maxLine bounds one line of input with ids: a JSON row of any list is far shorter.
const maxLine = 1 << 20

// Open opens the file that an argument names; "-" is stdin. The caller closes it.
func (c *Console) Open(arg string) (io.ReadCloser, error) {
	if arg == "-" {
		return io.NopCloser(c.In), nil
	}
	f, err := os.Open(arg)
	if err != nil {
		return nil, Failf("%w", err)
	}
	return f, nil
}

// IDs reads ids from a stream, one per line: a bare id, the first word of a line of columns, or the "id" of a JSON
// object. Empty lines are passed over. It ends with an error at a line from which no id can be had.
func IDs(r io.Reader) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		s := bufio.NewScanner(r)
		s.Buffer(make([]byte, 0, 4096), maxLine)
		for n := 1; s.Scan(); n++ {
			line := bytes.TrimSpace(s.Bytes())
			if len(line) == 0 {
				continue
			}
			id, err := idOf(line)
			if err != nil {
				yield("", Usagef("line %d: %w", n, err))
				return
			}
			if !yield(id, nil) {
				return
			}
		}
		if err := s.Err(); err != nil {
			yield("", Failf("read ids: %w", err))
		}
	}
}

func idOf(line []byte) (string, error) {
	if line[0] != '{' {
		return strings.Fields(string(line))[0], nil
	}
	var row struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal(line, &row); err != nil {
		return "", Usagef("not a JSON object: %w", err)
	}
	if row.ID == "" {
		return "", Usagef("the JSON object has no \"id\"")
	}
	return row.ID, nil
}
