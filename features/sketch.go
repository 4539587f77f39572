package features

import "math/bits"

// A sketch estimates how many different values there are from one small number a
// register (HyperLogLog). Adding a value twice changes nothing, two sketches join
// into that of all their values, and neither the order of values nor of joins
// matters. What has been added cannot be taken away.
const (
	registerBits = 12
	registers    = 1 << registerBits // the standard error is 1.04/sqrt(4096) = 1.6 %
	topRank      = 64 - registerBits
)

// ranks are the registers of a sketch: of the hashes that fall into each, the
// longest run of leading zeros plus one; 0 for none.
type ranks [registers]uint8

// sketch is ranks with what their estimate needs.
type sketch struct {
	ranks
	of       [topRank + 1]int32 // how many registers have a rank
	estimate float64            // valid unless stale
	stale    bool
}

func (k *sketch) reset() {
	clear(k.ranks[:])
	k.of = [topRank + 1]int32{registers}
	k.stale = true
}

// spread makes a hash of a value: values may be small integers, the bits of a
// number, or hashes of another kind. It is part of what decisions are made of and
// never changes; the constants are fractions of ln 2 and sqrt 3.
func spread(v uint64) uint64 {
	v ^= v>>32 ^ 0x736c75696365
	v *= 0xb17217f7d1cf79ab
	v ^= v >> 29
	v *= 0xbb67ae8584caa73b
	return v ^ v>>32
}

// registerOf gives the register that a value belongs to, and its rank there.
func registerOf(v uint64) (register int, rank uint8) {
	h := spread(v)
	return int(h >> topRank), uint8(min(bits.LeadingZeros64(h<<registerBits)+1, topRank))
}

func (r *ranks) add(v uint64) {
	if i, rank := registerOf(v); rank > r[i] {
		r[i] = rank
	}
}

func (k *sketch) add(v uint64) {
	if i, rank := registerOf(v); rank > k.ranks[i] {
		k.set(i, rank)
	}
}

func (k *sketch) set(register int, rank uint8) {
	k.of[k.ranks[register]]--
	k.ranks[register] = rank
	k.of[rank]++
	k.stale = true
}

func (k *sketch) join(r *ranks) {
	for i, rank := range r {
		if rank > k.ranks[i] {
			k.set(i, rank)
		}
	}
}

// count gives the estimate, a whole number. It is the improved estimator of
// O. Ertl, New cardinality estimation algorithms for HyperLogLog sketches (2017),
// which needs neither tables nor a special case for few values, in arithmetic
// that is the same on every machine.
func (k *sketch) count() float64 {
	if !k.stale {
		return k.estimate
	}
	z := 0.0
	for rank := topRank; rank > 0; rank-- {
		z = 0.5 * (z + float64(k.of[rank]))
	}
	k.stale, k.estimate = false, 0
	if x := float64(k.of[0]) / registers; x < 1 {
		sigma, y := x, 1.0
		for before := -1.0; sigma != before; {
			x = float64(x * x)
			before = sigma
			sigma += float64(x * y)
			y += y
		}
		const alpha = 0.72134752044448170 // 1 / (2 ln 2)
		n := alpha * registers * registers / (z + float64(registers*sigma))
		k.estimate = float64(int64(n + 0.5))
	}
	return k.estimate
}
