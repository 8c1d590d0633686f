// Package smtp holds what both sides of an SMTP conversation share: replies and enhanced status codes, the error
// that a peer hears, TLS settings, and the pipelining client connection with its timeouts.
package smtp
