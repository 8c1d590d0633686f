// Package journal says what happened: one record for each fact about a message, written as JSON lines into zstd
// segments.
package journal
