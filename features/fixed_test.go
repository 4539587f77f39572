package features

import (
	"math"
	"math/big"
	"math/rand/v2"
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
				if got, want := int(c.remove(k)), model[k]; got != want {
					t.Fatalf("remove(%d) = %d, want %d", k, got, want)
				}
			} else {
				n := rapid.IntRange(1, 3).Draw(t, "n")
				model[k] += n
				if got, want := int(c.add(k, uint32(n)).n), model[k]; got != want {
					t.Fatalf("add(%d) = %d, want %d", k, got, want)
				}
			}
			if c.used != len(model) || int(c.of(k)) != model[k] {
				t.Fatalf("%d keys, want %d; of(%d) = %v", c.used, len(model), k, c.of(k))
			}
		}
		for k := range model {
			if c.of(k) == 0 {
				t.Fatalf("of(%d) = 0", k)
			}
		}
	})
}

func TestWideAgainstBig(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	draw := func() int128 {
		v := int128{rng.Int64N(1 << 26), rng.Uint64()}
		switch rng.IntN(4) {
		case 0:
			v = int128Of(rng.Int64N(1_000_000))
		case 1:
			v = int128Of(rng.Int64())
		}
		if rng.IntN(2) == 0 {
			v = v.neg()
		}
		return v
	}
	toBig := func(a uint256) *big.Int {
		b := new(big.Int)
		for i := 3; i >= 0; i-- {
			b.Lsh(b, 64).Or(b, new(big.Int).SetUint64(a[i]))
		}
		return b
	}
	for range 20_000 {
		x, y := draw(), draw()
		a, b := squareOf(x), squareOf(y)
		want := new(big.Int).Mul(x.big(), x.big())
		if toBig(a).Cmp(want) != 0 {
			t.Fatalf("square of %v = %v, want %v", x.big(), toBig(a), want)
		}
		n := uint64(rng.Int64N(1 << uint(rng.IntN(36)+1)))
		sum := a
		sum.add(&b)
		sum.times(n)
		want.Add(want, new(big.Int).Mul(y.big(), y.big()))
		want.Mul(want, new(big.Int).SetUint64(n))
		if toBig(sum).Cmp(want) != 0 {
			t.Fatalf("sum of squares times %d = %v, want %v", n, toBig(sum), want)
		}
		d := max(1, n*uint64(rng.IntN(1e9)))
		square := new(big.Int).SetUint64(d)
		square.Mul(square, square)
		nearest, _ := new(big.Rat).SetFrac(want, square).Float64()
		if got := sum.overSquare(d); got != nearest {
			t.Fatalf("%v / %d² = %v, want %v", want, d, got, nearest)
		}
	}
}
