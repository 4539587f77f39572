package features

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

const day = 24 * time.Hour

var durationForm = regexp.MustCompile(`^(0|[1-9][0-9]{0,8})(s|m|h|d)$`)

// parseDuration reads 30s, 10m, 24h, 7d.
func parseDuration(s string) (time.Duration, bool) {
	m := durationForm.FindStringSubmatch(s)
	if m == nil {
		return 0, false
	}
	n, _ := strconv.ParseInt(m[1], 10, 64)
	unit := map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour, "d": day}[m[2]]
	if n > int64(10*366*day/unit) { // longer than any bound, and within 64 bits
		n = int64(10 * 366 * day / unit)
	}
	return time.Duration(n) * unit, true
}

var spokenLast = regexp.MustCompile(`^last[ :=]*([1-9][0-9]*)$`)

// windowHelp is durationHelp for a window, which may be written in other ways too.
func windowHelp(s string) string {
	if m := spokenLast.FindStringSubmatch(s); m != nil {
		return fmt.Sprintf("write {last: %s}", m[1])
	}
	if slices.Contains([]string{"all", "always", "ever", "forever", "infinite", "lifetime", "none", "unlimited"}, s) {
		return "write life, or leave `window` out"
	}
	return durationHelp(s)
}

var spokenDuration = regexp.MustCompile(`^0*([1-9][0-9]{0,5})(\.5)?\s*([a-zA-Z]*)$`)

// durationHelp says how a duration is written, and this one if it can be told.
func durationHelp(s string) string {
	const help = "durations are a number and s, m, h or d: 90s, 10m, 24h, 7d"
	m := spokenDuration.FindStringSubmatch(s)
	if m == nil {
		return help
	}
	unit := m[3]
	if len(unit) > 1 {
		unit = strings.ToLower(unit)
	}
	names := [][]string{
		{"", "s", "S", "sec", "secs", "second", "seconds"}, {"m", "min", "mins", "minute", "minutes"},
		{"h", "H", "hr", "hrs", "hour", "hours"}, {"d", "D", "day", "days"}, {"w", "W", "week", "weeks"},
	}
	i := slices.IndexFunc(names, func(all []string) bool { return slices.Contains(all, unit) })
	if i < 0 || i == 0 && m[2] != "" {
		return help
	}
	seconds := []int{1, 60, 3600, 86400, 7 * 86400}
	n, _ := strconv.Atoi(m[1]) // six digits at most
	n *= seconds[i]
	if m[2] != "" {
		n += seconds[i] / 2
	}
	for i = min(i, 3); n%seconds[i] != 0; i-- {
	}
	if written := fmt.Sprint(n/seconds[i]) + "smhd"[i:i+1]; written != s {
		return fmt.Sprintf("write %s; %s", written, help)
	}
	return help
}

func short(d time.Duration) string {
	switch {
	case d >= day && d%day == 0:
		return fmt.Sprintf("%dd", d/day)
	case d >= time.Hour && d%time.Hour == 0:
		return fmt.Sprintf("%dh", d/time.Hour)
	}
	return fmt.Sprintf("%ds", d/time.Second)
}
