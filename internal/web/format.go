package web

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Count writes a whole number with its thousands apart.
func Count[T int | int64 | uint32 | uint64](n T) string {
	digits := strconv.FormatInt(int64(n), 10)
	sign := ""
	if n < 0 {
		sign, digits = "-", digits[1:]
	}
	var b strings.Builder
	b.WriteString(sign)
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(d)
	}
	return b.String()
}

// Rate writes events a second: with a decimal only where it tells something.
func Rate(perSecond float64) string {
	if perSecond > 0 && perSecond < 9.95 {
		return strconv.FormatFloat(perSecond, 'f', 1, 64)
	}
	return Count(int64(math.Round(perSecond)))
}

// Share writes n of a whole in percent. What is there is never written as 0.
func Share(n, whole uint64) string {
	if whole == 0 {
		return "–"
	}
	p := 100 * float64(n) / float64(whole)
	switch {
	case n > 0 && p < 0.1:
		return "<0.1%"
	case n < whole && p > 99.9:
		return ">99.9%"
	case p < 99.95:
		return strconv.FormatFloat(p, 'f', 1, 64) + "%"
	}
	return "100%"
}

// Latency writes a duration to about two digits, which is how well it is known.
// Zero is none.
func Latency(d time.Duration) string {
	switch ms := float64(d) / float64(time.Millisecond); {
	case d <= 0:
		return "–"
	case ms < 0.995:
		return strconv.FormatFloat(ms, 'f', 2, 64) + " ms"
	case ms < 9.95:
		return strconv.FormatFloat(ms, 'f', 1, 64) + " ms"
	case ms < 9_999.5:
		return Count(int64(math.Round(ms))) + " ms"
	}
	return strconv.FormatFloat(d.Seconds(), 'f', 1, 64) + " s"
}

// Number writes a value of evidence: the shortest text that gives it again, with
// at most six decimals on a page.
func Number(v float64) string {
	if v == math.Trunc(v) && math.Abs(v) < 1e15 {
		return Count(int64(v))
	}
	if a := math.Abs(v); a < 1e-4 || a >= 1e15 {
		return strconv.FormatFloat(v, 'g', 6, 64)
	}
	s := strconv.FormatFloat(v, 'f', -1, 64)
	if _, decimals, _ := strings.Cut(s, "."); len(decimals) > 6 {
		s = strings.TrimRight(strconv.FormatFloat(v, 'f', 6, 64), "0")
	}
	return Decimal(s)
}

// Decimal puts the thousands of a decimal apart.
func Decimal(s string) string {
	whole, rest, found := strings.Cut(s, ".")
	if n, err := strconv.ParseInt(whole, 10, 64); err == nil && n != 0 {
		whole = Count(n)
	}
	if found {
		return whole + "." + rest
	}
	return whole
}

// Clock writes the time of day in UTC, with the day when it is not today's; the
// script puts it into the reader's zone.
func (l *Language) Clock(t time.Time) string {
	if time.Since(t).Abs() > 20*time.Hour {
		return t.UTC().Format(l.otherDay)
	}
	return t.UTC().Format(l.today)
}

// Money writes an amount of a currency.
func (l *Language) Money(decimal, currency string) string {
	if l.currencyFirst {
		return currency + " " + Decimal(decimal)
	}
	return Decimal(decimal) + " " + currency
}

// Span writes a window of a rule file, such as 10m or 90d.
func (l *Language) Span(window string) string {
	if n := len(window) - 1; n > 0 && strings.Trim(window[:n], "0123456789") == "" {
		if unit, ok := l.texts["unit."+window[n:]]; ok {
			return fmt.Sprintf(unit, window[:n])
		}
	}
	if window == "life" {
		return l.Say("unit.life")
	}
	return window
}

// Instant writes a time for machines: RFC 3339 in UTC with milliseconds.
func Instant(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// utc writes an instant for readers whose browser runs no script.
func (l *Language) utc(instant string) string {
	t, err := time.Parse(time.RFC3339, instant)
	if err != nil {
		return instant
	}
	return t.UTC().Format(l.instant)
}

// Line gives the points of a line over the newest of so many equally distant
// values, in a box of 100 by 100 whose lower edge is 0.
func Line(values []float64, of int, top float64) string {
	if len(values) < 2 || len(values) > of {
		return ""
	}
	b := make([]byte, 0, 10*len(values))
	for i, v := range values {
		y := 100.0
		if top > 0 {
			y = 100 - 96*v/top // the line has a width
		}
		if i > 0 {
			b = append(b, ' ')
		}
		b = strconv.AppendFloat(b, Percent(float64(of-len(values)+i), float64(of-1)), 'f', -1, 64)
		b = append(b, ',')
		b = strconv.AppendFloat(b, math.Round(10*y)/10, 'f', -1, 64)
	}
	return string(b)
}

// Percent gives part of whole in percent, cut to 0..100, to one decimal.
func Percent(part, whole float64) float64 {
	if !(whole > 0) || !(part > 0) {
		return 0
	}
	return math.Round(1000*min(part/whole, 1)) / 10
}
