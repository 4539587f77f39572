package expression

// maxCompared is how many characters of each text textDistance looks at.
const maxCompared = 256

// textDistance is the number of characters to insert, remove or replace to get
// from a to b (Levenshtein), over the first maxCompared characters of each.
func textDistance(a, b string) float64 {
	var left, right [maxCompared]rune
	var row [maxCompared + 1]uint16
	n, m := runesInto(&left, a), runesInto(&right, b)
	for j := range m + 1 {
		row[j] = uint16(j)
	}
	for i := range n {
		diagonal := row[0]
		row[0] = uint16(i + 1)
		for j := range m {
			cost := diagonal
			if left[i] != right[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, diagonal+1)
		}
	}
	return float64(row[m])
}

func runesInto(out *[maxCompared]rune, s string) (n int) {
	for _, r := range s {
		if n == len(out) {
			break
		}
		out[n] = r
		n++
	}
	return n
}
