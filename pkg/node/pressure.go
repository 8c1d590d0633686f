package node

import (
	"errors"
	"strings"

	"kumo/pkg/spool"
)

// pressure is how the node is, as ready queues see it.
type pressure struct {
	keeper

	memory  *memory
	deliver bool // also while the spool is unhealthy
}

// Low implements ready.Pressure.
func (p pressure) Low() bool { return p.memory.low() }

// Sick implements ready.Pressure, in KumoMTA's words.
func (p pressure) Sick() error {
	if p.deliver {
		return nil
	}
	err := p.Healthy()
	if err == nil {
		return nil
	}
	return errors.New("spool unhealthy: " + strings.TrimPrefix(err.Error(), spool.ErrUnhealthy.Error()+": "))
}
