package journal

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// record is what position p holds in every test: a wrong one is seen at once.
func record(p Position) []byte {
	rng := rand.New(rand.NewPCG(uint64(p), 7))
	if p%97 == 0 {
		return []byte{} // an empty record is a record
	}
	b := fmt.Appendf(nil, `{"id":"evt-%d","amount":{"minor":%d,"currency":"EUR"},"note":"`, p, rng.IntN(1e6))
	for range rng.IntN(200) {
		b = append(b, byte('a'+rng.IntN(26)))
	}
	return append(b, `"}`...)
}

func digest(p Position) [32]byte { return sha256.Sum256(fmt.Appendf(nil, "digest %d", p)) }

func batch(first Position, n int) *Batch {
	b := &Batch{Decided: first / 2, Digest: digest(first / 2)}
	for i := range n {
		b.Records = append(b.Records, record(first+Position(i)))
	}
	return b
}

// quiet options, with segments small enough to be copied often.
func quiet(o Options) Options {
	if o.SegmentBytes == 0 {
		o.SegmentBytes = 64 << 10
	}
	o.Logger = slog.New(slog.DiscardHandler)
	return o
}

func mustOpen(t testing.TB, dir string, o Options) *Log {
	t.Helper()
	l, err := Open(dir, quiet(o))
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	return l
}

// extend appends batches until the journal ends at end, syncing each.
func extend(t testing.TB, l *Log, rng *rand.Rand, end Position) {
	t.Helper()
	for l.End() < end {
		first := l.End() + 1
		b := batch(first, 1+rng.IntN(min(20, int(end-l.End()))))
		got, err := l.Append(b)
		if err != nil || got != first || b.First != first {
			t.Fatalf("Append at %d = %d, %v; batch says %d", first, got, err, b.First)
		}
		if err := l.Sync(); err != nil {
			t.Fatalf("Sync: %v", err)
		}
	}
}

// readAll reads from position from until io.EOF or an error and fails on any record
// that is not the one written. It returns the last position read.
func readAll(t testing.TB, l *Log, from Position) (Position, error) {
	t.Helper()
	r, err := l.Read(from)
	if err != nil {
		return from - 1, err
	}
	defer r.Close()
	want := from
	for {
		b, err := r.Next()
		if err == io.EOF {
			return want - 1, nil
		}
		if err != nil {
			return want - 1, err
		}
		if b.First != want || len(b.Records) == 0 {
			t.Fatalf("batch begins at %d with %d records, want %d", b.First, len(b.Records), want)
		}
		if b.Digest != digest(b.Decided) || b.Decided >= b.First {
			t.Fatalf("batch at %d: decided %d with digest %x", b.First, b.Decided, b.Digest[:4])
		}
		for i, got := range b.Records {
			if p := want + Position(i); !bytes.Equal(got, record(p)) {
				t.Fatalf("record %d = %q, want %q", p, got, record(p))
			}
		}
		want = b.Last() + 1
	}
}

func wantAll(t testing.TB, l *Log, from, end Position) {
	t.Helper()
	if got, err := readAll(t, l, from); err != nil || got != end {
		t.Fatalf("read from %d ended at %d, %v; want %d", from, got, err, end)
	}
}

func TestAppendRead(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "journal")
	o := Options{SegmentBytes: 16 << 10}
	rng := rand.New(rand.NewPCG(1, 1))
	l := mustOpen(t, dir, o)
	if l.First() != 1 || l.End() != 0 || l.Durable() != 0 {
		t.Fatalf("new journal: first %d, end %d, durable %d", l.First(), l.End(), l.Durable())
	}
	wantAll(t, l, 1, 0)
	for _, end := range []Position{1, 2, 300, 1000} {
		extend(t, l, rng, end)
		wantAll(t, l, 1, end)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		l = mustOpen(t, dir, o)
		if l.End() != end || l.Durable() != end {
			t.Fatalf("reopened: end %d, durable %d, want %d", l.End(), l.Durable(), end)
		}
		wantAll(t, l, 1, end)
	}
	for from := Position(1); from <= 1001; from += 13 {
		wantAll(t, l, from, 1000)
	}
	segs, sum := l.Segments(), int64(0)
	for i, s := range segs {
		sum += s.Bytes
		if i > 0 && s.First != segs[i-1].Last+1 {
			t.Errorf("segment %d begins at %d after %d", i, s.First, segs[i-1].Last)
		}
	}
	if len(segs) < 5 || segs[len(segs)-1].Last != 1000 || l.Bytes() != sum {
		t.Errorf("%d segments up to %d, %d bytes, sum %d", len(segs), segs[len(segs)-1].Last, l.Bytes(), sum)
	}
	if err := l.Verify(t.Context()); err != nil {
		t.Errorf("Verify: %v", err)
	}
	if _, err := l.Read(1002); !errors.Is(err, ErrBeyond) {
		t.Errorf("Read past the end = %v, want ErrBeyond", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
	if _, err := l.Append(batch(1001, 1)); !errors.Is(err, ErrClosed) {
		t.Errorf("Append after Close = %v, want ErrClosed", err)
	}
	if err := l.Wait(t.Context(), 1001); !errors.Is(err, ErrClosed) {
		t.Errorf("Wait after Close = %v, want ErrClosed", err)
	}
}

func TestAppendRefuses(t *testing.T) {
	l := mustOpen(t, "j", Options{fs: newMemFS()})
	big := make([]byte, MaxRecordBytes)
	for name, b := range map[string]*Batch{
		"no records":      {},
		"record":          {Records: [][]byte{make([]byte, MaxRecordBytes+1)}},
		"batch":           {Records: [][]byte{big, big, big, big, big, {1}}},
		"too many":        {Records: make([][]byte, MaxBatchRecords+1)},
		"decided in here": {Records: [][]byte{{1}}, Decided: 1},
	} {
		if _, err := l.Append(b); !errors.Is(err, ErrRefused) {
			t.Errorf("%s: Append = %v, want ErrRefused", name, err)
		}
	}
	if l.End() != 0 {
		t.Fatalf("end %d after refusals", l.End())
	}
	small := mustOpen(t, "j", Options{fs: newMemFS(), SegmentBytes: 4 << 10})
	for _, first := range []Position{1, 2} { // into an empty segment, into another
		noise := make([]byte, 4000)
		rand.NewChaCha8([32]byte{}).Read(noise)
		if _, err := small.Append(&Batch{Records: [][]byte{noise}}); !errors.Is(err, ErrRefused) {
			t.Errorf("Append of 4000 bytes to a 4 KiB segment = %v, want ErrRefused", err)
		}
		if got, err := small.Append(&Batch{Records: [][]byte{noise[:3880]}}); err != nil || got != first {
			t.Errorf("Append of 3880 bytes = %d, %v", got, err)
		}
	}
	// The bounds themselves are fine.
	rng := rand.NewChaCha8([32]byte{})
	rng.Read(big)
	want := [][]byte{big, big, big, big, big}
	l = mustOpen(t, "j", Options{fs: newMemFS(), SegmentBytes: 6 << 20})
	for _, records := range [][][]byte{want, want[:1], make([][]byte, MaxBatchRecords)} {
		b := &Batch{Records: records}
		first, err := l.Append(b)
		if err != nil || l.Sync() != nil {
			t.Fatalf("Append of %d records: %v", len(records), err)
		}
		r, err := l.Read(first)
		if err != nil {
			t.Fatal(err)
		}
		got, err := r.Next()
		if err != nil || len(got.Records) != len(records) || !bytes.Equal(got.Records[0], records[0]) {
			t.Fatalf("%d records read of %d: %v", len(got.Records), len(records), err)
		}
	}
}

func TestOptionsReportEveryFault(t *testing.T) {
	_, err := Open(t.TempDir(), Options{SegmentBytes: 1, VerifyRate: -1})
	if err == nil || !bytes.Contains([]byte(err.Error()), []byte("segment bytes (1)")) ||
		!bytes.Contains([]byte(err.Error()), []byte("verify rate (-1)")) {
		t.Errorf("Open = %v, want both faults", err)
	}
}

func TestWait(t *testing.T) {
	l := mustOpen(t, "j", Options{fs: newMemFS()})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Wait(ctx, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("Wait = %v, want Canceled", err)
	}
	var wg sync.WaitGroup
	for p := range Position(9) {
		wg.Go(func() {
			if err := l.Wait(t.Context(), p); err != nil || l.Durable() < p {
				t.Errorf("Wait(%d) = %v with durable %d", p, err, l.Durable())
			}
		})
	}
	extend(t, l, rand.New(rand.NewPCG(2, 2)), 8)
	wg.Wait()
	synctest.Test(t, func(t *testing.T) {
		failed := make(chan error, 1)
		go func() { failed <- l.Wait(t.Context(), 100) }()
		synctest.Wait()
		l.fs.(*memFS).setFault(func(op, _ string, _ int64, n int) (int, error) { return n, errors.New("EIO") })
		l.Append(batch(9, 1))
		if err := <-failed; !errors.Is(err, ErrFailed) {
			t.Errorf("Wait on a failed log = %v, want ErrFailed", err)
		}
	})
}

func TestReadWhileWriting(t *testing.T) {
	const end = 3000
	l := mustOpen(t, t.TempDir(), Options{SegmentBytes: 32 << 10})
	defer l.Close()
	var wg sync.WaitGroup
	for i := range 3 {
		wg.Go(func() {
			r, err := l.Read(1)
			if err != nil {
				t.Error(err)
				return
			}
			defer r.Close()
			for next := Position(1); next <= end; {
				b, err := r.Next()
				if err == io.EOF {
					if err := l.Wait(t.Context(), next); err != nil {
						t.Errorf("reader %d: Wait(%d): %v", i, next, err)
						return
					}
					continue
				}
				if err != nil || b.First != next || b.Last() > l.Durable() {
					t.Errorf("reader %d: batch %d, durable %d, %v; want %d", i, b.First, l.Durable(), err, next)
					return
				}
				for k, got := range b.Records {
					if !bytes.Equal(got, record(next+Position(k))) {
						t.Errorf("reader %d: record %d is wrong", i, next+Position(k))
						return
					}
				}
				next = b.Last() + 1
			}
		})
	}
	extend(t, l, rand.New(rand.NewPCG(3, 3)), end)
	wg.Wait()
}

func TestReadOnly(t *testing.T) {
	dir := t.TempDir()
	if _, err := OpenReadOnly(dir); err == nil {
		t.Fatal("OpenReadOnly of an empty directory gave no error")
	}
	l := mustOpen(t, dir, Options{SegmentBytes: 16 << 10})
	extend(t, l, rand.New(rand.NewPCG(4, 4)), 500)
	if _, err := OpenReadOnly(dir); !errors.Is(err, ErrLocked) {
		t.Fatalf("OpenReadOnly beside a writer = %v, want ErrLocked", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	// A torn tail is left as it is: take the marker away and damage the last frame.
	if err := os.Remove(filepath.Join(dir, markerName)); err != nil {
		t.Fatal(err)
	}
	tail := filepath.Join(dir, l.active.name())
	data, err := os.ReadFile(tail)
	if err != nil {
		t.Fatal(err)
	}
	data[l.off-9] ^= 1
	if err := os.WriteFile(tail, data, 0o600); err != nil {
		t.Fatal(err)
	}
	ro, err := open(dir, quiet(Options{}), true)
	if err != nil {
		t.Fatal(err)
	}
	two, err := open(dir, quiet(Options{}), true)
	if err != nil {
		t.Fatalf("a second reader: %v", err)
	}
	if _, err := Open(dir, quiet(Options{})); !errors.Is(err, ErrLocked) {
		t.Errorf("Open beside a reader = %v, want ErrLocked", err)
	}
	if end := ro.End(); end >= 500 || end < 480 {
		t.Errorf("end %d, want that of the batch before the last", end)
	}
	wantAll(t, ro, 1, ro.End())
	wantAll(t, two, 1, ro.End())
	if err := ro.Verify(t.Context()); err != nil {
		t.Errorf("Verify: %v", err)
	}
	_, appendErr := ro.Append(batch(1, 1))
	_, retainErr := ro.Retain(400)
	for _, err := range []error{appendErr, retainErr, ro.Sync(), ro.Wait(t.Context(), 500)} {
		if !errors.Is(err, ErrReadOnly) {
			t.Errorf("on a read-only log: %v, want ErrReadOnly", err)
		}
	}
	if err := errors.Join(ro.Close(), two.Close()); err != nil {
		t.Error(err)
	}
	if now, _ := os.ReadFile(tail); !bytes.Equal(now, data) {
		t.Error("a read-only log changed the file")
	}
	os.Remove(filepath.Join(dir, lockName)) // a copy has none
	ro, err = open(dir, quiet(Options{}), true)
	if err != nil {
		t.Fatal(err)
	}
	ro.Close()
	if _, err := os.Stat(filepath.Join(dir, lockName)); !errors.Is(err, os.ErrNotExist) {
		t.Error("a read-only log made a lock file")
	}
}

func TestVerifyFindsWhatOpenDoesNotScan(t *testing.T) {
	m := newMemFS()
	l := mustOpen(t, "j", Options{fs: m, SegmentBytes: 8 << 10})
	extend(t, l, rand.New(rand.NewPCG(5, 5)), 300)
	l.Close()
	m.names[filepath.Join("j", l.segs[2].name())].data[1000] ^= 4
	l = mustOpen(t, "j", Options{fs: m})
	err := l.Verify(t.Context())
	ce, ok := errors.AsType[*CorruptError](err)
	if !ok || ce.File != l.segs[2].name() || ce.Position < l.segs[2].first || ce.Position >= l.segs[3].first {
		t.Errorf("Verify = %v, want a CorruptError in %s", err, l.segs[2].name())
	}
	ctx, cancel := context.WithDeadline(t.Context(), time.Unix(0, 0))
	defer cancel()
	if err := l.Verify(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Verify = %v, want DeadlineExceeded", err)
	}
}

// The bytes of docs/format.md: whoever changes them changes the magic too.
func TestFormat(t *testing.T) {
	seg := &segment{first: 1, size: 64 << 20, id: [16]byte([]byte("0123456789abcdef"))}
	got := seg.header()
	enc, err := newEncoder()
	if err != nil {
		t.Fatal(err)
	}
	payload, h := enc.payload([][]byte{[]byte("hello"), {}})
	h.first, h.decided, h.digest = 3, 2, [32]byte([]byte("a rolling digest, of 32 bytes..."))
	got = append(got, putFrame(payload, &h, seg.seed)...)
	seal := header{first: 5, flags: flagSeal}
	got = append(got, putFrame(make([]byte, frameHeaderLen), &seal, seg.seed)...)
	want, err := os.ReadFile("testdata/segment.hex")
	if err != nil {
		t.Fatal(err)
	}
	if dump := hex.Dump(got); dump != string(want) {
		t.Errorf("segment bytes are\n%s\nwant\n%s", dump, want)
	}
}
