package risk

// factsTable is the canonical JSON of Facts: these names, in this order.
var factsTable = newTable(
	member[Facts]{name: "base", read: readBase, write: writeBase},
	factText("ip_country", func(f *Facts) *string { return &f.IPCountry }),
	factText("ip_region", func(f *Facts) *string { return &f.IPRegion }),
	factText("ip_city", func(f *Facts) *string { return &f.IPCity }),
	factNumber("ip_lat", func(f *Facts) *Number { return &f.IPLat }),
	factNumber("ip_lon", func(f *Facts) *Number { return &f.IPLon }),
	factNumber("ip_asn", func(f *Facts) *Number { return &f.IPASN }),
	member[Facts]{name: "ip_vpn", kind: Bool, class: Plain, flag: func(f *Facts) *Flag { return &f.IPVPN }},
	member[Facts]{name: "ip_hosting", kind: Bool, class: Plain, flag: func(f *Facts) *Flag { return &f.IPHosting }},
	factText("issuer_country", func(f *Facts) *string { return &f.IssuerCountry }),
	factNumber("utc_offset", func(f *Facts) *Number { return &f.UTCOffset }),
	factText("version", func(f *Facts) *string { return &f.Version }),
)

func factText(name string, at func(*Facts) *string) member[Facts] {
	return member[Facts]{name: name, kind: Text, class: Plain, text: at}
}

func factNumber(name string, at func(*Facts) *Number) member[Facts] {
	return member[Facts]{name: name, kind: Decimal, class: Plain, number: at}
}

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
