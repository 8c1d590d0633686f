// Package node is the composition root: it knows every room and does nothing but connect them.
//
// kumo serve, in order (semantics.md 1):
//
//  1. Become the user of --user, keeping only the right to bind low ports.
//  2. Load the policy, run pre_init and init: they declare spools, logs and listeners. A mistake ends here, with
//     nothing bound and nothing created.
//  3. Open the logs: a daemon that cannot write them takes no mail.
//  4. Take the spool's lock, so that a second daemon says who holds it and not that the ports are taken; bind the
//     listeners; refuse mail with 421 4.3.2 until the spool has started.
//  5. Recover the spool; write the records again that died with a daemon that was killed, and those of orders that
//     verbs carried out without one; take up what stands of orders; hand what lives to the scheduled queues, through
//     policy if that wants to see it; open the gate: "initialization complete".
//  6. On the first signal drain in the order of the flow: SMTP listeners, orders, queues, ready queues and their sessions,
//     HTTP listeners (which say 503 until then), what deferred_spool left in memory, spool, logs. On the second, abort.
//
// Invariant "gate": mail is taken only while the spool has started and is healthy, disks have room, the logs can be
// written, memory has headroom, and nobody has asked for a stop.
//
// Invariant "accounted": after a start, each message that the end of the spool's log knows has its records, whatever ended
// the daemon before. Audit proves it: what was received is what ended and what is in the spool.
//
// Not done here: any decision about mail.
package node
