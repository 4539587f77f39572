package journal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"sort"
	"time"
)

// Reader walks the journal frame by frame, up to what is durable. It belongs to one
// goroutine; any number of readers may run beside the writer. They read a MiB at a
// time, and one that is not limited takes cores and disk from the writer.
type Reader struct {
	l    *Log
	from Position // records before it are left out
	s    scanner
	rate int64     // bytes a second, 0 is unlimited
	due  time.Time // when the bytes read so far are paid for
}

// Read returns a reader of the records from position from on. Close it.
func (l *Log) Read(from Position) (*Reader, error) {
	if from == 0 {
		from = 1
	}
	if end := l.End(); from > end+1 {
		return nil, fmt.Errorf("%w: read from %d, the journal ends at %d", ErrBeyond, from, end)
	}
	l.segMu.Lock()
	i := sort.Search(len(l.segs), func(i int) bool { return l.segs[i].first > from }) - 1
	if i < 0 {
		first := l.segs[0].first
		l.segMu.Unlock()
		return nil, fmt.Errorf("%w: read from %d, the oldest is %d", ErrGone, from, first)
	}
	start := mark{l.segs[i].first, segmentHeaderLen, l.segs[i].first}
	marks := l.segs[i].marks
	if j := sort.Search(len(marks), func(j int) bool { return marks[j].next > from }); j > 0 {
		start = marks[j-1]
	}
	l.segMu.Unlock()

	r := &Reader{l: l, from: from}
	r.s.pace = r.pace
	if err := r.open(start); err != nil {
		return nil, err
	}
	return r, nil
}

// Limit bounds what the reader takes, in bytes a second of file; 0 lifts it.
// Replays and backfills beside a live writer should be limited.
func (r *Reader) Limit(bytesPerSecond int64) { r.rate, r.due = bytesPerSecond, time.Now() }

func (r *Reader) pace(n int) {
	if r.rate <= 0 {
		return
	}
	if now := time.Now(); r.due.Before(now) {
		r.due = now // no credit for time not used
	}
	r.due = r.due.Add(time.Duration(float64(n) / float64(r.rate) * float64(time.Second)))
	time.Sleep(time.Until(r.due))
}

// open moves to another segment.
func (r *Reader) open(m mark) error {
	seg, f, err := r.l.readSegment(segmentName(m.segment), m.segment, false)
	if notExist(err) {
		if first := r.l.First(); m.segment < first {
			return fmt.Errorf("%w: reached %d, the oldest is %d", ErrGone, m.next, first)
		}
		return &CorruptError{File: segmentName(m.segment), Position: m.next, Reason: "the file is missing"}
	}
	if err != nil {
		return err
	}
	if seg.id != r.l.id {
		f.Close()
		return &CorruptError{File: seg.name(), Position: m.next, Reason: "the file belongs to another journal"}
	}
	r.Close()
	r.s.f, r.s.seg, r.s.off, r.s.next, r.s.at, r.s.buf = f, seg, m.off, m.next, m.off, r.s.buf[:0]
	return nil
}

// Next returns the next frame, the first one trimmed to the position asked for. The
// batch is the caller's. At the durable end it returns io.EOF and may be called
// again later, after Wait.
func (r *Reader) Next() (Batch, error) {
	for {
		if r.s.f == nil {
			return Batch{}, ErrClosed
		}
		durable := r.l.durable.Load()
		r.s.limit = r.s.seg.size
		if r.s.seg.first == durable.segment {
			r.s.limit = durable.off
		}
		h, stored, err := r.s.frame()
		if err == io.EOF && r.s.seg.first != durable.segment {
			err = r.s.corrupt("the file ends without its seal")
		}
		if err != nil {
			return Batch{}, err
		}
		if h.sealed() {
			if err := r.open(mark{h.first, segmentHeaderLen, h.first}); err != nil {
				r.s.off, r.s.next = r.s.off-h.size(), h.first // meet the seal again
				return Batch{}, err
			}
			continue
		}
		if h.next() <= r.from {
			continue
		}
		records, reason := decode(&h, stored)
		if reason != "" {
			r.s.off, r.s.next = r.s.off-h.size(), h.first
			return Batch{}, r.s.corrupt(reason)
		}
		b := Batch{First: h.first, Records: records, Decided: h.decided, Digest: h.digest}
		if skip := r.from; skip > b.First {
			b.Records = b.Records[skip-b.First:]
			b.First = skip
		}
		return b, nil
	}
}

// Close releases the reader's file.
func (r *Reader) Close() error {
	if r.s.f == nil {
		return nil
	}
	f := r.s.f
	r.s.f = nil
	return f.Close()
}

// Verify reads everything durable, at Options.VerifyRate, and checks every checksum
// and position. It returns a *CorruptError for what it finds.
func (l *Log) Verify(ctx context.Context) error {
	from, until := l.First(), l.Durable()
	for from <= until {
		r, err := l.Read(from)
		if err == nil {
			r.Limit(l.o.VerifyRate)
			from, err = verify(ctx, r, from, until)
			r.Close()
		}
		if errors.Is(err, ErrGone) && from < l.First() {
			from = l.First() // retained away meanwhile
			continue
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func verify(ctx context.Context, r *Reader, from, until Position) (Position, error) {
	for from <= until {
		if err := ctx.Err(); err != nil {
			return from, err
		}
		b, err := r.Next()
		if err != nil {
			return from, fmt.Errorf("journal: verify %s: %w", filepath.Base(r.l.dir), err)
		}
		from = b.Last() + 1
	}
	return from, nil
}
