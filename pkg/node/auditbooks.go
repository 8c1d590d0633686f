package node

import (
	"context"
	"errors"
	"hash/maphash"
	"time"
	"unicode/utf8"

	"kumo/pkg/journal"
	"kumo/pkg/message"
	"kumo/pkg/spool"
)

// account is what is open of a message: how many recipients were received and have neither ended nor are in the spool,
// and the sum of their hashes. Both are negative where more ended than was received.
type account struct {
	sum uint64
	n   int32
}

// books has the accounts of the messages that are open at a time.
type books struct {
	seed   maphash.Seed
	open   map[uint64]account // by the hash of the id
	recent recent
	since  time.Time // what was received before is not judged; zero: there is no record
	more   int64     // recipients of accounts over auditDetailed
}

func newBooks() *books {
	b := &books{seed: maphash.MakeSeed(), open: make(map[uint64]account)}
	b.recent.now = make(map[uint64]struct{})
	return b
}

func (b *books) message(id message.ID) uint64 { return maphash.Bytes(b.seed, id[:]) }

// recipient is the hash of a recipient of a message.
func (b *books) recipient(key uint64, rcpt []byte) uint64 {
	h := (key ^ maphash.Bytes(b.seed, rcpt)) * 0x9e3779b97f4a7c15
	return h ^ h>>29
}

// fact is the hash of one recipient of one record.
func (b *books) fact(l *journal.Line, rcpt []byte) uint64 {
	when := uint64(l.Time.UnixNano()) * 0xd6e8feb86659fd93
	return b.recipient(b.message(l.ID), rcpt) ^ when ^ maphash.String(b.seed, string(l.Type))
}

// book adds n times a recipient to the message's account and closes it when nothing is left.
func (b *books) book(key uint64, rcpt []byte, n int32) {
	a := b.open[key]
	a.n += n
	a.sum += uint64(int64(n)) * b.recipient(key, rcpt)
	if a == (account{}) {
		delete(b.open, key)
	} else {
		b.open[key] = a
	}
}

// before reports that a message was received before the logs begin.
func (b *books) before(created time.Time) bool { return b.since.IsZero() || created.Before(b.since) }

// beyond is how many recipients there were no details of.
func (b *books) beyond() int64 { return b.more }

// recent remembers the latest facts, so that one that two loggers have written counts once. They read it from two
// places at almost the same time.
type recent struct{ now, old map[uint64]struct{} }

// recentFacts is how many facts are remembered, at least.
const recentFacts = 1 << 17

// seen reports whether a fact was seen, and remembers it.
func (r *recent) seen(fact uint64) bool {
	if _, ok := r.now[fact]; ok {
		return true
	}
	_, ok := r.old[fact]
	if len(r.now) >= recentFacts {
		r.old, r.now = r.now, make(map[uint64]struct{}, recentFacts)
	}
	r.now[fact] = struct{}{}
	return ok
}

// sides says for each type of record whether it books a recipient to the account (+1) or from it (-1).
var sides = map[journal.Type]int32{
	journal.Reception: 1, journal.XferIn: 1, journal.AdminUndo: 1,
	journal.Delivery: -1, journal.Bounce: -1, journal.Expiration: -1, journal.AdminBounce: -1, journal.XferOut: -1,
}

func auditTypes() []journal.Type {
	var list []journal.Type
	for t := range sides {
		list = append(list, t)
	}
	return list
}

// count takes the census and books all that logs and spool say.
func (a *auditor) count(ctx context.Context) error {
	if err := a.takeCensus(ctx); err != nil {
		return err
	}
	a.books = newBooks()
	first := true
	err := journal.Scan(ctx, journal.ReadOptions{
		Dirs: a.o.Logs, Until: a.cut, Warn: a.o.Warn, Progress: a.o.Progress,
	}, func(l *journal.Line) error {
		if first {
			first = false
			a.books.since, a.res.Since = l.Time, l.Time
		}
		a.res.Records++
		if side := sides[l.Type]; side != 0 {
			a.enter(l, side)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if ended := len(a.res.Ended); a.res.Received == 0 && ended > 0 {
		return errors.New("the logs hold no Reception: without these nothing can be proved (per_record.Reception is not enabled, or has a template)")
	}
	return a.census.Each(ctx, func(r *spool.Resident) error {
		n := int64(len(r.Recipients))
		switch {
		case r.State == spool.Trashed:
		case a.books.before(r.Created):
			a.res.Before += n
		default:
			a.res.Queued += n
			key := a.books.message(r.ID)
			for _, rcpt := range r.Recipients {
				a.books.book(key, recorded(rcpt), -1)
			}
		}
		return nil
	})
}

// enter books one record.
func (a *auditor) enter(l *journal.Line, side int32) {
	key := a.books.message(l.ID)
	before := a.books.before(l.Created())
	n := int64(0)
	l.EachRecipient(func(rcpt []byte) {
		if a.books.recent.seen(a.books.fact(l, rcpt)) {
			return
		}
		n++
		if !before {
			a.books.book(key, rcpt, side)
		}
	})
	switch {
	case n == 0:
	case before:
		if side < 0 {
			a.res.Before += n
		}
	case l.Type == journal.AdminUndo:
		a.res.Undone += n
	case side > 0:
		a.res.Messages++
		a.res.Received += n
	default:
		a.res.Ended[l.Type] += n
	}
}

// suspects are the messages whose accounts are open, as many as are looked at one by one.
func (a *auditor) suspects() func(message.ID) bool {
	if len(a.books.open) > auditDetailed {
		kept := make(map[uint64]account, auditDetailed)
		for key, acc := range a.books.open {
			if len(kept) < auditDetailed {
				kept[key] = acc
			} else {
				a.books.more += int64(max(acc.n, -acc.n, 1))
			}
		}
		a.books.open = kept
	}
	return func(id message.ID) bool {
		_, ok := a.books.open[a.books.message(id)]
		return ok
	}
}

// recorded is an address as records show it: each invalid byte is U+FFFD.
func recorded(s string) []byte {
	if utf8.ValidString(s) {
		return []byte(s)
	}
	return []byte(string([]rune(s)))
}
