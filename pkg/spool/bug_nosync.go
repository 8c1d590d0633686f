//go:build kumo_bug_nosync

package spool

// leavesSyncOut is the seeded bug: the committer answers without having synced. A test builds with it and expects
// kumo torture to find it.
const leavesSyncOut = true
