package enrich

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/maxmind/mmdbwriter/mmdbtype"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/sluice-risk/sluice/risk"
)

// replace puts content in the place of a file, as an operator's update does.
func replace(t testing.TB, path string, content []byte) {
	t.Helper()
	next := filepath.Join(t.TempDir(), "next")
	if err := os.WriteFile(next, content, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, path); err != nil {
		t.Fatal(err)
	}
}

func content(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func cityOf(t testing.TB, name string) []byte {
	return content(t, writeDatabase(t, "GeoLite2-City", map[string]m{"81.2.69.0/24": {"city": m{"names": m{"en": mmdbtype.String(name)}}, "country": m{"iso_code": s("GB")}}}))
}

// told tells the changes of a look in one line.
func toldChanges(changes []Change) string {
	var out []string
	for _, c := range changes {
		if c.Err != nil {
			out = append(out, c.Table+" refused")
		} else {
			out = append(out, c.Table+" "+c.Version[:strings.LastIndexByte(c.Version, '-')])
		}
	}
	return strings.Join(out, ", ")
}

// measured gives a gauge by table.
func measured(t *testing.T, tables *Tables, name string) string {
	t.Helper()
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(tables)
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, f := range families {
		if f.GetName() == name {
			for _, m := range f.GetMetric() {
				out = append(out, fmt.Sprintf("%s=%v", m.GetLabel()[0].GetValue(), m.GetGauge().GetValue()))
			}
		}
	}
	return strings.Join(out, " ")
}

func TestRefresh(t *testing.T) {
	dir := t.TempDir()
	city, bin := filepath.Join(dir, "city.mmdb"), filepath.Join(dir, "bins.csv")
	replace(t, city, cityOf(t, "London"))
	replace(t, bin, []byte(someBINs))
	root := newTables(t, Options{Files: Files{City: city, BINs: bin}})
	tables, err := root.With("EUR", []byte(someRates)) // what a release makes of them
	if err != nil {
		t.Fatal(err)
	}
	look := func(now bool, want string) {
		t.Helper()
		if got := toldChanges(root.Refresh(now)); got != want {
			t.Errorf("a look finds %q, want %q", got, want)
		}
	}
	event := risk.Event{Device: risk.Device{IP: "81.2.69.1"}, Card: risk.Card{BIN: "411111"}}
	sees := func(city, brand string) {
		t.Helper()
		f := facts(tables, event)
		if f.IPCity != city || f.BINBrand != brand || f.Version != tables.Version() || !strings.Contains(f.Version, "rates-") {
			t.Errorf("an event sees %s, %s by %s; want %s, %s", f.IPCity, f.BINBrand, f.Version, city, brand)
		}
	}
	first := tables.Version()
	look(false, "")
	look(true, "")
	sees("London", "visa")

	// A file that was replaced is taken up when it is the same at two looks.
	replace(t, city, cityOf(t, "Londres"))
	look(false, "")
	sees("London", "visa")
	look(false, "city city-20250915")
	sees("Londres", "visa")
	look(false, "")
	if tables.Version() == first {
		t.Errorf("the version is still %s", first)
	}
	// At once when somebody asks.
	replace(t, city, cityOf(t, "London"))
	look(true, "city city-20250915")
	if tables.Version() != first {
		t.Errorf("version %s of the same content, first %s", tables.Version(), first)
	}
	// Written again as it was: nothing to tell.
	replace(t, city, cityOf(t, "London"))
	look(true, "")

	// A broken file is told of once, and the table before it goes on.
	replace(t, city, cityOf(t, "Londres")[:200])
	replace(t, bin, []byte("no header\n"))
	look(false, "")
	look(false, "city refused, bin refused")
	look(false, "")
	look(true, "")
	sees("London", "visa")
	if got := measured(t, root, "sluice_table_last_load_successful"); got != "bin=0 city=0" {
		t.Errorf("of broken files the metric says %s", got)
	}
	// Two that come back are taken up together.
	replace(t, city, cityOf(t, "Londra"))
	replace(t, bin, []byte(strings.ReplaceAll(someBINs, "Visa", "VISA2")))
	look(true, "city city-20250915, bin bin")
	sees("Londra", "visa2")
	// A file that is gone leaves its table; so does what is no file.
	if err := os.Remove(city); err != nil {
		t.Fatal(err)
	}
	look(false, "city refused")
	look(false, "")
	sees("Londra", "visa2")
	if err := os.Mkdir(city, 0o700); err != nil {
		t.Fatal(err)
	}
	look(true, "")
	if err := os.Remove(city); err != nil {
		t.Fatal(err)
	}
	replace(t, city, cityOf(t, "Londra"))
	look(true, "city city-20250915") // it is in use again: told, though the content is the same
	look(true, "")
	if got := measured(t, root, "sluice_table_last_load_successful"); got != "bin=1 city=1" {
		t.Errorf("of good files the metric says %s", got)
	}
}

// TestRefreshUnderLoad replaces tables while events are filled: each sees one state
// of them, and its version names it.
func TestRefreshUnderLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "city.mmdb")
	cities := [][]byte{cityOf(t, "A"), cityOf(t, "B"), cityOf(t, "C")}
	replace(t, path, cities[0])
	root := newTables(t, Options{Files: Files{City: path}})
	byVersion := map[string]string{}
	var tables []*Tables
	for range 2 { // two releases at once: the one that decides and the one that is loaded
		of, err := root.With("EUR", []byte(someRates))
		if err != nil {
			t.Fatal(err)
		}
		tables = append(tables, of)
	}
	for i, c := range cities {
		replace(t, path, c)
		root.Refresh(true)
		byVersion[tables[0].Version()] = string(rune('A' + i))
	}
	if len(byVersion) != 3 {
		t.Fatalf("versions %v", byVersion)
	}
	var stop atomic.Bool
	var seen [3]atomic.Int64
	var wg sync.WaitGroup
	for worker := range 4 {
		wg.Go(func() {
			rec := risk.Record{Event: risk.Event{Device: risk.Device{IP: "81.2.69.1"}}}
			for !stop.Load() {
				tables[worker%2].Fill(&rec)
				f := &rec.Facts
				if want := byVersion[f.Version]; want == "" || f.IPCity != want {
					t.Errorf("city %q by version %q", f.IPCity, f.Version)
					return
				}
				seen[f.IPCity[0]-'A'].Add(1)
			}
		})
	}
	wg.Go(func() { // somebody reads the metrics meanwhile
		for !stop.Load() {
			to := make(chan prometheus.Metric, 16)
			root.Collect(to)
		}
	})
	for i := 0; i < 300 || seen[0].Load() == 0 || seen[1].Load() == 0 || seen[2].Load() == 0; i++ {
		if t.Failed() || i > 1_000_000 {
			break
		}
		replace(t, path, cities[i%3])
		for _, c := range root.Refresh(true) {
			if c.Err != nil {
				t.Error(c.Err)
			}
		}
	}
	stop.Store(true)
	wg.Wait()
}

func TestNeedsTable(t *testing.T) {
	all := Files{City: "x", Country: "x", ASN: "x", Anonymous: "x", BINs: "x", Disposable: "x", Free: "x"}
	for _, f := range risk.FactFields {
		if keys, ok := NeedsTable(f.Path, all); !ok {
			t.Errorf("%s lacks %s with every table", f.Path, keys)
		}
		keys, without := NeedsTable(f.Path, Files{})
		has := fmt.Sprint(!without, " ", keys)
		switch f.Path {
		case "ip.country", "card.issuer_country", "fx.deviation":
			if !without {
				t.Errorf("%s asks for %s", f.Path, keys)
			}
		default:
			if builtIn := strings.HasPrefix(f.Path, "ua.") || strings.HasPrefix(f.Path, "match."); builtIn != without {
				t.Errorf("%s: %s", f.Path, has)
			}
		}
	}
}
