package expression

import "math"

// The functions of package math that a distance needs differ between
// architectures in their last bit: some have assembly (s390x), and the compiler
// fuses the multiplications and additions of the others where the machine can
// (arm64, ppc64, s390x, riscv64). Here every product and every half is rounded by
// a conversion, also where a caller that it is inlined into adds to it; math.Sqrt
// is correctly rounded everywhere. Built for arm64, the package has no fused
// instruction: GOARCH=arm64 go build -gcflags=-S . 2>&1 | grep -E 'FN?M(ADD|SUB)D'

const earthRadius = 6371.0088 // km, the mean radius

func abs(x float64) float64 { return math.Abs(x) }

// round rounds half away from zero.
func round(x float64) float64 { return math.Round(x) }

// Kilometres is what km(lat1, lon1, lat2, lon2) gives, NaN where one is no place.
func Kilometres(lat1, lon1, lat2, lon2 float64) float64 { return km(lat1, lon1, lat2, lon2) }

// km is the great-circle distance of two places in degrees, by the haversine
// formula; NaN when one is no place on earth.
func km(lat1, lon1, lat2, lon2 float64) float64 {
	if !(math.Abs(lat1) <= 90 && math.Abs(lat2) <= 90 && math.Abs(lon1) <= 180 && math.Abs(lon2) <= 180) {
		return math.NaN()
	}
	u, v := sine(float64((lat2-lat1)/2)), sine(float64((lon2-lon1)/2))
	cosines := sine(90-math.Abs(lat1)) * sine(90-math.Abs(lat2))
	h := float64(u*u) + float64(float64(cosines*v)*v)
	return 2 * earthRadius * arcsine(math.Sqrt(min(h, 1)))
}

var (
	sineTerms    = sineSeries()
	arcsineTerms = arcsineSeries()
)

// sineSeries are the coefficients of x, x³, x⁵ … : enough for a quarter turn.
func sineSeries() (c [12]float64) {
	c[0] = 1
	for i := 1; i < len(c); i++ {
		c[i] = -c[i-1] / float64(2*i*(2*i+1))
	}
	return c
}

// arcsineSeries likewise, enough for x <= 1/2.
func arcsineSeries() (c [26]float64) {
	p := 1.0
	c[0] = 1
	for i := 1; i < len(c); i++ {
		p = p * float64(2*i-1) / float64(2*i)
		c[i] = p / float64(2*i+1)
	}
	return c
}

func series(c []float64, x float64) float64 {
	square, sum := x*x, 0.0
	for i := len(c) - 1; i >= 0; i-- {
		sum = float64(sum*square) + c[i]
	}
	return float64(sum * x)
}

// sine takes degrees within a half turn either way.
func sine(degrees float64) float64 {
	switch {
	case degrees > 90:
		degrees = 180 - degrees
	case degrees < -90:
		degrees = -180 - degrees
	}
	return series(sineTerms[:], degrees*(math.Pi/180))
}

// arcsine takes 0 to 1.
func arcsine(x float64) float64 {
	if x <= 0.5 {
		return series(arcsineTerms[:], x)
	}
	return math.Pi/2 - float64(2*series(arcsineTerms[:], math.Sqrt((1-x)/2)))
}
