package features

import (
	"math"
	"math/big"
	"testing"

	"pgregory.net/rapid"
)

func (a int128) big() *big.Int {
	x := new(big.Int).Lsh(big.NewInt(a.hi), 64)
	return x.Add(x, new(big.Int).SetUint64(a.lo))
}

func TestQuotientsAreCorrectlyRounded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := int128{rapid.Int64().Draw(t, "hi"), rapid.Uint64().Draw(t, "lo")}
		switch rapid.IntRange(0, 3).Draw(t, "size") {
		case 0:
			a.hi = 0
		case 1:
			a.hi = -1
		case 2: // near a tie
			a = int128Of(int64(1)<<53 + rapid.Int64Range(-4, 4).Draw(t, "off"))
			for range rapid.IntRange(0, 70).Draw(t, "shift") {
				a = a.add(a)
			}
		}
		if a.hi == math.MinInt64 {
			a.hi++
		}
		den := max(rapid.Uint64().Draw(t, "den"), 1)
		want, _ := new(big.Rat).SetFrac(a.big(), new(big.Int).SetUint64(den)).Float64()
		if got := a.over(den); got != want {
			t.Fatalf("%v over %d = %v, want %v", a.big(), den, got, want)
		}
	})
}

func TestFixedPoint(t *testing.T) {
	f := func(v float64, want string) {
		t.Helper()
		if got := fixedOf(v).big().String(); got != want {
			t.Errorf("fixedOf(%v) = %s, want %s", v, got, want)
		}
	}
	f(0, "0")
	f(1.5, "1500000000")
	f(-1.5, "-1500000000")
	f(0.1, "100000000")
	f(-0.0000000005, "0") // half to even
	f(0.0000000015, "2")
	f(999999999999999, "999999999999999000000000")
	f(-999999999999999, "-999999999999999000000000")
	f(5e17+1024, "500000000000001024000000000")
}

func TestSumsDoNotDependOnOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		vs := rapid.SliceOf(rapid.Float64Range(-1e17, 1e17)).Draw(t, "values")
		var up, down int128
		for i := range vs {
			up = up.add(fixedOf(vs[i]))
			down = down.add(fixedOf(vs[len(vs)-1-i]))
		}
		for i := range vs {
			down = down.add(fixedOf(vs[i]).neg())
		}
		if down != (int128{}) {
			t.Fatalf("adding and taking away leaves %v", down.big())
		}
		exact := new(big.Int)
		for _, v := range vs {
			exact.Add(exact, fixedOf(v).big())
		}
		if up.big().Cmp(exact) != 0 {
			t.Fatalf("sum %v, want %v", up.big(), exact)
		}
	})
}

func TestCountsAgainstMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var c counts
		model := map[uint64]int{}
		key := rapid.OneOf(rapid.Uint64Range(0, 40), rapid.Uint64())
		for range rapid.IntRange(0, 300).Draw(t, "steps") {
			k := key.Draw(t, "key")
			if model[k] > 0 && rapid.Bool().Draw(t, "remove") {
				if model[k]--; model[k] == 0 {
					delete(model, k)
				}
				if got, want := c.remove(k), model[k] == 0; got != want {
					t.Fatalf("remove(%d) = %v, want %v", k, got, want)
				}
			} else {
				model[k]++
				if got, want := c.add(k), model[k] == 1; got != want {
					t.Fatalf("add(%d) = %v, want %v", k, got, want)
				}
			}
			if c.used != len(model) || c.has(k) != (model[k] > 0) {
				t.Fatalf("%d keys, want %d; has(%d) = %v", c.used, len(model), k, c.has(k))
			}
		}
		for k := range model {
			if !c.has(k) {
				t.Fatalf("has(%d) = false", k)
			}
		}
	})
}
