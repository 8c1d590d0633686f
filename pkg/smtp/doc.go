// Package smtp holds what both sides of an SMTP conversation share: replies and enhanced status codes, the error
// that a peer hears, TLS settings, and the pipelining client connection with its timeouts.
//
// A client's conversation over a Conn:
//
//  1. Read takes the banner; Ehlo says hello and fills Caps; StartTLS upgrades, and Ehlo follows again.
//  2. Rset, Mail, Rcpt and Data queue commands; Flush sends them in one write; Read takes their replies in order.
//  3. WriteBody sends the text with its end mark; Read(".") takes the verdict.
//  4. Check looks at an idle connection before it is used again; Quit says goodbye.
//
// Invariant "no-injection": commands are made of constants and mail.Address only, replies of text without control
// characters; neither can be ended from inside.
// Invariant "asked-first": an answer that came before its question ends the connection (KindEarly).
// Invariant "crlf-only": no bare CR or LF leaves in a message text, and none of its lines is the end mark.
// Invariant "bounded": a reply has at most 100 lines of 1,000 octets and one deadline for the whole of it.
//
// Not done here: what the replies mean for a message (delivery), the server's side of a session (listener), where to
// connect to (egress).
package smtp
