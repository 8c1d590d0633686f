package spool

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

const (
	relayRows  = 128             // rows that are handed over together
	relayAhead = 8               // of these that may wait in memory
	relayWait  = 1 * time.Second // how long the reader of the rows may stand still before they go into a file
)

// relay hands rows to f while the query goes on, and does not let f hold the query up: when f stands still, what is
// left of the rows is written to a file and handed over from there.
func relay(ctx context.Context, rows *sql.Rows, cols int, f func([]any) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	in := &relayed{ctx: ctx, parts: make(chan [][]any, relayAhead)}
	go in.fill(rows, cols)
	var err error
	for part := range in.parts {
		if err == nil {
			err = each(part, f)
		}
		if err != nil {
			cancel() // the loop goes on until fill has noticed
		}
	}
	if in.spill != nil {
		defer in.spill.Close()
	}
	if err != nil || in.err != nil {
		if err == nil {
			err = in.err
		}
		return err
	}
	return in.replay(f)
}

func each(part [][]any, f func([]any) error) error {
	for _, row := range part {
		if err := f(row); err != nil {
			return err
		}
	}
	return nil
}

// relayed is rows on their way. What fill sets may be read when parts is closed.
type relayed struct {
	ctx   context.Context
	parts chan [][]any
	spill *os.File
	w     *bufio.Writer
	enc   *gob.Encoder
	err   error
}

func (in *relayed) fill(rows *sql.Rows, cols int) {
	defer close(in.parts)
	part := make([][]any, 0, relayRows)
	began := time.Now()
	for rows.Next() {
		row := make([]any, cols)
		at := make([]any, cols)
		for i := range row {
			at[i] = &row[i]
		}
		if in.err = rows.Scan(at...); in.err != nil {
			return
		}
		part = append(part, row)
		// The first rows go at once, so that somebody who watches sees that something comes.
		if len(part) < relayRows && time.Since(began) > 100*time.Millisecond || len(part) == relayRows {
			if in.err = in.pass(part); in.err != nil {
				return
			}
			part, began = make([][]any, 0, relayRows), time.Now()
		}
	}
	if in.err = rows.Err(); in.err == nil {
		in.err = in.pass(part)
	}
	if in.err == nil && in.w != nil {
		in.err = in.w.Flush()
	}
}

func (in *relayed) pass(part [][]any) error {
	if in.spill == nil {
		select {
		case in.parts <- part:
			return nil
		case <-in.ctx.Done():
			return in.ctx.Err()
		case <-time.After(relayWait):
		}
		var err error
		if in.spill, err = os.CreateTemp("", "kumo-rows-*"); err != nil {
			return fmt.Errorf("keep rows for a slow reader: %w", err)
		}
		_ = os.Remove(in.spill.Name()) // it goes when it is closed
		in.w = bufio.NewWriterSize(in.spill, 64<<10)
		in.enc = gob.NewEncoder(in.w)
	}
	if err := in.ctx.Err(); err != nil {
		return err
	}
	return in.enc.Encode(wrap(part))
}

// cell is a value that gob can carry: nil has no type of its own there.
type cell struct {
	V any
}

func wrap(part [][]any) [][]cell {
	out := make([][]cell, len(part))
	for i, row := range part {
		out[i] = make([]cell, len(row))
		for k, v := range row {
			out[i][k].V = v
		}
	}
	return out
}

// replay hands over the rows that are in the file.
func (in *relayed) replay(f func([]any) error) error {
	if in.spill == nil {
		return nil
	}
	if _, err := in.spill.Seek(0, io.SeekStart); err != nil {
		return err
	}
	dec := gob.NewDecoder(bufio.NewReaderSize(in.spill, 64<<10))
	for {
		var part [][]cell
		err := dec.Decode(&part)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("rows that were kept for a slow reader: %w", err)
		}
		for _, cells := range part {
			row := make([]any, len(cells))
			for k := range cells {
				row[k] = cells[k].V
			}
			if err := f(row); err != nil {
				return err
			}
		}
	}
}
