package queue

import (
	"time"

	"kumo/pkg/egress"
	"kumo/pkg/option"
	"kumo/pkg/throttle"
)

// Strategy is what strategy says: KumoMTA's choice among data structures for scheduled queues.
type Strategy string

// The strategies differ in KumoMTA's costs, never in meaning. Here one agenda serves all queues whatever the policy
// says.
const (
	SingletonTimerWheel Strategy = "SingletonTimerWheel"
	TimerWheel          Strategy = "TimerWheel"
	SkipList            Strategy = "SkipList"
)

// Config says how a scheduled queue treats its messages: kumo.make_queue_config.
type Config struct {
	// Name of the egress pool that mail of this queue is sent from.
	EgressPool string `opt:"egress_pool,default=unspecified"`
	// How long after a failed try the next one is made; doubled with each further try, and jittered by up to a
	// fortieth (at most 30 s) to either side.
	RetryInterval option.Duration `opt:"retry_interval,default=20m"`
	// The longest that the doubled retry_interval may get. Unset: no cap.
	MaxRetryInterval option.Duration `opt:"max_retry_interval"`
	// How old a message may be at its next try. A message that would be older expires.
	MaxAge option.Duration `opt:"max_age,default=7d"`
	// How fast messages may move from this queue to ready queues, such as "100/s".
	MaxMessageRate throttle.Spec `opt:"max_message_rate,since=2024.06.10-84e84b89"`
	// When to ask policy for this configuration again.
	RefreshStrategy egress.RefreshStrategy `opt:"refresh_strategy,default=Ttl,enum=Ttl|Epoch,since=2024.11.08-d383b033"`
	// How old the answer of policy may get with refresh_strategy Ttl.
	RefreshInterval option.Duration `opt:"refresh_interval,default=1m,since=2024.09.02-c5476b89"`
	// How long the queue must be empty and unused before it is forgotten, with its metrics and its round robin state.
	ReapInterval option.Duration `opt:"reap_interval,default=10m,since=2024.09.02-c5476b89"`
	// Name of the mailbox provider, for metrics.
	ProviderName string `opt:"provider_name"`
	// How messages are delivered. Unset: by SMTP to the MX of the domain.
	Protocol egress.Protocol `opt:"protocol"`
	// Accepted for the sake of existing policies; every value means the one agenda that all queues share.
	Strategy Strategy `opt:"strategy,default=SingletonTimerWheel,enum=SingletonTimerWheel|TimerWheel|SkipList,since=2024.09.02-c5476b89"`
	// Accepted for the sake of existing policies; messages that wait are always out of memory here: what is kept of each
	// is smaller than its metadata would be.
	ShrinkPolicy []ShrinkRule `opt:"shrink_policy,since=2025.03.19-1d3f1f67"`
	// Accepted for the sake of existing policies; timers here are exact and do not tick.
	TimerwheelTickInterval option.Duration `opt:"timerwheel_tick_interval,since=2024.09.02-c5476b89"`
}

// ShrinkRule says what leaves memory of messages that wait for as long.
type ShrinkRule struct {
	// The wait from which on the rule holds.
	Interval option.Duration `opt:"interval,required"`
	// What leaves memory.
	Policy egress.MemoryReduction `opt:"policy,required,enum=ShrinkDataAndMeta|ShrinkData|NoShrink"`
}

// schema declares Config; it gives the defaults for queues that policy fails to configure.
var schema = option.SchemaOf[Config]()

// Check refuses what would make mail spin or never move.
func (c *Config) Check() error {
	if c.EgressPool == "" {
		return &option.Error{Option: "egress_pool", Msg: `egress_pool must not be empty; leave it out for the pool "unspecified"`}
	}
	for _, d := range []struct {
		name  string
		value option.Duration
	}{
		{"retry_interval", c.RetryInterval},
		{"max_age", c.MaxAge},
		{"refresh_interval", c.RefreshInterval},
		{"reap_interval", c.ReapInterval},
	} {
		if d.value <= 0 {
			return &option.Error{Option: d.name, Msg: d.name + " must be more than zero"}
		}
	}
	return nil
}

// maxJitter bounds the jitter of a retry to both sides together.
const maxJitter = time.Minute

// interval is the time from a failed try to the next, before jitter. attempts is how many tries had been made
// before the failed one, so that the first failure waits retry_interval itself.
func (c *Config) interval(attempts int) time.Duration {
	d, top := c.RetryInterval.Std(), c.MaxRetryInterval.Std()
	for range attempts {
		if d > longest/2 || (top > 0 && d >= top) {
			break
		}
		d *= 2
	}
	if top > 0 && d > top {
		d = top
	}
	return min(d, longest)
}

// longest keeps doubled intervals far from overflow: nothing waits longer than ten years.
const longest = 10 * 365 * 24 * time.Hour

// jitter is half the width of the interval that a retry time is drawn from.
func (c *Config) jitter() time.Duration { return min(c.RetryInterval.Std()/20, maxJitter) / 2 }

// delay is the time from a failed try to the next. random is in [0,1).
func (c *Config) delay(attempts int, random float64) time.Duration {
	j := c.jitter()
	return c.interval(attempts) + time.Duration((2*random-1)*float64(j))
}
