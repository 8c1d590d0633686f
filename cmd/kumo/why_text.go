package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"kumo/pkg/cli"
	"kumo/pkg/message"
	"kumo/pkg/node"
)

// story is a life as kumo why prints it.
type story struct{ *node.Life }

// MarshalJSON is the life alone.
func (s story) MarshalJSON() ([]byte, error) { return json.Marshal(s.Life) }

// WriteText draws a timeline on a terminal. In a pipe it prints a line for each step: time, seconds, record or cause,
// place, text.
func (s story) WriteText(c *cli.Console, w io.Writer) error {
	if !c.OutTTY {
		return s.lines(w)
	}
	var b strings.Builder
	s.head(c, &b)
	for _, p := range s.Steps {
		if p.Record != "" {
			s.record(c, &b, &p)
		} else {
			s.stretch(c, &b, &p)
		}
	}
	if s.Ended.IsZero() {
		s.now(c, &b)
	}
	s.sums(c, &b)
	_, err := io.WriteString(w, b.String())
	return err
}

// lines is the form for a pipe.
func (s story) lines(w io.Writer) error {
	var b strings.Builder
	for _, p := range s.Steps {
		took, what := "-", p.Record
		if p.Record == "" {
			took, what = seconds(p.For), string(p.Cause)
		}
		cells := []string{p.At.Format("2006-01-02T15:04:05.000Z07:00"), took, what, where(&p), text(&p)}
		for i := range cells {
			if cells[i] = cli.Tame(cells[i]); cells[i] == "" {
				cells[i] = "-"
			}
		}
		b.WriteString(strings.Join(cells, "\t") + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func seconds(s node.Seconds) string {
	return strconv.FormatFloat(time.Duration(s).Seconds(), 'f', 3, 64)
}

// where is the place of a step; settings that nobody made have "default".
func where(p *node.Step) string {
	if p.Where == "" && settings[p.Cause] && p.Note == "" {
		return "default"
	}
	return p.Where
}

// text is what else there is to say of a step.
func text(p *node.Step) string {
	if p.Record == "" {
		return p.Note
	}
	out := p.Response
	if len(p.Recipients) > 0 && p.Record != "Reception" {
		out = "<" + strings.Join(p.Recipients, ">, <") + "> " + out
	}
	return strings.TrimSpace(out)
}

// settings are the causes that are settings of the policy.
var settings = map[message.Cause]bool{
	message.WaitRetry: true, message.WaitRetryCap: true, message.WaitQueueRate: true, message.WaitMessageRate: true,
	message.WaitConnectionRate: true, message.WaitConnectionLimit: true, message.WaitMaxReady: true,
}

const clock = "2006-01-02 15:04:05.000"

// head says whose life it is, and how it stands.
func (s story) head(c *cli.Console, b *strings.Builder) {
	to := "<" + strings.Join(s.Recipients, ">, <") + ">"
	fmt.Fprintf(b, "%s  %s\n", c.Paint(s.ID, cli.Strong), cli.Tame(s.Queue))
	b.WriteString(cli.Clip(cli.Tame(fmt.Sprintf("<%s> to %s, %d bytes", s.Sender, to, s.Size)), c.Width) + "\n")
	end := "after " + span(time.Duration(s.Total))
	if s.Ended.IsZero() {
		end = "for " + span(time.Duration(s.Total)) + " now"
	}
	fmt.Fprintf(b, "%s %s\n\n", c.Paint(s.State, stateStyle(s.State)), end)
}

func stateStyle(state string) cli.Style {
	switch state {
	case node.LifeDelivered, node.LifeMoved:
		return cli.Good
	case node.LifeBounced, node.LifeExpired, node.LifeAdminBounce, node.LifeGone:
		return cli.Bad
	}
	return cli.Warning
}

// record draws one fact.
func (s story) record(c *cli.Console, b *strings.Builder, p *node.Step) {
	style := cli.Strong
	switch p.Record {
	case "Delivery":
		style = cli.Good
	case "TransientFailure", "Delayed":
		style = cli.Warning
	case "Bounce", "Expiration", "AdminBounce":
		style = cli.Bad
	}
	line := strings.TrimSpace(cli.Tame(where(p)) + "  " + cli.Tame(text(p)))
	used := len(clock) + 2 + utf8.RuneCountInString(p.Record) + 2
	fmt.Fprintf(b, "%s  %s  %s\n", p.At.Local().Format(clock), c.Paint(p.Record, style), cli.Clip(line, max(c.Width-used, 20)))
}

// lifeBar is the width of a bar that stands for the whole life.
const lifeBar = 20

// stretch draws what some time went to.
func (s story) stretch(c *cli.Console, b *strings.Builder, p *node.Step) {
	rest := strings.TrimSpace(strings.Join([]string{cli.Tame(where(p)), cli.Tame(p.Note)}, "  "))
	style := cli.Plain
	if p.Cause == message.Unexplained {
		style = cli.Warning
	}
	fmt.Fprintf(b, "  %8s  %s  %s  %s\n", span(time.Duration(p.For)), c.Paint(share(p.For, s.Total), cli.Dim),
		c.Paint(fmt.Sprintf("%-22s", p.Cause), style), cli.Clip(rest, max(c.Width-4-8-lifeBar-26, 20)))
}

// share is a part of the whole, drawn in eighths of a character.
func share(part, whole node.Seconds) string {
	if whole <= 0 {
		return strings.Repeat(" ", lifeBar)
	}
	eighths := int(float64(part) / float64(whole) * lifeBar * 8)
	eighths = min(max(eighths, 1), lifeBar*8)
	s := strings.Repeat("█", eighths/8)
	if n := eighths % 8; n > 0 {
		s += string([]rune("▏▎▍▌▋▊▉")[n-1])
	}
	return s + strings.Repeat(" ", lifeBar-utf8.RuneCountInString(s))
}

// now says what comes next for a message that is still here.
func (s story) now(c *cli.Console, b *strings.Builder) {
	next := ""
	if s.Due.After(c.Now()) {
		next = "  next try " + c.Time(s.Due)
	}
	fmt.Fprintf(b, "%s  %s%s\n", c.Now().Local().Format(clock), c.Paint("now", cli.Strong), next)
}

// sums draws where the time went, by cause.
func (s story) sums(c *cli.Console, b *strings.Builder) {
	if len(s.Sums) == 0 {
		return
	}
	b.WriteString("\n" + c.Paint("Where the time went", cli.Strong) + "\n")
	for _, x := range s.Sums {
		if time.Duration(x.For) < time.Millisecond && x.Cause == message.Unexplained {
			continue
		}
		p := node.Step{Cause: x.Cause, Where: x.Where}
		fmt.Fprintf(b, "  %8s  %s  %5.1f %%  %s\n", span(time.Duration(x.For)), c.Paint(share(x.For, s.Total), cli.Dim), 100*x.Share,
			strings.TrimSpace(fmt.Sprintf("%-22s  %s", x.Cause, cli.Tame(where(&p)))))
	}
	if s.Unexplained > 0 {
		fmt.Fprintf(b, "  of %s, %s have no cause (%.1f %%)\n", span(time.Duration(s.Total)), span(time.Duration(s.Unexplained)), 100*s.Share)
	}
}

// span is a length of time as people read it, with two digits after the point below ten seconds.
func span(d time.Duration) string {
	if d >= time.Second && d < 10*time.Second {
		return strconv.FormatFloat(d.Seconds(), 'f', 1, 64) + "s"
	}
	return cli.ShortDuration(d)
}
