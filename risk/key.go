package risk

import "fmt"

// ID is a keyed 128-bit pseudonym of an identifier. The zero ID is absent.
type ID [16]byte

// IsZero reports whether the identifier was absent.
func (id ID) IsZero() bool { return id == ID{} }

// IDs holds the pseudonyms of an event, one per entry of Keys.
type IDs [maxKeys]ID

const maxKeys = 48

// Key is one form of an identifier that can name an entity: a field as sent
// ("customer.id") or normalised ("network(device.ip)").
type Key struct {
	Form  string
	Value func(*Event) string // "" when absent or without a normal form

	// Exactly one of these is set; they give Value without allocating.
	field  func(*Event) *string
	derive func(dst []byte, e *Event) []byte
}

// Keys lists the forms whose pseudonyms a record keeps: every Identifier field,
// then the normalised ones. The order is part of the record format: append only.
var Keys = keys()

func keys() []Key {
	var all []Key
	for _, f := range Fields {
		if f.Class == Identifier {
			all = append(all, Key{
				Form:  f.Path,
				Value: func(e *Event) string { return *f.Text(e) },
				field: f.Text,
			})
		}
	}
	derived := func(form string, field func(*Event) *string, normal func([]byte, string) []byte) {
		derive := func(dst []byte, e *Event) []byte {
			if s := *field(e); s != "" {
				return normal(dst, s)
			}
			return dst
		}
		all = append(all, Key{
			Form:   form,
			Value:  func(e *Event) string { return string(derive(nil, e)) },
			derive: derive,
		})
	}
	ip := func(e *Event) *string { return &e.Device.IP }
	email := func(e *Event) *string { return &e.Customer.Email }
	phone := func(e *Event) *string { return &e.Customer.Phone }
	derived("network(device.ip)", ip, appendNetwork)
	derived("email(customer.email)", email, appendEmail)
	derived("domain(customer.email)", email, appendDomain)
	derived("phone(customer.phone)", phone, appendPhone)
	if len(all) > maxKeys {
		panic(fmt.Sprintf("risk: %d key forms, room for %d", len(all), maxKeys))
	}
	return all
}

// KeyIndex finds a form in Keys, or -1.
func KeyIndex(form string) int {
	for i := range Keys {
		if Keys[i].Form == form {
			return i
		}
	}
	return -1
}
