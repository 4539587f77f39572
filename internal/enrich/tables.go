package enrich

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/phuslu/iploc"
	"github.com/sluice-risk/sluice/risk"
)

// Files are the paths of the operator's tables; "" for none. They may be replaced
// while they are in use: see [Tables.Refresh].
type Files struct {
	// MaxMind DB files. A city or country file replaces the embedded table of
	// countries.
	City, Country, ASN, Anonymous string

	BINs       string // CSV: from,to,country,brand,funding,issuer
	Disposable string // mail domains, one a line
	Free       string
}

// tableKind is what a file is wanted for.
type tableKind struct {
	name   string
	wanted string // of a MaxMind DB: what its records must have
	has    func(*record) bool
	put    func(l *lookups, kind *tableKind, content []byte, path string) (version string, err error)
}

var (
	cityKind = tableKind{name: "city", wanted: "a city or coordinates",
		has: func(r *record) bool { return r.city != "" || r.lat.Set && r.lon.Set },
		put: putDatabase(func(l *lookups) **database { return &l.city })}
	countryKind = tableKind{name: "country", wanted: "a country",
		has: func(r *record) bool { return r.country != "" },
		put: putDatabase(func(l *lookups) **database { return &l.country })}
	asnKind = tableKind{name: "asn", wanted: "the number of a network operator",
		has: func(r *record) bool { return r.asn.Value != 0 },
		put: putDatabase(func(l *lookups) **database { return &l.asn })}
	anonymousKind = tableKind{name: "anonymous", wanted: "a flag such as is_anonymous_vpn",
		has: func(r *record) bool { return r.some }}
	binKind = tableKind{name: "bin", put: func(l *lookups, _ *tableKind, content []byte, path string) (string, error) {
		b, err := parseBINs(content, path)
		l.bins = b
		return "bin-" + digest(content), err
	}}
	disposableKind = tableKind{name: "disposable", put: func(l *lookups, _ *tableKind, content []byte, path string) (string, error) {
		d, err := parseDomains(content, path)
		l.disposable = d
		return "disposable-" + digest(content), err
	}}
	freeKind = tableKind{name: "free", put: func(l *lookups, _ *tableKind, content []byte, path string) (string, error) {
		d, err := parseDomains(content, path)
		l.free = d
		return "free-" + digest(content), err
	}}
)

func init() { // openDatabase knows the kind by its address
	anonymousKind.put = putDatabase(func(l *lookups) **database { return &l.anonymous })
}

func putDatabase(at func(*lookups) **database) func(*lookups, *tableKind, []byte, string) (string, error) {
	return func(l *lookups, kind *tableKind, content []byte, path string) (string, error) {
		db, err := openDatabase(content, kind)
		if err != nil {
			return "", fmt.Errorf("enrich: %s database %s: %w", kind.name, path, err)
		}
		*at(l) = db
		return db.version, nil
	}
}

// lookups are the tables of files as one event sees them: immutable.
type lookups struct {
	city, country, asn, anonymous *database
	bins                          *bins
	disposable, free              domains
	version                       string
}

func (l *lookups) located() bool { return l.city != nil || l.country != nil }

func embeddedCountry(addr netip.Addr) string { return risk.CountryCode(iploc.IPCountry(addr)) }

// shared is what all Tables made from one have in common: the files, and what is
// known of the world.
type shared struct {
	zones   *zones
	agents  agents
	current atomic.Pointer[lookups]
	faults  atomic.Uint64

	mu    sync.Mutex // held to look at the files and to replace current
	files []*file
}

// file is one table's file and how it stands.
type file struct {
	kind    *tableKind
	path    string
	seen    signature // at the last look
	tried   signature // when it was last read
	version string    // in use
	problem string    // "" when the file is what is in use
	loads   map[bool]uint64
}

// signature tells one state of a file from another without reading it. A rename in
// its place shows in the inode, also when size and time are the same.
type signature struct {
	size, modified int64
	inode          uint64
}

func signatureOf(path string) (s signature, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return s, err
	}
	if !info.Mode().IsRegular() {
		return s, &fs.PathError{Op: "read", Path: path, Err: errors.New("no regular file")}
	}
	s = signature{size: info.Size(), modified: info.ModTime().UnixNano()}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		s.inode = stat.Ino
	}
	return s, nil
}

// openShared reads every file; all that is wrong with them is in the error.
func openShared(f Files) (*shared, error) {
	s := &shared{zones: newZones()}
	for _, of := range []struct {
		kind *tableKind
		path string
	}{{&cityKind, f.City}, {&countryKind, f.Country}, {&asnKind, f.ASN}, {&anonymousKind, f.Anonymous},
		{&binKind, f.BINs}, {&disposableKind, f.Disposable}, {&freeKind, f.Free}} {
		if of.path != "" {
			s.files = append(s.files, &file{kind: of.kind, path: of.path, loads: map[bool]uint64{}})
		}
	}
	next := &lookups{}
	var errs []error
	for _, f := range s.files {
		sig, err := signatureOf(f.path)
		if err == nil {
			f.seen, f.tried = sig, sig
			err = f.read(next)
		} else {
			err = fmt.Errorf("enrich: %s table: %w", f.kind.name, err)
		}
		if err != nil {
			errs = append(errs, err)
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	s.use(next)
	if !next.located() {
		// The embedded table of IPv6 is unpacked at its first use: not by a payment.
		embeddedCountry(netip.MustParseAddr("2001:4860:4860::8888"))
	}
	return s, nil
}

func (f *file) read(into *lookups) error {
	content, err := os.ReadFile(f.path)
	if err != nil {
		return fmt.Errorf("enrich: %s table: %w", f.kind.name, err)
	}
	version, err := f.kind.put(into, f.kind, content, f.path)
	if err == nil {
		f.version = version
	}
	f.loads[err == nil]++
	return err
}

// use makes l what events see from now on.
func (s *shared) use(l *lookups) {
	var names []string
	for _, f := range s.files {
		names = append(names, f.version)
	}
	if !l.located() {
		names = append(names, "iploc-"+iploc.Version[strings.LastIndexByte(iploc.Version, '.')+1:])
	}
	l.version = strings.Join(names, " ")
	s.current.Store(l)
}

// Change is one table that a look at the files found replaced, or could not take.
type Change struct {
	Table, Path string
	Version     string // now in use
	Err         error  // why the file is not
}

// Refresh looks at the files and takes up those that were replaced, all at once:
// every event sees the tables of one look. A file that cannot be read, or is none of
// its kind, changes nothing; that is told once for each state of the file. A file
// that changed since the last look is left until it is the same at two, since
// somebody may be writing it; with now it is read at once. It is safe for concurrent
// use, and Fill goes on beside it.
func (t *Tables) Refresh(now bool) []Change {
	s := t.shared
	s.mu.Lock()
	defer s.mu.Unlock()
	next := *s.current.Load()
	var changes []Change
	replaced := false
	for _, f := range s.files {
		sig, err := signatureOf(f.path)
		if err != nil {
			if f.problem == "" {
				f.problem = err.Error()
				changes = append(changes, Change{f.kind.name, f.path, f.version, err})
			}
			f.seen = signature{}
			continue
		}
		settled := sig == f.seen
		f.seen = sig
		if sig == f.tried && f.problem == "" || sig == f.tried && !now || !settled && !now {
			continue
		}
		f.tried = sig
		before, trial := f.version, next
		if err := f.read(&trial); err != nil {
			if problem := err.Error(); f.problem != problem {
				f.problem = problem
				changes = append(changes, Change{f.kind.name, f.path, f.version, err})
			}
			continue
		}
		again := f.problem != ""
		f.problem = ""
		if f.version == before && !again {
			continue // written again as it was
		}
		next, replaced = trial, true
		changes = append(changes, Change{f.kind.name, f.path, f.version, nil})
	}
	if replaced {
		s.use(&next)
	}
	return changes
}

// NeedsTable tells whether a name that expressions read is looked up in a table that
// is not among the files: then it is always missing, and keys are those of the
// configuration that would help.
func NeedsTable(name string, f Files) (keys string, ok bool) {
	switch name {
	case "ip.region", "ip.city", "ip.lat", "ip.lon", "ip.timezone":
		return "geo.city_mmdb", f.City != ""
	case "ip.asn", "ip.asn_org":
		return "geo.asn_mmdb", f.ASN != ""
	case "email.class":
		return "tables.free_domains", f.Free != "" || f.Disposable != ""
	}
	switch {
	case strings.HasPrefix(name, "ip.is_"):
		return "geo.anonymous_mmdb", f.Anonymous != "" || f.City != "" // some have flags, too
	case strings.HasPrefix(name, "card.bin_"):
		return "tables.bin_csv", f.BINs != ""
	}
	return "", true
}
