package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"kumo/pkg/cli"
	"kumo/pkg/mail"
	"kumo/pkg/message"
	"kumo/pkg/spool"
)

// queueMessage is what kumo queue show prints.
type queueMessage struct {
	queueRow

	Meta    map[string]any `json:"meta"`
	Head    []string       `json:"headers"`
	History []triedRow     `json:"history,omitempty"`
	Body    *string        `json:"body,omitempty"` // with --body
}

// triedRow is one attempt that failed for the time being.
type triedRow struct {
	Number   int       `json:"number" col:"TRY"`
	At       time.Time `json:"time" col:"TIME"`
	Response string    `json:"response" col:"ANSWER"`
	Source   string    `json:"source,omitempty" col:"SOURCE"`
	Peer     string    `json:"peer,omitempty" col:"PEER"`
}

// WriteText prints the envelope, the attempts, the metadata and the header.
func (m queueMessage) WriteText(c *cli.Console, w io.Writer) error {
	row := m.queueRow
	state := string(row.State)
	if row.HeldBy != "" {
		state += " by order " + row.HeldBy
	}
	fields := [][2]string{
		{"id", row.ID},
		{"queue", row.Queue},
		{"sender", "<" + row.Sender + ">"},
		{"recipients", "<" + strings.Join(row.Recipients, ">, <") + ">"},
		{"created", c.Time(row.Created)},
		{"due", c.Time(row.Due)},
		{"state", state},
		{"tries", fmt.Sprint(row.Attempts)},
		{"size", fmt.Sprintf("%d bytes", row.Size)},
		{"last answer", row.Last},
	}
	for _, h := range m.History {
		text := c.Time(h.At) + ": " + h.Response
		if h.Peer != "" {
			text += " (" + h.Peer + ")"
		}
		if h.Source != "" {
			text += " from " + h.Source
		}
		fields = append(fields, [2]string{"try " + strconv.Itoa(h.Number), text})
	}
	for _, k := range sortedKeys(m.Meta) {
		fields = append(fields, [2]string{"meta " + k, fmt.Sprint(m.Meta[k])})
	}
	for _, h := range m.Head {
		fields = append(fields, [2]string{"header", h})
	}
	return writePairs(c, w, fields)
}

// writePairs prints names and values: under each other on a terminal, with a tab between them elsewhere.
func writePairs(c *cli.Console, w io.Writer, pairs [][2]string) error {
	wide := 0
	for _, p := range pairs {
		wide = max(wide, utf8.RuneCountInString(cli.Tame(p[0])))
	}
	var b strings.Builder
	for _, p := range pairs {
		name, value := cli.Tame(p[0]), cli.Tame(p[1])
		switch {
		case value == "":
		case c.OutTTY:
			fmt.Fprintf(&b, "%-*s  %s\n", wide, name, value)
		default:
			b.WriteString(name + "\t" + value + "\n")
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// rawPart is part of a message as it is stored.
type rawPart struct{ data []byte }

// WriteText passes bytes on as they are; on a terminal control characters are shown and line ends are its own.
func (r rawPart) WriteText(c *cli.Console, w io.Writer) error {
	if !c.OutTTY {
		_, err := w.Write(r.data)
		return err
	}
	for line := range bytes.Lines(r.data) {
		text := strings.TrimSuffix(strings.TrimSuffix(string(line), "\n"), "\r")
		if _, err := io.WriteString(w, strings.ReplaceAll(cli.Tame(text), `\t`, "\t")+"\n"); err != nil {
			return err
		}
	}
	return nil
}

func newQueueShow(c *cli.Console, f *spoolFlags) *cobra.Command {
	var headers, body bool
	cmd := &cobra.Command{
		Use:   "show [--headers] [--body] ID",
		Short: "Show one waiting message: envelope, attempts, header, body",
		Long: `show prints what the spool knows of one message, also of one in the trash: envelope, queue, times, state, the latest
attempts with their answers, metadata, and the header.

With --headers it prints the header alone as it is stored, with --body the body, and with both the whole message, byte
for byte. With --format json --body adds the body to the document.

Exit codes: 0 done; 1 there is no such message, or it cannot be read; 2 usage; 10 there is no spool.`,
		Example: `  kumo queue show 5d3f2c4ec60b11f1ad62525400a1b2c3
  kumo queue show 5d3f2c4ec60b11f1ad62525400a1b2c3 --format json
  kumo queue show --headers --body 5d3f2c4ec60b11f1ad62525400a1b2c3 > message.eml`,
		Args: args(1, 1, "one id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := message.ParseID(args[0])
			if err != nil {
				return cli.Usagef("queue show: %w", err).WithHint("kumo queue list shows ids")
			}
			r, err := f.open(cmd.Context(), "queue show")
			if err != nil {
				return err
			}
			defer r.Close()
			v, err := showMessage(cmd.Context(), c, r, id, headers, body)
			if errors.Is(err, spool.ErrGone) {
				return cli.Failf("queue show: message %s is not in the spool", id).WithHint("if it has ended, kumo log tail --all --id %s says how", id)
			}
			if err != nil {
				return spoolError("queue show", err)
			}
			return c.Print(v)
		},
		ValidArgsFunction: func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
			return someIDs(cmd.Context(), f), cobra.ShellCompDirectiveNoFileComp
		},
	}
	cmd.Flags().BoolVar(&headers, "headers", false, "print the header alone, as it is stored")
	cmd.Flags().BoolVar(&body, "body", false, "print the body alone, as it is stored")
	return cmd
}

func showMessage(ctx context.Context, c *cli.Console, r *spool.Reader, id message.ID, headers, body bool) (any, error) {
	row, err := r.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	m, err := r.Message(ctx, id)
	if err != nil {
		return nil, err
	}
	data, err := m.Data()
	if err != nil {
		return nil, err
	}
	head := headEnd(data)
	if c.Format == cli.Text && (headers || body) {
		return rawPart{part(data, head, headers, body)}, nil
	}
	v := &queueMessage{queueRow: rowOf(row), Meta: m.Meta.All()}
	for f := range mail.Fields(data) {
		v.Head = append(v.Head, string(f.Name)+": "+f.Decoded())
	}
	for i, t := range m.History {
		v.History = append(v.History, triedRow{Number: m.Attempts - len(m.History) + i + 1, At: t.At, Response: t.Response, Source: t.Source, Peer: t.Peer})
	}
	if body {
		text := string(data[head:])
		v.Body = &text
	}
	return v, nil
}

// headEnd is where the body begins, behind the empty line.
func headEnd(data []byte) int {
	if i := bytes.Index(data, []byte("\r\n\r\n")); i >= 0 {
		return i + 4
	}
	return len(data)
}

func part(data []byte, head int, headers, body bool) []byte {
	switch {
	case headers && body:
		return data
	case headers:
		return data[:head]
	}
	return data[head:]
}
