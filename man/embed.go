// Package man holds the manual pages, which are generated (make gen) and checked in.
package man

import "embed"

// Pages are the manual pages by file name, such as kumo-queue-list.1.
//
//go:embed *.1 *.5 *.7
var Pages embed.FS
