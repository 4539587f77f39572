package expression

import (
	"math"
	"math/rand/v2"
	"testing"
)

func TestTextDistance(t *testing.T) {
	long := make([]byte, 1024)
	for i := range long {
		long[i] = byte('a' + i%7)
	}
	for _, c := range []struct {
		a, b string
		want float64
	}{
		{"", "abc", 3}, {"abc", "abc", 0}, {"张三", "张四", 1}, {"flaw", "lawn", 2},
		{string(long), string(long[1:]), 2}, {string(long), "", maxCompared},
	} {
		if got := textDistance(c.a, c.b); got != c.want {
			t.Errorf("textDistance(%q, %q) = %v, want %v", c.a, c.b, got, c.want)
		}
		if back := textDistance(c.b, c.a); back != c.want {
			t.Errorf("textDistance(%q, %q) = %v, want %v", c.b, c.a, back, c.want)
		}
	}
}

// TestKm compares with the mathematics of package math, and holds a few results
// to the bit: they are the same on every architecture.
func TestKm(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	rad := math.Pi / 180
	for range 20_000 {
		a, b := rnd.Float64()*180-90, rnd.Float64()*360-180
		c, d := rnd.Float64()*180-90, rnd.Float64()*360-180
		h := math.Pow(math.Sin((c-a)/2*rad), 2) + math.Cos(a*rad)*math.Cos(c*rad)*math.Pow(math.Sin((d-b)/2*rad), 2)
		want := 2 * earthRadius * math.Asin(math.Sqrt(min(h, 1)))
		if got := km(a, b, c, d); math.Abs(got-want) > 1e-6 || got != km(c, d, a, b) {
			t.Fatalf("km(%v, %v, %v, %v) = %v, want %v", a, b, c, d, got, want)
		}
	}
	for _, c := range []struct {
		a, b, c, d, want float64
		bits             uint64
	}{
		{51.5, -0.12, 40.71, -74.0, 5571, 0x40b5c2cd4d490ecc},
		{0, 0, 0, 180, 20015, 0x40d38bc75304b065},
		{90, 0, -90, 0, 20015, 0x40d38bc75304b065},
		{0, -179.9, 0, 179.9, 22.2, 0x40363d3027d7d18b},
		{10, 10, 10, 10, 0, 0},
	} {
		got := km(c.a, c.b, c.c, c.d)
		if math.Abs(got-c.want) > 10 || math.Float64bits(got) != c.bits {
			t.Errorf("km(%v, %v, %v, %v) = %v (%#x), want about %v (%#x)", c.a, c.b, c.c, c.d, got, math.Float64bits(got), c.want, c.bits)
		}
	}
	for _, bad := range [][4]float64{{90.1, 0, 0, 0}, {0, 0, -91, 0}, {0, 181, 0, 0}, {0, 0, 0, -180.5}} {
		if got := km(bad[0], bad[1], bad[2], bad[3]); got == got {
			t.Errorf("km%v = %v, want NaN", bad, got)
		}
	}
}
