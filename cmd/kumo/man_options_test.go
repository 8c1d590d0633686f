package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"kumo/pkg/admin"
	"kumo/pkg/dns"
	"kumo/pkg/egress"
	"kumo/pkg/journal"
	"kumo/pkg/listener"
	"kumo/pkg/option"
	"kumo/pkg/queue"
	"kumo/pkg/spool"
)

// object is a set of options with a page of its own.
type object struct {
	name   string // "queue-config": the page is kumo-queue-config(5)
	call   string // what makes it in Lua
	result bool   // call's result is what a handler returns; else call stands in init
	schema option.Described
	title  string
	about  string
	// example is a part of a policy; TestManExamples runs it.
	example string
	see     []string
}

// objects are the option structs, in no order that matters.
func objects() []object {
	return []object{
		{
			name: "queue-config", call: "kumo.make_queue_config", result: true, schema: option.SchemaOf[queue.Config](),
			title: "how a scheduled queue treats its messages",
			about: `Mail waits in scheduled queues, one for each combination of campaign, tenant, domain and routing domain:
campaign:tenant@domain!routing_domain. The event get_queue_config is asked for the options of a queue when it is made,
and again as refresh_strategy says. A queue that no handler answers for has the defaults.

A message that could not be delivered is tried again after retry_interval, then after twice that, and so on; it expires
when it would be older than max_age at its next try.`,
			example: `kumo.on('get_queue_config', function(domain, tenant, campaign, routing_domain)
  if domain == 'example.com' then
    -- Our own machine takes this domain's mail.
    return kumo.make_queue_config {
      protocol = { smtp = { mx_list = { 'mail.example.com:2525', '[192.0.2.1]' } } },
    }
  end
  return kumo.make_queue_config {
    egress_pool = tenant,
    retry_interval = '10 minutes',
    max_retry_interval = '2 hours',
    max_age = '1 day 12h',
  }
end)`,
			see: []string{"kumo-queue-list(1)", "kumo-route-test(1)", "kumo-egress-pool(5)", "kumo-egress-path(5)", "kumo-events(7)"},
		},
		{
			name: "egress-path", call: "kumo.make_egress_path", result: true, schema: option.SchemaOf[egress.Path](),
			title: "how to talk to a site from a source",
			about: `The event get_egress_path_config is asked for the options of each combination of site and source: how many
connections, how fast, which timeouts, whether TLS. A site is the set of hosts that take a domain's mail; domains with
the same hosts share it, and share its limits. Without an answer the defaults apply.

Where KumoMTA's manual and its program disagree about a default, the program's is used here, and the text says so.`,
			example: `kumo.on('get_egress_path_config', function(routing_domain, egress_source, site_name)
  return kumo.make_egress_path {
    connection_limit = 10,
    max_message_rate = '1,000/5min,max_burst=20',
    max_connection_rate = 'local:10/s',
    max_deliveries_per_connection = 50,
    enable_tls = 'OpportunisticInsecure',
    idle_timeout = '10s',
  }
end)`,
			see: []string{"kumo-route-test(1)", "kumo-egress-source(5)", "kumo-queue-config(5)", "kumo-events(7)"},
		},
		{
			name: "egress-source", call: "kumo.make_egress_source", result: true, schema: option.SchemaOf[egress.Source](),
			title: "a place that connections come from",
			about: `The event get_egress_source is asked for each source that a pool names. A source has an address of this
machine, or none in particular, and the name that it gives in EHLO.`,
			example: `kumo.on('get_egress_source', function(source_name)
  local addresses = { ['ip-1'] = '192.0.2.1', ['ip-2'] = '192.0.2.2' }
  return kumo.make_egress_source {
    name = source_name,
    source_address = addresses[source_name],
    ehlo_domain = source_name .. '.mta.example.com',
  }
end)`,
			see: []string{"kumo-egress-pool(5)", "kumo-egress-path(5)", "kumo-events(7)"},
		},
		{
			name: "egress-pool", call: "kumo.make_egress_pool", result: true, schema: option.SchemaOf[egress.Pool](),
			title: "a set of sources with weights",
			about: `A queue names the pool that its mail is sent from, and the event get_egress_pool is asked what is in it. The
sources of a pool take turns by their weights. The pool "unspecified", which queues have that name none, always exists:
its one source leaves everything to the system.`,
			example: `kumo.on('get_egress_pool', function(pool_name)
  return kumo.make_egress_pool {
    name = pool_name,
    entries = {
      { name = 'ip-1', weight = 2 },
      { name = 'ip-2' },
    },
  }
end)`,
			see: []string{"kumo-egress-source(5)", "kumo-queue-config(5)", "kumo-events(7)"},
		},
		{
			name: "smtp-listener", call: "kumo.start_esmtp_listener", schema: option.SchemaOf[listener.Options](),
			title: "an address where mail comes in by SMTP",
			about: `A policy may start as many listeners as it likes. Peers in relay_hosts may send to anybody; for all others
the event get_listener_domain decides by domain. A refusal for lack of room, memory or disk is always temporary.`,
			example: `kumo.on('init', function()
  kumo.start_esmtp_listener {
    listen = '0.0.0.0:25',
    hostname = 'mx.example.com',
    relay_hosts = { '127.0.0.1', '10.0.0.0/8' },
    max_message_size = 50 * 1024 * 1024,
    trace_headers = { supplemental_header = false },
    meta = { stream = 'transactional' },
  }
end)`,
			see: []string{"kumo-serve(1)", "kumo-listener-domain(5)", "kumo-events(7)"},
		},
		{
			name: "listener-domain", call: "kumo.make_listener_domain", result: true, schema: option.SchemaOf[listener.Domain](),
			title: "what a listener does for a domain",
			about: `The event get_listener_domain is asked when relay_hosts of the listener does not decide: for the domain of a
recipient, and for that of the sender. nil stands for a domain that is nobody's business here.`,
			example: `kumo.on('get_listener_domain', function(domain, listener, conn_meta)
  if domain == 'example.com' then
    return kumo.make_listener_domain { relay_to = true }
  end
  if domain == 'customer.example' then
    return kumo.make_listener_domain { relay_from = { '192.0.2.0/24' } }
  end
end)`,
			see: []string{"kumo-smtp-listener(5)", "kumo-events(7)"},
		},
		{
			name: "http-listener", call: "kumo.start_http_listener", schema: option.SchemaOf[admin.ListenerOptions](),
			title: "an address that answers by HTTP",
			about: `An HTTP listener answers GET /api/check-liveness/v1 to everybody: 200 when mail is taken, 503 and the reason
when not. Peers in trusted_hosts may also GET /metrics, in the text format of Prometheus; /metrics?prefix=kumod_ puts
kumod_ before each name.`,
			example: `kumo.on('init', function()
  kumo.start_http_listener {
    listen = '127.0.0.1:8000',
    trusted_hosts = { '127.0.0.1', '10.0.0.0/8' },
  }
end)`,
			see: []string{"kumo-serve(1)", "kumo-metrics(7)"},
		},
		{
			name: "local-logs", call: "kumo.configure_local_logs", schema: option.SchemaOf[journal.FileOptions](),
			title: "where log records are written, and which",
			about: `Each fact about a message is one record, a line of JSON. Records are written to segments below log_dir, which
are named after the UTC time at which they were begun and compressed with zstd. An open segment can be read with zstdcat
at any moment; it is at most one second behind. A finished segment is made read-only, and is nobody's but the reader's:
kumo never deletes one.

The function may be called several times for several directories. Types that have a template are no JSON any more:
kumo log, kumo why and the audit pass them over.

Templates are written in the language of MiniJinja, with its filters dateformat, datetimeformat, timeformat, pluralize and
filesizeformat and its functions now, range, cycler and joiner. They read no files: there is no include, import or
extends. A template is tried at the start, so that a mistake is heard of then, with its line.`,
			example: `kumo.on('init', function()
  kumo.configure_local_logs {
    log_dir = '/var/log/kumomta',
    headers = { 'Subject', 'X-*' },
    meta = { 'tenant', 'campaign' },
    max_segment_duration = '5 minutes',
    per_record = {
      Bounce = { suffix = '_bounce' },
      Rejection = { enable = false },
      Delivery = {
        suffix = '.csv',
        segment_header = 'time,id,recipient,code',
        template = '{{ event_time }},{{ id }},{{ recipient }},{{ response.code }}',
      },
    },
  }
end)`,
			see: []string{"kumo-log-tail(1)", "kumo-serve(1)"},
		},
		{
			name: "spool", call: "kumo.define_spool", schema: option.SchemaOf[spool.Options](),
			title: "where mail is kept until it has ended",
			about: `Two spools must be defined, data and meta, as KumoMTA's policies do. Everything is kept below the path of
data; meta is not used.

A positive answer, whether to an SMTP peer or to kumo inject, is given only when the message is on stable storage, whatever
flush says: many messages share one sync. One process at a time owns a spool; every other may read it.`,
			example: `kumo.on('init', function()
  kumo.define_spool {
    name = 'data',
    path = '/var/spool/kumomta/data',
    min_free_space = '5%',
  }
  kumo.define_spool { name = 'meta', path = '/var/spool/kumomta/meta' }
end)`,
			see: []string{"kumo-serve(1)", "kumo-inject(1)", "kumo-queue-list(1)", "kumo-sql(1)"},
		},
		{
			name: "resolver", call: "kumo.dns.configure_resolver", schema: option.SchemaOf[dns.ResolverOptions](),
			title: "which name servers are asked, and how",
			about: `Without this call the name servers of /etc/resolv.conf are asked. Names in /etc/hosts, and localhost, need no
name server.`,
			example: `kumo.on('init', function()
  kumo.dns.configure_resolver {
    name_servers = { '127.0.0.1', '192.0.2.53:5353' },
    options = { timeout = '2s', attempts = 3 },
  }
end)`,
			see: []string{"kumo-serve(1)", "kumo-lua-dns(7)"},
		},
	}
}

// files are the parts of pages that tell where things are on the disk.
var files = map[string][][2]string{
	"spool": {
		{"FORMAT", "Which format the directory has."},
		{"lock", "Held by the owner; its process id stands in it."},
		{"log/NNNNNNNNNN.log", "The truth: segments to which records of messages are appended, each with a checksum. A segment is deleted when it and all before it hold nothing that waits."},
		{"damaged/", "Segments in which damage was found, kept instead of deleted; and lost-*.jsonl, what was known of mail that is lost because segments were removed: kumo spool check lists it until the file is removed."},
		{"index.db", "A convenience: what waits, for kumo queue, kumo top and kumo sql. It is rebuilt from the segments when it is missing or damaged, and may be deleted at any time, also index.db-wal and index.db-shm."},
		{"orders.db", "What other commands ask the owner to do, kumo inject for example. Orders that act on messages are kept for 30 days, those of kumo inject for a day. Some room is set aside in it, so that orders can be given on a full disk."},
		{"reserve", "Room that is given back to the file system when it runs full, so that mail can leave."},
	},
}

// optionDocs reads the comments of every room that declares options.
func optionDocs(t *testing.T) map[string]string {
	t.Helper()
	docs := map[string]string{}
	for _, room := range []string{"admin", "dns", "egress", "journal", "listener", "message", "queue", "spool"} {
		d, err := option.Docs("../../pkg/" + room)
		if err != nil {
			t.Fatal(err)
		}
		maps.Copy(docs, d)
	}
	return docs
}

func objectPage(t *testing.T, o object, docs map[string]string) *page {
	p := newPage("kumo-"+o.name, 5, o.title)
	p.section1("SYNOPSIS")
	head := bold(o.call) + " { " + italic("OPTION") + " = " + italic("VALUE") + ", ... }"
	if o.result {
		head = "return " + head
	}
	p.b.WriteString(head + "\n")
	p.section1("DESCRIPTION")
	p.text(o.about)
	p.more("An option that is not given has its default. An unknown option, a value of the wrong type and one out of range are errors that name the file, the line and the option.")
	if hasType(o.schema.Fields(), "duration") {
		p.more(`A duration is a number of seconds, or text such as "90s", "5 minutes" or "1 day 12h".`)
	}
	if hasType(o.schema.Fields(), "throttle") {
		p.more(`A throttle is a rate, "N/UNIT" or "N/K UNIT", with the units s, min, h and d: "100/s", "1,000/5min". With ",max_burst=B" behind it no more than B may come at once; with "local:" before it the rate counts on this node alone.`)
	}
	p.section1("OPTIONS")
	p.options(t, "", o.schema.Fields(), docs)
	if list := files[o.name]; list != nil {
		p.section1("FILES")
		p.text("Below the directory:")
		for _, f := range list {
			p.item(italic(f[0]), f[1])
		}
	}
	if o.name == "spool" {
		spoolSections(p)
	}
	p.section1("EXAMPLE")
	p.example(o.example, false)
	p.seeAlso(append([]string{"kumo(1)"}, o.see...)...)
	return p
}

// options lists fields, those of nested structs under dotted names.
func (p *page) options(t *testing.T, prefix string, fields []option.Field, docs map[string]string) {
	for _, f := range fields {
		name := prefix + f.Name
		doc := docs[f.GoType+"."+f.GoName]
		if doc == "" {
			t.Errorf("%s: no comment of %s.%s was found: it is the text of the option in the manual", name, f.GoType, f.GoName)
		}
		kind := f.Type
		if len(f.Fields) > 0 { // named after the Go type
			kind = map[bool]string{true: "list of tables", false: "table"}[f.List]
			if f.Map {
				kind = "table of tables"
			}
		}
		p.item(bold(name)+" = "+italic(kind), sentence(doc))
		p.facts(f)
		switch {
		case f.List:
			p.options(t, name+"[].", f.Fields, docs)
		case f.Map:
			p.options(t, name+".KEY.", f.Fields, docs)
		default:
			p.options(t, name+".", f.Fields, docs)
		}
	}
}

func hasType(fields []option.Field, kind string) bool {
	return slices.ContainsFunc(fields, func(f option.Field) bool { return f.Type == kind || hasType(f.Fields, kind) })
}

// facts adds what the declaration says about a field.
func (p *page) facts(f option.Field) {
	var out []string
	add := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	if len(f.Enum) > 0 && !strings.Contains(f.Type, f.Enum[0]) {
		add("One of %s.", strings.Join(f.Enum, ", "))
	}
	switch {
	case f.Required:
		add("Must be given.")
	case len(f.Fields) > 0 && !f.List && !f.Map:
	default:
		if d := defaultText(f); d != "" {
			add("Default: %s.", d)
		} else {
			add("Not set by default.")
		}
	}
	switch {
	case f.Min != "" && f.Max != "":
		add("From %s to %s.", f.Min, f.Max)
	case f.Min != "":
		add("At least %s.", f.Min)
	case f.Max != "":
		add("At most %s.", f.Max)
	}
	switch f.Unit {
	case "s":
		if f.Type != "duration" {
			add("In seconds.")
		}
	case "bytes":
		if f.Type != "bytes" {
			add("In bytes.")
		}
	}
	if f.MergeMap {
		add("Tables of several layers are merged by key.")
	}
	if f.Secret {
		add("Never shown.")
	}
	for _, a := range f.Aliases {
		add("Also called %s.", a)
	}
	if f.Since != "" {
		add("Since KumoMTA %s.", f.Since)
	}
	if f.Deprecated != "" {
		add("Deprecated: %s.", f.Deprecated)
	}
	if len(out) > 0 {
		p.b.WriteString(".br\n")
		p.fill(strings.Join(out, " "))
	}
}

// defaultText shows a default as a user would write it; "" for none.
func defaultText(f option.Field) string {
	switch d := f.Default.(type) {
	case nil:
		return ""
	case string:
		if !f.HasDefault && f.Type == "duration" {
			return ""
		}
		return d
	case bool, int64, float64:
		if !f.HasDefault && d == int64(0) {
			return ""
		}
		return fmt.Sprint(d)
	case []any:
		words := make([]string, len(d))
		for i, v := range d {
			words[i] = fmt.Sprint(v)
		}
		return strings.Join(words, ", ")
	case []string:
		return strings.Join(d, ", ")
	case map[string]any:
		return strings.Join(slices.Sorted(maps.Keys(d)), ", ")
	default:
		return fmt.Sprint(d)
	}
}
