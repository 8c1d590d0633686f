// Package metric declares metrics, each once, with its help text, and serves them as Prometheus text.
//
// A Registry is made by node and handed down; there is no global registry. A room declares its metrics in a
// struct made by New<Room>Metrics(*metric.Registry), and resolves label values to a child once per queue or
// site, never per message: With(labels) on the hot path costs ten times the increment.
package metric
