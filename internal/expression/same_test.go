package expression

import (
	"reflect"
	"testing"

	"github.com/sluice-risk/sluice/internal/diag"
	"github.com/sluice-risk/sluice/risk"
)

// What a comparison of identifiers gives is the same by their texts, in a rule, by
// their pseudonyms, in a feature, and by those alone when the person was erased.
func TestIdentifiersAreCompared(t *testing.T) {
	secrets := risk.NewSecrets([32]byte{7})
	event := func() risk.Event {
		var e risk.Event
		e.Sender = risk.Party{ID: "u1", Account: "DE1", Email: "a.b@gmail.com", Phone: "020 7946 0958", Country: "GB", Name: "Ann Lee"}
		e.Receiver = risk.Party{ID: "u2", Account: "DE1", Email: "AB+x@gmail.com", Phone: "+44 20 7946 0958", Name: "LEE, Ann"}
		e.Escrow.Seller = "u1"
		return e
	}
	whole := event()
	live := &Scope{Record: &risk.Record{Event: whole, IDs: secrets.IDs(&whole)}}
	erased := &Scope{Record: &risk.Record{IDs: live.Record.IDs, Erased: true}}
	e := testEnv(t)
	for src, want := range map[string]any{
		"sender.account == receiver.account":                                                     true,
		"receiver.account != sender.account":                                                     false,
		"sender.id == receiver.id":                                                               false,
		"not (sender.id == receiver.id) and escrow.seller == sender.id":                          true,
		"sender.email == receiver.email":                                                         false,
		"email(sender.email) == email( receiver.email )":                                         true,
		"phone(sender.phone) == phone(receiver.phone)":                                           true,
		"name(sender.name) != name(receiver.name)":                                               false,
		"sender.id == customer.id":                                                               "missing(customer.id)",
		"customer.id != sender.id":                                                               "missing(customer.id)",
		"phone(billing.phone) == phone(sender.phone)":                                            "missing(phone(billing.phone))",
		"has(customer.id) and customer.id == sender.id":                                          false,
		"has(sender.id) ? sender.account == receiver.account : true":                             true,
		"has(receiver.account) and (sender.wallet == receiver.wallet or sender.id == sender.id)": "missing(sender.wallet)",
	} {
		for _, pseudonymous := range []bool{false, true} {
			p, list := e.Compile(diag.Inline("test", src), Bool, CompileOptions{Pseudonymous: pseudonymous})
			if list.Err() != nil {
				t.Errorf("%s: %v", src, list)
				continue
			}
			for _, s := range []*Scope{live, erased} {
				var got any
				is, fault := p.Bool(s)
				if got = is; fault != (Fault{}) {
					got = fault.String()
				}
				if got != want {
					t.Errorf("%s, pseudonymous %v, erased %v: %v, want %v", src, pseudonymous, s.Record.Erased, got, want)
				}
			}
		}
	}
	yes, no := risk.Scalar{Kind: risk.Bool, Bool: true}, risk.Scalar{Kind: risk.Bool}
	p := mustCompile(t, e, "sender.account == receiver.account and not (sender.id == receiver.id)", Bool)
	want := []risk.Because{
		{Left: "sender.account == receiver.account", Value: yes, Op: "==", Limit: yes},
		{Left: "sender.id == receiver.id", Value: no, Op: "==", Limit: no},
	}
	for _, s := range []*Scope{live, erased} {
		if got := p.Because(s); !reflect.DeepEqual(got, want) {
			t.Errorf("evidence, erased %v:\n got %+v\nwant %+v", s.Record.Erased, got, want)
		}
	}
}
