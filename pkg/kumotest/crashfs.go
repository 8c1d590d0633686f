package kumotest

import "kumo/pkg/torture/crashfs"

// CrashFS is the crashable disk under the name that tests know it by.
type CrashFS = crashfs.FS

// Fault is what one of its calls meets.
type Fault = crashfs.Fault

// ErrPowerCut is what every call gets after the power was cut.
var ErrPowerCut = crashfs.ErrPowerCut

// NewCrashFS makes an empty disk with a root directory.
func NewCrashFS() *CrashFS { return crashfs.New() }
