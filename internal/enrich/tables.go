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
	put    func(l *lookups, content []byte, path string, whole bool) (version string, err error)
}

var (
	cityKind = tableKind{name: "city", wanted: "a city or coordinates",
		has: func(r *record) bool { return r.city != "" || r.lat.Set && r.lon.Set }}
	countryKind = tableKind{name: "country", wanted: "a country",
		has: func(r *record) bool { return r.country != "" }}
	asnKind = tableKind{name: "asn", wanted: "the number of a network operator",
		has: func(r *record) bool { return r.asn.Value != 0 }}
	anonymousKind = tableKind{name: "anonymous", wanted: "a flag such as is_anonymous_vpn",
		has: func(r *record) bool { return r.some }}
	binKind = tableKind{name: "bin", put: func(l *lookups, content []byte, path string, _ bool) (string, error) {
		b, err := parseBINs(content, path)
		l.bins = b
		return "bin-" + digest(content), err
	}}
	disposableKind = tableKind{name: "disposable", put: func(l *lookups, content []byte, path string, _ bool) (string, error) {
		d, err := parseDomains(content, path)
		l.disposable = d
		return "disposable-" + digest(content), err
	}}
	freeKind = tableKind{name: "free", put: func(l *lookups, content []byte, path string, _ bool) (string, error) {
		d, err := parseDomains(content, path)
		l.free = d
		return "free-" + digest(content), err
	}}
)

func init() { // their kinds are needed to open them
	cityKind.put = putDatabase(&cityKind, func(l *lookups) **database { return &l.city })
	countryKind.put = putDatabase(&countryKind, func(l *lookups) **database { return &l.country })
	asnKind.put = putDatabase(&asnKind, func(l *lookups) **database { return &l.asn })
	anonymousKind.put = putDatabase(&anonymousKind, func(l *lookups) **database { return &l.anonymous })
}

func putDatabase(kind *tableKind, at func(*lookups) **database) func(*lookups, []byte, string, bool) (string, error) {
	return func(l *lookups, content []byte, path string, whole bool) (string, error) {
		db, err := openDatabase(content, kind, whole)
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

	state sync.Mutex // held to change or tell how a file stands; taken under mu
}

// file is one table's file and how it stands.
type file struct {
	kind  *tableKind
	path  string
	seen  signature // at the last look
	tried signature // when it was last read

	standing
}

// standing is how a file stands. It is changed under shared.state.
type standing struct {
	version       string // in use
	problem       string // "" when the file is what is in use
	loads, failed uint64
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
			s.files = append(s.files, &file{kind: of.kind, path: of.path})
		}
	}
	next := &lookups{}
	var errs []error
	for _, f := range s.files {
		sig, err := signatureOf(f.path)
		if err == nil {
			f.seen, f.tried = sig, sig
			f.version, err = f.read(next, false)
			f.loads = 1
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

func (f *file) read(into *lookups, whole bool) (version string, err error) {
	content, err := os.ReadFile(f.path)
	if err != nil {
		return "", fmt.Errorf("enrich: %s table: %w", f.kind.name, err)
	}
	return f.kind.put(into, content, f.path, whole)
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
			f.seen = signature{}
			if f.problem == "" {
				changes = append(changes, s.refuse(f, err, 0))
			}
			continue
		}
		settled := sig == f.seen
		f.seen = sig
		if sig == f.tried && (f.problem == "" || !now) || !settled && !now {
			continue
		}
		f.tried = sig
		trial := next
		version, err := f.read(&trial, true)
		if err != nil {
			told := f.problem == err.Error()
			if c := s.refuse(f, err, 1); !told {
				changes = append(changes, c)
			}
			continue
		}
		if s.accept(f, version) {
			next, replaced = trial, true
			changes = append(changes, Change{f.kind.name, f.path, version, nil})
		}
	}
	if replaced {
		s.use(&next)
	}
	return changes
}

// refuse keeps the table in use and remembers why.
func (s *shared) refuse(f *file, err error, reads uint64) Change {
	s.state.Lock()
	defer s.state.Unlock()
	f.problem = err.Error()
	f.failed += reads
	return Change{f.kind.name, f.path, f.version, err}
}

// accept notes a table that was read, and reports whether that changes anything: a
// file may be written again as it was.
func (s *shared) accept(f *file, version string) (changes bool) {
	s.state.Lock()
	defer s.state.Unlock()
	changes = f.version != version || f.problem != ""
	f.version, f.problem = version, ""
	f.loads++
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
