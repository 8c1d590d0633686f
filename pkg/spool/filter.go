package spool

import (
	"fmt"
	"strings"

	"kumo/pkg/message"
)

// Filter says which rows List wants: those that fit all of it. The zero value wants all but the trashed ones.
type Filter struct {
	Queue string       // scheduled queue name, "" for all
	Match Match        // the zero value wants all
	IDs   []message.ID // for a Match with ByID
	State string       // StateScheduled, StateHeld or StateTrashed; "" for the first two
}

// states are the states in the index that the filter wants, from low to high.
func (f *Filter) states() (low, high int64) {
	switch f.State {
	case StateScheduled:
		return rowScheduled, rowScheduled
	case StateHeld:
		return rowHeld, rowHeld
	case StateTrashed:
		return rowTrashed, rowTrashed
	}
	return rowScheduled, rowHeld
}

// cond says the same to SQL, in words that let it use the index on held and trashed rows.
func (f *Filter) cond() string {
	switch low, high := f.states(); {
	case low == high && low > 0:
		return fmt.Sprintf("state_ > 0 AND state_ = %d", low) // the first half is what the index is about
	case low == high:
		return fmt.Sprintf("state_ = %d", low)
	default:
		return fmt.Sprintf("state_ < %d", high+1)
	}
}

// from is a query over rowSource that uses the index on held and trashed rows if the filter wants no others. SQLite would
// rather go through all rows in their order.
func (f *Filter) from(query string) string {
	if low, high := f.states(); low == high && low > 0 {
		return strings.Replace(query, "FROM message m ", "FROM message m INDEXED BY message_state ", 1)
	}
	return query
}
