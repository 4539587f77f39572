package enrich

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"sync"

	"github.com/oschwald/maxminddb-golang/v2"
	"github.com/oschwald/maxminddb-golang/v2/mmdbdata"
	"github.com/sluice-risk/sluice/risk"
)

// database is a MaxMind DB in memory: a file that is overwritten while it is
// mapped would end the process.
type database struct {
	reader  *maxminddb.Reader
	version string
	// flags: it is about anonymous networks, and leaves out flags that are false and
	// networks that have none. In other databases a missing flag is unknown.
	flags bool
}

// openDatabase checks that the records of a database have what it is wanted for:
// whoever made it and whatever they call it, the layouts of GeoIP2, DB-IP and IPinfo
// are read. With whole it reads every record, which takes seconds for a large one:
// what takes the place of a good database is looked at more closely than what a
// start cannot do without.
func openDatabase(b []byte, kind *tableKind, whole bool) (*database, error) {
	reader, err := maxminddb.OpenBytes(b)
	if err != nil {
		return nil, err
	}
	meta := reader.Metadata
	if err := fits(reader, kind, whole); err != nil {
		return nil, fmt.Errorf("is a %s: %w", meta.DatabaseType, err)
	}
	return &database{
		reader:  reader,
		version: fmt.Sprintf("%s-%s-%s", kind.name, meta.BuildTime().UTC().Format("20060102"), digest(b)),
		flags:   kind == &anonymousKind || strings.Contains(meta.DatabaseType, "Enterprise"),
	}, nil
}

// fits reads records until one has what is wanted, or every one: then what is damaged
// is found now and not by a payment. Records that are of another shape are passed
// over, as a look-up does.
func fits(reader *maxminddb.Reader, kind *tableKind, whole bool) error {
	read := map[uintptr]struct{}{}
	some := false
	for found := range reader.Networks() {
		if err := found.Err(); err != nil {
			return err
		}
		if _, ok := read[found.Offset()]; ok {
			continue
		}
		read[found.Offset()] = struct{}{}
		var r record
		if err := found.Decode(&r); err == nil {
			if some = some || kind.has(&r); some && !whole {
				return nil
			}
		} else if !errors.Is(err, errShape) {
			return err
		}
	}
	if !some {
		return fmt.Errorf("none of %d records has %s", len(read), kind.wanted)
	}
	return nil
}

// record is what is read of a record of any database.
type record struct {
	country, region, city, timezone string
	lat, lon                        risk.Number
	asn                             risk.Number
	org                             string

	anonymous, vpn, hosting, proxy, residential, tor risk.Flag
	some                                             bool // flags of any layout
}

var errShape = errors.New("a value of another kind than it should be")

// shape tells a value of another kind from damage.
func shape(err error) error {
	if _, ok := errors.AsType[mmdbdata.UnexpectedKindError](err); ok || errors.Is(err, strconv.ErrSyntax) {
		return errShape
	}
	return err
}

// UnmarshalMaxMindDBCursor reads a record in one pass, and allocates nothing but
// texts that the reader has not met.
func (r *record) UnmarshalMaxMindDBCursor(c mmdbdata.Cursor) (mmdbdata.Cursor, error) {
	return members(c, func(name []byte, at mmdbdata.Cursor) (mmdbdata.Cursor, error) {
		switch string(name) {
		case "country": // GeoIP2: a map; IPinfo: the code, or with country_code the name
			if isText(at) {
				code := ""
				next, err := readText(at, &code)
				if r.country == "" {
					r.country = risk.CountryCode(code)
				}
				return next, err
			}
			return members(at, r.ofCountry)
		case "country_code":
			code := ""
			next, err := readText(at, &code)
			r.country = risk.CountryCode(code)
			return next, err
		case "subdivisions":
			return r.subdivisions(at)
		case "region":
			return readText(at, &r.region)
		case "city":
			if isText(at) {
				return readText(at, &r.city)
			}
			return members(at, r.ofCity)
		case "location":
			return members(at, r.ofLocation)
		case "traits":
			return members(at, r.flag)
		case "autonomous_system_number", "asn":
			return r.operator(at)
		case "autonomous_system_organization", "as_name", "name":
			return readText(at, &r.org)
		case "latitude", "lat", "longitude", "lng", "timezone":
			return r.ofLocation(name, at)
		}
		return r.flag(name, at)
	})
}

func (r *record) ofCountry(name []byte, at mmdbdata.Cursor) (mmdbdata.Cursor, error) {
	if string(name) != "iso_code" {
		return at.Skip()
	}
	code := ""
	next, err := readText(at, &code)
	r.country = risk.CountryCode(code)
	return next, err
}

func (r *record) ofCity(name []byte, at mmdbdata.Cursor) (mmdbdata.Cursor, error) {
	if string(name) == "names" {
		return members(at, func(name []byte, at mmdbdata.Cursor) (mmdbdata.Cursor, error) {
			if string(name) == "en" {
				return readText(at, &r.city)
			}
			return at.Skip()
		})
	}
	return at.Skip()
}

func (r *record) ofLocation(name []byte, at mmdbdata.Cursor) (mmdbdata.Cursor, error) {
	switch string(name) {
	case "latitude", "lat":
		return readNumber(at, &r.lat)
	case "longitude", "lng":
		return readNumber(at, &r.lon)
	case "time_zone", "timezone":
		return readText(at, &r.timezone)
	}
	return at.Skip()
}

// subdivisions takes the first, which is the largest part of the country: by its
// code, where the database has one, else by its name.
func (r *record) subdivisions(c mmdbdata.Cursor) (mmdbdata.Cursor, error) {
	list, err := c.Slice()
	if err != nil {
		return mmdbdata.Cursor{}, shape(err)
	}
	var after mmdbdata.Cursor
	for {
		i, element, ok := list.Next(after)
		if !ok {
			return list.End()
		}
		if i > 0 {
			after, err = element.Skip()
		} else {
			code, english := "", ""
			after, err = members(element, func(name []byte, at mmdbdata.Cursor) (mmdbdata.Cursor, error) {
				switch string(name) {
				case "iso_code":
					return readText(at, &code)
				case "names":
					return members(at, func(name []byte, at mmdbdata.Cursor) (mmdbdata.Cursor, error) {
						if string(name) == "en" {
							return readText(at, &english)
						}
						return at.Skip()
					})
				}
				return at.Skip()
			})
			if r.region = code; code == "" {
				r.region = english
			}
		}
		if err != nil {
			return mmdbdata.Cursor{}, err
		}
	}
}

// flag reads what hides somebody, as GeoIP2 and as IPinfo call it.
func (r *record) flag(name []byte, at mmdbdata.Cursor) (mmdbdata.Cursor, error) {
	var to *risk.Flag
	switch string(name) {
	case "is_anonymous", "anonymous", "relay":
		to = &r.anonymous
	case "is_anonymous_vpn", "is_vpn", "vpn":
		to = &r.vpn
	case "is_hosting_provider", "is_hosting", "hosting":
		to = &r.hosting
	case "is_public_proxy", "is_proxy", "proxy":
		to = &r.proxy
	case "is_residential_proxy", "is_res_proxy", "residential_proxy":
		to = &r.residential
	case "is_tor_exit_node", "is_tor", "tor":
		to = &r.tor
	default:
		return at.Skip()
	}
	r.some = true
	return readFlag(at, to)
}

func (r *record) operator(at mmdbdata.Cursor) (mmdbdata.Cursor, error) {
	if !isText(at) {
		return readNumber(at, &r.asn)
	}
	number := "" // "AS15169"
	next, err := readText(at, &number)
	if n, bad := strconv.ParseUint(strings.TrimPrefix(number, "AS"), 10, 32); bad == nil {
		r.asn = risk.Number{Value: float64(n), Set: true}
	}
	return next, err
}

// members hands each member of a map to read, which gives where the next one is.
func members(c mmdbdata.Cursor, read func(name []byte, at mmdbdata.Cursor) (mmdbdata.Cursor, error)) (mmdbdata.Cursor, error) {
	all, err := c.Map()
	if err != nil {
		return mmdbdata.Cursor{}, shape(err)
	}
	var after mmdbdata.Cursor
	for {
		name, at, ok := all.Next(after)
		if !ok {
			return all.End()
		}
		if after, err = read(name, at); err != nil {
			return mmdbdata.Cursor{}, err
		}
	}
}

func isText(at mmdbdata.Cursor) bool {
	kind, err := at.Kind()
	return err == nil && kind == mmdbdata.KindString
}

func readText(at mmdbdata.Cursor, to *string) (mmdbdata.Cursor, error) {
	s, next, err := at.ReadString()
	if err != nil {
		return next, shape(err)
	}
	*to = s
	return next, nil
}

// readNumber reads a number, also one that is written as a text; 0 is a number.
func readNumber(at mmdbdata.Cursor, to *risk.Number) (next mmdbdata.Cursor, err error) {
	kind, err := at.Kind()
	if err != nil {
		return at, err
	}
	var v float64
	switch kind {
	case mmdbdata.KindString:
		var s string
		if s, next, err = at.ReadString(); err == nil && s != "" {
			v, err = strconv.ParseFloat(s, 64)
		} else if err == nil {
			return next, nil
		}
	case mmdbdata.KindFloat64, mmdbdata.KindFloat32:
		v, next, err = at.ReadFloat()
	default:
		var n uint64
		n, next, err = at.ReadUint()
		v = float64(n)
	}
	if err != nil {
		return next, shape(err)
	}
	*to = risk.Number{Value: v, Set: true}
	return next, nil
}

func readFlag(at mmdbdata.Cursor, to *risk.Flag) (next mmdbdata.Cursor, err error) {
	kind, err := at.Kind()
	if err != nil {
		return at, err
	}
	set := false
	switch kind {
	case mmdbdata.KindString:
		var s string
		s, next, err = at.ReadString()
		set = s != "" && s != "false" && s != "0"
	case mmdbdata.KindBool:
		set, next, err = at.ReadBool()
	default:
		var n uint64
		n, next, err = at.ReadUint()
		set = n != 0
	}
	if err != nil {
		return next, shape(err)
	}
	if *to = risk.No; set {
		*to = risk.Yes
	}
	return next, nil
}

// What a look-up decodes into escapes to the heap, so it is used again.
var records = sync.Pool{New: func() any { return new(record) }}

// lookUp gives the record of an address, whether there is one, and whether it could
// be read. The caller gives the record back to records.
func (t *Tables) lookUp(db *database, addr netip.Addr) (r *record, found, ok bool) {
	r = records.Get().(*record)
	*r = record{}
	result := db.reader.Lookup(addr)
	if err := result.Decode(r); err != nil {
		t.shared.faults.Add(1)
		*r = record{}
		return r, false, false
	}
	return r, result.Found(), true
}

// locate fills in what is known about where an address is, and who hides behind it.
func (t *Tables) locate(l *lookups, addr netip.Addr, f *risk.Facts) {
	if l.city != nil {
		t.place(l.city, addr, f)
	}
	if l.country != nil && f.IPCountry == "" {
		t.place(l.country, addr, f)
	}
	if !l.located() {
		f.IPCountry = embeddedCountry(addr)
	}
	if l.asn != nil {
		r, found, _ := t.lookUp(l.asn, addr)
		if found && r.asn.Value != 0 {
			f.IPASN, f.IPASNOrg = r.asn, r.org
		}
		records.Put(r)
	}
	if l.anonymous != nil {
		r, _, ok := t.lookUp(l.anonymous, addr)
		if ok { // a network that is not there hides nobody
			r.flags(l.anonymous, f)
		}
		records.Put(r)
	}
}

func (t *Tables) place(db *database, addr netip.Addr, f *risk.Facts) {
	r, found, _ := t.lookUp(db, addr)
	if found {
		f.IPCountry, f.IPRegion, f.IPCity, f.IPTimezone = r.country, r.region, r.city, r.timezone
		if r.lat.Set && r.lon.Set {
			f.IPLat, f.IPLon = r.lat, r.lon
		}
		r.flags(db, f)
	}
	records.Put(r)
}

// flags takes over what hides an address. Whoever uses a VPN, a proxy or Tor is
// anonymous, also where the database does not say so in one word.
func (r *record) flags(db *database, f *risk.Facts) {
	told := func(flag risk.Flag) risk.Flag {
		if flag == 0 && db.flags {
			return risk.No
		}
		return flag
	}
	if !r.some && !db.flags {
		return
	}
	f.IPVPN, f.IPHosting, f.IPProxy = told(r.vpn), told(r.hosting), told(r.proxy)
	f.IPResidentialProxy, f.IPTor = told(r.residential), told(r.tor)
	f.IPAnonymous = told(r.anonymous)
	if f.IPVPN == risk.Yes || f.IPProxy == risk.Yes || f.IPResidentialProxy == risk.Yes || f.IPTor == risk.Yes {
		f.IPAnonymous = risk.Yes
	}
}

// publicAddr reads an address that belongs to a place: none that is private,
// reserved, or for documentation. An IPv4 address inside an IPv6 one is itself.
func publicAddr(s string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(s)
	if err != nil {
		return a, false
	}
	a = a.Unmap().WithZone("")
	if nat64.Contains(a) {
		b := a.As16()
		a = netip.AddrFrom4([4]byte(b[12:]))
	}
	if a.Is6() {
		// Only 2000::/3 has been given out.
		return a, a.As16()[0]>>5 == 1 && !documentation6.Contains(a) && !documentation6b.Contains(a)
	}
	b := a.As4()
	switch b[0] {
	case 0, 10, 127:
		return a, false
	case 100:
		return a, b[1]>>6 != 1 // 100.64.0.0/10: shared by providers
	case 169:
		return a, b[1] != 254
	case 172:
		return a, b[1]>>4 != 1
	case 192:
		return a, b[1] != 168 && (b[1] != 0 || b[2] != 0 && b[2] != 2)
	case 198:
		return a, b[1]>>1 != 9 && (b[1] != 51 || b[2] != 100)
	case 203:
		return a, b[1] != 0 || b[2] != 113
	}
	return a, b[0] < 224 // above: multicast, and reserved
}

var (
	nat64           = netip.MustParsePrefix("64:ff9b::/96")
	documentation6  = netip.MustParsePrefix("2001:db8::/32")
	documentation6b = netip.MustParsePrefix("3fff::/20")
)
