package cli

import (
	"fmt"
	"io"
	"iter"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"
)

// sampleRows is how many rows a terminal table looks at, unless they come slowly, before it settles the widths of its
// columns.
const sampleRows = 200

const gap = "  "

// writeTable prints rows as a table on a terminal, with tabs elsewhere.
func writeTable(c *Console, w io.Writer, row reflect.Type, rows iter.Seq2[reflect.Value, error]) (err error) {
	p := newPace(w)
	defer func() {
		if end := p.end(); err == nil {
			err = end
		}
	}()
	add := rowWriter(c, p, row)
	for v, err := range rows {
		if err != nil {
			return err
		}
		if err := p.row(func() error { return add(reflect.Indirect(v)) }); err != nil {
			return err
		}
	}
	return nil
}

// rowWriter chooses how a row becomes text.
func rowWriter(c *Console, p *pace, row reflect.Type) func(reflect.Value) error {
	t, ok := structType(row)
	if !ok {
		return func(v reflect.Value) error {
			_, err := p.w.WriteString(c.cell(v) + "\n")
			return err
		}
	}
	cols := c.shown(columnsOf(t))
	if !c.OutTTY {
		return func(v reflect.Value) error { return writeTabs(c, p.w, cols, v) }
	}
	tab := &table{c: c, w: p.w, cols: cols}
	p.show = tab.settle
	return tab.add
}

// shown are the columns that have a place where the output goes.
func (c *Console) shown(cols []column) []column {
	return slices.DeleteFunc(cols, func(col column) bool {
		return (col.wide && c.OutTTY && c.Width < wideTerminal) || (col.drawn && !c.OutTTY)
	})
}

func writeTabs(c *Console, w io.Writer, cols []column, v reflect.Value) error {
	var b strings.Builder
	for i, col := range cols {
		if i > 0 {
			b.WriteByte('\t')
		}
		b.WriteString(c.cell(v.FieldByIndex(col.index)))
	}
	b.WriteByte('\n')
	_, err := io.WriteString(w, b.String())
	return err
}

// table holds the first rows until the widths are known.
type table struct {
	c       *Console
	w       io.Writer
	cols    []column
	held    [][]string
	styles  [][]Style
	widths  []int
	settled bool
	err     error
}

func (t *table) add(v reflect.Value) error {
	cells := make([]string, len(t.cols))
	styles := make([]Style, len(t.cols))
	for i, col := range t.cols {
		f := v.FieldByIndex(col.index)
		cells[i] = t.c.cell(f)
		if s, ok := f.Interface().(Styler); ok {
			styles[i] = s.Style()
		}
	}
	return t.put(cells, styles)
}

// put adds a row of texts.
func (t *table) put(cells []string, styles []Style) error {
	if t.settled {
		t.widen(cells)
		t.line(cells, styles)
		return t.err
	}
	t.held = append(t.held, cells)
	t.styles = append(t.styles, styles)
	if len(t.held) >= sampleRows {
		t.settle()
	}
	return t.err
}

// settle fixes the widths and prints the header and the rows that were held. An empty table prints nothing.
func (t *table) settle() {
	if t.settled || len(t.held) == 0 {
		return
	}
	t.settled = true
	t.widths = make([]int, len(t.cols))
	for i, col := range t.cols {
		t.widths[i] = utf8.RuneCountInString(col.title)
		for _, cells := range t.held {
			t.widths[i] = max(t.widths[i], utf8.RuneCountInString(cells[i]))
		}
	}
	t.fit()
	titles := make([]string, len(t.cols))
	bold := make([]Style, len(t.cols))
	for i, col := range t.cols {
		titles[i], bold[i] = col.title, Strong
	}
	t.line(titles, bold)
	for i, cells := range t.held {
		t.line(cells, t.styles[i])
	}
	t.held, t.styles = nil, nil
}

// widen lets the columns grow with later rows, as far as the terminal allows.
func (t *table) widen(cells []string) {
	for i, s := range cells {
		t.widths[i] = max(t.widths[i], utf8.RuneCountInString(s))
	}
	t.fit()
}

// fit takes from the widest column that may be clipped until the table fits the terminal.
func (t *table) fit() {
	const least = 8
	total := (len(t.cols) - 1) * len(gap)
	for _, w := range t.widths {
		total += w
	}
	for total > t.c.Width {
		widest := -1
		for i, w := range t.widths {
			if !t.cols[i].keep && w > least && (widest < 0 || w > t.widths[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			return
		}
		t.widths[widest]--
		total--
	}
}

func (t *table) line(cells []string, styles []Style) {
	var b strings.Builder
	for i, s := range cells {
		if i > 0 {
			b.WriteString(gap)
		}
		if !t.cols[i].keep {
			s = clip(s, t.widths[i])
		}
		pad := strings.Repeat(" ", max(0, t.widths[i]-utf8.RuneCountInString(s)))
		painted := t.c.paint(s, styles[i], true)
		switch {
		case t.cols[i].right:
			b.WriteString(pad + painted)
		case i == len(cells)-1:
			b.WriteString(painted)
		default:
			b.WriteString(painted + pad)
		}
	}
	b.WriteByte('\n')
	if _, err := io.WriteString(t.w, b.String()); err != nil && t.err == nil {
		t.err = err
	}
}

// writeFields prints one struct: a line per tagged field, and a table under a heading for each tagged slice of
// structs.
func writeFields(c *Console, w io.Writer, t reflect.Type, v reflect.Value) {
	cols := columnsOf(t)
	if !c.OutTTY {
		cols = c.shown(cols)
	}
	wide := 0
	for _, col := range cols {
		wide = max(wide, utf8.RuneCountInString(col.title))
	}
	for _, col := range cols {
		f := v.FieldByIndex(col.index)
		if f.Kind() == reflect.Slice {
			if _, ok := structType(f.Type().Elem()); ok {
				writeSection(c, w, col.title, f)
				continue
			}
		}
		if !c.OutTTY {
			fmt.Fprintf(w, "%s\t%s\n", col.title, c.cell(f))
			continue
		}
		title := col.title + strings.Repeat(" ", wide-utf8.RuneCountInString(col.title))
		fmt.Fprintf(w, "%s%s%s\n", c.paint(title, Strong, true), gap, c.cell(f))
	}
}

func writeSection(c *Console, w io.Writer, title string, rows reflect.Value) {
	if rows.Len() == 0 {
		return
	}
	if c.OutTTY {
		fmt.Fprintf(w, "\n%s\n", c.paint(title, Strong, true))
	} else {
		fmt.Fprintf(w, "%s\n", title)
	}
	_ = writeTable(c, w, rows.Type().Elem(), sliceRows(rows))
}
