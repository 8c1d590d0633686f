package kumotest

import "kumo/pkg/torture/crashfs"

// The crashable disk of package crashfs under the names that tests know it by.
type (
	CrashFS = crashfs.FS
	Fault   = crashfs.Fault
)

// ErrPowerCut is what every call gets after the power was cut.
var ErrPowerCut = crashfs.ErrPowerCut

// NewCrashFS makes an empty disk with a root directory.
func NewCrashFS() *CrashFS { return crashfs.New() }
