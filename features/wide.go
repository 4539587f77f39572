package features

import (
	"math"
	"math/bits"
)

// uint256 is an unsigned integer of 256 bits, the lowest first. Sums of squares
// are kept in it: the square of a number below maxNumber in units of 1e-9 has at
// most 180 bits, so 2^37 of them have 217, and n times their sum 254.
type uint256 [4]uint64

func (a *uint256) add(b *uint256) {
	var c uint64
	for i := range a {
		a[i], c = bits.Add64(a[i], b[i], c)
	}
}

func (a *uint256) sub(b *uint256) {
	var c uint64
	for i := range a {
		a[i], c = bits.Sub64(a[i], b[i], c)
	}
}

// times multiplies a by n; the product must fit.
func (a *uint256) times(n uint64) {
	var carry uint64
	for i := range a {
		hi, lo := bits.Mul64(a[i], n)
		lo, c := bits.Add64(lo, carry, 0)
		a[i], carry = lo, hi+c
	}
}

// over divides a by d and reports whether something was left over.
func (a *uint256) over(d uint64) (rest bool) {
	var r uint64
	for i := 3; i >= 0; i-- {
		a[i], r = bits.Div64(r, a[i], d)
	}
	return r != 0
}

func (a *uint256) leadingZeros() int {
	for i := 3; i > 0; i-- {
		if a[i] != 0 {
			return 64*(3-i) + bits.LeadingZeros64(a[i])
		}
	}
	return 192 + bits.LeadingZeros64(a[0])
}

func (a *uint256) shift(left uint) {
	words, left := int(left/64), left%64
	for i := 3; i >= 0; i-- {
		var v uint64
		if i >= words {
			v = a[i-words] << left
			if left > 0 && i > words {
				v |= a[i-words-1] >> (64 - left)
			}
		}
		a[i] = v
	}
}

// squareOf gives a².
func squareOf(a int128) uint256 {
	if a.hi < 0 {
		a = a.neg()
	}
	var s uint256
	h, l := uint64(a.hi), a.lo
	s[1], s[0] = bits.Mul64(l, l)
	if h == 0 {
		return s
	}
	s[3], s[2] = bits.Mul64(h, h)
	hi, lo := bits.Mul64(h, l) // twice, one word up
	cross := uint256{0, lo << 1, hi<<1 | lo>>63, hi >> 63}
	s.add(&cross)
	return s
}

// overSquare gives a / d² as the nearest float64, ties to even.
func (a uint256) overSquare(d uint64) float64 {
	zeros := a.leadingZeros()
	if zeros == 256 {
		return 0
	}
	if zeros >= 256-53 && d < 1<<26 {
		return float64(a[0]) / float64(d*d) // both exact, so one rounding
	}
	// With the highest bit set the quotient has at least 128 bits. What is left
	// over, and all bits but 64, only break ties.
	a.shift(uint(zeros))
	rest := a.over(d)
	rest = a.over(d) || rest
	up := a.leadingZeros()
	a.shift(uint(up))
	q := a[3]
	if rest || a[2]|a[1]|a[0] != 0 {
		q |= 1
	}
	return math.Ldexp(float64(q), 192-up-zeros)
}
