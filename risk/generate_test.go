package risk

import (
	"pgregory.net/rapid"
	"strings"
)

// genEvent draws events with any of their fields, as Decode may give them.
func genEvent(t *rapid.T) Event {
	var e Event
	text := rapid.OneOf(rapid.StringMatching(`[a-z]{1,8}`), rapid.SampledFrom([]string{"\"q\"", "a\\b", "tab\there", "Åse 北京", "\x01\b\f\r\n", "<&>\u2028"}))
	instant := rapid.Custom(func(t *rapid.T) Time {
		ms := rapid.Int64Range(-2_208_988_800_000, 7_289_654_399_999).Draw(t, "ms")
		if ms == 0 {
			ms = 1
		}
		return Time(ms)
	})
	number := rapid.OneOf(rapid.Float64Range(-1e15, 1e15), rapid.Float64Range(-1, 1), rapid.Map(rapid.IntRange(-1000, 1000), func(i int) float64 { return float64(i) }))
	num := func(name string) Number { return Number{number.Draw(t, name) + 0, true} }
	some := func(name string) bool { return rapid.IntRange(0, 3).Draw(t, name) == 0 }
	for _, f := range Fields {
		if !some(f.Path) {
			continue
		}
		switch f.Kind {
		case Country:
			*f.Text(&e) = rapid.SampledFrom([]string{"US", "DE", "XK"}).Draw(t, f.Path)
		case Text, Free:
			*f.Text(&e) = text.Draw(t, f.Path)
		case Decimal:
			*f.Number(&e) = num(f.Path)
			if strings.HasSuffix(f.Path, ".lat") || strings.HasSuffix(f.Path, ".lon") { // kept to two decimals
				f.Number(&e).Value = float64(rapid.IntRange(-9000, 9000).Draw(t, f.Path)) / 100
			}
		case Bool:
			*f.Flag(&e) = rapid.SampledFrom([]Flag{No, Yes}).Draw(t, f.Path)
		case Instant:
			*f.Time(&e) = instant.Draw(t, f.Path)
		}
	}
	money := func(name string) (m Money) {
		if some(name) {
			m.Currency = rapid.SampledFrom([]string{"USD", "JPY", "KWD", "CLF"}).Draw(t, name)
			m.Minor = rapid.Int64Range(-maxMinor, maxMinor).Draw(t, name)
		}
		return m
	}
	e.Amount, e.Settlement.Amount = money("amount"), money("settlement")
	for range rapid.IntRange(0, 3).Draw(t, "documents") {
		d := Document{}
		if some("kind") {
			d = Document{Kind: text.Draw(t, "kind"), Expires: instant.Draw(t, "expires")}
		}
		e.KYC.Documents = append(e.KYC.Documents, d)
	}
	for range rapid.IntRange(0, 3).Draw(t, "owners") {
		o := Owner{}
		if some("owner") {
			o.ID, o.Name = text.Draw(t, "id"), text.Draw(t, "name")
		}
		if some("share") {
			o.Share = Number{rapid.Float64Range(0, 1).Draw(t, "share") + 0, true}
		}
		e.KYC.Owners = append(e.KYC.Owners, o)
	}
	for range rapid.IntRange(0, 3).Draw(t, "items") {
		e.Order.Items = append(e.Order.Items, Item{SKU: text.Draw(t, "sku"), Name: text.Draw(t, "item"), Quantity: num("quantity"), Price: "1.50"})
	}
	for _, name := range []string{"a", "b_1", "c"}[:rapid.IntRange(0, 3).Draw(t, "custom")] {
		c := Custom{Name: name}
		switch c.Kind = rapid.SampledFrom([]Kind{Text, Decimal, Bool}).Draw(t, name); c.Kind {
		case Text:
			c.Text = text.Draw(t, name)
		case Decimal:
			c.Number = num(name).Value
		case Bool:
			c.Flag = rapid.SampledFrom([]Flag{No, Yes}).Draw(t, name)
		}
		e.Custom = append(e.Custom, c)
	}
	return e
}

func genRecord(t *rapid.T) *Record {
	e := genEvent(t)
	r := &Record{
		Tenant:  rapid.SampledFrom([]string{"", "default", "acme"}).Draw(t, "tenant"),
		Arrival: Time(rapid.Int64().Draw(t, "arrival")),
		Event:   e,
		IDs:     testSecrets.IDs(&e),
	}
	if rapid.Bool().Draw(t, "source") {
		r.Source = Source{"payments", rapid.Int32().Draw(t, "partition"), rapid.Int64().Draw(t, "offset"), rapid.Bool().Draw(t, "again")}
	}
	r.ObserveOnly = !r.Source.Again && rapid.Bool().Draw(t, "observe only")
	copy(r.Content[:], rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "content"))
	if rapid.Bool().Draw(t, "facts") {
		r.Facts = Facts{Base: Money{1234, "EUR"}, IPCountry: "DE", IPCity: "Köln", IPLat: Number{50.94, true}, IPLon: Number{-6.96, true},
			IPASN: Number{3320, true}, IPVPN: No, IPHosting: Yes, IssuerCountry: "US", UTCOffset: Number{-210, true}, Version: "rates-1"}
	}
	for range rapid.IntRange(0, 2).Draw(t, "warnings") {
		r.Warnings = append(r.Warnings, Warning{"/a", CodeUnknownField, "…"})
	}
	return r
}
