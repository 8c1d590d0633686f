package egress

import (
	"net/netip"
	"time"
)

// Stand-ins until option and throttle land in this checkout.
type (
	pendingDuration  = time.Duration
	pendingCIDRSet   = []netip.Prefix
	pendingSpec      struct{}
	pendingConnLimit struct{ Limit int }
)
