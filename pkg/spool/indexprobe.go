package spool

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// errTorn is an index whose B-trees do not agree with one another.
var errTorn = errors.New("index is damaged")

// probe compares everything in an index that was there before, while it is in use already: quick_check, which opening
// waits for, does not see a row that another B-tree names differently, and the full check takes several seconds for a
// million rows.
type probe struct {
	wg     sync.WaitGroup
	cancel context.CancelFunc
	found  chan error
}

// begin starts the comparison.
func (p *probe) begin(ctx context.Context, x *index) {
	ctx, p.cancel = context.WithCancel(ctx)
	found, db := make(chan error, 1), x.db
	p.found = found
	p.wg.Go(func() {
		var verdict string
		err := db.QueryRowContext(ctx, "PRAGMA integrity_check(1)").Scan(&verdict)
		if err == nil && verdict != "ok" {
			err = fmt.Errorf("%w: %s", errTorn, verdict)
		}
		if ctx.Err() == nil {
			found <- err
		}
	})
}

// verdict is what the comparison has found, nil as long as it has not.
func (p *probe) verdict() error {
	select {
	case err := <-p.found:
		return err
	default:
		return nil
	}
}

// end gives the comparison up.
func (p *probe) end() {
	if p.cancel != nil {
		p.cancel()
		p.wg.Wait()
		p.cancel = nil
	}
}
