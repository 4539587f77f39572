package bloom

import (
	"crypto/sha256"
	"encoding/binary"
	"sync"
	"testing"
)

func key(i int) []byte {
	sum := sha256.Sum256(binary.LittleEndian.AppendUint64(nil, uint64(i)))
	return sum[:]
}

func TestSet(t *testing.T) {
	const n = 200_000
	for name, s := range map[string]*Set{"grown": {}, "sized": New(n)} {
		if s.MayHold(key(0)) {
			t.Errorf("%s: an empty set may hold a key", name)
		}
		var wg sync.WaitGroup
		for part := range 4 {
			wg.Go(func() {
				for i := part; i < n; i += 4 {
					s.Add(key(i))
					if !s.MayHold(key(i)) {
						t.Errorf("%s: key %d was added and is not held", name, i)
					}
				}
			})
		}
		wg.Wait()
		wrong := 0
		for i := range n {
			if !s.MayHold(key(i)) {
				t.Fatalf("%s: key %d was added and is not held", name, i)
			}
			if s.MayHold(key(n + i)) {
				wrong++
			}
		}
		if wrong > n/100 {
			t.Errorf("%s: %d of %d other keys may be held", name, wrong, n)
		}
		if s.Keys() != n || s.Bytes() > 6*n {
			t.Errorf("%s: %d keys in %d bytes, want %d in at most %d", name, s.Keys(), s.Bytes(), n, 6*n)
		}
	}
}
