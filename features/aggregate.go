package features

import (
	"math"

	"github.com/sluice-risk/sluice/risk"
)

// aggregate is one way to make a number out of the events in a window. All that
// differs between aggregates stands in the table below.
//
// There are two families. A tally can be undone, so a window slides by adding at
// one end and taking away at the other, in either direction. An extreme cannot;
// it is one of the events, and a window slides by remembering the events that
// may still become it.
type aggregate struct {
	name  string
	of    operand
	empty float64 // over no events
	money bool    // the result is money when `of` is, and no finer

	// tally adds (sign 1) or takes away (-1) those values whose mask has the bit.
	tally func(a *tally, c *column, bit uint, masks, values []uint64, sign int64)
	total func(a *tally, c *column) float64 // over at least one event

	keeps bool // distinct: the values themselves must be kept

	// wins tells whether a newer v makes an older value pointless; nil: always.
	wins func(c *column, v, over uint64) bool
	pick func(c *column, v uint64, at, now risk.Time) float64
}

type operand uint8

const (
	noOperand operand = iota
	numberOperand
	anyOperand // number, text or identifier
)

var missing = math.NaN()

var aggregates = []aggregate{
	{name: "count", empty: 0,
		tally: tallyCount,
		total: func(a *tally, _ *column) float64 { return float64(a.n) }},
	{name: "sum", of: numberOperand, empty: 0, money: true, tally: tallySum,
		total: func(a *tally, c *column) float64 { return a.sum.over(c.scale) }},
	{name: "avg", of: numberOperand, empty: missing, tally: tallySum,
		total: func(a *tally, c *column) float64 { return a.sum.over(uint64(a.n) * c.scale) }},
	{name: "distinct", of: anyOperand, empty: 0, tally: tallyDistinct, keeps: true,
		total: func(a *tally, _ *column) float64 { return float64(a.distinct) }},
	{name: "min", of: numberOperand, empty: missing, money: true,
		wins: func(c *column, v, over uint64) bool { return !c.less(over, v) },
		pick: pickValue},
	{name: "max", of: numberOperand, empty: missing, money: true,
		wins: func(c *column, v, over uint64) bool { return !c.less(v, over) },
		pick: pickValue},
	{name: "last", of: numberOperand, empty: missing, money: true, pick: pickValue},
	{name: "since_last", empty: missing,
		pick: func(_ *column, _ uint64, at, now risk.Time) float64 { return float64(now-at) / 1000 }},
}

// laterAggregates are known by name and refused until they exist.
var laterAggregates = []string{"quantile", "first", "stddev", "entropy", "similar", "speed", "trend"}

func (g *aggregate) beats(c *column, v, over uint64) bool { return g.wins == nil || g.wins(c, v, over) }

func pickValue(c *column, v uint64, _, _ risk.Time) float64 { return c.value(v) }

func aggregateNamed(name string) *aggregate {
	for i := range aggregates {
		if aggregates[i].name == name {
			return &aggregates[i]
		}
	}
	return nil
}

// tally is what the events in a window add up to.
type tally struct {
	n        int64 // events
	sum      int128
	distinct int64 // different keys, those folded away included
	keys     counts
	folded   *keySet // keys of events that were folded away, nil for none
}

func tallyCount(a *tally, _ *column, bit uint, masks, _ []uint64, sign int64) {
	n := int64(0)
	for _, m := range masks {
		n += int64(m >> (bit & 63) & 1)
	}
	a.n += n * sign
}

func tallySum(a *tally, c *column, bit uint, masks, values []uint64, sign int64) {
	values = values[:len(masks)]
	for i, m := range masks {
		if m>>(bit&63)&1 == 0 {
			continue
		}
		units := c.units(values[i])
		if sign < 0 {
			units = units.neg()
		}
		a.n += sign
		a.sum = a.sum.add(units)
	}
}

func tallyDistinct(a *tally, _ *column, bit uint, masks, values []uint64, sign int64) {
	values = values[:len(masks)]
	for i, m := range masks {
		if m>>(bit&63)&1 == 0 {
			continue
		}
		a.n += sign
		if sign > 0 {
			if a.keys.add(values[i]) && !a.folded.has(values[i]) {
				a.distinct++
			}
		} else if a.keys.remove(values[i]) && !a.folded.has(values[i]) {
			a.distinct--
		}
	}
}

// columnKind says what the 64 bits of a stored value mean.
type columnKind uint8

const (
	moneyColumn  columnKind = iota + 1 // integer minor units
	numberColumn                       // a float64's bits
	hashColumn                         // a hash of a text, or of an identifier's pseudonym
)

// column is one `of` of an entity: what its stored values are.
type column struct {
	key      uint64 // hash of the definition: equal across releases
	kind     columnKind
	decimals int    // of money
	scale    uint64 // sums are in 1/scale
	operand  int    // in Set.operands
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
