// Package option declares, decodes, merges and explains options.
//
// An option is declared once: a struct field with an `opt` tag and a comment, in the room that it configures.
//
//  1. SchemaOf[T] reads the tags once, by reflection.
//  2. A source (a Lua table, a TOML block, a flag) becomes a Layer: each value with the Origin it came from.
//  3. Resolve[T] lays the layers over each other, decodes, applies defaults, calls Check, and returns the
//     value with a Trace: for each option, the value in force and the origin that set it.
//
// The tag holds machine facts only: `opt:"name"`, then any of default=…, min=…, max=…, enum=a|b, unit=s|bytes,
// merge=map, required, since=…, deprecated=use x, secret, alias=…. The prose is the field's comment.
//
// Errors carry KumoMTA's words where its policy helpers match on them: "deserialize error: …, while processing".
//
// Not done here: parsing Lua or TOML, and anything that knows what an option is for.
package option
