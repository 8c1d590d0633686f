package pkg_test

import (
	"bufio"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"kumo/pkg/admin"
	"kumo/pkg/dns"
	"kumo/pkg/egress"
	"kumo/pkg/journal"
	"kumo/pkg/listener"
	"kumo/pkg/luahost"
	"kumo/pkg/option"
	"kumo/pkg/policy"
	"kumo/pkg/queue"
	"kumo/pkg/spool"
)

// ledgers says, for each file of testdata/parity, what the code declares.
func ledgers() map[string]map[string]bool {
	return map[string]map[string]bool{
		"make_queue_config":    optionNames(option.SchemaOf[queue.Config]().Fields()),
		"make_egress_path":     optionNames(option.SchemaOf[egress.Path]().Fields()),
		"make_egress_source":   optionNames(option.SchemaOf[egress.Source]().Fields()),
		"make_egress_pool":     optionNames(option.SchemaOf[egress.Pool]().Fields()),
		"start_esmtp_listener": optionNames(option.SchemaOf[listener.Options]().Fields()),
		"make_listener_domain": optionNames(option.SchemaOf[listener.Domain]().Fields()),
		"start_http_listener":  optionNames(option.SchemaOf[admin.ListenerOptions]().Fields()),
		"configure_local_logs": optionNames(option.SchemaOf[journal.FileOptions]().Fields()),
		"define_spool":         optionNames(option.SchemaOf[spool.Options]().Fields()),
		"resolver_options":     resolverNames(),
		"events":               eventNames(),
		"functions":            functionNames(),
		"methods":              methodNames(),
	}
}

// optionNames flattens options: those of a nested struct, list or map stand behind a point.
func optionNames(fields []option.Field) map[string]bool {
	names := map[string]bool{}
	for _, f := range fields {
		for _, name := range append([]string{f.Name}, f.Aliases...) {
			names[name] = true
			for sub := range optionNames(f.Fields) {
				names[name+"."+sub] = true
			}
		}
	}
	return names
}

// resolverNames leaves the name of the inner table out, as KumoMTA's manual does. A name server has two forms; the
// table's fields are named here.
func resolverNames() map[string]bool {
	names := map[string]bool{}
	for n := range optionNames(option.SchemaOf[dns.NameServer]().Fields()) {
		names["name_servers."+n] = true
	}
	for n := range optionNames(option.SchemaOf[dns.ResolverOptions]().Fields()) {
		names[strings.TrimPrefix(n, "options.")] = true
	}
	return names
}

func eventNames() map[string]bool {
	names := map[string]bool{}
	for _, e := range policy.Events() {
		if !e.Unfired {
			names[e.Name] = true
		}
	}
	return names
}

func functionNames() map[string]bool {
	names := map[string]bool{}
	for _, m := range policy.Modules() {
		for _, f := range m.Funcs {
			names[m.Name+"."+f.Name] = true
		}
	}
	return names
}

// methodNames gives methods and fields with the type names of KumoMTA's manual.
func methodNames() map[string]bool {
	called := map[string]string{
		"message": "msg", "address": "EnvelopeAddress", "addressheader": "AddressHeader",
	}
	names := map[string]bool{}
	for _, t := range policy.Types() {
		name, ok := called[t.Name]
		if !ok {
			name = t.Name
		}
		addMembers(names, name, t)
	}
	return names
}

func addMembers(names map[string]bool, name string, t *luahost.Type) {
	for _, m := range t.Methods {
		names[name+":"+m.Name] = true
	}
	for _, f := range t.Fields {
		names[name+"."+f.Name] = true
	}
}

// TestParityLedgers compares what the ledgers say with what the code declares, both ways.
func TestParityLedgers(t *testing.T) {
	for name, declared := range ledgers() {
		t.Run(name, func(t *testing.T) {
			listed := readLedger(t, name)
			for _, n := range slices.Sorted(maps.Keys(declared)) {
				switch state := listed[n]; state {
				case "declared", "ours":
				case "":
					t.Errorf("the code declares %s and testdata/parity/%s.txt does not know it: add a line, declared if KumoMTA has the name, else ours with a reason", n, name)
				default:
					t.Errorf("the code declares %s and testdata/parity/%s.txt says %s: make it declared", n, name, state)
				}
			}
			for n, state := range listed {
				if (state == "declared" || state == "ours") && !declared[n] {
					t.Errorf("testdata/parity/%s.txt says that %s is declared and the code does not have it: declare it, or make it not-yet with a reason", name, n)
				}
			}
		})
	}
}

// readLedger gives the state of each name.
func readLedger(t *testing.T, name string) map[string]string {
	t.Helper()
	f, err := os.Open(filepath.Join(root, "testdata", "parity", name+".txt"))
	if err != nil {
		t.Fatalf("%v: write it from the names of KumoMTA's manual", err)
	}
	defer f.Close()
	states := map[string]string{}
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		words := strings.Fields(lines.Text())
		if len(words) == 0 || words[0] == "#" {
			continue
		}
		switch {
		case len(words) < 2 || !slices.Contains([]string{"declared", "not-yet", "ours"}, words[1]):
			t.Errorf("testdata/parity/%s.txt:%d: want NAME declared, NAME not-yet REASON or NAME ours REASON", name, n)
			continue
		case words[1] != "declared" && len(words) < 3:
			t.Errorf("testdata/parity/%s.txt:%d: %s is %s without a reason", name, n, words[0], words[1])
		case states[words[0]] != "":
			t.Errorf("testdata/parity/%s.txt:%d: %s stands there twice", name, n, words[0])
		}
		states[words[0]] = words[1]
	}
	return states
}
