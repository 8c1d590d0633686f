package node

import (
	"encoding/json"
	"math"
	"time"

	"kumo/pkg/message"
)

// Life is what is known of a message: what happened to it, and what each stretch of time between went to.
type Life struct {
	ID         string    `json:"id"`
	Queue      string    `json:"queue"` // the latest
	Sender     string    `json:"sender"`
	Recipients []string  `json:"recipients"`
	Size       int64     `json:"size"`
	Created    time.Time `json:"created"`
	Ended      time.Time `json:"ended,omitzero"` // zero: it is still here
	State      string    `json:"state"`          // where it stands, or how it ended
	Due        time.Time `json:"due,omitzero"`   // next attempt of one that waits
	Attempts   int       `json:"attempts"`
	Total      Seconds   `json:"total"` // from reception to the end, or to now
	Steps      []Step    `json:"steps"`
	Sums       []Sum     `json:"sums"` // the largest first
	// Unexplained is the time that neither log nor spool give a cause for; Share, what part of the whole that is.
	Unexplained Seconds `json:"unexplained"`
	Share       float64 `json:"unexplained_share"`
}

// States of a Life beyond those of spool.Row.
const (
	LifeDelivered   = "delivered"
	LifeBounced     = "bounced"
	LifeExpired     = "expired"
	LifeAdminBounce = "bounced by an order"
	LifeMoved       = "moved to another node"
	LifeMixed       = "ended, some recipients this way and some that way"
	LifeGone        = "gone" // not in the spool, and no record of its end
)

// Step is a record about the message, or a stretch of time with its cause.
type Step struct {
	At         time.Time     `json:"at"`
	For        Seconds       `json:"for,omitempty"` // 0 for a record
	Record     string        `json:"record,omitempty"`
	Cause      message.Cause `json:"cause,omitempty"`
	Where      string        `json:"where,omitempty"` // of the setting, the host, the order, or what was asked
	Note       string        `json:"note,omitempty"`
	Recipients []string      `json:"recipients,omitempty"`
	Response   string        `json:"response,omitempty"`
	Source     string        `json:"source,omitempty"`
	Site       string        `json:"site,omitempty"`
}

// Sum is the time that went to one cause at one place.
type Sum struct {
	Cause message.Cause `json:"cause"`
	Where string        `json:"where,omitempty"`
	For   Seconds       `json:"for"`
	Share float64       `json:"share"`
}

// Seconds is a length of time that JSON shows in seconds, to the millisecond.
type Seconds time.Duration

// MarshalJSON gives a number.
func (s Seconds) MarshalJSON() ([]byte, error) {
	return json.Marshal(math.Round(time.Duration(s).Seconds()*1000) / 1000)
}

// UnmarshalJSON reads a number.
func (s *Seconds) UnmarshalJSON(b []byte) error {
	var f float64
	if err := json.Unmarshal(b, &f); err != nil {
		return err
	}
	*s = Seconds(math.Round(f*1000)) * Seconds(time.Millisecond)
	return nil
}
