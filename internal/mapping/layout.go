package mapping

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sluice-risk/sluice/internal/diag"
	"github.com/sluice-risk/sluice/risk"
)

// layout reads an instant from text.
type layout struct {
	name    string
	unix    int64 // units a second; 0: the text is written by ops
	ops     []op
	zone    *time.Location // of texts that name none; nil: they are refused
	noYear  bool
	offsets bool // the text names its own offset from UTC
}

// op is one part of a layout: a directive of strftime, or, as 0, a literal byte.
type op struct{ directive, literal byte }

// Named layouts. Under rfc3339 the fraction and, where a zone is declared, the
// offset may be left out.
var layouts = map[string]string{
	"rfc3339": "%Y-%m-%dT%H:%M:%S%f%z",
	"date":    "%Y-%m-%d",
}

var unixLayouts = map[string]int64{"unix": 1, "unix_ms": 1e3, "unix_us": 1e6}

// digits of each directive that is a plain number.
var directives = map[byte]int{'Y': 4, 'y': 2, 'm': 2, 'd': 2, 'H': 2, 'M': 2, 'S': 2, 'f': 0, 'z': 0}

// parseLayout compiles what stands under time and zone.
func parseLayout(name, zone diag.Text) (*layout, *diag.Diagnostic) {
	l := &layout{name: name.Value}
	if zone.Value != "" {
		at, err := time.LoadLocation(zone.Value)
		if err != nil || zone.Value == "Local" {
			d := zone.Mistake(badLayout, "unknown time zone `%s`", zone.Value)
			d.Help = "a name such as UTC or Europe/Berlin"
			return nil, &d
		}
		l.zone = at
	}
	if l.unix = unixLayouts[name.Value]; l.unix > 0 {
		if l.zone != nil {
			d := zone.Mistake(badCombination, "`%s` counts from 1970 in UTC and has no zone", name.Value)
			return nil, &d
		}
		return l, nil
	}
	pattern, named := layouts[name.Value]
	if !named {
		pattern = name.Value
	}
	fail := func(at int, help, format string, args ...any) *diag.Diagnostic {
		d := name.Mistake(badLayout, format, args...)
		if at >= 0 {
			d.Span = name.At(utf8.RuneCountInString(pattern[:at]), 2)
		}
		d.Help = help
		return &d
	}
	if !strings.Contains(pattern, "%") {
		help := "rfc3339, date, unix, unix_ms, unix_us, or a pattern such as %Y%m%d%H%M%S"
		if near, ok := diag.Nearest(name.Value, []string{"rfc3339", "date", "unix", "unix_ms", "unix_us"}); ok {
			help = fmt.Sprintf("did you mean `%s`?", near)
		}
		return nil, fail(-1, help, "unknown time layout `%s`", name.Value)
	}
	seen := map[byte]bool{}
	for i := 0; i < len(pattern); i++ {
		if pattern[i] != '%' {
			l.ops = append(l.ops, op{0, pattern[i]})
			continue
		}
		if i++; i == len(pattern) {
			return nil, fail(i-1, "", "a directive is missing after %%")
		}
		c := pattern[i]
		if _, known := directives[c]; !known && c != '%' {
			return nil, fail(i-1, "%Y %y year, %m month, %d day, %H %M %S clock, %f fraction, %z offset, %% a percent sign",
				"unknown directive `%s`", pattern[i-1:i+1])
		}
		if c == '%' {
			l.ops = append(l.ops, op{0, '%'})
			continue
		}
		if seen[c] || c == 'Y' && seen['y'] || c == 'y' && seen['Y'] {
			return nil, fail(i-1, "", "`%s` stands twice", pattern[i-1:i+1])
		}
		seen[c] = true
		l.ops = append(l.ops, op{directive: c})
	}
	l.noYear, l.offsets = !seen['Y'] && !seen['y'], seen['z']
	switch {
	case !seen['m'] || !seen['d']:
		return nil, fail(-1, "where the date stands in another field, join both first", "a time without month and day")
	case seen['S'] && !seen['M'] || seen['M'] && !seen['H'] || seen['f'] && !seen['S']:
		return nil, fail(-1, "", "the clock has a gap: hours, minutes, seconds, fraction")
	case l.offsets && l.zone != nil && !named:
		d := zone.Mistake(badCombination, "the layout names an offset of its own, so there is no zone to declare")
		return nil, &d
	case name.Value == "date" && l.zone == nil:
		l.zone = time.UTC
	case !l.offsets && l.zone == nil:
		return nil, fail(-1, "add `zone: UTC`, or the zone whose clock it is", "a time without an offset needs a zone")
	}
	return l, nil
}

// parse reads an instant; near is the time of the record, which tells the year of
// a time that has none.
func (l *layout) parse(b []byte, near time.Time) (risk.Time, string) {
	if l.unix > 0 {
		return l.parseUnix(b)
	}
	year, month, day, hour, minute, second, ms := 0, 0, 0, 0, 0, 0, 0
	offset, zoned := 0, false
	i := 0
	for _, o := range l.ops {
		switch o.directive {
		case 0:
			if i == len(b) || b[i] != o.literal && !(o.literal == 'T' && (b[i] == ' ' || b[i] == 't')) {
				return 0, l.unlike()
			}
			i++
		case 'f':
			if i < len(b) && (b[i] == '.' || b[i] == ',') {
				i++
			} else if l.name == "rfc3339" {
				continue
			}
			from := i
			for scale := 100; i < len(b) && isDigit(b[i]); i++ {
				ms += int(b[i]-'0') * scale
				scale /= 10
			}
			if i == from || i-from > 9 {
				return 0, l.unlike()
			}
		case 'z':
			if i == len(b) && l.zone != nil {
				continue
			}
			n, ok := 0, false
			if offset, n, ok = parseOffset(b[i:]); !ok {
				if i == len(b) {
					return 0, "a time without an offset: declare its zone"
				}
				return 0, l.unlike()
			}
			i, zoned = i+n, true
		default:
			n := directives[o.directive]
			if len(b)-i < n {
				return 0, l.unlike()
			}
			v := 0
			for _, c := range b[i : i+n] {
				if !isDigit(c) {
					return 0, l.unlike()
				}
				v = v*10 + int(c-'0')
			}
			i += n
			switch o.directive {
			case 'Y':
				year = v
			case 'y':
				year = 2000 + v
			case 'm':
				month = v
			case 'd':
				day = v
			case 'H':
				hour = v
			case 'M':
				minute = v
			case 'S':
				second = v
			}
		}
	}
	if i < len(b) {
		return 0, l.unlike()
	}
	if month < 1 || month > 12 || day < 1 || day > 31 || hour > 23 || minute > 59 || second > 60 {
		return 0, "no such time"
	}
	zone := l.zone
	if zoned || zone == nil {
		zone = time.UTC
	}
	at := func(year int) (time.Time, bool) {
		t := time.Date(year, time.Month(month), day, hour, minute, min(second, 59), ms*1e6, zone)
		return t.Add(-time.Duration(offset) * time.Second), time.Date(year, time.Month(month), day, 0, 0, 0, 0, time.UTC).Day() == day
	}
	if !l.noYear {
		t, ok := at(year)
		if !ok {
			return 0, "no such day"
		}
		return risk.At(t), ""
	}
	if near.IsZero() {
		return 0, "a time without a year, and the record has no time to tell it from"
	}
	var best time.Time
	for y := near.Year() - 1; y <= near.Year()+1; y++ {
		if t, ok := at(y); ok && (best.IsZero() || t.Sub(near).Abs() < best.Sub(near).Abs()) {
			best = t
		}
	}
	if best.IsZero() {
		return 0, "no such day"
	}
	return risk.At(best), ""
}

func (l *layout) unlike() string { return "not a time as " + l.name + " writes it" }

// parseUnix reads whole units, or units with a fraction, since 1970.
func (l *layout) parseUnix(b []byte) (risk.Time, string) {
	digits, fraction, dot := strings.Cut(string(b), ".")
	whole, negative := strings.CutPrefix(digits, "-")
	if !allDigits(whole) || len(whole) > 18 || dot && !allDigits(fraction) {
		return 0, l.unlike()
	}
	var v int64
	for i := range len(whole) {
		v = v*10 + int64(whole[i]-'0')
	}
	const last = int64(1) << 43 // milliseconds: the year 2248, beyond what a decoder takes
	switch {
	case l.unix >= 1e3:
		v /= l.unix / 1e3
	case v < last/1000:
		v *= 1e3 / l.unix
		for i, scale := 0, int64(100); i < len(fraction) && scale > 0; i, scale = i+1, scale/10 {
			v += int64(fraction[i]-'0') * scale
		}
	default:
		return 0, "a time beyond the year 2200: are these milliseconds?"
	}
	if v > last {
		return 0, "a time beyond the year 2200: is the unit a smaller one?"
	}
	if v == 0 { // the zero Time is an absent one
		return 0, "no time: it is 0"
	}
	if negative {
		v = -v
	}
	return risk.Time(v), ""
}

// parseOffset reads Z, +01:00, +0100 or +01 and gives seconds and length.
func parseOffset(b []byte) (seconds, n int, ok bool) {
	if len(b) > 0 && (b[0] == 'Z' || b[0] == 'z') {
		return 0, 1, true
	}
	if len(b) < 3 || b[0] != '+' && b[0] != '-' || !isDigit(b[1]) || !isDigit(b[2]) {
		return 0, 0, false
	}
	hours, minutes := int(b[1]-'0')*10+int(b[2]-'0'), 0
	n = 3
	rest := b[3:]
	if len(rest) > 0 && rest[0] == ':' {
		rest, n = rest[1:], n+1
	}
	if len(rest) >= 2 && isDigit(rest[0]) && isDigit(rest[1]) {
		minutes = int(rest[0]-'0')*10 + int(rest[1]-'0')
		n += 2
	} else if n == 4 {
		return 0, 0, false
	}
	if hours > 23 || minutes > 59 {
		return 0, 0, false
	}
	seconds = hours*3600 + minutes*60
	if b[0] == '-' {
		seconds = -seconds
	}
	return seconds, n, true
}

func isDigit(c byte) bool { return c-'0' <= 9 }

func allDigits[T string | []byte](s T) bool {
	for i := range len(s) {
		if !isDigit(s[i]) {
			return false
		}
	}
	return len(s) > 0
}
