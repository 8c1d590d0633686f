package option

// Schema is what a struct type declares: its options in order.
type Schema[T any] struct{}

// SchemaOf reads the declarations of T. A malformed tag panics: it is a mistake of the program.
func SchemaOf[T any]() *Schema[T] { panic("skeleton") }

// Resolved is a value with the explanation of each of its options.
type Resolved[T any] struct {
	Value T
	Trace Trace
}

// Resolve lays layers over each other, later ones winning (maps tagged merge=map are merged by key), decodes them,
// fills in defaults and runs T's Check() error if it has one.
// what names the object in errors, e.g. "make_egress_path". Errors are *Error.
func (s *Schema[T]) Resolve(what string, layers ...Layer) (Resolved[T], error) { panic("skeleton") }

// Error is a bad option: where it was set, which one, and what is wrong with it, in KumoMTA's words.
type Error struct {
	What   string // "make_egress_path"
	Option string // "max_ready"
	Origin Origin
	Msg    string // `invalid type: string "x", expected an integer`
	Hint   string // "did you mean ..."
}

func (e *Error) Error() string { panic("skeleton") }
