package smtp

import "time"

// Wait is time that the peer, or the network before it, took over one stage of the conversation: a command's name as
// in Reply.Command, "body" for taking the text, "TLS" for the handshake.
type Wait struct {
	Stage string
	For   time.Duration
}

// leastWait is what is worth a Wait of its own.
const leastWait = time.Millisecond

// waits adds up what a stage takes until the next one begins. A stage that blocks costs two looks at the clock, one of
// which its deadline needs anyway.
type waits struct {
	stage string
	sum   time.Duration
	done  []Wait
}

// add counts the time since began for stage.
func (w *waits) add(stage string, began time.Time) {
	d := time.Since(began)
	if stage == w.stage {
		w.sum += d
		return
	}
	w.flush()
	w.stage, w.sum = stage, d
}

func (w *waits) flush() {
	if w.sum >= leastWait {
		w.done = append(w.done, Wait{w.stage, w.sum})
	}
	w.sum = 0
}

// Waits returns the stages since the last call that took a millisecond or more, in their order. The result is good
// until the next command. Commands that went in one group count for the first of them.
func (c *Conn) Waits() []Wait {
	c.waits.flush()
	done := c.waits.done
	c.waits.done = done[:0]
	return done
}
