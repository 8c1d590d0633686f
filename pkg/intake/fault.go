package intake

import (
	"context"
	"errors"
	"syscall"

	"kumo/pkg/smtp"
)

// storeError is what a peer hears when the messages could not be stored: always temporary, for the fault is ours.
// Detail has the cause for the log.
func storeError(err error, host string) error {
	var answer *smtp.Error
	if errors.As(err, &answer) {
		return temporary(err)
	}
	reply := smtp.NewReply(451, "4.3.0", "message could not be stored, try again later")
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		reply = smtp.NewReply(452, "4.3.1", "insufficient system storage, try again later")
	case errors.Is(err, context.DeadlineExceeded):
		reply = smtp.NewReply(451, "4.4.5", "spool write timed out")
	case errors.Is(err, context.Canceled):
		reply = smtp.NewReply(421, "4.3.2", host+" shutting down")
	}
	return &smtp.Error{Reply: reply, Detail: "store: " + err.Error(), Cause: err}
}

// temporary passes errors of the next rooms on, but turns a permanent answer into a temporary one: that a queue
// cannot be configured says something about us and nothing about the message.
func temporary(err error) error {
	var answer *smtp.Error
	if !errors.As(err, &answer) || !answer.Reply.Permanent() {
		return err
	}
	return &smtp.Error{
		Reply:  smtp.NewReply(451, "4.3.0", "technical difficulties"),
		Detail: answer.Error(),
		Cause:  err,
	}
}
