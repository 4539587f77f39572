package journal

import (
	"bufio"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// torture says how often to do something: n normally, more when asked.
func torture(n, more int) int {
	if os.Getenv("SLUICE_TORTURE") != "" {
		return more
	}
	return n
}

// mutate damages one place of the disk and says what it did.
func mutate(m *memFS, rng *rand.Rand) string {
	path := slices.Sorted(maps.Keys(m.names))[rng.IntN(len(m.names))]
	n := m.names[path]
	at := 0
	if len(n.data) > 0 {
		at = rng.IntN(len(n.data))
	}
	switch kind := rng.IntN(6); {
	case kind == 0 || len(n.data) == 0:
		delete(m.names, path)
		return "delete " + path
	case kind == 1:
		n.data = n.data[:at]
		return fmt.Sprintf("truncate %s to %d", path, at)
	case kind == 2:
		n.data = slices.Delete(n.data, at, at+1)
		return fmt.Sprintf("delete byte %d of %s", at, path)
	case kind == 3:
		// Shorter than a header: what wipes the bad frame's and those of all
		// later frames is not to be told from a torn write.
		for i := range n.data[at:min(at+1+rng.IntN(32), len(n.data))] {
			i += at
			n.data[i] = byte(rng.Uint32())
		}
		return fmt.Sprintf("noise at %d of %s", at, path)
	default:
		n.data[at] ^= 1 << rng.IntN(8)
		return fmt.Sprintf("flip in byte %d of %s", at, path)
	}
}

// TestMutations: damage anywhere is found at Open or Read, or is harmless, or is the
// last batch after a crash. No record is ever wrong (readAll compares each).
func TestMutations(t *testing.T) {
	const end = 220
	m := newMemFS()
	l := mustOpen(t, "j", Options{fs: m, SegmentBytes: 4 << 10})
	extend(t, l, rand.New(rand.NewPCG(11, 0)), end)
	offs := lastFrames(t, l)
	if len(l.segs) < 5 || len(offs) < 2 {
		t.Fatalf("%d segments, %d frames in the last", len(l.segs), len(offs))
	}
	s := scanner{f: l.file, seg: l.active, off: offs[len(offs)-1], next: 0, limit: l.off}
	b, _ := s.peek(s.off, frameHeaderLen)
	h, _ := parseHeader(b, l.active.seed)
	killed := m.killed()
	l.Close()
	outcome := map[string]int{}
	for seed := range torture(1500, 50_000) {
		rng := rand.New(rand.NewPCG(11, uint64(seed)))
		c, clean := killed.killed(), rng.IntN(2) == 0
		if clean {
			c = m.killed()
		}
		what := mutate(c, rng)
		got, err := Position(0), error(nil)
		if l, err = Open("j", quiet(Options{fs: c, SegmentBytes: 4 << 10})); err == nil {
			got, err = readAll(t, l, 1)
		}
		corrupt, ok := errors.AsType[*CorruptError](err)
		switch {
		case ok && corrupt.File != "" && corrupt.Reason != "":
			outcome["corrupt"]++
		case errors.Is(err, ErrGone) && strings.HasPrefix(what, "delete j/"+segmentName(1)):
			outcome["oldest file gone"]++
		case err == nil && got == end:
			outcome["harmless"]++
		case err == nil && !clean && got == h.first-1 && l.End() == got && strings.Contains(what, l.active.name()):
			outcome["last batch cut"]++
		default:
			t.Errorf("seed %d (clean %v), %s: read to %d of %d, %v", seed, clean, what, got, end, err)
		}
	}
	for _, kind := range []string{"corrupt", "oldest file gone", "harmless", "last batch cut"} {
		if outcome[kind] == 0 {
			t.Errorf("no mutation ended as %q: %v", kind, outcome)
		}
	}
	t.Log(outcome)
}

const childDir = "SLUICE_JOURNAL_TEST_CHILD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		child(dir)
	}
	os.Exit(m.Run())
}

// child appends until it is killed and prints each position once it is durable.
func child(dir string) {
	l, err := Open(dir, quiet(Options{SegmentBytes: 32 << 10}))
	rng := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0))
	for err == nil {
		if _, err = l.Append(batch(l.End()+1, 1+rng.IntN(40))); err == nil {
			err = l.Sync()
		}
		if rng.IntN(50) == 0 && l.End() > 2000 {
			_, err = l.Retain(l.End() - 2000)
		}
		fmt.Println(l.Durable())
	}
	fmt.Println("error:", err)
	os.Exit(1)
}

// TestKill kills a writing process again and again; the oracle is what it printed.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	rng := rand.New(rand.NewPCG(12, uint64(time.Now().UnixNano())))
	acked := Position(0)
	for cycle := range torture(10, 500) {
		cmd := exec.Command(os.Args[0], "-test.run=^$")
		cmd.Env = append(os.Environ(), childDir+"="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		// Some die while opening, the others after some appends.
		if cycle%4 == 3 {
			time.AfterFunc(time.Duration(rng.IntN(40))*time.Millisecond, func() { cmd.Process.Kill() })
		}
		lines, until := bufio.NewScanner(out), 1+rng.IntN(120)
		for n := 0; lines.Scan(); n++ {
			p, err := strconv.ParseUint(lines.Text(), 10, 64)
			if err != nil {
				t.Fatalf("cycle %d: child says %q", cycle, lines.Text())
			}
			if acked = max(acked, Position(p)); n == until {
				cmd.Process.Kill()
			}
		}
		if err := cmd.Wait(); cmd.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
			t.Fatalf("cycle %d: child ended by itself: %v", cycle, err)
		}
		if cycle%2 == 0 {
			continue // the next child recovers
		}
		l := mustOpen(t, dir, Options{SegmentBytes: 32 << 10})
		if l.End() < acked {
			t.Fatalf("cycle %d: end %d, acknowledged %d", cycle, l.End(), acked)
		}
		wantAll(t, l, l.First(), l.End())
		acked = l.End()
		if cycle%6 == 1 {
			err = l.Close() // with a marker for the next child to remove
		} else {
			l.lock.Close() // as a killed process leaves it
			err = l.file.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if acked < 500 {
		t.Errorf("only %d records were written", acked)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*"+tempSuffix)); len(left) > 1 {
		t.Errorf("temporary files pile up: %v", left)
	}
}

// FuzzFrame: no bytes make the decoder panic, take memory beyond the bounds, or
// return records that do not encode to the same payload. The checksums are put
// right, so that what lies behind them is reached.
func FuzzFrame(f *testing.F) {
	enc, err := newEncoder()
	if err != nil {
		f.Fatal(err)
	}
	for _, n := range []int{1, 3, 4, 30} {
		payload, h := enc.payload(batch(5, n).Records)
		h.first = 5
		f.Add(putFrame(slices.Clone(payload), &h, 7))
	}
	seal := header{first: 9, flags: flagSeal}
	f.Add(putFrame(make([]byte, frameHeaderLen), &seal, 7))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) >= frameHeaderLen {
			h, _ := parseHeader(data, 7)
			if h.size() <= int64(len(data)) {
				data = putFrame(slices.Clone(data)[:h.size()], &h, 7)
			}
		}
		size := int64(segmentHeaderLen + len(data))
		disk := &memNode{fs: newMemFS(), data: append(make([]byte, segmentHeaderLen), data...)}
		s := scanner{f: disk, seg: &segment{first: 5, size: size, seed: 7}, off: segmentHeaderLen, next: 5, limit: size}
		h, stored, err := s.frame()
		if err != nil || h.sealed() {
			return
		}
		records, reason := decode(&h, stored)
		if reason != "" {
			return
		}
		enc, err := newEncoder()
		if err != nil {
			t.Fatal(err)
		}
		payload, again := enc.payload(records)
		if again.count != h.count {
			t.Fatalf("%d records of %d", again.count, h.count)
		}
		second, reason := decode(&again, payload[frameHeaderLen:])
		if reason != "" || !slices.EqualFunc(records, second, func(a, b []byte) bool { return string(a) == string(b) }) {
			t.Fatalf("decode of encode differs: %s", reason)
		}
	})
}
