package spool

import (
	"errors"
	"fmt"
	"syscall"

	"kumo/pkg/message"
)

// Errors that callers tell apart with errors.Is. All of them are local faults: the peer hears 4xx.
var (
	// ErrFull is a disk without room (ENOSPC, EDQUOT). It heals when space returns: 452 4.3.1.
	ErrFull = errors.New("spool is full")
	// ErrUnhealthy is a disk that failed: 451 4.3.0. It heals when a probe succeeds.
	ErrUnhealthy = errors.New("spool is unhealthy")
	// ErrClosed is a spool that is shutting down.
	ErrClosed = errors.New("spool is closed")
	// ErrGone is a message that is not in the spool: it has ended, or was never there.
	ErrGone = errors.New("message is not in the spool")
	// ErrDamaged is a stored message that fails its checksum. It is never delivered.
	ErrDamaged = message.ErrDamaged
	// ErrOrderDone is an order that was carried out before; see OrderDoneError.
	ErrOrderDone = errors.New("order is already done")
	// ErrTooBig is a message that the format has no room for.
	ErrTooBig = errors.New("message is too big for the spool")
)

// HeldError is a spool that another process owns. Verbs exit with 11.
type HeldError struct {
	Dir string
	PID int // 0 when it is not known
}

func (e *HeldError) Error() string {
	if e.PID == 0 {
		return fmt.Sprintf("spool %s is held by another process", e.Dir)
	}
	return fmt.Sprintf("spool %s is held by another process (pid %d)", e.Dir, e.PID)
}

// OrderDoneError tells Accept's caller that the order's messages are in the log already. It is ErrOrderDone.
type OrderDoneError struct {
	Order string
	IDs   []message.ID // what came of it
}

func (e *OrderDoneError) Error() string { return "order " + e.Order + " is already done" }

// Is makes it ErrOrderDone.
func (e *OrderDoneError) Is(target error) bool { return target == ErrOrderDone }

// storeError wraps a disk's error so that callers see which kind it is.
func storeError(doing string, err error) error {
	kind := ErrUnhealthy
	if isFull(err) {
		kind = ErrFull
	}
	return fmt.Errorf("%s: %w: %w", doing, kind, err)
}

func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
