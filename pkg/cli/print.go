package cli

import (
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

// Rows prints a sequence. Text and jsonl go out as they come: in big pieces while rows follow each other, and at once
// when nothing follows for a moment, so that a stream can be watched. A json document is written when the sequence has
// ended well. The first error of the sequence ends it and is returned; rows that came before it stay printed.
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
	return writeTable(c, c.Out, reflect.TypeFor[T](), func(yield func(reflect.Value, error) bool) {
		for v, err := range rows {
			if !yield(reflect.ValueOf(&v).Elem(), err) {
				return
			}
		}
	})
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

func (c *Console) streamJSON(rows iter.Seq2[any, error]) (err error) {
	p := newPace(c.Out)
	defer func() {
		if end := p.end(); err == nil {
			err = end
		}
	}()
	enc := json.NewEncoder(p.w)
	enc.SetEscapeHTML(false)
	for v, err := range rows {
		if err != nil {
			return err
		}
		if err := p.row(func() error { return enc.Encode(v) }); err != nil {
			return Failf("print as json: %w", err)
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
