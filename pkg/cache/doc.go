// Package cache holds named caches with a time to live and a bound on their size, measured in one place.
//
// A Set is made by node; a room makes its caches in it with New. KumoMTA's cache names have KumoMTA's sizes
// (DefaultCapacity), which the policy can change by name (Set.SetCapacity).
//
//  1. Get finds an entry whose time has not run out; one whose time has is dropped on the spot.
//  2. GetOrLoad, when there is none, runs the caller's load: once per key at a time, whoever else asks waits for it.
//     Waiting ends with the waiter's own context. When the one who loads gives up because its own context ended, one
//     of those who wait loads instead.
//  3. Put beyond the capacity drops the entry that was used (or, with OldestOut, put) longest ago.
//
// Large caches are split into shards by key, each with its part of the capacity, so that sessions do not queue for
// one lock; which entry is the oldest is then decided within a shard.
//
// Invariants:
//   - bounded: a cache never holds more entries than its capacity (a sharded one: rounded up to its shards).
//   - one-load: no two loads of one key overlap, unless the key was put, deleted or purged between their starts.
//   - no-late-ghost: a load that began before Purge, Delete or Put leaves nothing behind.
//   - panic-passes: a load that panics wakes those who wait, with an error, and the panic goes on.
//
// Not done here: serving stale values, refreshing in the background, and the policy's memoize (luahost).
package cache
