// Package kumotest is what tests need and nothing else may import: a sink MTA that is not our code, name servers,
// a file system that can be unplugged, and a node in a box.
package kumotest
