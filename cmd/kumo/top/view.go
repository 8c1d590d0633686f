package top

import (
	"fmt"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"kumo/pkg/cli"
)

// View is the picture of the model for its size.
func (m *Model) View() tea.View {
	v := tea.NewView(m.picture())
	v.AltScreen = true
	return v
}

// picture has at most height lines of at most width cells.
func (m *Model) picture() string {
	l := m.layout()
	var b strings.Builder
	n := 0
	put := func(s string) {
		if n == m.height {
			return
		}
		if n > 0 {
			b.WriteByte('\n')
		}
		n++
		b.WriteString(ansi.Truncate(s, m.width, "…"))
	}
	for i := line(0); i < lines; i++ {
		if i == lineHeader {
			m.table(l, put)
			continue
		}
		if l.shown[i] {
			put(m.line(i))
		}
	}
	return b.String()
}

func (m *Model) line(which line) string {
	switch which {
	case lineTitle:
		return m.title()
	case lineIn:
		return m.rate("in ", m.rates.in, green)
	case lineOut:
		return m.rate("out", m.rates.out, cyan)
	case lineTotals:
		return m.totals()
	case lineStatus:
		return m.status()
	case lineDetail:
		return m.detail()
	case lineHelp:
		return m.paint(dim, keysHelp)
	}
	return ""
}

func (m *Model) title() string {
	s := m.paint(bold, "kumo top")
	if m.look != nil {
		s += "  " + cli.Tame(m.look.Spool)
		if m.look.Owner > 0 {
			s += fmt.Sprintf("  daemon %d", m.look.Owner)
		} else {
			s += "  " + m.paint(yellow, "no daemon")
		}
	}
	clock := m.opt.Now().Format("15:04:05")
	if m.paused {
		clock = m.paint(yellow, "paused") + " " + clock
	}
	return spread(s, clock, m.width)
}

// spread puts right at the end of the line if there is room.
func spread(left, right string, width int) string {
	room := width - ansi.StringWidth(left) - ansi.StringWidth(right)
	if room < 1 {
		return left
	}
	return left + strings.Repeat(" ", room) + right
}

// rate is one line with a sparkline that takes what room there is.
func (m *Model) rate(name string, s series, color string) string {
	text := name + "         -/s"
	if v, ok := s.now(); ok {
		text = fmt.Sprintf("%s %9s/s", name, number(v))
	}
	peak := max(m.rates.in.peak(), m.rates.out.peak())
	note := ""
	if peak > 0 {
		note = "  peak " + number(s.peak()) + "/s"
	}
	cells := m.width - len(text) - 2 - len(note)
	if cells < 8 {
		return text
	}
	return text + "  " + m.paint(color, s.spark(cells, peak)) + note
}

func (m *Model) totals() string {
	if m.look == nil {
		return "waiting -"
	}
	n, held, size := 0, 0, int64(0)
	var oldest time.Time
	for _, q := range m.look.Queues {
		n += q.Messages
		held += q.Held
		size += q.Bytes
		if oldest.IsZero() || q.Oldest.Before(oldest) {
			oldest = q.Oldest
		}
	}
	s := fmt.Sprintf("waiting %s messages, %s, in %s queues", number(float64(n)), sizeText(size), number(float64(len(m.look.Queues))))
	if n > 0 {
		s += ", the oldest " + m.age(oldest)
	}
	if held > 0 {
		s += ", " + number(float64(held)) + " held"
	}
	return s
}

func (m *Model) status() string {
	p := m.here()
	what := "queues"
	order := string(p.order)
	if m.opened {
		what = cli.Tame(m.open)
		if p.order == ByDepth {
			order = "tries"
		}
		if p.order == ByName {
			order = "recipient"
		}
	}
	if p.reverse {
		order += " reversed"
	}
	s := m.paint(bold, what) + " by " + order
	if p.typing {
		s += "  filter: " + cli.Tame(p.filter) + "_"
	} else if p.filter != "" {
		s += "  filter: " + cli.Tame(p.filter)
	}
	if m.opened && len(m.messages) == maxMessages {
		s += fmt.Sprintf("  the first %d", maxMessages)
	}
	if m.err != nil {
		s = m.paint(red, cli.Tame(m.err.Error())) + "  " + s
	}
	return s
}

// detail is all of the message under the cursor.
func (m *Model) detail() string {
	rows := m.shownMessages()
	if len(rows) == 0 {
		return ""
	}
	r := rows[m.inside.at(messageKeys(rows))]
	s := r.ID + "  " + cli.Tame(strings.Join(r.Recipients, ","))
	if r.Held {
		s += "  held"
	}
	if r.Last != "" {
		s += "  " + cli.Tame(r.Last)
	}
	return s
}

// table puts the header and the rows around the cursor.
func (m *Model) table(l layout, put func(string)) {
	if m.help {
		for i, s := range append(strings.Split(keysHelp, "  "), "home end pgup pgdn: as usual") {
			if i < l.rows {
				put(s)
			}
		}
		return
	}
	cols, cell, n, keys := m.rowsHere()
	widths, keep := fit(cols, m.width-2)
	if l.shown[lineHeader] {
		titles := make([]string, len(cols))
		for i := range cols {
			titles[i] = cols[i].title
		}
		put("  " + m.paint(bold, row(cols, widths, keep, titles)))
	}
	p := m.here()
	at := p.at(keys)
	p.top = min(max(p.top, at-l.rows+1), at)
	p.top = max(min(p.top, n-l.rows), 0)
	for i := p.top; i < n && i < p.top+l.rows; i++ {
		mark := "  "
		text := row(cols, widths, keep, cell(i))
		if i == at {
			mark, text = "> ", m.paint(reverse, text)
		}
		put(mark + text)
	}
	if n == 0 {
		put("  " + m.paint(dim, m.nothing()))
	}
	for i := max(n-p.top, 1); i < l.rows; i++ {
		put("")
	}
}

func (m *Model) nothing() string {
	switch {
	case m.look == nil || m.opened && !m.loaded:
		return "looking…"
	case m.here().filter != "":
		return "nothing has that in it"
	case m.opened:
		return "no messages"
	}
	return "nothing waits"
}

// rowsHere describes the list that is shown.
func (m *Model) rowsHere() (cols []column, cell func(int) []string, n int, keys []string) {
	if m.opened {
		rows := m.shownMessages()
		return messageColumns(), func(i int) []string { return m.messageCells(&rows[i]) }, len(rows), messageKeys(rows)
	}
	rows := m.shownQueues()
	return queueColumns(), func(i int) []string { return m.queueCells(&rows[i]) }, len(rows), queueKeys(rows)
}

func queueColumns() []column {
	return []column{
		{title: "QUEUE", width: 16, flex: 1},
		{title: "MESSAGES", width: 10, right: true},
		{title: "OLDEST", width: 6, right: true, last: 1},
		{title: "NEXT", width: 6, right: true, last: 2},
		{title: "SIZE", width: 8, right: true, last: 3},
	}
}

func (m *Model) queueCells(q *Queue) []string {
	next := m.until(q.NextDue)
	if q.Messages > 0 && q.Held == q.Messages {
		next = "held"
	}
	return []string{cli.Tame(q.Name), number(float64(q.Messages)), m.age(q.Oldest), next, sizeText(q.Bytes)}
}

func messageColumns() []column {
	return []column{
		{title: "ID", width: 32, last: 5},
		{title: "RECIPIENT", width: 16, flex: 2},
		{title: "AGE", width: 6, right: true, last: 1},
		{title: "NEXT", width: 6, right: true, last: 2},
		{title: "TRIES", width: 5, right: true, last: 3},
		{title: "SIZE", width: 8, right: true, last: 6},
		{title: "LAST ANSWER", width: 16, flex: 3, last: 4},
	}
}

func (m *Model) messageCells(r *Message) []string {
	next := m.until(r.Due)
	if r.Held {
		next = "held"
	}
	return []string{
		r.ID, cli.Tame(strings.Join(r.Recipients, ",")), m.age(r.Created), next, fmt.Sprint(r.Attempts),
		sizeText(int64(r.Size)), cli.Tame(r.Last),
	}
}

// row lays cells out.
func row(cols []column, widths []int, keep []bool, cells []string) string {
	var b strings.Builder
	for i, c := range cols {
		if !keep[i] {
			continue
		}
		if b.Len() > 0 {
			b.WriteString(gap)
		}
		s := ansi.Truncate(cells[i], widths[i], "…")
		pad := strings.Repeat(" ", max(widths[i]-ansi.StringWidth(s), 0))
		if c.right {
			b.WriteString(pad + s)
		} else {
			b.WriteString(s + pad)
		}
	}
	return b.String()
}

func (m *Model) age(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return cli.ShortDuration(max(m.opt.Now().Sub(t), 0).Truncate(time.Second))
}

func (m *Model) until(t time.Time) string {
	if d := t.Sub(m.opt.Now()); !t.IsZero() && d >= time.Second {
		return cli.ShortDuration(d.Truncate(time.Second))
	}
	return "now"
}
