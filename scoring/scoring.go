// Package scoring turns what is known about an event into one number from 0 to
// 1, which the bands of its scenario compare.
//
// [Scorer] is what a scenario's `score:` names. [Points] is the analysts'
// scorecard: the points of the rules that fired, as a share of those that make
// the score full. Trained models come later, behind the same interface.
//
// Scorers are immutable and safe to share; a score is a pure function of its
// arguments and has the same bits on every machine.
package scoring

import (
	"crypto/sha256"
	"encoding/hex"
	"math"
	"strconv"

	"github.com/sluice-risk/sluice/risk"
)

// Scorer scores one event.
type Scorer interface {
	// Score takes the sum of the points of all groups and the features in the
	// order of features.yaml, NaN where missing. An unset result is no score.
	Score(points float64, vector []float64) risk.Number
	// Version is a content hash: another version may score differently.
	Version() string
}

// Points is the scorecard of a ruleset.
type Points struct {
	Full float64 // points that give 1
}

// Score gives points / Full, cut to 0..1. Points that are not a number, or a
// Full that is not positive, give no score.
func (p Points) Score(points float64, _ []float64) risk.Number {
	if math.IsNaN(points) || !(p.Full > 0) {
		return risk.Number{}
	}
	return risk.Number{Value: min(max(points/p.Full, 0), 1), Set: true}
}

// Version gives the hash of the method and of Full.
func (p Points) Version() string {
	sum := sha256.Sum256(strconv.AppendFloat([]byte("points/v1 full="), p.Full, 'g', -1, 64))
	return "sha256:" + hex.EncodeToString(sum[:])
}
