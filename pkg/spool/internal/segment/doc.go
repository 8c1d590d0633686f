// Package segment is the format of the spool's log on disk: segment headers, record frames, envelopes, and the
// scanner that finds its way through a damaged file. FORMAT.md of package spool draws it.
//
// Everything here is a pure function of bytes: no files are opened, nothing is remembered.
//
// Invariants:
//   - a frame is accepted only with the mark and the checksum that the spool's secret salt gives it, so that mail
//     which contains a copy of a record is never taken for one;
//   - damage costs the frame that it hits and nothing else: with an intact header the frame's length is known, and
//     without one the scanner looks for the next frame that proves itself.
package segment
