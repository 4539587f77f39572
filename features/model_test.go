package features

import (
	"cmp"
	"fmt"
	"math"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-risk/sluice/internal/diag"
	"github.com/sluice-risk/sluice/internal/expression"
	"github.com/sluice-risk/sluice/risk"
)

// The model keeps every accepted event and computes each feature by going over
// all of them. It shares no code with the package but the YAML it describes.

// modelFeature says the same twice: as YAML, and as Go.
type modelFeature struct {
	name, yaml    string
	agg           string
	observe       []func(*risk.Event) string // entity by each key; "" absent
	read          func(*risk.Event) string
	of            func(*risk.Record) (any, bool) // risk.Money, float64 or string
	where         func(*risk.Record) bool
	events        string // space-separated, "" all but label
	window, delay time.Duration
	exclude       bool
	entity        string
	by, ofYAML    string // of those that are drawn
	defined       string // what definition gave
	last, least   int
	q             *big.Rat
	within        float64
	while         func(*risk.Record) bool
	same          string // a feature that differs in its read key alone
	formula       func(v map[string]float64) float64
}

// definition is equal for features that keep each other's past.
func (f *modelFeature) definition() string {
	if !strings.HasPrefix(f.name, "drawn_") {
		return cmp.Or(f.same, f.name)
	}
	if f.defined != "" {
		return f.defined
	}
	d := *f
	d.name, d.least = "", min(d.least, 1)
	if newest[d.agg] {
		d.last = 0
	}
	f.defined = d.write()
	return f.defined
}

func card(e *risk.Event) string     { return e.Card.Token }
func customer(e *risk.Event) string { return e.Customer.ID }
func merchant(e *risk.Event) string { return e.Merchant.ID }
func sender(e *risk.Event) string   { return e.Sender.Account }
func receiver(e *risk.Event) string { return e.Receiver.Account }
func network(e *risk.Event) string  { return risk.Network(e.Device.IP) }
func pair(e *risk.Event) string {
	if e.Customer.ID == "" || e.Merchant.ID == "" {
		return ""
	}
	return e.Customer.ID + "\x00" + e.Merchant.ID
}

func base(r *risk.Record) (any, bool)   { return r.Facts.Base, !r.Facts.Base.IsZero() }
func amount(r *risk.Record) (any, bool) { return r.Event.Amount, !r.Event.Amount.IsZero() }
func attempt(r *risk.Record) (any, bool) {
	return r.Event.Payment.Attempt.Value, r.Event.Payment.Attempt.Set
}
func bin(r *risk.Record) (any, bool)   { return r.Event.Card.BIN, r.Event.Card.BIN != "" }
func token(r *risk.Record) (any, bool) { return r.Event.Card.Token, r.Event.Card.Token != "" }
func fraud(r *risk.Record) (any, bool) {
	switch l := r.Event.Label; {
	case r.Event.Type == "chargeback":
		return 1.0, true
	case l.Kind == "fraud" || l.Kind == "early_warning":
		return 1.0, true
	case l.Kind == "genuine":
		return 0.0, true
	}
	return nil, false
}
func cash(r *risk.Record) bool { return r.Event.Payment.Method == "cash" }

var (
	byCard      = []func(*risk.Event) string{card}
	byCustomer  = []func(*risk.Event) string{customer}
	byMerchant  = []func(*risk.Event) string{merchant}
	byBoth      = []func(*risk.Event) string{sender, receiver}
	byReceiver  = []func(*risk.Event) string{receiver}
	byNetwork   = []func(*risk.Event) string{network}
	byPair      = []func(*risk.Event) string{pair}
	modelHeader = `apiVersion: features/v1
limits: {allowed_lateness: 1h}
entities:
  card: {key: card.token}
  customer: {key: customer.id}
  merchant: {key: merchant.id}
  ip_net: {key: network(device.ip)}
  account: {keys: [sender.account, receiver.account]}
  pair: {key: [customer.id, merchant.id]}
features:
`
)

var modelFeatures = []modelFeature{
	{name: "card_10m", yaml: "{count: {by: card, window: 10m, events: [payment.authorization]}}",
		entity: "card", agg: "count", observe: byCard, read: card, events: "payment.authorization", window: 10 * time.Minute},
	{name: "card_prev_10m", yaml: "{count: {by: card, window: 10m, current: exclude}}",
		entity: "card", agg: "count", observe: byCard, read: card, window: 10 * time.Minute, exclude: true},
	{name: "card_life", yaml: "{count: {by: card}}", entity: "card", agg: "count", observe: byCard, read: card},
	{name: "card_sum_2h", yaml: "{sum: {by: card, of: amount.base, window: 2h}}",
		entity: "card", agg: "sum", observe: byCard, read: card, of: base, window: 2 * time.Hour},
	{name: "card_sum_life", yaml: "{sum: {by: card, of: amount.base, where: payment.method == \"cash\"}}",
		entity: "card", agg: "sum", observe: byCard, read: card, of: base, where: cash},
	{name: "card_amounts_1h", yaml: "{distinct: {by: card, of: amount.value, window: 1h}}",
		entity: "card", agg: "distinct", observe: byCard, read: card, of: amount, window: time.Hour},
	{name: "card_since", yaml: "{since_last: {by: card, current: exclude}}",
		entity: "card", agg: "since_last", observe: byCard, read: card, exclude: true},
	{name: "card_last", yaml: "{last: {by: card, of: amount.base, window: 30m, current: exclude}}",
		entity: "card", agg: "last", observe: byCard, read: card, of: base, window: 30 * time.Minute, exclude: true},
	{name: "customer_avg", yaml: "{avg: {by: customer, of: amount.base, window: 1h, delay: 10m}}",
		entity: "customer", agg: "avg", observe: byCustomer, read: customer, of: base, window: time.Hour, delay: 10 * time.Minute},
	{name: "customer_max", yaml: "{max: {by: customer, of: amount.base, window: 1h}}",
		entity: "customer", agg: "max", observe: byCustomer, read: customer, of: base, window: time.Hour},
	{name: "customer_min", yaml: "{min: {by: customer, of: payment.attempt, window: 45m, current: exclude}}",
		entity: "customer", agg: "min", observe: byCustomer, read: customer, of: attempt, window: 45 * time.Minute, exclude: true},
	{name: "customer_min_life", yaml: "{min: {by: customer, of: amount.base}}",
		entity: "customer", agg: "min", observe: byCustomer, read: customer, of: base},
	{name: "customer_max_life", yaml: "{max: {by: customer, of: payment.attempt, delay: 20m}}",
		entity: "customer", agg: "max", observe: byCustomer, read: customer, of: attempt, delay: 20 * time.Minute},
	{name: "customer_last_life", yaml: "{last: {by: customer, of: payment.attempt, current: exclude, delay: 5m}}",
		entity: "customer", agg: "last", observe: byCustomer, read: customer, of: attempt, delay: 5 * time.Minute, exclude: true},
	{name: "customer_tries", yaml: "{sum: {by: customer, of: payment.attempt, window: 1h}}",
		entity: "customer", agg: "sum", observe: byCustomer, read: customer, of: attempt, window: time.Hour},
	{name: "customer_cards_life", yaml: "{distinct: {by: customer, of: card.token}}",
		entity: "customer", agg: "distinct", observe: byCustomer, read: customer, of: token},
	{name: "merchant_fraud", yaml: "{avg: {by: merchant, of: label.fraud, window: 2h, events: [label]}}",
		entity: "merchant", agg: "avg", observe: byMerchant, read: merchant, of: fraud, events: "label", window: 2 * time.Hour},
	{name: "merchant_cb", yaml: "{count: {by: merchant, events: [chargeback]}}",
		entity: "merchant", agg: "count", observe: byMerchant, read: merchant, events: "chargeback"},
	{name: "merchant_bins", yaml: "{distinct: {by: merchant, of: card.bin, window: 30m}}",
		entity: "merchant", agg: "distinct", observe: byMerchant, read: merchant, of: bin, window: 30 * time.Minute},
	{name: "net_count", yaml: "{count: {by: ip_net, window: 1h}}",
		entity: "ip_net", agg: "count", observe: byNetwork, read: network, window: time.Hour},
	{name: "account_any", yaml: "{count: {by: {entity: account, read: sender.account}, window: 1h}}",
		entity: "account", agg: "count", observe: byBoth, read: sender, window: time.Hour},
	{name: "account_any_receiver", yaml: "{count: {by: {entity: account, read: receiver.account}, window: 1h}}",
		entity: "account", agg: "count", observe: byBoth, read: receiver, window: time.Hour, same: "account_any"},
	{name: "account_in", yaml: "{sum: {by: {observe: receiver.account, read: sender.account}, of: amount.base, window: 2h}}",
		entity: "account", agg: "sum", observe: byReceiver, read: sender, of: base, window: 2 * time.Hour},
	{name: "pair_count", yaml: "{count: {by: pair}}", entity: "pair", agg: "count", observe: byPair, read: pair},
	{name: "ratio", yaml: `{expr: "card_life > 0 ? card_10m / card_life : 0"}`, agg: "expr",
		formula: func(v map[string]float64) float64 {
			if math.IsNaN(v["card_life"]) || v["card_life"] > 0 && math.IsNaN(v["card_10m"]) {
				return math.NaN()
			}
			if v["card_life"] > 0 {
				return v["card_10m"] / v["card_life"]
			}
			return 0
		}},
}

// modelYAML writes a release with the named features.
func modelYAML(names []string) string {
	var b strings.Builder
	b.WriteString(modelHeader)
	for _, n := range names {
		fmt.Fprintf(&b, "  %s: %s\n", n, featureNamed(n).yaml)
	}
	return b.String()
}

func featureNamed(name string) *modelFeature {
	i := slices.IndexFunc(modelFeatures, func(f modelFeature) bool { return f.name == name })
	return &modelFeatures[i]
}

func testEnv() *expression.Env {
	return expression.NewEnv("USD", map[string]expression.Kind{"tier": expression.Text, "basket": expression.Number})
}

func mustLoad(t testing.TB, src string) *Set {
	t.Helper()
	set, list := Load("features.yaml", []byte(src), testEnv())
	if len(list) > 0 {
		var b strings.Builder
		diag.Render(&b, list, diag.Files{"features.yaml": []byte(src)})
		t.Fatalf("Load:\n%s", b.String())
	}
	return set
}

type modelEvent struct {
	rec  *risk.Record
	at   risk.Time
	also []*risk.Event // the event that it names
}

type model struct {
	events           []modelEvent // accepted, by position
	started          bool
	watermark, floor risk.Time
	first            risk.Time
	since            map[string]int       // position from which a feature counts
	added            map[string]risk.Time // watermark then; absent: from the start
	names            []string
}

func (m *model) activate(names []string) {
	since, added := map[string]int{}, map[string]risk.Time{}
	for _, n := range names {
		n = featureNamed(n).definition()
		if p, ok := m.since[n]; ok {
			since[n] = p
			if a, ok := m.added[n]; ok {
				added[n] = a
			}
			continue
		}
		since[n] = len(m.events)
		if m.started {
			added[n] = m.watermark
		}
	}
	m.since, m.added, m.names = since, added, names
}

const modelLateness = time.Hour

func (m *model) observe(rec *risk.Record, also []*risk.Event) (Timing, map[string]float64, map[string]risk.Time) {
	var t Timing
	t.At = rec.Event.Time
	if most := rec.Arrival.Add(5 * time.Minute); t.At > most {
		t.At, t.Future = most, true
	}
	if !m.started {
		m.started, m.watermark, m.first = true, t.At, t.At
		m.floor = t.At.Add(-modelLateness)
	}
	t.TooLate = t.At < m.floor
	m.watermark = max(m.watermark, t.At)
	m.floor = max(m.floor, m.watermark.Add(-modelLateness))
	self := modelEvent{rec, t.At, also}
	if !t.TooLate {
		m.events = append(m.events, self)
	}
	now := max(t.At, m.floor)
	v := map[string]float64{}
	partial := map[string]risk.Time{}
	for _, n := range m.names {
		f := featureNamed(n)
		if f.formula != nil {
			continue
		}
		v[n] = m.value(f, self, now, !t.TooLate)
		start, later := m.added[f.definition()]
		if !later {
			start = m.first
		}
		switch whole := start.Add(f.window + f.delay); {
		case f.window > 0 && now < whole:
			partial[n] = whole
		case f.window == 0 && later:
			partial[n] = start
		}
	}
	return t, v, partial
}

// kept is an event that a feature counts, with the value it takes of it.
type kept struct {
	modelEvent
	value any // risk.Money, float64, string or [2]float64
}

func (m *model) value(f *modelFeature, self modelEvent, now risk.Time, accepted bool) float64 {
	who := f.read(&self.rec.Event)
	for _, e := range self.also {
		if who == "" {
			who = f.read(e)
		}
	}
	if who == "" {
		return math.NaN()
	}
	var own any
	if compares[f.agg] {
		value, ok := f.of(self.rec)
		if !ok {
			return math.NaN()
		}
		own = value
	}
	var in []kept
	since := m.since[f.definition()]
	for i, e := range m.events {
		if i < since || (f.exclude || before[f.agg]) && accepted && i == len(m.events)-1 {
			continue
		}
		hi := now.Add(-f.delay)
		if e.at > hi || f.window > 0 && e.at <= hi.Add(-f.window) {
			continue
		}
		touched := false
		for _, o := range f.observe {
			touched = touched || o(&e.rec.Event) == who
			for _, named := range e.also {
				touched = touched || o(named) == who
			}
		}
		typ := e.rec.Event.Type
		wanted := f.events == "" && typ != "label" || slices.Contains(strings.FieldsFunc(f.events, func(r rune) bool { return r == ',' || r == ' ' }), typ)
		if !touched || !wanted || f.where != nil && !f.where(e.rec) {
			continue
		}
		k := kept{modelEvent: e}
		if f.of != nil {
			value, ok := f.of(e.rec)
			if !ok {
				continue
			}
			k.value = value
		}
		in = append(in, k)
	}
	slices.SortStableFunc(in, func(a, b kept) int { return cmp.Compare(a.at, b.at) })
	return f.compute(in, own, now)
}
