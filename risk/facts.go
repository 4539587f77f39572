package risk

// FactField is one fact about an event. Exactly one accessor is set, by Kind.
type FactField struct {
	Path string // in expressions: "ip.is_vpn"
	Kind Kind   // Text, Country, Decimal or Bool

	Text   func(*Facts) *string
	Number func(*Facts) *Number
	Flag   func(*Facts) *Flag

	name string // in the canonical JSON
}

// FactFields is the one description of the facts that are scalars and have a name in
// expressions, in canonical order.
var FactFields = func() []FactField {
	text := func(path, name string, at func(*Facts) *string) FactField {
		return FactField{Path: path, name: name, Kind: Text, Text: at}
	}
	country := func(path, name string, at func(*Facts) *string) FactField {
		return FactField{Path: path, name: name, Kind: Country, Text: at}
	}
	number := func(path, name string, at func(*Facts) *Number) FactField {
		return FactField{Path: path, name: name, Kind: Decimal, Number: at}
	}
	flag := func(path, name string, at func(*Facts) *Flag) FactField {
		return FactField{Path: path, name: name, Kind: Bool, Flag: at}
	}
	return []FactField{
		country("ip.country", "ip_country", func(f *Facts) *string { return &f.IPCountry }),
		text("ip.region", "ip_region", func(f *Facts) *string { return &f.IPRegion }),
		text("ip.city", "ip_city", func(f *Facts) *string { return &f.IPCity }),
		number("ip.lat", "ip_lat", func(f *Facts) *Number { return &f.IPLat }),
		number("ip.lon", "ip_lon", func(f *Facts) *Number { return &f.IPLon }),
		text("ip.timezone", "ip_timezone", func(f *Facts) *string { return &f.IPTimezone }),
		number("ip.asn", "ip_asn", func(f *Facts) *Number { return &f.IPASN }),
		text("ip.asn_org", "ip_asn_org", func(f *Facts) *string { return &f.IPASNOrg }),
		flag("ip.is_anonymous", "ip_anonymous", func(f *Facts) *Flag { return &f.IPAnonymous }),
		flag("ip.is_vpn", "ip_vpn", func(f *Facts) *Flag { return &f.IPVPN }),
		flag("ip.is_hosting", "ip_hosting", func(f *Facts) *Flag { return &f.IPHosting }),
		flag("ip.is_proxy", "ip_proxy", func(f *Facts) *Flag { return &f.IPProxy }),
		flag("ip.is_residential_proxy", "ip_residential_proxy", func(f *Facts) *Flag { return &f.IPResidentialProxy }),
		flag("ip.is_tor", "ip_tor", func(f *Facts) *Flag { return &f.IPTor }),

		country("card.issuer_country", "issuer_country", func(f *Facts) *string { return &f.IssuerCountry }),
		country("card.bin_country", "bin_country", func(f *Facts) *string { return &f.BINCountry }),
		text("card.bin_brand", "bin_brand", func(f *Facts) *string { return &f.BINBrand }),
		text("card.bin_funding", "bin_funding", func(f *Facts) *string { return &f.BINFunding }),
		text("card.bin_issuer", "bin_issuer", func(f *Facts) *string { return &f.BINIssuer }),

		text("ua.browser", "ua_browser", func(f *Facts) *string { return &f.UABrowser }),
		number("ua.browser_version", "ua_browser_version", func(f *Facts) *Number { return &f.UABrowserVersion }),
		text("ua.os", "ua_os", func(f *Facts) *string { return &f.UAOS }),
		text("ua.device", "ua_device", func(f *Facts) *string { return &f.UADevice }),
		flag("ua.is_bot", "ua_bot", func(f *Facts) *Flag { return &f.UABot }),
		flag("ua.is_headless", "ua_headless", func(f *Facts) *Flag { return &f.UAHeadless }),

		text("email.class", "email_class", func(f *Facts) *string { return &f.EmailClass }),
		number("fx.deviation", "fx_deviation", func(f *Facts) *Number { return &f.FXDeviation }),

		flag("match.ip_timezone", "match_timezone", func(f *Facts) *Flag { return &f.MatchTimezone }),
		flag("match.ip_language", "match_language", func(f *Facts) *Flag { return &f.MatchLanguage }),
		flag("match.ip_currency", "match_currency", func(f *Facts) *Flag { return &f.MatchIPCurrency }),
		flag("match.payer_currency", "match_payer", func(f *Facts) *Flag { return &f.MatchPayerCurrency }),
		flag("match.payee_currency", "match_payee", func(f *Facts) *Flag { return &f.MatchPayeeCurrency }),
	}
}()

// factsTable is the canonical JSON of Facts: base, the fields, the payer's offset
// from UTC, the tables' version.
var factsTable = func() *table[Facts] {
	all := []member[Facts]{{name: "base", read: readBase, write: writeBase}}
	for _, f := range FactFields {
		kind := f.Kind
		if kind == Country {
			kind = Text
		}
		all = append(all, member[Facts]{name: f.name, kind: kind, class: Plain, text: f.Text, number: f.Number, flag: f.Flag})
	}
	return newTable(append(all,
		member[Facts]{name: "utc_offset", kind: Decimal, class: Plain, number: func(f *Facts) *Number { return &f.UTCOffset }},
		member[Facts]{name: "version", kind: Text, class: Plain, text: func(f *Facts) *string { return &f.Version }},
	)...)
}()

func readBase(s *scanner, f *Facts) {
	var m moneyText
	if _, ok := readObject(s, amountTable, &m); !ok || s.stopped {
		return
	}
	money, _, err := m.money("")
	if err != nil {
		s.bad(true, err.Error())
	}
	f.Base = money
}

func writeBase(dst []byte, _ Class, f *Facts, _ *sighting) []byte {
	if f.Base.IsZero() {
		return dst
	}
	return appendMoney(dst, f.Base)
}
