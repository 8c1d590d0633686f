package node

import (
	"fmt"
	"os"
	"path/filepath"
)

// SystemPolicy is the policy that runs when no other is named and this file exists.
const SystemPolicy = "/opt/kumomta/etc/policy/init.lua"

// FindPolicy says which policy runs: the named file, else SystemPolicy if there is one, else the built-in policy,
// for which it returns "".
func FindPolicy(named string) (string, error) {
	if named != "" {
		st, err := os.Stat(named)
		if err != nil {
			return "", fmt.Errorf("policy: %w", err)
		}
		if st.IsDir() {
			return "", fmt.Errorf("policy %s is a directory: name the file to run, for example %s", named, filepath.Join(named, "init.lua"))
		}
		return named, nil
	}
	if st, err := os.Stat(SystemPolicy); err == nil && !st.IsDir() {
		return SystemPolicy, nil
	}
	return "", nil
}

// StateDir is where the built-in policy keeps mail and logs: $XDG_STATE_HOME/kumo, else ~/.local/state/kumo.
func StateDir() (string, error) {
	if dir := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "kumo"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("no place for the spool: %w; set XDG_STATE_HOME, or name a policy with --policy", err)
	}
	return filepath.Join(home, ".local", "state", "kumo"), nil
}
