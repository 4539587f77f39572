package scoring

import (
	"math"
	"strings"
	"testing"

	"github.com/sluice-risk/sluice/risk"
)

var _ Scorer = Points{}

func TestPoints(t *testing.T) {
	f := func(full, points float64, want risk.Number) {
		t.Helper()
		if got := (Points{Full: full}).Score(points, nil); got != want {
			t.Errorf("Points{%v}.Score(%v) = %v, want %v", full, points, got, want)
		}
	}
	set := func(v float64) risk.Number { return risk.Number{Value: v, Set: true} }
	f(100, 0, set(0))
	f(100, 62, set(0.62)) // the same float as the literal in a ruleset
	f(100, 100, set(1))
	f(100, 250, set(1))
	f(100, -30, set(0))
	f(80, 30, set(0.375))
	f(100, math.Inf(1), set(1))
	f(100, math.NaN(), risk.Number{})
	f(0, 30, risk.Number{})
	f(-1, 30, risk.Number{})
	f(math.NaN(), 30, risk.Number{})
}

func TestPointsVersion(t *testing.T) {
	a, b := Points{Full: 100}.Version(), Points{Full: 100.5}.Version()
	if a == b || a != (Points{Full: 100}).Version() {
		t.Errorf("Version() = %s for 100 and %s for 100.5, want stable and different", a, b)
	}
	if !strings.HasPrefix(a, "sha256:") || len(a) != len("sha256:")+64 {
		t.Errorf("Version() = %q, want sha256: and 64 hex digits", a)
	}
}
