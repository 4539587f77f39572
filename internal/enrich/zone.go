package enrich

import (
	"maps"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	_ "time/tzdata" // for machines without a time zone database

	"github.com/sluice-risk/sluice/risk"
)

// maxZones bounds the names that are remembered; the database has some 600.
const maxZones = 2048

// zones gives UTC offsets by IANA name. Loaded zones are remembered, and so are
// names that are none: they come from outside, and loading one reads files.
type zones struct {
	version string
	known   atomic.Pointer[map[string]*time.Location] // nil location: no such zone

	mu sync.Mutex // held to replace known
}

func newZones() *zones {
	z := &zones{version: zoneVersion()}
	z.known.Store(&map[string]*time.Location{})
	return z
}

// offset gives the minutes east of UTC at an instant, absent for no zone.
func (z *zones) offset(name string, at risk.Time) risk.Number {
	if name == "" {
		return risk.Number{}
	}
	loc, ok := (*z.known.Load())[name]
	if !ok {
		loc = z.load(name)
	}
	if loc == nil {
		return risk.Number{}
	}
	_, seconds := at.Time().In(loc).Zone()
	return risk.Number{Value: float64(seconds) / 60, Set: true}
}

// someAt reports whether one of the zones has the offset at an instant.
func (z *zones) someAt(names []string, at risk.Time, offset risk.Number) bool {
	for _, name := range names {
		if z.offset(name, at) == offset {
			return true
		}
	}
	return false
}

// only gives the offset of a country in which it is the same everywhere at an
// instant, else none.
func (z *zones) only(in *country, at risk.Time) (offset risk.Number) {
	if in == nil {
		return risk.Number{}
	}
	for i, name := range in.zones {
		switch o := z.offset(name, at); {
		case i == 0:
			offset = o
		case o != offset:
			return risk.Number{}
		}
	}
	return offset
}

func (z *zones) load(name string) *time.Location {
	if !zoneName(name) {
		return nil
	}
	z.mu.Lock()
	defer z.mu.Unlock()
	known := *z.known.Load()
	if loc, ok := known[name]; ok {
		return loc
	}
	if len(known) >= maxZones { // somebody sends names that are none: forget those
		known = maps.Clone(known)
		maps.DeleteFunc(known, func(_ string, loc *time.Location) bool { return loc == nil })
	}
	loc, err := time.LoadLocation(name)
	if err != nil {
		loc = nil
	}
	next := maps.Clone(known)
	next[strings.Clone(name)] = loc // the name may be part of a large text
	z.known.Store(&next)
	return loc
}

// zoneName keeps away what cannot be a zone: above all "Local", which is where
// this machine happens to stand, and names of other files.
func zoneName(s string) bool {
	if s == "" || len(s) > 64 || s == "Local" || strings.HasPrefix(s, "/") || strings.Contains(s, ".") {
		return false
	}
	for _, c := range []byte(s) {
		if (c|0x20 < 'a' || c|0x20 > 'z') && (c < '0' || c > '9') && !strings.ContainsRune("/_+-", rune(c)) {
			return false
		}
	}
	return true
}

// zoneVersion names the database that time.LoadLocation reads: the system's,
// where there is one, else that of the Go release.
func zoneVersion() string {
	for _, dir := range []string{os.Getenv("ZONEINFO"), "/usr/share/zoneinfo", "/usr/share/lib/zoneinfo", "/usr/lib/locale/TZ", "/etc/zoneinfo"} {
		if dir == "" {
			continue
		}
		if _, err := os.Stat(dir + "/Europe"); err != nil {
			continue
		}
		b, err := os.ReadFile(dir + "/tzdata.zi") // "# version 2026a"
		if err != nil {
			return "tz-system"
		}
		first, _, _ := strings.Cut(string(b), "\n")
		if version, ok := strings.CutPrefix(first, "# version "); ok && len(version) < 16 {
			return "tz-" + strings.TrimSpace(version)
		}
		return "tz-system"
	}
	version := runtime.Version() // go1.26.8
	if parts := strings.SplitN(version, ".", 3); len(parts) == 3 {
		version = parts[0] + "." + parts[1]
	}
	return "tz-" + version
}
