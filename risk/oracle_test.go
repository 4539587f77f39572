package risk

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"pgregory.net/rapid"
)

// mergeParts puts the two parts of a canonical event together again.
func mergeParts(plain, personal []byte) []byte {
	var a, b map[string]any
	for src, v := range map[*map[string]any][]byte{&a: plain, &b: personal} {
		if err := json.Unmarshal(v, src); err != nil {
			panic(err)
		}
	}
	merged, err := json.Marshal(merge(a, b), json.Deterministic(true))
	if err != nil {
		panic(err)
	}
	return merged
}

func merge(a, b any) any {
	switch a := a.(type) {
	case map[string]any:
		for k, v := range b.(map[string]any) {
			if old, ok := a[k]; ok {
				v = merge(old, v)
			}
			a[k] = v
		}
	case []any:
		for i, v := range b.([]any) {
			a[i] = merge(a[i], v)
		}
	}
	return a
}

// checkAgainst compares Decode with a reader that is known to be strict: what we
// accept it accepts, with the same values.
func checkAgainst(t interface{ Fatalf(string, ...any) }, src []byte) {
	var rec Record
	err := (&Decoder{Secrets: testSecrets, PAN: PANToken}).Decode(src, &rec)
	var doc map[string]any
	oracle := json.Unmarshal(src, &doc)
	if err != nil {
		return
	}
	if oracle != nil {
		t.Fatalf("accepted %q, the oracle says %v", src, oracle)
	}
	// What the scanner saw leaves nothing out that looking for everything finds.
	if got, want := rec.canonical, AppendPersonal(AppendPlain(nil, &rec.Event), &rec.Event); !bytes.Equal(got, want) {
		t.Fatalf("%q: canonical encoding %s, of all fields %s", src, got, want)
	}
	if rec.IDs != testSecrets.IDs(&rec.Event) {
		t.Fatalf("%q: the pseudonyms are not those of all fields", src)
	}
	warned := map[string]bool{}
	for _, w := range rec.Warnings {
		warned[strings.ReplaceAll(strings.TrimPrefix(w.Pointer, "/"), "/", ".")] = true
	}
	for _, f := range Fields {
		group, key, _ := strings.Cut(f.Path, ".")
		members, _ := doc[group].(map[string]any)
		want := members[key]
		if warned[f.Path] || warned[group] || members["number"] != nil || len(rec.Warnings) > maxReports {
			continue
		}
		var got any
		switch {
		case f.Text != nil:
			if want == "" {
				want = nil
			}
			if s := *f.Text(&rec.Event); s != "" {
				got = s
			}
		case f.Number != nil:
			if n := *f.Number(&rec.Event); n.Set {
				got = n.Value
			}
		case f.Flag != nil:
			if v := *f.Flag(&rec.Event); v != 0 {
				got = v == Yes
			}
		default:
			if (want != nil) != (*f.Time(&rec.Event) != 0) {
				t.Fatalf("%q: %s = %v, the oracle says %v", src, f.Path, *f.Time(&rec.Event), want)
			}
			continue
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("%q: %s = %#v, the oracle says %#v", src, f.Path, got, want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(sample(f))
	f.Add([]byte(event(`"card":{"number":"4111 1111 1111 1111"},"kyc":{"owners":[{"id":"\u00e9","share":0.5}]}`)))
	f.Add([]byte(event(`"x":[1e5,-0.0,"\ud83d\ude00",{"a":null,"b":true}],"custom":{"a":1.5e-7,"b":false,"c":"\\"}`)))
	f.Fuzz(func(t *testing.T, src []byte) { checkAgainst(t, src) })
}

// TestDecodeAgainstOracle damages good events at random places.
func TestDecodeAgainstOracle(t *testing.T) {
	seeds := [][]byte{sample(t), []byte(event(`"card":{"number":"4111 1111 1111 1111"},"amount":{"value":"1","currency":"USD"},"settlement":{"rate":2}`)), []byte(event(`"customer":{"id":"a\u00e9\n","email":"x@y.z"},"x":[1e5,-0.0,{"a":null,"a2":true}]`))}
	bits := []string{`"`, `\`, `\u`, `\ud83d\ude00`, `{`, `}`, `[`, `]`, `,`, `:`, `0`, `-`, `.`, `e`, `null`, `true`, ` `, "\x00", "\x1f", "\xff", "é", `"id":`, `1e9`}
	rapid.Check(t, func(t *rapid.T) {
		b := append([]byte(nil), rapid.SampledFrom(seeds).Draw(t, "seed")...)
		for range rapid.IntRange(1, 3).Draw(t, "times") {
			from := rapid.IntRange(0, len(b)).Draw(t, "from")
			to := min(from+rapid.IntRange(0, 3).Draw(t, "cut"), len(b))
			b = append(b[:from:from], append([]byte(rapid.SampledFrom(bits).Draw(t, "put")), b[to:]...)...)
		}
		checkAgainst(t, b)
	})
}

// TestScannerAgainstOracle holds that a value without event fields is accepted
// exactly when the oracle accepts it.
func TestScannerAgainstOracle(t *testing.T) {
	f := func(src string) {
		t.Helper()
		s := newScanner([]byte(src))
		defer s.release()
		s.skip()
		s.end()
		got, want := s.fault() == nil, jsontext.Value(src).IsValid()
		if got != want {
			t.Errorf("%q: accepted is %v, the oracle says %v", src, got, want)
		}
	}
	pieces := []string{"", `""`, `"a`, `"\"`, `"\/"`, `"\u0041"`, `"\u004"`, `"\uD83D\uDE00"`, `"\uDE00"`, "\"\x7f\"", "\"\t\"", "0", "-0", "-", "00",
		"0.", "0.0", ".5", "1e", "1e+", "1E-2", "+1", "1e5.", "0x1", "tru", "true", "nulll", "null", "True", "NaN", "[]", "[,]", "[1,]", "[1,2]", "[1 2]", "{",
		"{}", `{"a"}`, `{"a":}`, `{"a":1}`, `{"a":1,}`, `{"a":1,"b":2}`, `{"a":1,"a":2}`, `{"a":1,"\u0061":2}`, `{a:1}`, `{"a":1 "b":2}`, "[{}]", "[]]", "//", "\ufeff1", " \t\r\n1 ", "1\v", "1\x00"}
	for _, p := range pieces {
		f(p)
		f("[" + p + "]")
		f(`{"k":` + p + `}`)
		f(`[0,` + p + `]`)
	}
}
