package features

import (
	"math"
	"math/rand/v2"
	"testing"
)

// The documented standard error must hold whatever the values are like: whole
// numbers in a row, amounts, bits of floats, and hashes.
func TestSketchError(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	kinds := map[string]func(trial, i int) uint64{
		"in a row": func(trial, i int) uint64 { return uint64(trial*10_000_000 + i) },
		"cents":    func(trial, i int) uint64 { return uint64(trial + i*100) },
		"floats":   func(trial, i int) uint64 { return math.Float64bits(float64(trial*5_000_000+i) / 8) },
		"hashes":   func(_, _ int) uint64 { return rng.Uint64() },
	}
	const documented = 0.01625 // 1.04 / sqrt(4096)
	for kind, value := range kinds {
		for _, c := range []struct{ n, trials int }{{1, 50}, {16, 50}, {300, 200}, {10_000, 100}, {1_000_000, 5}} {
			if testing.Short() && c.n > 10_000 {
				continue
			}
			squares, most, bias := 0.0, 0.0, 0.0
			for trial := range c.trials {
				var k sketch
				k.reset()
				for i := range c.n {
					v := value(trial, i)
					k.add(v)
					if i%7 == 0 {
						k.add(v)
					}
				}
				off := (k.count() - float64(c.n)) / float64(c.n)
				bias += off / float64(c.trials)
				squares += off * off / float64(c.trials)
				most = max(most, math.Abs(off))
			}
			standard := math.Sqrt(squares)
			t.Logf("%s, %d different: standard error %.4f, largest %.4f, mean %+.4f", kind, c.n, standard, most, bias)
			// The measured error of a few trials may itself lie above by chance.
			if allowed := documented * (1 + 3/math.Sqrt(2*float64(c.trials))); standard > allowed || most > 5*documented {
				t.Errorf("%s, %d different: standard error %.4f, largest %.4f; documented is %.4f", kind, c.n, standard, most, documented)
			}
		}
	}
}

func TestSketchesJoin(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	var whole, joined sketch
	whole.reset()
	joined.reset()
	for range 8 {
		var part ranks
		for range 1000 {
			v := rng.Uint64N(5000)
			part.add(v)
			whole.add(v)
		}
		joined.join(&part)
		joined.join(&part)
	}
	if joined.ranks != whole.ranks || joined.of != whole.of || joined.count() != whole.count() {
		t.Errorf("joined %v, of all values %v", joined.count(), whole.count())
	}
	if joined.reset(); joined.count() != 0 {
		t.Errorf("of nothing: %v", joined.count())
	}
}
