package top

import (
	"context"
	"time"
)

// Source is where the figures come from. It is asked by one goroutine at a time.
type Source interface {
	// Look is the state of the spool now.
	Look(ctx context.Context) (*Look, error)
	// Messages are waiting messages of a scheduled queue, at most so many.
	Messages(ctx context.Context, queue string, most int) ([]Message, error)
}

// Look is the state of a spool at one moment.
type Look struct {
	Time   time.Time
	Spool  string // its directory
	Owner  int    // pid of the process that has it, 0 when nobody has
	Count  Count  // what went through it, if known
	Queues []Queue
}

// Count are messages that went through the spool since its owner started.
type Count struct {
	At  time.Time // when they were counted; zero: they are not known
	Run string    // the owner: counts of two owners have nothing to do with each other
	In  int64
	Out int64 // ended, in whatever way
}

// Queue is a scheduled queue with what waits in it.
type Queue struct {
	Name     string    `json:"queue" col:"QUEUE"`
	Messages int       `json:"messages" col:"MESSAGES"` // held ones included
	Held     int       `json:"held" col:"HELD"`
	Bytes    int64     `json:"bytes" col:"BYTES"`
	Oldest   time.Time `json:"oldest" col:"OLDEST"`         // reception of the oldest message
	NextDue  time.Time `json:"next_due,omitzero" col:"DUE"` // earliest next try, in the past for now; zero: all are held
}

// Message is a waiting message.
type Message struct {
	ID         string
	Recipients []string
	Created    time.Time
	Due        time.Time // zero: now
	Attempts   int
	Size       int
	Last       string // the last answer
	Held       bool
}
