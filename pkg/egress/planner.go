package egress

import "context"

// Planner decides where messages go.
type Planner struct{}

// Plan decides for one message. Plans are shared and immutable. Errors are *Failure.
func (p *Planner) Plan(ctx context.Context, req Request) (*Plan, error) { panic("skeleton") }
