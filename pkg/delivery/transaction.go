package delivery

import (
	"context"
	"errors"
	"time"

	"kumo/pkg/egress"
	"kumo/pkg/mail"
	"kumo/pkg/message"
	"kumo/pkg/smtp"
)

// delivering is the delivery of one message.
type delivering struct {
	*session
	ctx      context.Context
	m        *message.Message
	body     []byte
	params   smtp.MailParams
	attempts []message.Attempt
	texting  bool // the text of the message is on its way
}

// run makes transactions until every recipient has its verdict.
func (d *delivering) run() egress.Result {
	d.heard = false
	fresh := !d.used
	todo := d.m.Recipients
	for len(todo) > 0 {
		if d.conn == nil && d.reconnect(d.ctx) != nil { // a former batch cost us the connection
			if d.yield.wanted() {
				return d.yielded(todo)
			}
			d.decide(verdict{message.Transient, internal(451, "4.4.2", "the connection was lost between two batches of recipients")}, todo)
			break
		}
		params, refused := d.mailParams(d.m, d.body)
		if refused != nil {
			d.decide(*refused, todo)
			break
		}
		d.params = params
		batch := todo[:min(len(todo), max(d.path.MaxRecipientsPerBatch, 1))]
		todo = todo[len(batch):]
		open, broken := d.batch(batch)
		if broken == nil {
			continue
		}
		if !d.texting && d.yield.wanted() {
			return d.yielded(append(append([]mail.Address(nil), open...), todo...))
		}
		d.drop()
		if !fresh && !d.heard && len(d.attempts) == 0 {
			return d.unsent() // it had gone while it was idle
		}
		todo = append(append([]mail.Address(nil), open...), todo...)
		if !d.nextHost(*broken, open) {
			d.decide(*broken, todo)
			break
		}
		fresh = true
	}
	d.settleBill()
	return egress.Result{Attempts: d.attempts, Done: d.done()}
}

// nextHost goes on with the next host after a broken connection if try_next_host_on_transport_error wants that and
// there is one. What happened to those recipients at the broken one is then told apart: the log is to know of it.
func (d *delivering) nextHost(broken verdict, open []mail.Address) bool {
	if !d.path.TryNextHostOnTransportError {
		return false
	}
	failed := d.attempt(broken, d.named(open))
	failed.Outcome, failed.Reason = message.Retried, ""
	if d.reconnect(d.ctx) != nil {
		d.spent = append(failed.Spent, d.spent...)
		return false
	}
	d.attempts = append(d.attempts, failed)
	return true
}

// batch makes one transaction while d.ctx lives.
func (d *delivering) batch(to []mail.Address) (open []mail.Address, broken *verdict) {
	stop := func() bool { return true }
	if d.ctx.Done() != nil {
		stop = context.AfterFunc(d.ctx, d.conn.Abort)
	}
	d.texting = false
	if !d.yield.watch(d.conn) {
		d.conn.Abort()
	}
	open, err := d.transaction(to)
	d.yield.watch(nil)
	if !stop() && err == nil {
		d.drop() // the verdicts stand, the connection is gone
	}
	if err == nil {
		return nil, nil
	}
	v := d.brokenBy(err)
	return open, &v
}

// goodbye is a 421: the peer closes the connection (RFC 5321 3.8).
type goodbye struct{ reply smtp.Reply }

func (g *goodbye) Error() string { return g.reply.String() }

// errStray is a positive reply of the wrong kind: client and server no longer mean the same thing.
type errStray struct{ reply smtp.Reply }

func (e *errStray) Error() string {
	return e.reply.Command + ": unexpected reply: " + e.reply.String()
}

// brokenBy is the verdict for those whom a broken connection left without one.
func (d *delivering) brokenBy(err error) verdict {
	var bye *goodbye
	if errors.As(err, &bye) {
		return verdict{message.Transient, bye.reply}
	}
	r := internal(451, "4.4.2", "failed to send the message to "+d.targets[d.current].String()+": "+err.Error())
	var conn *smtp.ConnError
	var stray *errStray
	switch {
	case d.ctx.Err() != nil:
		r.Text = "KumoMTA internal: the delivery was aborted"
	case errors.As(err, &conn):
		r.Command = conn.Stage
	case errors.As(err, &stray):
		r.Command = stray.reply.Command
	}
	return verdict{message.Transient, r}
}

// decide records the verdict about some recipients.
func (d *delivering) decide(v verdict, to []mail.Address) {
	d.attempts = append(d.attempts, d.attempt(v, d.named(to)))
}

// named are recipients as an attempt has them: nil for all of the message.
func (d *delivering) named(to []mail.Address) []mail.Address {
	if len(to) == len(d.m.Recipients) {
		return nil
	}
	return append([]mail.Address(nil), to...)
}

// transaction sends the message to some recipients and decides about them. With an error, which means that the
// connection cannot be used any more, open are those about whom nothing was decided.
func (d *delivering) transaction(to []mail.Address) (open []mail.Address, err error) {
	d.good = d.good[:0]
	if !d.used { // Deliver has looked at a connection that was used before
		if err := d.conn.Check(); err != nil {
			return to, err
		}
	}
	if err := d.envelope(to); err != nil {
		return to, err
	}
	r, err := d.answer("MAIL", d.path.MailFromTimeout.Std())
	if err != nil {
		return to, err
	}
	if mailed := judge(r); mailed.outcome != message.Delivered {
		return d.mailRefused(mailed, to)
	}
	for i, rcpt := range to {
		if !d.pipe {
			d.conn.Rcpt(rcpt)
		}
		r, err := d.answer("RCPT", d.path.RcptToTimeout.Std())
		if err != nil {
			return append(d.good, to[i:]...), err
		}
		switch v := judge(r); {
		case v.outcome == message.Delivered:
			d.good = append(d.good, rcpt)
		case r.Code == 552: // RFC 5321 4.5.3.1.10: too many recipients, whatever the code says
			d.decide(verdict{message.Transient, r}, to[i:i+1])
		default:
			d.decide(v, to[i:i+1])
		}
	}
	return d.content()
}

// envelope sends the commands up to MAIL, or up to DATA when they go in one group.
func (d *delivering) envelope(to []mail.Address) error {
	c := d.conn
	rset := d.used && (d.path.EnableRset || d.dirty)
	d.used, d.dirty = true, false
	first, timeout := "MAIL", d.path.MailFromTimeout.Std()
	if rset {
		first, timeout = "RSET", d.path.RsetTimeout.Std()
		c.Rset()
		if !d.pipe {
			if _, err := d.positive("RSET", timeout); err != nil {
				return err
			}
		}
	}
	c.Mail(d.m.Sender, d.params)
	if !d.pipe {
		return nil
	}
	for _, rcpt := range to {
		c.Rcpt(rcpt)
	}
	c.Data()
	if err := c.Flush(first, timeout); err != nil {
		return err
	}
	if rset {
		_, err := d.positive("RSET", timeout)
		return err
	}
	return nil
}

// answer takes the reply to a command, which it sends first unless it went in a group. A 421 and a reply that no
// command of an envelope can have are errors.
func (d *delivering) answer(verb string, timeout time.Duration) (smtp.Reply, error) {
	if !d.pipe {
		if err := d.conn.Flush(verb, timeout); err != nil {
			return smtp.Reply{}, err
		}
	}
	r, err := d.conn.ReadBrief(verb, timeout)
	if err != nil {
		return r, err
	}
	if r.Code == 421 {
		return r, &goodbye{r}
	}
	d.heard = true
	if r.Code >= 300 && r.Code < 400 && verb != "DATA" {
		return r, &errStray{r}
	}
	return r, nil
}

// positive is answer for RSET, which no sane peer refuses.
func (d *delivering) positive(verb string, timeout time.Duration) (smtp.Reply, error) {
	r, err := d.answer(verb, timeout)
	if err == nil && r.Code >= 400 {
		err = &errStray{r}
	}
	return r, err
}

// mailRefused decides about all recipients, and takes the replies to the rest of the group.
func (d *delivering) mailRefused(v verdict, to []mail.Address) ([]mail.Address, error) {
	d.decide(v, to)
	d.dirty = true
	if d.pipe {
		for range to {
			if _, err := d.answer("RCPT", d.path.RcptToTimeout.Std()); err != nil {
				d.drop()
				return nil, nil
			}
		}
		d.refusedData()
	}
	return nil, nil
}

// refusedData takes the reply to a DATA that should not have been sent. If the peer wants the text now, only closing
// the connection keeps it from taking an empty message.
func (d *delivering) refusedData() {
	if r, err := d.answer("DATA", d.path.DataTimeout.Std()); err != nil || r.Code < 400 {
		d.drop()
	}
}

// content sends the text to the recipients that were accepted.
func (d *delivering) content() (open []mail.Address, err error) {
	if len(d.good) == 0 {
		d.dirty = true
		if d.pipe {
			d.refusedData()
		}
		return nil, nil
	}
	if !d.pipe {
		d.conn.Data()
	}
	r, err := d.answer("DATA", d.path.DataTimeout.Std())
	if err != nil {
		return d.good, err
	}
	if r.Code >= 400 {
		d.dirty = true
		d.decide(judge(r), d.good)
		return nil, nil
	}
	if r.Code != 354 {
		return d.good, &errStray{r}
	}
	if d.texting = d.yield.watch(nil); !d.texting {
		return d.good, errYield
	}
	if err := d.conn.WriteBody(d.body, d.path.DataTimeout.Std()); err != nil {
		return d.good, err
	}
	r, err = d.conn.Read(".", d.path.DataDotTimeout.Std())
	switch {
	case err != nil:
		return d.good, err
	case r.Code == 421:
		return d.good, &goodbye{r}
	case r.Code >= 300 && r.Code < 400:
		return d.good, &errStray{r}
	}
	d.decide(judge(r), d.good)
	return nil, nil
}
