package risk

import (
	"math"
	"strconv"
	"unicode/utf8"
)

// The canonical encoding of values in JSON. Two encoders that follow these rules
// write the same bytes; docs/format.md has them as a table.

// appendString writes only the escapes that JSON demands; a byte that is no UTF-8
// becomes U+FFFD.
func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	i, high := plainRun(s, 0)
	if high || i < len(s) {
		return appendEscaped(dst, s)
	}
	return append(append(dst, s...), '"')
}

func appendEscaped(dst []byte, s string) []byte {
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(s[i:])
			if r != utf8.RuneError || n > 1 {
				i += n
				continue
			}
			dst = append(append(dst, s[from:i]...), "\ufffd"...)
		} else {
			dst = append(append(dst, s[from:i]...), '\\')
			switch c {
			case '"', '\\':
				dst = append(dst, c)
			case '\b':
				dst = append(dst, 'b')
			case '\f':
				dst = append(dst, 'f')
			case '\n':
				dst = append(dst, 'n')
			case '\r':
				dst = append(dst, 'r')
			case '\t':
				dst = append(dst, 't')
			default:
				const hex = "0123456789abcdef"
				dst = append(dst, 'u', '0', '0', hex[c>>4], hex[c&15])
			}
		}
		i++
		from = i
	}
	return append(append(dst, s[from:]...), '"')
}

// appendFloat writes the shortest decimal that reads back as v, with an exponent
// only below 1e-6; zero has no sign. What is no number is null.
func appendFloat(dst []byte, v float64) []byte {
	switch abs := math.Abs(v); {
	case abs < 1e15 && v == math.Trunc(v):
		return strconv.AppendInt(dst, int64(v), 10)
	case math.IsNaN(v) || math.IsInf(v, 0):
		return append(dst, "null"...)
	case abs >= 1e-6:
		return strconv.AppendFloat(dst, v, 'f', -1, 64)
	}
	dst = strconv.AppendFloat(dst, v, 'e', -1, 64)
	if n := len(dst); dst[n-4] == 'e' && dst[n-2] == '0' { // 1e-07 is 1e-7
		dst[n-2] = dst[n-1]
		dst = dst[:n-1]
	}
	return dst
}

func appendBool(dst []byte, v bool) []byte { return strconv.AppendBool(dst, v) }

func (t Time) appendQuoted(dst []byte) []byte { return append(t.Append(append(dst, '"')), '"') }
