package main

import (
	"context"
	"io"
	"strings"
	"time"

	"kumo/pkg/cli"
	"kumo/pkg/message"
	"kumo/pkg/spool"
)

// maxIDs is how many messages one order may name: they go into one record of the log.
const maxIDs = 1_000_000

// named are the messages that a verb was told of by their ids.
type named struct {
	ids     []message.ID
	unknown []string // what was named and is not in the spool, as it was written; the first of them
	more    int      // how many there were beside those
}

// maxUnknown is how many unknown ids are kept; the rest is counted.
const maxUnknown = 1000

// miss notes what is not in the spool.
func (n *named) miss(text string) {
	if len(n.unknown) == maxUnknown {
		n.more++
		return
	}
	if r := []rune(text); len(r) > 64 {
		text = string(r[:63]) + "…"
	}
	n.unknown = append(n.unknown, text)
}

// readIDs reads ids from a stream; what is no id at all is unknown. Ids that come twice count once.
func readIDs(c *cli.Console, in io.Reader) (*named, error) {
	n := &named{}
	seen := make(map[message.ID]struct{})
	for text, err := range cli.IDs(in) {
		if err != nil {
			return nil, err
		}
		id, err := message.ParseID(text)
		if err != nil {
			n.miss(text)
			continue
		}
		if _, twice := seen[id]; twice {
			continue
		}
		if len(n.ids) == maxIDs {
			return nil, cli.Usagef("more than %d ids", maxIDs).WithHint("split -l %d makes pieces of a list", maxIDs)
		}
		seen[id] = struct{}{}
		n.ids = append(n.ids, id)
		if len(n.ids)%10_000 == 0 {
			c.Progress("%d ids", len(n.ids))
		}
	}
	c.Done()
	return n, nil
}

// argIDs are the ids among a verb's arguments, and whether "-" is.
func argIDs(verb string, args []string) (ids []message.ID, stdin bool, err error) {
	for _, a := range args {
		if a == "-" {
			stdin = true
			continue
		}
		id, err := message.ParseID(a)
		if err != nil {
			return nil, false, cli.Usagef("%s: %q is not the id of a message", verb, a).
				WithHint("say --queue %s for the scheduled queue of that name, --domain %s for all queues of a destination", a, a)
		}
		ids = append(ids, id)
	}
	return ids, stdin, nil
}

// indexLag is how far a daemon's index may be behind, and a little more.
const indexLag = 1200 * time.Millisecond

// sift takes those out of n that are not in the spool. Beside a daemon a message may be too young for its index, so it
// looks twice.
func (n *named) sift(ctx context.Context, open func() (*spool.Reader, error)) error {
	known, missing, held, err := present(ctx, open, n.ids)
	if err != nil {
		return err
	}
	if held && len(missing) > 0 {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(indexLag):
		}
		var late []message.ID
		if late, missing, _, err = present(ctx, open, missing); err != nil {
			return err
		}
		known = append(known, late...)
	}
	n.ids = known
	for _, id := range missing {
		n.miss(id.String())
	}
	return nil
}

// present looks the ids up; held is whether a daemon owns the spool.
func present(ctx context.Context, open func() (*spool.Reader, error), ids []message.ID) (known, missing []message.ID, held bool, err error) {
	r, err := open()
	if err != nil {
		return nil, nil, false, err
	}
	defer r.Close()
	there := make(map[message.ID]bool, len(ids))
	err = r.List(ctx, spool.Filter{Match: spool.Match{ByID: true}, IDs: ids}, func(row spool.Row) error {
		there[row.ID] = true
		return nil
	})
	known = make([]message.ID, 0, len(there))
	for _, id := range ids {
		if there[id] {
			known = append(known, id)
		} else {
			missing = append(missing, id)
		}
	}
	return known, missing, r.Held(), err
}

// missed notes what the order did not find.
func (n *named) missed(c spool.Counts) {
	for _, id := range c.Missing {
		n.miss(id.String())
	}
	n.more += max(0, c.Unknown-len(c.Missing))
}

// namedOnStderr is how many unknown ids are named there.
const namedOnStderr = 20

// failure says which ids are not in the spool: exit code 1, also when the others were done.
func (n *named) failure(verb string) error {
	if n == nil || len(n.unknown) == 0 {
		return nil
	}
	names := n.unknown[:min(len(n.unknown), namedOnStderr)]
	text := strings.Join(names, ", ")
	if more := len(n.unknown) - len(names) + n.more; more > 0 {
		text += " and " + counted(more, "other")
	}
	e := cli.Failf("%s: not in the spool: %s", verb, text)
	if len(n.unknown) == 1 {
		return e.WithHint("if it has ended, kumo log tail --all --id %s says how", names[0])
	}
	return e
}
