package expression

import (
	"math"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-risk/sluice/internal/diag"
	"github.com/sluice-risk/sluice/risk"
)

// stubList holds values as they are.
type stubList struct {
	kind  string
	items []string
}

func (l stubList) Type() string { return l.kind }
func (l stubList) Contains(value string, at risk.Time) bool {
	return slices.Contains(l.items, value)
}

var features = []string{"attempts", "distinct_amounts", "cash_24h", "absent", "zero", "infinite"}

func testEnv(t testing.TB) *Env {
	e := NewEnv("USD", map[string]Kind{"tier": Text, "basket": Number, "gift": Bool, "since": Time, "untyped": Number})
	for i, name := range features {
		v := Var{Name: name, Kind: Number, Window: "10m", At: diag.Span{File: "features.yaml", Line: 10 + i, Column: 3},
			Number: func(s *Scope) float64 { return s.Features[i] }}
		if name == "cash_24h" {
			v.Money, v.Window = "USD", "24h"
		}
		if err := e.Define(v); err != nil {
			t.Fatal(err)
		}
	}
	for name, l := range map[string]stubList{
		"merchants": {"id", []string{"m_1", "m_2"}},
		"countries": {"country", []string{"GB", "FR"}},
		"nets":      {"cidr", []string{"81.2.69.160"}},
		"domains":   {"email_domain", []string{"example.com"}},
		"mails":     {"email", []string{"a.b@example.com"}},
		"persons":   {"name", []string{"luc obrien zoe"}},
		"phones":    {"phone", []string{"+442079460958"}},
		"amounts":   {"number", []string{"12.3", "1e+21"}},
	} {
		if err := e.AddList(name, l); err != nil {
			t.Fatal(err)
		}
	}
	return e
}

// saturday is 2026-11-21T22:30:00Z.
const saturday = risk.Time(1795300200000)

func testScope() *Scope {
	return &Scope{
		At: saturday,
		Record: &risk.Record{
			Event: risk.Event{
				ID: "p1", Type: "payment.authorization", Time: saturday,
				Amount:   risk.Money{Minor: 1230, Currency: "GBP"},
				Payment:  risk.Payment{Method: "card", Attempt: risk.Number{Value: 2, Set: true}, MIT: risk.No},
				Customer: risk.Customer{ID: "u1", Email: "A.b@Example.com", Name: "Zoë O'Brien-Łuć", Country: "GB", Created: saturday.Add(-36 * time.Hour), BirthDate: risk.At(time.Date(1990, 11, 22, 0, 0, 0, 0, time.UTC))},
				Device:   risk.Device{IP: "81.2.69.160"},
				Merchant: risk.Merchant{ID: "m_1", Created: saturday.Add(-400 * 24 * time.Hour)},
				Shipping: risk.Address{Line1: "12/3-A, Rue  de l'Été", PostalCode: "75 001", Country: "FR", Lat: risk.Number{Value: 48.86, Set: true}, Lon: risk.Number{Value: 2.35, Set: true}},
				Billing:  risk.Address{Line1: "1 Street", City: "Paris"},
				Sender:   risk.Party{Phone: "020 7946 0958", Country: "GB"},
				Receiver: risk.Party{Phone: "12", Country: "GB", Created: saturday.Add(-71 * time.Hour)},
				Order:    risk.Order{Items: make([]risk.Item, 3)},
				Label:    risk.Label{Kind: "chargeback", Reason: "fraud"},
				Custom: []risk.Custom{
					{Name: "basket", Kind: risk.Decimal, Number: 7},
					{Name: "gift", Kind: risk.Bool, Flag: risk.Yes},
					{Name: "since", Kind: risk.Text, Text: "2026-11-20"},
					{Name: "tier", Kind: risk.Text, Text: "gold"},
					{Name: "untyped", Kind: risk.Text, Text: "7"},
				},
			},
			Facts: risk.Facts{
				Base: risk.Money{Minor: 1599, Currency: "USD"}, IPCountry: "GB", IPVPN: risk.No, IPASN: risk.Number{Value: 20712, Set: true},
				IPLat: risk.Number{Value: 51.5, Set: true}, IPLon: risk.Number{Value: -0.1, Set: true},
				UTCOffset: risk.Number{Value: 330, Set: true}, IssuerCountry: "FR",
			},
		},
		Features: []float64{6, 1, 12000.5, math.NaN(), 0, math.Inf(1)},
		Params:   []float64{4}, Points: []float64{30},
	}
}

func mustCompile(t testing.TB, e *Env, src string, want Kind) *Program {
	t.Helper()
	p, l := e.Compile(diag.Inline("test", src), want, CompileOptions{})
	if l.Err() != nil {
		t.Fatalf("Compile(%q): %v", src, l)
	}
	return p
}

func TestBool(t *testing.T) {
	e, s := testEnv(t), testScope()
	for src, want := range map[string]any{
		"attempts >= 6 and distinct_amounts <= 3 and amount.base < 20": true,
		"attempts > 6 or distinct_amounts == 1":                        true,
		"not (attempts > 6)":                                           true,
		"!(attempts == 6) || attempts != 6":                            false,
		"6 <= attempts && 5 < attempts && 7 > attempts && 6 >= attempts && 6 == attempts && 7 != attempts": true,
		"1 < attempts < 10 < 20":                                         true,
		"attempts < distinct_amounts":                                    false,
		"amount.value == 12.3 and amount.currency == 'GBP'":              true,
		"customer.country in [\"GB\", 'IE'] and not ip.is_vpn":           true,
		"customer.country not in ['GB']":                                 false,
		"attempts in [1, 2, 6]":                                          true,
		"attempts in [1,2,3,4,5,7,8,9,10,11,-6]":                         false,
		"payment.method in ['a','b','c','d','e','f','g','h','i','card']": true,
		"merchant.id in list.merchants":                                  true,
		"merchant.id not in list.merchants":                              false,
		"customer.email in list.domains":                                 true,
		"domain(customer.email) in list.domains":                         true,
		"customer.email in list.mails":                                   true,
		"email(customer.email) in list.mails":                            true,
		"customer.name in list.persons":                                  true,
		"sender.phone in list.phones":                                    true, // dialled from the sender's country
		"receiver.phone in list.phones":                                  false,
		"phone(sender.phone) in list.phones":                             true,
		"address(shipping) == address(billing)":                          false,
		"km(ip, shipping) > 300 and km(ip, shipping) < 350":              true,
		"customer.age_years == 35 and receiver.age_days == 2":            true,
		"amount.value in list.amounts":                                   true,
		"payment.attempt * 0.5e21 in list.amounts":                       true,
		"customer.email startsWith 'A.' and customer.email endsWith \".com\" and customer.email contains '@'": true,
		"customer.email not contains 'z'":                        true,
		"customer.email matches '^[A-Z][.]b@'":                   true,
		"payment.method < 'care' and payment.method >= \"card\"": true,
		"customer.created < event.time":                          true,
		"customer.created == event.time":                         false,
		"ip.is_vpn == payment.mit":                               true,
		"ip.is_vpn != (attempts > 100)":                          false,
		"attempts > 5 ? payment.mit : absent > 1":                false,
		"has(absent) and absent > 1":                             false,
		"has(attempts)":                                          true,
		"has(infinite)":                                          false,
		"has(customer.phone) or has(order.items) and has(payment.mit) and has(customer.created)": true,
		"has(kyc.owners)":      false,
		"false and absent > 1": false,
		"true or absent > 1":   true,
		"custom.tier == 'gold' and custom.basket == 7 and custom.gift and custom.since < event.time": true,
		"has(custom.untyped)":                    false,
		"absent > 1":                             "missing(absent)",
		"absent > 1 or true":                     "missing(absent)",
		"not (absent > 1)":                       "missing(absent)",
		"attempts > 1 and customer.phone == 'x'": "missing(customer.phone)",
		"customer.phone in list.phones":          "missing(customer.phone)",
		"card.bin startsWith '4'":                "missing(card.bin)",
		"'4' startsWith card.bin":                "missing(card.bin)",
		"ip.is_hosting":                          "missing(ip.is_hosting)",
		"custom.untyped > 1":                     "missing(custom.untyped)",
		"infinite > 1":                           "error(number too large)",
		"attempts / zero > 1":                    "error(division by zero)",
		"attempts % zero > 1":                    "error(division by zero)",
		"attempts * 1e300 * 1e10 > 1":            "error(number too large)",
		"attempts / zero > 1 or absent > 1":      "error(division by zero)",
		"absent > 1 or attempts / zero > 1":      "missing(absent)",
		"km(ip.lat, ip.lon, 91, 0) < 1":          "error(not a coordinate)",
		"email(customer.name) == 'x'":            "missing(email(customer.name))",
		"absent in [1]":                          "missing(absent)",
		"zero == 0 and -zero == 0":               true,
	} {
		got, fault := mustCompile(t, e, src, Bool).Bool(s)
		if text, ok := want.(string); ok && (fault.String() != text || got) {
			t.Errorf("%s = %v, %q; want %q", src, got, fault, text)
		} else if !ok && (got != want || fault != (Fault{})) {
			t.Errorf("%s = %v, %q; want %v", src, got, fault, want)
		}
	}
}

func TestNumber(t *testing.T) {
	e, s := testEnv(t), testScope()
	for src, want := range map[string]float64{
		"1 + 2 * 3 - 4 / 2":           5,
		"(1 + 2) * 3":                 9,
		"-attempts + +2":              -4,
		"attempts % 4":                2,
		"-7 % 3":                      -1,
		"attempts - distinct_amounts": 5,
		"0x10 + 1_000":                1016,
		"attempts > 5 ? 1 : 2":        1,
		"attempts > 6 ? 1 : absent > 1 or true ? 5 : 6": math.NaN(),
		"min(attempts, 3, 9)":                           3,
		"max(attempts, 3, 9)":                           9,
		"abs(-attempts)":                                6,
		"round(2.5) + round(-2.5)":                      0,
		"round(cash_24h)":                               12001,
		"len(customer.country)":                         2,
		"len(customer.name)":                            15,
		"len(order.items)":                              3,
		"len(kyc.documents)":                            0,
		"hours_since(customer.created)":                 36,
		"days_since(customer.created)":                  1.5,
		"customer.age_days":                             1,
		"merchant.age_days":                             400,
		"time.hour":                                     22,
		"time.weekday":                                  6,
		"local.hour":                                    4,
		"local.weekday":                                 7,
		"label.fraud":                                   1,
		"amount.base":                                   15.99,
		"amount.value":                                  12.30,
		"text_distance('kitten', 'sitting')":            3,
		"km(51.5, -0.1, 51.5, -0.1)":                    0,
		"cash_24h * 2 - 1":                              24000,
		"customer.created":                              float64(saturday - 36*3600_000),
	} {
		kind := Number
		if src == "customer.created" {
			kind = Time
		}
		p := mustCompile(t, e, src, kind)
		got, fault := p.Number(s)
		if math.IsNaN(want) {
			if fault.String() != "missing(absent)" {
				t.Errorf("%s = %v, %q; want missing(absent)", src, got, fault)
			}
		} else if got != want || fault != (Fault{}) {
			t.Errorf("%s = %v, %q; want %v", src, got, fault, want)
		}
	}
}

func TestText(t *testing.T) {
	e, s := testEnv(t), testScope()
	for src, want := range map[string]string{
		"lower(customer.email)":         "a.b@example.com",
		"upper('é')":                    "É",
		"email(customer.email)":         "a.b@example.com",
		"domain(customer.email)":        "example.com",
		"network(device.ip)":            "81.2.69.0/24",
		"phone('0044 20 7946 0958')":    "+442079460958",
		"phone('020 7946 0958', 'GB')":  "+442079460958",
		"phone(sender.phone)":           "+442079460958",
		"phone(sender.phone, 'FR')":     "+332079460958",
		"network48('2001:db8:1:2::3')":  "2001:db8:1::/48",
		"asn(device.ip)":                "AS20712",
		"name(customer.name)":           "luc obrien zoe",
		"address(shipping.line1)":       "12 3a rue de l ete",
		"address(shipping)":             "12 3a rue de l ete, 75001 FR",
		"attempts > 1 ? 'a' : card.bin": "a",
	} {
		if got, fault := mustCompile(t, e, src, Text).Text(s); got != want || fault != (Fault{}) {
			t.Errorf("%s = %q, %q; want %q", src, got, fault, want)
		}
	}
	if got, fault := mustCompile(t, e, "attempts > 9 ? 'a' : lower(card.bin)", Text).Text(s); got != "" || fault.Missing != "card.bin" {
		t.Errorf("got %q, %q; want missing(card.bin)", got, fault)
	}
}

// What is missing is named as it is written, down to the field that lacks.
func TestFormsThatAreMissing(t *testing.T) {
	e, s := testEnv(t), testScope()
	for src, want := range map[string]string{
		"address(sender) == 'x'":                  "missing(sender.line1)",
		"phone(customer.phone) == 'x'":            "missing(customer.phone)",
		"phone(receiver.phone) == 'x'":            "missing(phone(receiver.phone))",
		"phone(sender.phone, card.country) > 'x'": "missing(card.country)",
		"km(billing, ip) > 1":                     "missing(billing.lat)",
		"sender.age_years < 18":                   "missing(sender.age_years)",
	} {
		if _, fault := mustCompile(t, e, src, Bool).Bool(s); fault.String() != want {
			t.Errorf("%s: %q, want %q", src, fault, want)
		}
	}
	s.Record.Facts.IPASN = risk.Number{}
	if _, fault := mustCompile(t, e, "asn(device.ip)", Text).Text(s); fault.Missing != "ip.asn" {
		t.Errorf("asn without a number: %q", fault)
	}
}

func TestYears(t *testing.T) {
	date := func(s string) risk.Time {
		v, err := time.Parse(time.DateOnly, s)
		if err != nil {
			t.Fatal(err)
		}
		return risk.At(v)
	}
	for _, c := range []struct {
		at, born string
		want     float64
	}{
		{"2026-11-22", "2008-11-22", 18}, {"2026-11-21", "2008-11-22", 17}, {"2026-02-28", "2008-02-29", 17}, {"2026-03-01", "2008-02-29", 18},
		{"2026-01-01", "1926-12-31", 99}, {"2026-01-01", "1960-01-01", 66},
	} {
		if got := years(date(c.at), date(c.born)); got != c.want {
			t.Errorf("born %s, at %s: %v years, want %v", c.born, c.at, got, c.want)
		}
	}
}

func TestLabelFraud(t *testing.T) {
	p := mustCompile(t, testEnv(t), "has(label.fraud) ? label.fraud : -1", Number)
	for _, c := range []struct {
		event, kind, reason string
		want                float64
	}{
		{"label", "fraud", "", 1}, {"label", "early_warning", "", 1}, {"label", "chargeback", "fraud", 1},
		{"label", "chargeback", "not_received", -1}, {"label", "genuine", "", 0}, {"label", "other", "fraud", -1},
		{"chargeback", "", "fraud", 1}, {"chargeback", "", "", -1}, {"chargeback", "genuine", "fraud", 0},
		{"transfer", "", "fraud", -1},
	} {
		s := testScope()
		s.Record.Event.Type, s.Record.Event.Label = c.event, risk.Label{Kind: c.kind, Reason: c.reason}
		if got, fault := p.Number(s); got != c.want || fault != (Fault{}) {
			t.Errorf("%+v: label.fraud = %v, %q", c, got, fault)
		}
	}
}

func TestClockNames(t *testing.T) {
	e := NewEnv("USD", nil)
	h, w := mustCompile(t, e, "time.hour", Number), mustCompile(t, e, "time.weekday", Number)
	lh, lw := mustCompile(t, e, "local.hour", Number), mustCompile(t, e, "local.weekday", Number)
	for _, at := range []string{"1969-12-31T23:59:59Z", "1970-01-01T00:00:00Z", "2026-11-22T00:00:00Z", "2024-02-29T12:00:00Z", "1900-01-01T05:00:00Z"} {
		when, _ := time.Parse(time.RFC3339, at)
		for _, offset := range []float64{0, -600, 345, 840} {
			s := &Scope{At: risk.At(when), Record: &risk.Record{Facts: risk.Facts{UTCOffset: risk.Number{Value: offset, Set: true}}}}
			local := when.Add(time.Duration(offset) * time.Minute)
			for _, c := range []struct {
				p    *Program
				want int
			}{{h, when.Hour()}, {w, (int(when.Weekday())+6)%7 + 1}, {lh, local.Hour()}, {lw, (int(local.Weekday())+6)%7 + 1}} {
				if got, fault := c.p.Number(s); got != float64(c.want) || fault != (Fault{}) {
					t.Errorf("%s at %s%+v = %v, %q; want %d", c.p.Source(), at, offset, got, fault, c.want)
				}
			}
		}
	}
	if _, fault := lh.Number(&Scope{Record: &risk.Record{}}); fault.Missing != "local.hour" {
		t.Errorf("without an offset: %q", fault)
	}
}

func TestProgram(t *testing.T) {
	e := testEnv(t)
	p := mustCompile(t, e, "has(absent) and cash_24h > 1 and cash_24h < absent and customer.country in list.countries", Bool)
	if got, want := p.Reads(), []string{"absent", "cash_24h", "customer.country"}; !reflect.DeepEqual(got, want) {
		t.Errorf("reads %q, want %q", got, want)
	}
	if p.Kind() != Bool || !strings.HasPrefix(p.Source(), "has(absent)") || p.Money() != "" {
		t.Errorf("kind %v, money %q", p.Kind(), p.Money())
	}
	if _, fault := p.Number(testScope()); fault == (Fault{}) {
		t.Error("a condition gave a number")
	}
	for src, want := range map[string]string{
		"cash_24h": "USD", "cash_24h * 2": "USD", "2 * -cash_24h": "USD", "cash_24h + 1": "USD", "max(1, cash_24h)": "USD",
		"attempts > 1 ? 0 : cash_24h": "USD", "amount.value": "*", "abs(amount.value) - 1": "*",
		"cash_24h / 2": "", "cash_24h / cash_24h": "", "cash_24h * cash_24h": "", "attempts": "", "cash_24h % 2": "",
	} {
		if got := mustCompile(t, e, src, Number).Money(); got != want {
			t.Errorf("money of %s = %q, want %q", src, got, want)
		}
	}
}

func TestDefine(t *testing.T) {
	number := func(*Scope) float64 { return 1 }
	for name, ok := range map[string]bool{
		"velocity_1h": true, "points.group": true, "_x": true,
		"attempts": false, "customer": false, "customer.id": false, "customer.id.x": false, "customer.vip": true, "ip": false,
		"list.x": false, "list": false, "has": false, "name": false, "and": false, "in": false, "true": false, "if": false,
		"": false, "a-b": false, "1a": false, "a.": false, "a..b": false, "試": false, "amount.base": false, "order.items": false,
	} {
		e := testEnv(t)
		if err := e.Define(Var{Name: name, Kind: Number, Number: number}); (err == nil) != ok {
			t.Errorf("Define(%q) = %v, want ok %v", name, err, ok)
		}
	}
	e := testEnv(t)
	if err := e.Define(Var{Name: "x", Kind: Text, Number: number}); err == nil {
		t.Error("a text without a closure was defined")
	}
	for _, c := range []struct{ name, kind string }{{"merchants", "id"}, {"new", "colour"}, {"a.b", "id"}, {"", "id"}} {
		if err := e.AddList(c.name, stubList{kind: c.kind}); err == nil {
			t.Errorf("AddList(%q, %s) was taken", c.name, c.kind)
		}
	}
	child := e.With(Var{Name: "param.max", Kind: Number, Number: func(s *Scope) float64 { return s.Params[0] }})
	if got, fault := mustCompile(t, child, "param.max + attempts", Number).Number(testScope()); got != 10 || fault != (Fault{}) {
		t.Errorf("param.max + attempts = %v, %q", got, fault)
	}
	if _, l := e.Compile(diag.Inline("test", "param.max > 1"), Bool, CompileOptions{}); len(l) != 1 {
		t.Errorf("the parent learnt its child's name: %v", l)
	}
	if v, ok := child.Lookup("cash_24h"); !ok || v.Money != "USD" {
		t.Errorf("Lookup = %+v, %v", v, ok)
	}
}

// One program serves many goroutines, each with its own Scope.
func TestProgramsAreShared(t *testing.T) {
	e := testEnv(t)
	p := mustCompile(t, e, "attempts > 1 and (absent > 1 or customer.id == 'u1')", Bool)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			s := testScope()
			if i%2 == 0 {
				s.Features[3] = 5
			}
			for range 500 {
				hit, fault := p.Bool(s)
				if hit != (i%2 == 0) || (fault.Missing == "absent") == hit {
					t.Errorf("goroutine %d: %v, %q", i, hit, fault)
					return
				}
				if _, l := e.Compile(diag.Inline("test", "attempts > atempts"), Bool, CompileOptions{}); len(l) != 1 {
					t.Errorf("goroutine %d: %v", i, l)
				}
			}
		})
	}
	wg.Wait()
}

func TestBecause(t *testing.T) {
	e, s := testEnv(t), testScope()
	num := func(x float64) risk.Scalar { return risk.Scalar{Kind: risk.Decimal, Number: x} }
	text := func(x string) risk.Scalar { return risk.Scalar{Kind: risk.Text, Text: x} }
	yes, no := risk.Scalar{Kind: risk.Bool, Bool: true}, risk.Scalar{Kind: risk.Bool}
	attempts := risk.Because{Left: "attempts", Value: num(6), Op: ">=", Limit: num(6), Window: "10m"}
	for src, want := range map[string][]risk.Because{
		"attempts >= 6 and (cash_24h > 10000 and not ip.is_vpn)": {attempts,
			{Left: "cash_24h", Value: num(12000.5), Op: ">", Limit: num(10000), Window: "24h"},
			{Left: "ip.is_vpn", Value: no, Op: "==", Limit: no}},
		"attempts > 6 or attempts >= 6 or absent > 1": {attempts},
		"6 <= attempts":      {attempts},
		"not (6 > attempts)": {attempts},
		"not (attempts < 6)": {attempts},
		"not (attempts < 6 or distinct_amounts > 1)": {attempts,
			{Left: "distinct_amounts", Value: num(1), Op: "<=", Limit: num(1), Window: "10m"}},
		"not (attempts < 6 and absent > 1)":    {attempts},
		"attempts > 6 ? false : attempts >= 6": {{Left: "attempts", Value: num(6), Op: "<=", Limit: num(6), Window: "10m"}, attempts},
		"has(attempts) and not has(absent) and has(order.items)": {
			{Left: "attempts", Value: num(6), Op: "has", Window: "10m"},
			{Left: "absent", Op: "not has", Window: "10m"},
			{Left: "order.items", Value: num(3), Op: "has"}},
		"customer.country in ['GB', \"FR\"]":    {{Left: "customer.country", Value: text("GB"), Op: "in", Limit: text(`['GB', "FR"]`)}},
		"customer.country not in ['US']":        {{Left: "customer.country", Value: text("GB"), Op: "not in", Limit: text(`['US']`)}},
		"merchant.id in list.merchants":         {{Left: "merchant.id", Value: text("m_1"), Op: "in", Limit: text("list.merchants")}},
		"lower(customer.email) startsWith 'a.'": {{Left: "lower(customer.email)", Value: text("a.b@example.com"), Op: "startsWith", Limit: text("a.")}},
		"not (payment.method matches '^x')":     {{Left: "payment.method", Value: text("card"), Op: "not matches", Limit: text("^x")}},
		"(attempts + 1) * 2 > min(3, zero)":     {{Left: "(attempts + 1) * 2", Value: num(14), Op: ">", Limit: num(0)}},
		"2 * (\n attempts + 1 ) == 14":          {{Left: "2 * ( attempts + 1 )", Value: num(14), Op: "==", Limit: num(14)}},
		"customer.created < event.time":         {{Left: "customer.created", Value: text("2026-11-20T10:30:00Z"), Op: "<", Limit: text("2026-11-21T22:30:00Z")}},
		"(ip.is_vpn == true) == false":          {{Left: "ip.is_vpn == true", Value: no, Op: "==", Limit: no}},
		"custom.gift":                           {{Left: "custom.gift", Value: yes, Op: "==", Limit: yes}},
		"true":                                  nil,
		"attempts > 6":                          nil,
		"absent > 6":                            nil,
	} {
		if got := mustCompile(t, e, src, Bool).Because(s); !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\n got %+v\nwant %+v", src, got, want)
		}
	}
}

// TestAnalystsExpressions compiles conditions as they stand in rule files.
func TestAnalystsExpressions(t *testing.T) {
	e := NewEnv("USD", nil)
	for _, name := range []string{"card_attempts_10m", "card_distinct_amounts_10m", "travel_speed", "device_cards_7d", "customer_chargebacks_365d", "p95_90d", "cash_count_24h", "cash_24h", "pass_through_24h", "account_in_24h", "account_out_24h"} {
		if err := e.Define(Var{Name: name, Kind: Number, Number: func(*Scope) float64 { return 1 }}); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.AddList("tiny_ticket_merchants", stubList{kind: "id"}); err != nil {
		t.Fatal(err)
	}
	e = e.With(Var{Name: "param.max_cards", Kind: Number, Number: func(*Scope) float64 { return 4 }})
	for _, src := range []string{
		"card_attempts_10m >= 6 and card_distinct_amounts_10m <= 3 and amount.base < 5",
		"merchant.id in list.tiny_ticket_merchants",
		"has(travel_speed) and travel_speed > 950 and not ip.is_vpn",
		"device_cards_7d > param.max_cards",
		"has(customer.age_days) and customer.age_days > 365 and customer_chargebacks_365d == 0 and has(p95_90d) and amount.base <= p95_90d",
		"cash_count_24h >= 3 and\ncash_24h > 10000 and\namount.base < 10000\n",
		"has(customer.age_days) and customer.age_days < 30 and has(pass_through_24h) and pass_through_24h > 0.8",
		"amount.base > 30 and not has(payment.three_ds)",
	} {
		mustCompile(t, e, src, Bool)
	}
	for src, want := range map[string]Kind{
		"account_in_24h > 0 ? account_out_24h / account_in_24h : 0": Number,
		`payment.method == "cash"`:                                  Bool,
		"label.fraud":                                               Number,
	} {
		if _, l := e.Compile(diag.Inline("features.yaml", src), want, CompileOptions{Pseudonymous: true}); l.Err() != nil {
			t.Error(l)
		}
	}
}
