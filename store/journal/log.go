package journal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
)

// Options of Open; the zero value works.
type Options struct {
	SegmentBytes int64        // size of a segment file, 64 MiB; under 6 MiB it bounds a batch
	VerifyRate   int64        // bytes a second Verify reads, 32 MiB
	Logger       *slog.Logger // slog.Default()
	// Known is the last position that somebody else has seen durable. A tail that
	// ends before it is damage, not a torn write: it is refused, and nothing is cut.
	Known Position

	fs filesystem
}

func (o *Options) complete() error {
	if o.SegmentBytes == 0 {
		o.SegmentBytes = 64 << 20
	}
	if o.VerifyRate == 0 {
		o.VerifyRate = 32 << 20
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.fs == nil {
		o.fs = osFS{}
	}
	var errs []error
	if o.SegmentBytes < 4<<10 || o.SegmentBytes > 4<<30 {
		errs = append(errs, fmt.Errorf("journal: segment bytes (%d) must be 4 KiB to 4 GiB", o.SegmentBytes))
	}
	if o.VerifyRate < 1 {
		errs = append(errs, fmt.Errorf("journal: verify rate (%d) must be positive", o.VerifyRate))
	}
	return errors.Join(errs...)
}

// Log is an open journal.
type Log struct {
	dir      string
	o        Options
	fs       filesystem
	lock     file // nil for a read-only copy without one
	readOnly bool
	id       [16]byte

	appending atomic.Bool
	enc       *encoder // of the appending goroutine

	mu     sync.Mutex // the active segment: writes, syncs, rolls
	file   file       // nil when read-only or closed
	active *segment
	off    int64    // where the next frame goes
	next   Position // its first position
	marked bool     // the clean-close marker is on the disk
	torn   int64    // bytes of a torn write found when it was opened

	segMu sync.Mutex // changing segs takes mu as well, so that reading needs either
	segs  []*segment // oldest first, the active one last

	waitMu sync.Mutex
	wake   chan struct{} // closed when durable moves or fate is set; nil without waiters
	fate   error         // why nothing is appended any more

	end     atomic.Uint64
	durable atomic.Pointer[mark] // readers stop here
}

// Open locks the directory, makes a journal there if there is none, and recovers
// the tail of the one that is.
func Open(dir string, o Options) (*Log, error) { return open(dir, o, false) }

// OpenReadOnly opens a copy, or the journal of a process that has ended. Nothing is
// repaired or written: a torn tail is not read, and Durable is what was found.
func OpenReadOnly(dir string) (*Log, error) { return open(dir, Options{}, true) }

// Append writes b as one frame and returns its first position, which it also sets
// in b. The records may be reused afterwards. They are not durable before Sync; a
// frame still unsynced from the Append before is synced first.
func (l *Log) Append(b *Batch) (Position, error) {
	if !l.appending.CompareAndSwap(false, true) {
		return 0, errors.New("journal: append: called from two goroutines at once")
	}
	defer l.appending.Store(false)
	if err := l.state(); err != nil {
		return 0, err
	}
	if err := checkBatch(b); err != nil {
		return 0, err
	}
	frame, h := l.enc.payload(b.Records) // outside the lock, so beside a running Sync

	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.sync(); err != nil {
		return 0, err
	}
	if b.Decided >= l.next {
		return 0, fmt.Errorf("%w: decided %d is not before its first position %d", ErrRefused, b.Decided, l.next)
	}
	full := !l.active.fits(l.off, h.size())
	if fresh := (&segment{size: l.o.SegmentBytes}); full && (l.next == l.active.first || !fresh.fits(segmentHeaderLen, h.size())) {
		return 0, fmt.Errorf("%w: a frame of %d bytes does not fit an empty segment of %d", ErrRefused, h.size(), l.o.SegmentBytes)
	}
	if err := l.clearMarker(); err != nil {
		return 0, err
	}
	if full {
		if err := l.roll(); err != nil {
			return 0, err
		}
	}
	h.first, h.decided, h.digest = l.next, b.Decided, b.Digest
	frame = putFrame(frame, &h, l.active.seed)
	if _, err := l.file.WriteAt(frame, l.off); err != nil {
		// Part of it may be there, and of what length is unknown: a shorter frame
		// over it would leave stale bytes behind. Recovery cuts it.
		return 0, l.fail(err)
	}
	l.addMark(l.active, mark{l.active.first, l.off, h.first})
	l.off += h.size()
	l.next = h.next()
	l.end.Store(uint64(l.next - 1))
	b.First = h.first
	return h.first, nil
}

// Sync makes everything appended durable, with one fdatasync.
func (l *Log) Sync() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sync()
}

func (l *Log) sync() error {
	if err := l.state(); err != nil {
		return err
	}
	if l.durable.Load().next == l.next {
		return nil
	}
	if err := l.file.Sync(); err != nil {
		return l.fail(err)
	}
	l.setDurable()
	return nil
}

// setDurable lets readers and waiters see everything written so far.
func (l *Log) setDurable() {
	l.durable.Store(&mark{l.active.first, l.off, l.next})
	l.waitMu.Lock()
	l.awaken()
	l.waitMu.Unlock()
}

// roll makes the next segment the active one. A crash between any two steps leaves
// either an unsealed segment, to be written on, or a sealed one whose successor is
// durable under its temporary name, which recovery publishes.
func (l *Log) roll() error {
	s, f, err := l.makeSegment(l.next, l.active.first)
	if err != nil {
		return err
	}
	seal := header{first: l.next, flags: flagSeal}
	_, err = l.file.WriteAt(putFrame(make([]byte, frameHeaderLen), &seal, l.active.seed), l.off)
	if err == nil {
		err = l.file.Sync()
	}
	if err == nil {
		err = l.publish(s)
	}
	if err != nil {
		f.Close()
		return l.fail(err)
	}
	l.file.Close() // synced: nothing left that closing could report
	l.setSegments(append(l.segs, s))
	l.file, l.active, l.off = f, s, segmentHeaderLen
	l.setDurable()
	return nil
}

// addMark keeps a place to start reading from, once per markEvery bytes.
func (l *Log) addMark(s *segment, m mark) {
	l.segMu.Lock()
	defer l.segMu.Unlock()
	if n := len(s.marks); n == 0 || m.off-s.marks[n-1].off >= markEvery {
		s.marks = append(s.marks, m)
	}
}

// First is the oldest position kept; End+1 while nothing is.
func (l *Log) First() Position {
	l.segMu.Lock()
	defer l.segMu.Unlock()
	return l.segs[0].first
}

// End is the last position appended.
func (l *Log) End() Position { return Position(l.end.Load()) }

// Durable is the last position that survives a power cut.
func (l *Log) Durable() Position { return l.durable.Load().next - 1 }

// Wait returns once p is durable, or with the reason why it will not be.
func (l *Log) Wait(ctx context.Context, p Position) error {
	for {
		l.waitMu.Lock()
		if l.Durable() >= p || l.fate != nil {
			defer l.waitMu.Unlock()
			if l.Durable() >= p {
				return nil
			}
			return l.fate
		}
		if l.wake == nil {
			l.wake = make(chan struct{})
		}
		wake := l.wake
		l.waitMu.Unlock()
		select {
		case <-wake:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// awaken is called with waitMu held.
func (l *Log) awaken() {
	if l.wake != nil {
		close(l.wake)
		l.wake = nil
	}
}

func (l *Log) state() error {
	l.waitMu.Lock()
	defer l.waitMu.Unlock()
	return l.fate
}

// fail ends the log for good. ErrFull is kept out of the chain on purpose: even if
// the disk is full, this may not be retried.
func (l *Log) fail(cause error) error {
	l.waitMu.Lock()
	defer l.waitMu.Unlock()
	if l.fate == nil {
		l.fate = fmt.Errorf("%w: %w", ErrFailed, cause)
		l.o.Logger.Error("journal: failed, no more appends", "dir", l.dir, "end", l.End(), "err", cause)
		l.awaken()
	}
	return l.fate
}

// Segment says which positions a file holds.
type Segment struct {
	First, Last Position // Last is First-1 while it is empty
	Bytes       int64
}

// Segments lists the files, oldest first, for whoever decides what to retain.
func (l *Log) Segments() []Segment {
	l.segMu.Lock()
	defer l.segMu.Unlock()
	out := make([]Segment, len(l.segs))
	for i, s := range l.segs {
		out[i] = Segment{First: s.first, Last: l.End(), Bytes: s.size}
		if i > 0 {
			out[i-1].Last = s.first - 1
		}
	}
	return out
}

// Torn is the length of the torn write that was found at the end when the journal
// was opened, 0 for none.
func (l *Log) Torn() int64 { return l.torn }

// Bytes is what the segment files take.
func (l *Log) Bytes() (n int64) {
	for _, s := range l.Segments() {
		n += s.Bytes
	}
	return n
}

// Retain removes whole segments that lie wholly below keep, oldest first, never the
// active one, and returns the bytes freed. keep must not be above anything still to
// be read: applied position, snapshot, slowest reader, legal hold.
func (l *Log) Retain(keep Position) (freed int64, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.state(); err != nil {
		return 0, err
	}
	for len(l.segs) > 1 && l.segs[1].first <= keep { // mu keeps the list as it is
		if err := l.clearMarker(); err != nil {
			return freed, err
		}
		oldest, kept := l.segs, l.segs[1:]
		l.setSegments(kept) // before the file goes, so that a reader is told ErrGone
		if err := l.fs.remove(filepath.Join(l.dir, oldest[0].name())); err != nil {
			l.setSegments(oldest)
			return freed, fmt.Errorf("journal: retain: %w", err)
		}
		// One by one: a power cut may not leave a gap behind an older file.
		if err := l.fs.syncDir(l.dir); err != nil {
			return freed, l.fail(err)
		}
		freed += oldest[0].size
	}
	return freed, nil
}

func (l *Log) setSegments(segs []*segment) {
	l.segMu.Lock()
	l.segs = segs
	l.segMu.Unlock()
}

// Close syncs, writes the clean-close marker and releases the directory. After a
// failure it writes no marker and returns ErrFailed.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lock == nil && l.file == nil {
		return nil
	}
	var err error
	if !l.readOnly {
		if err = l.sync(); err == nil {
			err = l.writeMarker()
		}
	}
	if l.file != nil {
		err = errors.Join(err, l.file.Close())
	}
	if l.lock != nil {
		err = errors.Join(err, l.lock.Close())
	}
	l.file, l.lock = nil, nil
	l.waitMu.Lock()
	defer l.waitMu.Unlock()
	if l.fate == nil || l.readOnly {
		l.fate = ErrClosed
		l.awaken()
	}
	return err
}
