package lists

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-risk/sluice/internal/diag"
	"github.com/sluice-risk/sluice/risk"
)

var update = flag.Bool("update", false, "write the golden messages")

func load(t testing.TB, src string) *List {
	t.Helper()
	files := diag.Files{"lists/x.yaml": []byte(src)}
	l, diags := Load("lists/x.yaml", files["lists/x.yaml"], files)
	if err := diags.Err(); err != nil {
		t.Fatalf("Load: %v", err)
	}
	return l
}

func at(s string) risk.Time {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		panic(err)
	}
	return risk.At(t)
}

func TestContainsByType(t *testing.T) {
	cases := []struct{ kind, items, in, out string }{
		{"id", "m_1 0123 NO 1e3", "m_1 0123 NO 1e3", "M_1 123 no 1000 false"},
		{"country", "NO se", "NO SE", "DE N NOR no"},
		{"ip", "203.0.113.7 2001:db8::1 ::ffff:198.51.100.1", "203.0.113.7 ::ffff:203.0.113.7 2001:db8:0::1 198.51.100.1", "203.0.113.8 2001:db8::2 x"},
		{"cidr", "10.0.0.0/8 2001:db8::/32 192.0.2.1 ::ffff:198.51.100.0/120", "10.1.2.3 10.1.2.0/24 ::ffff:10.0.0.1 2001:db8:1::1 192.0.2.1 198.51.100.9", "11.0.0.1 192.0.2.2 2001:db9::1 0.0.0.0/0 x 10.0.0.0/x"},
		{"email", "John.Doe+shop@GMail.com a.b@example.org", "johndoe@gmail.com a.b@example.org", "ab@example.org doe@gmail.com x"},
		{"email_domain", "Mailinator.com", "mailinator.com", "x.mailinator.com a@x.mailinator.com com x@"},
		{"card", "tok_1", "tok_1", "TOK_1"},
		{"device", "d-9", "d-9", "d9"},
		{"phone", "'+44 20 7946 0958'", "+442079460958", "02079460958 +442079460959 x"},
		{"name", "\"Ann-Marie Lee\"", "ann_lee_marie", "lee ann ann_marie_lee"},
		{"number", "12.5 1e3 -0", "12.5 12.50 1000 0 -0", "12 1e4 x NaN"},
	}
	for _, c := range cases {
		var items strings.Builder
		for i, item := range split(c.items) {
			if strings.Contains(item, "::") {
				item = "'" + item + "'"
			}
			fmt.Fprintf(&items, "  - {value: %s, note: item %d}\n", item, i)
		}
		l := load(t, "apiVersion: lists/v1\nlist: x\ntype: "+c.kind+"\nitems:\n"+items.String())
		if l.Type() != c.kind || l.Name() != "x" || l.Len() == 0 {
			t.Errorf("list %q of type %q with %d items, want x of type %q", l.Name(), l.Type(), l.Len(), c.kind)
		}
		for _, v := range strings.Fields(c.in) {
			if !l.Contains(strings.ReplaceAll(v, "_", map[bool]string{true: " ", false: "_"}[c.kind == "name"]), 1) {
				t.Errorf("%s list [%s] does not contain %q", c.kind, c.items, v)
			}
		}
		for _, v := range append(strings.Fields(c.out), "") {
			if l.Contains(v, 1) {
				t.Errorf("%s list [%s] contains %q", c.kind, c.items, v)
			}
		}
	}
}

// split cuts at spaces outside quotes.
func split(s string) []string {
	if strings.ContainsAny(s, `'"`) {
		return []string{s}
	}
	return strings.Fields(s)
}

func TestExpiry(t *testing.T) {
	l := load(t, `
apiVersion: lists/v1
list: x
type: id
items: [{value: a, expires: 2027-05-01}, {value: b, expires: 2027-05-01T12:00:00+02:00}, {value: c}]
`)
	f := func(value, when string, want bool) {
		t.Helper()
		if got := l.Contains(value, at(when)); got != want {
			t.Errorf("Contains(%q, %s) = %v, want %v", value, when, got, want)
		}
	}
	f("a", "2027-04-30T23:59:59Z", true)
	f("a", "2027-05-01T00:00:00Z", false) // a day means its midnight in UTC
	f("b", "2027-05-01T09:59:59Z", true)
	f("b", "2027-05-01T10:00:00Z", false)
	f("c", "2099-01-01T00:00:00Z", true)
}

// An expired network must not hide a wider one that still counts, nor the other
// way round.
func TestNestedNetworks(t *testing.T) {
	l := load(t, `
apiVersion: lists/v1
list: x
type: cidr
items:
  - {value: 10.1.0.0/16, expires: 2027-01-01}
  - {value: 10.0.0.0/8, expires: 2028-01-01}
  - {value: 10.1.1.0/24, expires: 2029-01-01}
`)
	f := func(value, when string, want bool) {
		t.Helper()
		if got := l.Contains(value, at(when+"T00:00:00Z")); got != want {
			t.Errorf("Contains(%q, %s) = %v, want %v", value, when, got, want)
		}
	}
	f("10.1.2.3", "2027-06-01", true)
	f("10.1.2.3", "2028-06-01", false)
	f("10.1.1.3", "2028-06-01", true)
	f("10.2.2.3", "2027-06-01", true)
	f("10.1.1.3", "2029-06-01", false)
}

func TestCSV(t *testing.T) {
	files := diag.Files{
		"lists/x.yaml": []byte("apiVersion: lists/v1\nlist: x\ntype: id\nsource: big.csv\n"),
		"lists/big.csv": []byte("\ufeffvalue,note,by,added,expires\r\n0123,\"a, b\",m.chen,2026-11-02,\r\n" +
			"\"m,1\",,,,2027-01-01\r\nNO,,,,\r\n"),
	}
	l, diags := Load("lists/x.yaml", files["lists/x.yaml"], files)
	if err := diags.Err(); err != nil {
		t.Fatal(err)
	}
	for _, v := range []string{"0123", "m,1", "NO"} {
		if !l.Contains(v, at("2026-12-01T00:00:00Z")) {
			t.Errorf("Contains(%q) = false, want true", v)
		}
	}
	if l.Contains("m,1", at("2027-01-01T00:00:00Z")) || l.Len() != 3 {
		t.Errorf("an expired item counts, or there are %d items, want 3", l.Len())
	}
	before := l.Digest()
	files["lists/big.csv"] = append(files["lists/big.csv"], "x,,,,\n"...)
	if l, _ = Load("lists/x.yaml", files["lists/x.yaml"], files); l.Digest() == before {
		t.Error("Digest does not cover the CSV file")
	}
}

func TestLookupDoesNotAllocate(t *testing.T) {
	for kind, v := range map[string][2]string{
		"id": {"m_1", "m_1"}, "country": {"NO", "NO"}, "cidr": {"10.0.0.0/8", "10.1.2.3"}, "ip": {"2001:db8::1", "2001:db8::1"},
		"email": {"a.b@gmail.com", "ab@gmail.com"}, "email_domain": {"X.com", "x.com"}, "phone": {"'+44 20 7946 0958'", "+442079460958"},
		"name": {"Ann  Lee", "ann lee"}, "number": {"12.5", "12.50"}, "card": {"t", "t"}, "device": {"d", "d"},
	} {
		l := load(t, "apiVersion: lists/v1\nlist: x\ntype: "+kind+"\nitems: [{value: "+v[0]+"}]\n")
		found := false
		if n := testing.AllocsPerRun(100, func() { found = l.Contains(v[1], 1) }); n != 0 || !found {
			t.Errorf("%s: Contains(%q) = %v with %v allocations, want true and none", kind, v[1], found, n)
		}
	}
}

// Each directory of testdata is broken; its messages are in messages.txt.
func TestMessages(t *testing.T) {
	dirs, _ := filepath.Glob("testdata/*")
	if len(dirs) < 5 {
		t.Fatalf("%d directories in testdata", len(dirs))
	}
	for _, dir := range dirs {
		files, err := diag.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		delete(files, "messages.txt")
		var diags diag.List
		for _, name := range files.Names() {
			if filepath.Ext(name) == ".yaml" {
				l, d := Load(name, files[name], files)
				if l == nil || len(d) == 0 {
					t.Errorf("%s: no mistake found, or no stand-in", name)
				}
				diags = append(diags, d...)
			}
		}
		var b bytes.Buffer
		diag.Render(&b, diags, files)
		golden := filepath.Join(dir, "messages.txt")
		if *update {
			if err := os.WriteFile(golden, b.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, _ := os.ReadFile(golden)
		if b.String() != string(want) {
			t.Errorf("%s: got\n%s\nwant\n%s", dir, b.String(), want)
		}
	}
}

func BenchmarkContains(b *testing.B) {
	for kind, v := range map[string]string{"id": "m_1", "cidr": "10.1.2.3", "email": "ab@gmail.com"} {
		item := map[string]string{"id": "m_1", "cidr": "10.0.0.0/8", "email": "ab@gmail.com"}[kind]
		l := load(b, "apiVersion: lists/v1\nlist: x\ntype: "+kind+"\nitems: [{value: "+item+"}]\n")
		b.Run(kind, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if !l.Contains(v, 1) {
					b.Fatal("not found")
				}
			}
		})
	}
}
