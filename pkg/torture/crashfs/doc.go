// Package crashfs is a disk in memory for the log of a spool, that loses what was not synced. It belongs to torture
// and to the tests of the spool.
//
//  1. Every file has two contents: what the running system sees, and what a power cut leaves for certain. A sync
//     carries sectors of 512 bytes over from the one to the other. Directory entries are kept apart in the same way.
//  2. Operations that change something are counted; the power can be cut before or after any of them, and any can
//     be made to fail, to be slow, or to lie as disks do.
//  3. Crash is the disk after a power cut, with a drawn part of what was not synced; Kill the disk after the death of
//     the process alone.
//
// Invariants:
//   - fsync-gate: what a failed sync did not write, no later sync writes, unless it is written to again.
//   - no-lock-while-slow: a slow operation sleeps without a mutex, so that it can be slow in a bubble of
//     testing/synctest, too.
//
// Not done here: SQLite's files, which do not go through spool.FS.
package crashfs
