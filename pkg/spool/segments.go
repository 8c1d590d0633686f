package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"kumo/pkg/spool/internal/segment"
)

// segFile is one segment of the log. live counts what still needs it: messages whose accept record or latest
// update stands in it, and orders whose completion is known only from it.
type segFile struct {
	num  uint32
	end  int64 // bytes that count
	live int64
	mail int64 // about how many of its bytes live messages need
	idle int   // how often nothing was found alive in it
	hurt bool  // has damage that somebody may want to look at
	file File  // nil when it is not open
	refs int   // readers that use file now
	used uint64
}

// segments is the set of segments in ascending order.
type segments struct {
	fsys FS
	dir  string
	key  segment.Key
	max  int // files kept open
	// discover takes segments that nobody added: those of another process.
	discover bool

	mu    sync.Mutex
	list  []*segFile
	byNum map[uint32]*segFile
	open  int
	clock uint64
}

const segSuffix = ".log"

func segName(num uint32) string { return fmt.Sprintf("%010d%s", num, segSuffix) }

// segNumber reads a segment's number from its name; false for names that are not ours.
func segNumber(name string) (uint32, bool) {
	digits, ok := strings.CutSuffix(name, segSuffix)
	n, err := strconv.ParseUint(digits, 10, 32)
	return uint32(n), ok && err == nil && n > 0 && segName(uint32(n)) == name
}

func newSegments(fsys FS, dir string, key segment.Key) *segments {
	return &segments{fsys: fsys, dir: dir, key: key, max: 256, byNum: make(map[uint32]*segFile)}
}

func (s *segments) path(num uint32) string { return filepath.Join(s.dir, segName(num)) }

// add appends a segment, which must have the greatest number so far. file may be nil.
func (s *segments) add(num uint32, end int64, file File) *segFile {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := &segFile{num: num, end: end, file: file}
	if file != nil {
		s.open++
	}
	s.list = append(s.list, g)
	s.byNum[num] = g
	return g
}

// has reports whether there is a segment num.
func (s *segments) has(num uint32) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.byNum[num] != nil
}

// first is the oldest segment, 0 if there is none.
func (s *segments) first() uint32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.list) == 0 {
		return 0
	}
	return s.list[0].num
}

// hold counts n things that need segment num (or, if negative, no longer need it).
func (s *segments) hold(num uint32, n int64) {
	s.mu.Lock()
	if g := s.byNum[num]; g != nil {
		g.live += n
	}
	s.mu.Unlock()
}

// keep counts a message into (or, with n -1, out of) the segment that its accept record stands in.
func (s *segments) keep(e *entry, n int64) {
	s.mu.Lock()
	if g := s.byNum[e.seg]; g != nil {
		g.live += n
		g.mail += n * e.weight()
	}
	s.mu.Unlock()
}

// usage is what the log needs and what it has, from the first segment that anything needs.
type usage struct {
	first uint32 // that segment, 0 when nothing is needed
	next  int64  // about how many bytes of it live messages need
	files int
	bytes int64
	mail  int64 // of live messages, about
}

func (s *segments) usage() (u usage) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range s.list {
		if u.first == 0 && g.live <= 0 {
			continue
		}
		if u.first == 0 {
			u.first, u.next = g.num, g.mail
		}
		u.files++
		u.bytes += g.end
		u.mail += g.mail
	}
	return u
}

// acquire opens segment num for reading, or uses it where it is open. Give it back with release.
func (s *segments) acquire(num uint32) (*segFile, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.byNum[num]
	if g == nil && s.discover {
		g = &segFile{num: num}
		s.list, s.byNum[num] = append(s.list, g), g
	}
	if g == nil {
		return nil, fmt.Errorf("segment %d: %w", num, fs.ErrNotExist)
	}
	s.clock++
	g.used = s.clock
	if g.file == nil {
		f, err := s.fsys.Open(s.path(num), false)
		if err != nil {
			return nil, fmt.Errorf("open segment %d: %w", num, err)
		}
		g.file = f
		s.open++
		s.evict(g)
	}
	g.refs++
	return g, nil
}

// evict closes the file that was not used for longest when too many are open. The last segment, which may be the
// one being written, stays.
func (s *segments) evict(keep *segFile) {
	if s.open <= s.max {
		return
	}
	var oldest *segFile
	for _, g := range s.list[:len(s.list)-1] {
		if g != keep && g.file != nil && g.refs == 0 && (oldest == nil || g.used < oldest.used) {
			oldest = g
		}
	}
	if oldest != nil {
		_ = oldest.file.Close()
		oldest.file = nil
		s.open--
	}
}

func (s *segments) release(g *segFile) {
	s.mu.Lock()
	g.refs--
	if g.refs == 0 && s.byNum[g.num] != g {
		_ = g.file.Close()
	}
	s.mu.Unlock()
}

// dead returns the segments that nothing needs, oldest first: those that stand before the first one in use. Only a
// prefix may go, because an end record must outlive the record that it ends. The segment active stays, and so does
// one that was not seen dead before: the index gets time to forget the messages that ended last.
func (s *segments) dead(active uint32) []uint32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []uint32
	for i, g := range s.list {
		if g.live > 0 || g.num == active {
			break
		}
		if g.idle++; g.idle > 1 && len(out) == i {
			out = append(out, g.num)
		}
	}
	return out
}

// isDead reports that nothing needs segment num.
func (s *segments) isDead(num uint32) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.byNum[num]
	return g == nil || g.live <= 0
}

// segSize is a segment and its length.
type segSize struct {
	num uint32
	end int64
}

// before lists the segments before num, oldest first, and adds up their bytes.
func (s *segments) before(num uint32) (list []segSize, total int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range s.list {
		if g.num >= num {
			break
		}
		list = append(list, segSize{g.num, g.end})
		total += g.end
	}
	return list, total
}

// allDead reports that no segment is needed, and that the last one holds something all the same.
func (s *segments) allDead() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range s.list {
		if g.live > 0 {
			return false
		}
	}
	return len(s.list) > 0 && s.list[len(s.list)-1].end > segment.HeaderSize
}

// drop deletes the first segment. The directory is synced before the next may go: were a later one gone and this
// one back after a crash, mail that has ended would live again.
func (s *segments) drop(num uint32) error {
	if err := s.away(num); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("delete segment %d: %w", num, err)
	}
	if err := s.fsys.SyncDir(s.dir); err != nil {
		return fmt.Errorf("delete segment %d: sync %s: %w", num, s.dir, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.byNum[num]
	if g == nil {
		return nil
	}
	delete(s.byNum, num)
	s.list = s.list[1:]
	if g.file != nil {
		s.open--
		if g.refs == 0 {
			_ = g.file.Close()
		}
	}
	return nil
}

// away deletes a segment's file, or moves it to the directory of damaged ones.
func (s *segments) away(num uint32) error {
	s.mu.Lock()
	hurt := s.byNum[num] != nil && s.byNum[num].hurt
	s.mu.Unlock()
	if !hurt {
		return s.fsys.Remove(s.path(num))
	}
	dir := filepath.Join(filepath.Dir(s.dir), damagedName)
	if err := s.fsys.Mkdir(dir); err != nil {
		return err
	}
	if err := s.fsys.Rename(s.path(num), filepath.Join(dir, segName(num))); err != nil {
		return err
	}
	return s.fsys.SyncDir(dir)
}

// create makes the segment after the last one ready to be written: header on disk, directory entry on disk.
func (s *segments) create(h segment.Header) (*segFile, error) {
	num := uint32(h.Number)
	f, err := s.fsys.Create(s.path(num))
	if err != nil {
		return nil, fmt.Errorf("create segment %d: %w", num, err)
	}
	err = initSegment(s.fsys, s.dir, f, h)
	if err != nil {
		_ = f.Close()
		_ = s.fsys.Remove(s.path(num))
		return nil, fmt.Errorf("create segment %d: %w", num, err)
	}
	return s.add(num, segment.HeaderSize, f), nil
}

func initSegment(fsys FS, dir string, f File, h segment.Header) error {
	b := h.Append(nil)
	if n, err := f.WriteAt(0, b); err != nil || n < int64(len(b)) {
		return errors.Join(err, shortWrite(n, int64(len(b))))
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return fsys.SyncDir(dir)
}

// count is how many segments there are and how many bytes they hold.
func (s *segments) count() (n int, size int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range s.list {
		size += g.end
	}
	return len(s.list), size
}

// close closes all files. Nobody may use them any more.
func (s *segments) close(log *slog.Logger) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range s.list {
		if g.file == nil {
			continue
		}
		if err := g.file.Close(); err != nil {
			log.Warn("close segment", "segment", g.num, "error", err)
		}
		g.file = nil
	}
	s.open = 0
}
