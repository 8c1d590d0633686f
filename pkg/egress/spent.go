package egress

import (
	"time"

	"kumo/pkg/message"
	"kumo/pkg/option"
)

// answer is what policy said about a path.
type answer struct {
	path    *Path
	origins Origins
}

// originsOf finds the settings that Origins names.
func originsOf(t option.Trace) Origins {
	var o Origins
	for i := range t {
		at := t[i].Origin.At
		switch t[i].Name {
		case "connection_limit":
			o.ConnectionLimit = at
		case "max_connection_rate":
			o.MaxConnectionRate = at
		case "max_message_rate":
			o.MaxMessageRate = at
		case "max_ready":
			o.MaxReady = at
		}
	}
	return o
}

// began is when something begins that req wants to know the cost of.
func (p *Planner) began(req *Request) time.Time {
	if req.Spent == nil {
		return time.Time{}
	}
	return p.now()
}

// spent tells req what took until now, if it took long enough.
func (p *Planner) spent(req *Request, cause message.Cause, at string, began time.Time) {
	if req.Spent == nil {
		return
	}
	if d := p.now().Sub(began); d >= message.LeastSpan {
		*req.Spent = message.AddSpan(*req.Spent, message.Span{Cause: cause, At: at, For: d})
	}
}
