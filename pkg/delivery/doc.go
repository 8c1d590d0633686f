// Package delivery is how mail leaves: the carriers of the protocols, SMTP first.
//
// How a message goes out by SMTP:
//
//  1. Open asks the dialer for the targets of the plan and connects to one after the other until one has sent a
//     good banner, answered EHLO (or HELO) and, as enable_tls wants it, gone through STARTTLS. When none does, the
//     Failure carries every host's reason.
//  2. Deliver looks whether the connection is still alive; if it died while idle the message is Unsent.
//  3. Per batch of recipients one transaction: RSET (not the first), MAIL, the RCPTs and DATA in one write when the
//     peer offers PIPELINING, else step by step; then the text with its end mark.
//  4. Each recipient's outcome comes from its own RCPT reply if that was negative, else from the reply that ended the
//     transaction. Recipients with the same outcome share an Attempt.
//  5. A connection that breaks, times out or says 421 gives transient attempts; where the next message goes is
//     reconnect_strategy. With try_next_host_on_transport_error the message itself goes on to the next host at once, and
//     an attempt of outcome Retried tells of the one that was left.
//  6. Each attempt says what it took: connecting, TLS, the host's time for each answer, as far as a millisecond is reached.
//
// Invariant "every-recipient-once": the Attempts of a Result name each recipient of the message exactly once,
// those apart that are Retried.
// Invariant "no-false-end": a positive outcome comes only from a 2xx reply to the end of the text, asked for on a
// connection where nothing was answered before it was asked.
// Invariant "no-clear-text": with a Required mode no message is sent over a connection without TLS.
// Invariant "bounded": every wait has a timeout of the path, every reply a length, and ctx ends them all.
//
// Not done here: names and addresses to connect to, source addresses and proxies (egress), how many sessions there are,
// rates and max_deliveries_per_connection (ready), retries (queue).
package delivery
