package simulate

import (
	"math/bits"
	"math/rand/v2"
)

// dice draws integers only: floating point may be fused differently from one
// processor to the next, and then the bytes would differ.
type dice struct{ pcg *rand.PCG }

// n gives 0..k-1. The bias of at most k in 2^64 is of no consequence here.
func (d dice) n(k int) int { return int(d.below(uint64(k))) }

func (d dice) below(k uint64) uint64 {
	hi, _ := bits.Mul64(d.pcg.Uint64(), k)
	return hi
}

// in is true in perMille of 1,000 draws.
func (d dice) in(perMille int) bool { return d.n(1000) < perMille }

// between gives a..b, both included.
func (d dice) between(a, b int) int { return a + d.n(b-a+1) }

// span gives a..b milliseconds, for bounds in seconds.
func (d dice) span(a, b int) int64 { return int64(a)*1000 + int64(d.below(uint64(b-a)*1000+1)) }

// quantile draws from a distribution given by 64 quantiles in thousandths.
func (d dice) quantile(table *[64]int64) int64 {
	u := d.n(64 * 1024)
	i, part := u>>10, int64(u&1023)
	if i == 63 {
		return table[63]
	}
	return table[i] + (table[i+1]-table[i])*part/1024
}

// exponential gives a waiting time with the given mean.
func (d dice) exponential(mean int64) int64 { return mean * d.quantile(&exponential) / 1000 }

// around gives a value with the given median and a long tail upwards.
func (d dice) around(median int, tail *[64]int64) int {
	return int(int64(median) * d.quantile(tail) / 1000)
}

// Quantiles at (i+0.5)/64, in thousandths.
var (
	// -ln(1-u)
	exponential = [64]int64{8, 24, 40, 56, 73, 90, 107, 125, 143, 161, 179, 198, 217, 237, 257, 277, 298, 319, 341, 363, 386, 409, 433, 458, 483, 508, 535, 562, 589, 618, 647, 678, 709, 741, 774, 809, 845, 882, 920, 960, 1002, 1045, 1091, 1138, 1188, 1241, 1297, 1356, 1418, 1485, 1556, 1633, 1717, 1808, 1908, 2019, 2144, 2287, 2454, 2655, 2906, 3243, 3753, 4852}
	// exp(0.6 z)
	narrow = [64]int64{234, 303, 347, 383, 413, 441, 466, 490, 513, 535, 556, 577, 597, 618, 638, 657, 677, 697, 716, 736, 756, 776, 796, 816, 836, 857, 878, 899, 921, 943, 965, 988, 1012, 1036, 1061, 1086, 1112, 1139, 1167, 1196, 1226, 1257, 1289, 1323, 1359, 1396, 1435, 1477, 1521, 1569, 1619, 1674, 1733, 1798, 1870, 1950, 2041, 2146, 2270, 2421, 2613, 2878, 3295, 4265}
	// exp(z)
	wide = [64]int64{89, 137, 172, 202, 229, 255, 280, 304, 329, 352, 376, 400, 424, 448, 472, 497, 522, 547, 573, 600, 627, 655, 683, 712, 742, 773, 805, 838, 872, 907, 943, 981, 1020, 1061, 1103, 1147, 1194, 1242, 1294, 1347, 1404, 1464, 1527, 1595, 1667, 1744, 1827, 1916, 2012, 2117, 2233, 2360, 2501, 2659, 2838, 3044, 3284, 3570, 3920, 4364, 4958, 5822, 7297, 11218}
)
