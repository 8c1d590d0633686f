package policy

import (
	"strings"
	"testing"

	"kumo/pkg/dns"
	"kumo/pkg/message"
)

// zones is a policy whose init makes names known, and a handler that asks.
func zones(chunk string) string {
	return `kumo.on('init', function() ` + spools + `
  kumo.dns.configure_test_resolver { [[
$ORIGIN example.com.
@    600 MX 10 mx1
@    600 MX 20 mx2
@    600 TXT "v=spf1 -all"
mx1  600 A 192.0.2.1
mx1  600 AAAA 2001:db8::1
]], [[
$ORIGIN 2.0.192.in-addr.arpa.
1 600 PTR mx1.example.com.
]] }
  kumo.dns.define_resolver('rbl', { Test = { zones = { [[
$ORIGIN rbl.example.
2.0.0.127 600 A 127.0.0.2
2.0.0.127 600 TXT "listed for a good reason"
]] } } })
  kumo.dns.define_resolver('both', { Aggregate = { Test = { zones = { "x.example. 600 A 192.0.2.9" } }, { Test = { zones = { "y.example. 600 A 192.0.2.8" } } } } })
  kumo.dns.set_mx_timeout '2s'
  kumo.dns.set_mx_negative_cache_ttl(60)
  kumo.dns.set_mx_concurrency_limit(7)
end)
kumo.on('smtp_server_message_received', function(msg) ` + chunk + ` end)`
}

func TestLookups(t *testing.T) {
	for _, chunk := range []string{
		`local mx = kumo.dns.lookup_mx 'example.com'
assert(mx.domain_name == 'example.com.' and mx.is_mx and not mx.is_domain_literal and mx.hosts[2] == 'mx2.example.com.')
assert(mx.by_pref[10][1] == 'mx1.example.com.' and mx.by_pref[20][1] == 'mx2.example.com.' and mx.site_name:find 'mx')`,
		`local mx = kumo.dns.lookup_mx '[192.0.2.7]' assert(mx.is_domain_literal and mx.hosts[1] == '192.0.2.7')`,
		`assert(table.concat(kumo.dns.lookup_addr 'mx1.example.com', ' ') == '192.0.2.1 2001:db8::1')`,
		`assert(table.concat(kumo.dns.lookup_addr('mx1.example.com', nil, 'Ipv6Only'), ' ') == '2001:db8::1')`,
		`assert(kumo.dns.lookup_txt('example.com')[1] == 'v=spf1 -all')`,
		`assert(kumo.dns.lookup_ptr('192.0.2.1')[1] == 'mx1.example.com.')`,
		`local ip, why = kumo.dns.rbl_lookup('127.0.0.2:25', 'rbl.example', 'rbl') assert(ip == '127.0.0.2' and why == 'listed for a good reason')`,
		`local ip, why = kumo.dns.rbl_lookup('127.0.0.3', 'rbl.example', 'rbl') assert(ip == nil and why == nil)`,
		`assert(kumo.dns.ptr_host '[2001:db8::1]:25' == '1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa')`,
		`assert(kumo.dns.lookup_addr('x.example', 'both')[1] == '192.0.2.9' and kumo.dns.lookup_addr('y.example', 'both')[1] == '192.0.2.8')`,
	} {
		p := load(t, zones(chunk))
		setup, err := p.Start(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		r, err := setup.NewResolver(dns.Config{})
		if err != nil {
			t.Fatal(err)
		}
		p.UseResolver(r)
		if err := p.MessageReceived(t.Context(), "ESMTP", newMessage(""), message.NewMeta(nil)); err != nil {
			t.Errorf("%s: %v", chunk, err)
		}
		if setup.DNSLimits.MXTimeout.Seconds() != 2 || setup.DNSLimits.MXNegativeTTL.Seconds() != 60 || setup.DNSLimits.MXConcurrency != 7 {
			t.Errorf("%+v", setup.DNSLimits)
		}
	}
}

func TestLookupsInInit(t *testing.T) {
	p := load(t, zones(``)+` `)
	if _, err := p.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	for chunk, want := range map[string]string{
		`assert(kumo.dns.lookup_addr('a.example')[1] == '192.0.2.5')`:                  "",
		`kumo.dns.lookup_mx 'nowhere.example'`:                                         "kumo.dns.lookup_mx: ",
		`kumo.dns.lookup_addr('a.example', 'none')`:                                    `no resolver is called "none"`,
		`kumo.dns.lookup_addr('a.example', nil, 'Ipv5')`:                               "expected Ipv4AndIpv6",
		`kumo.dns.reverse_ip 'x'`:                                                      `"x" is no IP address`,
		`kumo.dns.define_resolver('r', 'Bind')`:                                        "HickorySystemConfig",
		`kumo.dns.define_resolver('r', { Bind = {} })`:                                 `"Bind": expected`,
		`kumo.dns.define_resolver('r', { Test = { nope = 1 } })`:                       "nope",
		`kumo.dns.define_resolver('r', {})`:                                            "expected { Hickory",
		`kumo.dns.define_resolver('r', { Aggregate = {} })`:                            "an Aggregate of nothing",
		`for i = 1, 2 do kumo.dns.define_resolver('r', { Test = { zones = {} } }) end`: "defined already",
		`kumo.dns.set_mx_timeout 'soon'`:                                               "invalid value",
		`kumo.dns.set_mx_concurrency_limit(0)`:                                         "a number from 1",
	} {
		p := load(t, `kumo.on('init', function() `+spools+` kumo.dns.configure_test_resolver { "a.example. 600 A 192.0.2.5" } `+chunk+` end)`)
		_, err := p.Start(t.Context())
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %s", chunk, err, want)
		}
	}
}
