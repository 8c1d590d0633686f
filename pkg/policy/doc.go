// Package policy is what Lua sees of mail, and what the daemon asks of Lua.
//
//  1. Load compiles the policy and runs its top level, which registers event handlers.
//  2. Start runs pre_init and init. What they declare (spools, logs, listeners, resolver) is checked at once and
//     collected in a Setup; nothing is bound and nothing is created.
//  3. While mail flows, rooms ask their questions through small interfaces that Policy satisfies: listener.Hooks,
//     intake.Hooks, queue.Configs, egress.Configs. Each method is one event. Without a handler Lua is not entered.
//  4. Objects that the policy makes (make_queue_config and the like) are resolved where they are made, with the line
//     that made them as origin, and travel as userdata.
//
// Invariants:
//   - fault-is-temporary: only kumo.reject and kumo.disconnect give an *smtp.Error. Every other error, time-outs
//     included, comes back as a local fault with traceback, which rooms answer with 4xx.
//   - no-late-message: a message or connection that a handler kept is unusable once its event has ended.
//   - crlf-clean: what set_data and the header methods leave has CRLF line ends only.
//   - declared-once: options are those of the rooms' structs; no name or default is written here.
//
// Not done here: running Lua (luahost), and anything that the rooms do with the answers.
package policy
