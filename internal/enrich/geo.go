package enrich

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"sync"

	"github.com/oschwald/geoip2-golang/v2"
	"github.com/oschwald/maxminddb-golang/v2"
	"github.com/oschwald/maxminddb-golang/v2/mmdbdata"
	"github.com/phuslu/iploc"
	"github.com/sluice-risk/sluice/risk"
)

// databaseKind is what a MaxMind DB is wanted for.
type databaseKind struct {
	name string
	fits func(*geoip2.Reader, netip.Addr) error
}

var (
	cityKind = databaseKind{"city", func(r *geoip2.Reader, a netip.Addr) error {
		_, err := r.City(a)
		return err
	}}
	countryKind = databaseKind{"country", func(r *geoip2.Reader, a netip.Addr) error {
		_, err := r.Country(a)
		return err
	}}
	asnKind = databaseKind{"asn", func(r *geoip2.Reader, a netip.Addr) error {
		_, err := r.ASN(a)
		if errors.As(err, new(geoip2.InvalidMethodError)) {
			_, err = r.ISP(a)
		}
		return err
	}}
)

// database is a MaxMind DB in memory: a file that is overwritten while it is
// mapped would end the process.
type database struct {
	reader  *maxminddb.Reader
	version string
	// flags: it knows about anonymous networks, and leaves out flags that are
	// false. In other databases a missing flag is unknown.
	flags bool
}

func openDatabase(path string, kind databaseKind) (*database, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("enrich: %s database: %w", kind.name, err)
	}
	described, err := geoip2.OpenBytes(b)
	if err != nil {
		return nil, fmt.Errorf("enrich: %s database %s: %w", kind.name, path, err)
	}
	meta := described.Metadata()
	if err := kind.fits(described, netip.AddrFrom4([4]byte{8, 8, 8, 8})); err != nil {
		return nil, fmt.Errorf("enrich: %s database %s is a %s: %w", kind.name, path, meta.DatabaseType, err)
	}
	reader, err := maxminddb.OpenBytes(b)
	if err != nil {
		return nil, fmt.Errorf("enrich: %s database %s: %w", kind.name, path, err)
	}
	return &database{
		reader:  reader,
		version: fmt.Sprintf("%s-%s-%s", kind.name, meta.BuildTime().UTC().Format("20060102"), digest(b)),
		flags:   strings.Contains(meta.DatabaseType, "Enterprise"),
	}, nil
}

// place is what is read of a city or country record.
type place struct {
	Country struct {
		ISOCode string `maxminddb:"iso_code"`
	} `maxminddb:"country"`
	Subdivisions firstSubdivision `maxminddb:"subdivisions"`
	City         struct {
		Names struct {
			English string `maxminddb:"en"`
		} `maxminddb:"names"`
	} `maxminddb:"city"`
	Location struct {
		Latitude  degrees `maxminddb:"latitude"`
		Longitude degrees `maxminddb:"longitude"`
	} `maxminddb:"location"`
	Traits anonymity `maxminddb:"traits"`
}

type network struct {
	Number uint32 `maxminddb:"autonomous_system_number"`
}

type anonymity struct {
	VPN     bool `maxminddb:"is_anonymous_vpn"`
	Hosting bool `maxminddb:"is_hosting_provider"`
}

// degrees tells a coordinate of 0 from one that is not there.
type degrees risk.Number

func (d *degrees) UnmarshalMaxMindDBCursor(c mmdbdata.Cursor) (mmdbdata.Cursor, error) {
	v, next, err := c.ReadFloat()
	if err != nil {
		return next, mmdbdata.NormalizeUnmarshalError[degrees](err)
	}
	*d = degrees{Value: v, Set: true}
	return next, nil
}

// firstSubdivision is the largest part of the country; a slice would be allocated
// for every look-up.
type firstSubdivision struct {
	subdivision
}

type subdivision struct {
	ISOCode string `maxminddb:"iso_code"`
}

func (s *firstSubdivision) UnmarshalMaxMindDBCursor(c mmdbdata.Cursor) (mmdbdata.Cursor, error) {
	list, err := c.Slice()
	if err != nil {
		return mmdbdata.Cursor{}, mmdbdata.NormalizeUnmarshalError[firstSubdivision](err)
	}
	var after mmdbdata.Cursor
	for {
		i, element, ok := list.Next(after)
		if !ok {
			return list.End()
		}
		if i > 0 {
			if after, err = element.Skip(); err != nil {
				return mmdbdata.Cursor{}, err
			}
			continue
		}
		members, err := element.Map()
		if err != nil {
			return mmdbdata.Cursor{}, mmdbdata.NormalizeUnmarshalError[firstSubdivision](err)
		}
		var value mmdbdata.Cursor
		for {
			name, at, ok := members.Next(value)
			if !ok {
				break
			}
			if string(name) == "iso_code" {
				s.ISOCode, value, err = at.ReadString()
			} else {
				value, err = at.Skip()
			}
			if err != nil {
				return mmdbdata.Cursor{}, mmdbdata.NormalizeUnmarshalError[firstSubdivision](err)
			}
		}
		if after, err = members.End(); err != nil {
			return mmdbdata.Cursor{}, err
		}
	}
}

// locate fills in what is known about where an address is.
func (t *Tables) locate(addr netip.Addr, f *risk.Facts) {
	if t.city != nil {
		t.place(t.city, addr, f)
	}
	if t.country != nil && f.IPCountry == "" {
		t.place(t.country, addr, f)
	}
	if !t.located() {
		f.IPCountry = risk.CountryCode(iploc.IPCountry(addr))
	}
	if t.asn != nil {
		n := networks.Get().(*network)
		defer networks.Put(n)
		*n = network{}
		if err := t.asn.reader.Lookup(addr).Decode(n); err != nil {
			t.faults.Add(1)
		} else if n.Number != 0 {
			f.IPASN = risk.Number{Value: float64(n.Number), Set: true}
		}
	}
}

// What a look-up decodes into escapes to the heap, so it is used again.
var (
	places   = sync.Pool{New: func() any { return new(place) }}
	networks = sync.Pool{New: func() any { return new(network) }}
)

func (t *Tables) place(db *database, addr netip.Addr, f *risk.Facts) {
	found := db.reader.Lookup(addr)
	p := places.Get().(*place)
	defer places.Put(p)
	*p = place{}
	if err := found.Decode(p); err != nil {
		t.faults.Add(1)
		return
	}
	if !found.Found() {
		return
	}
	f.IPCountry = risk.CountryCode(p.Country.ISOCode)
	f.IPRegion, f.IPCity = p.Subdivisions.ISOCode, p.City.Names.English
	f.IPLat, f.IPLon = risk.Number(p.Location.Latitude), risk.Number(p.Location.Longitude)
	f.IPVPN, f.IPHosting = db.flag(p.Traits.VPN), db.flag(p.Traits.Hosting)
}

func (db *database) flag(set bool) risk.Flag {
	switch {
	case set:
		return risk.Yes
	case db.flags:
		return risk.No
	}
	return 0
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
