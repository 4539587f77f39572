package diag

import "unicode/utf8"

// Nearest finds the known name that name was probably meant to be: at most a
// third of its characters (at least one, at most four) differ by insertion,
// removal, replacement or a swap of neighbours. Of equally near names the
// alphabetically first is taken.
func Nearest(name string, known []string) (string, bool) {
	const longest = 64
	if n := utf8.RuneCountInString(name); n == 0 || n > longest {
		return "", false
	}
	a := []rune(name)
	best, found := "", min(max(len(a)/3, 1), 4)+1
	for _, k := range known {
		if k == name {
			return "", false
		}
		if k == "" || len(k) > 4*longest {
			continue
		}
		b := []rune(k)
		if d := len(a) - len(b); d >= found+1 || -d >= found+1 {
			continue
		}
		if d := distance(a, b); d < found || d == found && best != "" && k < best {
			best, found = k, d
		}
	}
	return best, best != ""
}

// distance counts edits, a swap of neighbours as one.
func distance(a, b []rune) int {
	before := make([]int, len(b)+1)
	last := make([]int, len(b)+1)
	row := make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range a {
		row[0] = i + 1
		for j := range b {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(row[j]+1, last[j+1]+1, last[j]+cost)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
