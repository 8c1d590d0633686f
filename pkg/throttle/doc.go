// Package throttle limits rates and concurrency: the spec that operators write, a local limiter (GCRA), and the
// seat for a shared store.
package throttle
