package enrich

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"
	"github.com/phuslu/iploc"
	"github.com/sluice-risk/sluice/risk"
)

func at(t testing.TB, s string) risk.Time {
	t.Helper()
	v, err := time.Parse(time.RFC3339, s)
	if err != nil {
		t.Fatal(err)
	}
	return risk.At(v)
}

// writeDatabase makes a MaxMind DB of networks and what is known of them.
func writeDatabase(t testing.TB, kind string, networks map[string]mmdbtype.Map) string {
	t.Helper()
	tree, err := mmdbwriter.New(mmdbwriter.Options{DatabaseType: kind, RecordSize: 24, BuildEpoch: 1_757_894_400})
	if err != nil {
		t.Fatal(err)
	}
	for prefix, data := range networks {
		_, n, err := net.ParseCIDR(prefix)
		if err != nil {
			t.Fatal(err)
		}
		if err := tree.Insert(n, data); err != nil {
			t.Fatal(err)
		}
	}
	var b bytes.Buffer
	if _, err := tree.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), kind+".mmdb")
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func inCountry(code string) mmdbtype.Map {
	return mmdbtype.Map{"country": mmdbtype.Map{"iso_code": mmdbtype.String(code)}}
}

var london = mmdbtype.Map{
	"country": mmdbtype.Map{"iso_code": mmdbtype.String("GB"), "names": mmdbtype.Map{"en": mmdbtype.String("United Kingdom")}},
	"subdivisions": mmdbtype.Slice{
		mmdbtype.Map{"geoname_id": mmdbtype.Uint32(1), "iso_code": mmdbtype.String("ENG"), "names": mmdbtype.Map{"en": mmdbtype.String("England")}},
		mmdbtype.Map{"iso_code": mmdbtype.String("WSM")},
	},
	"city":     mmdbtype.Map{"names": mmdbtype.Map{"de": mmdbtype.String("Londen"), "en": mmdbtype.String("London")}},
	"location": mmdbtype.Map{"latitude": mmdbtype.Float64(51.5142), "longitude": mmdbtype.Float64(-0.0931), "time_zone": mmdbtype.String("Europe/London")},
	"traits":   mmdbtype.Map{"is_anonymous_vpn": mmdbtype.Bool(true)},
}

var origin = mmdbtype.Map{
	"country":  mmdbtype.Map{"iso_code": mmdbtype.String("GH")},
	"location": mmdbtype.Map{"latitude": mmdbtype.Float64(0), "longitude": mmdbtype.Float64(0)},
}

const someRates = "date,currency,rate\n2026-01-01,USD,0.9\n2026-03-01,USD,0.8\n2026-02-01,USD,0.85\n2026-01-01,JPY,0.00612\n"

func newTables(t testing.TB, o Options) *Tables {
	t.Helper()
	tables, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return tables
}

func facts(tables *Tables, e risk.Event) risk.Facts {
	rec := risk.Record{Event: e, Facts: risk.Facts{IPCity: "of another event"}}
	tables.Fill(&rec)
	return rec.Facts
}

func TestFill(t *testing.T) {
	tables := newTables(t, Options{BaseCurrency: "EUR", Rates: []byte(someRates)})
	got := facts(tables, risk.Event{
		Time:   at(t, "2026-02-10T12:00:00Z"),
		Amount: risk.Money{Minor: 1000, Currency: "USD"},
		Card:   risk.Card{Country: "US"},
		Device: risk.Device{IP: "8.8.8.8", Timezone: "America/New_York"},
	})
	want := risk.Facts{Base: risk.Money{Minor: 850, Currency: "EUR"}, IPCountry: "US", IssuerCountry: "US",
		MatchTimezone: risk.Yes, MatchIPCurrency: risk.Yes, UTCOffset: risk.Number{Value: -300, Set: true}, Version: tables.Version()}
	if got != want {
		t.Errorf("facts %+v\nwant  %+v", got, want)
	}
	if got := facts(tables, risk.Event{}); got != (risk.Facts{Version: tables.Version()}) {
		t.Errorf("facts of nothing: %+v", got)
	}
	bare := newTables(t, Options{})
	if got := facts(bare, risk.Event{Amount: risk.Money{Minor: 1, Currency: "EUR"}}); !got.Base.IsZero() {
		t.Errorf("base without a base currency: %v", got.Base)
	}
}

func TestRatesByDay(t *testing.T) {
	tables := newTables(t, Options{BaseCurrency: "EUR", Rates: []byte(someRates)})
	f := func(when string, minor int64, currency string, want risk.Money) {
		t.Helper()
		got := facts(tables, risk.Event{Time: at(t, when), Amount: risk.Money{Minor: minor, Currency: currency}}).Base
		if got != want {
			t.Errorf("%d %s at %s = %v, want %v", minor, currency, when, got, want)
		}
	}
	eur := func(minor int64) risk.Money { return risk.Money{Minor: minor, Currency: "EUR"} }
	f("2025-12-31T23:59:59Z", 1000, "USD", risk.Money{})
	f("2026-01-01T00:00:00Z", 1000, "USD", eur(900))
	f("2026-01-31T23:59:59Z", 1000, "USD", eur(900))
	f("2026-02-01T01:00:00+02:00", 1000, "USD", eur(900)) // still January in UTC
	f("2026-02-01T00:00:00Z", 1000, "USD", eur(850))
	f("2030-01-01T00:00:00Z", 1000, "USD", eur(800))
	f("2026-01-01T00:00:00Z", 1000, "JPY", eur(612))
	f("1969-07-20T20:17:00Z", 1000, "EUR", eur(1000))
	f("1969-07-20T20:17:00Z", 1000, "USD", risk.Money{})
	f("2026-06-01T00:00:00Z", 1000, "CHF", risk.Money{})
	f("2026-06-01T00:00:00Z", -1000, "USD", eur(-800))
}

func TestRatesAreReadStrictly(t *testing.T) {
	f := func(src string, want ...string) {
		t.Helper()
		_, err := parseRates([]byte(src), "EUR")
		got := ""
		if err != nil {
			got = err.Error()
		}
		if got != strings.Join(want, "\n") {
			t.Errorf("parseRates(%q):\n%s\nwant\n%s", src, got, strings.Join(want, "\n"))
		}
	}
	f("")
	f("date,currency,rate\n")
	f("date,currency,rate\r\n2026-01-01,USD,0.9\r\n")
	f("Date,Currency,Rate\n", "rates.csv:1: the first line must be date,currency,rate")
	f("date,currency,rate\n2026-01-01,USD\n2026-13-01,USD,0.9\n\n2026-01-01,ABC,1\n2026-01-01,EUR,1\n2026-01-02,USD,0\n2026-01-02,USD,1e3\n2026-01-03,USD,1,2\n2026-01-04,USD,-1\n",
		"rates.csv:2: not the three columns date,currency,rate",
		`rates.csv:3: "2026-13-01" is no date such as 2026-11-21`,
		"rates.csv:4: an empty line",
		`rates.csv:5: "ABC" is no ISO 4217 currency`,
		"rates.csv:6: EUR is the base currency, whose rate is always 1",
		`rates.csv:7: "0" is no rate: a positive decimal such as 1.0842`,
		`rates.csv:8: "1e3" is no rate: a positive decimal such as 1.0842`,
		"rates.csv:9: not the three columns date,currency,rate",
		`rates.csv:10: "-1" is no rate: a positive decimal such as 1.0842`)
	f("date,currency,rate\n2026-01-02,USD,0.9\n2026-01-01,USD,0.9\n2026-01-02,USD,0.8\n",
		"rates.csv:4: USD has a rate for this day on line 2 already")

	_, err := parseRates([]byte("date,currency,rate\n"+strings.Repeat("x\n", 100)), "EUR")
	if n := strings.Count(err.Error(), "\n") + 1; n != maxRateFaults+1 {
		t.Errorf("%d lines of errors, want %d", n, maxRateFaults+1)
	}
	if _, err := New(Options{BaseCurrency: "EURO"}); err == nil {
		t.Error("a base currency that is none was taken")
	}
	if _, err := New(Options{Rates: []byte(someRates)}); err == nil {
		t.Error("rates without a base currency were taken")
	}
}

func TestWith(t *testing.T) {
	first := newTables(t, Options{BaseCurrency: "EUR", Rates: []byte(someRates)})
	second, err := first.With("USD", []byte("date,currency,rate\n2026-01-01,EUR,1.25\n"))
	if err != nil {
		t.Fatal(err)
	}
	e := risk.Event{Time: at(t, "2026-06-01T00:00:00Z"), Amount: risk.Money{Minor: 1000, Currency: "EUR"}}
	if got := facts(second, e).Base; got != (risk.Money{Minor: 1250, Currency: "USD"}) {
		t.Errorf("with other rates: %v", got)
	}
	if got := facts(first, e).Base; got != e.Amount {
		t.Errorf("the first tables have changed: %v", got)
	}
	if first.Version() == second.Version() {
		t.Errorf("both are called %s", first.Version())
	}
}

func TestVersion(t *testing.T) {
	tables := newTables(t, Options{BaseCurrency: "EUR", Rates: []byte(someRates)})
	tz := zoneVersion()
	embedded := "iploc-" + strings.TrimPrefix(iploc.Version, "v1.0.")
	if want := embedded + " rates-" + digest([]byte(someRates)) + " " + tz + " ua-1 world-1"; tables.Version() != want {
		t.Errorf("version %q, want %q", tables.Version(), want)
	}
	if again := newTables(t, Options{BaseCurrency: "EUR", Rates: []byte(someRates)}); again.Version() != tables.Version() {
		t.Errorf("version %q, then %q", tables.Version(), again.Version())
	}
	city := newTables(t, Options{Files: Files{City: writeDatabase(t, "GeoLite2-City", map[string]mmdbtype.Map{"81.2.69.0/24": london})}})
	if v := city.Version(); !strings.HasPrefix(v, "city-20250915-") || strings.Contains(v, "iploc") || !strings.HasSuffix(v, " "+tz+" ua-1 world-1") {
		t.Errorf("version %q", v)
	}
	if !strings.HasPrefix(tz, "tz-") || tz == "tz-" || strings.Contains(tz, " ") {
		t.Errorf("zone version %q, go is %s", tz, runtime.Version())
	}
}

func TestDatabases(t *testing.T) {
	path := writeDatabase(t, "GeoLite2-City", map[string]mmdbtype.Map{"81.2.69.0/24": london, "81.2.70.0/24": origin, "2a00:1450::/32": london})
	asn := writeDatabase(t, "GeoLite2-ASN", map[string]mmdbtype.Map{"81.2.69.0/24": {"autonomous_system_number": mmdbtype.Uint32(20712)}})
	fallback := writeDatabase(t, "GeoLite2-Country", map[string]mmdbtype.Map{"9.9.9.0/24": inCountry("CH"), "81.2.69.0/24": inCountry("FR"), "7.7.7.0/24": inCountry("ZZ")})
	tables := newTables(t, Options{Files: Files{City: path, ASN: asn, Country: fallback}})
	f := func(ip, want string) {
		t.Helper()
		if got := told(facts(tables, risk.Event{Device: risk.Device{IP: ip}})); got != want {
			t.Errorf("%s: %s\nwant %s", ip, got, want)
		}
	}
	const inLondon = "ip.country=GB ip.region=ENG ip.city=London ip.lat=51.5142 ip.lon=-0.0931 ip.timezone=Europe/London"
	f("81.2.69.160", inLondon+" ip.asn=20712 ip.is_anonymous ip.is_vpn offset=60")
	f("::ffff:81.2.69.160", inLondon+" ip.asn=20712 ip.is_anonymous ip.is_vpn offset=60")
	f("64:ff9b::5102:45a0", inLondon+" ip.asn=20712 ip.is_anonymous ip.is_vpn offset=60")
	f("2a00:1450::1", inLondon+" ip.is_anonymous ip.is_vpn offset=60")
	f("81.2.70.1", "ip.country=GH ip.lat=0 ip.lon=0 offset=0")
	f("9.9.9.9", "ip.country=CH offset=60")
	f("7.7.7.7", "") // ZZ is no country
	f("8.8.8.8", "")
	f("10.0.0.1", "")
	if tables.Faults() != 0 {
		t.Errorf("%d faults", tables.Faults())
	}

	// A database that knows about anonymous networks leaves out what is false.
	tables = newTables(t, Options{Files: Files{City: writeDatabase(t, "GeoIP2-Enterprise", map[string]mmdbtype.Map{"81.2.69.0/24": london, "9.9.9.0/24": inCountry("CH")})}})
	f("9.9.9.9", "ip.country=CH !ip.is_anonymous !ip.is_vpn !ip.is_hosting !ip.is_proxy !ip.is_residential_proxy !ip.is_tor offset=60")
}

// told writes the facts that there are, but for amounts and versions.
func told(f risk.Facts) string {
	var out []string
	for _, field := range risk.FactFields {
		switch {
		case field.Text != nil && *field.Text(&f) != "":
			out = append(out, field.Path+"="+*field.Text(&f))
		case field.Number != nil && field.Number(&f).Set:
			out = append(out, fmt.Sprintf("%s=%v", field.Path, field.Number(&f).Value))
		case field.Flag != nil && *field.Flag(&f) == risk.Yes:
			out = append(out, field.Path)
		case field.Flag != nil && *field.Flag(&f) == risk.No:
			out = append(out, "!"+field.Path)
		}
	}
	if f.UTCOffset.Set {
		out = append(out, fmt.Sprintf("offset=%v", f.UTCOffset.Value))
	}
	return strings.Join(out, " ")
}

func TestDatabasesThatAreWrong(t *testing.T) {
	asn := writeDatabase(t, "GeoLite2-ASN", nil)
	other := writeDatabase(t, "My-Own", nil)
	damaged := filepath.Join(t.TempDir(), "damaged.mmdb")
	if err := os.WriteFile(damaged, []byte("no database"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := New(Options{Files: Files{City: asn, Country: other, ASN: damaged}})
	for _, want := range []string{"city database", "GeoLite2-ASN", "country database", "My-Own", "asn database", "damaged.mmdb"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not name %q", err, want)
		}
	}
	if _, err := New(Options{Files: Files{City: "/nowhere/at/all"}}); err == nil {
		t.Error("a file that is not there was opened")
	}
	// A record of another shape is a fault that is counted, not a guess.
	odd := newTables(t, Options{Files: Files{City: writeDatabase(t, "GeoLite2-City", map[string]mmdbtype.Map{"9.9.9.0/24": {"subdivisions": mmdbtype.String("x")}, "81.2.69.0/24": london})}})
	if got := facts(odd, risk.Event{Device: risk.Device{IP: "9.9.9.9"}}); got != (risk.Facts{Version: odd.Version()}) || odd.Faults() != 1 {
		t.Errorf("odd record: %+v, %d faults", got, odd.Faults())
	}
}

func TestPublicAddr(t *testing.T) {
	f := func(in, want string) {
		t.Helper()
		a, ok := publicAddr(in)
		got := ""
		if ok {
			got = a.String()
		}
		if got != want {
			t.Errorf("publicAddr(%q) = %q, want %q", in, got, want)
		}
	}
	for _, s := range []string{"", "x", "0.0.0.0", "10.1.2.3", "127.0.0.1", "100.64.0.1", "100.127.255.255", "169.254.1.1", "172.16.0.1", "172.31.255.255",
		"192.168.1.1", "192.0.0.1", "192.0.2.1", "198.18.0.1", "198.19.255.255", "198.51.100.7", "203.0.113.9", "224.0.0.1", "240.0.0.1", "255.255.255.255",
		"::", "::1", "fe80::1%eth0", "fc00::1", "fd12::1", "ff02::1", "2001:db8::1", "3fff:0:1::", "::ffff:10.0.0.1", "64:ff9b::a00:1", "64:ff9b:1::1", "100::1"} {
		f(s, "")
	}
	for _, s := range []string{"1.1.1.1", "100.63.255.255", "100.128.0.1", "172.15.0.1", "172.32.0.1", "169.253.0.1", "192.0.1.1", "192.1.0.1", "192.167.0.1",
		"198.17.0.1", "198.20.0.1", "198.51.99.1", "203.0.112.1", "223.255.255.255", "2001:4860:4860::8888", "2a00::1"} {
		f(s, s)
	}
	f("::ffff:1.1.1.1", "1.1.1.1")
	f("64:ff9b::101:101", "1.1.1.1")
}

func TestZones(t *testing.T) {
	z := newZones()
	f := func(name, when string, want float64, set bool) {
		t.Helper()
		for range 2 { // loaded, then remembered
			if got := z.offset(name, at(t, when)); got != (risk.Number{Value: want, Set: set}) {
				t.Errorf("offset(%q, %s) = %+v, want %v, %v", name, when, got, want, set)
			}
		}
	}
	f("Europe/Berlin", "2026-01-15T12:00:00Z", 60, true)
	f("Europe/Berlin", "2026-07-15T12:00:00Z", 120, true)
	f("Asia/Kathmandu", "2026-07-15T12:00:00Z", 345, true)
	f("America/St_Johns", "2026-01-15T12:00:00Z", -210, true)
	f("UTC", "2026-01-15T12:00:00Z", 0, true)
	f("Etc/GMT+5", "2026-01-15T12:00:00Z", -300, true)
	for _, bad := range []string{"", "Local", "Europe/Nowhere", "../etc/passwd", "/etc/localtime", "tzdata.zi", "Europe\\Berlin", "Europe", "a b", strings.Repeat("a", 65)} {
		f(bad, "2026-01-15T12:00:00Z", 0, false)
	}

	var wg sync.WaitGroup
	for worker := range 4 {
		wg.Go(func() {
			for i := range maxZones / 2 {
				z.offset(fmt.Sprintf("No/Zone_%d_%d", worker, i), 1)
			}
		})
	}
	wg.Wait()
	if n := len(*z.known.Load()); n > maxZones {
		t.Errorf("%d names are remembered, at most %d may be", n, maxZones)
	}
	f("Europe/Berlin", "2026-01-15T12:00:00Z", 60, true)
}

// TestEmbeddedCountries takes a few addresses whose country is old and known.
func TestEmbeddedCountries(t *testing.T) {
	tables := newTables(t, Options{})
	for ip, want := range map[string]string{"8.8.8.8": "US", "2001:4860:4860::8888": "US", "193.0.6.139": "NL", "1.0.16.1": "JP", "0.0.0.0": "", "::": "", "2000::": ""} {
		if got := facts(tables, risk.Event{Device: risk.Device{IP: ip}}).IPCountry; got != want {
			t.Errorf("country of %s = %q, want %q", ip, got, want)
		}
	}
}

func benchmarkRecord(t testing.TB) *risk.Record {
	return &risk.Record{Event: risk.Event{
		Time:     at(t, "2026-02-10T12:00:00Z"),
		Amount:   risk.Money{Minor: 32321, Currency: "USD"},
		Customer: risk.Customer{Email: "maria.keller+shop@example.com", Country: "US"},
		Card:     risk.Card{BIN: "41111122", Country: "US"},
		Device: risk.Device{IP: "81.2.69.160", Timezone: "America/New_York", Language: "en-US,en;q=0.9,de;q=0.8",
			UserAgent: "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/139.0.0.0 Safari/537.36"},
		Merchant:   risk.Merchant{Country: "DE"},
		Settlement: risk.Settlement{Amount: risk.Money{Minor: 25900, Currency: "EUR"}},
	}}
}

func benchmarkTables(t testing.TB) map[string]*Tables {
	write := func(name, text string) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	var bins strings.Builder
	bins.WriteString(binHeader + "\n")
	for i := range 100_000 {
		fmt.Fprintf(&bins, "%d,,US,visa,credit,Bank %d\n", 40_000_000+20*i, i%500)
	}
	files := Files{
		City:       writeDatabase(t, "GeoLite2-City", map[string]mmdbtype.Map{"81.2.69.0/24": london}),
		ASN:        writeDatabase(t, "GeoLite2-ASN", map[string]mmdbtype.Map{"81.2.69.0/24": {"autonomous_system_number": mmdbtype.Uint32(20712), "autonomous_system_organization": mmdbtype.String("A&A")}}),
		Anonymous:  writeDatabase(t, "GeoIP2-Anonymous-IP", map[string]mmdbtype.Map{"81.2.69.0/24": {"is_anonymous": mmdbtype.Bool(true), "is_anonymous_vpn": mmdbtype.Bool(true)}}),
		BINs:       write("bins.csv", bins.String()),
		Disposable: write("disposable.txt", "mailinator.com\n"),
		Free:       write("free.txt", "gmail.com\n"),
	}
	return map[string]*Tables{
		"embedded": newTables(t, Options{BaseCurrency: "EUR", Rates: []byte(someRates)}),
		"all":      newTables(t, Options{BaseCurrency: "EUR", Rates: []byte(someRates), Files: files}),
	}
}

func TestFillAllocatesNothing(t *testing.T) {
	for name, tables := range benchmarkTables(t) {
		rec := benchmarkRecord(t)
		tables.Fill(rec)
		if n := testing.AllocsPerRun(100, func() { tables.Fill(rec) }); n != 0 {
			t.Errorf("Fill with %s tables allocates %v times", name, n)
		}
	}
}

func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func BenchmarkFill(b *testing.B) {
	for name, tables := range benchmarkTables(b) {
		b.Run("tables="+name, func(b *testing.B) {
			rec := benchmarkRecord(b)
			b.ReportAllocs()
			before := cpuTime(b)
			for b.Loop() {
				tables.Fill(rec)
			}
			b.ReportMetric(float64(cpuTime(b)-before)/float64(b.N), "cpu-ns/op") // what others on the machine do not change
		})
	}
	b.Run("address=IPv6", func(b *testing.B) {
		addr := netip.MustParseAddr("2001:4860:4860::8888")
		for b.Loop() {
			iploc.IPCountry(addr)
		}
	})
}
