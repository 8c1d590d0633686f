package option

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

type tree struct {
	Name     string          `opt:"name"`
	Children []tree          `opt:"children"`
	ByName   map[string]tree `opt:"by_name"`
	Parent   *tree           `opt:"parent"`
}

func TestRecursiveDeclaration(t *testing.T) {
	s := SchemaOf[tree]()
	r, err := s.Resolve("t", NewLayer(table{
		"children": list{table{"name": "a", "children": list{table{"name": "b"}}}},
		"by_name":  table{"x": table{"parent": table{"name": "p"}}},
	}, lua(1)))
	if err != nil || r.Value.Children[0].Children[0].Name != "b" || r.Value.ByName["x"].Parent.Name != "p" {
		t.Fatalf("%+v %v", r.Value, err)
	}
	_, err = s.Resolve("t", NewLayer(table{"by_name": table{"x": table{"children": list{table{"nam": "a"}}}}}, lua(1)))
	want := "init.lua:1: t: deserialize error: unknown field `nam`, did you mean `name`?, while processing option by_name[\"x\"].children[1].nam"
	if err == nil || err.Error() != want {
		t.Error(err)
	}
	if f := s.Fields(); len(f) != 4 || f[1].Fields != nil {
		t.Errorf("%+v", f)
	}
}

func TestMalformedDeclarationsPanic(t *testing.T) {
	tests := []struct {
		name string
		make func()
		want string
	}{
		{"not a struct", func() { SchemaOf[int]() }, "not a struct"},
		{"no name", func() {
			SchemaOf[struct {
				A int `opt:""`
			}]()
		}, "bad option name"},
		{"unknown word", func() {
			SchemaOf[struct {
				A int `opt:"a,defualt=1"`
			}]()
		}, "unknown word"},
		{"word without value", func() {
			SchemaOf[struct {
				A int `opt:"a,min"`
			}]()
		}, "needs a value"},
		{"word with value", func() {
			SchemaOf[struct {
				A int `opt:"a,required=yes"`
			}]()
		}, "takes no value"},
		{"required default", func() {
			SchemaOf[struct {
				A int `opt:"a,required,default=1"`
			}]()
		}, "exclude each other"},
		{"default of the wrong type", func() {
			SchemaOf[struct {
				A int `opt:"a,default=x"`
			}]()
		}, "invalid syntax"},
		{"default below min", func() {
			SchemaOf[struct {
				A int `opt:"a,default=1,min=2"`
			}]()
		}, "at least 2"},
		{"default not in enum", func() {
			SchemaOf[struct {
				A string `opt:"a,default=x,enum=y|z"`
			}]()
		}, "one of `y`, `z`"},
		{"default of a pointer", func() {
			SchemaOf[struct {
				A *int `opt:"a,default=1"`
			}]()
		}, "nil when it is not set"},
		{"default of a struct", func() {
			SchemaOf[struct {
				A trace `opt:"a,default=1"`
			}]()
		}, "takes no default"},
		{"enum of a number", func() {
			SchemaOf[struct {
				A int `opt:"a,enum=1|2"`
			}]()
		}, "enum= on a integer"},
		{"min of a string", func() {
			SchemaOf[struct {
				A string `opt:"a,min=1"`
			}]()
		}, "min= or max= on a string"},
		{"min above max", func() {
			SchemaOf[struct {
				A int `opt:"a,min=3,max=2"`
			}]()
		}, "above max"},
		{"bad min", func() {
			SchemaOf[struct {
				A Duration `opt:"a,min=3x"`
			}]()
		}, "min=3x"},
		{"bad unit", func() {
			SchemaOf[struct {
				A int `opt:"a,unit=ms"`
			}]()
		}, "neither s nor bytes"},
		{"bad merge", func() {
			SchemaOf[struct {
				A map[string]int `opt:"a,merge=list"`
			}]()
		}, "is not map"},
		{"merge of a list", func() {
			SchemaOf[struct {
				A []int `opt:"a,merge=map"`
			}]()
		}, "merge=map on a list"},
		{"not exported", func() {
			SchemaOf[struct {
				a int `opt:"a"`
			}]()
		}, "not exported"},
		{"twice", func() {
			SchemaOf[struct {
				A int `opt:"a"`
				B int `opt:"b,alias=a"`
			}]()
		}, "declared twice"},
		{"channel", func() {
			SchemaOf[struct {
				A chan int `opt:"a"`
			}]()
		}, "cannot be an option"},
		{"interface", func() {
			SchemaOf[struct {
				A fmt.Stringer `opt:"a"`
			}]()
		}, "cannot be an option"},
		{"map of numbers", func() {
			SchemaOf[struct {
				A map[int]int `opt:"a"`
			}]()
		}, "cannot be an option"},
		{"pointer to pointer", func() {
			SchemaOf[struct {
				A **int `opt:"a"`
			}]()
		}, "pointer to a pointer"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			defer func() {
				if got := fmt.Sprint(recover()); !strings.HasPrefix(got, "option: ") || !strings.Contains(got, tt.want) {
					t.Errorf("panic %q, want %q in it", got, tt.want)
				}
			}()
			tt.make()
		})
	}
}

func TestFieldsGolden(t *testing.T) {
	var b strings.Builder
	var print func(indent string, fields []Field)
	print = func(indent string, fields []Field) {
		for _, f := range fields {
			fmt.Fprintf(&b, "%s%s %s.%s type=%q default=%s", indent, f.Name, f.GoType, f.GoName, f.Type, shown(f.Default))
			for _, x := range []struct {
				name string
				set  bool
			}{{"required", f.Required}, {"secret", f.Secret}, {"merge", f.MergeMap}, {"list", f.List}, {"map", f.Map}} {
				if x.set {
					b.WriteString(" " + x.name)
				}
			}
			fmt.Fprintf(&b, " %s\n", strings.TrimSpace(strings.Join(append(append(f.Enum, f.Aliases...), f.Min, f.Max, f.Unit, f.Since, f.Deprecated), " ")))
			print(indent+"  ", f.Fields)
		}
	}
	print("", sampleSchema.Fields())
	golden(t, "fields.txt", strings.ReplaceAll(b.String(), " \n", "\n"))
}

func TestSchemasHeldTogether(t *testing.T) {
	for _, d := range []Described{sampleSchema, SchemaOf[tree]()} {
		if len(d.Fields()) == 0 || !strings.HasPrefix(d.TypeName(), "option.") {
			t.Error(d.TypeName())
		}
		if err := d.Validate("x", Layer{"nope": {int64(1), lua(1)}}); err == nil {
			t.Error("an unknown option is valid")
		}
	}
}

func TestDocs(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("a.go", "package room\n\n// Path is a path.\ntype Path struct {\n\t// How many.\n\t// More.\n\tMax, Min int\n\tB int // behind\n\tC int\n}\n\ntype (\n\t// Q is.\n\tQ struct{}\n\tI interface{}\n)\n")
	write("a_test.go", "package room\n\ntype T struct{}\n")
	docs, err := Docs(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"room.Path": "Path is a path.", "room.Path.Max": "How many.\nMore.", "room.Path.Min": "How many.\nMore.",
		"room.Path.B": "behind", "room.Path.C": "", "room.Q": "Q is.",
	}
	if fmt.Sprint(docs) != fmt.Sprint(want) {
		t.Errorf("got %v", docs)
	}
	write("b.go", "package")
	if _, err := Docs(dir); err == nil {
		t.Error("a file that does not parse is no error")
	}
}

func TestSuggest(t *testing.T) {
	names := []string{"max_ready", "max_message_rate", "max_age", "connection_limit", "egress_pool", "enable_tls"}
	tests := map[string]string{
		"max_redy": "max_ready", "max-ready": "max_ready", "Max_Ready": "max_ready", "max_raedy": "max_ready",
		"maxage": "max_age", "conection_limits": "connection_limit", "pool": "", "xyz": "", "": "", "enable_tsl": "enable_tls",
		strings.Repeat("x", 65): "",
	}
	for word, want := range tests {
		if got := Suggest(word, names); got != want {
			t.Errorf("Suggest(%q) = %q, want %q", word, got, want)
		}
	}
}

// sixty has as many options as an egress path.
type sixty struct {
	D1, D2, D3, D4, D5, D6, D7, D8, D9, D10 struct{}

	A01 Duration `opt:"a01,default=60s"`
	A02 Duration `opt:"a02,default=60s"`
	A03 Duration `opt:"a03,default=60s"`
	A04 Duration `opt:"a04,default=60s"`
	A05 Duration `opt:"a05,default=60s"`
	A06 Duration `opt:"a06,default=60s"`
	A07 Duration `opt:"a07,default=60s"`
	A08 Duration `opt:"a08,default=60s"`
	A09 Duration `opt:"a09,default=60s"`
	A10 Duration `opt:"a10,default=60s"`
	B01 int      `opt:"b01,default=1,min=0"`
	B02 int      `opt:"b02,default=1,min=0"`
	B03 int      `opt:"b03,default=1,min=0"`
	B04 int      `opt:"b04,default=1,min=0"`
	B05 int      `opt:"b05,default=1,min=0"`
	B06 int      `opt:"b06,default=1,min=0"`
	B07 int      `opt:"b07,default=1,min=0"`
	B08 int      `opt:"b08,default=1,min=0"`
	B09 int      `opt:"b09,default=1,min=0"`
	B10 int      `opt:"b10,default=1,min=0"`
	C01 bool     `opt:"c01,default=true"`
	C02 bool     `opt:"c02,default=true"`
	C03 bool     `opt:"c03,default=true"`
	C04 bool     `opt:"c04,default=true"`
	C05 bool     `opt:"c05,default=true"`
	C06 bool     `opt:"c06,default=true"`
	C07 bool     `opt:"c07,default=true"`
	C08 bool     `opt:"c08,default=true"`
	C09 bool     `opt:"c09,default=true"`
	C10 bool     `opt:"c10,default=true"`
	E01 tlsMode  `opt:"e01,default=a,enum=a|b|c"`
	E02 tlsMode  `opt:"e02,default=a,enum=a|b|c"`
	E03 tlsMode  `opt:"e03,default=a,enum=a|b|c"`
	E04 tlsMode  `opt:"e04,default=a,enum=a|b|c"`
	E05 tlsMode  `opt:"e05,default=a,enum=a|b|c"`
	E06 tlsMode  `opt:"e06,default=a,enum=a|b|c"`
	E07 tlsMode  `opt:"e07,default=a,enum=a|b|c"`
	E08 tlsMode  `opt:"e08,default=a,enum=a|b|c"`
	E09 tlsMode  `opt:"e09,default=a,enum=a|b|c"`
	E10 tlsMode  `opt:"e10,default=a,enum=a|b|c"`
	F01 string   `opt:"f01"`
	F02 string   `opt:"f02"`
	F03 string   `opt:"f03"`
	F04 string   `opt:"f04"`
	F05 string   `opt:"f05"`
	F06 string   `opt:"f06"`
	F07 string   `opt:"f07"`
	F08 string   `opt:"f08"`
	F09 string   `opt:"f09"`
	F10 string   `opt:"f10"`
	G01 *int     `opt:"g01"`
	G02 *int     `opt:"g02"`
	G03 *int     `opt:"g03"`
	G04 *int     `opt:"g04"`
	G05 *int     `opt:"g05"`
	G06 *int     `opt:"g06"`
	G07 *int     `opt:"g07"`
	G08 CIDRSet  `opt:"g08,default=127.0.0.0/8|::1"`

	G09 map[string]int `opt:"g09,merge=map"`
	G10 []string       `opt:"g10"`
}

var sixtySchema = SchemaOf[sixty]()

// BenchmarkResolve lays four layers of a dozen options each over sixty: what a shaping file does to a path.
func BenchmarkResolve(b *testing.B) {
	b.ReportAllocs()
	var layers []Layer
	for i := range 4 {
		m := table{"g09": table{fmt.Sprint("k", i): int64(i)}}
		for j := 1; j <= 3; j++ {
			n := fmt.Sprintf("%02d", (i*2+j)%10+1)
			m["a"+n], m["b"+n], m["c"+n], m["e"+n] = "5 mins", int64(j), false, "b"
		}
		layers = append(layers, NewLayer(m, Origin{Kind: KindTOML, At: "shaping.toml:1"}))
	}
	for b.Loop() {
		if _, err := sixtySchema.Resolve("make_egress_path", layers...); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkResolveFull sets every scalar option in all four layers.
func BenchmarkResolveFull(b *testing.B) {
	b.ReportAllocs()
	m := table{}
	for i := 1; i <= 10; i++ {
		n := fmt.Sprintf("%02d", i)
		m["a"+n], m["b"+n], m["c"+n], m["e"+n], m["f"+n] = 5.0, int64(i), false, "b", "x"
	}
	l := NewLayer(m, Origin{Kind: KindTOML, At: "shaping.toml:1"})
	for b.Loop() {
		if _, err := sixtySchema.Resolve("make_egress_path", l, l, l, l); err != nil {
			b.Fatal(err)
		}
	}
}

func TestBenchmarkedSchemaResolves(t *testing.T) {
	r, err := sixtySchema.Resolve("x")
	if err != nil || r.Value.A10.Std() != time.Minute || len(r.Trace) != 60 {
		t.Errorf("%d %v", len(r.Trace), err)
	}
}
