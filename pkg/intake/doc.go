// Package intake is the one way in: whatever brings mail (an SMTP session, an HTTP request, an order of a verb)
// hands a message.Submission to Accept, and gets ids back when, and only when, everything is on stable storage.
//
//  1. Refuse what cannot be mail: no recipients (554 5.5.1), over 100 Received fields (554 5.4.6, a loop).
//  2. Split the recipients into messages by Batch; each message gets its id, its own metadata on the connection's,
//     and its own copy of the data with its Received field, because that names id and recipient.
//  3. Ask policy about each message. One refusal refuses the transaction: a peer gets one answer for all of it,
//     and nothing of it has been stored yet, so there is nothing to take back.
//  4. Add the supplemental trace field, after policy, because it carries metadata that policy sets.
//  5. Work out the queue of each message. Messages for the queue "null" end here.
//  6. Ask the next room whether each queue can be had. That is before storing, so that a broken queue
//     configuration is a temporary failure for the peer and not an orphan in the spool.
//  7. Store all messages in one call, or leave them to the store's care if the listener has deferred_spool: all are durable or none is. A large message for many recipients is not made
//     at once: portions of 64 MiB go through steps 2 to 7 one after the other and leave memory, and when one is
//     refused those before it are withdrawn.
//  8. Write one Reception record per stored message: after storing, because the log must not claim what the disk
//     does not have; before inserting, because the Delivery record of a fast queue must not come first.
//  9. Insert the messages into their queues, and return the ids.
//
// Invariants:
//   - durable-250: ids are returned without an error only after Store.Accept succeeded for every message that is
//     not dropped. The one exception is deferred_spool: messages of a submission that says so are acknowledged when the
//     store has them in memory, unless policy asked for more (set_force_sync, save, shrink), memory is low, or the
//     submission is large or an order's. Their Reception records say "deferred_spool". An orderly stop stores them; a
//     crash loses them.
//   - all-or-none: with an error nothing of the submission is stored, recorded as received, or queued (unless the
//     process dies while it withdraws the portions of a large one).
//   - bounded: a submission costs its data, and 64 MiB or one message more.
//   - local-is-temporary: a fault of ours (disk, queue configuration, time) is never a 5xx.
//
// Decision: a message for the null queue is dropped as KumoMTA does it: its id is returned, it is counted in
// total_messages_dropped, and there is no record of it, because a Reception without an end would read as a loss.
//
// Not done here: reading SMTP (listener), parsing messages for policy (policy, mail), scheduling (queue).
package intake
