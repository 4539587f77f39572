package risk

import (
	"fmt"
	"slices"
	"strings"
)

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

	field  func(*Event) *string
	derive func(dst []byte, field string) []byte // nil: as sent

	// The place of the field in a sighting.
	group  int
	member uint64
}

// Keys lists the forms whose pseudonyms a record keeps: every Identifier field,
// then the normalised ones. The order is part of the record format: append only.
var Keys = keys()

func keys() []Key {
	var all []Key
	add := func(form string, f Field, derive func([]byte, string) []byte) {
		k := Key{
			Form:  form,
			Value: func(e *Event) string { return *f.Text(e) },
			field: f.Text, derive: derive,
		}
		if derive != nil {
			k.Value = func(e *Event) string { return string(derive(nil, *f.Text(e))) }
		}
		k.group, k.member = placeOf(f.Path)
		all = append(all, k)
	}
	for _, f := range Fields {
		if f.Class == Identifier {
			add(f.Path, f, nil)
		}
	}
	normal := func(function, path string, derive func([]byte, string) []byte) {
		i := slices.IndexFunc(Fields, func(f Field) bool { return f.Path == path })
		add(function+"("+path+")", Fields[i], derive)
	}
	normal("network", "device.ip", appendNetwork)
	normal("email", "customer.email", appendEmail)
	normal("domain", "customer.email", appendDomain)
	normal("phone", "customer.phone", appendPhone)
	if len(all) > maxKeys {
		panic(fmt.Sprintf("risk: %d key forms, room for %d", len(all), maxKeys))
	}
	return all
}

// placeOf finds a field's group in eventTable and its bit among the members there.
func placeOf(path string) (group int, member uint64) {
	name, _, _ := strings.Cut(path, ".")
	first := slices.IndexFunc(Fields, func(f Field) bool { return strings.HasPrefix(f.Path, name+".") })
	i := slices.IndexFunc(Fields, func(f Field) bool { return f.Path == path })
	return eventTable.index.find([]byte(name)), 1 << (i - first)
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
