package journal

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"kumo/pkg/option"
)

// FileOptions are those of kumo.configure_local_logs: one logger that writes segments below a directory.
type FileOptions struct {
	// Directory of the segments; it is created when it does not exist.
	LogDir string `opt:"log_dir,required"`
	// A segment ends when this many bytes, counted before compression, are in it.
	MaxFileSize option.Size `opt:"max_file_size,default=1000000000,min=1,unit=bytes"`
	// A segment ends when it is this old, whatever its size. 0 means that age does not end segments.
	MaxSegmentDuration option.Duration `opt:"max_segment_duration"`
	// Compression level of zstd, 0 to 21; 0 means zstd's own default, which is 3.
	CompressionLevel int `opt:"compression_level,default=0,min=0,max=21"`
	// Message headers whose decoded values go into each record: names, or prefixes that end in "*". Case does not
	// matter.
	Headers []string `opt:"headers"`
	// Metadata names whose values go into each record: names, prefixes that end in "*", or "*" for all. Case matters.
	Meta []string `opt:"meta"`
	// Free space of the log volume, in bytes or as "N%", under which mail is refused.
	MinFreeSpace Floor `opt:"min_free_space,default=10%"`
	// Free inodes of the log volume, a count or "N%", under which mail is refused.
	MinFreeInodes Floor `opt:"min_free_inodes,default=10%"`
	// Records that may wait for the disk before those who write them have to wait too.
	BackPressure int `opt:"back_pressure,default=128000,min=1"`
	// An event of the policy, event(message) -> boolean, that decides for each record about a message whether this
	// logger writes it. Where it fails the record is written.
	FilterEvent string `opt:"filter_event"`
	// Settings for single record types, by type; "Any" stands for the types that are not named.
	PerRecord map[string]PerRecord `opt:"per_record,merge=map"`
}

// PerRecord are the options of one record type of a logger.
type PerRecord struct {
	// Whether records of this type are written.
	Enable bool `opt:"enable,default=true"`
	// Text at the end of the segment's name; types with the same suffix and directory share segments.
	Suffix string `opt:"suffix"`
	// Directory of the segments of this type; the logger's own when empty.
	LogDir string `opt:"log_dir"`
	// Text at the start of each segment, a header of CSV for example; a line end is added if it has none. Of types
	// that share segments the first one that has a header gives it.
	SegmentHeader string `opt:"segment_header"`
	// What is written in place of the JSON record: a MiniJinja template over its fields, with log_record for the
	// whole and the names of headers in lower case. A line end is added; where it makes nothing, nothing is written.
	// Where it fails the JSON record is.
	Template string `opt:"template"`
}

// AnyType is the key of per_record that stands for every type without a key of its own.
const AnyType = "Any"

// Check refuses what cannot work: no directory, an unknown record type, a suffix that leaves the directory, and a
// template with a mistake.
func (o *FileOptions) Check() error {
	if o.LogDir == "" {
		return errors.New("log_dir is empty: name a directory")
	}
	for name, p := range o.PerRecord {
		if name != AnyType && !known(Type(name)) {
			return fmt.Errorf("per_record: unknown record type %q; the types are %s and %s", name, typeList(), AnyType)
		}
		if strings.ContainsAny(p.Suffix, "/\x00") {
			return fmt.Errorf("per_record.%s.suffix: %q must not hold a slash or NUL", name, p.Suffix)
		}
		if len(p.SegmentHeader) > maxHeader {
			return fmt.Errorf("per_record.%s.segment_header: %d bytes are more than %d", name, len(p.SegmentHeader), maxHeader)
		}
		if p.Template != "" {
			if _, err := compile(p.Template); err != nil {
				return fmt.Errorf("per_record.%s.template: %w", name, err)
			}
		}
	}
	return nil
}

// Dirs are the directories that the logger's segments are in, each once.
func (o *FileOptions) Dirs() []string {
	dirs := []string{o.LogDir}
	for _, t := range types {
		p, ok := o.PerRecord[string(t)]
		if !ok {
			p, ok = o.PerRecord[AnyType]
		}
		if ok && p.Enable && p.LogDir != "" && !slices.Contains(dirs, p.LogDir) {
			dirs = append(dirs, p.LogDir)
		}
	}
	return dirs
}

// Legible reports whether the logger writes all records of type t as JSON, so that they can be read back.
func (o *FileOptions) Legible(t Type) bool {
	p, ok := o.PerRecord[string(t)]
	if !ok {
		p, ok = o.PerRecord[AnyType]
	}
	return o.FilterEvent == "" && (!ok || p.Enable && p.Template == "")
}

// maxHeader bounds segment_header: with it the first frame of a segment must not become too large.
const maxHeader = 64 << 10

func known(t Type) bool { return slices.Contains(types, t) }

func typeList() string {
	var names []string
	for _, t := range types {
		names = append(names, string(t))
	}
	return strings.Join(names, ", ")
}
