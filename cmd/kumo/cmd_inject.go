package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	gosmtp "github.com/emersion/go-smtp"
	"github.com/spf13/cobra"

	"kumo/pkg/cli"
	"kumo/pkg/mail"
	"kumo/pkg/message"
	"kumo/pkg/node"
)

// injectFlags are what kumo inject was asked for.
type injectFlags struct {
	from          string
	to            []string
	mbox          bool
	smtp          string
	spool, policy string
}

// injected is one row of kumo inject: a message that is on stable storage, or with --smtp an answer of the server.
type injected struct {
	ID        string `json:"id,omitempty" col:"ID,keep"`
	Recipient string `json:"recipient,omitempty" col:"RECIPIENT"`
	Answer    string `json:"answer,omitempty" col:"ANSWER"`
}

func newInject(c *cli.Console) *cobra.Command {
	var f injectFlags
	cmd := &cobra.Command{
		Use:   "inject [--from ADDRESS] [--to ADDRESS]… [--mbox] [--smtp HOST:PORT] [FILE]",
		Short: "Take a message from stdin into the spool",
		Long: `inject reads one message (RFC 5322), or with --mbox many, from FILE or stdin, and brings it into the spool. It prints
the ids of the messages once they are on stable storage, one for each recipient.

A daemon that owns the spool does the work; without one this process does it, and the next daemon delivers. Either
way the policy's smtp_server_message_received runs, with reception_protocol "Inject".

Without --from the sender is that of the Sender or From header; --from '<>' is the null sender. Without --to the
recipients are those of To, Cc and Bcc. Bcc is taken out. Line ends become CRLF; a bare carriage return is an error.

With --smtp the messages are sent to that server instead, as any mail client would.

A message of an mbox that the policy or the server refuses is told of by its number, and the others are taken in all
the same. One that cannot be read ends the work there.

Without a daemon it begins a new spool only where the policy has its own, or with --spool in an empty directory: a
typing error does not make a place where no daemon will look.

Exit codes: 0 done; 1 failed, nothing of the message is spooled; 2 usage; 3 some messages of the mbox were taken in,
others were not; 10 there is no spool; 12 the daemon does not answer.`,
		Example: `  kumo inject < message.eml
  kumo inject --from me@example.com --to you@example.org < message.eml
  kumo inject --mbox --format jsonl < archive.mbox
  kumo inject --smtp 127.0.0.1:2525 < message.eml`,
		Args: args(0, 1, "at most one file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			file := "-"
			if len(args) > 0 {
				file = args[0]
			}
			return inject(cmd.Context(), c, f, file)
		},
	}
	cmd.Flags().StringVar(&f.from, "from", "", "envelope sender `ADDRESS`; else that of the Sender or From header")
	cmd.Flags().StringArrayVar(&f.to, "to", nil, "envelope recipient `ADDRESS`, may be repeated; else those of To, Cc and Bcc")
	cmd.Flags().BoolVar(&f.mbox, "mbox", false, "read an mbox file with many messages")
	cmd.Flags().StringVar(&f.smtp, "smtp", "", "send to the SMTP server `HOST:PORT` instead")
	cmd.Flags().StringVar(&f.spool, "spool", "", "spool directory `DIR`; else $KUMO_SPOOL, else the policy says")
	cmd.Flags().StringVar(&f.policy, "policy", "", "policy `FILE` that says where the spool is, and that runs when no daemon does")
	return cmd
}

// taker is a way for letters to go.
type taker interface {
	// take brings letters in and says what became of each; with an error, of those at the front only.
	take(ctx context.Context, letters []*node.Letter) ([]taken, error)
	Close() error
}

// taken is what became of a letter.
type taken struct {
	rows    []injected
	refused string // why it was not taken in, "" if it was
}

func inject(ctx context.Context, c *cli.Console, f injectFlags, file string) (err error) {
	in, err := c.Open(file)
	if err != nil {
		return err
	}
	defer in.Close()
	b := &batch{ctx: ctx, console: c, many: f.mbox}
	if f.mbox {
		// The way in is opened with the first letter: bad input then creates nothing.
		b.open = func() (taker, error) { return openTaker(ctx, f) }
		defer b.close(&err)
		err := mail.Mbox(in, node.MaxLetter, func(line int, text []byte) error {
			l, err := node.ReadLetter(text, f.from, f.to)
			if err != nil {
				return letterError("inject", err, line-1)
			}
			return b.add(l)
		})
		if err == nil {
			err = b.flush()
		}
		return b.outcome(err)
	}
	text, err := io.ReadAll(io.LimitReader(in, node.MaxLetter+1))
	if err != nil {
		return cli.Failf("inject: %w", err)
	}
	l, err := node.ReadLetter(text, f.from, f.to)
	if err != nil {
		return letterError("inject", err, 0)
	}
	b.open = func() (taker, error) { return openTaker(ctx, f) }
	defer b.close(&err)
	if err = b.add(l); err == nil {
		err = b.flush()
	}
	return b.outcome(err)
}

// letterError says what is wrong with a message that begins after so many lines of the input.
func letterError(verb string, err error, before int) error {
	var at *mail.LineError
	if errors.As(err, &at) {
		return cli.Failf("%s: line %d: %s", verb, at.Line+before, at.What)
	}
	if before > 0 {
		return cli.Failf("%s: the message that begins at line %d: %w", verb, before+1, err)
	}
	return cli.Failf("%s: %w", verb, err)
}

func openTaker(ctx context.Context, f injectFlags) (taker, error) {
	if f.smtp != "" {
		return dialSMTP(f.smtp)
	}
	in, err := node.OpenInjector(ctx, f.spool, node.Options{Policy: f.policy, Version: version})
	if err != nil {
		return nil, err
	}
	return spoolTaker{in}, nil
}

// batch gathers letters, so that an mbox costs one sync for many messages and not one for each.
type batch struct {
	ctx     context.Context
	console *cli.Console
	many    bool // an mbox
	open    func() (taker, error)
	taker   taker
	letters []*node.Letter
	bytes   int
	rows    []injected
	done    int    // letters taken in
	refused int    // letters refused
	why     string // the last one was
}

const (
	batchLetters = 100
	batchBytes   = 8 << 20
)

func (b *batch) add(l *node.Letter) error {
	b.letters = append(b.letters, l)
	if b.bytes += len(l.Data); len(b.letters) < batchLetters && b.bytes < batchBytes {
		return nil
	}
	return b.flush()
}

func (b *batch) flush() error {
	if len(b.letters) == 0 {
		return nil
	}
	if b.taker == nil {
		var err error
		if b.taker, err = b.open(); err != nil {
			return err
		}
	}
	all, err := b.taker.take(b.ctx, b.letters)
	for _, t := range all {
		b.note(t)
	}
	b.letters, b.bytes = b.letters[:0], 0
	b.console.Progress("%d messages", b.done)
	return err
}

// note counts one letter. Of several each that is refused is told of at once.
func (b *batch) note(t taken) {
	if t.refused == "" {
		b.rows = append(b.rows, t.rows...)
		b.done++
		return
	}
	b.refused++
	b.why = t.refused
	if b.many {
		b.console.Warn("message %d is refused: %s", b.done+b.refused, t.refused)
	}
}

func (b *batch) close(err *error) {
	if b.taker == nil {
		return
	}
	if e := b.taker.Close(); *err == nil && e != nil {
		*err = cli.Failf("inject: %w", e)
	}
}

// outcome prints what was taken in, and says how a failure stands beside that.
func (b *batch) outcome(err error) error {
	b.console.Done()
	switch {
	case b.done == 0 && err != nil:
		return spoolError("inject", err)
	case b.done == 0 && b.refused > 0:
		return cli.Failf("inject: %s", b.why)
	}
	if perr := b.console.Print(b.rows); perr != nil {
		return perr
	}
	switch {
	case errors.Is(err, context.Canceled):
		return cli.Errorf(cli.CodeInterrupted, "inject: interrupted: %d messages are taken in so far", b.done)
	case errors.Is(err, node.ErrDaemonSlow):
		return cli.Errorf(cli.CodePartly, "inject: %d messages are taken in so far: %w", b.done, err)
	case err != nil:
		return cli.Errorf(cli.CodePartly, "inject: %d messages are taken in, the rest is not: %w", b.done, err)
	case b.refused > 0:
		return cli.Errorf(cli.CodePartly, "inject: %d of %d messages are taken in", b.done, b.done+b.refused)
	}
	return nil
}

// spoolTaker brings letters into a spool.
type spoolTaker struct{ *node.Injector }

func (s spoolTaker) take(ctx context.Context, letters []*node.Letter) ([]taken, error) {
	all, err := s.Inject(ctx, letters...)
	out := make([]taken, len(all))
	for i, in := range all {
		out[i] = taken{rows: injectedRows(in.IDs, letters[i]), refused: in.Refused}
	}
	return out, err
}

func injectedRows(ids []message.ID, l *node.Letter) []injected {
	rows := make([]injected, len(ids))
	for i, id := range ids {
		rows[i].ID = id.String()
		if len(ids) == len(l.Recipients) {
			rows[i].Recipient = l.Recipients[i].String()
		}
	}
	return rows
}

// smtpTaker sends letters to a server with a client that is not ours, one at a time.
type smtpTaker struct{ c *gosmtp.Client }

func dialSMTP(addr string) (taker, error) {
	c, err := gosmtp.Dial(addr)
	if err != nil {
		return nil, cli.Failf("inject: connect to %s: %w", addr, err)
	}
	return smtpTaker{c}, nil
}

func (s smtpTaker) take(_ context.Context, letters []*node.Letter) ([]taken, error) {
	var out []taken
	for _, l := range letters {
		rows, err := s.send(l)
		var no *gosmtp.SMTPError
		switch {
		case err == nil:
			out = append(out, taken{rows: rows})
		case errors.As(err, &no) && s.c.Reset() == nil:
			out = append(out, taken{refused: err.Error()})
		default:
			return out, err
		}
	}
	return out, nil
}

func (s smtpTaker) send(l *node.Letter) ([]injected, error) {
	wide := mail.NeedsUTF8(l.Sender)
	for _, r := range l.Recipients {
		wide = wide || mail.NeedsUTF8(r)
	}
	// The addresses are in wire form, quotes included, so that the client can write them as they are.
	if err := s.c.Mail(l.Sender.String(), &gosmtp.MailOptions{UTF8: wide}); err != nil {
		return nil, fmt.Errorf("MAIL FROM:<%s>: %w", l.Sender, err)
	}
	for _, r := range l.Recipients {
		if err := s.c.Rcpt(r.String(), nil); err != nil {
			return nil, fmt.Errorf("RCPT TO:<%s>: %w", r, err)
		}
	}
	w, err := s.c.Data()
	if err != nil {
		return nil, fmt.Errorf("DATA: %w", err)
	}
	if _, err := io.Copy(w, bytes.NewReader(l.Data)); err != nil {
		return nil, fmt.Errorf("message: %w", err)
	}
	answer, err := w.CloseWithResponse()
	if err != nil {
		return nil, fmt.Errorf("message: %w", err)
	}
	rows := make([]injected, len(l.Recipients))
	for i, r := range l.Recipients {
		rows[i] = injected{Recipient: r.String(), Answer: "250 " + answer.StatusText}
	}
	return rows, nil
}

func (s smtpTaker) Close() error { return s.c.Quit() }
