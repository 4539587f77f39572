package rules

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/sluice-risk/sluice/internal/diag"
	"github.com/sluice-risk/sluice/internal/expression"
	"github.com/sluice-risk/sluice/risk"
)

// exampleTime is the event's time in an example that sets none: a Monday noon.
var exampleTime = risk.At(time.Date(2026, 1, 5, 12, 0, 0, 0, time.UTC))

const day = 24 * time.Hour

// examples runs the examples of a rule: an event that has what `with` says, and
// nothing else, must fire the rule or not. A rule that reads what the example
// does not give has no result, and matches neither.
func (l *loader) examples(sc *Scenario, r *rule, spec *ruleSpec) {
	for i := range spec.Examples {
		e := &spec.Examples[i]
		want := e.Hit.Value == "true"
		if !l.oneOf(codeExample, e.Hit, "result", "true", "false") {
			continue
		}
		x := l.newExample(sc)
		mistakes := len(l.diags)
		x.fill(e.With)
		if len(l.diags) > mistakes {
			continue
		}
		switch hit, fault := x.run(r); {
		case fault.Missing != "":
			l.fault(codeFailed, e.At, fmt.Sprintf("add `%s:` to `with`, or guard it: has(%s) and …", fault.Missing, fault.Missing), "rule `%s` reads `%s`, which the example does not set", r.id, fault.Missing)
		case fault.Err != "":
			l.fault(codeFailed, e.At, "change the example or the rule", "rule `%s` fails on this example: %s", r.id, fault.Err)
		case hit != want && want:
			l.fault(codeFailed, e.At, "change the example or the rule", "rule `%s` does not fire on this example", r.id)
		case hit != want:
			l.fault(codeFailed, e.At, "change the example or the rule", "rule `%s` fires on this example", r.id)
		}
	}
}

// example is a synthetic event.
type example struct {
	l     *loader
	sc    *Scenario
	rec   risk.Record
	scope expression.Scope
}

func (l *loader) newExample(sc *Scenario) *example {
	x := &example{l: l, sc: sc}
	n := 0
	if l.set.Features != nil {
		n = len(l.set.Features.Names())
	}
	x.rec.Event.Type = "example"
	if len(sc.Events) > 0 {
		x.rec.Event.Type = sc.Events[0]
	}
	x.scope = expression.Scope{Record: &x.rec, At: exampleTime, Features: slices.Repeat([]float64{math.NaN()}, n), Points: make([]float64, len(sc.groups))}
	return x
}

func (x *example) run(r *rule) (hit bool, fault expression.Fault) {
	defer func() {
		if recover() != nil {
			hit, fault = false, expression.Fault{Err: "panic"}
		}
	}()
	return r.match(&x.scope)
}

// fill sets the names. Those that move the event's time come first, since ages
// are counted back from it.
func (x *example) fill(with diag.Map[diag.Text]) {
	for _, first := range []bool{true, false} {
		for _, e := range with {
			if moves := strings.HasPrefix(e.Key.Value, "time.") || e.Key.Value == "event.time"; moves == first {
				x.set(e.Key, e.Value)
			}
		}
	}
	x.rec.Event.Time = x.scope.At
	slices.SortFunc(x.rec.Event.Custom, func(a, b risk.Custom) int { return strings.Compare(a.Name, b.Name) })
}

func (x *example) set(name, value diag.Text) {
	group, rest, _ := strings.Cut(name.Value, ".")
	if set := x.l.set.Features; set != nil {
		if i, ok := set.Index(name.Value); ok {
			x.number(value, &x.scope.Features[i])
			return
		}
	}
	if kind, ok := x.l.custom[rest]; ok && group == "custom" {
		x.custom(rest, kind, value)
		return
	}
	if i := slices.Index(x.sc.groups, rest); i >= 0 && group == "points" {
		x.number(value, &x.scope.Points[i])
		return
	}
	if set, ok := derived[name.Value]; ok {
		set(x, value)
		return
	}
	for i := range risk.Fields {
		if risk.Fields[i].Path == name.Value {
			x.field(&risk.Fields[i], value)
			return
		}
	}
	for i := range risk.FactFields {
		if risk.FactFields[i].Path == name.Value {
			x.fact(&risk.FactFields[i], value)
			return
		}
	}
	x.l.fault(codeExample, name.Span, x.l.nearest(name.Value, x.names(), "name what the rule reads: fields, features, amount.base"), "an example cannot set `%s`", name.Value)
}

func (x *example) names() (all []string) {
	if set := x.l.set.Features; set != nil {
		all = append(all, set.Names()...)
	}
	for name := range x.l.custom {
		all = append(all, "custom."+name)
	}
	for _, g := range x.sc.groups {
		all = append(all, "points."+g)
	}
	for name := range derived {
		all = append(all, name)
	}
	for _, f := range risk.Fields {
		all = append(all, f.Path)
	}
	for _, f := range risk.FactFields {
		all = append(all, f.Path)
	}
	return all
}

func (x *example) bad(value diag.Text, want string) {
	x.l.fault(codeExample, value.Span, "", "`%s` is not %s", value.Value, want)
}

func (x *example) number(value diag.Text, to *float64) bool {
	n, ok := x.l.number(codeExample, value, "value")
	if ok {
		*to = n
	}
	return ok
}

func (x *example) optional(value diag.Text, to *risk.Number) {
	to.Set = x.number(value, &to.Value)
}

func (x *example) flag(value diag.Text, to *risk.Flag) {
	switch value.Value {
	case "true":
		*to = risk.Yes
	case "false":
		*to = risk.No
	default:
		x.bad(value, "true or false")
	}
}

func (x *example) country(value diag.Text, to *string) {
	if *to = risk.CountryCode(value.Value); *to == "" {
		x.bad(value, "a country such as DE")
	}
}

func (x *example) instant(value diag.Text, to *risk.Time) {
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, value.Value); err == nil {
			*to = risk.At(t)
			return
		}
	}
	x.bad(value, "a time such as 2026-11-21T12:00:00Z or a date")
}

func (x *example) field(f *risk.Field, value diag.Text) {
	ev := &x.rec.Event
	switch {
	case f.Path == "event.time":
		x.instant(value, &x.scope.At)
	case f.Kind == risk.Country:
		x.country(value, f.Text(ev))
	case f.Text != nil:
		*f.Text(ev) = value.Value
	case f.Number != nil:
		x.optional(value, f.Number(ev))
	case f.Flag != nil:
		x.flag(value, f.Flag(ev))
	default:
		x.instant(value, f.Time(ev))
	}
}

func (x *example) fact(f *risk.FactField, value diag.Text) {
	facts := &x.rec.Facts
	switch f.Kind {
	case risk.Country:
		x.country(value, f.Text(facts))
	case risk.Decimal:
		x.optional(value, f.Number(facts))
	case risk.Bool:
		x.flag(value, f.Flag(facts))
	default:
		*f.Text(facts) = value.Value
	}
}

func (x *example) custom(name string, kind expression.Kind, value diag.Text) {
	c := risk.Custom{Name: name, Kind: risk.Text, Text: value.Value}
	switch kind {
	case expression.Number:
		c.Kind, c.Text = risk.Decimal, ""
		x.number(value, &c.Number)
	case expression.Bool:
		c.Kind, c.Text = risk.Bool, ""
		x.flag(value, &c.Flag)
	}
	x.rec.Event.Custom = append(x.rec.Event.Custom, c)
}

// money reads 12.30, or 12.30 EUR; without a currency it is the one that m has,
// else the base currency.
func (x *example) money(value diag.Text, m *risk.Money) {
	number, currency, _ := strings.Cut(value.Value, " ")
	if currency == "" {
		if currency = m.Currency; currency == "" {
			currency = x.l.set.BaseCurrency
		}
	}
	got, err := risk.ParseMoney(number, currency)
	if err != nil {
		x.bad(value, "an amount such as 12.30 or 12.30 EUR")
		return
	}
	*m = got
}

// currency changes the currency of m, keeping its decimal amount.
func (x *example) currency(value diag.Text, m *risk.Money) {
	amount := "0"
	if !m.IsZero() {
		amount = m.Decimal()
	}
	got, err := risk.ParseMoney(amount, value.Value)
	if err != nil {
		x.bad(value, "a currency that fits the amount")
		return
	}
	*m = got
}

// whole reads a whole number within bounds: an hour, a weekday, a count.
func (x *example) whole(value diag.Text, low, high float64) (n float64, ok bool) {
	ok = x.number(value, &n)
	if ok && (n < low || n > high || n != math.Trunc(n)) {
		x.bad(value, fmt.Sprintf("a whole number from %g to %g", low, high))
		return 0, false
	}
	return n, ok
}

func weekday(t risk.Time) float64 { return float64((t.Time().Weekday()+6)%7 + 1) }

// local sets the payer's offset from UTC so that his clock is ahead by so many
// hours more than it is.
func (x *example) local(hours float64) {
	o := &x.rec.Facts.UTCOffset
	o.Value, o.Set = o.Value+float64(60*hours), true
}

func (x *example) localTime() risk.Time {
	return x.scope.At.Add(time.Duration(x.rec.Facts.UTCOffset.Value) * time.Minute)
}

// derived are the names that the engine derives, or that are not one scalar.
var derived = map[string]func(x *example, v diag.Text){
	"amount": func(x *example, v diag.Text) {
		x.money(v, &x.rec.Event.Amount)
		if x.rec.Event.Amount.Currency == x.l.set.BaseCurrency {
			x.rec.Facts.Base = x.rec.Event.Amount
		}
	},
	"amount.value":        func(x *example, v diag.Text) { x.money(v, &x.rec.Event.Amount) },
	"amount.currency":     func(x *example, v diag.Text) { x.currency(v, &x.rec.Event.Amount) },
	"amount.base":         func(x *example, v diag.Text) { x.money(v, &x.rec.Facts.Base) },
	"settlement.amount":   func(x *example, v diag.Text) { x.money(v, &x.rec.Event.Settlement.Amount) },
	"settlement.currency": func(x *example, v diag.Text) { x.currency(v, &x.rec.Event.Settlement.Amount) },

	"customer.age_days": func(x *example, v diag.Text) { x.age(v, &x.rec.Event.Customer.Created) },
	"merchant.age_days": func(x *example, v diag.Text) { x.age(v, &x.rec.Event.Merchant.Created) },
	"sender.age_days":   func(x *example, v diag.Text) { x.age(v, &x.rec.Event.Sender.Created) },
	"receiver.age_days": func(x *example, v diag.Text) { x.age(v, &x.rec.Event.Receiver.Created) },

	"customer.age_years": func(x *example, v diag.Text) { x.years(v, &x.rec.Event.Customer.BirthDate) },
	"sender.age_years":   func(x *example, v diag.Text) { x.years(v, &x.rec.Event.Sender.BirthDate) },
	"receiver.age_years": func(x *example, v diag.Text) { x.years(v, &x.rec.Event.Receiver.BirthDate) },

	"time.hour": func(x *example, v diag.Text) {
		if n, ok := x.whole(v, 0, 23); ok {
			x.scope.At = x.scope.At.Add(time.Duration(int(n)-x.scope.At.Time().Hour()) * time.Hour)
		}
	},
	"time.weekday": func(x *example, v diag.Text) {
		if n, ok := x.whole(v, 1, 7); ok {
			x.scope.At = x.scope.At.Add(time.Duration(n-weekday(x.scope.At)) * day)
		}
	},
	"local.hour": func(x *example, v diag.Text) {
		if n, ok := x.whole(v, 0, 23); ok {
			x.local(n - float64(x.localTime().Time().Hour()))
		}
	},
	"local.weekday": func(x *example, v diag.Text) {
		if n, ok := x.whole(v, 1, 7); ok {
			x.local(24 * (n - weekday(x.localTime())))
		}
	},

	"label.fraud": func(x *example, v diag.Text) {
		var n float64
		if x.number(v, &n) {
			if x.rec.Event.Label.Kind = "genuine"; n != 0 {
				x.rec.Event.Label.Kind = "fraud"
			}
		}
	},
	"order.items": func(x *example, v diag.Text) {
		if n, ok := x.whole(v, 0, 100); ok {
			x.rec.Event.Order.Items = make([]risk.Item, int(n))
		}
	},
	"kyc.documents": func(x *example, v diag.Text) {
		if n, ok := x.whole(v, 0, 100); ok {
			x.rec.Event.KYC.Documents = make([]risk.Document, int(n))
		}
	},
	"kyc.owners": func(x *example, v diag.Text) {
		if n, ok := x.whole(v, 0, 100); ok {
			x.rec.Event.KYC.Owners = make([]risk.Owner, int(n))
		}
	},
}

// age sets an instant that lies so many days before the event.
func (x *example) years(value diag.Text, to *risk.Time) {
	if n, ok := x.whole(value, 0, 150); ok {
		*to = risk.At(x.scope.At.Time().AddDate(-int(n), 0, 0))
	}
}

func (x *example) age(value diag.Text, to *risk.Time) {
	var n float64
	if x.number(value, &n) {
		*to = x.scope.At.Add(-time.Duration(n) * day)
	}
}
