package risk

import (
	"net/netip"
	"strings"
)

// Network gives the network an address belongs to: its /24 for IPv4 (also when
// mapped into IPv6), its /64 for IPv6; "" for what is no address.
func Network(ip string) string { return string(appendNetwork(nil, ip)) }

// Email gives an address in the form in which two spellings of one mailbox are
// equal: lower case, without a plus tag, and without dots where the provider
// ignores them. "" for what is no address.
func Email(s string) string { return string(appendEmail(nil, s)) }

// Domain gives the lower-case domain of an e-mail address, "" without one.
func Domain(s string) string { return string(appendDomain(nil, s)) }

// Phone gives a number as "+" and its digits when it is written internationally
// ("+44 (0)20 7946 0958", "0044…"), else its digits alone; "" for fewer than five.
func Phone(s string) string { return string(appendPhone(nil, s)) }

// The append forms exist for pseudonyms: they add nothing to dst for what has no
// normal form, and allocate nothing.

func appendNetwork(dst []byte, ip string) []byte {
	a, err := netip.ParseAddr(ip)
	if err != nil {
		return dst
	}
	a = a.Unmap().WithZone("")
	bits := 64
	if a.Is4() {
		bits = 24
	}
	p, err := a.Prefix(bits)
	if err != nil {
		return dst
	}
	return p.AppendTo(dst)
}

func appendEmail(dst []byte, s string) []byte {
	local, domain, ok := cutEmail(s)
	if !ok {
		return dst
	}
	local, _, _ = strings.Cut(local, "+")
	if domain == "googlemail.com" {
		domain = "gmail.com"
	}
	start := len(dst)
	for i := range len(local) {
		if local[i] != '.' || domain != "gmail.com" {
			dst = append(dst, local[i])
		}
	}
	if len(dst) == start {
		return dst
	}
	return append(append(dst, '@'), domain...)
}

func appendDomain(dst []byte, s string) []byte {
	_, domain, _ := cutEmail(s)
	return append(dst, domain...)
}

func cutEmail(s string) (local, domain string, ok bool) {
	s = strings.ToLower(strings.TrimSpace(s))
	at := strings.LastIndexByte(s, '@')
	if at < 1 || strings.ContainsAny(s, " \t\r\n") {
		return "", "", false
	}
	local, domain = s[:at], strings.TrimRight(s[at+1:], ".")
	if dot := strings.IndexByte(domain, '.'); dot < 1 {
		return "", "", false
	}
	return local, domain, true
}

func appendPhone(dst []byte, s string) []byte {
	s = strings.TrimLeft(strings.TrimSpace(s), "( ")
	s, international := strings.CutPrefix(s, "+")
	zeros := 0 // digits to drop: the 00 that is dialled for the +
	if !international && startsWith00(s) {
		international, zeros = true, 2
	}
	start := len(dst)
	if international {
		dst = append(dst, '+')
	}
	digits := 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case international && zeros == 0 && strings.HasPrefix(s[i:], "(0)"):
			i += 2 // the trunk prefix, dialled only at home
		case isDigit(c) && zeros > 0:
			zeros--
		case isDigit(c):
			dst = append(dst, c)
			digits++
		case strings.IndexByte(" -()./", c) < 0:
			return dst[:start]
		}
	}
	if digits < 5 {
		return dst[:start]
	}
	return dst
}

// startsWith00 reports whether the first two digits of s are zeros.
func startsWith00(s string) bool {
	zeros := 0
	for i := 0; i < len(s) && zeros < 2; i++ {
		if s[i] == '0' {
			zeros++
		} else if isDigit(s[i]) {
			return false
		}
	}
	return zeros == 2
}
