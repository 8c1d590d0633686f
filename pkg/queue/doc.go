// Package queue knows WHEN: it holds the scheduled queues, by name, and takes every message back that was tried.
//
//  1. Insert takes a message that intake has stored. One that is due goes straight on: the queue's configuration is
//     asked of policy (Configs) and kept, the Planner says to which ready queue, max_message_rate is asked, and the
//     Feed takes it. One that is due later, or that the Feed has no room for, is scheduled and leaves memory.
//  2. A scheduled queue is a heap of entries of 40 bytes without pointers; the message itself is in the Store.
//  3. The agenda orders the queues by their earliest due entry. One goroutine (Run) sleeps until the first; a worker
//     then takes a batch of what is due, finds room for each message, and only then loads it.
//  4. Settle takes a message back with its attempts: one record per recipient, recipients that ended leave the
//     envelope, and what is left is scheduled again by the retry intervals, or expires.
//  5. Orders carries out what operators want done to messages that wait: the store first, a page at a time by one
//     record; then what is in memory is brought in line with it.
//
// DESIGN.md says how back-pressure, clocks and the schedule work, and where they differ from KumoMTA's.
//
// Invariants:
//   - exactly-one-end: a message ends by one call of Store.End, after the records that say why.
//   - record-first: what became of a message is recorded before the store learns of it; a crash between the two
//     repeats, and never hides.
//   - one-owner: a message is in one place: a heap, a worker's hand, or a ready queue.
//   - bounded: a waiting message costs its entry; arrivals for queues without a plan are kept in memory in bounded
//     number; due messages are loaded when there is room for them.
//   - monotonic: steps of the wall clock neither expire nor hurry nor hold up what is scheduled.
//   - one-entry: a message that waits has one entry; entries that an order has overtaken are told by their stamp.
//   - no-hidden-change: what an order does to a message is in the log, whatever crashes in between.
//
// Not done here: where mail goes (egress), how many connections (ready), how it is said (delivery), which messages an
// order matches (spool).
package queue
