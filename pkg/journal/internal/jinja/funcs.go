package jinja

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nikolalohinski/gonja/v2/builtins"
	"github.com/nikolalohinski/gonja/v2/exec"
)

// maxRange bounds range().
const maxRange = 100_000

// globals are the functions and variables that every template has.
func globals() map[string]any {
	vars := map[string]any{
		"now":    func() float64 { return float64(time.Now().UnixMicro()) / 1e6 },
		"range":  numbers,
		"cycler": cycler,
		"joiner": joiner,
		noneName: null{},
	}
	for _, name := range []string{"dict", "namespace"} {
		if f, ok := builtins.GlobalFunctions.Get(name); ok {
			vars[name] = f
		}
	}
	return vars
}

// numbers is range([start,] stop[, step]).
func numbers(_ *exec.Evaluator, params *exec.VarArgs) ([]int, error) {
	from, to, step := 0, 0, 1
	for _, a := range params.Args {
		if !a.IsInteger() {
			return nil, exec.ErrInvalidCall(errors.New("range wants whole numbers"))
		}
	}
	switch len(params.Args) {
	case 1:
		to = params.Args[0].Integer()
	case 3:
		step = params.Args[2].Integer()
		fallthrough
	case 2:
		from, to = params.Args[0].Integer(), params.Args[1].Integer()
	}
	if step == 0 || len(params.Args) == 0 || len(params.Args) > 3 {
		return nil, exec.ErrInvalidCall(errors.New("range wants [start,] stop [, step], and no step of 0"))
	}
	var out []int
	for i := from; step > 0 && i < to || step < 0 && i > to; i += step {
		if len(out) == maxRange {
			return nil, exec.ErrInvalidCall(fmt.Errorf("range gives more than %d numbers", maxRange))
		}
		out = append(out, i)
	}
	return out, nil
}

// ownFilters are those that the library has not, or has otherwise than MiniJinja.
var ownFilters = map[string]exec.FilterFunction{
	printFilter:      printed,
	"tojson":         toJSON,
	"items":          items,
	"lines":          lines,
	"split":          split,
	"bool":           func(_ *exec.Evaluator, in *exec.Value, _ *exec.VarArgs) *exec.Value { return exec.AsValue(in.IsTrue()) },
	"pluralize":      pluralize,
	"dateformat":     timeFilter("DATE_FORMAT", dateForms),
	"datetimeformat": timeFilter("DATETIME_FORMAT", datetimeForms),
	"timeformat":     timeFilter("TIME_FORMAT", timeForms),
}

var ownTests = map[string]exec.TestFunction{
	"none": func(_ *exec.Context, in *exec.Value, _ *exec.VarArgs) (bool, error) {
		_, ok := in.Interface().(null)
		return ok, nil
	},
	"startingwith": func(_ *exec.Context, in *exec.Value, p *exec.VarArgs) (bool, error) {
		return strings.HasPrefix(in.String(), p.First().String()), nil
	},
	"endingwith": func(_ *exec.Context, in *exec.Value, p *exec.VarArgs) (bool, error) {
		return strings.HasSuffix(in.String(), p.First().String()), nil
	},
}

// printed is how an output's value is printed.
func printed(_ *exec.Evaluator, in *exec.Value, _ *exec.VarArgs) *exec.Value {
	if in.IsError() {
		return in
	}
	if in.IsString() {
		return exec.AsValue(clean(in.String()))
	}
	return exec.AsValue(clean(string(appendShown(nil, in, false, 0))))
}

func toJSON(_ *exec.Evaluator, in *exec.Value, _ *exec.VarArgs) *exec.Value {
	if in.IsError() {
		return in
	}
	b, err := appendJSON(nil, in, 0)
	if err != nil {
		return exec.AsValue(err)
	}
	return exec.AsSafeValue(string(b))
}

// items are the pairs of a map, those of a record in the order of its fields.
func items(_ *exec.Evaluator, in *exec.Value, _ *exec.VarArgs) *exec.Value {
	out := []any{}
	if !in.IsDict() {
		return exec.AsValue(out)
	}
	var keys []string
	for _, k := range in.Keys() {
		keys = append(keys, k.String())
	}
	sortKeys(keys)
	for _, k := range keys {
		v, _ := in.GetItem(k)
		out = append(out, []any{k, v.Interface()})
	}
	return exec.AsValue(out)
}

// cycler is an object whose next() gives the values of a list in turn.
func cycler(_ *exec.Evaluator, params *exec.VarArgs) (map[string]any, error) {
	list := params.First()
	if !list.IsList() || list.Len() == 0 {
		return nil, exec.ErrInvalidCall(errors.New("cycler wants a list that is not empty"))
	}
	n := -1
	return map[string]any{"next": func() *exec.Value {
		n++
		return list.Index(n % list.Len())
	}}, nil
}

// joiner is a function that gives nothing the first time and the separator, ", " by default, from then on.
func joiner(_ *exec.Evaluator, params *exec.VarArgs) func() string {
	sep, again := ", ", false
	if len(params.Args) > 0 {
		sep = params.Args[0].String()
	}
	return func() string {
		if !again {
			again = true
			return ""
		}
		return sep
	}
}

func lines(_ *exec.Evaluator, in *exec.Value, _ *exec.VarArgs) *exec.Value {
	var out []any
	for line := range strings.Lines(in.String()) {
		out = append(out, strings.TrimRight(line, "\r\n"))
	}
	return exec.AsValue(out)
}

// split is str.split with a separator, or at blanks.
func split(_ *exec.Evaluator, in *exec.Value, params *exec.VarArgs) *exec.Value {
	parts := strings.Fields(in.String())
	if sep := params.First(); !isNull(sep) {
		parts = strings.Split(in.String(), sep.String())
	}
	out := make([]any, len(parts))
	for i, p := range parts {
		out[i] = p
	}
	return exec.AsValue(out)
}

func pluralize(_ *exec.Evaluator, in *exec.Value, params *exec.VarArgs) *exec.Value {
	one := in.IsString() && in.String() == "1" || in.IsNumber() && in.Float() == 1 || (in.IsList() || in.IsDict()) && in.Len() == 1
	ending := "s"
	arg := 1
	if one {
		ending, arg = "", 0
	}
	if len(params.Args) > arg && !isNull(params.Args[arg]) {
		ending = params.Args[arg].String()
	}
	return exec.AsValue(ending)
}
