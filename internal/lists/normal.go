package lists

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/sluice-risk/sluice/risk"
)

// The normal forms of look-ups are those of package risk. The plain shapes that
// nearly all values have are brought to them here, in a buffer, so that a look-up
// does not allocate; everything else goes to risk. A fuzz test holds the two
// equal. An empty result is no value.

func appendUpper(dst []byte, s string) []byte {
	for i := range len(s) {
		c := s[i]
		if 'a' <= c && c <= 'z' {
			c -= 'a' - 'A'
		}
		dst = append(dst, c)
	}
	return dst
}

func appendEmail(dst []byte, s string) []byte {
	start := len(dst)
	local, domain, ok := cutEmail(s)
	if !ok {
		return append(dst, risk.Email(s)...)
	}
	local, _, _ = strings.Cut(local, "+")
	gmail := foldEqual(domain, "gmail.com") || foldEqual(domain, "googlemail.com")
	for i := range len(local) {
		if c := local[i]; c != '.' || !gmail {
			dst = append(dst, lower(c))
		}
	}
	switch {
	case len(dst) == start:
		return append(dst, risk.Email(s)...)
	case gmail:
		return append(dst, "@gmail.com"...)
	}
	return appendLower(append(dst, '@'), domain)
}

// appendDomain takes an e-mail address or a domain.
func appendDomain(dst []byte, s string) []byte {
	if strings.IndexByte(s, '@') >= 0 {
		if _, domain, ok := cutEmail(s); ok {
			return appendLower(dst, domain)
		}
		return append(dst, risk.Domain(s)...)
	}
	if s = strings.TrimSuffix(s, "."); !plain(s) {
		return append(dst, strings.ToLower(s)...)
	}
	return appendLower(dst, s)
}

// cutEmail cuts an address of the plain shape: printable ASCII, one @, and a
// domain with a dot neither first nor last.
func cutEmail(s string) (local, domain string, ok bool) {
	local, domain, ok = strings.Cut(s, "@")
	dot := strings.IndexByte(domain, '.')
	return local, domain, ok && plain(s) && local != "" && dot > 0 && domain[len(domain)-1] != '.' && strings.IndexByte(domain, '@') < 0
}

// appendPhone handles + and digits, with spaces, dots and dashes between them.
func appendPhone(dst []byte, s string) []byte {
	start, digits := len(dst), 0
	if strings.HasPrefix(s, "+") {
		dst = append(dst, '+')
		for i := 1; i < len(s); i++ {
			switch c := s[i]; {
			case '0' <= c && c <= '9':
				dst = append(dst, c)
				digits++
			case c != ' ' && c != '-' && c != '.':
				return append(dst[:start], risk.Phone(s)...)
			}
		}
	}
	if digits < 5 {
		return append(dst[:start], risk.Phone(s)...)
	}
	return dst
}

// appendName keeps letters, marks and digits, lower case, words separated by one
// space. Word order and spelling are not touched: finding a name that is written
// differently is screening's work.
func appendName(dst []byte, s string) []byte {
	start, gap := len(dst), false
	for _, r := range s {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsMark(r) {
			if r != '\'' && r != '’' { // O'Neil is ONeil, not O Neil
				gap = true
			}
			continue
		}
		if gap && len(dst) > start {
			dst = append(dst, ' ')
		}
		gap = false
		dst = utf8.AppendRune(dst, unicode.ToLower(r))
	}
	return dst
}

// plain reports whether s is printable ASCII without spaces.
func plain(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		c += 'a' - 'A'
	}
	return c
}

func appendLower(dst []byte, s string) []byte {
	for i := range len(s) {
		dst = append(dst, lower(s[i]))
	}
	return dst
}

// foldEqual reports whether s is the lower-case ASCII text want.
func foldEqual(s, want string) bool {
	if len(s) != len(want) {
		return false
	}
	for i := range len(s) {
		if lower(s[i]) != want[i] {
			return false
		}
	}
	return true
}
