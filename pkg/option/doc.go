// Package option declares, decodes, merges and explains options.
//
// An option is declared once: a struct field with an `opt` tag and a comment, in the room that it configures.
// The schema made from the struct is an immutable package variable beside it:
//
//	var pathSchema = option.SchemaOf[Path]()
//
// How a value comes about:
//
//  1. SchemaOf[T] reads the tags once, by reflection, and compiles one decoder per field; a malformed tag, or a
//     default that its own field refuses, panics.
//  2. A source (a Lua table, a TOML block, a flag) becomes a Layer: each value with the Origin it came from.
//  3. Resolve[T] starts from a copy of the defaults, lays the layers over each other, decodes what is set, and
//     runs Check() error of nested structs and then of T.
//  4. It returns the value with a Trace: for each option, the value in force, the origin that set it, and what it
//     overrode. Nested structs are traced leaf by leaf ("protocol.smtp.mx_list"), merged maps key by key.
//
// The tag holds machine facts only: `opt:"name"`, then any of default=…, min=…, max=…, enum=a|b, unit=s|bytes,
// merge=map, required, since=…, deprecated=use x, secret, alias=… (may repeat). No value in a tag contains a comma;
// the default of a list separates its elements by "|". The prose is the field's comment. An embedded struct without
// a tag gives its fields to the struct around it; other fields without a tag are not options.
//
// Kinds of field: bool, integers, floats, string and string kinds (with enum=), Duration and time.Duration, Size,
// Secret, CIDRSet, Amount, anything with Decoder or encoding.TextUnmarshaler on its pointer, pointers (nil = not
// set), slices, map[string]V, nested structs, and any.
//
// Invariants:
//   - strict: an unknown name, a wrong type and an impossible value are errors; nothing is guessed or cut.
//   - nil-is-unset: nil in a layer means that the layer does not set the option.
//   - empty-is-both: an empty list and an empty map are the same thing, for a Lua table cannot tell them apart.
//   - no-secret-shown: neither errors nor traces contain the value of a Secret or of an option tagged secret.
//   - read-only: a resolved value shares the slices of its defaults and, for fields of type any, its layers' values.
//
// Errors carry KumoMTA's words where its policy helpers match on them: "deserialize error: …, while processing",
// "invalid type", "invalid value", "unknown field", "missing field".
//
// Not done here: parsing Lua or TOML, fetching secrets, and anything that knows what an option is for.
package option
