// Package enrich looks up what an event does not say itself: the country and
// network of its address, the amount in the base currency, the payer's local
// time. The results go into the record's [risk.Facts] and with them into the
// journal, together with the names of the tables they came from; a replay reads
// them there and needs no table.
//
// [Tables] holds every table. It is immutable, so any number of goroutines share
// one; new rates make new Tables, and the old ones stay good for whoever still
// holds them. Nothing here reads a clock, the network, or, after New, a file
// other than those of the time zone database.
package enrich

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync/atomic"

	"github.com/phuslu/iploc"
	"github.com/sluice-risk/sluice/risk"
)

// Options name the tables. The zero Options work: countries of addresses from the
// embedded table, time zones, and no rates.
type Options struct {
	BaseCurrency string // "": no amount is converted
	Rates        []byte // CSV: date,currency,rate

	// MaxMind DB files; "" for none. A city or country file replaces the
	// embedded table of countries.
	CountryMMDB, CityMMDB, ASNMMDB string
}

// Tables are all look-ups.
type Tables struct {
	base    string
	rates   rates
	city    *database // also for countries
	country *database
	asn     *database
	zones   *zones
	version string // of all tables: one string for every event
	faults  *atomic.Uint64
}

// New opens the tables, and reports everything that is wrong with them.
func New(o Options) (*Tables, error) {
	t := &Tables{zones: newZones(), faults: new(atomic.Uint64)}
	var errs []error
	open := func(path string, kind databaseKind) *database {
		if path == "" {
			return nil
		}
		db, err := openDatabase(path, kind)
		if err != nil {
			errs = append(errs, err)
		}
		return db
	}
	t.city = open(o.CityMMDB, cityKind)
	t.country = open(o.CountryMMDB, countryKind)
	t.asn = open(o.ASNMMDB, asnKind)
	if !t.located() {
		// The embedded table of IPv6 is unpacked at its first use: not by a payment.
		iploc.IPCountry(netip.MustParseAddr("2001:4860:4860::8888"))
	}
	with, err := t.With(o.BaseCurrency, o.Rates)
	if err = errors.Join(append(errs, err)...); err != nil {
		return nil, err
	}
	return with, nil
}

// With gives tables with another base currency and other rates, those of a
// release; everything else is shared.
func (t *Tables) With(baseCurrency string, ratesCSV []byte) (*Tables, error) {
	if baseCurrency != "" && risk.Exponent(baseCurrency) < 0 {
		return nil, fmt.Errorf("enrich: base currency %q: %w", baseCurrency, risk.ErrCurrency)
	}
	if baseCurrency == "" && len(ratesCSV) > 0 {
		return nil, errors.New("enrich: rates without a base currency")
	}
	r, err := parseRates(ratesCSV, baseCurrency)
	if err != nil {
		return nil, err
	}
	next := *t
	next.base, next.rates = baseCurrency, r
	next.version = next.name(ratesCSV)
	return &next, nil
}

func (t *Tables) located() bool { return t.city != nil || t.country != nil }

// name says which tables these are, in a fixed order.
func (t *Tables) name(ratesCSV []byte) string {
	var names []string
	for _, db := range []*database{t.city, t.country, t.asn} {
		if db != nil {
			names = append(names, db.version)
		}
	}
	if !t.located() {
		names = append(names, "iploc-"+iploc.Version[strings.LastIndexByte(iploc.Version, '.')+1:])
	}
	if len(ratesCSV) > 0 {
		names = append(names, "rates-"+digest(ratesCSV))
	}
	return strings.Join(append(names, t.zones.version), " ")
}

// digest is long enough to tell the tables of one installation apart.
func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:3])
}

// Version names every table, as it stands in the facts of every event.
func (t *Tables) Version() string { return t.version }

// Faults counts look-ups that failed because a database is damaged.
func (t *Tables) Faults() uint64 { return t.faults.Load() }

// Fill looks up the facts of the record's event, and replaces those it had. What
// is not known stays absent.
func (t *Tables) Fill(rec *risk.Record) {
	e, f := &rec.Event, &rec.Facts
	*f = risk.Facts{Version: t.version, IssuerCountry: e.Card.Country}
	if !e.Amount.IsZero() {
		f.Base = t.convert(e.Amount, e.Time)
	}
	if e.Device.IP != "" {
		if addr, ok := publicAddr(e.Device.IP); ok {
			t.locate(addr, f)
		}
	}
	if e.Device.Timezone != "" {
		f.UTCOffset = t.zones.offset(e.Device.Timezone, e.Time)
	}
}

// convert gives the amount in the base currency, absent without a rate.
func (t *Tables) convert(amount risk.Money, at risk.Time) risk.Money {
	if t.base == "" || amount.Currency == t.base {
		if t.base == "" {
			return risk.Money{}
		}
		return amount
	}
	rate, ok := t.rates.at(amount.Currency, at)
	if !ok {
		return risk.Money{}
	}
	base, ok := amount.Convert(rate, t.base)
	if !ok {
		return risk.Money{}
	}
	return base
}
