package risk

import (
	"bytes"
	"slices"
	"unicode"
	"unicode/utf8"
)

// Name gives a person's or firm's name in the form in which spellings compare: small
// letters, Latin, Greek and Cyrillic ones without their accents, joined letters
// apart (ß is ss, æ is ae), apostrophes and dots dropped, every other run of what is
// neither letter nor digit one space, and the words in alphabetical order, since
// "Müller, Anna" is Anna Müller. Anything less exact is screening, not a form.
//
// Sources: Unicode Standard Annex 15 for what an accented letter is made of; ICAO
// Doc 9303, part 3, section 6 for letters that are not made of others. Where that
// lets a country choose (ü is UE or U), the plain letter is taken: people who have no
// such key write it so. Other scripts are kept as they are.
func Name(s string) string { return string(appendName(nil, s)) }

func appendName(dst []byte, s string) []byte {
	start := len(dst)
	dst = appendWords(dst, s, nameMark)
	return sortWords(dst, start)
}

// mark is what becomes of a character that is no letter or digit.
type mark uint8

const (
	between mark = iota // two words
	dropped
	unitSign // a word of its own
)

// nameMark: O'Brien and J.P. are one word each.
func nameMark(r rune) mark {
	switch r {
	case '\'', '.', '`', '´', '‘', '’', '′':
		return dropped
	}
	return between
}

// appendWords folds s into words with one space between them.
func appendWords(dst []byte, s string, marks func(rune) mark) []byte {
	start, gap := len(dst), false
	for i := 0; i < len(s); {
		r, n := rune(s[i]), 1
		if r >= utf8.RuneSelf {
			r, n = utf8.DecodeRuneInString(s[i:])
		}
		i += n
		switch {
		case r >= 'a' && r <= 'z' || r >= '0' && r <= '9':
		case r >= 'A' && r <= 'Z':
			r |= 0x20
		case r >= utf8.RuneSelf && accent(r):
			continue
		case r < utf8.RuneSelf || !unicode.In(r, unicode.L, unicode.Nd, unicode.M): // a vowel sign is a part of its word
			switch marks(r) {
			case between:
				gap = len(dst) > start
			case unitSign:
				if len(dst) > start {
					dst = append(dst, ' ')
				}
				dst, gap = append(dst, "unit"...), true
			}
			continue
		}
		if gap {
			dst, gap = append(dst, ' '), false
		}
		if r >= 0xff01 && r <= 0xff5e { // full width
			r -= 0xfee0
		}
		if r = unicode.ToLower(r); r < utf8.RuneSelf {
			dst = append(dst, byte(r))
		} else if base, ok := bases[r]; ok {
			dst = append(dst, base...)
		} else {
			dst = utf8.AppendRune(dst, r)
		}
	}
	return dst
}

// accent reports marks that are written over a letter which is the same without, and
// modifier letters that stand for an apostrophe: not the vowel signs of India or
// Thailand, which are half of what is read.
func accent(r rune) bool {
	switch {
	case r >= 0x300 && r <= 0x36f, // of Latin, Greek, Cyrillic
		r >= 0x591 && r <= 0x5c7,             // Hebrew points
		r >= 0x64b && r <= 0x65f, r == 0x670, // Arabic vowels
		r >= 0x1ab0 && r <= 0x1aff, r >= 0x1dc0 && r <= 0x1dff: // rare
		return unicode.Is(unicode.Mn, r)
	}
	return r == 0x640 || r == 'ʼ' || r == 'ʹ' || r == 'ʻ' // the first stretches Arabic words
}

// bases gives letters with accents, and joined ones, as plain letters.
var bases = func() map[rune]string {
	m := map[rune]string{}
	for base, letters := range map[string]string{
		"a": "àáâãäåāăąǎǟǡǻȁȃȧạảấầẩẫậắằẳẵặª", "ae": "æǣǽ", "b": "ḃḅɓ", "c": "çćĉċčƈ", "d": "ďđðḋḍḏɖɗ", "e": "èéêëēĕėęěȅȇȩẹẻẽếềểễệəɛǝ",
		"f": "ḟƒ", "g": "ĝğġģǧǵɠ", "h": "ĥħḣḥḧȟ", "i": "ìíîïĩīĭįıǐȉȋỉị", "ij": "ĳ", "j": "ĵǰ", "k": "ķĸǩḱḳƙ", "l": "ĺļľŀłḷḹ", "m": "ḿṁṃ",
		"n": "ñńņňŋŉǹṅṇṉɲ", "o": "òóôõöøōŏőơǒǫǭǿȍȏȫȭȯȱọỏốồổỗộớờởỡợɔº", "oe": "œ", "p": "ṕṗ", "r": "ŕŗřȑȓṙṛ", "s": "śŝşšșſṡṣ", "ss": "ßẞ",
		"t": "ţťŧțṫṭṯ", "th": "þ", "u": "ùúûüũūŭůűųưǔǖǘǚǜȕȗụủứừửữự", "v": "ṽṿ", "w": "ŵẁẃẅẇ", "x": "ẋẍ", "y": "ýÿŷȳỳỵỷỹẏ", "z": "źżžẑẓ",
		"α": "άἀἁἂἃἄἅὰά", "ε": "έἐἑἔἕὲέ", "η": "ήἠἡἤἥὴή", "ι": "ίϊΐἰἱἴἵὶί", "ο": "όὀὁὄὅὸό", "υ": "ύϋΰὐὑὔὕὺύ", "ω": "ώὠὡὤὥὼώ", "σ": "ς", "ρ": "ῤῥ",
		"и": "й", "е": "ёѐ", "і": "ї", "у": "ў", "г": "ѓ", "к": "ќ",
		"ا": "أإآٱ", "ي": "ى",
	} {
		for _, r := range letters {
			m[r] = base
		}
	}
	return m
}()

// maxSorted is how many words are put in order; the rest stays behind them.
const maxSorted = 16

// sortWords puts the words of dst from start on in order.
func sortWords(dst []byte, start int) []byte {
	var words [maxSorted][]byte
	n, rest := 0, dst[start:]
	for len(rest) > 0 && n < len(words) {
		words[n], rest = nextWord(rest)
		n++
	}
	if slices.IsSortedFunc(words[:n], bytes.Compare) {
		return dst
	}
	slices.SortFunc(words[:n], bytes.Compare)
	var room [256]byte
	sorted := room[:0]
	for i, word := range words[:n] {
		if i > 0 {
			sorted = append(sorted, ' ')
		}
		sorted = append(sorted, word...)
	}
	copy(dst[start:], sorted)
	return dst
}
