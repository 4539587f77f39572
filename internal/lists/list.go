package lists

import (
	"math"
	"net/netip"
	"strconv"
	"strings"

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
	untyped                   bool
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

// Named and Typed tell whether the file says name and type as they are written; a
// list without a type is held to be one of ids.
func (l *List) Named() bool { return isName(l.name) }
func (l *List) Typed() bool { return !l.untyped }

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
// The value is in the normal form of the list's type, which is what expressions
// look up: risk.Email, risk.Phone, risk.Name, a lower-case domain, an upper-case
// country; others as they are. A network is on a list
// of networks when one of them covers it. A value that is none of the type is not
// on the list.
func (l *List) Contains(value string, at risk.Time) bool {
	var until risk.Time
	var ok bool
	switch l.kind {
	case "ip", "cidr":
		until, ok = l.network(value)
	case "number":
		n, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return false
		}
		until, ok = l.numbers[n]
	default:
		until, ok = l.texts[value]
	}
	return ok && at < until
}

func (l *List) network(value string) (risk.Time, bool) {
	if strings.IndexByte(value, '/') >= 0 {
		prefix, err := netip.ParsePrefix(value)
		if err != nil {
			return 0, false
		}
		return l.nets.LookupPrefix(prefix)
	}
	addr, err := netip.ParseAddr(value)
	if err != nil {
		return 0, false
	}
	return l.nets.Lookup(addr.Unmap().WithZone(""))
}
