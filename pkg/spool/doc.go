// Package spool keeps every message that was acknowledged until it has ended: an append-only log of segments that
// is the truth, a SQLite index that is a convenience, and orders that other processes leave for the owner.
package spool
