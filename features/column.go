package features

import (
	"math"
	"math/bits"
	"strconv"

	"github.com/sluice-risk/sluice/internal/expression"
)

// columnKind says what the 64 bits of a stored value mean.
type columnKind uint8

const (
	moneyColumn  columnKind = iota + 1 // integer minor units
	numberColumn                       // a float64's bits
	hashColumn                         // a hash of a text, or of an identifier's pseudonym
	placeColumn                        // latitude and longitude in 1e-7 degrees
	textColumn                         // eight characters of a text
	truthColumn                        // 0 or 1
	lastColumn   = truthColumn
)

// column is one `of` of an entity, or eight characters of one: what its stored
// values are.
type column struct {
	key      uint64 // hash of the definition: equal across releases
	kind     columnKind
	decimals int    // of money
	scale    uint64 // sums are in 1/scale
	operand  int    // in Set.operands
	from     int    // in Prepared.values
}

func (c *column) units(v uint64) int128 {
	if c.kind == moneyColumn {
		return int128Of(int64(v))
	}
	return fixedOf(math.Float64frombits(v))
}

func (c *column) value(v uint64) float64 {
	if c.kind == moneyColumn {
		return int128Of(int64(v)).over(c.scale)
	}
	return math.Float64frombits(v)
}

func (c *column) less(a, b uint64) bool {
	if c.kind == moneyColumn {
		return int64(a) < int64(b)
	}
	return math.Float64frombits(a) < math.Float64frombits(b)
}

const signBit = 1 << 63

// rank gives unsigned integers in the order of money or numbers.
func (c *column) rank(v uint64) uint64 {
	if c.kind == numberColumn && v&signBit != 0 {
		return ^v
	}
	return v ^ signBit
}

func (c *column) unrank(k uint64) uint64 {
	if c.kind == numberColumn && k&signBit == 0 {
		return ^k
	}
	return k ^ signBit
}

// digit gives the leading decimal digit of money or a number, as it is written in
// the fewest digits; 0 has none.
func (c *column) digit(v uint64) int {
	if c.kind == numberColumn {
		var buf [32]byte
		x := math.Abs(math.Float64frombits(v))
		return int(strconv.AppendFloat(buf[:0], x, 'e', -1, 64)[0] - '0')
	}
	n := int64(v)
	for n = max(n, -n); n >= 10; n /= 10 {
	}
	return int(n)
}

// coarseNumber rounds to 9 significant bits, half away from zero, which moves a
// value by at most one part in 512 and keeps the order of values. Numbers below
// 1e-9 are 0.
func coarseNumber(s *slot, v uint64) uint64 {
	if s.column.kind == numberColumn {
		if math.Abs(math.Float64frombits(v)) < 1e-9 {
			return 0
		}
		return (v + 1<<43) &^ (1<<44 - 1) // into the exponent, if need be
	}
	n := int64(v)
	u := uint64(max(n, -n))
	if drop := bits.Len64(u) - 9; drop > 0 {
		u = (u + 1<<(drop-1)) >> drop << drop
	}
	if n < 0 {
		return -u
	}
	return u
}

// coarseHash gives one of 65,536 values.
func coarseHash(_ *slot, v uint64) uint64 { return v * 0x9e3779b97f4a7c15 >> 48 }

// A place is two fixed-point numbers of 32 bits: degrees from the south pole and
// from the date line.
const (
	placeUnit   = 10_000_000 // in a degree: about a centimetre
	coarsePart  = placeUnit / 100
	placeMissed = math.MaxUint64
)

// placeOf gives placeMissed where there is no such place.
func placeOf(lat, lon float64) uint64 {
	if !(math.Abs(lat) <= 90 && math.Abs(lon) <= 180) {
		return placeMissed
	}
	return uint64(math.RoundToEven((lat+90)*placeUnit))<<32 | uint64(math.RoundToEven((lon+180)*placeUnit))
}

func degreesOf(place uint64) (lat, lon float64) {
	return float64(place>>32)/placeUnit - 90, float64(place&math.MaxUint32)/placeUnit - 180
}

func kilometres(a, b uint64) float64 {
	lat1, lon1 := degreesOf(a)
	lat2, lon2 := degreesOf(b)
	return expression.Kilometres(lat1, lon1, lat2, lon2)
}

// coarsePlace rounds to hundredths of a degree, which moves a place by at most
// 0.8 km.
func coarsePlace(_ *slot, v uint64) uint64 {
	lat, lon := (v>>32+coarsePart/2)/coarsePart*coarsePart, (v&math.MaxUint32+coarsePart/2)/coarsePart*coarsePart
	return lat<<32 | lon
}

// text is what is kept of a text: its first textSize characters, a byte each, then
// zeros. ASCII stands for itself; another character for one of 128 codes, so two
// of them are taken for the same once in 128 times.
type text [textSize / 8]uint64

const textSize = 32

func (t *text) set(s string) {
	*t = text{}
	i := 0
	for _, r := range s {
		if i == textSize {
			return
		}
		code := uint64(r)
		if r >= 0x80 {
			code = 0x80 | uint64(r)*0x9e3779b97f4a7c15>>57
		}
		t[i/8] |= code << (i % 8 * 8)
		i++
	}
}

func (t *text) clone() *text {
	c := *t
	return &c
}

func (t *text) characters() (b [textSize]byte, n int) {
	for n < textSize {
		c := byte(t[n/8] >> (n % 8 * 8))
		if c == 0 {
			break
		}
		b[n] = c
		n++
	}
	return b, n
}

// textDistance is the edit distance of two texts as they are kept.
func textDistance(a, b *text) float64 {
	left, n := a.characters()
	right, m := b.characters()
	return float64(expression.EditDistance(left[:n], right[:m]))
}
