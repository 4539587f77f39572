package engine_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-risk/sluice/engine"
	"github.com/sluice-risk/sluice/store/journal"
)

// damage is one change to one file of a data directory.
type damage struct {
	file   string // relative
	what   string
	offset int64 // of the first byte that changed; -1: the whole file is gone
}

func (d damage) String() string { return fmt.Sprintf("%s of %s at %d", d.what, d.file, d.offset) }

// files lists what can be damaged, and why not the rest: locks hold nothing.
func damageable(t *testing.T, dir string) (files []string) {
	t.Helper()
	for _, pattern := range []string{"journal/*.seg", "state/*", "blobs/*"} {
		found, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range found {
			rel, _ := filepath.Rel(dir, path)
			if name := filepath.Base(rel); name != "store.lock" && name != "LOCK" {
				files = append(files, rel)
			}
		}
	}
	slices.Sort(files)
	return files
}

// inflict changes one file at random. Most changes hit bytes that are in use.
func inflict(t *testing.T, random *rand.Rand, dir string) damage {
	t.Helper()
	files := damageable(t, dir)
	d := damage{file: files[random.IntN(len(files))]}
	path := filepath.Join(dir, d.file)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	used := len(data)
	for used > 0 && data[used-1] == 0 {
		used--
	}
	kind := random.IntN(8)
	if len(data) == 0 {
		kind = 7
	}
	at := 0
	if used > 0 {
		at = random.IntN(used)
	}
	switch {
	case kind < 4:
		if kind == 0 && len(data) > 0 {
			at = random.IntN(len(data))
		}
		d.what, d.offset = "flip", int64(at)
		data[at] ^= 1 << random.IntN(8)
		err = os.WriteFile(path, data, 0o600)
	case kind == 4:
		d.what, d.offset = "truncate", int64(at)
		err = os.Truncate(path, d.offset)
	case kind < 7:
		d.what, d.offset = "zero tail", int64(at)
		clear(data[at:])
		err = os.WriteFile(path, data, 0o600)
	default:
		d.what, d.offset = "delete", -1
		err = os.Remove(path)
	}
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// frames gives the offsets of the frames in the newest segment, and the position
// that follows each.
func frames(t *testing.T, dir string) (segment string, offsets []int64, after []journal.Position) {
	t.Helper()
	segments, err := filepath.Glob(filepath.Join(dir, "journal", "*.seg"))
	if err != nil || len(segments) < 2 {
		t.Fatalf("%d segments, %v: too few to mean anything", len(segments), err)
	}
	path := slices.Max(segments)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const segmentHeader, frameHeader = 64, 72 // docs/format.md
	for off := int64(segmentHeader); off+frameHeader <= int64(len(data)); {
		h := data[off:]
		stored, first, count := binary.LittleEndian.Uint32(h), binary.LittleEndian.Uint64(h[8:]), binary.LittleEndian.Uint32(h[16:])
		if first == 0 {
			break
		}
		offsets, after = append(offsets, off), append(after, journal.Position(first)+journal.Position(count))
		off += frameHeader + (int64(stored)+7)&^7
	}
	return "journal/" + filepath.Base(path), offsets, after
}

// mayLose tells whether damage can pass for the end of the journal, as it would
// be had the process died earlier. Nothing inside a killed server's directory
// speaks against that end:
//   - it lies in the newest segment, behind the last checkpoint, and
//   - it is a change in the very last frame (a torn write looks like that), or a
//     cut that leaves nothing behind it.
//
// Then what was acknowledged there is lost, in one piece and from the end. What
// does speak against it is outside: the position published to Kafka, the marker
// of a clean end, an anchored head.
func mayLose(d damage, segment string, offsets []int64, after []journal.Position, stored journal.Position) bool {
	if d.file != segment || d.offset < 0 || d.what == "truncate" {
		return false
	}
	i, exact := slices.BinarySearch(offsets, d.offset)
	if !exact {
		i--
	}
	if i < 0 { // the segment's header
		return false
	}
	before := after[i] // of the damaged frame's last record, plus one
	if i > 0 {
		before = after[i-1]
	}
	last := i == len(offsets)-1
	return (last || d.what == "zero tail") && before > stored
}

// One change of one file of a killed server's directory: it is refused with a
// reason that names the place, or all that was acknowledged is the same.
func TestDamage(t *testing.T) {
	if testing.Short() {
		t.Skip("half a minute")
	}
	dir, acks, stored, end := killedDir(t)
	segment, offsets, after := frames(t, dir)
	// The frame that the checkpoint ends in or before: not the segment's first one.
	inside := func() int { return slices.IndexFunc(after, func(p journal.Position) bool { return p > stored }) }
	below := inside()
	for tries := 1; below < 1; tries++ {
		if tries == 10 {
			t.Fatal("no kill left a checkpoint that ends within the last segment")
		}
		dir, acks, stored, end = killedDir(t)
		segment, offsets, after = frames(t, dir)
		below = inside()
	}
	j := newJudge(t, acks)
	if got := j.of(copyTree(t, dir)); got.verdict != "same" {
		t.Fatalf("without damage: %s %s", got.verdict, got.detail)
	}
	t.Run("random", func(t *testing.T) {
		random := seeded(t, 5)
		verdicts := map[string]int{}
		for range torture(100, 2000) {
			hurt := copyTree(t, dir)
			d := inflict(t, random, hurt)
			got := j.of(hurt)
			verdicts[got.verdict]++
			switch got.verdict {
			case "same":
			case "refused", "detected":
				if !names(got.detail, d) {
					t.Errorf("%s: %s without a place: %s", d, got.verdict, got.detail)
				}
			case "lost":
				if !mayLose(d, segment, offsets, after, stored) {
					t.Errorf("%s: %s %s", d, got.verdict, got.detail)
				}
			default:
				t.Errorf("%s: %s %s", d, got.verdict, got.detail)
			}
			os.RemoveAll(hurt)
		}
		t.Logf("%d positions, %d of them stored; %v", end, stored, verdicts)
	})

	// By name: what is done to a copy, and what must come of it.
	first := "journal/00000000000000000001.seg"
	lastFrame := offsets[len(offsets)-1]
	inLast := 0
	for _, a := range acks {
		if a.position >= after[len(after)-2] {
			inLast++
		}
	}
	blobs, err := filepath.Glob(filepath.Join(dir, "blobs", "*"))
	if err != nil || len(blobs) != 1 {
		t.Fatalf("%d releases, %v", len(blobs), err)
	}
	blob := "blobs/" + filepath.Base(blobs[0])
	for _, c := range []struct {
		name    string
		do      func(dir string)
		verdict string
		detail  []string
	}{
		{"the state is gone: it is built again from position 1", remove("state"), "same", nil},
		{"the journal is gone", remove("journal"), "refused", []string{fmt.Sprintf("applied position %d, the journal ends at 0", stored)}},
		{"the journal's files are gone", remove("journal/*.seg"), "refused", []string{"segment files are missing"}},
		{"the journal is cut below the checkpoint", zero(segment, offsets[below-1]), "refused", []string{fmt.Sprintf("entries up to position %d were durable and are missing", stored)}},
		{"the last batch, behind the checkpoint, is torn", zero(segment, lastFrame+80), "lost", []string{fmt.Sprintf("%d of the last", inLast)}},
		{"a byte of the last batch but one is flipped", flip(segment, offsets[len(offsets)-2]+80), "refused", []string{segment[8:], "this is no torn write"}},
		{"a byte of a sealed segment is flipped", flip(first, 5000), "detected", []string{first[8:], "offset", "checksum mismatch"}},
		{"the same, and the state is gone", both(flip(first, 5000), remove("state")), "refused", []string{first[8:], "offset", "checksum mismatch"}},
		{"the first segment and the state are gone", both(remove(first), remove("state")), "refused", []string{"begins at position"}},
		{"the release is gone", remove(blob), "refused", []string{blob, "activated at position"}},
		{"the release is another", flip(blob, 700), "refused", []string{"bytes do not match their name", "activated at position"}},
		{"the newest log of the state lost its end", cutLog, "same", nil},
		{"the manifest of the state is gone", remove("state/MANIFEST"), "refused", []string{"MANIFEST is missing", "rebuilt from the journal"}},
		{"a table of the state is gone", removeTable, "refused", []string{"table", ".sst", "rebuilt from the journal"}},
		{"the first segment is gone, as if retention had dropped it", remove(first), "detected", []string{"begins at position"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			hurt := copyTree(t, dir)
			c.do(hurt)
			got := j.of(hurt)
			if got.verdict != c.verdict {
				t.Fatalf("%s %s, want %s", got.verdict, got.detail, c.verdict)
			}
			for _, part := range c.detail {
				if !strings.Contains(got.detail, part) {
					t.Errorf("%s %q does not say %q", got.verdict, got.detail, part)
				}
			}
			// Where the state alone is at fault, the journal has it all.
			if strings.Contains(got.detail, "rebuilt from the journal") {
				remove("state")(hurt)
				if got := j.of(hurt); got.verdict != "same" {
					t.Errorf("without its state: %s %s", got.verdict, got.detail)
				}
			}
		})
	}
}

func remove(pattern string) func(string) {
	return func(dir string) {
		found, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil || len(found) == 0 {
			panic(fmt.Sprint(pattern, " in ", dir, ": ", err))
		}
		for _, path := range found {
			must(os.RemoveAll(path))
		}
	}
}

func removeTable(dir string) {
	tables, err := filepath.Glob(filepath.Join(dir, "state", "*.sst"))
	must(err)
	must(os.Remove(tables[len(tables)/2]))
}

func edit(file string, change func([]byte)) func(string) {
	return func(dir string) {
		data, err := os.ReadFile(filepath.Join(dir, file))
		must(err)
		change(data)
		must(os.WriteFile(filepath.Join(dir, file), data, 0o600))
	}
}

func flip(file string, at int64) func(string) {
	return edit(file, func(b []byte) { b[at] ^= 1 })
}

func zero(file string, from int64) func(string) {
	return edit(file, func(b []byte) { clear(b[from:]) })
}

func both(a, b func(string)) func(string) {
	return func(dir string) { a(dir); b(dir) }
}

// cutLog zeroes the second half of the newest memory table's log.
func cutLog(dir string) {
	logs, err := filepath.Glob(filepath.Join(dir, "state", "*.mem"))
	must(err)
	edit("state/"+filepath.Base(slices.Max(logs)), func(b []byte) {
		end := len(b)
		for end > 0 && b[end-1] == 0 {
			end--
		}
		clear(b[end/2:])
	})(dir)
}

// An older memory table's log loses its end while a newer one survives. The store
// would open, and miss what lies between; it must be refused, and then be built
// again from the journal.
func TestTornOlderLog(t *testing.T) {
	if raced {
		t.Skip("what is done to files has nothing beside it")
	}
	dir := t.TempDir()
	o := smallOptions()
	o.CheckpointEvents = 50
	c := start(t, dir, o)
	events := world(32, 4000)
	newest := func(dir string) string {
		logs, err := filepath.Glob(filepath.Join(dir, "state", "*.mem"))
		if err != nil || len(logs) == 0 {
			t.Fatalf("no log of a memory table: %v", err)
		}
		return filepath.Base(slices.Max(logs))
	}
	// The moment between two logs, put together from before and after it: a flush
	// is too quick to be caught in it.
	torn, older, fed := "", "", 0
	// Each feed is what one checkpoint holds; the first one holds genesis and release too.
	for before, n := copyTree(t, dir), 48; torn == ""; n = 50 {
		if fed+n > len(events) {
			t.Fatal("one log took all events")
		}
		c.feed(events[fed:fed+n], fed)
		fed += n
		for c.Status().Stored != c.Status().End {
			runtime.Gosched()
		}
		now := copyTree(t, dir)
		if older = newest(before); newest(now) != older {
			torn = now
			remove("state")(torn)
			must(os.Rename(filepath.Join(before, "state"), filepath.Join(torn, "state")))
			data, err := os.ReadFile(filepath.Join(dir, "state", newest(dir)))
			must(err)
			must(os.WriteFile(filepath.Join(torn, "state", newest(dir)), data, 0o600))
		}
		before = now
	}
	want := bodies(c.feed(events[:fed], 10_000))
	c.close()

	whole := start(t, copyTree(t, torn), o)
	same(t, "between two logs, without damage", bodies(whole.feed(events[:fed], 20_000)), want)
	whole.close()

	edit("state/"+older, func(b []byte) {
		end := len(b)
		for end > 0 && b[end-1] == 0 {
			end--
		}
		clear(b[end*2/3:])
	})(torn)
	broken, err := engine.Open(torn, o)
	if err == nil {
		broken.Close()
		t.Fatal("Open of a torn state gave no error")
	}
	if text := err.Error(); !strings.Contains(text, "are missing") || !strings.Contains(text, "rebuilt from the journal") {
		t.Errorf("Open = %v, want what is missing and what to do", err)
	}
	remove("state")(torn)
	again := start(t, torn, o)
	same(t, "built again", bodies(again.feed(events[:fed], 30_000)), want)
}

// names tells whether a refusal says where to look.
func names(detail string, d damage) bool {
	return strings.Contains(detail, filepath.Base(d.file)) || strings.Contains(detail, "position ") ||
		strings.Contains(detail, "store: corrupt state in ") && strings.Contains(detail, "rebuilt from the journal")
}
