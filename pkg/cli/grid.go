package cli

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"iter"
	"strconv"
	"strings"
	"time"
)

// Grid prints rows whose columns are known only at run time, as Rows prints those of a struct. A value is nil, an
// int64, a float64, a string, a []byte (printed in hexadecimal), a bool or a time. Columns of one name are told apart
// in json: name, name_2.
func Grid(c *Console, titles []string, rows iter.Seq2[[]any, error]) (err error) {
	c.endProgress()
	if c.Format == JSON {
		return c.gridDocument(titles, rows)
	}
	p := newPace(c.Out)
	defer func() {
		if end := p.end(); err == nil {
			err = end
		}
	}()
	add := c.gridText(p, titles)
	if c.Format == JSONL {
		add = gridLines(p, titles)
	}
	for row, err := range rows {
		if err != nil {
			return err
		}
		if err := p.row(func() error { return add(row) }); err != nil {
			return err
		}
	}
	return nil
}

// gridDocument prints all rows as one list, if they end well.
func (c *Console) gridDocument(titles []string, rows iter.Seq2[[]any, error]) error {
	keys, all := gridKeys(titles), []byte("[")
	for row, err := range rows {
		if err != nil {
			return err
		}
		if len(all) > 1 {
			all = append(all, ',')
		}
		all = appendObject(append(all, "\n  "...), keys, row)
	}
	return c.write(append(all, "\n]\n"...))
}

func gridLines(p *pace, titles []string) func([]any) error {
	keys, line := gridKeys(titles), []byte(nil)
	return func(row []any) error {
		line = append(appendObject(line[:0], keys, row), '\n')
		_, err := p.w.Write(line)
		return err
	}
}

// gridKeys are the titles as keys of an object, with their colons.
func gridKeys(titles []string) []string {
	seen := make(map[string]int)
	keys := make([]string, len(titles))
	for i, t := range titles {
		if seen[t]++; seen[t] > 1 {
			t = fmt.Sprintf("%s_%d", t, seen[t])
		}
		keys[i] = string(appendString(nil, t)) + ":"
	}
	return keys
}

func appendObject(b []byte, keys []string, row []any) []byte {
	b = append(b, '{')
	for i, v := range row {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendValue(append(b, keys[i]...), v)
	}
	return append(b, '}')
}

func appendValue(b []byte, v any) []byte {
	switch x := v.(type) {
	case nil:
		return append(b, "null"...)
	case int64:
		return strconv.AppendInt(b, x, 10)
	case float64:
		if x-x != 0 { // infinite: JSON has no word for it
			return append(b, "null"...)
		}
		return strconv.AppendFloat(b, x, 'f', -1, 64)
	case bool:
		return strconv.AppendBool(b, x)
	case []byte:
		b = append(b, '"')
		return append(hex.AppendEncode(b, x), '"')
	case time.Time:
		return appendString(b, x.UTC().Format(time.RFC3339Nano))
	case string:
		return appendString(b, x)
	}
	return appendString(b, fmt.Sprint(v))
}

// appendString is a JSON string; most need no escapes.
func appendString(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c >= 0x7f || c == '"' || c == '\\' {
			return append(b, quoteJSON(s)...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

func quoteJSON(s string) []byte {
	var w strings.Builder
	enc := json.NewEncoder(&w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) // strings never fail
	return []byte(strings.TrimSuffix(w.String(), "\n"))
}

// gridText prints a table on a terminal, else values with tabs between them.
func (c *Console) gridText(p *pace, titles []string) func([]any) error {
	if !c.OutTTY {
		var line []byte
		return func(row []any) error {
			line = line[:0]
			for i, v := range row {
				if i > 0 {
					line = append(line, '\t')
				}
				line = append(line, gridCell(v)...)
			}
			_, err := p.w.Write(append(line, '\n'))
			return err
		}
	}
	tab := &table{c: c, w: p.w, cols: make([]column, len(titles))}
	p.show = tab.settle
	first := true
	return func(row []any) error {
		cells := make([]string, len(row))
		for i, v := range row {
			cells[i] = gridCell(v)
			if first {
				_, isInt := v.(int64)
				_, isReal := v.(float64)
				tab.cols[i] = column{title: tame(titles[i]), right: isInt || isReal, keep: len(row) == 1}
			}
		}
		first = false
		return tab.put(cells, make([]Style, len(row)))
	}
}

// gridCell is a value for people; "-" stands for nothing.
func gridCell(v any) string {
	switch x := v.(type) {
	case nil:
		return "-"
	case string:
		if x == "" {
			return "-"
		}
		return tame(x)
	case float64:
		return strconv.FormatFloat(x, 'f', -1, 64)
	}
	return strings.Trim(string(appendValue(nil, v)), `"`)
}
