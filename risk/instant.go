package risk

// firstInstant and lastInstant bound every instant of an event: the years 1900 to
// 2200 in UTC.
const (
	firstInstant = -2_208_988_800_000
	lastInstant  = 7_289_654_399_999
)

const day = 86_400_000 // milliseconds

const (
	badInstant  = "not a time such as 2026-11-21T12:00:00Z, with a zone"
	badDate     = "neither a time such as 2026-11-21T12:00:00Z nor a date such as 2026-11-21"
	badYear     = "not between the years 1900 and 2200"
	badZoneless = "a date alone is not an instant here: send a time with a zone"
)

// parseInstant reads an RFC 3339 time, to the millisecond (finer is cut off), or,
// where dates are allowed, a date, which means its midnight in UTC. The instant 0
// becomes 1 ms, since a zero Time is an absent one. On failure it says why.
func parseInstant(b []byte, dates bool) (t Time, fault string) {
	fault = badInstant
	if dates {
		fault = badDate
	}
	year, ok1 := number2(b, 0, 4)
	month, ok2 := number2(b, 5, 2)
	date, ok3 := number2(b, 8, 2)
	if !ok1 || !ok2 || !ok3 || b[4] != '-' || b[7] != '-' || month < 1 || month > 12 || date < 1 || date > daysIn(year, month) {
		return 0, fault
	}
	ms := int64(daysTo(year, month)+date-1) * day
	if len(b) == 10 {
		if !dates {
			return 0, badZoneless
		}
	} else {
		clock, ok := parseClock(b[10:])
		if !ok {
			return 0, fault
		}
		ms += clock
	}
	if ms < firstInstant || ms > lastInstant {
		return 0, badYear
	}
	if ms == 0 {
		ms = 1
	}
	return Time(ms), ""
}

// before counts the days of a common year before each month.
var before = [...]int{0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365}

func leap(year int) bool { return year%4 == 0 && (year%100 != 0 || year%400 == 0) }

func daysIn(year, month int) int {
	if month == 2 && leap(year) {
		return 29
	}
	return before[month] - before[month-1]
}

// daysTo counts the days from 1970 to the first of a month, for years from 1 on.
func daysTo(year, month int) int {
	const to1970 = 719_162 // from the first of January of the year 1
	past := year - 1
	days := past*365 + past/4 - past/100 + past/400 - to1970 + before[month-1]
	if month > 2 && leap(year) {
		days++
	}
	return days
}

// parseClock reads T12:00:00.123+01:00 as milliseconds since midnight in UTC. A
// leap second is the first one of the next day.
func parseClock(b []byte) (ms int64, ok bool) {
	h, ok1 := number2(b, 1, 2)
	m, ok2 := number2(b, 4, 2)
	s, ok3 := number2(b, 7, 2)
	if !ok1 || !ok2 || !ok3 || b[0]|0x20 != 't' || b[3] != ':' || b[6] != ':' || h > 23 || m > 59 || s > 60 {
		return 0, false
	}
	ms = int64(h*3600+m*60+s) * 1000
	b = b[9:]
	if len(b) > 0 && b[0] == '.' {
		i, scale := 1, int64(100)
		for ; i < len(b) && isDigit(b[i]); i++ {
			ms += int64(b[i]-'0') * scale
			scale /= 10
		}
		if i == 1 {
			return 0, false
		}
		b = b[i:]
	}
	switch {
	case len(b) == 1 && b[0]|0x20 == 'z':
	case len(b) == 6 && (b[0] == '+' || b[0] == '-') && b[3] == ':':
		zh, ok1 := number2(b, 1, 2)
		zm, ok2 := number2(b, 4, 2)
		if !ok1 || !ok2 || zh > 23 || zm > 59 {
			return 0, false
		}
		east := int64(zh*60+zm) * 60_000
		if b[0] == '-' {
			east = -east
		}
		ms -= east
	default:
		return 0, false
	}
	if s == 60 && (ms%day+day)%day >= 1000 {
		return 0, false
	}
	return ms, true
}

// number2 reads n digits at b[at:].
func number2(b []byte, at, n int) (v int, ok bool) {
	if len(b) < at+n {
		return 0, false
	}
	for _, c := range b[at : at+n] {
		if !isDigit(c) {
			return 0, false
		}
		v = v*10 + int(c-'0')
	}
	return v, true
}
