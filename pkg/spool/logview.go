package spool

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"

	"kumo/pkg/message"
	"kumo/pkg/spool/internal/segment"
)

// logView is what the whole log says, read without the help of its owner, and whether there is one or not.
type logView struct {
	dir    string
	format error // what is wrong with the format file
	held   bool
	segs   *segments
	files  []logFile
	strays []string

	table    table
	names    names
	marks    marks
	found    Recovery
	standing map[string]*standing
	notes    []note
	checked  checkedBody // the last body that was checked
}

// viewTries is how often reading begins again because an owner has deleted segments meanwhile.
const viewTries = 10

// readLog reads the log of the spool in dir. orders, if not nil, knows which orders are done.
func readLog(ctx context.Context, dir string, orders *Orders, progress func(done, total int64)) (*logView, error) {
	for try := 1; ; try++ {
		v := &logView{dir: dir, standing: make(map[string]*standing)}
		err := v.read(ctx, orders, progress)
		if err == nil {
			return v, nil
		}
		v.close()
		if !isMissing(err) || try == viewTries || ctx.Err() != nil {
			return nil, explained(err, dir)
		}
	}
}

func (v *logView) close() {
	if v.segs != nil {
		v.segs.close(slog.New(slog.DiscardHandler))
	}
}

func (v *logView) read(ctx context.Context, orders *Orders, progress func(done, total int64)) error {
	logDir := filepath.Join(v.dir, logName)
	b, err := readSmall(OS{}, filepath.Join(v.dir, formatName))
	var key segment.Key
	if err == nil {
		key, _, err = parseFormat(string(b))
	}
	var newer *segment.VersionError
	switch {
	case errors.As(err, &newer):
		return fmt.Errorf("%w: use the version of kumo that wrote it, or a later one", err)
	case isMissing(err):
		err = errors.New("it is not there")
	}
	if v.format = err; err != nil {
		if key, err = keyFromLog(OS{}, logDir); err != nil {
			return err
		}
	}
	v.held = Held(v.dir)
	v.segs = newSegments(OS{}, logDir, key)
	if v.files, v.strays, err = listLog(OS{}, logDir); err != nil {
		return err
	}
	if err := readHeaders(OS{}, v.segs, v.files); err != nil {
		return err
	}
	r := v.replayer(progress)
	if orders != nil {
		r.isDone = orders.isDone
	}
	if err := r.run(ctx, v.files); err != nil {
		return err
	}
	r.settle()
	v.notes = r.notes
	return nil
}

func (v *logView) replayer(progress func(done, total int64)) *replayer {
	return &replayer{
		fsys: OS{}, dir: v.segs.dir, key: v.segs.key, log: slog.New(slog.DiscardHandler), progress: progress,
		table: &v.table, names: &v.names, marks: &v.marks, segs: v.segs, found: &v.found, done: make(map[string]*doneOrder),
		standing: v.standing,
	}
}

// has reports whether the table has a live message.
func (v *logView) has(id message.ID) bool {
	shard, h := v.table.lock(id)
	defer shard.Unlock()
	return shard.get(id, h) != nil
}

// last is the number of the newest segment, 0 when there is none.
func (v *logView) last() uint32 {
	if len(v.files) == 0 {
		return 0
	}
	return v.files[len(v.files)-1].num
}

// endings reads the log once more for the ends of some messages. What an owner deletes meanwhile is passed over.
func (v *logView) endings(ctx context.Context, of func(message.ID) bool, f func(message.ID, Ending)) error {
	ticks := 0
	for i, l := range v.files {
		limit, _ := ends(v.files, i)
		scan := segment.Scanner{
			Key: v.segs.key, Limit: min(limit, l.size), Damaged: func(segment.Damage) {},
			Intact: func(rec segment.Record) error {
				if ticks++; ticks%4096 == 0 && ctx.Err() != nil {
					return ctx.Err()
				}
				return eachEnd(rec, of, f)
			},
		}
		g, err := v.segs.acquire(l.num)
		if isMissing(err) {
			continue
		}
		if err != nil {
			return err
		}
		_, err = scan.Scan(g.file, segment.HeaderSize)
		v.segs.release(g)
		if err != nil {
			return fmt.Errorf("read segment %d: %w", l.num, err)
		}
	}
	return nil
}

// eachEnd calls f for the messages that rec ends and that are wanted.
func eachEnd(rec segment.Record, of func(message.ID) bool, f func(message.ID, Ending)) error {
	switch rec.Kind {
	case segment.End:
		if len(rec.Data) == 1 && of(rec.ID) {
			f(rec.ID, Ending(rec.Data[0]))
		}
	case segment.Applied:
		var a segment.AppliedHead
		if a.Decode(rec.Data) != nil || Change(a.Change) != ChangeEnd {
			return nil
		}
		for _, id := range a.IDs {
			if of(id) {
				f(id, EndAdminBounced)
			}
		}
	}
	return nil
}
