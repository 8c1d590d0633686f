// Package ready knows HOW MANY AT ONCE: it holds the ready queues, one for each source, site and protocol, and the
// sessions that send what is in them.
//
//  1. Offer puts a message at the end of the ready queue that its plan names, or says that there is no room
//     (max_ready). It wakes one session that waits, or opens one if the backlog is worth it.
//  2. A session is a goroutine: it waits for max_connection_rate, has a carrier open a connection, and then takes
//     messages one by one, each after max_message_rate has let it pass, until there was none for idle_timeout, the
//     connection ends, or max_deliveries_per_connection is reached.
//  3. What became of a message goes to the Settler. A message that met a connection already dead goes to the front
//     for another session.
//  4. When no connection can be had the messages are given back by the rules of DESIGN.md.
//  5. One goroutine (Run) looks after all ready queues as their times come: idle sessions, pauses, messages that
//     nobody takes.
//
// Invariants:
//   - exactly-one-settle: every message that Offer took is given to the Settler once, whatever the carrier does. The
//     exception is shutdown: what no session has begun is forgotten, because the spool has it.
//   - limits: never more sessions than connection_limit, never more waiting messages than max_ready (but for one per
//     session that gave its message back).
//   - no-hot-loop: a site that refuses is tried after growing pauses, by one session at a time.
//   - no-orphan: while messages wait, somebody is on the way to them or the agenda will look.
//
// Not done here: when a message is tried again (queue), where it goes (egress), how it is said (delivery), limits
// that several nodes share.
package ready
