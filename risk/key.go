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

const maxKeys = 64

// Key is one form of an identifier that can name an entity: a field as sent
// ("customer.id") or normalised ("network(device.ip)", "address(shipping)").
type Key struct {
	Form  string
	Value func(*Event) string // "" when absent or without a normal form

	field  func(*Event) *string
	derive func(dst []byte, e *Event) []byte // nil: as sent

	// The place of the field in a sighting; of an address, of any of its lines.
	group   int
	members uint64
}

// Keys lists the forms whose pseudonyms a record keeps.
var Keys = keys()

// keyForms is the order of Keys, which is part of the record format: append only.
// Every Identifier field stands in it.
const keyForms = `customer.id customer.email customer.phone card.token device.id device.ip device.session_id billing.phone shipping.phone
	sender.id sender.account sender.wallet receiver.id receiver.account receiver.wallet
	ultimate_sender.id ultimate_sender.account ultimate_sender.wallet ultimate_receiver.id ultimate_receiver.account ultimate_receiver.wallet
	escrow.seller escrow.buyer
	network(device.ip) email(customer.email) domain(customer.email) phone(customer.phone)

	sender.email sender.phone receiver.email receiver.phone
	ultimate_sender.email ultimate_sender.phone ultimate_receiver.email ultimate_receiver.phone
	network48(device.ip) email(sender.email) domain(sender.email) email(receiver.email) domain(receiver.email)
	phone(billing.phone) phone(shipping.phone) phone(sender.phone) phone(receiver.phone)
	name(customer.name) name(billing.name) name(shipping.name) name(sender.name) name(receiver.name)
	name(ultimate_sender.name) name(ultimate_receiver.name)
	address(billing) address(shipping) address(sender) address(receiver)`

func keys() []Key {
	var all []Key
	for form := range strings.FieldsSeq(keyForms) {
		function, path, call := strings.Cut(strings.TrimSuffix(form, ")"), "(")
		if !call {
			path = form
		}
		k := Key{Form: form}
		if function == "address" {
			k.derive, k.group, k.members = addressOf(path)
		} else {
			k.field = textField(path)
			k.group, k.members = placeOf(path)
		}
		if call && k.derive == nil {
			k.derive = normaliser(function, path, k.field)
		}
		if field, derive := k.field, k.derive; derive == nil {
			k.Value = func(e *Event) string { return *field(e) }
		} else {
			k.Value = func(e *Event) string { return string(derive(nil, e)) }
		}
		all = append(all, k)
	}
	if len(all) > maxKeys {
		panic(fmt.Sprintf("risk: %d key forms, room for %d", len(all), maxKeys))
	}
	return all
}

func textField(path string) func(*Event) *string {
	return Fields[fieldIndex(path)].Text
}

func fieldIndex(path string) int {
	return slices.IndexFunc(Fields, func(f Field) bool { return f.Path == path })
}

// normaliser gives what makes the normal form of a field.
func normaliser(function, path string, field func(*Event) *string) func([]byte, *Event) []byte {
	switch function {
	case "network":
		return func(dst []byte, e *Event) []byte { return appendNetwork(dst, *field(e), 64) }
	case "network48":
		return func(dst []byte, e *Event) []byte { return appendNetwork(dst, *field(e), 48) }
	case "email":
		return func(dst []byte, e *Event) []byte { return appendEmail(dst, *field(e)) }
	case "domain":
		return func(dst []byte, e *Event) []byte { return appendDomain(dst, *field(e)) }
	case "name":
		return func(dst []byte, e *Event) []byte { return appendName(dst, *field(e)) }
	case "phone": // dialled from the country of whoever it belongs to
		group, _, _ := strings.Cut(path, ".")
		country, billing := textField(group+".country"), textField("billing.country")
		return func(dst []byte, e *Event) []byte {
			region := *country(e)
			if region == "" && group == "customer" {
				region = *billing(e)
			}
			return appendPhone(dst, *field(e), region)
		}
	}
	panic("risk: no normal form " + function)
}

// addressOf gives the normal form of the address in a group, and where its lines
// stand in a sighting.
func addressOf(group string) (derive func([]byte, *Event) []byte, at int, members uint64) {
	switch group {
	case "billing":
		derive = func(dst []byte, e *Event) []byte { return e.Billing.appendNormal(dst) }
	case "shipping":
		derive = func(dst []byte, e *Event) []byte { return e.Shipping.appendNormal(dst) }
	case "sender":
		derive = func(dst []byte, e *Event) []byte { return e.Sender.appendNormal(dst) }
	case "receiver":
		derive = func(dst []byte, e *Event) []byte { return e.Receiver.appendNormal(dst) }
	default:
		panic("risk: " + group + " has no address")
	}
	at, members = placeOf(group + ".line1")
	return derive, at, members
}

// placeOf finds a field's group in eventTable and its bit among the members there.
func placeOf(path string) (group int, member uint64) {
	name, _, _ := strings.Cut(path, ".")
	first := slices.IndexFunc(Fields, func(f Field) bool { return strings.HasPrefix(f.Path, name+".") })
	return eventTable.index.find([]byte(name)), 1 << (fieldIndex(path) - first)
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
