// Package cli is how a verb speaks: what goes to stdout, what to stderr, in which of three formats, and with which
// exit code. A verb computes a value and hands it to a Console; it never prints by itself.
//
//  1. A verb's rows are a Go struct. `json` tags (snake_case) name its fields for machines, `col` tags name its columns
//     for people: `col:"QUEUE"`. Fields without `col` are for machines only.
//  2. Print takes one value, Rows a sequence. Both check the format: text, json (one document) or jsonl.
//  3. Text on a terminal is a table with a header, colours and relative times; in a pipe it is the same columns with
//     tabs between them, without a header and with absolute times (RFC 3339, UTC).
//  4. Talk (notes, warnings, progress) goes to stderr. Progress is shown on a terminal only.
//  5. An error ends in Fail: `kumo: <what>: <why>` and a `hint:` line, or with json an object {code, message, hint},
//     and the exit code of the table in exit.go.
//
// Invariants: "quiet-failure": nothing is on stdout when a verb fails before its first row. "tame-text": no control
// byte of a message reaches a terminal, and no value can forge a row or a column. "constant-memory": Rows with text
// or jsonl keeps a bounded number of rows.
//
// Not done here: flags and help (cobra in cmd/kumo), full-screen views (cmd/kumo/top).
package cli
