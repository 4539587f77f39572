package enrich

import (
	"bytes"
	"strings"

	"github.com/sluice-risk/sluice/risk"
)

const maxDomains = 4_000_000

// domains is a set of mail domains.
type domains map[string]struct{}

// parseDomains reads one domain a line. What follows a # is for people.
func parseDomains(src []byte, name string) (domains, error) {
	f := faults{file: name}
	d := domains{}
	line := 0
	for text := range bytes.Lines(bytes.TrimPrefix(src, []byte("\ufeff"))) {
		line++
		s, _, _ := strings.Cut(string(text), "#")
		if s = strings.TrimSpace(s); s == "" {
			continue
		}
		if line > maxDomains {
			f.add(line, "more than %d lines", maxDomains)
			break
		}
		s = strings.TrimPrefix(s, "@")
		domain := risk.Domain("x@" + s)
		if domain == "" || strings.ContainsAny(s, "@,;/:*") {
			if f.add(line, "%.40q is no domain", s); f.full() {
				break
			}
			continue
		}
		d[strings.Clone(domain)] = struct{}{}
	}
	return d, f.err()
}

// has reports whether the domain, or one above it, is in the set.
func (d domains) has(domain string) bool {
	for {
		if _, ok := d[domain]; ok {
			return true
		}
		_, above, ok := strings.Cut(domain, ".")
		if !ok || !strings.Contains(above, ".") {
			return false
		}
		domain = above
	}
}

// classOf tells what kind of mailbox a domain has. Without a list of free ones it
// cannot be told who is none of them.
func classOf(domain string, disposable, free domains) string {
	switch {
	case domain == "":
		return ""
	case disposable.has(domain):
		return "disposable"
	case free == nil:
		return ""
	case free.has(domain):
		return "free"
	}
	return "corporate"
}
