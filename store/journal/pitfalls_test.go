package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/klauspost/compress/zstd"
)

// The traps a journal falls into, one test each.

func inSegment(path string) bool { return strings.HasSuffix(path, suffix) }

func TestPitfall1FailedSyncIsFinal(t *testing.T) {
	m := newMemFS()
	l := mustOpen(t, "j", Options{fs: m})
	extend(t, l, rand.New(rand.NewPCG(1, 1)), 50)
	syncs := 0
	m.setFault(func(op, path string, _ int64, n int) (int, error) {
		if op == "sync" && inSegment(path) {
			syncs++
			return 0, errors.New("EIO")
		}
		return n, nil
	})
	if _, err := l.Append(batch(51, 2)); err != nil {
		t.Fatal(err)
	}
	if err := l.Sync(); !errors.Is(err, ErrFailed) {
		t.Fatalf("Sync = %v, want ErrFailed", err)
	}
	_, appendErr := l.Append(batch(53, 1))
	for _, err := range []error{l.Sync(), appendErr, l.Close()} {
		if !errors.Is(err, ErrFailed) || errors.Is(err, ErrFull) {
			t.Errorf("after a failed sync: %v, want ErrFailed", err)
		}
	}
	if syncs != 1 || l.Durable() != 50 {
		t.Errorf("%d syncs, durable %d; want 1 and 50", syncs, l.Durable())
	}
	wantAll(t, l, 1, 50)
	l = mustOpen(t, "j", Options{fs: m.cut(rand.New(rand.NewPCG(1, 2)))})
	wantAll(t, l, 1, l.End()) // 50, or 52 if the cut spared the frame
	if l.End() != 50 && l.End() != 52 {
		t.Errorf("end %d after recovery", l.End())
	}
}

func TestPitfall1FullDiskMayBeRetried(t *testing.T) {
	for _, op := range []string{"create", "allocate"} {
		m := newMemFS()
		l := mustOpen(t, "j", Options{fs: m, SegmentBytes: 8 << 10})
		extend(t, l, rand.New(rand.NewPCG(1, 3)), 20)
		before := l.Bytes()
		m.setFault(enospc(op))
		var err error
		for err == nil {
			if _, err = l.Append(batch(l.End()+1, 20)); err == nil {
				err = l.Sync()
			}
		}
		end := l.End()
		if !errors.Is(err, ErrFull) || errors.Is(err, ErrFailed) || l.Bytes() != before {
			t.Fatalf("%s: %v with %d bytes, want ErrFull and %d bytes", op, err, l.Bytes(), before)
		}
		wantAll(t, l, 1, end)
		m.setFault(nil)
		extend(t, l, rand.New(rand.NewPCG(1, 4)), end+200)
		wantAll(t, l, 1, end+200)
		if l.Bytes() <= before {
			t.Errorf("%s: no roll after space came back", op)
		}
		if entries, _ := m.list("j"); len(entries) != len(l.segs)+1 {
			t.Errorf("%s: files left behind: %v", op, entries)
		}
	}
}

func TestPitfall1ShortWriteIsFinal(t *testing.T) {
	for short := range 100 {
		m := newMemFS()
		l := mustOpen(t, "j", Options{fs: m, SegmentBytes: 4 << 10})
		extend(t, l, rand.New(rand.NewPCG(1, 5)), 20)
		m.setFault(func(op, path string, _ int64, n int) (int, error) {
			if op == "write" && inSegment(path) {
				return min(short*7, n-1), fmt.Errorf("short write")
			}
			return n, nil
		})
		if _, err := l.Append(batch(21, 3)); !errors.Is(err, ErrFailed) || l.End() != 20 {
			t.Fatalf("Append = %v, end %d", err, l.End())
		}
		l = mustOpen(t, "j", Options{fs: m.killed(), SegmentBytes: 4 << 10})
		extend(t, l, rand.New(rand.NewPCG(1, 6)), 60)
		wantAll(t, l, 1, 60)
	}
}

// crashed is a journal of two segments or more that was killed, not closed.
func crashed(t *testing.T, seed uint64, end Position) (*memFS, *Log) {
	m := newMemFS()
	l := mustOpen(t, "j", Options{fs: m, SegmentBytes: 32 << 10})
	extend(t, l, rand.New(rand.NewPCG(seed, 1)), end)
	return m.killed(), l
}

func tailOf(m *memFS, l *Log) []byte { return m.names[filepath.Join("j", l.active.name())].data }

// lastFrames returns the offsets of the frames of the active segment.
func lastFrames(t *testing.T, l *Log) (offs []int64) {
	s := scanner{f: l.file, seg: l.active, off: segmentHeaderLen, next: l.active.first, limit: l.off}
	for {
		off := s.off
		if _, _, err := s.frame(); err == io.EOF {
			return offs
		} else if err != nil {
			t.Fatal(err)
		}
		offs = append(offs, off)
	}
}

func TestPitfall2TornWriteIsZeroedAndSynced(t *testing.T) {
	for seed := range uint64(50) {
		m, l := crashed(t, seed, 60)
		rng := rand.New(rand.NewPCG(seed, 9))
		b := batch(61, 12)
		frame, h := l.enc.payload(b.Records)
		h.first = 61
		frame = putFrame(frame, &h, l.active.seed)
		// Any subset of the frame's words, but not all of it, got to the disk.
		for i := 0; i < len(frame); i += 8 {
			if rng.IntN(3) > 0 && i != int(seed)%len(frame)/8*8 {
				copy(tailOf(m, l)[l.off+int64(i):], frame[i:i+8])
			}
		}
		var logged bytes.Buffer
		synced := false
		m.setFault(func(op, path string, _ int64, n int) (int, error) {
			synced = synced || op == "sync" && path == l.active.name()
			return n, nil
		})
		re, err := Open("j", Options{fs: m, Logger: slog.New(slog.NewTextHandler(&logged, nil))})
		if err != nil {
			t.Fatal(err)
		}
		rest := tailOf(m, l)[l.off:]
		if !synced || len(bytes.Trim(rest, "\x00")) != 0 || m.dirty(l.active.name()) {
			t.Fatalf("torn bytes are still there, or not synced (%v)", synced)
		}
		if !strings.Contains(logged.String(), "level=WARN") || !strings.Contains(logged.String(), "position=61") {
			t.Errorf("log: %s", logged.String())
		}
		if re.End() != 60 {
			t.Fatalf("end %d, want 60", re.End())
		}
		extend(t, re, rng, 90)
		wantAll(t, re, 1, 90)
	}
}

func TestPitfall2BadFrameWithALaterOneIsCorruption(t *testing.T) {
	_, l := crashed(t, 1, 200)
	offs := lastFrames(t, l)
	if len(offs) < 3 {
		t.Fatalf("only %d frames in the tail", len(offs))
	}
	bad := offs[len(offs)-2]
	for bit := range 8 * (offs[len(offs)-1] - bad) {
		m := l.fs.(*memFS).killed()
		tailOf(m, l)[bad+bit/8] ^= 1 << (bit % 8)
		before := bytes.Clone(tailOf(m, l))
		_, err := Open("j", quiet(Options{fs: m}))
		ce, ok := errors.AsType[*CorruptError](err)
		if !ok || ce.File != l.active.name() || ce.Offset != bad || ce.Position == 0 || ce.Position > 200 {
			t.Fatalf("bit %d: Open = %v, want a CorruptError at offset %d", bit, err, bad)
		}
		if !bytes.Equal(before, tailOf(m, l)) {
			t.Fatalf("bit %d: a refused journal was changed", bit)
		}
	}
}

// One unsynced frame at a time, whatever the caller does: lookahead rests on it.
func TestPitfall2OneFrameInFlight(t *testing.T) {
	m := newMemFS()
	l := mustOpen(t, "j", Options{fs: m, SegmentBytes: 8 << 10})
	var mu sync.Mutex
	syncing := 0
	m.setFault(func(op, path string, _ int64, n int) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		switch {
		case op == "sync":
			syncing++
			mu.Unlock()
			time.Sleep(10 * time.Microsecond) // lets a racing Append in, if it can get in
			mu.Lock()
			syncing--
		case op == "write" && inSegment(path) && (syncing > 0 || m.dirty(path)):
			t.Errorf("a frame was written to %s before the one before was synced", path)
		}
		return n, nil
	})
	var wg sync.WaitGroup
	stop := make(chan struct{})
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				l.Sync()
			}
		}
	})
	for range 200 {
		if _, err := l.Append(batch(l.End()+1, 3)); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	wg.Wait()
	if l.Durable() < l.End()-3 {
		t.Errorf("durable %d, end %d", l.Durable(), l.End())
	}
}

// A record that looks like a frame must not make a torn write look like corruption,
// nor be read as a frame.
func TestPitfall2FrameInsideARecord(t *testing.T) {
	m, l := crashed(t, 2, 40)
	h := header{first: 900, count: 1, stored: 8, raw: 8}
	fake := putFrame(make([]byte, frameHeaderLen, 200), &h, 0) // the writer's seed is not known outside
	rec := append(make([]byte, 8-(frameHeaderLen+2)%8, 300), fake...)
	payload, h := l.enc.payload([][]byte{rec})
	h.first = 41
	frame := putFrame(payload, &h, l.active.seed)
	frame[0] ^= 1
	copy(tailOf(m, l)[l.off:], frame)
	re := mustOpen(t, "j", Options{fs: m})
	wantAll(t, re, 1, 40)
}

func TestPitfall3LastFrame(t *testing.T) {
	_, l := crashed(t, 3, 100)
	offs := lastFrames(t, l)
	last := offs[len(offs)-1]
	for at := last; at < l.off; at++ {
		// After a crash it cannot be told from a torn write: cut, and End shows it.
		m := l.fs.(*memFS).killed()
		tailOf(m, l)[at] ^= 0x10
		re, err := Open("j", quiet(Options{fs: m}))
		if err != nil || re.End() >= 100 || re.End() < 80 {
			t.Fatalf("byte %d: %v", at, err)
		}
		wantAll(t, re, 1, re.End())
		// After a clean close the marker knows better.
		m = l.fs.(*memFS).killed()
		c := mustOpen(t, "j", Options{fs: m})
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		m = m.killed()
		tailOf(m, l)[at] ^= 0x10
		_, err = Open("j", quiet(Options{fs: m}))
		if ce, ok := errors.AsType[*CorruptError](err); !ok || ce.Offset != last || ce.File != l.active.name() {
			t.Fatalf("byte %d after a clean close: Open = %v, want a CorruptError at %d", at, err, last)
		}
	}
}

func TestPitfall3MarkerGoesBeforeTheFirstAppend(t *testing.T) {
	m := newMemFS()
	l := mustOpen(t, "j", Options{fs: m})
	extend(t, l, rand.New(rand.NewPCG(3, 1)), 10)
	l.Close()
	l = mustOpen(t, "j", Options{fs: m})
	marker := filepath.Join("j", markerName)
	if m.names[marker] == nil {
		t.Fatal("no marker after Close, or Open removed it")
	}
	m.setFault(func(op, path string, _ int64, n int) (int, error) {
		if op == "write" && inSegment(path) && (m.names[marker] != nil || m.onDisk[marker] != nil) {
			t.Error("a frame was written while the marker was on the disk")
		}
		return n, nil
	})
	extend(t, l, rand.New(rand.NewPCG(3, 2)), 20)
	wantAll(t, mustOpen(t, "j", Options{fs: m.cut(rand.New(rand.NewPCG(3, 3)))}), 1, 20)
}

func TestPitfall4ChecksumCoversEverything(t *testing.T) {
	enc, err := newEncoder()
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{1, 2, 9} {
		payload, h := enc.payload(batch(77, n).Records)
		h.first, h.decided, h.digest = 77, 50, digest(50)
		frame := putFrame(bytes.Clone(payload), &h, 42)
		seg := &segment{first: 77, size: segmentHeaderLen + int64(len(frame)), seed: 42}
		read := func(b []byte) error {
			data := append(make([]byte, segmentHeaderLen), b...)
			s := scanner{f: &memNode{fs: newMemFS(), data: data}, seg: seg, off: segmentHeaderLen, next: 77, limit: seg.size}
			_, _, err := s.frame()
			return err
		}
		if err := read(frame); err != nil {
			t.Fatal(err)
		}
		for i := range frame {
			for bit := range 8 {
				frame[i] ^= 1 << bit
				if err := read(frame); err == nil {
					t.Errorf("%d records: bit %d of byte %d flipped, no error", n, bit, i)
				}
				frame[i] ^= 1 << bit
			}
		}
		if seg.seed = 43; read(frame) == nil {
			t.Error("a frame of another segment checks")
		}
		seg.seed = 42
		if err := read(make([]byte, len(frame))); err == nil {
			t.Error("a zero frame checks")
		}
	}
	// Zeros do not check even where the checksum of zeros would be zero.
	if _, reason := parseHeader(make([]byte, frameHeaderLen), 0); reason == "" {
		t.Error("a zero header checks with seed 0")
	}
}

func TestPitfall4PositionsHaveNoGap(t *testing.T) {
	for name, first := range map[string]Position{"gap": 45, "repeat": 35} {
		m, l := crashed(t, 4, 40)
		payload, h := l.enc.payload(batch(first, 3).Records)
		h.first = first
		copy(tailOf(m, l)[l.off:], putFrame(payload, &h, l.active.seed))
		_, err := Open("j", quiet(Options{fs: m}))
		if ce, ok := errors.AsType[*CorruptError](err); !ok || ce.Position != 41 {
			t.Errorf("%s: Open = %v, want a CorruptError at position 41", name, err)
		}
	}
	// The name of the next segment is the end of the sealed one, and each header
	// names the one before: no file can be taken out, swapped or renamed unseen.
	m := newMemFS()
	l := mustOpen(t, "j", Options{fs: m, SegmentBytes: 8 << 10})
	extend(t, l, rand.New(rand.NewPCG(4, 4)), 400)
	if len(l.segs) < 5 {
		t.Fatalf("%d segments", len(l.segs))
	}
	path := func(i int) string { return filepath.Join("j", l.segs[i].name()) }
	for name, damage := range map[string]func(names map[string]*memNode){
		"middle removed": func(n map[string]*memNode) { delete(n, path(2)) },
		"last removed":   func(n map[string]*memNode) { delete(n, path(len(l.segs)-1)) },
		"two swapped":    func(n map[string]*memNode) { n[path(1)], n[path(2)] = n[path(2)], n[path(1)] },
		"renamed":        func(n map[string]*memNode) { n["j/"+segmentName(l.segs[2].first+1)] = n[path(2)]; delete(n, path(2)) },
		"cut":            func(n map[string]*memNode) { n[path(2)].data = n[path(2)].data[:5000] },
		"tail cut":       func(n map[string]*memNode) { p := path(len(l.segs) - 1); n[p].data = n[p].data[:5000] },
		"all removed":    func(n map[string]*memNode) { clear(n); n["j/lock"] = m.names["j/lock"] },
		"foreign": func(n map[string]*memNode) {
			n[path(2)].data[33] ^= 1 // another journal's id, with a header that checks
			s, _ := parseSegmentHeader(n[path(2)].data[:segmentHeaderLen])
			if s == nil {
				s = &segment{first: l.segs[2].first, prev: l.segs[2].prev, size: l.segs[2].size}
			}
			copy(n[path(2)].data, s.header())
		},
	} {
		c := m.killed()
		damage(c.names)
		for _, n := range c.names {
			n.locked = false
		}
		_, err := Open("j", quiet(Options{fs: c}))
		if _, ok := errors.AsType[*CorruptError](err); !ok {
			t.Errorf("%s: Open = %v, want a CorruptError", name, err)
		}
	}
}

// workload opens, appends across rolls, retains and closes, until something fails.
// It returns the last position acknowledged and the last one handed in.
func workload(m *memFS, rng *rand.Rand, rounds int) (acked, tried Position, err error) {
	l, err := Open("j", quiet(Options{fs: m, SegmentBytes: 4 << 10}))
	if err != nil {
		return 0, 0, err
	}
	tried = l.End()
	for i := range rounds {
		b := batch(l.End()+1, 1+rng.IntN(15))
		tried = max(tried, l.End()+Position(len(b.Records)))
		if _, err := l.Append(b); err != nil {
			return l.Durable(), tried, err
		}
		if rng.IntN(4) > 0 {
			err = l.Sync()
		}
		if acked = l.Durable(); err != nil {
			return acked, tried, err
		}
		if i == rounds/2 {
			if _, err := l.Retain(acked / 2); err != nil {
				return acked, tried, err
			}
		}
	}
	err = l.Close()
	return l.Durable(), tried, err
}

// Crash at every step of open, append, roll, retain, close and of the recovery after
// that, by kill and by power cut, and go on each time.
func TestPitfall5CrashAtEveryStep(t *testing.T) {
	steps := 0
	for n := 0; ; n++ {
		m := newMemFS()
		m.crashAfter(n)
		acked, tried, err := workload(m, rand.New(rand.NewPCG(5, 0)), 24)
		if err == nil {
			steps = n
			break
		}
		for variant := range 3 {
			rng := rand.New(rand.NewPCG(uint64(n), uint64(variant)))
			after := func(m *memFS) *memFS {
				m.setFault(nil)
				if variant == 0 {
					return m.killed()
				}
				return m.cut(rng)
			}
			c := after(m)
			c.crashAfter(n % 7) // a second crash, in the recovery or soon after
			acked2, tried2, _ := workload(c, rng, 3)
			acked2, tried2 = max(acked, acked2), max(tried, tried2)
			c = after(c)
			l, err := Open("j", quiet(Options{fs: c, SegmentBytes: 4 << 10}))
			if err != nil {
				t.Fatalf("step %d variant %d: Open = %v", n, variant, err)
			}
			if l.End() < acked2 || l.End() > tried2 {
				t.Fatalf("step %d variant %d: end %d, acknowledged %d, tried %d", n, variant, l.End(), acked2, tried2)
			}
			for path := range c.names {
				if strings.HasSuffix(path, tempSuffix) {
					t.Fatalf("step %d variant %d: %s is left behind", n, variant, path)
				}
			}
			extend(t, l, rng, l.End()+30)
			wantAll(t, l, l.First(), l.End())
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			wantAll(t, mustOpen(t, "j", Options{fs: c.cut(rng)}), l.First(), l.End())
		}
	}
	if steps < 80 {
		t.Errorf("only %d steps: the workload no longer covers rolls", steps)
	}
}

func TestPitfall6TailIsSyncedBeforeItCounts(t *testing.T) {
	m := newMemFS()
	l := mustOpen(t, "j", Options{fs: m})
	extend(t, l, rand.New(rand.NewPCG(6, 1)), 30)
	if _, err := l.Append(batch(31, 5)); err != nil {
		t.Fatal(err)
	}
	m = m.killed() // 31 to 35 are in the page cache only
	l = mustOpen(t, "j", Options{fs: m})
	if l.Durable() != 35 {
		t.Fatalf("durable %d, want 35", l.Durable())
	}
	for seed := range uint64(20) {
		wantAll(t, mustOpen(t, "j", Options{fs: m.cut(rand.New(rand.NewPCG(6, seed)))}), 1, 35)
	}
	m = m.killed()
	m.setFault(func(op, path string, _ int64, n int) (int, error) {
		if op == "sync" {
			return 0, errors.New("EIO")
		}
		return n, nil
	})
	if _, err := Open("j", quiet(Options{fs: m})); err == nil {
		t.Error("Open trusts a tail it could not sync")
	}
}

func TestPitfall7ReadersStopAtDurable(t *testing.T) {
	m := newMemFS()
	l := mustOpen(t, "j", Options{fs: m, SegmentBytes: 8 << 10})
	extend(t, l, rand.New(rand.NewPCG(7, 1)), 10)
	r, err := l.Read(1)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	read := func(want Position) {
		t.Helper()
		var last Position
		for {
			b, err := r.Next()
			if err == io.EOF {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			last = b.Last()
		}
		if last != want {
			t.Errorf("read to %d, want %d", last, want)
		}
	}
	read(10)
	for end := Position(15); end < 400; end += 5 { // across rolls
		if _, err := l.Append(batch(end-4, 5)); err != nil {
			t.Fatal(err)
		}
		read(0)
		wantAll(t, l, 1, end-5)
		if err := l.Sync(); err != nil {
			t.Fatal(err)
		}
		read(end)
	}
}

func TestPitfall7ReadersAreLimitedAndReadAMiB(t *testing.T) {
	m := newMemFS()
	l := mustOpen(t, "j", Options{fs: m, SegmentBytes: 4 << 20})
	noise, total := make([]byte, 100_000), int64(0)
	for range 60 {
		rand.NewChaCha8([32]byte{byte(total)}).Read(noise)
		if _, err := l.Append(&Batch{Records: [][]byte{noise}}); err != nil {
			t.Fatal(err)
		}
		total += int64(len(noise))
	}
	l.Sync()
	var reads, largest int
	m.setFault(func(op, _ string, _ int64, n int) (int, error) {
		if op == "read" && n > segmentHeaderLen {
			reads, largest = reads+1, max(largest, n)
		}
		return n, nil
	})
	synctest.Test(t, func(t *testing.T) {
		r, err := l.Read(1)
		if err != nil {
			t.Fatal(err)
		}
		r.Limit(total / 10)
		start := time.Now()
		for err == nil {
			_, err = r.Next()
		}
		if took := time.Since(start); err != io.EOF || took < 10*time.Second || took > 11*time.Second {
			t.Errorf("%d bytes at %d a second took %s, %v", total, total/10, took, err)
		}
		if reads > 9 || largest > readAhead {
			t.Errorf("%d reads, the largest of %d bytes", reads, largest)
		}
		start = time.Now()
		if err := l.Verify(t.Context()); err != nil || time.Since(start) < time.Duration(total)*time.Second/(33<<20) {
			t.Errorf("Verify took %s, %v", time.Since(start), err)
		}
	})
}

func TestPitfall8DecompressionIsBounded(t *testing.T) {
	z, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	bomb := z.EncodeAll(make([]byte, 4<<20), nil)
	one := append(binary.AppendUvarint(nil, 1000), make([]byte, 1000)...)
	for name, h := range map[string]header{
		"bomb":      {raw: 1000},
		"too small": {raw: uint32(len(one)) - 1},
		"too large": {raw: uint32(len(one)) + 1},
	} {
		src := bomb
		if name != "bomb" {
			src = z.EncodeAll(one, nil)
		}
		h.first, h.count, h.stored, h.flags = 1, 1, uint32(len(src)), codecZstd
		for range 5 { // warms the decoder up
			_, _ = decode(&h, src)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, reason := decode(&h, src)
		runtime.ReadMemStats(&after)
		if got := after.TotalAlloc - before.TotalAlloc; reason == "" || got > 1<<20 {
			t.Errorf("%s: reason %q, %d bytes allocated", name, reason, got)
		}
	}
	// A header may not ask for more than a batch can have.
	h := header{first: 1, count: 1, stored: 10, raw: maxPayload + 1, flags: codecZstd}
	if _, reason := parseHeader(putFrame(make([]byte, frameHeaderLen, 90), &h, 1), 1); reason == "" {
		t.Error("a header that asks for too much memory passes")
	}
	h.raw = uint32(len(one))
	if _, reason := decode(&h, z.EncodeAll(one, nil)); reason != "" {
		t.Errorf("the honest one: %s", reason)
	}
}

func TestPitfall9RetainDropsWholeSegments(t *testing.T) {
	m := newMemFS()
	l := mustOpen(t, "j", Options{fs: m, SegmentBytes: 8 << 10})
	rng := rand.New(rand.NewPCG(9, 1))
	extend(t, l, rng, 600)
	slow, err := l.Read(1)
	if err != nil {
		t.Fatal(err)
	}
	var removed []string
	m.setFault(func(op, path string, _ int64, n int) (int, error) {
		if op == "remove" && inSegment(path) {
			removed = append(removed, path)
			if m.mu.Lock(); len(m.pending) > 0 {
				t.Errorf("%s is removed before the last removal is durable: a power cut can leave a gap", path)
			}
			m.mu.Unlock()
		}
		return n, nil
	})
	segs := l.Segments()
	for i, keep := range []Position{0, 1, segs[1].First - 1, segs[1].First, segs[3].First + 1} {
		before := l.Bytes()
		freed, err := l.Retain(keep)
		if err != nil || before-freed != l.Bytes() {
			t.Fatalf("Retain(%d) = %d, %v; bytes %d to %d", keep, freed, err, before, l.Bytes())
		}
		if want := []Position{1, 1, 1, segs[1].First, segs[3].First}[i]; l.First() != want {
			t.Errorf("after Retain(%d) first is %d, want %d", keep, l.First(), want)
		}
		wantAll(t, l, l.First(), 600)
	}
	if _, err := l.Read(1); !errors.Is(err, ErrGone) {
		t.Errorf("Read(1) = %v, want ErrGone", err)
	}
	for err = nil; err == nil; { // a reader overtaken ends its segment, then is told
		_, err = slow.Next()
	}
	if !errors.Is(err, ErrGone) {
		t.Errorf("overtaken reader: %v, want ErrGone", err)
	}
	if _, err := l.Retain(1 << 60); err != nil || len(l.Segments()) != 1 {
		t.Errorf("Retain of everything: %v, %d segments left", err, len(l.Segments()))
	}
	for i, name := range removed {
		if name != segmentName(segs[i].First) {
			t.Errorf("removed %s as number %d, want the oldest first", name, i)
		}
	}
	extend(t, l, rng, 700)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	m.setFault(nil)
	l = mustOpen(t, "j", Options{fs: m, SegmentBytes: 8 << 10})
	wantAll(t, l, l.First(), 700)
	// Retain alone makes the marker untrue, as an append does.
	if freed, err := l.Retain(700); err != nil || freed == 0 {
		t.Fatalf("Retain after reopening = %d, %v", freed, err)
	}
	l = mustOpen(t, "j", Options{fs: m.killed()})
	wantAll(t, l, l.First(), 700)
}

func TestPitfall10OneProcess(t *testing.T) {
	dir := t.TempDir()
	l := mustOpen(t, dir, Options{})
	if _, err := Open(dir, quiet(Options{})); !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), dir) {
		t.Errorf("second Open = %v, want ErrLocked and the directory", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	mustOpen(t, dir, Options{}).Close()
}
