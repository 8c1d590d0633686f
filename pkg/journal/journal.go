package journal

import (
	"context"
	"log/slog"
	"time"
)

// Config is what a Journal is made of.
type Config struct {
	Files  []FileOptions    // one logger each; none: records go nowhere
	NodeID string           // nodeid of every record, from NodeID
	Now    func() time.Time // names and ends of segments; nil means time.Now
	Log    *slog.Logger     // diagnostics; nil means none
}

// Journal takes records and has them written by its loggers.
type Journal struct{}

// Open makes the directories and checks that they can be written to. Nothing else is created before the first record.
func Open(cfg Config) (*Journal, error) { panic("skeleton") }

// Record takes r for every logger that wants its type. It copies what it needs and returns at once, unless
// back_pressure records wait for the disk: then it waits with them.
func (j *Journal) Record(r *Record) { panic("skeleton") }

// Run writes until ctx ends, then writes what is left, finishes the segments and returns.
func (j *Journal) Run(ctx context.Context) error { panic("skeleton") }

// Flush writes everything that was recorded before the call.
func (j *Journal) Flush() error { panic("skeleton") }

// Close writes what is left and finishes the segments.
func (j *Journal) Close() error { panic("skeleton") }

// Healthy is nil while mail may be accepted; else the error says which log cannot be written or has no room.
func (j *Journal) Healthy() error { panic("skeleton") }
