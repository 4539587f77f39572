package features

import (
	"slices"
	"testing"
)

// What two columns say alike, and truths, take little room.
func TestChunkOfLikeColumns(t *testing.T) {
	l := &layout{slots: []uint32{1}, columns: []columnTag{{1, moneyColumn}, {2, moneyColumn}, {3, truthColumn}, {4, moneyColumn}, {5, hashColumn}}}
	const n = 20
	var c chunk
	c.allocate(l.stride(), n)
	c.n = n
	for i := range n {
		amount := uint64(i) * 12_345 % 9_999
		for k, v := range []uint64{uint64(i) * 1000, 1, amount, amount * 100, uint64(i) % 3 % 2, -amount * 100, uint64(i % 4)} {
			c.entry(i)[k] = v
		}
	}
	for from, most := range map[int]int{0: 205, 13: 102, 19: 28, 20: 2} {
		b := c.append(nil, l, from)
		if len(b) > most {
			t.Errorf("entries from %d take %d bytes, want at most %d", from, len(b), most)
		}
		var got chunk
		d := &decoder{b: b}
		if got.restore(d, l); d.end() != nil || got.n != n-from {
			t.Fatalf("entries from %d: %d, %v", from, got.n, d.err)
		}
		for k := range l.stride() {
			if got, want := got.column(nil, k, 0), c.column(nil, k, from); !slices.Equal(got, want) {
				t.Errorf("column %d from %d = %d, want %d", k, from, got, want)
			}
		}
	}
	b := c.append(nil, l, 0)
	for cut := range b {
		var got chunk
		d := &decoder{b: b[:cut]}
		if got.restore(d, l); d.end() == nil {
			t.Errorf("the first %d of %d bytes are taken for all", cut, len(b))
		}
	}
}
