package pkg_test

import (
	"slices"
	"strings"
	"testing"
)

// law says which rooms may import which: the names left of "<" may be imported by those right of it. What is not here
// is forbidden. A room without a line of its own does not exist: a new room is a visible act (ARCHITECTURE section 3).
const law = `
# values
option < throttle mail smtp dns mailauth
metric < cache throttle dns mailauth
cache  < dns mailauth
mail   < smtp mailauth
dns    < mailauth

# core
# Who may import message may import mail and smtp: the fields of its values are theirs.
mail smtp                                      < message
message mail smtp option metric                < spool
message mail smtp option metric                < journal
message mail smtp dns throttle cache option metric < egress
egress dns journal option metric               < shaping

# flow: they never import one another
message mail smtp journal throttle option metric    < listener
message mail smtp journal option metric                  < intake
message mail smtp egress journal throttle option metric  < queue
message mail smtp egress throttle journal option metric  < ready
message egress smtp dns mail option metric          < delivery

# script
option metric cache                                                            < luahost
option metric cache throttle mail smtp dns mailauth                            < policy
message spool journal egress shaping                                           < policy
listener intake queue ready delivery                                           < policy
luahost                                                                        < policy

# control
option metric cache throttle mail smtp dns mailauth       < admin
message spool journal egress shaping                      < admin
option metric cache throttle mail smtp dns mailauth       < node
message spool journal egress shaping                      < node
listener intake queue ready delivery                      < node
luahost policy admin                                      < node
option                                                    < cli
# torture opens spools as the owner does, breaks them, and counts what is left; the verb hands it the daemon's program.
option mail smtp message spool                            < torture
`

// anything are the rooms that may import every room but cmd: kumotest, which only tests import.
const anything = "kumotest"

// doors names, for each dependency, the packages that may import it. A prefix that ends in "/..." covers what is below.
// Tests may import what they like.
var doors = map[string]string{
	"github.com/spf13/cobra":              "cmd/kumo scripts/...",
	"github.com/spf13/pflag":              "cmd/kumo scripts/...",
	"charm.land/bubbletea":                "cmd/kumo/top",
	"github.com/charmbracelet":            "cmd/kumo/top",
	"github.com/mattn/go-isatty":          "pkg/cli",
	"github.com/emersion/go-smtp":         "cmd/kumo pkg/kumotest",
	"github.com/emersion/go-sasl":         "cmd/kumo pkg/kumotest",
	"github.com/miekg/dns":                "pkg/dns pkg/kumotest",
	"github.com/yuin/gopher-lua":          "pkg/luahost pkg/policy",
	"modernc.org/sqlite":                  "pkg/spool",
	"github.com/prometheus/client_golang": "pkg/metric",
	"github.com/prometheus/client_model":  "pkg/metric",
	"github.com/klauspost/compress":       "pkg/journal",
	"github.com/nikolalohinski/gonja/v2":  "pkg/journal/internal/jinja",
	"github.com/google/uuid":              "pkg/journal pkg/listener pkg/delivery pkg/intake pkg/luahost",
	"github.com/goccy/go-yaml":            "pkg/luahost",
	"github.com/redis/go-redis":           "pkg/policy pkg/throttle",
	"github.com/pelletier/go-toml":        "pkg/luahost pkg/shaping pkg/journal",
	"github.com/coder/websocket":          "pkg/policy",
	"github.com/dlclark/regexp2":          "pkg/option",
	"github.com/rogpeppe/go-internal":     "",
	"golang.org/x/net":                    "pkg/dns pkg/luahost pkg/policy",
	"golang.org/x/text":                   "pkg/mail",
	"golang.org/x/sys":                    "pkg/cli pkg/journal pkg/spool pkg/node pkg/luahost pkg/kumotest",
}

// lawful is the law as a set: importer -> imported.
func lawful(t *testing.T) map[string]map[string]bool {
	t.Helper()
	rooms := map[string]map[string]bool{}
	for line := range strings.Lines(law) {
		line, _, _ = strings.Cut(line, "#")
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		low, high, ok := strings.Cut(line, "<")
		if !ok {
			t.Fatalf("the law has a line without <: %q", line)
		}
		for _, h := range strings.Fields(high) {
			if rooms[h] == nil {
				rooms[h] = map[string]bool{}
			}
			for _, l := range strings.Fields(low) {
				rooms[h][l] = true
				if rooms[l] == nil {
					rooms[l] = map[string]bool{}
				}
			}
		}
	}
	return rooms
}

func TestRoomsImportByTheLaw(t *testing.T) {
	rooms := lawful(t)
	for _, p := range packages(t) {
		from := p.room()
		if from == "" || from == anything {
			continue
		}
		if rooms[from] == nil {
			t.Errorf("%s: there is no room %q: give it a line in the law of pkg/rooms_test.go and a row in ARCHITECTURE section 3, or put the code into a room that exists",
				p.ImportPath, from)
			continue
		}
		for _, i := range p.Imports {
			to := pack{ImportPath: i}.room()
			switch {
			case to == from || !strings.HasPrefix(i, "kumo/"):
			case strings.HasPrefix(i, "kumo/cmd/"):
				t.Errorf("%s imports %s: rooms know nothing of commands; move what you need into a room", p.ImportPath, i)
			case to == "":
				// embedded material: kumo/policy, kumo/man
			case to == anything:
				t.Errorf("%s imports kumotest outside its tests: move what you need into a room", p.ImportPath)
			case !rooms[from][to]:
				t.Errorf("%s imports %s, which the law forbids: declare a small interface in %s and let node connect the two, or pass a value",
					p.ImportPath, i, from)
			}
		}
	}
}

func TestTheLawHasNoCycles(t *testing.T) {
	rooms := lawful(t)
	const visiting, done = 1, 2
	state := map[string]int{}
	var visit func(room string, trail []string)
	visit = func(room string, trail []string) {
		switch state[room] {
		case done:
			return
		case visiting:
			t.Errorf("the law goes in a circle: %s", strings.Join(append(trail, room), " < "))
			return
		}
		state[room] = visiting
		for to := range rooms[room] {
			visit(to, append(trail, room))
		}
		state[room] = done
	}
	for room := range rooms {
		visit(room, nil)
	}
	flow := []string{"listener", "intake", "queue", "ready", "delivery"}
	for _, a := range flow {
		for _, b := range flow {
			if rooms[a][b] {
				t.Errorf("the law lets %s import %s: flow rooms pass values through interfaces that the sender declares", a, b)
			}
		}
	}
}

func TestEveryDependencyHasADoor(t *testing.T) {
	for _, p := range packages(t) {
		from := strings.TrimPrefix(p.ImportPath, "kumo/")
		for _, i := range p.Imports {
			first, _, _ := strings.Cut(i, "/")
			if !strings.Contains(first, ".") || strings.HasPrefix(i, "kumo/") {
				continue
			}
			module, allowed := doorOf(i)
			switch {
			case module == "":
				t.Errorf("%s imports %s, a dependency without a door: say in pkg/rooms_test.go which one package may import it", from, i)
			case !opens(allowed, from):
				t.Errorf("%s imports %s, whose door is %q: ask that package for what you need", from, i, allowed)
			}
		}
	}
}

func doorOf(path string) (module, allowed string) {
	for m, a := range doors {
		if (path == m || strings.HasPrefix(path, m+"/")) && len(m) > len(module) {
			module, allowed = m, a
		}
	}
	return module, allowed
}

func opens(allowed, from string) bool {
	return slices.ContainsFunc(strings.Fields(allowed), func(a string) bool {
		if prefix, ok := strings.CutSuffix(a, "/..."); ok {
			return from == prefix || strings.HasPrefix(from, prefix+"/")
		}
		return a == from
	})
}

func TestEmbedsAreTheOnlyGoFilesElsewhere(t *testing.T) {
	for _, p := range packages(t) {
		path := strings.TrimPrefix(p.ImportPath, "kumo/")
		switch {
		case strings.HasPrefix(path, "cmd/"), strings.HasPrefix(path, "pkg"), strings.HasPrefix(path, "scripts"):
		case path == "policy" || path == "man":
			if !slices.Equal(p.GoFiles, []string{"embed.go"}) {
				t.Errorf("%s/ holds %v: embed.go is the only Go file there; put code into a room", path, p.GoFiles)
			}
		default:
			t.Errorf("%s: Go packages live in cmd/, pkg/ and scripts/", path)
		}
	}
}
