// Package enrich looks up what an event does not say itself: where its address is
// and who hides behind it, what card and user agent and mail domain tell, whether
// time zone, language and currency fit, the amount in the base currency, the payer's
// local time. The results go into the record's [risk.Facts] and with them into the
// journal, together with the names of the tables they came from; a replay reads
// them there and needs no table.
//
// [Tables] holds every table. Any number of goroutines fill facts from one; new
// rates make new Tables, and the old ones stay good for whoever still holds them.
// The operator's [Files] may be replaced meanwhile: [Tables.Refresh] takes them up,
// for all Tables that were made from one, and an event sees the tables from before
// or those from after. Nothing here reads a clock or the network, or any file but
// in New and Refresh, and those of the time zone database.
package enrich

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync/atomic"

	"github.com/sluice-risk/sluice/risk"
)

// Options name the tables. The zero Options work: countries of addresses from the
// embedded table, time zones, user agents, and no rates.
type Options struct {
	BaseCurrency string // "": no amount is converted
	Rates        []byte // CSV: date,currency,rate
	Files        Files
}

// Tables are all look-ups.
type Tables struct {
	base   string
	rates  rates
	suffix string // of the version: the tables that are no files
	shared *shared
	name   atomic.Pointer[naming]
}

// naming is the version of all tables while one set of files is in use: one string
// for every event.
type naming struct {
	of      *lookups
	version string
}

// New opens the tables, and reports everything that is wrong with them.
func New(o Options) (*Tables, error) {
	s, err := openShared(o.Files)
	if err != nil {
		_, rates := (&Tables{shared: &shared{zones: newZones()}}).With(o.BaseCurrency, o.Rates)
		return nil, errors.Join(err, rates)
	}
	return (&Tables{shared: s}).With(o.BaseCurrency, o.Rates)
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
	next := &Tables{base: baseCurrency, rates: r, shared: t.shared}
	if len(ratesCSV) > 0 {
		next.suffix = " rates-" + digest(ratesCSV)
	}
	next.suffix += " " + strings.Join([]string{t.shared.zones.version, agentVersion, countriesVersion}, " ")
	return next, nil
}

// digest is long enough to tell the tables of one installation apart.
func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:4])
}

// Version names every table, as it stands in the facts of an event that is filled
// now.
func (t *Tables) Version() string { return t.versionOf(t.shared.current.Load()) }

func (t *Tables) versionOf(l *lookups) string {
	n := t.name.Load()
	if n == nil || n.of != l {
		n = &naming{l, strings.TrimPrefix(l.version+t.suffix, " ")}
		t.name.Store(n)
	}
	return n.version
}

// Faults counts look-ups that failed because a database is damaged.
func (t *Tables) Faults() uint64 { return t.shared.faults.Load() }

// Fill looks up the facts of the record's event, and replaces those it had. What
// is not known stays absent.
func (t *Tables) Fill(rec *risk.Record) {
	e, f := &rec.Event, &rec.Facts
	l := t.shared.current.Load()
	*f = risk.Facts{}
	f.Version = t.versionOf(l)
	if !e.Amount.IsZero() {
		f.Base = t.convert(e.Amount, e.Time)
		f.FXDeviation = t.deviation(e)
	}
	if e.Device.IP != "" {
		if addr, ok := publicAddr(e.Device.IP); ok {
			t.locate(l, addr, f)
		}
	}
	f.IssuerCountry = e.Card.Country
	if l.bins != nil && e.Card.BIN != "" {
		b := l.bins.find(e.Card.BIN)
		f.BINCountry, f.BINBrand, f.BINFunding, f.BINIssuer = b.country, b.brand, b.funding, b.name
		if b.country != "" {
			f.IssuerCountry = b.country
		}
	}
	if e.Device.UserAgent != "" {
		a := t.shared.agents.parse(e.Device.UserAgent)
		f.UABrowser, f.UAOS, f.UADevice = a.browser, a.os, a.device
		f.UABrowserVersion = risk.Number{Value: float64(a.version), Set: a.version > 0}
		f.UABot, f.UAHeadless = flag(a.bot), flag(a.headless)
	}
	if e.Customer.Email != "" && (l.disposable != nil || l.free != nil) {
		f.EmailClass = classOf(risk.Domain(e.Customer.Email), l.disposable, l.free)
	}
	t.plausible(e, f)
}

func flag(yes bool) risk.Flag {
	if yes {
		return risk.Yes
	}
	return risk.No
}

// convert gives the amount in the base currency, absent without a rate.
func (t *Tables) convert(amount risk.Money, at risk.Time) risk.Money {
	rate, ok := t.rate(amount.Currency, at)
	if !ok {
		return risk.Money{}
	}
	if amount.Currency == t.base {
		return amount
	}
	base, ok := amount.Convert(rate, t.base)
	if !ok {
		return risk.Money{}
	}
	return base
}

// rate gives the units of the base currency for one of a currency.
func (t *Tables) rate(currency string, at risk.Time) (float64, bool) {
	if t.base == "" {
		return 0, false
	}
	if currency == t.base {
		return 1, true
	}
	return t.rates.at(currency, at)
}

// deviation tells how far the settled rate is from the reference rate of the day, as
// a part of it: 0.02 is 2 % above. The settled rate is the one that was sent, else
// that of the two amounts.
func (t *Tables) deviation(e *risk.Event) risk.Number {
	from, to := e.Amount, e.Settlement.Amount
	if to.IsZero() || from.Currency == to.Currency {
		return risk.Number{}
	}
	a, known := t.rate(from.Currency, e.Time)
	b, both := t.rate(to.Currency, e.Time)
	settled := e.Settlement.Rate.Value
	if settled == 0 {
		settled = to.Major() / from.Major()
	}
	if !known || !both || settled <= 0 || math.IsInf(settled, 0) || math.IsNaN(settled) {
		return risk.Number{}
	}
	reference := a / b
	const parts = 1e6
	return risk.Number{Value: math.Round((settled/reference-1)*parts) / parts, Set: true}
}
