// Package spool keeps every message that was acknowledged until it has ended: an append-only log of segments that
// is the truth, a SQLite index that is a convenience, and orders that other processes leave for the owner.
//
//  1. Accept encodes its messages in the caller's goroutine, adds them to the batch that is being filled, and waits.
//  2. One goroutine, the committer, takes the batch, writes it to the active segment and syncs it; the next batch
//     fills meanwhile. Then everybody who waits is answered at once.
//  3. Update, Reschedule and End add lazy records, which ride with the next batch or follow within 10 ms.
//  4. A table in memory knows where each live message stands, in 64 bytes without a pointer.
//  5. Segments that nothing alive needs are deleted, oldest first. When too little of the log is alive, what is left in
//     the oldest segment is copied to the end.
//  6. Orders change the state of many messages by one record: Apply holds, bounces into the trash, brings back, ends.
//  7. Open replays the segments and knows again what was alive.
//
// FORMAT.md draws the files, DESIGN.md says why, and what a crash at each step does.
//
// Invariants:
//   - durable-250: Accept returns nil only after write and sync of its records, and of the names of the files they
//     stand in, succeeded.
//   - all-or-none: after an error of Accept none of its messages is alive, now or after a restart.
//   - one-owner: one process writes a spool; everybody may read.
//   - no-second-sync: a segment whose write or sync failed is never written or synced again; a new one is begun.
//   - prefix: a segment is deleted only when it and all older ones hold nothing alive.
//   - void-or-true: a copy of a record that reaches the log is true when it is written; what overtakes it stands behind it.
//   - one-hand: a message that is Taken is in one place; orders leave it alone.
//   - presence: what is in the log is alive whatever the clock says.
//
// Not done here: deciding when a message is due or what became of it (queue), the verbs that show it.
package spool
