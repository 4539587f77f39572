package rules

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-risk/sluice/internal/diag"
)

// Checks of single values, which several parts of the loader share.

var (
	names     = regexp.MustCompile(`^[a-z][a-z0-9_]{0,63}$`)
	codes     = regexp.MustCompile(`^[A-Z][A-Z0-9_]{0,31}$`)
	events    = regexp.MustCompile(`^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*$`)
	languages = regexp.MustCompile(`^[a-z]{2,3}(-[A-Za-z]{2,4})?$`)
	numbers   = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?$`)
	durations = regexp.MustCompile(`^([1-9][0-9]{0,8})(ms|s|m|h|d)$`)
)

func isCode(s string) bool { return codes.MatchString(s) }

func (l *loader) apiVersion(t diag.Text, want string) {
	if t.Value != "" && t.Value != want {
		l.fault(codeVersion, t.Span, fmt.Sprintf("write `apiVersion: %s`", want), "apiVersion `%s` is not `%s`", t.Value, want)
	}
}

func (l *loader) name(t diag.Text) bool {
	if t.Value != "" && !names.MatchString(t.Value) {
		l.fault(codeName, t.Span, "a name has lower-case letters, digits and _, and begins with a letter", "`%s` is not a name", t.Value)
		return false
	}
	return t.Value != ""
}

func (l *loader) languages(texts diag.Map[diag.Text]) {
	for _, e := range texts {
		if !languages.MatchString(e.Key.Value) {
			l.fault(codeName, e.Key.Span, "texts stand under their language: `en`, `zh`", "`%s` is not a language", e.Key.Value)
		}
	}
}

// oneOf reports whether t is one of the words that a key takes.
func (l *loader) oneOf(code string, t diag.Text, what string, words ...string) bool {
	if slices.Contains(words, t.Value) {
		return true
	}
	if written(t) {
		l.fault(code, t.Span, l.nearest(t.Value, words, "one of "+strings.Join(words, ", ")), "unknown %s `%s`", what, t.Value)
	}
	return false
}

func (l *loader) nearest(name string, known []string, otherwise string) string {
	if near, ok := diag.Nearest(name, known); ok {
		return fmt.Sprintf("did you mean `%s`?", near)
	}
	return otherwise
}

// number reads a decimal number without an exponent.
func (l *loader) number(code string, t diag.Text, what string) (float64, bool) {
	if !written(t) {
		return 0, false
	}
	n, err := strconv.ParseFloat(t.Value, 64)
	if err != nil || !numbers.MatchString(t.Value) || math.Abs(n) > 1e15 {
		l.fault(code, t.Span, "write a decimal number such as 0.62 or 100", "%s `%s` is not a number", what, t.Value)
		return 0, false
	}
	return n, true
}

// duration reads 80ms, 15m, 48h or 7d.
func (l *loader) duration(code string, t diag.Text, what string, low, high time.Duration) (time.Duration, bool) {
	m := durations.FindStringSubmatch(t.Value)
	if m == nil {
		l.fault(code, t.Span, "a duration is a whole number and ms, s, m, h or d: 80ms, 48h", "%s `%s` is not a duration", what, t.Value)
		return 0, false
	}
	n, _ := strconv.Atoi(m[1]) // nine digits at most
	unit := map[string]time.Duration{"ms": time.Millisecond, "s": time.Second, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour}[m[2]]
	if d := time.Duration(n) * unit; d >= low && d <= high && time.Duration(n) <= high/unit {
		return d, true
	}
	l.fault(code, t.Span, fmt.Sprintf("from %s to %s", short(low), short(high)), "%s `%s` is out of bounds", what, t.Value)
	return 0, false
}

func short(d time.Duration) string {
	const day = 24 * time.Hour
	if d >= day && d%day == 0 {
		return fmt.Sprintf("%dd", d/day)
	}
	return strings.TrimSuffix(d.String(), "0s")
}
