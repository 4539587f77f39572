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
}

// Keys lists the forms whose pseudonyms a record keeps: every Identifier field,
// then the normalised ones. The order is part of the record format: append only.
var Keys = keys()

func keys() []Key {
	var all []Key
	for _, f := range Fields {
		if f.Class == Identifier {
			all = append(all, Key{f.Path, func(e *Event) string { return *f.Text(e) }})
		}
	}
	all = append(all,
		Key{"network(device.ip)", func(e *Event) string { return Network(e.Device.IP) }},
		Key{"email(customer.email)", func(e *Event) string { return Email(e.Customer.Email) }},
		Key{"domain(customer.email)", func(e *Event) string { return Domain(e.Customer.Email) }},
		Key{"phone(customer.phone)", func(e *Event) string { return Phone(e.Customer.Phone) }},
	)
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
