package features

import (
	"math"
	"math/bits"
)

// tally is what the events in a window add up to.
type tally struct {
	n     int64 // events
	sum   int128
	*held // nil unless the aggregate needs more
}

// held is what a tally holds beside a sum, the commonest needed first. An indexed
// tally can take events away; one that is not is good for a single reading, and
// needs less.
type held struct {
	keys     counts
	distinct int64 // different values, those folded away included
	indexed  bool
	coarse   bool    // values are coarse
	folded   *keySet // values folded away that are in nothing of the above; nil for none
	most     commonest
	more     *sums // of stddev and benford, else nil or of no meaning
	order    order
	list     []uint64 // quantile, not indexed: the values
	hits     int64    // own value compared, not indexed: events that match
	own      []uint64
	from, to uint64 // of similar and nearby: the values that may match, by rank

	entry [2]uint64 // for slot.one
}

// exactValues is the number of events up to which a window without end is exact
// for aggregates that keep counted or ordered values. It is no setting: values
// that were made coarse stay so. Tests make it smaller.
var exactValues int64 = 4096

// start makes a hold what was folded away, and nothing else. Counted values of a
// fold can only be held by an indexed tally.
func (a *tally) start(s *slot, f *fold, indexed bool) {
	a.n, a.sum = 0, int128{}
	if f != nil {
		a.n, a.sum = f.n, f.sum
	}
	if s.agg.tally == nil || s.agg.sums < sumDigits && s.agg.keeps == noValues {
		return
	}
	if a.held == nil {
		a.held = new(held)
	}
	if s.agg.sums >= sumDigits {
		if a.more == nil {
			a.more = new(sums)
		}
		*a.more = sums{}
		if f != nil && f.more != nil {
			*a.more = *f.more
		}
	}
	if s.agg.keeps == noValues {
		return
	}
	a.indexed, a.coarse = indexed, false
	a.distinct, a.folded, a.hits, a.list = 0, nil, 0, a.list[:0]
	a.keys.reset()
	if a.order.blocks != nil {
		a.order.reset()
	}
	if a.most.n = 0; indexed {
		a.most.reset()
	}
	if f == nil || f.keys == nil {
		return
	}
	if s.agg.keeps == differentValues {
		a.folded, a.distinct = f.keys, int64(len(f.keys.list))
		return
	}
	a.indexed, a.coarse = true, f.coarse
	a.most.reset()
	for _, key := range f.keys.list {
		a.put(s, key, f.keys.index.of(key))
	}
}

// put counts a value of an indexed tally n times more, but for a.n.
func (a *tally) put(s *slot, v uint64, n uint32) {
	if s.agg.keeps == orderedValues {
		a.order.add(s.column.rank(v), n)
	} else {
		total := a.keys.add(v, n).n
		a.most.rise(total-n, total)
	}
}

// coarsen makes an indexed tally coarse.
func (a *tally) coarsen(s *slot) {
	a.coarse = true
	if s.agg.keeps == orderedValues {
		old := a.order.blocks
		a.order.reset()
		for _, block := range old {
			for _, c := range block {
				a.order.add(s.column.rank(s.agg.coarse(s, s.column.unrank(c.key))), c.n)
			}
		}
		return
	}
	old := a.keys.slots
	a.keys = counts{}
	a.most.reset()
	for _, c := range old {
		if c.n > 0 {
			a.put(s, s.agg.coarse(s, c.key), c.n)
		}
	}
}

func tallyCount(a *tally, s *slot, in entries, sign int64) {
	n, bit := int64(0), uint(s.bit)&63
	for at := in.mask; at < len(in.data); at += in.stride {
		n += int64(in.data[at] >> bit & 1)
	}
	a.n += n * sign
}

func tallySum(a *tally, s *slot, in entries, sign int64) {
	c, bit := s.column, uint(s.bit)&63
	n, sum := int64(0), int128{}
	for at := 0; at < len(in.data); at += in.stride {
		if in.data[at+in.mask]>>bit&1 != 0 {
			n++
			if v := in.data[at+in.value]; c.kind == moneyColumn { // not through units, which costs a call
				sum = sum.add(int128Of(int64(v)))
			} else {
				sum = sum.add(c.units(v))
			}
		}
	}
	if sign < 0 {
		n, sum = -n, sum.neg()
	}
	a.n += n
	a.sum = a.sum.add(sum)
}

func tallySquares(a *tally, s *slot, in entries, sign int64) {
	tallySum(a, s, in, sign)
	for at := 0; at < len(in.data); at += in.stride {
		if !s.in(in.data[at+in.mask]) {
			continue
		}
		if square := squareOf(s.column.units(in.data[at+in.value])); sign > 0 {
			a.more.squares.add(&square)
		} else {
			a.more.squares.sub(&square)
		}
	}
}

// totalDeviation is the square root of n * the sum of squares - the sum squared,
// over n squared: one division of integers, one square root.
func totalDeviation(a *tally, s *slot, _ *reading) float64 {
	spread, square := a.more.squares, squareOf(a.sum)
	spread.times(uint64(a.n))
	spread.sub(&square)
	return math.Sqrt(spread.overSquare(uint64(a.n) * s.column.scale))
}

// tallyDigits leaves out zeros, which have no leading digit.
func tallyDigits(a *tally, s *slot, in entries, sign int64) {
	for at := 0; at < len(in.data); at += in.stride {
		if !s.in(in.data[at+in.mask]) {
			continue
		}
		if d := s.column.digit(in.data[at+in.value]); d > 0 {
			a.n += sign
			a.more.digits[d-1] += sign
		}
	}
}

// benfordShares are the parts of leading digits, log10(1 + 1/d), each the nearest
// float64.
var benfordShares = [9]float64{
	0.3010299956639812, 0.17609125905568124, 0.12493873660829995, 0.09691001300805642, 0.07918124604762483,
	0.0669467896306132, 0.057991946977686754, 0.05115252244738129, 0.04575749056067512,
}

func totalBenford(a *tally, _ *slot, _ *reading) float64 {
	chi := 0.0
	for i, share := range benfordShares {
		expected := float64(float64(a.n) * share)
		off := float64(a.more.digits[i]) - expected
		chi += float64(off*off) / expected
	}
	return chi
}

func tallyDistinct(a *tally, s *slot, in entries, sign int64) {
	bit := uint(s.bit) & 63
	for at := 0; at < len(in.data); at += in.stride {
		if in.data[at+in.mask]>>bit&1 == 0 {
			continue
		}
		v := in.data[at+in.value]
		a.n += sign
		if sign > 0 {
			if a.keys.add(v, 1).n == 1 && !a.folded.has(v) {
				a.distinct++
			}
		} else if a.keys.remove(v) == 0 && !a.folded.has(v) {
			a.distinct--
		}
	}
}

func tallyOrdered(a *tally, s *slot, in entries, sign int64) {
	for at := 0; at < len(in.data); at += in.stride {
		if !s.in(in.data[at+in.mask]) {
			continue
		}
		v := in.data[at+in.value]
		if a.coarse {
			v = s.coarse(v)
		}
		a.n += sign
		switch key := s.column.rank(v); {
		case !a.indexed:
			a.list = append(a.list, key)
		case sign > 0:
			a.order.add(key, 1)
		default:
			a.order.remove(key)
		}
	}
}

// totalQuantile is the smallest value that at least the part q of all values does
// not exceed.
func totalQuantile(a *tally, s *slot, _ *reading) float64 {
	k := (uint64(a.n)*s.q + nano - 1) / nano
	k = max(k, 1) - 1
	if !a.indexed {
		return s.column.value(s.column.unrank(nth(a.list, int(k))))
	}
	return s.column.value(s.column.unrank(a.order.at(int64(k))))
}

func tallyCommonest(a *tally, s *slot, in entries, sign int64) {
	for at := 0; at < len(in.data); at += in.stride {
		if !s.in(in.data[at+in.mask]) {
			continue
		}
		v := in.data[at+in.value]
		if a.coarse {
			v = s.coarse(v)
		}
		a.n += sign
		switch {
		case !a.indexed:
			a.most.n = max(a.most.n, int(a.keys.add(v, 1).n))
		case sign > 0:
			n := a.keys.add(v, 1).n
			a.most.rise(n-1, n)
		default:
			a.most.fall(a.keys.remove(v))
		}
	}
}

func totalShare(a *tally, _ *slot, _ *reading) float64 { return float64(a.most.n) / float64(a.n) }

// compare readies a tally that is not indexed for the values of a reading's event.
func (a *tally) compare(s *slot, r *reading) {
	if a.own = r.own; s.agg.keeps == orderedValues {
		a.from, a.to = s.like(r.own[0])
	}
}

// tallyMatches counts, or keeps, the values that the event's own is compared with.
func tallyMatches(a *tally, s *slot, in entries, sign int64) {
	for at := 0; at < len(in.data); at += in.stride {
		if !s.in(in.data[at+in.mask]) {
			continue
		}
		v := in.data[at+in.value]
		if a.coarse {
			v = s.coarse(v)
		}
		a.n += sign
		switch {
		case !a.indexed:
			if a.matches(s, v) {
				a.hits++
			}
		case s.agg.keeps == orderedValues && sign > 0:
			a.order.add(s.column.rank(v), 1)
		case s.agg.keeps == orderedValues:
			a.order.remove(s.column.rank(v))
		case sign > 0:
			a.keys.add(v, 1)
		default:
			a.keys.remove(v)
		}
	}
}

func (a *tally) matches(s *slot, v uint64) bool {
	if s.agg.keeps != orderedValues {
		return v == a.own[0]
	}
	k := s.column.rank(v)
	return a.from <= k && k <= a.to && (s.column.kind != placeColumn || s.nearby(v, a.own[0]))
}

func totalSeen(a *tally, s *slot, r *reading) float64 {
	own := r.own[0]
	if a.coarse {
		own = s.coarse(own)
	}
	if a.hits > 0 || a.folded.has(own) || a.indexed && a.keys.of(own) > 0 {
		return 1
	}
	return 0
}

func totalSimilar(a *tally, s *slot, r *reading) float64 {
	if !a.indexed {
		return float64(a.hits)
	}
	from, to := s.like(r.own[0])
	return float64(a.order.below(to+1) - a.order.below(from))
}

func totalNearby(a *tally, s *slot, r *reading) float64 {
	if !a.indexed {
		return float64(a.hits)
	}
	from, to := s.like(r.own[0])
	n := int64(0)
	a.order.each(from, to, func(key uint64, times uint32) {
		if s.nearby(s.column.unrank(key), r.own[0]) {
			n += int64(times)
		}
	})
	return float64(n)
}

// like gives the ranks of the smallest and the largest value that are as like to
// own as is asked for: of money in whole minor units. Of places they are those
// that lie far enough north and south.
func (s *slot) like(own uint64) (from, to uint64) {
	c := s.column
	if c.kind == placeColumn {
		lat, most := own>>32, s.within/(nano/placeUnit*111)+1 // a degree is 111.19 km
		return c.rank((lat - min(lat, most)) << 32), c.rank(min(lat+most, 180*placeUnit)<<32 | math.MaxUint32)
	}
	if c.kind == moneyColumn {
		v := int64(own)
		hi, lo := bits.Mul64(uint64(max(v, -v)), s.within)
		units, _ := bits.Div64(hi, lo, nano) // within is at most 1, so it fits
		most := int64(units)
		return c.rank(uint64(v - most)), c.rank(uint64(v + most))
	}
	v := math.Float64frombits(own)
	most := float64(math.Abs(v) * (float64(s.within) / nano))
	return c.rank(math.Float64bits(v - most + 0)), c.rank(math.Float64bits(v + most + 0))
}

func (s *slot) nearby(v, own uint64) bool {
	return v == own || kilometres(v, own) <= float64(s.within)/nano
}
