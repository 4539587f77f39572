package enrich

import (
	"bytes"
	"os"
	"testing"

	"github.com/maxmind/mmdbwriter/mmdbtype"
	"github.com/sluice-risk/sluice/risk"
)

type m = mmdbtype.Map

func s(v string) mmdbtype.String { return mmdbtype.String(v) }

// TestLayouts reads the same of databases of different makers.
func TestLayouts(t *testing.T) {
	f := func(want string, files Files) {
		t.Helper()
		tables := newTables(t, Options{Files: files})
		if got := told(facts(tables, risk.Event{Device: risk.Device{IP: "81.2.69.160", Timezone: "UTC"}})); got != want {
			t.Errorf("%+v:\n     %s\nwant %s", files, got, want)
		}
	}
	db := func(kind string, record m) string {
		return writeDatabase(t, kind, map[string]m{"81.2.69.0/24": record})
	}
	const place = "ip.country=GB ip.region=England ip.city=London ip.lat=51.5 ip.lon=-0.1"

	f(place+" !match.ip_timezone offset=0", Files{City: db("DBIP-City-Lite", m{
		"country": m{"iso_code": s("GB"), "names": m{"en": s("United Kingdom")}}, "subdivisions": mmdbtype.Slice{m{"names": m{"en": s("England")}}},
		"city": m{"names": m{"en": s("London")}}, "location": m{"latitude": mmdbtype.Float64(51.5), "longitude": mmdbtype.Float64(-0.1)}})})
	f(place+" ip.timezone=Europe/London !match.ip_timezone offset=0", Files{City: db("ipinfo standard_location.mmdb", m{
		"city": s("London"), "region": s("England"), "country": s("GB"), "lat": s("51.5"), "lng": s("-0.1"), "timezone": s("Europe/London"), "postal_code": s("EC1A")})})
	f("ip.country=GB ip.asn=20712 ip.asn_org=Andrews & Arnold !match.ip_timezone offset=0", Files{
		Country: db("ipinfo lite", m{"country": s("United Kingdom"), "country_code": s("GB"), "asn": s("AS20712"), "as_name": s("Andrews & Arnold")}),
		ASN:     db("ipinfo lite", m{"country": s("United Kingdom"), "country_code": s("GB"), "asn": s("AS20712"), "as_name": s("Andrews & Arnold")})})
	f("ip.country=GB ip.asn=20712 ip.asn_org=A&A !match.ip_timezone offset=0", Files{
		Country: db("DBIP-Country-Lite", m{"country": m{"iso_code": s("GB")}, "continent": m{"code": s("EU")}}),
		ASN:     db("DBIP-ASN-Lite (compat=GeoLite2-ASN)", m{"autonomous_system_number": mmdbtype.Uint32(20712), "autonomous_system_organization": s("A&A")})})

	country := db("Any", m{"country": m{"iso_code": s("GB")}})
	const in = "ip.country=GB "
	const zone = " !match.ip_timezone offset=0"
	f(in+"ip.is_anonymous ip.is_vpn !ip.is_hosting !ip.is_proxy !ip.is_residential_proxy !ip.is_tor"+zone, Files{Country: country,
		Anonymous: db("GeoIP2-Anonymous-IP", m{"is_anonymous": mmdbtype.Bool(true), "is_anonymous_vpn": mmdbtype.Bool(true)})})
	f(in+"ip.is_anonymous !ip.is_vpn ip.is_hosting !ip.is_proxy ip.is_residential_proxy ip.is_tor"+zone, Files{Country: country,
		Anonymous: db("GeoIP2-Anonymous-IP", m{"is_hosting_provider": mmdbtype.Bool(true), "is_residential_proxy": mmdbtype.Bool(true), "is_tor_exit_node": mmdbtype.Bool(true)})})
	f(in+"ip.is_anonymous !ip.is_vpn !ip.is_hosting ip.is_proxy !ip.is_residential_proxy !ip.is_tor"+zone, Files{Country: country,
		Anonymous: db("ipinfo standard_privacy", m{"vpn": s(""), "proxy": s("true"), "tor": s(""), "relay": s(""), "hosting": s(""), "service": s("")})})
	f(in+"!ip.is_anonymous !ip.is_vpn !ip.is_hosting !ip.is_proxy !ip.is_residential_proxy !ip.is_tor"+zone, Files{Country: country,
		Anonymous: writeDatabase(t, "GeoIP2-Anonymous-IP", map[string]m{"9.9.9.0/24": {"is_anonymous": mmdbtype.Bool(true)}})})
}

// TestDamage flips and cuts the bytes of a database: either it is refused, or every
// look-up in it ends without a panic.
func TestDamage(t *testing.T) {
	networks := map[string]m{"9.9.9.0/24": inCountry("CH"), "81.2.69.0/24": london, "2a00:1450::/32": origin}
	path := writeDatabase(t, "GeoLite2-City", networks)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	refused, whole := 0, true
	try := func(content []byte) {
		db, err := openDatabase(content, &cityKind, whole)
		if err != nil {
			refused++
			return
		}
		tables := &Tables{shared: &shared{zones: newZones()}}
		l := &lookups{city: db}
		for _, ip := range []string{"9.9.9.9", "81.2.69.160", "2a00:1450::1", "8.8.8.8"} {
			if addr, ok := publicAddr(ip); ok {
				tables.locate(l, addr, new(risk.Facts))
			}
		}
	}
	try(good)
	if refused != 0 {
		t.Fatal("the whole database is refused")
	}
	step := max(1, len(good)/500)
	for i := 0; i < len(good); i += step {
		b := bytes.Clone(good)
		b[i] ^= 0x55
		try(b)
	}
	flipped := refused
	for i := 0; i < len(good); i += step {
		try(good[:i])
	}
	if cuts := refused - flipped; cuts < (len(good)-1)/step {
		t.Errorf("%d of %d cut databases are refused", cuts, len(good)/step)
	}
	if flipped == 0 {
		t.Error("no flipped byte is noticed")
	}
	refused, whole = 0, false // as at a start
	for i := 0; i < len(good); i += step {
		b := bytes.Clone(good)
		b[i] ^= 0x55
		try(b)
	}
	if refused > flipped {
		t.Errorf("a start refuses %d, a replacement %d", refused, flipped)
	}
}
