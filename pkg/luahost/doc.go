// Package luahost runs policies: Lua files written for KumoMTA.
//
//  1. New reads the policy file and sends it through the front end: size, nesting, escapes that gopher-lua would get
//     wrong, then parsing and compiling. A file that is wrong is a *SyntaxError with file and line.
//  2. The first State is made at once: libraries, modules, types, then the policy's top level, which registers
//     handlers with kumo.on. An error here means that the policy does not load.
//  3. Acquire borrows a State from the pool, Fire calls the handlers of one event in it, Release gives it back. A State
//     is dropped after 300 s, after 1024 uses, and after any error that was not raised on purpose (Raise).
//  4. Every call has a deadline. gopher-lua asks its context before each instruction; ours counts these questions and
//     looks at the clock now and then, which costs a few nanoseconds and no timer.
//
// Modules, events and types are tables in code (Module, Event, Type): manual pages, editor stubs and checks are made
// from the same rows that the states are.
//
// Invariants:
//   - one-call-one-state: a State serves one call at a time; nothing is shared between States but compiled code.
//   - always-stopped: a handler that runs too long is stopped with an error that pcall cannot catch.
//   - file-and-line: every error says where; those that nobody caught carry a traceback.
//   - bounded: source size, nesting, call depth, stack, States alive, converted values, string.rep, files read.
//   - no-way-out: a policy cannot start processes or end this one, and writes files by kumo.fs.open only.
//
// DESIGN.md says why pcall, tracebacks and the pool are our own.
//
// Not done here: anything that knows mail (policy does), and the functions of rooms.
package luahost
