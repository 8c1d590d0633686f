package spool

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"kumo/pkg/message"
)

// Files in damaged/ that name mail which is lost: lost-TIME.jsonl, one Finding to a line.
const (
	lostPrefix = "lost-"
	lostSuffix = ".jsonl"
	// maxLostLine bounds a line: an envelope with 10,000 recipients of 254 bytes fits.
	maxLostLine = 4 << 20
	// maxLost is how many messages of such files are known at a time.
	maxLost = 1_000_000
)

func lostStamp() string { return time.Now().UTC().Format("20060102-150405.000000") }

// eachLost calls f for each message that the files in damaged/ name as lost. Lines that make no sense are passed over.
func eachLost(dir string, f func(name string, is *Finding)) error {
	entries, err := OS{}.ReadDir(filepath.Join(dir, damagedName))
	if isMissing(err) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !e.Mode.IsRegular() || !strings.HasPrefix(e.Name, lostPrefix) || !strings.HasSuffix(e.Name, lostSuffix) {
			continue
		}
		if err := eachLostIn(filepath.Join(dir, damagedName, e.Name), func(is *Finding) { f(e.Name, is) }); err != nil {
			return err
		}
	}
	return nil
}

func eachLostIn(path string, f func(*Finding)) error {
	file, err := os.Open(path)
	if isMissing(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, maxLostLine)
	for lines.Scan() {
		var is Finding
		if json.Unmarshal(lines.Bytes(), &is) == nil && is.ID != nil {
			f(&is)
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	return nil
}

// LostMail are the messages, at most a million, that files in the directory damaged of the spool in dir name as lost:
// a start or a repair that missed their segments wrote them. Errors are those of the disk.
func LostMail(dir string) (map[message.ID]bool, error) {
	out := make(map[message.ID]bool)
	err := eachLost(dir, func(_ string, f *Finding) {
		if len(out) < maxLost {
			out[*f.ID] = true
		}
	})
	if err != nil {
		return nil, fmt.Errorf("mail that is lost: %w", err)
	}
	return out, nil
}

// tellKept tells of the mail that starts found lost, for as long as the files that name it are there. Of what a repair
// has found, somebody was told.
func (c *checker) tellKept(ctx context.Context) error {
	lost := make(map[message.ID]Finding)
	told := make(map[message.ID]bool)
	for i := range c.Findings {
		if f := &c.Findings[i]; f.ID != nil && f.Lost {
			told[*f.ID] = true
		}
	}
	err := eachLost(c.dir, func(name string, f *Finding) {
		if f.Mended {
			told[*f.ID] = true
			delete(lost, *f.ID)
		}
		if told[*f.ID] || c.log.has(*f.ID) || len(lost) == maxLost {
			return
		}
		f.Kind, f.Lost, f.Harmless, f.Offset, f.Length = FoundLost, true, false, 0, 0
		f.Path = filepath.Join(damagedName, name)
		f.Detail = "its segment was removed, a start found; remove the file when this is dealt with"
		lost[*f.ID] = *f
	})
	if err != nil || len(lost) == 0 {
		return err
	}
	of := func(id message.ID) bool { _, ok := lost[id]; return ok }
	if err := c.log.endings(ctx, of, func(id message.ID, _ Ending) { delete(lost, id) }); err != nil {
		return err
	}
	for _, f := range sortedLost(lost) {
		c.add(f)
	}
	return nil
}

func sortedLost(lost map[message.ID]Finding) []Finding {
	list := slices.Collect(maps.Values(lost))
	slices.SortFunc(list, func(a, b Finding) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	return list
}
