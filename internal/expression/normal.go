package expression

import (
	"strings"
	"unicode"
)

// maxCompared is how many characters of each text textDistance looks at.
const maxCompared = 256

// NormalName is the form of a person's or firm's name in which spellings compare:
// lower case, Latin letters without diacritics, apostrophes and dots dropped,
// every other run of what is neither letter nor digit one space.
func NormalName(s string) string { return normal(s, "'’ʼ`´.") }

// NormalAddress is the like for a postal address: here all punctuation separates,
// since 12.3 and 123 are different houses.
func NormalAddress(s string) string { return normal(s, "") }

func normal(s, dropped string) string {
	var b strings.Builder
	b.Grow(len(s))
	gap := false
	for _, r := range s {
		r = unicode.ToLower(r)
		switch {
		case unicode.Is(unicode.Mn, r) || strings.ContainsRune(dropped, r):
			continue
		case !unicode.IsLetter(r) && !unicode.IsDigit(r):
			gap = b.Len() > 0
			continue
		case gap:
			b.WriteByte(' ')
			gap = false
		}
		if base, ok := bases[r]; ok {
			b.WriteString(base)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// bases gives Latin letters with diacritics, and joined ones, as plain letters.
var bases = func() map[rune]string {
	m := map[rune]string{}
	for base, letters := range map[string]string{
		"a": "àáâãäåāăąǎạảấầẩẫậắằẳẵặ", "ae": "æǣ", "c": "çćĉċč", "d": "ďđð", "e": "èéêëēĕėęěẹẻẽếềểễệ",
		"g": "ĝğġģǧ", "h": "ĥħ", "i": "ìíîïĩīĭįıǐỉị", "ij": "ĳ", "j": "ĵ", "k": "ķĸ", "l": "ĺļľŀł",
		"n": "ñńņňŋŉ", "o": "òóôõöøōŏőơǒọỏốồổỗộớờởỡợ", "oe": "œ", "r": "ŕŗř", "s": "śŝşšșſ", "ss": "ß",
		"t": "ţťŧț", "th": "þ", "u": "ùúûüũūŭůűųưǔụủứừửữự", "w": "ŵ", "y": "ýÿŷỳỵỷỹ", "z": "źżž",
	} {
		for _, r := range letters {
			m[r] = base
		}
	}
	return m
}()

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
