// Package journal says what happened: one record for each fact about a message, written as JSON lines into zstd
// segments, and read back from them.
//
//  1. A flow room calls Record. Every logger (one kumo.configure_local_logs each) that wants the type gets the record
//     encoded, with the metadata and headers that it asks for, into the buffer of one of its streams: a directory and
//     a suffix. A logger with a filter_event asks policy first; one with a template writes what that makes of the record.
//  2. The logger's writer (Run) takes the buffer twice a second, or as soon as 256 KiB are in it, compresses it and
//     appends it to the open segment as one whole zstd frame with one write.
//  3. A segment ends when it is full (max_file_size), old (max_segment_duration), or with the daemon; then it is synced
//     and made read-only. FORMAT.md draws names, frames and lines.
//  4. When the disk does not take a frame, the lines stay in memory and are written again later. Half of back_pressure
//     full, Healthy asks for mail to be refused; full, Record waits: a fact about accepted mail is not dropped.
//  5. Tail reads records in order, of our segments and of KumoMTA's, and follows an open segment frame by frame.
//  6. Read and Scan give the records of any number of directories in the order of their times, by id, type and time.
//
// Invariants: "one-line": a record is one JSON object on one line, without control characters, whatever a peer sent;
// values have none in a template's text either. "no-drop": a filter or a template that fails costs no record.
// "whole-frames": the open segment ends with a whole frame at any moment, so that zstdcat reads it. "no-gap": records
// reach the files in the order in which Record took them, and each of them, while the process lives: a segment that
// is deleted, moved or truncated is replaced. "bounded": back_pressure limits the records that wait and their bytes.
//
// What a power cut can cost: up to a second and a half of records (the time between syncs, and what waits for the
// writer). A crash of the process alone costs what had not been written, half a second at most. The spool is the truth
// about mail, and durable at once: the next start finds in it what the journal lacks, and node writes that again.
//
// Not done here: bounce classification, log hooks, and removing old segments.
package journal
