// Package egress knows where mail goes and why: sources, pools and paths; Plan decides, Targets and Dial connect.
//
// A plan for a message of a scheduled queue:
//
//  1. The pool of the queue; "unspecified" is reserved, has one source of the same name, and neither is looked up.
//  2. The source whose turn it is by weighted round robin. The state is the queue's own (Turn) and begins anywhere.
//  3. The hosts: mx_list, else the MX of the routing domain, else of the domain. A null MX ends here.
//  4. The ready queue: SOURCE->SITE@smtp_client, SITE being the roll-up of the hosts or "mx_list:a,b/10.0.0.1".
//  5. The path: what policy says about that ready queue. All queues that feed it share the answer.
//  6. A source whose ready queue is full is passed over while others are not; when all are full the first stays.
//
// Everything is remembered: pools and sources for their ttl, paths for refresh_interval or until the configuration
// epoch changes, hosts for the TTL of DNS. A queue in use finds its plan in its Turn, without look-up or allocation.
//
// A session takes the plan's hosts to addresses (Targets) and connects to one after the other (Dial).
//
// Invariants, each with a test:
//   - shared-immutable: a Plan, its Source and its Path are never changed once they are out.
//   - failure-is-a-value: whatever goes wrong is a *Failure that says what becomes of the messages; only a null MX and
//     a prohibited host are permanent. Policy and DNS that fail are temporary (451 4.4.4).
//   - no-loop-to-self: no target is on prohibited_hosts; loopback and the any-address are on it by default.
//   - bounded: 100 targets per session, 20 s for all their addresses, memories have sizes.
//
// Not done here: counting and limiting (ready), speaking SMTP (delivery), proxies, suspending sources.
package egress
