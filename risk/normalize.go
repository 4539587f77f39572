package risk

import "net/netip"

// Normal forms of identifiers: two spellings of one thing have one form. Of each
// there is an append form for pseudonyms, which adds nothing for what has no normal
// form, and allocates nothing but what lower case needs.

// Network gives the network an address belongs to: its /24 for IPv4 (also when
// mapped into IPv6), its /64 for IPv6, which is what one line is given (RFC 6177);
// "" for what is no address.
func Network(ip string) string { return string(appendNetwork(nil, ip, 64)) }

// Network48 is Network with /48 for IPv6: what a site is given (RFC 6177), so that
// somebody with a whole one does not count as 65,536.
func Network48(ip string) string { return string(appendNetwork(nil, ip, 48)) }

func appendNetwork(dst []byte, ip string, bits int) []byte {
	a, err := netip.ParseAddr(ip)
	if err != nil {
		return dst
	}
	a = a.Unmap().WithZone("")
	if a.Is4() {
		bits = 24
	}
	p, err := a.Prefix(bits)
	if err != nil {
		return dst
	}
	return p.AppendTo(dst)
}
