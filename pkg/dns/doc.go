// Package dns resolves names: MX sets with their site names, addresses with the hosts file, and zones in memory for
// tests and for kumo.dns.configure_test_resolver. The DNS library is imported here and nowhere else.
//
// A lookup:
//
//  1. The name is made canonical: A-labels, lower case, always asked for with the root dot. Literals need no lookup.
//  2. The cache answers, failures included; else the first who wants a name asks, and the others wait for that answer.
//  3. localhost and the hosts file come before DNS for addresses. A name with dots is asked for its MX first, because
//     the machine's own name usually stands in that file and its mail may live elsewhere; when DNS has none, or does
//     not answer, the hosts file's word holds.
//  4. A question goes to the servers in rounds (client.go); an alias is followed, 8 links at most.
//  5. Answers are kept for their TTL, within bounds; "no such name" for 5 minutes; failures for 30 s.
//
// Invariants, each with a test:
//   - asked-only: an answer counts only with the id, the question and the server of its query; each query has a random
//     id and a port of its own; records of other names in it are not looked at.
//   - bounded: an answer has at most 64 KiB, 8 aliases, 50 MX hosts and 32 addresses per host are used, a lookup takes
//     at most 5 s, 128 MX lookups run at once, each cache has a size.
//   - failing-is-temporary: SERVFAIL, REFUSED, silence and nonsense are Temporary; only NXDOMAIN and NODATA are answers.
//   - shared-immutable: *MX and address lists come from the cache and are changed by nobody.
//
// Decision: a lookup that got no answer is kept 30 s and not 5 minutes (KumoMTA's set_mx_transient_negative_cache_ttl):
// long enough that a dead resolver is not asked for every message, short enough that mail flows when it is back.
//
// Not done here: DNSSEC validation, TLSA, MTA-STS; choosing among the hosts (egress).
package dns
