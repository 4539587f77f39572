package engine_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/sluice-risk/sluice/engine"
	"github.com/sluice-risk/sluice/features"
	"github.com/sluice-risk/sluice/internal/diag"
	"github.com/sluice-risk/sluice/internal/enrich"
	"github.com/sluice-risk/sluice/internal/expression"
	"github.com/sluice-risk/sluice/risk"
)

// forty is a release with 40 features over 6 entities and 100 rules about them, each
// of which fires in one of 10,000 payments of the crowd.
func forty(t testing.TB) *engine.Bundle {
	t.Helper()
	b, err := buildForty()
	if err != nil {
		t.Fatal(err)
	}
	if n := len(b.Rules.Features.Names()); n != 40 {
		t.Fatalf("%d features, want 40", n)
	}
	return b
}

func buildForty() (*engine.Bundle, error) {
	text, err := os.ReadFile("testdata/forty/features.yaml")
	if err != nil {
		return nil, err
	}
	var rules strings.Builder
	rules.WriteString("apiVersion: rules/v1\nscenario: pay\nrules:\n")
	// Of the crowd's payments one in a hundred reaches each, and one in 75 is that large.
	seldom := []string{"card_attempts_10m >= 95", "card_attempts_24h >= 2500", "card_sum_24h >= 1900000", "card_amounts_1h >= 562",
		"card_merchants_7d >= 1130", "card_similar_24h >= 325", "card_no_avs_in_a_row >= 3", "customer_payments_30d >= 4800", "customer_pause >= 29000",
		"device_cards_7d >= 1680", "device_customers_30d >= 1560", "device_attempts_1h >= 557", "net_attempts_10m >= 108", "net_cards_1h >= 514",
		"net_sum_1h >= 474000", "merchant_sum_24h >= 3500000", "merchant_avg_7d >= 870", "merchant_cards_1h >= 770", "merchant_foreign_6h >= 3700", "pair_payments >= 29"}
	for i := range 100 {
		fmt.Fprintf(&rules, "  - {id: r%d, stage: review, when: '%s and amount.base > %d and card.country != merchant.country', reason: R1}\n",
			i, seldom[i%len(seldom)], 1470+5*(i/len(seldom)))
	}
	return engine.Build(diag.Files{
		"ruleset.yaml": []byte("apiVersion: ruleset/v1\nruleset: forty\nbase_currency: USD\nscenarios:\n  pay:\n    events: [payment.authorization]\n" +
			"    subject: customer.id\n    timeout: {then: review}\n    missing_feature: ignore\n"),
		"reasons.yaml":  []byte("apiVersion: reasons/v1\nreasons:\n  R1: {public: {en: one}}\n"),
		"rules/r.yaml":  []byte(rules.String()),
		"features.yaml": text,
	}, tables())
}

// dollars are tables that convert to the release's currency.
func dollars(t testing.TB) *enrich.Tables {
	t.Helper()
	look, err := tables().With("USD", nil)
	if err != nil {
		t.Fatal(err)
	}
	return look
}

// summed holds that the features saw amounts.
func summed(t testing.TB, set *features.Set, v *features.Vector) {
	t.Helper()
	if i, ok := set.Index("card_sum_24h"); !ok || !(v.Values[i] > 0) {
		t.Fatal("no amount was summed")
	}
}

// crowd is who takes part: about a million entities, of which some are met much
// more often than others.
type crowd struct {
	r                                 *rand.Rand
	cards, devices, networks, sellers *rand.Zipf
	n                                 int
	at                                risk.Time
}

const (
	crowdCards, crowdDevices, crowdNetworks, crowdSellers = 280_000, 240_000, 60_000, 10_000
	crowdStep                                             = 50 // milliseconds from one event to the next
)

func newCrowd() *crowd {
	r := rand.New(rand.NewPCG(40, 6))
	zipf := func(s float64, n uint64) *rand.Zipf { return rand.NewZipf(r, s, 20, n-1) }
	return &crowd{r: r, cards: zipf(1.1, crowdCards), devices: zipf(1.1, crowdDevices), networks: zipf(1.1, crowdNetworks), sellers: zipf(1.2, crowdSellers),
		at: risk.At(clock().AddDate(-2, 0, 0))}
}

// next makes an event: of everybody in turn, or of whom Zipf draws. The first one is
// older than any window, so that no value is partial.
func (c *crowd) next(everybody bool) []byte {
	card, device, network, seller := uint64(c.n), uint64(c.n), uint64(c.n), uint64(c.n)
	if !everybody {
		card, device, network, seller = c.cards.Uint64(), c.devices.Uint64(), c.networks.Uint64(), c.sellers.Uint64()
	}
	card, device, network, seller = card%crowdCards, device%crowdDevices, network%crowdNetworks, seller%crowdSellers
	return c.event(card, card*2/3, device, network, seller) // some have two cards
}

func (c *crowd) event(card, customer, device, network, seller uint64) []byte {
	if c.n++; c.n == 2 {
		c.at = risk.At(clock())
	}
	c.at += crowdStep
	avs := [...]string{"Y", "Y", "Y", "U", "N"}[c.r.IntN(5)]
	countries := [...]string{"US", "DE", "CN", "BR", "IN"}
	return fmt.Appendf(nil, `{"event":{"id":"pay-%09d","type":"payment.authorization","time":%q},"amount":{"value":"%d.%02d","currency":"USD"},`+
		`"payment":{"id":"p-%09d","method":"card","rail":"ecommerce","attempt":1,"avs_result":%q,"cvc_result":"M","three_ds":"authenticated"},`+
		`"customer":{"id":"u_%d","type":"individual","name":"Anna Bennett","country":%q,"email":"anna.bennett.%d@example.com","phone":"+15555%06d","created":"2021-05-29T08:00:00Z","kyc_level":"basic"},`+
		`"card":{"token":"tok_%012d","bin":"524133","last4":"%04d","brand":"mastercard","funding":"debit","country":%q,"expiry":"2030-01"},`+
		`"device":{"id":"d_ios_%012d","ip":"%d.%d.%d.7","user_agent":"Mozilla/5.0 (iPhone; CPU iPhone OS 19_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/19.1 Mobile Safari/604.1","language":"en-US","timezone":"America/New_York","session_id":"s_%d"},`+
		`"billing":{"line1":"122 Bridge Street","city":"Springfield","postal_code":"62701","country":%q},`+
		`"merchant":{"id":"m_%d","name":"Amber Works","mcc":"5732","country":%q,"created":"2023-08-17T08:00:00Z"},"order":{"id":"o-%09d"}}`,
		c.n, c.at.String(), c.r.IntN(1500), c.r.IntN(100), c.n, avs, customer, countries[customer%5], customer, customer%1_000_000, card, card%10_000, countries[card%5],
		device, 16+network>>16, network>>8&255, network&255, c.n/7, countries[customer%5], seller, countries[seller%5], c.n)
}

const (
	fortyCrowd  = crowdCards // events until everybody has been met
	fortyEvents = 200_000    // that are measured
)

// BenchmarkFortyDecode is the yardstick of the two below: encoding/json into a struct
// of the same events.
func BenchmarkFortyDecode(b *testing.B) {
	c := newCrowd()
	var events [][]byte
	for range fortyEvents / 4 {
		events = append(events, c.next(false))
	}
	b.ResetTimer()
	perEvent(b, len(events), func() {
		for _, raw := range events {
			var e yardstick
			if err := json.Unmarshal(raw, &e); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkFortyFeatures computes 40 features of each event over a million entities
// that are all in memory: what an event means to them, counting it, reading every
// value, the formulas.
func BenchmarkFortyFeatures(b *testing.B) {
	set, decode, look := forty(b).Rules.Features, decoder(), dollars(b)
	st, c := features.NewState(set), newCrowd()
	var scope expression.Scope
	var p features.Prepared
	var v features.Vector
	record := func(raw []byte, rec *risk.Record) {
		if err := decode.Decode(raw, rec); err != nil {
			b.Fatal(err)
		}
		rec.Tenant, rec.Arrival = "default", rec.Event.Time
		look.Fill(rec)
	}
	entities := map[features.Touch]bool{}
	observe := func(rec *risk.Record, p *features.Prepared) {
		t := st.Observe(p, rec.Event.Time, rec.Arrival, &v)
		scope.Record, scope.At, scope.Features = rec, t.At, v.Values
		set.Derive(&scope)
	}
	var rec risk.Record
	meet := func(everybody bool) {
		rec.Reset()
		record(c.next(everybody), &rec)
		set.Prepare(&rec, &scope, &p)
		observe(&rec, &p)
		for _, t := range p.Touches() {
			entities[t] = true
		}
	}
	for range fortyCrowd {
		meet(true)
	}
	for range fortyEvents { // and who is often met has a past
		meet(false)
	}
	held := float64(len(entities))
	entities = nil
	recs := make([]risk.Record, 500) // decoded aside, a batch at a time
	prepared := make([]features.Prepared, len(recs))
	var next []*features.Prepared
	for i := range prepared {
		next = append(next, &prepared[i])
	}
	b.ResetTimer()
	spent := 0.0
	for range fortyEvents / len(recs) {
		for i := range recs {
			recs[i].Reset()
			record(c.next(false), &recs[i])
		}
		begin := cpu()
		for i := range recs {
			set.Prepare(&recs[i], &scope, &prepared[i])
		}
		for i := range recs {
			if i%features.WarmEvents == 0 {
				st.Warm(next[i:min(i+features.WarmEvents, len(next))])
			}
			observe(&recs[i], &prepared[i])
		}
		spent += float64((cpu() - begin).Nanoseconds())
	}
	summed(b, set, &v)
	b.ReportMetric(spent/fortyEvents/1e3, "cpu-us/event")
	b.ReportMetric(held, "entities")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkFortyDecision decides the same events in memory by 100 rules, of which one
// fires in a hundred payments (measured: 0.011 rules a payment): JSON in, body out.
func BenchmarkFortyDecision(b *testing.B) {
	walk, c := engine.NewOffline(decoder(), tables(), nil), newCrowd()
	walk.Pin(forty(b))
	pass := func(n int, everybody bool) (spent, fired float64) {
		for range n / 500 {
			batch := &engine.Batch{}
			for range 500 {
				batch.Items = append(batch.Items, engine.NewItem(c.next(everybody), "default"))
			}
			begin := cpu()
			walk.Decode(batch, func(_ *engine.Item, err error) { b.Fatal(err) })
			if err := walk.Apply(batch); err != nil {
				b.Fatal(err)
			}
			spent += float64((cpu() - begin).Nanoseconds())
			for _, r := range batch.Results() {
				fired += float64(bytes.Count(r.Body, []byte(`"stage":"review"`)))
			}
			batch.Release()
		}
		return spent / float64(n), fired / float64(n)
	}
	pass(fortyCrowd, true)
	pass(fortyEvents, false)
	b.ResetTimer()
	spent, fired := pass(fortyEvents, false)
	b.ReportMetric(spent/1e3, "cpu-us/event")
	b.ReportMetric(fired, "rules/event")
	b.ReportMetric(0, "ns/op")
}
