// Package mail knows what a message is made of: envelope paths in wire form (RFC 5321 4.1.2), header fields
// (RFC 5322), encoded words (RFC 2047) and address lists.
//
//  1. ParsePath, CutPath and ParseAddress check an address completely and keep it as the peer wrote it.
//  2. Fields, First, All and Count walk the header where it stands in the message; nothing is parsed ahead.
//  3. Prepend, Append and Remove give a new message by copying it once.
//  4. AppendField is the only way to write a field; Decode and ParseAddressList read the values.
//
// Invariant "wire-form": an address is kept as the peer wrote it, quotes included; printing a parsed path and
// parsing it again gives the same mailbox, and no printed path can end a command or add a parameter.
// Invariant "one-field": what AppendField writes is one field, whatever name and value it is given.
// Invariant "linear": every function takes time linear in its input and recurses nowhere.
//
// Decision: local parts of more than 64 octets, empty atoms (`a..b@c`), domains with a trailing dot and bare IP
// addresses as domains are refused, as RFC 5321 has it; underscores in domains and `[::1]` are taken.
//
// Not done here: envelopes of messages (message), judging who may relay (listener), signatures (mailauth).
package mail
