package message

import (
	"errors"
	"strings"
	"time"

	"kumo/pkg/mail"
)

// ErrDamaged is a stored message that fails its checksum. It is never delivered, and trying again does not help.
var ErrDamaged = errors.New("stored message is damaged")

// Body brings a stored body back. The spool is one.
type Body interface {
	// Body returns the bytes of message id as they were accepted: headers and body, CRLF line ends.
	Body(id ID) ([]byte, error)
}

// Message is one message on its way to one destination queue.
type Message struct {
	ID         ID
	Sender     mail.Address
	Recipients []mail.Address // those still to be served; never empty
	Meta       *Meta
	Queue      string    // scheduled queue name, fixed by intake and by rebinds
	Created    time.Time // reception
	Due        time.Time // next attempt; the zero time means now
	Attempts   int       // attempts made so far
	Size       int       // bytes of the body, known also when it is not in memory

	// LastResponse is what the latest attempt met, on one line as smtp.Reply prints it; "" before the first. The
	// spool keeps it for those who list the queue.
	LastResponse string

	// History are the latest attempts, oldest first, at most MaxHistory. The spool keeps it with the message.
	History []Try

	// Hop is when the present stretch of its way began: reception, a due time, or the last record about it; the zero
	// time when nobody asks. Spent is what is known of the time since, by cause. Neither outlives the process.
	Hop   time.Time
	Spent []Span

	// ForceSync: policy wants the message on stable storage before it is acknowledged, whatever deferred_spool says.
	ForceSync bool
	// Deferred: the message was acknowledged and is in memory only, because its listener has deferred_spool.
	Deferred bool

	saved  bool // see Save
	lean   bool // see Release
	edited bool // body is not what the loader would bring back
	body   []byte
	loader Body
}

// MaxHistory is how many attempts a message remembers.
const MaxHistory = 16

// Try is one attempt that failed for the time being, as the spool remembers it.
type Try struct {
	At       time.Time
	Response string // on one line, at most 256 bytes
	Source   string // egress source, "" if none was chosen
	Peer     string // "name [address]" of the host that answered, "" if none did
}

// Tried adds an attempt to the history.
func (m *Message) Tried(t Try) {
	if len(t.Response) > maxTryResponse {
		t.Response = strings.ToValidUTF8(t.Response[:maxTryResponse], "")
	}
	if n := len(m.History) - MaxHistory + 1; n > 0 {
		m.History = append(m.History[:0:0], m.History[n:]...)
	}
	m.History = append(m.History, t)
}

// maxTryResponse bounds the answers in the history, in bytes.
const maxTryResponse = 256

// Data is the body: headers, empty line, text, with CRLF line ends. It is read from the loader when it is not in
// memory. The caller must not change the bytes.
func (m *Message) Data() ([]byte, error) {
	if m.body == nil && m.loader != nil {
		b, err := m.loader.Body(m.ID)
		if err != nil {
			return nil, err
		}
		m.body = b
		m.Size = len(b)
	}
	return m.body, nil
}

// InMemory reports whether Data needs no read.
func (m *Message) InMemory() bool { return m.body != nil }

// SetData replaces the body. The message keeps b.
func (m *Message) SetData(b []byte) {
	m.edited = m.loader != nil
	m.body = b
	m.Size = len(b)
}

// SetLoader says where the body can be had again after Shrink.
func (m *Message) SetLoader(l Body) { m.loader, m.edited = l, false }

// Shrink drops the body from memory if it can be loaded again.
func (m *Message) Shrink() {
	if m.loader != nil && !m.edited {
		m.body = nil
	}
}

// Save asks for the message to be stored before it is acknowledged. One that is stored already stays so.
func (m *Message) Save() { m.saved = true }

// Urgent reports whether the message is to be stored before it is acknowledged whatever deferred_spool says.
func (m *Message) Urgent() bool { return m.ForceSync || m.saved }

// Release is Shrink for a message that may not be stored yet: it is then to be stored before it is acknowledged, and
// leaves memory once it is (Released).
func (m *Message) Release() {
	if m.loader == nil {
		m.Save()
	}
	m.lean = true
	m.Shrink()
}

// Released reports whether somebody has asked for the body to leave memory.
func (m *Message) Released() bool { return m.lean }

// QueueName works out the scheduled queue of m from its metadata and first recipient (semantics.md 4.1): meta
// "queue" is the whole name; else campaign, tenant and routing_domain with the recipient's domain in lower case.
func (m *Message) QueueName() string {
	if q := m.Meta.String("queue"); q != "" {
		return q
	}
	var domain string
	if len(m.Recipients) > 0 {
		domain = strings.ToLower(m.Recipients[0].Domain())
	}
	campaign, tenant, routing := m.Meta.String("campaign"), m.Meta.String("tenant"), m.Meta.String("routing_domain")
	if campaign == "" && tenant == "" && routing == "" {
		return domain
	}
	return QueueName{Campaign: campaign, Tenant: tenant, Domain: domain, RoutingDomain: routing}.String()
}
