package journal

import (
	"encoding/json"
	"time"

	"kumo/pkg/smtp"
)

// Entry is a record that was read back from a segment, by us or by KumoMTA.
type Entry struct {
	Type       Type        `json:"type"`
	ID         string      `json:"id"`
	Sender     string      `json:"sender"`
	Recipients StringList  `json:"recipient"`
	Queue      string      `json:"queue"`
	Site       string      `json:"site"`
	Size       int64       `json:"size"`
	Response   Response    `json:"response"`
	Peer       *Peer       `json:"peer_address"`
	Timestamp  int64       `json:"timestamp"`
	EventTime  time.Time   `json:"event_time"`
	Created    int64       `json:"created"`
	Attempts   int         `json:"num_attempts"`
	Class      string      `json:"bounce_classification"`
	Pool       string      `json:"egress_pool"`
	Source     string      `json:"egress_source"`
	Local      *SourceAddr `json:"source_address"`
	Reception  string      `json:"reception_protocol"`
	Protocol   string      `json:"delivery_protocol"`
	NodeID     string      `json:"nodeid"`
	Session    string      `json:"session_id"`
	Spent      []Span      `json:"spent,omitempty"`
	Wait       *Span       `json:"wait,omitempty"`

	Raw json.RawMessage `json:"-"` // the line as it stands in the segment, without its line end
}

// Response is the answer that a record is about.
type Response struct {
	Code     int            `json:"code"`
	Enhanced *smtp.Enhanced `json:"enhanced_code"`
	Content  string         `json:"content"`
	Command  string         `json:"command"`
}

// Peer is the other end of a connection.
type Peer struct {
	Name string `json:"name"`
	Addr string `json:"addr"`
}

// SourceAddr is our end of a connection, and the proxy that stands between.
type SourceAddr struct {
	Address  string `json:"address"`
	Protocol string `json:"protocol"`
	Server   string `json:"server"`
}

// StringList is a JSON string or an array of strings.
type StringList []string

// UnmarshalJSON reads either form.
func (l *StringList) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '[' {
		return json.Unmarshal(b, (*[]string)(l))
	}
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	*l = nil
	if s != "" {
		*l = StringList{s}
	}
	return nil
}

// Time is the moment of the record, as exact as the record says.
func (e *Entry) Time() time.Time {
	if e.EventTime.IsZero() {
		return time.Unix(e.Timestamp, 0).UTC()
	}
	return e.EventTime
}

// MarshalJSON gives the line as it stands in the segment, fields included that Entry does not know.
func (e Entry) MarshalJSON() ([]byte, error) {
	if e.Raw != nil {
		return e.Raw, nil
	}
	type plain Entry
	return json.Marshal(plain(e))
}

func parseEntry(line []byte) (Entry, error) {
	var e Entry
	if err := json.Unmarshal(line, &e); err != nil {
		return Entry{}, err
	}
	e.Raw = append(json.RawMessage(nil), line...)
	return e, nil
}

// Reply is the answer as a value of the smtp room.
func (r Response) Reply() smtp.Reply {
	out := smtp.Reply{Code: r.Code, Text: r.Content, Command: r.Command}
	if r.Enhanced != nil {
		out.Enhanced = *r.Enhanced
	}
	return out
}
