// Package egress knows where mail goes and why: sources, pools, paths; Plan decides, Dial connects.
package egress
