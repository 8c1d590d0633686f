// Package listener speaks SMTP to peers that bring mail (RFC 5321): our own session loop, because the wire is where
// trust begins. It decides who may speak and what is a whole message; everything else is asked of others.
//
//  1. Serve takes connections, up to max_connections; each gets a goroutine, a 4 KiB buffer and a session.
//  2. The banner, or 421 4.3.2 when the Gate is shut.
//  3. Read in bulk; take one command line out of the buffer; answer into an output buffer. Both buffers are
//     independent of commands: a pipelined group (RFC 2920) costs one read and one write.
//  4. MAIL and RCPT make the envelope. Each recipient is accepted or refused at once (relay).
//  5. DATA reads the message into the same buffer, which grows from a pool while it is needed, and unstuffs it in
//     place (body). When the end has come the message is judged, and handed to Intake.
//  6. Every refusal but 421 4.3.2 leaves a Rejection record.
//  7. At shutdown idle peers hear 421 4.3.2 and messages on the way have ten seconds (Serve).
//
// Invariants:
//   - crlf-dot-crlf: only CRLF "." CRLF ends a message, and only CRLF ends a command. No combination of bare CR, bare
//     LF and dots does either, whatever invalid_line_endings says, and no bare CR or LF gets past this room.
//   - whole-or-nothing: Intake sees a message only when its end has been read. What is left of a message that was
//     broken off, of a BDAT chunk or of an over-long line is never read as commands.
//   - peer-is-tcp: who a peer is, is the address of its TCP connection and nothing that it says.
//   - clear-ends: nothing said before the TLS handshake counts after it; a failed handshake ends the session.
//   - no-echo: no control character that a peer sent comes back in a reply or gets into a record.
//   - bounded: lines (2,048 bytes), messages, recipients, errors (20), refused recipients (100), idle commands (100),
//     waits for whole lines and whole messages, and writes that the peer does not take.
//   - fault-is-421: an error of policy is 421 4.3.0 and a record with its text; a panic costs its session only.
//
// Files: server.go and wire.go carry connections, session.go and commands.go converse, envelope.go and relay.go decide
// about addresses, data.go and body.go take messages, replies.go answers and records, tls.go encrypts.
// DESIGN.md has the decisions.
//
// Not offered here, and refused: AUTH, SIZE, CHUNKING, XCLIENT, the PROXY protocol, DSN parameters. Not done here:
// parsing messages, Received fields, storing (intake).
package listener
