package expression

import (
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/sluice-risk/sluice/risk"
)

const (
	hour = int64(time.Hour / time.Millisecond)
	day  = 24 * hour
)

// NewEnv gives an Env with the names that every event has: its fields, the
// declared custom fields, and what is derived from them and from the facts. A
// custom field that was sent as another kind than declared counts as missing; a
// custom name that is no name cannot be read by an expression.
func NewEnv(baseCurrency string, custom map[string]Kind) *Env {
	e := newEnv(nil)
	for _, f := range risk.Fields {
		e.add(field(f))
	}
	for _, name := range slices.Sorted(maps.Keys(custom)) {
		if nameForm.MatchString(name) && !strings.Contains(name, ".") {
			e.add(customField(name, custom[name]))
		}
	}
	e.money("amount.value", "*", func(s *Scope) risk.Money { return s.Record.Event.Amount })
	e.money("amount.base", baseCurrency, func(s *Scope) risk.Money { return s.Record.Facts.Base })
	e.money("settlement.amount", "*", func(s *Scope) risk.Money { return s.Record.Event.Settlement.Amount })
	e.text("amount.currency", func(s *Scope) string { return s.Record.Event.Amount.Currency })
	e.text("settlement.currency", func(s *Scope) string { return s.Record.Event.Settlement.Amount.Currency })

	for _, f := range risk.FactFields {
		e.fact(f)
	}

	e.number("customer.age_days", func(s *Scope) float64 { return age(s.At, s.Record.Event.Customer.Created) })
	e.number("merchant.age_days", func(s *Scope) float64 { return age(s.At, s.Record.Event.Merchant.Created) })
	e.number("sender.age_days", func(s *Scope) float64 { return age(s.At, s.Record.Event.Sender.Created) })
	e.number("receiver.age_days", func(s *Scope) float64 { return age(s.At, s.Record.Event.Receiver.Created) })
	e.personal("customer.age_years", func(s *Scope) float64 { return years(s.At, s.Record.Event.Customer.BirthDate) })
	e.personal("sender.age_years", func(s *Scope) float64 { return years(s.At, s.Record.Event.Sender.BirthDate) })
	e.personal("receiver.age_years", func(s *Scope) float64 { return years(s.At, s.Record.Event.Receiver.BirthDate) })

	e.number("time.hour", func(s *Scope) float64 { return hourOf(s.At, 0) })
	e.number("time.weekday", func(s *Scope) float64 { return weekdayOf(s.At, 0) })
	e.number("local.hour", func(s *Scope) float64 {
		if o := s.Record.Facts.UTCOffset; o.Set {
			return hourOf(s.At, o.Value)
		}
		return math.NaN()
	})
	e.number("local.weekday", func(s *Scope) float64 {
		if o := s.Record.Facts.UTCOffset; o.Set {
			return weekdayOf(s.At, o.Value)
		}
		return math.NaN()
	})
	e.number("label.fraud", func(s *Scope) float64 { return fraud(&s.Record.Event) })

	e.array("order.items", risk.Plain, func(s *Scope) int { return len(s.Record.Event.Order.Items) })
	e.array("kyc.documents", risk.Plain, func(s *Scope) int { return len(s.Record.Event.KYC.Documents) })
	e.array("kyc.owners", risk.Identifier, func(s *Scope) int { return len(s.Record.Event.KYC.Owners) })
	return e
}

// add is for the names of this package, which cannot clash.
func (e *Env) add(n *name) *name {
	if n.Class == 0 {
		n.Class = risk.Plain
	}
	if err := e.define(n); err != nil {
		panic(err)
	}
	return n
}

func (e *Env) number(path string, f func(*Scope) float64) {
	e.add(&name{Var: Var{Name: path, Kind: Number, Number: f}})
}

func (e *Env) text(path string, f func(*Scope) string) *name {
	return e.add(&name{Var: Var{Name: path, Kind: Text, Text: f}})
}

// personal is for numbers that are erased with the person.
func (e *Env) personal(path string, f func(*Scope) float64) {
	e.add(&name{Var: Var{Name: path, Kind: Number, Class: risk.Personal, Number: f}})
}

func (e *Env) fact(f risk.FactField) {
	switch f.Kind {
	case risk.Decimal:
		e.number(f.Path, func(s *Scope) float64 { return valueOf(*f.Number(&s.Record.Facts)) })
	case risk.Bool:
		e.add(&name{Var: Var{Name: f.Path, Kind: Bool, Bool: func(s *Scope) Tri { return truthOf(*f.Flag(&s.Record.Facts)) }}})
	default:
		n := &name{Var: Var{Name: f.Path, Kind: Text, Text: func(s *Scope) string { return *f.Text(&s.Record.Facts) }}}
		if f.Kind == risk.Country {
			n.sort = "country"
		}
		e.add(n)
	}
}

func (e *Env) money(path, currency string, f func(*Scope) risk.Money) {
	unit := 1.0 // spares looking up the decimals of a currency that is known
	for range risk.Exponent(currency) {
		unit *= 10
	}
	e.add(&name{Var: Var{Name: path, Kind: Number, Money: currency, Number: func(s *Scope) float64 {
		switch m := f(s); m.Currency {
		case "":
			return math.NaN()
		case currency:
			return float64(m.Minor) / unit
		default:
			return m.Major()
		}
	}}})
}

func (e *Env) array(path string, class risk.Class, f func(*Scope) int) {
	e.add(&name{Var: Var{Name: path, Class: class}, length: f})
}

func field(f risk.Field) *name {
	v := Var{Name: f.Path, Class: f.Class}
	sort := sortOf(f)
	switch f.Kind {
	case risk.Decimal:
		v.Kind = Number
		v.Number = func(s *Scope) float64 { return valueOf(*f.Number(&s.Record.Event)) }
	case risk.Bool:
		v.Kind = Bool
		v.Bool = func(s *Scope) Tri { return truthOf(*f.Flag(&s.Record.Event)) }
	case risk.Instant:
		v.Kind = Time
		v.Number = func(s *Scope) float64 {
			if t := *f.Time(&s.Record.Event); t != 0 {
				return float64(t)
			}
			return math.NaN()
		}
	default: // Text, Free, Country
		v.Kind = Text
		v.Text = func(s *Scope) string { return *f.Text(&s.Record.Event) }
	}
	return &name{Var: v, sort: sort}
}

// sortOf tells what a text field holds, as far as list types distinguish it.
func sortOf(f risk.Field) string {
	group, last, _ := strings.Cut(f.Path, ".")
	switch {
	case f.Kind == risk.Country:
		return "country"
	case f.Path == "device.ip":
		return "ip"
	case f.Path == "card.token":
		return "card"
	case f.Path == "device.id":
		return "device"
	case last == "email", last == "phone":
		return last
	case last == "name" && group != "":
		return "name"
	}
	return ""
}

func customField(key string, kind Kind) *name {
	find := func(s *Scope, k risk.Kind) *risk.Custom {
		all := s.Record.Event.Custom
		for i := range all {
			if all[i].Name == key {
				if all[i].Kind == k {
					return &all[i]
				}
				break
			}
		}
		return nil
	}
	v := Var{Name: "custom." + key, Kind: kind}
	switch kind {
	case Number:
		v.Number = func(s *Scope) float64 {
			if c := find(s, risk.Decimal); c != nil {
				return c.Number
			}
			return math.NaN()
		}
	case Text:
		v.Text = func(s *Scope) string {
			if c := find(s, risk.Text); c != nil {
				return c.Text
			}
			return ""
		}
	case Bool:
		v.Bool = func(s *Scope) Tri {
			if c := find(s, risk.Bool); c != nil {
				return truthOf(c.Flag)
			}
			return Missing
		}
	case Time:
		v.Number = func(s *Scope) float64 {
			if c := find(s, risk.Text); c != nil {
				for _, layout := range [...]string{time.RFC3339, time.DateOnly} {
					if t, err := time.Parse(layout, c.Text); err == nil {
						return float64(t.UnixMilli())
					}
				}
			}
			return math.NaN()
		}
	}
	return &name{Var: v}
}

func valueOf(n risk.Number) float64 {
	if n.Set {
		return n.Value
	}
	return math.NaN()
}

func truthOf(f risk.Flag) Tri {
	switch f {
	case risk.Yes:
		return True
	case risk.No:
		return False
	}
	return Missing
}

// years is an age as people count it: it grows on the birthday, and of somebody born
// on a leap day on 1 March.
func years(at, born risk.Time) float64 {
	if born == 0 {
		return math.NaN()
	}
	now, then := at.Time(), born.Time()
	n := now.Year() - then.Year()
	if now.Month() < then.Month() || now.Month() == then.Month() && now.Day() < then.Day() {
		n--
	}
	return float64(n)
}

// age is in whole days.
func age(at, created risk.Time) float64 {
	if created == 0 {
		return math.NaN()
	}
	return float64(int64(at-created) / day)
}

func hourOf(at risk.Time, offsetMinutes float64) float64 {
	_, in := floorDiv(int64(at)+int64(offsetMinutes)*60_000, day)
	return float64(in / hour)
}

// weekdayOf counts from Monday, 1. 1 January 1970 was a Thursday.
func weekdayOf(at risk.Time, offsetMinutes float64) float64 {
	days, _ := floorDiv(int64(at)+int64(offsetMinutes)*60_000, day)
	_, weekday := floorDiv(days+3, 7)
	return float64(weekday + 1)
}

func floorDiv(a, b int64) (quotient, rest int64) {
	quotient, rest = a/b, a%b
	if rest < 0 {
		quotient, rest = quotient-1, rest+b
	}
	return quotient, rest
}

// fraud is 1 for what turned out to be fraud, 0 for genuine, else missing. A
// chargeback is fraud where its reason says so.
func fraud(ev *risk.Event) float64 {
	kind := ev.Label.Kind
	if kind == "" && ev.Type == "chargeback" {
		kind = "chargeback"
	}
	switch {
	case kind == "fraud", kind == "early_warning", kind == "chargeback" && ev.Label.Reason == "fraud":
		return 1
	case kind == "genuine":
		return 0
	}
	return math.NaN()
}
