package features

import (
	"math"
	"math/bits"
)

// int128 is a two's complement 128-bit integer. Sums are kept in it because
// integer addition is associative: a sum is the same in whatever order its
// events arrived, were evicted, or were folded, and after a restart.
type int128 struct {
	hi int64
	lo uint64
}

func (a int128) add(b int128) int128 {
	lo, carry := bits.Add64(a.lo, b.lo, 0)
	hi, _ := bits.Add64(uint64(a.hi), uint64(b.hi), carry)
	return int128{int64(hi), lo}
}

func (a int128) neg() int128 {
	lo, borrow := bits.Sub64(0, a.lo, 0)
	hi, _ := bits.Sub64(0, uint64(a.hi), borrow)
	return int128{int64(hi), lo}
}

func int128Of(v int64) int128 { return int128{v >> 63, uint64(v)} }

// nano is the unit in which numbers that are not money are summed.
const nano = 1_000_000_000

// maxNumber bounds the numbers that features take in: within it a sum of 2^37
// values cannot overflow 128 bits of 1e-9.
const maxNumber = 1e18

// fixedOf gives v in units of 1e-9, rounded half to even. |v| < maxNumber.
func fixedOf(v float64) int128 {
	whole := math.Trunc(v)
	frac := math.RoundToEven((v - whole) * nano)
	n := uint64(math.Abs(whole))
	hi, lo := bits.Mul64(n, nano)
	units := int128{int64(hi), lo}
	if whole < 0 {
		units = units.neg()
	}
	return units.add(int128Of(int64(frac)))
}

// over gives a / den as the nearest float64, ties to even: one rounding, whatever
// the size of a. den is not 0.
func (a int128) over(den uint64) float64 {
	negative := a.hi < 0
	if negative {
		a = a.neg()
	}
	hi, lo := uint64(a.hi), a.lo
	if hi == 0 && lo < 1<<53 && den < 1<<53 {
		q := float64(lo) / float64(den) // both exact, so one rounding
		if negative {
			return -q
		}
		return q
	}
	// Both are shifted until their highest bit is set; then the quotient of 128
	// by 64 bits has at least 63 bits, and what is left over only breaks ties.
	shift := bits.LeadingZeros64(hi)
	if hi == 0 {
		shift = 64 + bits.LeadingZeros64(lo)
	}
	if shift >= 64 {
		hi, lo = lo<<(shift-64), 0
	} else if shift > 0 {
		hi, lo = hi<<shift|lo>>(64-shift), lo<<shift
	}
	up := bits.LeadingZeros64(den)
	den <<= up
	exp := up - shift
	var rest uint64
	if hi >= den {
		rest = lo & 1
		hi, lo = hi>>1, lo>>1|hi<<63
		exp++
	}
	q, r := bits.Div64(hi, lo, den)
	if r|rest != 0 {
		q |= 1
	}
	v := math.Ldexp(float64(q), exp)
	if negative {
		return -v
	}
	return v
}
