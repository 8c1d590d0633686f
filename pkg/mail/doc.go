// Package mail knows what a message is made of: envelope paths in wire form (RFC 5321 4.1.2), header fields
// (RFC 5322) and their encoded words (RFC 2047).
//
// Invariant "wire-form": an address is kept as the peer wrote it, quotes included; printing a parsed path and
// parsing it again gives the same mailbox, and no printed path can end a command or add a parameter.
package mail
