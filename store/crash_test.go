package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// history commits checkpoints and remembers what each of them left.
type history struct {
	o      oracle
	random *rand.Rand
	after  []oracle // by position, or empty if forgetful
	at     uint64   // position of the last one
	forget bool
}

func newHistory(seed uint64) *history {
	return &history{o: oracle{}, random: rand.New(rand.NewPCG(seed, 7)), after: []oracle{{}}}
}

// next makes a checkpoint of about n bytes that also deletes and replaces.
func (h *history) next(n int) *Checkpoint {
	h.at++
	c := &Checkpoint{Position: h.at, State: fmt.Appendf(nil, "state %d", h.at)}
	copy(c.Digest[:], c.State)
	used := map[string]bool{}
	for n > 0 {
		key := fmt.Sprintf("key-%d", h.random.IntN(2000))
		space := []Space{Entities, Entities2, Decisions, Events, Learned}[h.random.IntN(5)]
		if used[string(byte(space))+key] {
			n -= 20
			continue
		}
		used[string(byte(space))+key] = true
		if h.random.IntN(5) == 0 {
			c.Puts = append(c.Puts, h.o.delete(space, key))
			n -= 40
			continue
		}
		value := make([]byte, h.random.IntN(600))
		for i := range value {
			value[i] = byte(h.random.Uint32())
		}
		c.Puts = append(c.Puts, h.o.put(space, key, string(value)))
		n -= 60 + len(value)
	}
	if !h.forget {
		h.after = append(h.after, maps.Clone(h.o))
	}
	return c
}

// any makes a checkpoint of any size: mostly small, now and then a staged one.
func (h *history) any() *Checkpoint {
	if h.random.IntN(10) == 0 {
		return h.next(200 << 10)
	}
	return h.next(h.random.IntN(30 << 10))
}

// check says whether the store shows one whole checkpoint, at least as new as
// the given position.
func (h *history) check(s *Store, atLeast uint64) error {
	last, ok := s.Last()
	if ok != (last.Position > 0) || last.Position < atLeast || last.Position >= uint64(len(h.after)) {
		return fmt.Errorf("store shows position %d (%v), want %d to %d", last.Position, ok, atLeast, len(h.after)-1)
	}
	if want := fmt.Sprintf("state %d", last.Position); ok && (string(last.State) != want || !strings.HasPrefix(string(last.Digest[:]), want)) {
		return fmt.Errorf("position %d has state %q", last.Position, last.State)
	}
	got, err := contents(s, Entities, Entities2, Events, Learned, Decisions)
	if err != nil {
		return err
	}
	if !maps.Equal(got, h.after[last.Position]) {
		return fmt.Errorf("store at position %d holds %d keys, want %d, or values differ", last.Position, len(got), len(h.after[last.Position]))
	}
	return nil
}

// The fault that was measured: an older memory table's log loses its end while
// a newer one survives. Badger alone opens that without an error.
func TestTornOlderLogIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir, small())
	h := newHistory(1)
	// The state at the moment when the first log is full, the second one has a
	// transaction, and no table is written yet; a flush is too quick to be caught
	// in it, so it is put together from before and after that transaction.
	const first, second = "00001.mem", "00002.mem"
	var torn string
	for torn == "" {
		before := copyDir(t, dir)
		commit(t, s, h.next(90<<10))
		data, err := os.ReadFile(filepath.Join(dir, second))
		if err != nil {
			continue
		}
		torn = before
		if err := os.WriteFile(filepath.Join(torn, second), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s.Close()

	whole := copyDir(t, torn)
	s = open(t, whole, small())
	if err := h.check(s, uint64(len(h.after)-1)); err != nil {
		t.Fatalf("the copy without damage: %v", err)
	}

	for name, cut := range map[string]func(data []byte, end int){
		"tail":  func(data []byte, end int) { clear(data[end*2/3:]) },
		"byte":  func(data []byte, end int) { data[end/2] ^= 1 },
		"whole": func(data []byte, end int) { clear(data[20:]) },
	} {
		t.Run(name, func(t *testing.T) {
			left := copyDir(t, torn)
			path := filepath.Join(left, first)
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			end := len(data)
			for end > 0 && data[end-1] == 0 {
				end--
			}
			cut(data, end)
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Fatal(err)
			}
			// The gap stays: Badger has truncated the log after the first Open.
			for range 2 {
				s, err := Open(left, small())
				if err == nil {
					s.Close()
					t.Fatal("Open of a torn store gave no error")
				}
				if _, ok := errors.AsType[*CorruptError](err); !ok || !strings.Contains(err.Error(), "are missing") || !strings.Contains(err.Error(), "rebuilt from the journal") {
					t.Fatalf("Open = %v, want a CorruptError that names what is missing", err)
				}
			}
		})
	}
}

// Records of transactions are deleted only when older ones can not be lost any
// more, and the number of them stays bounded.
func TestSequencePruned(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir, small())
	h := newHistory(2)
	most := 0
	for range 300 {
		commit(t, s, h.next(20<<10))
		most = max(most, len(s.kept))
		for _, w := range s.kept {
			if w.number < s.seq.oldest {
				t.Fatalf("record %d is kept, the oldest is said to be %d", w.number, s.seq.oldest)
			}
		}
	}
	if s.seq.oldest == 1 {
		t.Error("nothing was ever pruned")
	}
	if most > 250 {
		t.Errorf("%d records were kept at once, with memory tables of some 50", most)
	}
	if len(s.kept) < keepRecords {
		t.Errorf("%d records are kept, want %d", len(s.kept), keepRecords)
	}
	s.Close()
	s = open(t, dir, small())
	if err := h.check(s, 300); err != nil {
		t.Error(err)
	}
	if got, want := uint64(len(s.kept)), s.seq.number-s.seq.oldest+1; got != want {
		t.Errorf("%d records after Open, want %d", got, want)
	}
}

// A record missing in the middle, or one that is back, is found.
func TestSequenceFaults(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, small())
	h := newHistory(3)
	for range 5 {
		commit(t, s, h.next(500))
	}
	s.seq.oldest = 3 // as if 1 and 2 were pruned, by a commit that follows
	s.kept = s.kept[2:]
	commit(t, s, h.next(500))
	s.Close()
	_, err := Open(dir, small())
	if err == nil || !strings.Contains(err.Error(), "record 1 is back") {
		t.Errorf("Open with a deleted record that is back = %v", err)
	}

	dir = t.TempDir()
	s = open(t, dir, small())
	h = newHistory(3)
	for range 5 {
		commit(t, s, h.next(500))
	}
	txn := s.db.NewTransaction(true)
	if err := errors.Join(txn.Delete(append([]byte("#"), number(3)...)), txn.Commit()); err != nil {
		t.Fatal(err)
	}
	s.Close()
	_, err = Open(dir, small())
	if err == nil || !strings.Contains(err.Error(), "1 of the transactions 1 to 5 (position 5) are missing") {
		t.Errorf("Open with a missing record = %v", err)
	}
}

// A crash at every step of a staged checkpoint: the copy of that moment opens
// and shows the checkpoint before, or from the marker on the new one.
func TestStagedCrash(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	h := newHistory(4)
	o := small()
	type moment struct {
		step string
		dir  string
	}
	var moments []moment
	recording := false
	o.step = func(name string) error {
		if recording {
			moments = append(moments, moment{name, copyDir(t, dir)})
		}
		return nil
	}
	s := open(t, dir, o)
	commit(t, s, h.next(60<<10))
	c := h.next(400 << 10)
	if c.Size() <= s.Room() {
		t.Fatalf("a checkpoint of %d fits the room of %d", c.Size(), s.Room())
	}
	recording = true
	commit(t, s, c)
	recording = false
	h.o.same(t, s)
	s.Close()

	seen := map[string]int{}
	marked := false
	for i, m := range moments {
		seen[m.step]++
		marked = marked || m.step == "mark"
		want := uint64(1)
		if marked {
			want = 2
		}
		// The second crash is while the first one is being repaired.
		var again []string
		r := small()
		if seen[m.step] == 1 || os.Getenv("SLUICE_TORTURE") != "" {
			r.step = func(string) error { again = append(again, copyDir(t, m.dir)); return nil }
		}
		s := open(t, m.dir, r)
		if last, _ := s.Last(); last.Position != want {
			t.Fatalf("step %d (%s): position %d, want %d", i, m.step, last.Position, want)
		}
		if err := h.check(s, want); err != nil {
			t.Fatalf("step %d (%s): %v", i, m.step, err)
		}
		if n := staged(t, s); n != 0 {
			t.Fatalf("step %d (%s): %d staged parts are left", i, m.step, n)
		}
		s.Close()
		for _, dir := range again {
			s := open(t, dir, small())
			if err := h.check(s, want); err != nil {
				t.Fatalf("step %d (%s), crash while repairing: %v", i, m.step, err)
			}
			s.Close()
		}
	}
	for _, step := range []string{"stage", "mark", "apply", "checkpoint", "clean"} {
		if seen[step] == 0 {
			t.Errorf("no crash at step %q: %v", step, seen)
		}
	}
	t.Log("crashes:", seen)
}

func staged(t *testing.T, s *Store) (n int) {
	t.Helper()
	for _, space := range []Space{spaceStaged, spaceMarker} {
		err := s.scan(space, nil, func(_, _ []byte, _ uint64) error { n++; return nil })
		if err != nil {
			t.Fatal(err)
		}
	}
	return n
}

// An error between two steps leaves the store failed, not half right.
func TestFailedCommit(t *testing.T) {
	t.Parallel()
	for _, step := range []string{"stage", "mark", "apply"} {
		dir := t.TempDir()
		h := newHistory(5)
		o := small()
		armed := false
		o.step = func(name string) error {
			if armed && name == step {
				return errors.New("disk says no")
			}
			return nil
		}
		s := open(t, dir, o)
		commit(t, s, h.next(1000))
		armed = true
		if err := s.Commit(h.next(400 << 10)); err == nil || !strings.Contains(err.Error(), "disk says no") {
			t.Fatalf("%s: Commit = %v", step, err)
		}
		armed = false
		if err := s.Commit(&Checkpoint{Position: 9}); !errors.Is(err, ErrFailed) {
			t.Errorf("%s: Commit after a failed one = %v, want ErrFailed", step, err)
		}
		s.Close()
		want := uint64(2)
		if step == "stage" {
			want = 1
		}
		s = open(t, dir, small())
		if last, _ := s.Last(); last.Position != want {
			t.Errorf("%s: position %d after reopening, want %d", step, last.Position, want)
		}
		if err := h.check(s, want); err != nil {
			t.Errorf("%s: %v", step, err)
		}
	}
}

// A marker whose parts are not all there must not be half applied.
func TestStagedPartMissing(t *testing.T) {
	dir := t.TempDir()
	h := newHistory(6)
	o := small()
	o.step = func(name string) error {
		if name == "mark" {
			return errors.New("crash")
		}
		return nil
	}
	s := open(t, dir, o)
	if err := s.Commit(h.next(400 << 10)); err == nil {
		t.Fatal("Commit went on")
	}
	txn := s.db.NewTransaction(true)
	if err := errors.Join(txn.Delete(binary.BigEndian.AppendUint32([]byte("t"), 1)), txn.Commit()); err != nil {
		t.Fatal(err)
	}
	s.Close()
	_, err := Open(dir, small())
	if _, ok := errors.AsType[*CorruptError](err); !ok || !strings.Contains(err.Error(), "its marker says") {
		t.Errorf("Open = %v, want a CorruptError", err)
	}
}

// Room and Size agree with Badger's limits: what fits is not staged and is not
// refused, be the puts small or big.
func TestRoom(t *testing.T) {
	for _, size := range []int{0, 10, 100, 5000, MaxValue} {
		o := small()
		var steps []string
		o.step = func(name string) error { steps = append(steps, name); return nil }
		s := open(t, t.TempDir(), o)
		for range keepRecords + pruneAtOnce {
			s.kept = append(s.kept, written{}) // as many deletions as there can be
		}
		c := &Checkpoint{Position: 1, State: make([]byte, 3000)}
		for i := 0; ; i++ {
			p := Put{Space: Events, Key: fmt.Appendf(nil, "k%06d", i), Value: make([]byte, size)}
			if c.Size()+p.Size() > s.Room() {
				break
			}
			c.Puts = append(c.Puts, p)
		}
		commit(t, s, c)
		if !slices.Equal(steps, []string{"checkpoint"}) {
			t.Errorf("values of %d: a checkpoint that fits took %v", size, steps)
		}
	}
}
