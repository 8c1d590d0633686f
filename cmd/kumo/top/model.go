package top

import (
	"context"
	"time"

	tea "charm.land/bubbletea/v2"
)

// Options are what Run needs.
type Options struct {
	Source   Source
	Interval time.Duration // between two looks
	Order    Order
	Filter   string
	Color    bool
	Now      func() time.Time
}

// maxMessages is how many messages of a queue are shown: nobody reads more, and memory stays bounded.
const maxMessages = 1000

// maxFilter bounds what is typed, in bytes.
const maxFilter = 200

// Model is the state of the view.
type Model struct {
	opt           Options
	ctx           context.Context
	width, height int

	look   *Look
	rates  rates
	err    error // of the last question
	asking bool  // a question is under way
	again  bool  // and its answer is not what is wanted any more
	paused bool
	help   bool

	queues place // in the list of queues
	inside place // in that of messages

	open     string // the queue whose messages are shown
	opened   bool
	messages []Message
	loaded   bool // messages are those of open
}

// place is where the user is in a list, and how it is shown.
type place struct {
	order    Order
	reverse  bool
	filter   string
	typing   bool
	row      int
	selected string // key of the row; "" stays at the first one
	top      int    // first row that is shown
}

// NewModel makes a model without a terminal.
func NewModel(ctx context.Context, o Options) *Model {
	if o.Order == "" {
		o.Order = ByDepth
	}
	return &Model{
		opt: o, ctx: ctx, width: 80, height: 24,
		queues: place{order: o.Order, filter: o.Filter}, inside: place{order: ByAge},
	}
}

// tick says that it is time to look again.
type tick struct{}

// answer is what the source said.
type answer struct {
	look     *Look
	queue    string // whose messages
	inside   bool
	messages []Message
	err      error
}

// Init asks for the first look.
func (m *Model) Init() tea.Cmd { return m.ask() }

// ask questions the source, unless that is being done.
func (m *Model) ask() tea.Cmd {
	if m.asking {
		m.again = true
		return nil
	}
	m.asking, m.again = true, false
	queue, inside, source, ctx := m.open, m.opened, m.opt.Source, m.ctx
	return func() tea.Msg {
		a := answer{queue: queue, inside: inside}
		if a.look, a.err = source.Look(ctx); a.err == nil && inside {
			a.messages, a.err = source.Messages(ctx, queue, maxMessages)
		}
		return a
	}
}

// Update takes a message.
func (m *Model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.resize(msg.Width, msg.Height)
	case tick:
		if m.paused {
			return m, m.later()
		}
		return m, m.ask()
	case answer:
		return m, m.take(msg)
	case tea.PasteMsg:
		if p := m.here(); p.typing {
			p.typeText(msg.Content)
		}
	case tea.KeyPressMsg:
		return m, m.key(msg)
	}
	return m, nil
}

// resize notes the size. Some terminals say 0 by 0 when they mean that they do not know.
func (m *Model) resize(width, height int) {
	if width <= 0 || height <= 0 {
		width, height = 80, 24
	}
	m.width, m.height = width, height
}

// take notes an answer and arranges for the next one.
func (m *Model) take(a answer) tea.Cmd {
	m.asking = false
	m.err = a.err
	if a.err == nil {
		m.look = a.look
		m.rates.count(a.look.Count)
		if a.inside && m.opened && a.queue == m.open {
			m.messages, m.loaded = a.messages, true
		}
	}
	if m.again {
		return m.ask()
	}
	return m.later()
}

func (m *Model) later() tea.Cmd {
	return tea.Tick(m.opt.Interval, func(time.Time) tea.Msg { return tick{} })
}

// here is the place of the list that is shown.
func (m *Model) here() *place {
	if m.opened {
		return &m.inside
	}
	return &m.queues
}
