package main

import (
	"strings"

	"kumo/pkg/luahost"
	"kumo/pkg/metric"
	"kumo/pkg/node"
	"kumo/pkg/policy"
)

// luaPageName is the page of a module or type: "kumo.dns" has kumo-lua-dns(7).
func luaPageName(name string) string { return "kumo-lua-" + strings.TrimPrefix(name, "kumo.") }

// typePageName is the page of a kind of value; where a module has its name the kind comes behind it.
func typePageName(name string) string {
	for _, m := range policy.Modules() {
		if luaPageName(m.Name) == luaPageName(name) {
			return luaPageName(name) + "-value"
		}
	}
	return luaPageName(name)
}

// luaPages are an overview, a page for each module and one for each kind of value.
func luaPages() []*page {
	refs := []string{"kumo(1)", "kumo-serve(1)", "kumo-events(7)"}
	over := newPage("kumo-lua", 7, "the Lua that policies are written in")
	over.section1("DESCRIPTION")
	over.text(aboutLua)
	over.section1("MODULES")
	for _, m := range policy.Modules() {
		over.item(".BR "+luaPageName(m.Name)+" (7)", m.Doc)
		refs = append(refs, luaPageName(m.Name)+"(7)")
	}
	over.section1("VALUES")
	over.text("Handlers get, and functions return, values of these kinds. Methods are called with a colon.")
	for _, ty := range policy.Types() {
		over.item(".BR "+typePageName(ty.Name)+" (7)", ty.Doc)
		refs = append(refs, typePageName(ty.Name)+"(7)")
	}
	over.section1("EXAMPLE")
	over.example(exampleLua, false)
	over.seeAlso(refs...)
	pages := []*page{over}
	for _, m := range policy.Modules() {
		pages = append(pages, modulePage(m))
	}
	for _, ty := range policy.Types() {
		pages = append(pages, typePage(ty))
	}
	return pages
}

const aboutLua = `A policy is a Lua file. Its top level runs once in each of many Lua contexts and registers functions with
kumo.on; these are called when something happens: kumo-events(7) lists what. Contexts are reused for many events and
dropped after a while, so that a global variable is no place to remember anything.

The language is Lua 5.4 as far as policies use it: its string, table, math, utf8 and coroutine libraries, its escapes in
strings, goto, and constants. Integer division and the bitwise operators are refused when the policy loads, with the line
and what to write instead. Numbers are floating point throughout; whole ones print without a fraction. Not as in Lua 5.4:
tonumber reads neither exponents nor hexadecimal fractions, string.format cuts the fraction off for %d and quotes for %q in
its own way, and <close> is refused.

A policy can read the environment and files, and write files with kumo.fs.open; it cannot start programs or end the
process. A handler that runs too long is stopped with an error, also inside pcall; one call of string.find, match, gsub or
format runs to its end first, which takes minutes for the wrong pattern on a megabyte.

require looks beside the policy, in /opt/kumomta/etc/policy and /opt/kumomta/share, and then among the modules that the
program has built in. Every 10 s the policy, what it requires, and the files that kumo.set_config_monitor_globs names are
compared with what they were: a change loads the policy anew and begins a configuration epoch. A policy that does not load
leaves the one of before in force, with an error in the diagnostics.

An error in a handler that a peer waits for is answered with 421 4.3.0, and a record of type Rejection has its text. To
refuse mail on purpose, call kumo.reject.`

const exampleLua = `local kumo = require 'kumo'

kumo.on('init', function()
  kumo.define_spool { name = 'data', path = '/var/spool/kumomta/data' }
  kumo.define_spool { name = 'meta', path = '/var/spool/kumomta/meta' }
  kumo.start_esmtp_listener { listen = '127.0.0.1:2525' }
end)

kumo.on('smtp_server_message_received', function(msg, conn_meta)
  if msg:recipient().domain == 'example.invalid' then
    kumo.reject(550, '5.1.2 no such domain')
  end
  msg:set_meta('tenant', msg:get_first_named_header_value 'X-Tenant')
end)`

// objectOf is the page of the options that a function takes.
func objectOf(call string) (page string, ok bool) {
	for _, o := range objects() {
		if o.call == call {
			return "kumo-" + o.name + "(5)", true
		}
	}
	return "", false
}

func modulePage(m luahost.Module) *page {
	p := newPage(luaPageName(m.Name), 7, "Lua module "+m.Name)
	p.section1("SYNOPSIS")
	p.b.WriteString(bold("local kumo = require 'kumo'") + "\n")
	p.section1("DESCRIPTION")
	p.text(m.Doc)
	p.section1("FUNCTIONS")
	refs := []string{"kumo-lua(7)", "kumo-events(7)"}
	for _, f := range m.Funcs {
		p.function(m.Name+".", f)
		if ref, ok := objectOf(m.Name + "." + f.Name); ok {
			p.b.WriteString(".IP\n")
			p.fill("The options are those of " + ref + ".")
			refs = append(refs, ref)
		}
		p.example(f.Example, true)
	}
	if len(m.Values) > 0 {
		p.section1("VALUES")
		for _, v := range m.Values {
			p.item(bold(m.Name+"."+v.Name), v.Doc)
		}
	}
	p.seeAlso(refs...)
	return p
}

func (p *page) function(prefix string, f luahost.Func) {
	args := " " + f.Args
	if strings.HasPrefix(f.Args, "(") {
		args = f.Args
	}
	head := bold(prefix+f.Name) + italic(args)
	if f.Returns != "" {
		head += ` \(-> ` + roffCode(f.Returns)
	}
	doc := sentence(f.Doc)
	if f.Since != "" {
		doc += " Since KumoMTA " + f.Since + "."
	}
	p.item(head, doc)
}

func typePage(ty *luahost.Type) *page {
	p := newPage(typePageName(ty.Name), 7, "Lua values of kind "+ty.Name)
	p.section1("DESCRIPTION")
	p.text(ty.Doc)
	if len(ty.Fields) > 0 {
		p.section1("FIELDS")
		for _, f := range ty.Fields {
			p.item(bold("."+f.Name), sentence(f.Doc))
		}
	}
	if len(ty.Methods) > 0 {
		p.section1("METHODS")
		for _, f := range ty.Methods {
			p.function(":", f)
			p.example(f.Example, true)
		}
	}
	p.seeAlso("kumo-lua(7)", "kumo-events(7)")
	return p
}

func eventsPage() *page {
	p := newPage("kumo-events", 7, "what a policy can handle")
	p.section1("SYNOPSIS")
	p.b.WriteString(bold("kumo.on") + "(" + italic("EVENT") + ", " + italic("FUNCTION") + ")\n")
	p.section1("DESCRIPTION")
	p.text(`kumo.on registers a function for an event while the policy's file loads. Most events take one handler, and refuse a
second one. Where several are allowed they are called in the order of registration, and where an answer is asked for the first one
counts.

An error in a handler is reported with file and line. When a peer waits it hears 421 4.3.0, and its mail is not lost.`)
	p.section1("EVENTS")
	var later []string
	for _, e := range policy.Events() {
		if e.Unfired {
			later = append(later, e.Name)
			continue
		}
		head := bold(e.Name) + italic(e.Args)
		if e.Returns != "" {
			head += ` \(-> ` + roffCode(e.Returns)
		}
		many := "One handler."
		if e.Multiple {
			many = "Several handlers are allowed."
		}
		p.item(head, e.Doc+" "+many)
		p.example(eventExample(e.Name), true)
	}
	p.section1("EVENTS THAT DO NOT HAPPEN")
	p.text("Policies written for KumoMTA may handle these, too. They load, with a warning, for this version never calls the handlers: " + strings.Join(later, ", ") + ".")
	p.seeAlso("kumo-serve(1)", "kumo-route-test(1)", "kumo-lua(7)", "kumo-lua-message(7)", "kumo-lua-conn_meta(7)")
	return p
}

// eventExample is the first example of the manual that handles the event: those of the options are the longest, then
// those of the functions.
func eventExample(event string) string {
	begin := "kumo.on('" + event + "'"
	for _, o := range objects() {
		if strings.HasPrefix(o.example, begin) {
			return o.example
		}
	}
	for _, m := range policy.Modules() {
		for _, f := range m.Funcs {
			if strings.HasPrefix(f.Example, begin) {
				return f.Example
			}
		}
	}
	return moreExamples[event]
}

// moreExamples are those of events that no function's example handles.
var moreExamples = map[string]string{
	"<keysource.event_name>": `kumo.on('my.key', function(args)
  return kumo.serde.json_parse(os.getenv 'MY_KEYS' or '{ "relay": "sesame" }')[args.name]
end)
kumo.on('init', function()
  local key = kumo.secrets.load { event_name = 'my.key', event_args = { name = 'relay' } }
end)`,
	"<spawn_task.event_name>": `kumo.on('init', function()
  kumo.spawn_task { event_name = 'my.task', args = { every = 60 } }
end)
kumo.on('my.task', function(args)
  while true do
    kumo.sleep(args.every)
    kumo.log_info 'still here'
  end
end)`,
	"rebind_message": `kumo.on('rebind_message', function(msg, data)
  if msg:sender().domain == data.sender_domain then
    msg:set_meta('tenant', data.tenant)
  end
end)`,
	"<configure_local_logs.filter_event>": `kumo.on('init', function()
  kumo.configure_local_logs {
    log_dir = '/var/log/kumomta/smtp',
    filter_event = 'came_by_smtp',
  }
end)

kumo.on('came_by_smtp', function(msg)
  return msg:get_meta 'reception_protocol' == 'ESMTP'
end)`,
	"main": `kumo.on('main', function(...)
  print('called with', ...)
end)`,
}

func metricsPage() *page {
	p := newPage("kumo-metrics", 7, "what GET /metrics shows")
	p.section1("DESCRIPTION")
	p.text(`An HTTP listener, see kumo-http-listener(5), shows these metrics in the text format of Prometheus to the peers that it
trusts. Names and labels are KumoMTA's; smtp_server_panics and total_messages_dropped are kumo's own. A metric has no
series before there is something to count.`)
	p.section1("METRICS")
	for _, m := range node.Metrics() {
		head := bold(m.Name)
		if len(m.Labels) > 0 {
			head += "{" + italic(strings.Join(m.Labels, ", ")) + "}"
		}
		doc := sentence(m.Help) + " A " + string(m.Type) + "."
		if m.Type == metric.TypeHistogram {
			doc += " In seconds."
		}
		if m.Pruning {
			doc += " Series of what has gone are deleted."
		}
		p.item(head, doc)
	}
	p.seeAlso("kumo-serve(1)", "kumo-http-listener(5)")
	return p
}
