package expression

// maxCompared is how many characters of each text textDistance looks at.
const maxCompared = 256

// textDistance is the EditDistance over the first maxCompared characters of each.
func textDistance(a, b string) float64 {
	var left, right [maxCompared]rune
	n, m := runesInto(&left, a), runesInto(&right, b)
	return float64(EditDistance(left[:n], right[:m]))
}

// EditDistance is the number of characters to insert, remove or replace to get
// from a to b (Levenshtein). Both have at most 256.
func EditDistance[T byte | rune](a, b []T) int {
	for len(a) > 0 && len(b) > 0 && a[0] == b[0] {
		a, b = a[1:], b[1:]
	}
	for len(a) > 0 && len(b) > 0 && a[len(a)-1] == b[len(b)-1] {
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	var row [maxCompared + 1]uint16
	for j := range len(b) + 1 {
		row[j] = uint16(j)
	}
	for i := range a {
		diagonal := row[0]
		row[0] = uint16(i + 1)
		for j := range b {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, diagonal+1)
		}
	}
	return int(row[len(b)])
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
