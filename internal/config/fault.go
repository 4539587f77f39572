package config

import (
	"fmt"
	"strings"
)

// Fault is one thing wrong with the configuration.
type Fault struct {
	Key    string // full name of the key, as kafka.sasl.mechanism
	Origin Place  // where it was written
	Msg    string // what is wrong
	Help   string // what to do about it; may be empty
}

// String reads `sluice.yaml:3:9: kafka.borkers: unknown key (did you mean …?)`.
func (f Fault) String() string {
	var b strings.Builder
	b.WriteString(f.Origin.String())
	if f.Key != "" && f.Key != f.Origin.Name {
		b.WriteString(": " + f.Key)
	}
	b.WriteString(": " + f.Msg)
	if f.Help != "" {
		b.WriteString(" (" + f.Help + ")")
	}
	return b.String()
}

// Error holds every fault found in one Load, in the order file, environment,
// flags, and then those between keys.
type Error struct{ Faults []Fault }

func (e *Error) Error() string {
	var b strings.Builder
	noun := "faults"
	if len(e.Faults) == 1 {
		noun = "fault"
	}
	fmt.Fprintf(&b, "config: %d %s", len(e.Faults), noun)
	for _, f := range e.Faults {
		b.WriteString("\n  " + f.String())
	}
	return b.String()
}

// nearest returns the candidate a mistyped name most likely means, or "".
func nearest(name string, candidates []string) string {
	best, bestDistance := "", 1+max(1, len(name)/3)
	for _, c := range candidates {
		if d := distance(name, c); d < bestDistance {
			best, bestDistance = c, d
		}
	}
	return best
}

// distance counts the edits between two names; two swapped neighbours are one.
func distance(a, b string) int {
	before, last := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row := make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}
