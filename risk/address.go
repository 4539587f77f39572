package risk

import (
	"bytes"
	"strings"
	"unicode"
)

// PostalAddress gives a postal address written in one line in the form in which
// spellings compare: folded like Name, but with every punctuation mark between two
// words and the words in their order; usual abbreviations for streets, directions
// and numbers; the flat, suite or unit last, whether it was written before or after
// the house; British and Canadian postcodes in one word.
//
// It is one form of one text: it knows no map and does not see that a town has two
// names. Sources: USPS Publication 28 (appendices B, C1, C2: directions, street
// suffixes, unit designators); Royal Mail's and Canada Post's addressing guides for
// postcodes and the place of a flat; the usual abbreviations of German, French,
// Spanish, Italian, Portuguese and Dutch streets.
func PostalAddress(s string) string { return string(appendAddress(nil, s)) }

// Normal gives the address in the form in which spellings compare, "" without a
// street line: street and unit as PostalAddress has them, then postcode and
// country. The town stands for the postcode only where there is none, since it is
// spelled in more ways than the code.
func (a *Address) Normal() string { return string(a.appendNormal(nil)) }

func (a *Address) appendNormal(dst []byte) []byte {
	return appendPlace(dst, a.Line1, a.Line2, a.City, a.PostalCode, a.Country)
}

func (p *Party) appendNormal(dst []byte) []byte {
	return appendPlace(dst, p.Line1, p.Line2, p.City, p.PostalCode, p.Country)
}

// Normal is that of Address.
func (p *Party) Normal() string { return string(p.appendNormal(nil)) }

func appendPlace(dst []byte, line1, line2, city, postcode, country string) []byte {
	if line1 == "" {
		return dst
	}
	start := len(dst)
	var room [256]byte
	words := appendWords(room[:0], line1, addressMark)
	if line2 != "" {
		words = appendWords(append(words, ' '), line2, addressMark)
	}
	if dst = appendStreet(dst, words); len(dst) == start {
		return dst
	}
	street := len(dst)
	dst = append(dst, ", "...)
	place := len(dst)
	if dst = appendPostcode(dst, postcode, country); len(dst) == place {
		dst = appendWords(dst, city, addressMark)
	}
	switch {
	case country == "" && len(dst) == place:
		return dst[:street]
	case country == "":
		return dst
	case len(dst) > place:
		dst = append(dst, ' ')
	}
	return append(dst, country...)
}

// appendPostcode writes the letters and digits of a postcode; of an American one
// the five that name the place, not the four of the carrier's route.
func appendPostcode(dst []byte, s, country string) []byte {
	start := len(dst)
	for _, r := range s {
		if d := digitOf(r); d >= 0 {
			r = rune('0' + d)
		}
		if r |= 0x20; r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			dst = append(dst, byte(r))
		}
	}
	if country == "US" && len(dst)-start == 9 {
		dst = dst[:start+5]
	}
	return dst
}

func appendAddress(dst []byte, s string) []byte {
	var room [256]byte
	return appendStreet(dst, appendWords(room[:0], s, addressMark))
}

// addressMark: nothing is dropped, since 12.3 and 123 are different houses; # 5 is a
// unit.
func addressMark(r rune) mark {
	if r == '#' {
		return unitSign
	}
	return between
}

// appendStreet writes folded words in their usual abbreviation, and the units last.
func appendStreet(dst, words []byte) []byte {
	start, units := len(dst), 0
	var last []byte // written, nil when nothing is to be joined to it
	word := func(w string) {
		if len(dst) > start {
			dst = append(dst, ' ')
		}
		dst = append(dst, w...)
	}
	for rest := words; len(rest) > 0; {
		var this []byte
		this, rest = nextWord(rest)
		next, after := nextWord(rest)
		before := last
		last = nil
		switch short := shortWords[string(this)]; {
		case short == "unit":
			units++
			rest, last = after, before // its number
		case joined(before, this):
			dst = append(dst, this...)
		case string(this) == "p" && string(next) == "o" && startsWithBox(after): // P.O. Box
			_, rest = nextWord(after)
			word("pobox")
		case string(this) == "po" && string(next) == "box":
			rest = after
			word("pobox")
		case short != "":
			word(short)
			last = this
		default:
			word("")
			dst, last = append(dst, stem(this)...), this
		}
	}
	for rest := words; units > 0; units-- {
		var this []byte
		for this, rest = nextWord(rest); shortWords[string(this)] != "unit"; {
			this, rest = nextWord(rest)
		}
		if this, rest = nextWord(rest); len(this) > 0 {
			word("unit ")
			dst = append(dst, this...)
		}
	}
	return dst
}

func startsWithBox(b []byte) bool {
	word, _ := nextWord(b)
	return string(word) == "box"
}

func nextWord(b []byte) (word, rest []byte) {
	b = bytes.TrimLeft(b, " ")
	if end := bytes.IndexByte(b, ' '); end >= 0 {
		return b[:end], b[end+1:]
	}
	return b, nil
}

// joined reports two words that are one: a house and its letter (12 B), and the two
// halves of a British or Canadian postcode.
func joined(a, b []byte) bool {
	switch {
	case len(b) == 1 && allDigits(a):
		return b[0] >= 'a' && b[0] <= 'z' && strings.IndexByte("nesw", b[0]) < 0
	case len(b) != 3 || !isDigit(b[0]):
		return false
	case isLetter(b[1]) && isLetter(b[2]): // SW1A 1AA, not B2 1st
		if end := string(b[1:]); end == "st" || end == "nd" || end == "rd" || end == "th" {
			return false
		}
		return len(a) >= 2 && len(a) <= 4 && isLetter(a[0]) && bytes.ContainsAny(a, "0123456789")
	case isLetter(b[1]) && isDigit(b[2]): // K1A 0B1
		return len(a) == 3 && isLetter(a[0]) && isDigit(a[1]) && isLetter(a[2])
	}
	return false
}

func isLetter(c byte) bool { return c >= 'a' && c <= 'z' }

// stem cuts what is left out of the German for street at the end of its name:
// Hauptstrasse is Hauptstr.
func stem(word []byte) []byte {
	if long, ok := bytes.CutSuffix(word, []byte("asse")); ok && len(long) > len("str") && bytes.HasSuffix(long, []byte("str")) {
		return long
	}
	return word
}

// shortWords gives the usual abbreviation of a word.
var shortWords = func() map[string]string {
	m := map[string]string{}
	for line := range strings.Lines(abbreviations) {
		words := strings.FieldsFunc(line, unicode.IsSpace)
		for _, w := range words {
			m[w] = words[0]
		}
	}
	return m
}()

// abbreviations: the first word of a line stands for all of them.
const abbreviations = `unit apt apartment suite ste flat appartement appt apto apartamento departamento depto wohnung whg interno room rm
st street str strasse strada saint sankt sint sainte
ave avenue av avenida avda aven
blvd boulevard bd boul bvd
rd road
dr drive
ln lane
ct court
ctr center centre
pl place platz plaza plz piazza pza praca
sq square
ter terrace terr
pkwy parkway
hwy highway
cir circle
trl trail
way wy
aly alley
xing crossing
hts heights
mt mount
ft fort
gdns gardens
gr grove
cres crescent
cl close
est estate
bldg building
fl floor
rue rua r
rte route
ch chemin
imp impasse
all allee
c calle
ctra carretera
v via
vle viale
l largo
tv travessa
n north
s south
e east
w west
ne northeast
nw northwest
se southeast
sw southwest
1st first
2nd second
3rd third
4th fourth
5th fifth
6th sixth
7th seventh
8th eighth
9th ninth
10th tenth
pobox postfach
`
