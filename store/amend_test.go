package store

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"
	"testing"
)

// What is stored beside a checkpoint is stored whole or not at all, whatever its
// size, and the checkpoint stays what it is.
func TestAmend(t *testing.T) {
	t.Parallel()
	for name, size := range map[string]int{"one transaction": 2 << 10, "staged": 400 << 10} {
		dir := t.TempDir()
		o := small()
		o.CheckReplaces = true
		var moments []string
		recording := false
		o.step = func(string) error {
			if recording {
				moments = append(moments, copyDir(t, dir))
			}
			return nil
		}
		s := open(t, dir, o)
		if err := s.Amend([]Put{{Space: Meta, Key: []byte("m"), Value: []byte("x")}}); err == nil {
			t.Errorf("%s: Amend without a checkpoint = nil", name)
		}
		h := newHistory(11)
		commit(t, s, h.next(20<<10))
		last, _ := s.Last()
		before := maps.Clone(h.o)
		puts := h.next(size).Puts
		recording = true
		if err := s.Amend(puts); err != nil {
			t.Fatal(err)
		}
		recording = false
		h.o.same(t, s)
		whole := 0
		for i, left := range moments {
			s := open(t, left, small())
			got, err := contents(s, Entities, Entities2, Events, Learned, Decisions)
			if err != nil {
				t.Fatalf("%s: crash %d: %v", name, i, err)
			}
			if maps.Equal(got, h.o) {
				whole++
			} else if whole > 0 || !maps.Equal(got, before) {
				t.Fatalf("%s: crash %d: store holds %d keys, want %d or %d", name, i, len(got), len(before), len(h.o))
			}
			if now, _ := s.Last(); now.Position != last.Position || now.Digest != last.Digest || string(now.State) != string(last.State) {
				t.Errorf("%s: crash %d: the checkpoint is now %+v, was %+v", name, i, now, last)
			}
		}
		if whole == 0 {
			t.Errorf("%s: not stored", name)
		}
		commit(t, s, &Checkpoint{Position: last.Position + 1})
		if err := s.Amend(nil); err != nil {
			t.Fatal(err)
		}
		if now, _ := s.Last(); now.Position != last.Position+1 {
			t.Errorf("%s: position %d after the next checkpoint, want %d", name, now.Position, last.Position+1)
		}
	}
}

// Both generations of entities are summed and visited, and a scan may begin at any
// key.
func TestTwoGenerations(t *testing.T) {
	s := open(t, t.TempDir(), small())
	o := oracle{}
	c := &Checkpoint{Position: 1}
	for i := range 10 {
		c.Puts = append(c.Puts, o.put(Entities, fmt.Sprintf("k%d", i), "old"), o.put(Entities2, fmt.Sprintf("k%d", i), "new"))
	}
	commit(t, s, c)
	var seen []string
	visit := func(space Space, key, value []byte, sum uint64) error {
		if sum != Sum(space, key, value) {
			t.Errorf("sum of %q is %x", key, sum)
		}
		seen = append(seen, string(byte(space))+string(key)+string(value))
		return nil
	}
	if err := s.ScanEntities(visit); err != nil || len(seen) != 20 || seen[0] != "ek0old" || seen[10] != "fk0new" {
		t.Errorf("ScanEntities gave %v, %v", seen, err)
	}
	var proven atomic.Int64
	if err := s.ProveEntities(func(_ Space, keys [][]byte) error { proven.Add(int64(len(keys))); return nil }); err != nil || proven.Load() != 20 {
		t.Errorf("ProveEntities gave %d keys, %v", proven.Load(), err)
	}
	seen = nil
	stop := errors.New("enough")
	err := s.ScanFrom(Entities2, []byte("k7x"), func(key, value []byte, sum uint64) error {
		if visit(Entities2, key, value, sum); len(seen) == 2 {
			return stop
		}
		return nil
	})
	if want := []string{"fk8new", "fk9new"}; err != stop || !slices.Equal(seen, want) {
		t.Errorf("ScanFrom gave %v, %v, want %v", seen, err, want)
	}
}
