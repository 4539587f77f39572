package lists

import (
	"math"
	"net/netip"
	"strconv"

	"github.com/gaissmai/bart"

	"github.com/sluice-risk/sluice/internal/diag"
	"github.com/sluice-risk/sluice/risk"
)

// Types are what the items of a list can be.
var Types = []string{
	"id", "country", "ip", "cidr", "email", "email_domain",
	"card", "device", "phone", "name", "number",
}

// List is one compiled list.
type List struct {
	name, kind, digest, owner string
	at                        diag.Span
	sources                   []string
	reviewBy                  risk.Time
	items                     int

	// Each holds by normal form the first instant at which an item no longer
	// counts. One of them is used, by kind.
	texts   map[string]risk.Time
	numbers map[float64]risk.Time
	nets    *bart.Table[risk.Time]
}

// never is the expiry of an item without one.
const never = risk.Time(math.MaxInt64)

// Name is what expressions call the list: list.<name>.
func (l *List) Name() string { return l.name }

// At is where the list is named.
func (l *List) At() diag.Span { return l.at }

// Sources are the files that the list was read from.
func (l *List) Sources() []string { return l.sources }

// Type is one of [Types].
func (l *List) Type() string { return l.kind }

// Digest is the content hash of the list's file and of the CSV file it names.
func (l *List) Digest() string { return l.digest }

// Len counts the items, expired ones too.
func (l *List) Len() int { return l.items }

// Owner is who answers for the list.
func (l *List) Owner() string { return l.owner }

// ReviewBy is the day by which the owner looks through the list; zero if none.
func (l *List) ReviewBy() risk.Time { return l.reviewBy }

// Contains reports whether value is on the list for an event of the given time.
// A value that is none of the list's type is not on it.
func (l *List) Contains(value string, at risk.Time) bool {
	var until risk.Time
	var ok bool
	// The buffer stays on the stack because every call below is direct: looking up
	// string(b) in a map makes no copy.
	var buf [160]byte
	b := buf[:0]
	switch l.kind {
	case "ip", "cidr":
		addr, err := netip.ParseAddr(value)
		if err != nil {
			return false
		}
		until, ok = l.nets.Lookup(addr.Unmap().WithZone(""))
		return ok && at < until
	case "number":
		n, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return false
		}
		until, ok = l.numbers[n]
		return ok && at < until
	case "country":
		b = appendUpper(b, value)
	case "email":
		b = appendEmail(b, value)
	case "email_domain":
		b = appendDomain(b, value)
	case "phone":
		b = appendPhone(b, value)
	case "name":
		b = appendName(b, value)
	default: // id, card, device: as written
		until, ok = l.texts[value]
		return ok && at < until
	}
	until, ok = l.texts[string(b)]
	return ok && at < until
}
