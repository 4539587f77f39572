package risk

import (
	"bytes"
	"math"
	"net/netip"
	"strings"
)

// How many elements are kept of the lists of an event.
const (
	MaxItems     = 64
	MaxOwners    = 32
	MaxDocuments = 32
	MaxCustom    = 32
)

// maxID bounds event.id, in bytes.
const maxID = 128

// eventTable is the whole event: one member per group, in the order of Fields.
var eventTable = newEventTable()

func newEventTable() *table[Event] {
	var root []member[Event]
	group := func(name string, t *table[Event]) {
		at := len(root)
		root = append(root, member[Event]{
			name: name,
			read: func(s *scanner, e *Event) { s.seen.members[at], _ = readObject(s, t, e) },
			write: func(dst []byte, part Class, e *Event, seen *sighting) []byte {
				return t.appendObject(dst, part, e, seen.members[at], seen)
			},
		})
	}
	var members []member[Event]
	for i, f := range Fields {
		name, key, _ := strings.Cut(f.Path, ".")
		members = append(members, eventMember(f, key))
		if i+1 < len(Fields) && strings.HasPrefix(Fields[i+1].Path, name+".") {
			continue // the group goes on
		}
		switch name {
		case "settlement":
			root = append(root, member[Event]{name: name, read: readSettlement, write: writeSettlement})
		case "kyc":
			group(name, newTable(append(members,
				listMember("documents", documentTable, MaxDocuments, func(e *Event) *[]Document { return &e.KYC.Documents }),
				listMember("owners", ownerTable, MaxOwners, func(e *Event) *[]Owner { return &e.KYC.Owners }))...))
		case "order":
			group(name, newTable(append(members,
				listMember("items", itemTable, MaxItems, func(e *Event) *[]Item { return &e.Order.Items }))...))
		case "card":
			group(name, newTable(append(members,
				member[Event]{name: "number", read: readCardNumber})...))
			at := len(root) - 1
			read := root[at].read
			root[at].read = func(s *scanner, e *Event) {
				if read(s, e); s.card.n > 0 {
					s.finishCard(&e.Card)
					s.seen.members[at] = allBits
				}
			}
		default:
			group(name, newTable(members...))
		}
		if members = nil; name == "event" {
			root = append(root, member[Event]{name: "amount", read: readAmount, write: writeAmount})
		}
	}
	root = append(root, member[Event]{name: "custom", read: readCustom, write: writeCustom})
	return newTable(root...)
}

// eventMember turns a field into the member of its group, with the checks that
// are its own.
func eventMember(f Field, key string) member[Event] {
	m := member[Event]{
		name: key, kind: f.Kind, class: f.Class,
		text: f.Text, number: f.Number, flag: f.Flag, time: f.Time,
		dates: key == "birth_date" || key == "created",
	}
	switch f.Path {
	case "event.id", "event.type":
		m.required, m.limit, m.check = true, maxID, checkName
	case "event.time":
		m.required = true
	case "card.token":
		m.read = readCardToken
	case "card.bin":
		m.check = digitsCheck(6, 8, "not the 6 to 8 digits of a BIN")
	case "card.last4":
		m.check = digitsCheck(4, 4, "not four digits")
	case "merchant.mcc":
		m.check = digitsCheck(4, 4, "not the four digits of a merchant category code")
	case "device.ip":
		m.check = func(b []byte) string {
			if _, err := netip.ParseAddr(string(b)); err != nil {
				return "not an IP address"
			}
			return ""
		}
	case "device.lat", "billing.lat", "shipping.lat":
		m.read = readDegrees(f.Number, 90, "not a latitude: -90 to 90 degrees")
	case "device.lon", "billing.lon", "shipping.lon":
		m.read = readDegrees(f.Number, 180, "not a longitude: -180 to 180 degrees")
	case "label.kind":
		m.check = func(b []byte) string {
			switch string(b) {
			case "fraud", "early_warning", "chargeback", "genuine", "other":
				return ""
			}
			return "not one of fraud, early_warning, chargeback, genuine, other"
		}
	}
	return m
}

// readDegrees keeps two decimals of a coordinate, about a kilometre: enough for
// distances and speeds, and nobody's door.
func readDegrees(at func(*Event) *Number, most float64, fault string) func(*scanner, *Event) {
	return func(s *scanner, e *Event) {
		n := s.numberOf()
		switch {
		case !n.Set:
		case math.Abs(n.Value) > most:
			s.warn(CodeInputInvalid, fault)
		default:
			*at(e) = Number{Value: math.Round(n.Value*100)/100 + 0, Set: true} // no -0
		}
	}
}

// checkName refuses characters that a name must not hold: whoever reads it in a
// log or a key must see all of it.
func checkName(b []byte) string {
	for _, r := range string(b) {
		if r >= ' ' && r < 0x7f {
			continue // most names are of these alone
		}
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return "holds a control character"
		}
		if invisible(r) {
			return "holds an invisible character"
		}
	}
	return ""
}

func digitsCheck(least, most int, fault string) func([]byte) string {
	return func(b []byte) string {
		if len(b) < least || len(b) > most || !allDigits(b) {
			return fault
		}
		return ""
	}
}

var documentTable = newTable(
	member[Document]{name: "kind", kind: Text, class: Plain, text: func(d *Document) *string { return &d.Kind }},
	member[Document]{name: "expires", kind: Instant, class: Plain, dates: true, time: func(d *Document) *Time { return &d.Expires }},
)

// An owner's share stays when the rest has been erased, so the list keeps its
// length; that is why no Keys form names an owner.
var ownerTable = newTable(
	member[Owner]{name: "id", kind: Text, class: Identifier, text: func(o *Owner) *string { return &o.ID }},
	member[Owner]{name: "name", kind: Free, class: Personal, text: func(o *Owner) *string { return &o.Name }},
	member[Owner]{name: "share", kind: Decimal, class: Plain, read: readShare, write: writeShare},
)

var itemTable = newTable(
	member[Item]{name: "sku", kind: Text, class: Plain, text: func(i *Item) *string { return &i.SKU }},
	member[Item]{name: "name", kind: Free, class: Plain, text: func(i *Item) *string { return &i.Name }},
	member[Item]{name: "category", kind: Text, class: Plain, text: func(i *Item) *string { return &i.Category }},
	member[Item]{name: "quantity", kind: Decimal, class: Plain, number: func(i *Item) *Number { return &i.Quantity }},
	member[Item]{name: "price", kind: Text, class: Plain, limit: 24, check: checkDecimal, text: func(i *Item) *string { return &i.Price }},
)

func checkDecimal(b []byte) string {
	whole, frac, dot := bytes.Cut(bytes.TrimPrefix(b, []byte("-")), []byte("."))
	if !allDigits(whole) || dot && !allDigits(frac) {
		return "not a decimal such as \"12.30\""
	}
	return ""
}

func readShare(s *scanner, o *Owner) {
	if n := s.numberOf(); n.Set && (n.Value < 0 || n.Value > 1) {
		s.warn(CodeInputInvalid, "not between 0 and 1")
	} else {
		o.Share = n
	}
}

func writeShare(dst []byte, part Class, o *Owner, _ *sighting) []byte {
	if part == Plain && o.Share.Set {
		return appendFloat(dst, o.Share.Value)
	}
	return dst
}

// listMember is a list of objects, of which the first most are kept. The plain
// part fixes its length; the personal part adds to its elements by index.
func listMember[T any](name string, t *table[T], most int, at func(*Event) *[]T) member[Event] {
	return member[Event]{
		name: name,
		read: func(s *scanner, e *Event) {
			if s.peek() != '[' {
				s.unfit(false, "not an array")
				return
			}
			list := at(e)
			a := s.enter()
			for s.element(&a) {
				if a.n > most {
					if a.n == most+1 {
						s.warn(CodeTooMany, "the list is cut here")
					}
					s.skip()
					continue
				}
				if s.merge {
					if a.n > len(*list) {
						s.stop(CodeInvalidJSON, "the personal part has more elements than the plain one")
						return
					}
					readObject(s, t, &(*list)[a.n-1])
					continue
				}
				var v T
				if _, ok := readObject(s, t, &v); ok {
					*list = append(*list, v)
				}
			}
		},
		write: func(dst []byte, part Class, e *Event, seen *sighting) []byte {
			list := *at(e)
			start, some := len(dst), part == Plain && len(list) > 0
			for i := range list {
				if i == 0 {
					dst = append(dst, '[')
				} else {
					dst = append(dst, ',')
				}
				mark := len(dst)
				if dst = t.appendObject(dst, part, &list[i], allBits, seen); len(dst) == mark {
					dst = append(dst, '{', '}')
				} else {
					some = true
				}
			}
			if !some {
				return dst[:start]
			}
			return append(dst, ']')
		},
	}
}

// moneyText is money as it is written: two strings that mean something together.
type moneyText struct {
	value, currency string
	rate            Number
}

var (
	amountTable = newTable(
		member[moneyText]{name: "value", kind: Text, class: Plain, limit: 64, required: true, text: func(m *moneyText) *string { return &m.value }},
		member[moneyText]{name: "currency", kind: Text, class: Plain, limit: 64, required: true, text: func(m *moneyText) *string { return &m.currency }},
	)
	settlementTable = newTable(
		member[moneyText]{name: "amount", kind: Text, class: Plain, limit: 64, text: func(m *moneyText) *string { return &m.value }},
		member[moneyText]{name: "currency", kind: Text, class: Plain, limit: 64, text: func(m *moneyText) *string { return &m.currency }},
		member[moneyText]{name: "rate", kind: Decimal, class: Plain, number: func(m *moneyText) *Number { return &m.rate }},
	)
)
