// Package metric declares metrics, each once, with its help text, and serves them as Prometheus text.
//
// A Registry is made by node and handed down; there is no global registry. A room declares its metrics in a
// struct made by New<Room>Metrics(*metric.Registry), and resolves label values to a child once per queue or
// site, never per message: finding a child costs twenty times what incrementing it does.
//
//  1. A declaration (CounterVec(Def{…})) registers a name with its help and labels. Declaring the same thing again
//     gives the same metric; declaring something else under a taken name panics.
//  2. With(values…) gives a handle. The series comes into being when the handle is first used.
//  3. Delete(values…) takes the series of something that is gone (a reaped queue) out of the exposition.
//
// Invariants:
//   - first-use: a series does not appear before it was counted, set or observed once.
//   - nil-safe: a nil *Registry gives metrics that work and are exposed nowhere; a nil handle or vector does nothing.
//   - hostile-labels: label values that are not UTF-8 are repaired, never a panic.
//
// Not done here: access control of the endpoint, and the JSON form of the metrics (Snapshot has what it needs).
package metric
