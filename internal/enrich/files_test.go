package enrich

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/sluice-risk/sluice/risk"
	"golang.org/x/text/currency"
	"golang.org/x/text/language"
)

const someBINs = binHeader + `
411111,,US,Visa,credit,First Bank
41111122,41111133,US,Visa,DEBIT,"First Bank, Direct"
41111122,,CA,Visa,prepaid,
# a comment

520000,520999,DE,mastercard,,Zweite Bank
52000000,52000099,DE,mastercard,credit,Zweite Bank
3782820,,,amex,charge,
`

func TestBINs(t *testing.T) {
	b, err := parseBINs([]byte(strings.ReplaceAll(someBINs, "\n", "\r\n")), "bins.csv")
	if err != nil {
		t.Fatal(err)
	}
	f := func(bin, want string) {
		t.Helper()
		is := b.find(bin)
		if got := strings.Join([]string{is.country, is.brand, is.funding, is.name}, ","); got != want {
			t.Errorf("find(%s) = %s, want %s", bin, got, want)
		}
	}
	f("41111100", "US,visa,credit,First Bank")
	f("41111199", "US,visa,credit,First Bank")
	f("41111122", "CA,visa,prepaid,")
	f("41111123", "US,visa,debit,First Bank, Direct")
	f("41111134", "US,visa,credit,First Bank")
	f("4111112", ",visa,,") // 41111120 to 41111129 differ
	f("4111115", "US,visa,credit,First Bank")
	f("411111", ",visa,,")
	f("520000", "DE,mastercard,credit,Zweite Bank") // the narrower range is the whole of it
	f("520001", "DE,mastercard,,Zweite Bank")
	f("52099999", "DE,mastercard,,Zweite Bank")
	f("521000", ",,,")
	f("3782820", ",amex,charge,")
	f("378282", ",,,") // only a tenth of it is known
	for _, none := range []string{"", "41111", "411111111", "4111x1", "000000", "999999", "99999999"} {
		f(none, ",,,")
	}
}

func TestBINsAreReadStrictly(t *testing.T) {
	f := func(rows string, want ...string) {
		t.Helper()
		_, err := parseBINs([]byte(binHeader+"\n"+rows), "b.csv")
		if got := fmt.Sprint(err); got != strings.Join(want, "\n") {
			t.Errorf("%q:\n%s\nwant\n%s", rows, got, strings.Join(want, "\n"))
		}
	}
	f("411111,,US,visa,credit\n4111,,US,v,credit,\n411112,4111129,US,v,credit,\n411119,411112,US,v,credit,\n41111a,,US,v,credit,\n411113,,UK,v,credit,\n411114,,US,v,gift,\n",
		"b.csv:2: 5 columns, not the six of "+binHeader,
		`b.csv:3: "4111" to "4111" is no range of 6 to 8 digits, both of one length`,
		`b.csv:4: "411112" to "4111129" is no range of 6 to 8 digits, both of one length`,
		`b.csv:5: "411119" to "411112" is no range of 6 to 8 digits, both of one length`,
		`b.csv:6: "41111a" to "41111a" is no range of 6 to 8 digits, both of one length`,
		`b.csv:7: "UK" is no ISO 3166-1 alpha-2 country code`,
		`b.csv:8: "gift" is none of credit, debit, prepaid, charge`)
	f("411111,411119,US,v,credit,\n411115,411125,US,v,debit,\n411111,411119,US,v,debit,\n",
		"b.csv:3: overlaps the range of line 2 and is not within it",
		"b.csv:4: the same range stands on line 2 already")
	_, err := parseBINs([]byte(binHeader+"\n"+strings.Repeat("x\n", 100)), "b.csv")
	if n := strings.Count(err.Error(), "\n") + 1; n != maxFileFault+1 {
		t.Errorf("%d lines of errors, want %d", n, maxFileFault+1)
	}
	for _, src := range []string{"", "from,to\n", "From,To,Country,Brand,Funding,Issuer\n"} {
		if _, err := parseBINs([]byte(src), "b.csv"); err == nil || !strings.HasPrefix(err.Error(), "b.csv:1: the first line must be ") {
			t.Errorf("%q: %v", src, err)
		}
	}
}

// TestBINsAgainstAList compares with looking through the rows one by one.
func TestBINsAgainstAList(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	type row struct{ low, high uint32 }
	var rows []row
	var split func(low, high uint32, depth int)
	split = func(low, high uint32, depth int) { // ranges that lie within each other or apart
		if low > high || depth == 0 {
			return
		}
		rows = append(rows, row{low, high})
		at := low + uint32(rnd.IntN(3))
		for at <= high {
			to := min(at+uint32(rnd.IntN(int(high-low)/2+1)), high)
			if at != low || to != high {
				split(at, to, depth-1)
			}
			at = to + 1 + uint32(rnd.IntN(3))
		}
	}
	split(41000000, 41000199, 4)
	split(41000300, 41000350, 3)
	var text strings.Builder
	text.WriteString(binHeader + "\n")
	for i, j := range rnd.Perm(len(rows)) {
		rows[i], rows[j] = rows[j], rows[i]
	}
	for i, r := range rows {
		fmt.Fprintf(&text, "%d,%d,,,,%d\n", r.low, r.high, i)
	}
	b, err := parseBINs([]byte(text.String()), "b.csv")
	if err != nil {
		t.Fatal(err)
	}
	for bin := uint32(40999990); bin < 41000400; bin++ {
		best, want := -1, ""
		for i, r := range rows {
			if r.low <= bin && bin <= r.high && (best < 0 || r.high-r.low < rows[best].high-rows[best].low) {
				best, want = i, fmt.Sprint(i)
			}
		}
		if got := b.find(fmt.Sprint(bin)).name; got != want {
			t.Fatalf("%d is in row %q, want %q, of %v", bin, got, want, rows)
		}
	}
}

func FuzzParseBINs(f *testing.F) {
	f.Add([]byte(someBINs), "41111122")
	f.Fuzz(func(t *testing.T, src []byte, bin string) {
		if b, err := parseBINs(src, "b.csv"); err == nil {
			b.find(bin)
			for i := range b.from {
				if b.from[i] > b.to[i] || i > 0 && b.from[i] <= b.to[i-1] {
					t.Fatalf("segment %d of %v to %v", i, b.from, b.to)
				}
			}
		}
	})
}

func TestEmailClass(t *testing.T) {
	disposable, err := parseDomains([]byte("# short-lived\nMailinator.com\n\n@tempmail.example # and below\n"), "d.txt")
	if err != nil {
		t.Fatal(err)
	}
	free, err := parseDomains([]byte("gmail.com\ngmx.de\r\nfree.example\n"), "f.txt")
	if err != nil {
		t.Fatal(err)
	}
	f := func(domain, want string, disposable, free domains) {
		t.Helper()
		if got := classOf(domain, disposable, free); got != want {
			t.Errorf("class of %s = %q, want %q", domain, got, want)
		}
	}
	f("mailinator.com", "disposable", disposable, free)
	f("x.y.mailinator.com", "disposable", disposable, free)
	f("notmailinator.com", "corporate", disposable, free)
	f("tempmail.example", "disposable", disposable, free)
	f("gmail.com", "free", disposable, free)
	f("gmail.com", "", disposable, nil)
	f("gmail.com", "free", nil, free)
	f("acme.example", "corporate", disposable, free)
	f("acme.example", "corporate", nil, free)
	f("acme.example", "", disposable, nil)
	f("", "", disposable, free)
	for _, bad := range []string{"gmail", "a b.com", "x@y.com", "*.mailinator.com", "a,b.com"} {
		if _, err := parseDomains([]byte("ok.com\n"+bad+"\n"), "d.txt"); err == nil || !strings.Contains(err.Error(), "d.txt:2: ") {
			t.Errorf("%q was taken: %v", bad, err)
		}
	}
}

func TestFXDeviation(t *testing.T) {
	tables := newTables(t, Options{BaseCurrency: "EUR", Rates: []byte(someRates)}) // USD 0.8, JPY 0.00612
	f := func(amount, settled risk.Money, rate float64, want risk.Number) {
		t.Helper()
		e := risk.Event{Time: at(t, "2026-06-01T00:00:00Z"), Amount: amount, Settlement: risk.Settlement{Amount: settled, Rate: risk.Number{Value: rate, Set: rate != 0}}}
		if got := facts(tables, e).FXDeviation; got != want {
			t.Errorf("%v settled as %v at %v: %+v, want %+v", amount, settled, rate, got, want)
		}
	}
	num := func(v float64) risk.Number { return risk.Number{Value: v, Set: true} }
	usd, eur, jpy := risk.Money{Minor: 10000, Currency: "USD"}, risk.Money{Minor: 8000, Currency: "EUR"}, risk.Money{Minor: 13072, Currency: "JPY"}
	f(usd, eur, 0, num(0))
	f(usd, risk.Money{Minor: 8160, Currency: "EUR"}, 0, num(0.02))
	f(usd, eur, 0.784, num(-0.02)) // the rate that was sent is the one
	f(eur, usd, 0, num(0))
	f(usd, jpy, 0, num(0.000008))
	f(usd, risk.Money{Minor: 12800, Currency: "JPY"}, 0, num(-0.0208))
	f(usd, risk.Money{}, 0.8, risk.Number{}) // into which currency?
	f(usd, usd, 1.1, risk.Number{})
	f(usd, risk.Money{Minor: 1, Currency: "CHF"}, 0, risk.Number{})
	f(risk.Money{Currency: "USD"}, eur, 0, risk.Number{})
	f(usd, eur, -1, risk.Number{})
	bare := newTables(t, Options{})
	if got := facts(bare, risk.Event{Amount: usd, Settlement: risk.Settlement{Amount: eur}}).FXDeviation; got.Set {
		t.Errorf("without rates: %v", got)
	}
}

func TestPlausible(t *testing.T) {
	country := writeDatabase(t, "GeoLite2-Country", map[string]m{
		"81.2.69.0/24": inCountry("DE"), "81.2.70.0/24": inCountry("US"), "81.2.71.0/24": inCountry("CH"), "81.2.72.0/24": inCountry("IN"), "81.2.73.0/24": inCountry("BR")})
	tables := newTables(t, Options{Files: Files{Country: country}})
	const german, american, swiss, indian, brazilian = "81.2.69.1", "81.2.70.1", "81.2.71.1", "81.2.72.1", "81.2.73.1"
	summer := at(t, "2026-07-15T12:00:00Z")

	zone := func(ip, name string, want risk.Flag) {
		t.Helper()
		if got := facts(tables, risk.Event{Time: summer, Device: risk.Device{IP: ip, Timezone: name}}).MatchTimezone; got != want {
			t.Errorf("%s at %s: %v, want %v", name, ip, got, want)
		}
	}
	zone(german, "Europe/Berlin", risk.Yes)
	zone(german, "Europe/Paris", risk.Yes) // the same clock
	zone(german, "Europe/London", risk.No)
	zone(german, "Africa/Lagos", risk.No) // no summer time
	zone(german, "Nowhere/At_All", 0)
	zone(german, "", 0)
	zone(american, "America/Los_Angeles", risk.Yes)
	zone(american, "US/Pacific", risk.Yes)
	zone(american, "America/Toronto", risk.Yes)
	zone(american, "Asia/Shanghai", risk.No)
	zone(indian, "Asia/Calcutta", risk.Yes)
	zone(indian, "UTC", risk.No)
	zone("10.0.0.1", "UTC", 0)

	speak := func(ip, language string, want risk.Flag) {
		t.Helper()
		if got := facts(tables, risk.Event{Device: risk.Device{IP: ip, Language: language}}).MatchLanguage; got != want {
			t.Errorf("%s at %s: %v, want %v", language, ip, got, want)
		}
	}
	speak(german, "de", risk.Yes)
	speak(german, "DE-at", risk.Yes)
	speak(german, "en-US", risk.Yes)
	speak(german, "ja-JP", risk.No)
	speak(german, "ja-DE", risk.Yes)
	speak(german, "ja_DE.UTF-8", risk.Yes)
	speak(german, "vi, zh;q=0.8", risk.No)
	speak(german, "vi, de;q=0.8", risk.Yes)
	speak(swiss, "fr", risk.Yes)
	speak(swiss, "rm-CH", risk.Yes)
	speak(swiss, "zh-Hant-TW", risk.No)
	speak(brazilian, "pt-PT", risk.Yes)
	speak(brazilian, "es", risk.No)
	speak(american, "fil", risk.Yes)
	speak(german, "", 0)
	speak(german, "*", 0)
	speak(german, "x", 0)
	speak(german, "123", 0)
	speak("10.0.0.1", "de", 0)

	money := func(e risk.Event, currency, want string) {
		t.Helper()
		e.Amount = risk.Money{Minor: 1, Currency: currency}
		if got := told(facts(tables, e)); got != want {
			t.Errorf("%s: %q, want %q", currency, got, want)
		}
	}
	money(risk.Event{Customer: risk.Customer{Country: "HR"}, Receiver: risk.Party{Country: "PA"}}, "USD", "!match.payer_currency match.payee_currency offset=60")
	money(risk.Event{Sender: risk.Party{Country: "HR"}, Merchant: risk.Merchant{Country: "GB"}}, "EUR", "match.payer_currency !match.payee_currency offset=60")
	money(risk.Event{Billing: risk.Address{Country: "BG"}, Device: risk.Device{IP: swiss}}, "CHF", "ip.country=CH match.ip_currency !match.payer_currency offset=120")
	money(risk.Event{}, "USD", "")

	// The payer's clock without the device's own.
	local := func(e risk.Event, want risk.Number) {
		t.Helper()
		e.Time = summer
		if got := facts(tables, e).UTCOffset; got != want {
			t.Errorf("%+v: offset %+v, want %+v", e.Customer, got, want)
		}
	}
	local(risk.Event{Customer: risk.Customer{Country: "DE"}}, risk.Number{Value: 120, Set: true})
	local(risk.Event{Customer: risk.Customer{Country: "US"}}, risk.Number{})
	local(risk.Event{Customer: risk.Customer{Country: "DE"}, Device: risk.Device{Timezone: "Asia/Tokyo"}}, risk.Number{Value: 540, Set: true})
	local(risk.Event{Device: risk.Device{IP: indian}}, risk.Number{Value: 330, Set: true})
	local(risk.Event{}, risk.Number{})
}

// TestCountriesAreWhole: every country has zones, currencies and languages, and all
// of them exist.
func TestCountriesAreWhole(t *testing.T) {
	z := newZones()
	n := 0
	for a := 'A'; a <= 'Z'; a++ {
		for b := 'A'; b <= 'Z'; b++ {
			code := string([]rune{a, b})
			c := usual(code)
			if c == nil {
				continue
			}
			n++
			if len(c.currencies) == 0 || len(c.languages) == 0 || len(c.zones) == 0 && code != "BV" && code != "HM" {
				t.Errorf("%s: %+v", code, c)
			}
			for _, name := range c.zones {
				if !z.offset(name, 1_800_000_000_000).Set {
					t.Errorf("%s: there is no zone %s", code, name)
				}
			}
			for _, cur := range c.currencies {
				if risk.Exponent(cur) < 0 {
					t.Errorf("%s: there is no currency %s", code, cur)
				}
			}
			for _, l := range c.languages {
				if _, err := language.ParseBase(l); err != nil {
					t.Errorf("%s: there is no language %s: %v", code, l, err)
				}
			}
			// golang.org/x/text knows the world of 2017 (CLDR 32); what has changed since
			// is what differs.
			region, err := language.ParseRegion(code)
			if err != nil {
				continue
			}
			if unit, ok := currency.FromRegion(region); ok && !contains(c.currencies, unit.String()) && since2017[code] != unit.String() {
				t.Errorf("%s: %v, and %s in CLDR", code, c.currencies, unit)
			}
			if tag, err := language.Parse("und-" + code); err == nil {
				base, _ := tag.Base()
				if l := base.String(); !contains(c.languages, l) && !contains(c.languages, former[l]) && l != "en" && l != "und" {
					t.Errorf("%s: %v, and likely %s in CLDR", code, c.languages, l)
				}
			}
		}
	}
	if n < 249 {
		t.Errorf("%d countries", n)
	}
}

var since2017 = map[string]string{"BG": "BGN", "CW": "ANG", "HR": "HRK", "MR": "MRO", "SL": "SLL", "ST": "STD", "SX": "ANG", "VE": "VEF"}
