package enrich

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-risk/sluice/risk"
)

const (
	maxRates      = 1_000_000
	maxRateFaults = 20
	ratesHeader   = "date,currency,rate"
	millisPerDay  = 86_400_000
)

// rates are the rates of every currency against the base currency.
type rates map[string]series

// series is one currency's rates by day since 1970, ascending.
type series struct {
	days  []int32
	rates []float64
}

// at gives the rate of the newest row that is not after the day of at, in UTC.
func (r rates) at(currency string, at risk.Time) (float64, bool) {
	s, ok := r[currency]
	if !ok {
		return 0, false
	}
	day := int32(floorDiv(int64(at), millisPerDay))
	low, high := 0, len(s.days) // days[:low] are not after, days[high:] are
	for low < high {
		if mid := (low + high) / 2; s.days[mid] <= day {
			low = mid + 1
		} else {
			high = mid
		}
	}
	if low == 0 {
		return 0, false
	}
	return s.rates[low-1], true
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// parseRates reads the rows date,currency,rate, in any order: a rate is how many
// units of the base currency one unit of the currency is worth. It is strict, and
// reports every bad line.
func parseRates(src []byte, base string) (rates, error) {
	if len(src) == 0 {
		return nil, nil
	}
	var errs []error
	fault := func(line int, format string, args ...any) {
		errs = append(errs, fmt.Errorf("rates.csv:%d: %s", line, fmt.Sprintf(format, args...)))
	}
	type row struct {
		day  int32
		rate float64
		line int
	}
	rows := map[string][]row{}
	line := 0
	for text := range bytes.Lines(src) {
		line++
		s := strings.TrimRight(string(text), "\r\n")
		if line == 1 {
			if s != ratesHeader {
				fault(line, "the first line must be %s", ratesHeader)
			}
			continue
		}
		if len(errs) == maxRateFaults {
			errs = append(errs, errors.New("rates.csv: more lines are wrong; these were the first"))
			break
		}
		if line > maxRates {
			fault(line, "more than %d lines", maxRates)
			break
		}
		if s == "" {
			fault(line, "an empty line")
			continue
		}
		date, rest, _ := strings.Cut(s, ",")
		currency, number, ok := strings.Cut(rest, ",")
		if !ok || strings.Contains(number, ",") {
			fault(line, "not the three columns %s", ratesHeader)
			continue
		}
		day, err := time.Parse(time.DateOnly, date)
		if err != nil {
			fault(line, "%.20q is no date such as 2026-11-21", date)
		}
		rate, rateErr := parseRate(number)
		if rateErr != nil {
			fault(line, "%.40q is no rate: a positive decimal such as 1.0842", number)
		}
		switch {
		case risk.Exponent(currency) < 0:
			fault(line, "%.10q is no ISO 4217 currency", currency)
		case currency == base:
			fault(line, "%s is the base currency, whose rate is always 1", currency)
		case err == nil && rateErr == nil:
			rows[currency] = append(rows[currency], row{int32(floorDiv(day.UnixMilli(), millisPerDay)), rate, line})
		}
	}
	out := make(rates, len(rows))
	for currency, list := range rows {
		slices.SortStableFunc(list, func(a, b row) int { return int(a.day) - int(b.day) })
		var s series
		for i, r := range list {
			if i > 0 && r.day == list[i-1].day {
				fault(r.line, "%s has a rate for this day on line %d already", currency, list[i-1].line)
			}
			s.days, s.rates = append(s.days, r.day), append(s.rates, r.rate)
		}
		out[currency] = s
	}
	if len(errs) > 0 {
		slices.SortStableFunc(errs, func(a, b error) int { return lineOf(a) - lineOf(b) })
		return nil, errors.Join(errs...)
	}
	return out, nil
}

// lineOf gives the line an error names, and puts errors without one last.
func lineOf(err error) int {
	_, rest, _ := strings.Cut(err.Error(), ":")
	number, _, _ := strings.Cut(rest, ":")
	if n, err := strconv.Atoi(number); err == nil {
		return n
	}
	return maxRates + 2
}

// parseRate reads a positive plain decimal.
func parseRate(s string) (float64, error) {
	if len(s) > 32 || strings.Trim(s, "0123456789.") != "" || !strings.ContainsAny(s, "123456789") ||
		strings.HasPrefix(s, ".") || strings.HasSuffix(s, ".") {
		return 0, strconv.ErrSyntax
	}
	return strconv.ParseFloat(s, 64)
}
