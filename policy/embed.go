// Package policy holds the Lua that ships in the binary: the policy that runs when no other is named, and a sink.
package policy

import _ "embed"

// Default is the built-in policy: mail from this machine only, ordinary delivery.
//
//go:embed default.lua
var Default string

// Sink is a policy that takes all mail from this machine and drops it.
//
//go:embed sink.lua
var Sink string
