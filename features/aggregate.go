package features

import (
	"math"

	"github.com/sluice-risk/sluice/risk"
)

// aggregate is one way to make a number out of the events in a window. All that
// differs between aggregates stands in the table below.
//
// There are three families. A tally can be undone, so a window slides by adding at
// one end and taking away at the other, in either direction. A choice cannot; it
// is one of the events, and a window slides by remembering the events that may
// still become it. A streak is the newest events in a row.
//
// What a window of the last N events gives is computed from those N each time.
type aggregate struct {
	name  string
	of    operand
	takes params
	empty float64 // over no events
	money bool    // the result is money when `of` is, and no finer

	own    bool // compares with the event's own value, and is missing without one
	before bool // is about the events before this one

	// tally adds (sign 1) or takes away (-1) those values whose mask has the bit.
	tally func(a *tally, s *slot, in entries, sign int64)
	total func(a *tally, s *slot, r *reading) float64 // over at least one event
	sums  sumKind                                     // what a tally adds up, beside the events
	keeps keeps                                       // what it holds of the values

	// coarse stands in for a value when a window without end has more than
	// exactValues events: what is kept of them stays bounded.
	coarse func(s *slot, v uint64) uint64

	choice bool
	oldest bool                                 // the choice is the oldest event
	wins   func(c *column, v, over uint64) bool // a newer v makes an older value pointless; nil: always
	pick   func(s *slot, p pick, r *reading) float64

	streak bool
}

// operand says what an aggregate's `of` may be.
type operand uint8

const (
	noOperand operand = iota
	numberOperand
	anyOperand   // number, text or identifier
	textOperand  // a text, whose characters are kept
	placeOperand // a group of fields with lat and lon
	truthOperand // a condition, written as `while`
)

// params are the keys of some aggregates only.
type params uint8

const (
	takesQ params = 1 << iota
	takesWithin
	takesKilometres // a `within` in km
)

// sumKind says what a tally adds up.
type sumKind uint8

const (
	sumEvents  sumKind = iota // no more than events
	sumValues                 // values
	sumDigits                 // leading digits
	sumSquares                // values and their squares
)

// keeps says what a tally holds of the values.
type keeps uint8

const (
	noValues        keeps = iota
	differentValues       // which ones
	countedValues         // and how often each
	orderedValues         // and in their order
)

var missing = math.NaN()

// reading is what a value is read for.
type reading struct {
	now risk.Time
	own []uint64 // the event's own value; nil when it has none
}

var aggregates = []aggregate{
	{name: "count", empty: 0,
		tally: tallyCount,
		total: func(a *tally, _ *slot, _ *reading) float64 { return float64(a.n) }},
	{name: "sum", of: numberOperand, empty: 0, money: true, sums: sumValues, tally: tallySum,
		total: func(a *tally, s *slot, _ *reading) float64 { return a.sum.over(s.column.scale) }},
	{name: "avg", of: numberOperand, empty: missing, sums: sumValues, tally: tallySum,
		total: func(a *tally, s *slot, _ *reading) float64 { return a.sum.over(uint64(a.n) * s.column.scale) }},
	{name: "stddev", of: numberOperand, empty: missing, sums: sumSquares, tally: tallySquares, total: totalDeviation},
	{name: "min", of: numberOperand, empty: missing, money: true, choice: true,
		wins: func(c *column, v, over uint64) bool { return !c.less(over, v) },
		pick: pickValue},
	{name: "max", of: numberOperand, empty: missing, money: true, choice: true,
		wins: func(c *column, v, over uint64) bool { return !c.less(v, over) },
		pick: pickValue},
	{name: "quantile", of: numberOperand, takes: takesQ, empty: missing, money: true, keeps: orderedValues,
		tally: tallyOrdered, total: totalQuantile, coarse: coarseNumber},
	{name: "first", of: numberOperand, empty: missing, money: true, choice: true, oldest: true, pick: pickValue},
	{name: "last", of: numberOperand, empty: missing, money: true, choice: true, pick: pickValue},
	{name: "since_first", empty: missing, choice: true, oldest: true, pick: pickSince},
	{name: "since_last", empty: missing, choice: true, pick: pickSince},
	{name: "distinct", of: anyOperand, empty: 0, keeps: differentValues, tally: tallyDistinct,
		total: func(a *tally, _ *slot, _ *reading) float64 { return float64(a.distinct) }},
	{name: "share", of: anyOperand, empty: missing, keeps: countedValues,
		tally: tallyCommonest, total: totalShare, coarse: coarseHash},
	{name: "seen", of: anyOperand, empty: 0, own: true, before: true, keeps: differentValues,
		tally: tallyMatches, total: totalSeen},
	{name: "similar", of: numberOperand, takes: takesWithin, empty: 0, own: true, keeps: orderedValues,
		tally: tallyMatches, total: totalSimilar, coarse: coarseNumber},
	{name: "nearby", of: placeOperand, takes: takesWithin | takesKilometres, empty: 0, own: true, before: true,
		keeps: orderedValues, tally: tallyMatches, total: totalNearby, coarse: coarsePlace},
	{name: "run", of: truthOperand, empty: 0, streak: true},
	{name: "distance", of: placeOperand, empty: missing, own: true, before: true, choice: true, pick: pickDistance},
	{name: "speed", of: placeOperand, empty: missing, own: true, before: true, choice: true, pick: pickSpeed},
	{name: "text_distance", of: textOperand, empty: missing, own: true, before: true, choice: true, pick: pickTextDistance},
	{name: "benford", of: numberOperand, empty: missing, sums: sumDigits, tally: tallyDigits, total: totalBenford},
}

func aggregateNamed(name string) *aggregate {
	for i := range aggregates {
		if aggregates[i].name == name {
			return &aggregates[i]
		}
	}
	return nil
}

// beats tells whether a newer event with v makes one with the value over
// pointless.
func (g *aggregate) beats(c *column, v, over uint64) bool {
	return !g.oldest && (g.wins == nil || g.wins(c, v, over))
}

// different tells whether it is the number of different values.
func (g *aggregate) different() bool { return g.keeps == differentValues && !g.own }

// newest tells whether the choice is the newest event, whatever its value.
func (g *aggregate) newest() bool { return g.choice && g.wins == nil && !g.oldest }

func pickValue(s *slot, p pick, _ *reading) float64 { return s.column.value(p.value) }

func pickSince(_ *slot, p pick, r *reading) float64 { return float64(max(r.now-p.at, 0)) / 1000 }

func pickDistance(_ *slot, p pick, r *reading) float64 { return kilometres(p.value, r.own[0]) }

// pickSpeed takes less than a second as a second.
func pickSpeed(_ *slot, p pick, r *reading) float64 {
	return kilometres(p.value, r.own[0]) * 3_600_000 / float64(max(r.now-p.at, 1000))
}

func pickTextDistance(_ *slot, p pick, r *reading) float64 {
	return textDistance(p.text, (*text)(r.own))
}
