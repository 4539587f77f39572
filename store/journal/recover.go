package journal

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"path/filepath"
	"strings"
)

const (
	lockName   = "lock"
	lockText   = "sluice journal\n" // written once the first segment is durable
	markerName = "clean"
)

func open(dir string, o Options, readOnly bool) (*Log, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	l := &Log{dir: dir, o: o, fs: o.fs, readOnly: readOnly}
	if err := l.recover(); err != nil {
		if l.file != nil {
			l.file.Close()
		}
		if l.lock != nil {
			l.lock.Close()
		}
		if errors.Is(err, ErrLocked) {
			return nil, fmt.Errorf("%w: %s", ErrLocked, dir)
		}
		return nil, err
	}
	return l, nil
}

// recover finds the end of the journal and refuses what no crash can explain. It
// changes nothing before it has seen everything.
func (l *Log) recover() error {
	used, err := l.takeLock()
	if err != nil {
		return err
	}
	temps, err := l.load()
	if err != nil {
		return err
	}
	if len(l.segs) == 0 {
		if used {
			return &CorruptError{File: lockName, Position: 1, Reason: "there was a journal here, its segment files are missing"}
		}
		if l.readOnly {
			return fmt.Errorf("journal: no segment files in %s", l.dir)
		}
		return l.begin(temps)
	}
	l.active = l.segs[len(l.segs)-1]
	_, f, err := l.readSegment(l.active.name(), l.active.first, !l.readOnly)
	if err != nil {
		return err
	}
	l.file = f
	sealed, torn, err := l.scanTail()
	if err != nil {
		return err
	}
	var next *segment
	if sealed {
		if next, err = l.successor(temps); err != nil {
			return err
		}
	}
	l.end.Store(uint64(l.next - 1))
	if err := l.checkMarker(); err != nil {
		return err
	}
	if known := l.o.Known; known >= l.next {
		return &CorruptError{File: l.active.name(), Offset: l.off, Position: l.next,
			Reason: fmt.Sprintf("entries up to position %d were durable and are missing", known)}
	}
	if l.torn = torn; torn > 0 {
		l.o.Logger.Warn("journal: torn write at the end, not read", "dir", l.dir, "file", l.active.name(),
			"offset", l.off, "bytes", torn, "position", l.next, "cut", !l.readOnly)
	}
	l.durable.Store(&mark{l.active.first, l.off, l.next})
	if l.readOnly {
		l.fate = ErrReadOnly
		return l.closeFile()
	}
	if err := l.repair(torn, next, temps); err != nil {
		return err
	}
	return l.ready(used)
}

// closeFile: a read-only log keeps no segment open.
func (l *Log) closeFile() error {
	f := l.file
	l.file = nil
	return f.Close()
}

func (l *Log) takeLock() (used bool, err error) {
	path := filepath.Join(l.dir, lockName)
	if !l.readOnly {
		if err := l.fs.mkdir(l.dir); err != nil {
			return false, fmt.Errorf("journal: make directory: %w", err)
		}
	}
	l.lock, err = l.fs.lock(path, l.readOnly)
	if l.readOnly && notExist(err) {
		return false, nil // a copy need not have one
	}
	if err != nil {
		return false, fmt.Errorf("journal: lock: %w", err)
	}
	size, err := l.lock.Size()
	return size > 0, err
}

// load lists the segments and checks that each follows the one before. Sealed ones
// are not scanned here: a reader or Verify does.
func (l *Log) load() (temps map[string]bool, err error) {
	entries, err := l.fs.list(l.dir)
	if err != nil {
		return nil, fmt.Errorf("journal: list: %w", err)
	}
	temps = map[string]bool{}
	for _, e := range entries {
		first, ok := parseSegmentName(e.name)
		switch {
		case ok:
		case e.name == lockName, e.name == markerName:
			continue
		case strings.HasSuffix(e.name, tempSuffix):
			temps[e.name] = true
			continue
		default:
			l.o.Logger.Warn("journal: unknown file left alone", "dir", l.dir, "file", e.name)
			continue
		}
		s, f, err := l.readSegment(e.name, first, false)
		if err != nil {
			return nil, err
		}
		f.Close()
		corrupt := func(reason string, args ...any) error {
			return &CorruptError{File: e.name, Position: first, Reason: fmt.Sprintf(reason, args...)}
		}
		if n := len(l.segs); n == 0 {
			l.id = s.id
		} else if before := l.segs[n-1]; s.id != l.id {
			return nil, corrupt("the file belongs to another journal than %s", before.name())
		} else if s.prev != before.first {
			return nil, corrupt("it follows %s, which is missing; before it comes %s", segmentName(s.prev), before.name())
		}
		l.segs = append(l.segs, s)
	}
	return temps, nil
}

// begin makes a journal where there is none.
func (l *Log) begin(temps map[string]bool) error {
	if _, err := rand.Read(l.id[:]); err != nil {
		return err
	}
	s, f, err := l.makeSegment(1, 0)
	if err != nil {
		return err
	}
	l.file, l.active, l.segs, l.off, l.next = f, s, []*segment{s}, segmentHeaderLen, 1
	l.durable.Store(&mark{s.first, l.off, l.next})
	if err := l.publish(s); err != nil {
		return fmt.Errorf("journal: make segment: %w", err)
	}
	delete(temps, s.name()+tempSuffix)
	if err := l.repair(0, nil, temps); err != nil {
		return err
	}
	return l.ready(false)
}

// scanTail finds the end of the last segment. What is bad there is a torn write if
// nothing was written behind it: this is exact as long as damage spares the header
// of one later frame or that of the bad frame itself, since a frame is written only when the one before
// is durable; otherwise it is corruption. torn counts the bytes to cut.
func (l *Log) scanTail() (sealed bool, torn int64, err error) {
	s := scanner{f: l.file, seg: l.active, off: segmentHeaderLen, next: l.active.first, limit: l.active.size}
	var bad *CorruptError
	for !sealed && bad == nil {
		m := mark{l.active.first, s.off, s.next}
		h, _, err := s.frame()
		switch {
		case errors.As(err, &bad):
		case err != nil: // a full segment has a seal, so the end of the file is not expected
			return false, 0, fmt.Errorf("journal: recover %s: %w", l.active.name(), err)
		case h.sealed():
			sealed, s.off = true, m.off
		default:
			l.addMark(l.active, m)
		}
	}
	l.off, l.next = s.off, s.next
	if sealed {
		return true, 0, nil
	}
	// A torn frame reaches no further than its header says, if that survived, and
	// no further than any frame can.
	last, reach := s.off, s.off+frameHeaderLen+pad(maxPayload)
	for off := s.off; off < s.limit; off += frameAlign {
		b, err := s.peek(off, min(frameHeaderLen, s.limit-off))
		if err != nil {
			return false, 0, err
		}
		if binary.LittleEndian.Uint64(b) != 0 {
			last = off + frameAlign
		}
		if len(b) < frameHeaderLen || binary.LittleEndian.Uint64(b[8:]) == 0 {
			continue
		}
		h, reason := parseHeader(b, s.seg.seed)
		if off == s.off && h.first == s.next && reason == "" {
			reach = off + h.size()
		} else if reason != badHeaderSum {
			bad.Reason += fmt.Sprintf("; a frame of position %d follows at offset %d, so this is no torn write", h.first, off)
			return false, 0, bad
		}
	}
	if last > reach {
		bad.Reason += fmt.Sprintf("; there are bytes up to offset %d, so this is no torn write", last)
		return false, 0, bad
	}
	return false, last - s.off, nil
}

// successor finds the segment that a crash left under its temporary name after the
// one before it was sealed.
func (l *Log) successor(temps map[string]bool) (*segment, error) {
	name := segmentName(l.next) + tempSuffix
	if !temps[name] {
		return nil, &CorruptError{File: segmentName(l.next), Position: l.next,
			Reason: fmt.Sprintf("the file is missing: %s is sealed and names it as the next", l.active.name())}
	}
	s, f, err := l.readSegment(name, l.next, false)
	if err != nil {
		return nil, err
	}
	f.Close()
	if s.id != l.id || s.prev != l.active.first {
		return nil, &CorruptError{File: name, Position: l.next, Reason: "the file is not the successor of " + l.active.name()}
	}
	delete(temps, name)
	return s, nil
}

// repair zeroes a torn write, so that its bytes are never taken for a frame later,
// finishes a roll, removes what crashes left, and makes what a killed process may
// have left in the page cache durable before anyone counts on it.
func (l *Log) repair(torn int64, next *segment, temps map[string]bool) error {
	if err := writeZeros(l.file, l.off, l.off+torn); err != nil {
		return fmt.Errorf("journal: cut torn write: %w", err)
	}
	if err := l.file.Sync(); err != nil {
		return fmt.Errorf("journal: recover: %w", err)
	}
	if next != nil {
		l.o.Logger.Info("journal: finished a roll", "dir", l.dir, "file", next.name())
		if err := l.publish(next); err != nil {
			return fmt.Errorf("journal: finish roll: %w", err)
		}
		_, f, err := l.readSegment(next.name(), next.first, true)
		if err != nil {
			return err
		}
		l.file.Close()
		l.file, l.active, l.off = f, next, segmentHeaderLen
		l.segs = append(l.segs, next)
		l.durable.Store(&mark{next.first, l.off, l.next})
	}
	for name := range temps {
		l.o.Logger.Info("journal: removed an unfinished file", "dir", l.dir, "file", name)
		if err := l.fs.remove(filepath.Join(l.dir, name)); err != nil {
			return fmt.Errorf("journal: recover: %w", err)
		}
	}
	if err := l.fs.syncDir(l.dir); err != nil {
		return fmt.Errorf("journal: recover: %w", err)
	}
	return nil
}

// ready notes in the lock file that the directory holds a journal, so that one whose
// segment files are all gone is not taken for a new one.
func (l *Log) ready(used bool) (err error) {
	if !used {
		if _, err := l.lock.WriteAt([]byte(lockText), 0); err != nil {
			return fmt.Errorf("journal: lock: %w", err)
		}
		if err := l.lock.Sync(); err != nil {
			return fmt.Errorf("journal: lock: %w", err)
		}
	}
	l.enc, err = newEncoder()
	return err
}

// marker is the text of the clean-close marker.
func (l *Log) marker(first, end Position) string {
	s := fmt.Sprintf("sluice journal closed cleanly\nid %x\nfirst %d\nend %d\n", l.id, first, end)
	return fmt.Sprintf("%scrc32c %08x\n", s, crc32.Checksum([]byte(s), castagnoli))
}

func (l *Log) writeMarker() error {
	if l.marked {
		return nil // nothing was appended or retained since
	}
	path := filepath.Join(l.dir, markerName)
	f, err := l.fs.create(path + tempSuffix)
	if err == nil {
		if _, err = f.WriteAt([]byte(l.marker(l.First(), l.End())), 0); err == nil {
			err = f.Sync()
		}
		err = errors.Join(err, f.Close())
	}
	if err == nil {
		err = l.fs.rename(path+tempSuffix, path)
	}
	if err == nil {
		err = l.fs.syncDir(l.dir)
	}
	if err != nil {
		return fmt.Errorf("journal: clean-close marker: %w", err)
	}
	return nil
}

// checkMarker compares the marker, if there is one, with what was found.
func (l *Log) checkMarker() error {
	f, err := l.fs.open(filepath.Join(l.dir, markerName), false)
	if notExist(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("journal: clean-close marker: %w", err)
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return fmt.Errorf("journal: clean-close marker: %w", err)
	}
	b := make([]byte, min(size, 1<<10))
	if _, err := f.ReadAt(b, 0); err != nil && len(b) > 0 {
		return fmt.Errorf("journal: clean-close marker: %w", err)
	}
	first, end := l.First(), l.End()
	if string(b) == l.marker(first, end) {
		l.marked = true
		return nil
	}
	corrupt := &CorruptError{File: markerName, Position: end, Reason: "the clean-close marker is damaged or belongs to another journal"}
	var id []byte
	var wasFirst, wasEnd Position
	if n, _ := fmt.Sscanf(string(b), "sluice journal closed cleanly\nid %x\nfirst %d\nend %d\n", &id, &wasFirst, &wasEnd); n == 3 &&
		string(b) == l.marker(wasFirst, wasEnd) {
		corrupt = &CorruptError{File: l.active.name(), Offset: l.off, Position: end + 1,
			Reason: fmt.Sprintf("closed cleanly with positions %d to %d, found %d to %d", wasFirst, wasEnd, first, end)}
	}
	return corrupt
}

// clearMarker removes the marker before anything it does not describe is done.
func (l *Log) clearMarker() error {
	if !l.marked {
		return nil
	}
	if err := l.fs.remove(filepath.Join(l.dir, markerName)); err != nil && !notExist(err) {
		return fmt.Errorf("journal: clean-close marker: %w", err)
	}
	if err := l.fs.syncDir(l.dir); err != nil {
		return l.fail(err)
	}
	l.marked = false
	return nil
}
