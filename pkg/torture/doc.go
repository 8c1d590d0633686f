// Package torture breaks spools on purpose and proves that nothing acknowledged is lost.
//
//  1. The seed and the number of a point draw everything: its kind (kinds.go), the spool's settings, the operations,
//     and the place where it breaks.
//  2. A point runs operations on a spool (ops.go) and tells a model (model.go) what it did and what it was answered.
//     The model is a map in memory and knows nothing of the spool's code.
//  3. Then the disk fails, lies, fills up, or the power goes, or the process is killed. What is left is opened again, and
//     everything in it is compared with what the model allows (verify.go). This happens a few times over.
//  4. Points run in bubbles of testing/synctest, where an hour takes no time and the same seed runs the same way.
//     Those that kill a real daemon (kill.go) run in real time, under SMTP load, with a sink that counts.
//
// Invariants that it looks after:
//   - durable-250: what Accept answered is there, byte for byte.
//   - exactly-one-end: what has ended for good stays away; what was not ended is there once.
//   - bounded duplicates: only an end that was not synced yet may be forgotten; DESIGN.md says when it is.
//   - states and due times are those of the latest change that is certain, or of a later one.
//   - orders are carried out once.
//
// Not done here: delivery, policy, listeners; they are tortured only by the points that kill a daemon.
package torture
