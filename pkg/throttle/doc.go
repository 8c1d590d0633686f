// Package throttle limits rates and concurrency: the specs that operators write, limiters of this process, and the
// seat for a store that several nodes share.
//
//  1. A Spec ("100/s,max_burst=10") or ConnLimit ("local:32") is read from an option.
//  2. Key makes the name of its bucket. It contains the spec, so that a changed spec starts a fresh bucket.
//  3. A Store takes tokens from a bucket (Throttle) or holds a seat under a limit (Lease). Stores.For sends specs
//     that begin with "local:" to the local store and all others to the shared one, if there is one.
//  4. Rates follow GCRA: one number per bucket, the theoretical arrival time of the next token. A token is spaced
//     period/limit (rounded up) after the one before; max_burst+1 of them may come at once.
//
// Invariants:
//   - never-above: in any stretch of time t at most max_burst+1 + t/interval tokens are given out. A clock that steps
//     forward gives at most one full burst; a clock that steps back never opens the bucket and never closes it for
//     longer than the bucket needs to refill.
//   - all-or-nothing: a refused Take takes nothing.
//   - no-seat-lost: a lease ends when it is released, or when it was not extended for its time to live.
//   - bounded: a local store forgets buckets that are full again, and holds at most MaxKeys others.
//
// Not done here: waiting, delaying messages, and the shared store itself. What a shared store that is down means is
// its caller's decision; throttletest.Store says what every store has to keep.
package throttle
