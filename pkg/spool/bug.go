//go:build !kumo_bug_nosync

package spool

// leavesSyncOut is false in every build but the one that proves that torture would notice.
const leavesSyncOut = false
