package enrich

import (
	_ "embed"
	"fmt"
	"strings"

	"github.com/sluice-risk/sluice/risk"
)

// countriesVersion is part of the version of facts: it changes with the tables below
// and with what is made of them. golang.org/x/text is not used: its CLDR is of 2017,
// and has kuna in Croatia and bolívar fuerte in Venezuela; of languages it knows one
// a country.
const countriesVersion = "world-1"

//go:embed countries.txt
var countriesText string

//go:embed zones.txt
var zonesText string

// country is what is usual in one.
type country struct {
	currencies, languages, zones []string
}

// countries by code.
var countries = func() (all [26 * 26]country) {
	for f := range rows(countriesText) {
		c := &all[countryIndex(f[0])]
		c.currencies, c.languages = strings.Split(f[1], ","), strings.Split(f[2], ",")
	}
	for f := range rows(zonesText) {
		all[countryIndex(f[0])].zones = f[1:]
	}
	return all
}()

// rows gives the fields of each line that is no comment.
func rows(text string) func(yield func([]string) bool) {
	return func(yield func([]string) bool) {
		for line := range strings.Lines(text) {
			if strings.HasPrefix(line, "#") {
				continue
			}
			if f := strings.Fields(line); risk.CountryCode(f[0]) == "" {
				panic(fmt.Sprintf("enrich: %q is no country", f[0]))
			} else if !yield(f) {
				return
			}
		}
	}
}

func countryIndex(code string) int { return int(code[0]-'A')*26 + int(code[1]-'A') }

// usual gives what is usual in a country, nil for none.
func usual(code string) *country {
	if risk.CountryCode(code) == "" {
		return nil
	}
	return &countries[countryIndex(code)]
}

func contains(list []string, s string) bool {
	for _, v := range list {
		if v == s {
			return true
		}
	}
	return false
}

// plausible fills in what fits what, and the time at the payer's place.
func (t *Tables) plausible(e *risk.Event, f *risk.Facts) {
	z := t.shared.zones
	f.UTCOffset = z.offset(e.Device.Timezone, e.Time)
	if at := usual(f.IPCountry); at != nil {
		if f.UTCOffset.Set {
			f.MatchTimezone = flag(contains(at.zones, e.Device.Timezone) || z.someAt(at.zones, e.Time, f.UTCOffset))
		}
		if e.Device.Language != "" {
			f.MatchLanguage = speaks(at, f.IPCountry, e.Device.Language)
		}
		f.MatchIPCurrency = paysWith(at, e.Amount.Currency)
	}
	payer := first(e.Customer.Country, e.Sender.Country, e.Billing.Country)
	f.MatchPayerCurrency = paysWith(usual(payer), e.Amount.Currency)
	f.MatchPayeeCurrency = paysWith(usual(first(e.Receiver.Country, e.Merchant.Country, "")), e.Amount.Currency)

	// The payer's clock: the device's own, else that of the address where nobody hides
	// behind it, else that of his country where it has only one.
	if !f.UTCOffset.Set && f.IPTimezone != "" && f.IPAnonymous != risk.Yes {
		f.UTCOffset = z.offset(f.IPTimezone, e.Time)
	}
	if !f.UTCOffset.Set {
		f.UTCOffset = z.only(usual(first(payer, f.IPCountry, "")), e.Time)
	}
}

func first(a, b, c string) string {
	switch {
	case a != "":
		return a
	case b != "":
		return b
	}
	return c
}

func paysWith(at *country, currency string) risk.Flag {
	if at == nil || currency == "" {
		return 0
	}
	return flag(contains(at.currencies, currency))
}

// former are the codes of languages that have another today, or that one uses for
// both.
var former = map[string]string{"iw": "he", "in": "id", "ji": "yi", "fil": "tl", "sh": "sr", "cmn": "zh", "prs": "fa", "mo": "ro"}

// speaks tells whether one of the languages of a browser, written as BCP 47 or as an
// HTTP Accept-Language, is plausible in a country: spoken there, meant for it (fr-CH
// in Switzerland), or English, which is on machines everywhere. Absent for what is no
// language.
func speaks(at *country, code, languages string) risk.Flag {
	told := false
	for rest, more := languages, true; more; {
		var tag string
		tag, rest, more = strings.Cut(rest, ",")
		tag, _, _ = strings.Cut(tag, ";")
		tag = strings.TrimSpace(tag)
		end := strings.IndexAny(tag, "-_")
		if end < 0 {
			end = len(tag)
		}
		var room [3]byte
		if end < 2 || end > len(room) {
			continue
		}
		low := room[:end]
		for i := range low {
			low[i] = tag[i] | 0x20
			if low[i] < 'a' || low[i] > 'z' {
				low = nil
				break
			}
		}
		if low == nil {
			continue
		}
		told = true
		if string(low) == "en" || meantFor(tag[end:], code) {
			return risk.Yes
		}
		now, other := former[string(low)]
		for _, l := range at.languages {
			if l == string(low) || other && l == now {
				return risk.Yes
			}
		}
	}
	if told {
		return risk.No
	}
	return 0
}

// meantFor finds a country among the subtags of a language: zh-Hant-TW.
func meantFor(subtags, code string) bool {
	for i := 0; i+2 < len(subtags); i++ {
		if (subtags[i] == '-' || subtags[i] == '_') && subtags[i+1]&^0x20 == code[0] && subtags[i+2]&^0x20 == code[1] &&
			(i+3 == len(subtags) || subtags[i+3] == '-' || subtags[i+3] == '_' || subtags[i+3] == '.') {
			return true
		}
	}
	return false
}
