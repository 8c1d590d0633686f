// Package dns resolves names: MX sets with their site names, addresses with /etc/hosts, and zone fakes for
// tests and for kumo.dns.configure_test_resolver.
package dns
