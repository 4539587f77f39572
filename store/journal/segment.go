package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"path/filepath"
	"strconv"
	"strings"
)

const (
	segmentHeaderLen = 64
	segmentMagic     = "SLUICEJ1"
	suffix           = ".seg"
	tempSuffix       = ".tmp"
	markEvery        = 1 << 20
	readAhead        = 1 << 20
)

// segment is one file of the journal. Everything but marks is fixed once made.
type segment struct {
	first Position // of its first record; also its name
	prev  Position // first of the segment before it, 0 if it began the journal
	size  int64    // of the file, from birth: a cut file is not a torn write
	id    [16]byte // the journal's
	seed  uint32   // where its frames' checksums start
	marks []mark   // about one per MiB, for segments scanned or written by this process; under Log.segMu
}

// mark is a place between two frames.
type mark struct {
	segment Position // first position of the segment
	off     int64
	next    Position // of the frame at off
}

func segmentName(first Position) string { return fmt.Sprintf("%020d%s", uint64(first), suffix) }

func parseSegmentName(name string) (Position, bool) {
	digits, ok := strings.CutSuffix(name, suffix)
	n, err := strconv.ParseUint(digits, 10, 64)
	return Position(n), ok && err == nil && n > 0 && segmentName(Position(n)) == name
}

// fits says whether a frame of n bytes and the seal fit from off on.
func (s *segment) fits(off, n int64) bool { return off+n+frameHeaderLen <= s.size }

func (s *segment) name() string { return segmentName(s.first) }

func (s *segment) header() []byte {
	b := make([]byte, segmentHeaderLen)
	le := binary.LittleEndian
	copy(b, segmentMagic)
	le.PutUint64(b[8:], uint64(s.first))
	le.PutUint64(b[16:], uint64(s.prev))
	le.PutUint64(b[24:], uint64(s.size))
	copy(b[32:48], s.id[:])
	s.seed = crc32.Checksum(b[:60], castagnoli)
	le.PutUint32(b[60:], s.seed)
	return b
}

func parseSegmentHeader(b []byte) (s *segment, reason string) {
	le := binary.LittleEndian
	s = &segment{
		first: Position(le.Uint64(b[8:])), prev: Position(le.Uint64(b[16:])), size: int64(le.Uint64(b[24:])),
		id: [16]byte(b[32:48]),
	}
	switch {
	case !bytes.HasPrefix(b, []byte(segmentMagic)):
		return nil, fmt.Sprintf("no segment header of a known version, which begins with %q", segmentMagic)
	case !bytes.Equal(s.header(), b):
		return nil, "segment header checksum mismatch"
	case s.first == 0 || s.prev >= s.first || s.size%frameAlign != 0:
		return nil, fmt.Sprintf("segment header with first %d, previous %d, size %d", s.first, s.prev, s.size)
	}
	return s, ""
}

// readSegment opens a segment file (or one still under its temporary name) and
// checks everything about it that needs no scan.
func (l *Log) readSegment(name string, first Position, write bool) (*segment, file, error) {
	f, err := l.fs.open(filepath.Join(l.dir, name), write)
	if err != nil {
		return nil, nil, err
	}
	corrupt := func(reason string, args ...any) (*segment, file, error) {
		f.Close()
		return nil, nil, &CorruptError{File: name, Position: first, Reason: fmt.Sprintf(reason, args...)}
	}
	size, err := f.Size()
	if err == nil && size < segmentHeaderLen {
		return corrupt("%d bytes are no segment", size)
	}
	b := make([]byte, segmentHeaderLen)
	if err == nil {
		_, err = f.ReadAt(b, 0)
	}
	if err != nil {
		f.Close()
		return nil, nil, fmt.Errorf("journal: read %s: %w", name, err)
	}
	s, reason := parseSegmentHeader(b)
	switch {
	case reason != "":
		return corrupt("%s", reason)
	case s.first != first:
		return corrupt("the header is that of segment %d", s.first)
	case s.size != size:
		return corrupt("%d bytes long, made with %d", size, s.size)
	}
	return s, f, nil
}

// makeSegment makes the file that begins at first under a temporary name, reserved
// and durable. Whatever fails here has left the journal as it was.
func (l *Log) makeSegment(first, prev Position) (*segment, file, error) {
	s := &segment{first: first, prev: prev, id: l.id, size: pad(l.o.SegmentBytes)}
	temp := filepath.Join(l.dir, s.name()+tempSuffix)
	f, err := l.fs.create(temp)
	if err != nil {
		return nil, nil, fullOr(err, "make segment")
	}
	if err = f.Allocate(s.size); err == nil {
		if _, err = f.WriteAt(s.header(), 0); err == nil {
			err = f.Sync()
		}
	}
	if err != nil {
		f.Close()
		return nil, nil, errors.Join(fullOr(err, "make segment"), l.fs.remove(temp))
	}
	// The name must be durable before the seal of the segment before it: a seal
	// without a successor is how recovery sees that the last segment is missing.
	if err := l.fs.syncDir(l.dir); err != nil {
		f.Close()
		return nil, nil, l.fail(err)
	}
	return s, f, nil
}

// publish gives a made segment its name.
func (l *Log) publish(s *segment) error {
	path := filepath.Join(l.dir, s.name())
	if err := l.fs.rename(path+tempSuffix, path); err != nil {
		return err
	}
	return l.fs.syncDir(l.dir)
}

func fullOr(err error, what string) error {
	if isFull(err) {
		return fmt.Errorf("%w: %s: %v", ErrFull, what, err)
	}
	return fmt.Errorf("journal: %s: %w", what, err)
}

// scanner walks the frames of one segment.
type scanner struct {
	f     file
	seg   *segment
	off   int64    // of the next frame
	next  Position // its first position
	limit int64    // nothing at or after it is read
	buf   []byte
	at    int64     // file offset of buf[0]
	pace  func(int) // called after reading n bytes, if set
}

func (s *scanner) corrupt(reason string) *CorruptError {
	return &CorruptError{File: s.seg.name(), Offset: s.off, Position: s.next, Reason: reason}
}

// peek returns the n bytes at off, valid until the next call.
func (s *scanner) peek(off, n int64) ([]byte, error) {
	if off < s.at || off > s.at+int64(len(s.buf)) {
		s.buf, s.at = s.buf[:0], off
	}
	if have := s.buf[off-s.at:]; int64(len(have)) >= n {
		return have[:n], nil
	}
	kept := copy(s.buf, s.buf[off-s.at:])
	want := int(max(n, min(readAhead, s.limit-off)))
	if cap(s.buf) < want {
		s.buf = append(make([]byte, 0, want), s.buf[:kept]...)
	}
	s.buf, s.at = s.buf[:want], off
	got, err := s.f.ReadAt(s.buf[kept:], off+int64(kept))
	if got < want-kept {
		s.buf = s.buf[:0]
		if err == nil || err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return nil, fmt.Errorf("journal: read %s at offset %d: %w", s.seg.name(), off, err)
	}
	if s.pace != nil {
		s.pace(got)
	}
	return s.buf[:n], nil
}

// frame returns the next frame's header and stored payload, valid until the next
// call, and io.EOF at the limit. A frame that is not as written is a
// *CorruptError, and the scanner stays before it.
func (s *scanner) frame() (header, []byte, error) {
	left := s.limit - s.off
	if left == 0 {
		return header{}, nil, io.EOF
	}
	if left < frameHeaderLen {
		return header{}, nil, s.corrupt("no room for a frame")
	}
	b, err := s.peek(s.off, frameHeaderLen)
	if err != nil {
		return header{}, nil, err
	}
	h, reason := parseHeader(b, s.seg.seed)
	if reason == "" && h.first != s.next {
		reason = fmt.Sprintf("frame of position %d", h.first)
	}
	if reason == "" && h.size() > left {
		reason = fmt.Sprintf("frame of %d bytes with %d left", h.size(), left)
	}
	if reason == "" {
		if b, err = s.peek(s.off, h.size()); err != nil {
			return header{}, nil, err
		}
		reason = checkFrame(b)
	}
	if reason != "" {
		return header{}, nil, s.corrupt(reason)
	}
	s.off += h.size()
	s.next = h.next()
	return h, b[frameHeaderLen:][:h.stored], nil
}
