package features

import (
	"testing"

	"github.com/sluice-risk/sluice/risk"
)

// TestSharedByBuyerAndSeller counts what two people have in common: a pair of person
// and device, phone, home or network is observed with the customer of an event and
// read with the seller of an escrow.
func TestSharedByBuyerAndSeller(t *testing.T) {
	set := mustLoad(t, `apiVersion: features/v1
entities:
  on_device:  {keys: [[device.id, customer.id], [device.id, escrow.seller]]}
  at_phone:   {keys: [[phone(customer.phone), customer.id], [phone(customer.phone), escrow.seller]]}
  at_home:    {keys: [[address(shipping), customer.id], [address(shipping), escrow.seller]]}
  on_network: {keys: [[network(device.ip), customer.id], [network(device.ip), escrow.seller]]}
  home:       {key: address(shipping)}
  named:      {key: "name( customer.name )"}
features:
  same_device: {count: {by: {observe: [device.id, customer.id], read: [device.id, escrow.seller]}}}
  same_phone: {count: {by: {observe: [phone(customer.phone), customer.id], read: [phone(customer.phone), escrow.seller]}}}
  same_address: {count: {by: {observe: [address(shipping), customer.id], read: [address(shipping), escrow.seller]}}}
  same_network: {count: {by: {entity: on_network, read: [network(device.ip), escrow.seller]}, current: exclude}}
  people:  {distinct: {by: home, of: customer.id}}
  same:    {count: {by: named}}
`)
	r := &rig{t: t, set: set, st: NewState(set)}
	missing := func(names ...string) {
		t.Helper()
		for _, name := range names {
			i, _ := r.set.Index(name)
			if v := r.v.Values[i]; v == v {
				t.Errorf("%s = %v, want missing", name, v)
			}
		}
	}
	seller := func(e *risk.Event) {
		e.Customer = risk.Customer{ID: "s", Phone: "020 7946 0958", Country: "GB", Name: "Müller, Anna"}
		e.Device = risk.Device{ID: "d", IP: "81.2.69.1"}
		e.Shipping = risk.Address{Line1: "10 Main Street", Line2: "Apt 5", PostalCode: "12345", Country: "US"}
	}
	r.event(0, seller)
	missing("same_device", "same_phone", "same_address", "same_network") // no escrow: no seller to read
	r.event(1, seller)
	r.event(2, func(e *risk.Event) { // the buyer, with the same things in other spellings
		e.Customer = risk.Customer{ID: "b", Phone: "+44 20 7946 0958", Name: "ANNA MULLER"}
		e.Device = risk.Device{ID: "d", IP: "81.2.69.200"}
		e.Shipping = risk.Address{Line1: "10 Main St #5", PostalCode: "12345-6789", Country: "US"}
		e.Escrow.Seller = "s"
	})
	r.want("same_device", 2)
	r.want("same_phone", 2)
	r.want("same_address", 2)
	r.want("same_network", 2)
	r.want("people", 2)
	r.want("same", 3)
	r.event(3, func(e *risk.Event) { // an honest one
		e.Customer = risk.Customer{ID: "h", Phone: "+44 20 7946 0000", Name: "Jo"}
		e.Device = risk.Device{ID: "e", IP: "9.9.9.9"}
		e.Shipping = risk.Address{Line1: "11 Main Street", PostalCode: "12345", Country: "US"}
		e.Escrow.Seller = "s"
	})
	for _, name := range []string{"same_device", "same_phone", "same_address", "same_network"} {
		r.want(name, 0)
	}
	r.event(4, func(e *risk.Event) { e.Escrow.Seller, e.Customer.ID, e.Customer.Phone = "s", "b", "12" })
	missing("same_device", "same_phone", "same_address", "same_network", "people", "same") // a part is missing: no entity
}
