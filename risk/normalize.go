package risk

import (
	"net/netip"
	"strings"
)

// Network gives the network an address belongs to: its /24 for IPv4 (also when
// mapped into IPv6), its /64 for IPv6; "" for what is no address.
func Network(ip string) string {
	a, err := netip.ParseAddr(ip)
	if err != nil {
		return ""
	}
	a = a.Unmap().WithZone("")
	bits := 64
	if a.Is4() {
		bits = 24
	}
	p, err := a.Prefix(bits)
	if err != nil {
		return ""
	}
	return p.String()
}

// Email gives an address in the form in which two spellings of one mailbox are
// equal: lower case, without a plus tag, and without dots where the provider
// ignores them. "" for what is no address.
func Email(s string) string {
	local, domain, ok := cutEmail(s)
	if !ok {
		return ""
	}
	local, _, _ = strings.Cut(local, "+")
	if domain == "googlemail.com" {
		domain = "gmail.com"
	}
	if domain == "gmail.com" {
		local = strings.ReplaceAll(local, ".", "")
	}
	if local == "" {
		return ""
	}
	return local + "@" + domain
}

// Domain gives the lower-case domain of an e-mail address, "" without one.
func Domain(s string) string {
	_, domain, _ := cutEmail(s)
	return domain
}

func cutEmail(s string) (local, domain string, ok bool) {
	s = strings.ToLower(strings.TrimSpace(s))
	at := strings.LastIndexByte(s, '@')
	if at < 1 || !strings.Contains(s[at+1:], ".") || strings.ContainsAny(s, " \t\r\n") {
		return "", "", false
	}
	return s[:at], strings.TrimSuffix(s[at+1:], "."), true
}

// Phone gives a number as "+" and its digits when it is written internationally
// ("+44 20 7946 0958", "0044…"), else its digits alone; "" for fewer than five.
func Phone(s string) string {
	s = strings.TrimSpace(s)
	plus := strings.HasPrefix(s, "+")
	var digits []byte
	for i := range len(s) {
		switch c := s[i]; {
		case c >= '0' && c <= '9':
			digits = append(digits, c)
		case strings.IndexByte(" -().+/", c) < 0:
			return ""
		}
	}
	out := string(digits)
	if rest, ok := strings.CutPrefix(out, "00"); ok && !plus {
		out, plus = rest, true
	}
	if len(out) < 5 {
		return ""
	}
	if plus {
		return "+" + out
	}
	return out
}
