package cli

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"iter"
	"reflect"
)

// Texter is a value that writes its own text form, where columns do not do it justice. It gets the console for its
// width, clock and colours, and writes to w only.
type Texter interface {
	WriteText(c *Console, w io.Writer) error
}

// Print prints one value: a struct (as text one line per tagged field), a slice of structs (a table), or a Texter.
// Nothing is written when it cannot be printed whole.
func (c *Console) Print(v any) error {
	c.endProgress()
	if c.Format != Text {
		return c.printJSON(v)
	}
	var b bytes.Buffer
	if t, ok := v.(Texter); ok {
		if err := t.WriteText(c, &b); err != nil {
			return err
		}
		return c.write(b.Bytes())
	}
	rv := reflect.ValueOf(v)
	switch t, isStruct := structType(rv.Type()); {
	case rv.Kind() == reflect.Slice:
		if err := writeTable(c, &b, rv.Type().Elem(), sliceRows(rv)); err != nil {
			return err
		}
	case isStruct:
		writeFields(c, &b, t, reflect.Indirect(rv))
	default:
		b.WriteString(c.cell(rv) + "\n")
	}
	return c.write(b.Bytes())
}

// Rows prints a sequence. Text and jsonl go out row by row; a json document is written when the sequence has ended
// well. The first error of the sequence ends it and is returned; rows that came before it stay printed.
func Rows[T any](c *Console, rows iter.Seq2[T, error]) error {
	c.endProgress()
	switch c.Format {
	case JSONL:
		return c.streamJSON(anyRows(rows))
	case JSON:
		all := []T{}
		for v, err := range rows {
			if err != nil {
				return err
			}
			all = append(all, v)
		}
		return c.printJSON(all)
	}
	w := bufio.NewWriter(c.Out)
	err := writeTable(c, w, reflect.TypeFor[T](), valueRows(rows))
	if ferr := w.Flush(); err == nil && ferr != nil {
		err = Failf("write to stdout: %w", ferr)
	}
	return err
}

// Live is Rows for a sequence that goes on while somebody watches: each row is shown as soon as it comes, with a
// terminal's columns as wide as the widest row so far, and json means jsonl.
func Live[T any](c *Console, rows iter.Seq2[T, error]) error {
	c.endProgress()
	if c.Format != Text {
		return c.streamJSON(anyRows(rows))
	}
	return writeTable(c, liveWriter{c.Out}, reflect.TypeFor[T](), valueRows(rows))
}

// liveWriter marks the output of Live: its tables settle at the first row.
type liveWriter struct{ io.Writer }

func valueRows[T any](rows iter.Seq2[T, error]) iter.Seq2[reflect.Value, error] {
	return func(yield func(reflect.Value, error) bool) {
		for v, err := range rows {
			if !yield(reflect.ValueOf(&v).Elem(), err) {
				return
			}
		}
	}
}

func anyRows[T any](rows iter.Seq2[T, error]) iter.Seq2[any, error] {
	return func(yield func(any, error) bool) {
		for v, err := range rows {
			if !yield(v, err) {
				return
			}
		}
	}
}

func sliceRows(v reflect.Value) iter.Seq2[reflect.Value, error] {
	return func(yield func(reflect.Value, error) bool) {
		for i := range v.Len() {
			if !yield(v.Index(i), nil) {
				return
			}
		}
	}
}

// printJSON writes one indented document, or with jsonl one line per element of a slice.
func (c *Console) printJSON(v any) error {
	if rv := reflect.ValueOf(v); c.Format == JSONL && rv.Kind() == reflect.Slice {
		return c.streamJSON(func(yield func(any, error) bool) {
			for i := range rv.Len() {
				if !yield(rv.Index(i).Interface(), nil) {
					return
				}
			}
		})
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if c.Format == JSON {
		enc.SetIndent("", "  ")
	}
	if err := enc.Encode(v); err != nil {
		return Failf("print as json: %w", err)
	}
	return c.write(b.Bytes())
}

// streamJSON writes each row as it comes, so that `log tail -f | …` sees it at once.
func (c *Console) streamJSON(rows iter.Seq2[any, error]) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	for v, err := range rows {
		if err != nil {
			return err
		}
		b.Reset()
		if err := enc.Encode(v); err != nil {
			return Failf("print as json: %w", err)
		}
		if err := c.write(b.Bytes()); err != nil {
			return err
		}
	}
	return nil
}

func (c *Console) write(b []byte) error {
	if _, err := c.Out.Write(b); err != nil {
		return Failf("write to stdout: %w", err)
	}
	return nil
}
