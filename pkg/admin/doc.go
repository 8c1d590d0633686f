// Package admin is the HTTP listener: liveness for whoever watches the node, metrics for those who are trusted.
//
//  1. Every resource is one row of a table: path, methods, who may ask. What has no row does not exist.
//  2. A request is matched by the bytes of its target, undecoded and uncleaned, so that no spelling of a path reaches
//     what its plain spelling would not.
//  3. Who asks is the address of the TCP peer and nothing else: no header can add trust.
//  4. Resources for the trusted also look at Host, Origin and Sec-Fetch-Site, because a web page on a trusted machine
//     can make its browser ask: names that are not ours (DNS rebinding) and foreign origins are refused.
//
// Invariants: "deny-by-default": to a peer that is not trusted everything but liveness is 403, to the others what has
// no row is 404. "one-request": a request whose body is framed by Transfer-Encoding is the last one of its connection.
// "bounded": header bytes, body bytes, connections and every wait have a limit.
//
// Not done here: TLS, authentication, access control lists, and the rest of the API.
package admin
