// Package message is the travelling thing: id, envelope, metadata, due time, attempts and a body that is loaded
// when it is needed; and the values that the flow rooms pass each other about it.
//
//  1. A Submission comes from a listener (SMTP, HTTP, an order) to intake.
//  2. intake makes Messages of it, one per recipient or batch.
//  3. queue schedules, ready sends, and each try comes back as Attempts.
//  4. On its way a message keeps an account of its time: Spans with a Cause, told by the next record about it.
//
// A Message belongs to one goroutine at a time; rooms hand it over and forget it. Nothing here locks.
//
// Not done here: parsing (mail), storing (spool), deciding (queue, egress).
package message
