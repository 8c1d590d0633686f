package spool

import (
	"encoding/json"
	"strings"
	"time"

	"kumo/pkg/message"
)

// matcher is a Match made ready for use. What can be told from the table is told from there; conditions on sender,
// recipients and whatever Where says are SQL.
type matcher struct {
	m      Match
	before int64 // OlderThan: created at the latest
	ids    map[message.ID]struct{}
	queues map[string]bool // whether the queues seen so far fit
	only   string          // one queue that must fit besides, "" for none

	cond sqlCond // over the columns of the view messages
	rest sqlCond // the same without what speaks of queues
	deep bool    // the table is not enough
}

// sqlCond is a condition with its parameters, "" for all.
type sqlCond struct {
	text string
	args []any
}

func (c *sqlCond) add(text string, args ...any) {
	if c.text != "" {
		c.text += " AND "
	}
	c.text += text
	c.args = append(c.args, args...)
}

// and is the condition behind others.
func (c *sqlCond) and() string {
	if c.text == "" {
		return ""
	}
	return " AND " + c.text
}

// newMatcher compiles m. Where must have been checked.
func newMatcher(m Match, ids []message.ID, now time.Time) *matcher {
	x := &matcher{m: m, queues: make(map[string]bool)}
	if m.ByID {
		x.ids = make(map[message.ID]struct{}, len(ids))
		for _, id := range ids {
			x.ids[id] = struct{}{}
		}
	}
	if m.OlderThan > 0 {
		x.before = now.Add(-time.Duration(m.OlderThan)).UnixNano()
	}
	x.compile()
	return x
}

func (x *matcher) compile() {
	m := &x.m
	if len(m.Queues) > 0 {
		list, _ := json.Marshal(m.Queues)
		x.cond.add("queue IN (SELECT value FROM json_each(?))", string(list))
	}
	for _, f := range [][2]string{
		{"domain", m.Domain},
		{"tenant", m.Tenant},
		{"campaign", m.Campaign},
		{"routing_domain", m.RoutingDomain},
	} {
		if f[1] != "" {
			x.cond.add(f[0]+" = ?", f[1])
		}
	}
	if x.before != 0 {
		x.rest.add("created <= ?", seconds(x.before))
	}
	if m.Sender != "" {
		x.rest.add("sender = ?", bare(m.Sender))
	}
	if m.Recipient != "" {
		x.rest.add("EXISTS (SELECT 1 FROM json_each(recipients) WHERE value = ?)", bare(m.Recipient))
	}
	if m.Where != "" {
		x.rest.add("(\n" + m.Where + "\n)")
	}
	x.deep = m.Sender != "" || m.Recipient != "" || m.Where != ""
	if x.rest.text != "" {
		x.cond.add(x.rest.text, x.rest.args...)
	}
}

// bare is an address without the angle brackets that people put around it; "<>" is the null sender.
func bare(addr string) string {
	if strings.HasPrefix(addr, "<") && strings.HasSuffix(addr, ">") {
		return addr[1 : len(addr)-1]
	}
	return addr
}

// entry reports whether what the table knows of a message fits: all of the match unless it is deep.
func (x *matcher) entry(id message.ID, queue string, created int64) bool {
	if x.ids != nil {
		if _, ok := x.ids[id]; !ok {
			return false
		}
	}
	return (x.before == 0 || created <= x.before) && x.queue(queue)
}

func (x *matcher) queue(name string) bool {
	fits, known := x.queues[name]
	if !known {
		fits = x.m.Queue(name) && (x.only == "" || x.only == name)
		x.queues[name] = fits
	}
	return fits
}

// queued reports that only some queues can fit.
func (x *matcher) queued() bool {
	m := &x.m
	return x.only != "" || len(m.Queues) > 0 || m.Domain != "" || m.Tenant != "" || m.Campaign != "" || m.RoutingDomain != ""
}

// queuesOnly reports that nothing but the queue decides.
func (x *matcher) queuesOnly() bool { return !x.deep && x.before == 0 && x.ids == nil }
