package top

import (
	"strings"
	"unicode"
	"unicode/utf8"

	tea "charm.land/bubbletea/v2"
)

// keysHelp is what the keys do.
const keysHelp = "q quit  ↑↓ move  enter open  esc back  / filter  s sort  r reverse  p pause  ? help"

// key does what a key stands for.
func (m *Model) key(msg tea.KeyPressMsg) tea.Cmd {
	name := msg.String()
	if name == "ctrl+c" {
		return tea.Quit
	}
	p := m.here()
	if p.typing {
		p.typeKey(name, msg.Key().Text)
		return nil
	}
	switch name {
	case "q":
		return tea.Quit
	case "ctrl+z":
		return tea.Suspend
	case "?", "h":
		m.help = !m.help
	case "/":
		p.typing = true
	case "s":
		p.order = p.order.following()
	case "r":
		p.reverse = !p.reverse
	case "p", "space":
		m.paused = !m.paused
	case "enter", "right", "l":
		return m.enter()
	case "esc", "backspace", "left":
		m.back()
	default:
		m.move(name)
	}
	return nil
}

// typeKey edits the filter.
func (p *place) typeKey(name, text string) {
	switch name {
	case "enter":
		p.typing = false
	case "esc":
		p.typing, p.filter = false, ""
	case "ctrl+u":
		p.filter = ""
	case "backspace":
		_, n := utf8.DecodeLastRuneInString(p.filter)
		p.filter = p.filter[:len(p.filter)-n]
	default:
		p.typeText(text)
	}
}

// typeText adds to the filter what can stand in a line.
func (p *place) typeText(s string) {
	s = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return -1
	}, s)
	if len(p.filter)+len(s) <= maxFilter {
		p.filter += s
	}
}

// enter opens the queue under the cursor.
func (m *Model) enter() tea.Cmd {
	if m.opened {
		return nil
	}
	rows := m.shownQueues()
	if len(rows) == 0 {
		return nil
	}
	m.open, m.opened, m.loaded, m.messages = rows[m.queues.at(queueKeys(rows))].Name, true, false, nil
	m.inside = place{order: m.inside.order, reverse: m.inside.reverse}
	return m.ask()
}

// back leaves help, a filter or a queue, whichever is the last that was entered.
func (m *Model) back() {
	p := m.here()
	switch {
	case m.help:
		m.help = false
	case p.filter != "":
		p.filter = ""
	case m.opened:
		m.open, m.opened, m.loaded, m.messages = "", false, false, nil
	}
}

// move moves the cursor.
func (m *Model) move(key string) {
	page := max(m.layout().rows-1, 1)
	steps := map[string]int{
		"up": -1, "k": -1, "down": 1, "j": 1, "pgup": -page, "pgdown": page, "ctrl+b": -page, "ctrl+f": page,
		"home": -1 << 30, "g": -1 << 30, "end": 1 << 30, "G": 1 << 30,
	}
	step, ok := steps[key]
	if !ok {
		return
	}
	keys := m.keys()
	p := m.here()
	if len(keys) == 0 {
		p.row, p.selected = 0, ""
		return
	}
	p.row = min(max(p.at(keys)+step, 0), len(keys)-1)
	p.selected = keys[p.row]
	if p.row == 0 {
		p.selected = "" // at the top the cursor stays there, whatever comes to be first
	}
}

// keys name the rows that are shown.
func (m *Model) keys() []string {
	if !m.opened {
		return queueKeys(m.shownQueues())
	}
	return messageKeys(m.shownMessages())
}

func queueKeys(rows []Queue) []string {
	keys := make([]string, len(rows))
	for i := range rows {
		keys[i] = rows[i].Name
	}
	return keys
}

func messageKeys(rows []Message) []string {
	keys := make([]string, len(rows))
	for i := range rows {
		keys[i] = rows[i].ID
	}
	return keys
}

// at is the row of the cursor: that of what was selected, wherever it is now, or the same row if it is gone.
func (p *place) at(keys []string) int {
	if p.selected == "" {
		return 0
	}
	for i, k := range keys {
		if k == p.selected {
			p.row = i
			return i
		}
	}
	p.row = min(p.row, max(len(keys)-1, 0))
	return p.row
}

func (m *Model) shownQueues() []Queue {
	if m.look == nil {
		return nil
	}
	return Arrange(m.look.Queues, m.queues.order, m.queues.reverse, m.queues.filter)
}

func (m *Model) shownMessages() []Message {
	return arrangeMessages(m.messages, m.inside.order, m.inside.reverse, m.inside.filter)
}
