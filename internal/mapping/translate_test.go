package mapping

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// one compiles a mapping that fills one field beside those that every event has.
func one(t testing.TB, field, spec string) *Mapping {
	t.Helper()
	text := "apiVersion: mapping/v1\nfields:\n  event.id: {value: e1}\n  event.type: {value: transfer}\n" +
		"  event.time: {value: '2026-11-02T08:00:00Z'}\n  " + field + ": " + spec + "\n"
	if strings.HasPrefix(field, "amount.") {
		text = strings.Replace(text, "  "+field, "  amount.currency: $.cur\n  "+field, 1)
	}
	m, err := Compile("x.yaml", []byte(text), JSON)
	if err != nil {
		t.Fatalf("%s: %s: %v", field, spec, err)
	}
	return m
}

func TestFields(t *testing.T) {
	rec := Record{Key: []byte("k1"), Headers: []Header{{"h", []byte("old")}, {"h", []byte("new")}, {"bad", []byte{0xff}}}, Time: recordTime}
	for _, c := range []struct{ field, spec, value, want string }{
		// Where a value comes from.
		{"customer.id", "$.a", `{"a":"x"}`, `"x"`},
		{"customer.id", "$.a", `{"a":"x\u0022\u00e9"}`, `"x\u0022\u00e9"`},
		{"customer.id", "$.a", `{"a":12345678901234567890}`, `"12345678901234567890"`},
		{"customer.id", "$.a", `{"a":true}`, `"true"`},
		{"customer.id", "$.a", `{"a":null}`, ``},
		{"customer.id", "$.a", `{"a":""}`, ``},
		{"customer.id", "$.a", `{"b":1}`, ``},
		{"customer.id", "$.a", `{"a":{"b":1}}`, `an object where one value is expected`},
		{"customer.id", "$.a", `{"a":[1]}`, `a list where one value is expected`},
		{"customer.id", "$.a.b", `{"a":5}`, ``},
		{"customer.id", "$.a.b", `{"\u0061":{"b":"x"}}`, `"x"`},
		{"customer.id", `"$.a['b c'].d"`, `{"a":{"b c":{"d":"x"}}}`, `"x"`},
		{"customer.id", "$.a[1].b", `{"a":[{"b":"x"},{"b":"y"}]}`, `"y"`},
		{"customer.id", "$.a[1][0]", `{"a":[1,["z"]]}`, `"z"`},
		{"customer.id", "$.a[2]", `{"a":[1,2]}`, ``},
		{"customer.id", "$.a[only].b", `{"a":[{"b":"x"}]}`, `"x"`},
		{"customer.id", "$.a[only].b", `{"a":{"b":"x"}}`, `"x"`},
		{"customer.id", "$.a[only].b", `{"a":[]}`, ``},
		{"customer.id", "$.a[only].b", `{"a":[{"b":"x"},{"b":"x"}]}`, `a list has 2 elements where the mapping takes one`},
		{"customer.id", `$.a[?n=="y"].v`, `{"a":[{"n":"x","v":1},{"v":"2","n":"y"},5]}`, `"2"`},
		{"customer.id", `$.a[?n=="y"].v`, `{"a":[{"n":"y","v":1},{"v":"2","n":"y"}]}`, `two elements of a list have n "y"`},
		{"customer.id", `$.a[?n=="7"].v[0]`, `{"a":[{"n":{},"v":[1]},{"v":["q"],"n":7}]}`, `"q"`},
		{"customer.id", `{first: [$.a, $.b, {value: none}]}`, `{"b":"x"}`, `"x"`},
		{"customer.id", `{first: [$.a, $.b, {value: none}]}`, `{}`, `"none"`},
		{"customer.id", `{join: [$.a, $.b], with: " "}`, `{"a":"x","b":7}`, `"x 7"`},
		{"customer.id", `{join: [$.a, $.b], with: " "}`, `{"a":"x"}`, ``},
		{"customer.id", `{join: [$.a, {value: z}], with: "-", trim: true}`, `{"a":" x "}`, `"x-z"`},
		{"customer.id", "header h", `{}`, `"new"`},
		{"customer.id", "header other", `{}`, ``},
		{"customer.id", "header bad", `{}`, `a text that is not UTF-8`},
		{"customer.id", "record key", `{}`, `"k1"`},
		{"customer.created", "record timestamp", `{}`, `"2027-01-01T00:00:03Z"`},
		{"customer.id", "{from: $.a, required: true}", `{}`, `it is not there, and must be`},

		// What becomes of a text.
		{"customer.id", "{from: $.a, chars: 2-3}", `{"a":"äöüß"}`, `"öü"`},
		{"customer.id", "{from: $.a, chars: 3-9}", `{"a":"äöü"}`, `"ü"`},
		{"customer.id", "{from: $.a, chars: 4-9}", `{"a":"äöü"}`, ``},
		{"customer.id", "{from: $.a, trim: true, case: upper}", `{"a":"  x\ty "}`, `"X\tY"`},
		{"customer.id", "{from: $.a, trim: true}", `{"a":"  "}`, ``},
		{"customer.id", `{from: $.a, case: lower}`, `{"a":"QU\"O"}`, `"qu\"o"`},
		{"customer.type", `{from: $.a, table: {a: b, "1": one}, else: error}`, `{"a":1}`, `"one"`},
		{"customer.type", `{from: $.a, table: {a: b}, else: error}`, `{"a":"c"}`, "`c` is not in its table"},
		{"customer.id", `{from: $.a, table: {a: b}, else: error}`, `{"a":"Max"}`, `a text of 3 characters is not in its table`},
		{"customer.type", `{from: $.a, table: {a: b}, else: error}`, `{"a":"4111111111111111"}`, `a text of 16 characters is not in its table`},
		{"customer.type", `{from: $.a, table: {a: b}, else: absent}`, `{"a":"c"}`, ``},
		{"customer.type", `{from: $.a, table: {a: b}, else: same}`, `{"a":"c\u0022"}`, `"c\""`},
		{"customer.type", `{from: $.a, table: {a: b}, else: {value: d}}`, `{"a":"c"}`, `"d"`},
		{"customer.type", `{from: $.a, table: {a: b}, else: skip}`, `{"a":"c"}`, `not an event of ours`},

		// Types.
		{"payment.attempt", "$.a", `{"a":"12.50"}`, `12.50`},
		{"payment.attempt", "$.a", `{"a":1e2}`, `1e2`},
		{"payment.attempt", "$.a", `{"a":"x"}`, `a text where a number is expected`},
		{"payment.mit", "$.a", `{"a":"true"}`, `true`},
		{"payment.mit", `{from: $.a, table: {MIT: true}, else: {value: false}}`, `{"a":"MIT"}`, `true`},
		{"payment.mit", "$.a", `{"a":1}`, `a number where true or false is expected`},
		{"custom.x", "$.a", `{"a":12.50}`, `12.50`},
		{"custom.x", "$.a", `{"a":"12"}`, `"12"`},
		{"custom.x", "$.a", `{"a":false}`, `false`},
		{"custom.x", "{from: $.a, as: number}", `{"a":"12"}`, `12`},
		{"custom.x", "{from: $.a, as: number}", `{"a":"012"}`, "a text of 3 characters where a number is expected"},
		{"custom.x", "{from: $.a, as: text}", `{"a":12.0}`, `"12.0"`},
		{"custom.x", "{from: $.a, as: bool}", `{"a":"false"}`, `false`},
		{"custom.x", "{from: $.a, as: bool}", `{"a":"no"}`, "where true or false is expected"},
		{"custom.x", "{value: 5}", `{}`, `5`},
		{"custom.x", `{value: "5"}`, `{}`, `"5"`},

		// Money.
		{"amount.value", "{from: $.a, minor: true}", `{"a":1230,"cur":"USD"}`, `"12.30"`},
		{"amount.value", "{from: $.a, minor: true}", `{"a":"-5","cur":"USD"}`, `"-0.05"`},
		{"amount.value", "{from: $.a, minor: true}", `{"a":0,"cur":"USD"}`, `"0.00"`},
		{"amount.value", "{from: $.a, minor: true}", `{"a":1230,"cur":"JPY"}`, `"1230"`},
		{"amount.value", "{from: $.a, minor: true}", `{"a":7,"cur":"KWD"}`, `"0.007"`},
		{"amount.value", "{from: $.a, minor: {ISK: 2}}", `{"a":1200,"cur":"ISK"}`, `"12.00"`},
		{"amount.value", "{from: $.a, minor: true}", `{"a":"000000001230","cur":"EUR"}`, `"12.30"`},
		{"amount.value", "{from: $.a, minor: true}", `{"a":999999999999999,"cur":"EUR"}`, `"9999999999999.99"`},
		{"amount.value", "{from: $.a, minor: true}", `{"a":1000000000000000,"cur":"EUR"}`, `an amount of more than 15 digits`},
		{"amount.value", "{from: $.a, minor: true}", `{"a":12.5,"cur":"EUR"}`, `not a whole number of minor units`},
		{"amount.value", "{from: $.a, minor: true}", `{"a":1e3,"cur":"EUR"}`, `not a whole number of minor units`},
		{"amount.value", "{from: $.a, minor: true}", `{"a":1}`, `minor units of no currency: amount.currency is absent`},
		{"amount.value", "{from: $.a, minor: true}", `{"a":1,"cur":"eur"}`, "minor units of `eur`, which is not an ISO 4217 currency in capitals"},
		{"amount.value", "$.a", `{"a":12.30,"cur":"EUR"}`, `"12.30"`},
		{"custom.cur", "{from: $.a, as: currency}", `{"a":"978"}`, `"EUR"`},
		{"custom.cur", "{from: $.a, as: currency}", `{"a":"usd"}`, `"USD"`},
		{"custom.cur", "{from: $.a, as: currency}", `{"a":"000"}`, "is not an ISO 4217 currency"},

		// Times.
		{"customer.created", "$.a", `{"a":"2026-11-02T08:00:00.1234+05:30"}`, `"2026-11-02T02:30:00.123Z"`},
		{"customer.created", "$.a", `{"a":"2026-11-02 08:00:00Z"}`, `"2026-11-02T08:00:00Z"`},
		{"customer.created", "$.a", `{"a":"2026-11-02T08:00:00"}`, `a time without an offset: declare its zone`},
		{"customer.created", "{from: $.a, zone: Europe/Berlin}", `{"a":"2026-07-02T08:00:00"}`, `"2026-07-02T06:00:00Z"`},
		{"customer.created", "{from: $.a, zone: Europe/Berlin}", `{"a":"2026-07-02T08:00:00Z"}`, `"2026-07-02T08:00:00Z"`},
		{"customer.created", "$.a", `{"a":"2026-02-29T08:00:00Z"}`, `no such day`},
		{"customer.created", "$.a", `{"a":"2026-13-02T08:00:00Z"}`, `no such time`},
		{"customer.created", "$.a", `{"a":"yesterday"}`, `not a time as rfc3339 writes it`},
		{"customer.created", "$.a", `{"a":"2026-11-02T08:00:00Zx"}`, `not a time as rfc3339 writes it`},
		{"customer.created", "{from: $.a, time: unix}", `{"a":1793606400}`, `"2026-11-02T08:00:00Z"`},
		{"customer.created", "{from: $.a, time: unix}", `{"a":"1793606400.25"}`, `"2026-11-02T08:00:00.25Z"`},
		{"customer.created", "{from: $.a, time: unix}", `{"a":1793606400000}`, `are these milliseconds?`},
		{"customer.created", "{from: $.a, time: unix_ms}", `{"a":1793606400001}`, `"2026-11-02T08:00:00.001Z"`},
		{"customer.created", "{from: $.a, time: unix_us}", `{"a":1793606400001999}`, `"2026-11-02T08:00:00.001Z"`},
		{"customer.created", "{from: $.a, time: unix_ms}", `{"a":0}`, `no time: it is 0`},
		{"customer.created", "{from: $.a, time: unix}", `{"a":"1e9"}`, `not a time as unix writes it`},
		{"customer.birth_date", "{from: $.a, time: date}", `{"a":"1980-02-29"}`, `"1980-02-29T00:00:00Z"`},
		{"customer.created", `{from: $.a, time: "%d.%m.%y %H:%M", zone: America/New_York}`, `{"a":"02.11.26 08:05"}`, `"2026-11-02T13:05:00Z"`},
		{"customer.created", `{from: $.a, time: "%Y%m%d%H%M%S%f%z"}`, `{"a":"20261102080000123-0100"}`, `"2026-11-02T09:00:00.123Z"`},
		{"customer.created", `{from: $.a, time: "%m%d%H%M%S", zone: UTC}`, `{"a":"1231235959"}`, `"2026-12-31T23:59:59Z"`},
		{"customer.created", `{from: $.a, time: "%m%d%H%M%S", zone: UTC}`, `{"a":"0101000001"}`, `"2027-01-01T00:00:01Z"`},
		{"customer.created", `{from: $.a, time: "%m%d", zone: UTC}`, `{"a":"0229"}`, `"2028-02-29T00:00:00Z"`},
		{"customer.created", `{join: [$.d, $.t], time: "%Y-%m-%d%H%M%S", zone: UTC}`, `{"d":"2026-11-02","t":"080000"}`, `"2026-11-02T08:00:00Z"`},

		// Records that are not JSON, or not strictly.
		{"customer.id", "$.a", `{"a":1,"b":{"c":1,"c":2}}`, `a key stands twice in one object at byte 18`},
		{"customer.id", "$.a", `{"a":1}{}`, `holds more than one JSON value`},
		{"customer.id", "$.a", `{"a":1`, `not valid JSON at byte 6`},
		{"customer.id", "$.a", `{"a":01}`, `not valid JSON at byte`},
		{"customer.id", "$.a", "{\"a\":\"\xff\"}", `not valid JSON at byte`},
		{"customer.id", "$.a", ``, `the record has no value`},
		{"customer.id", "$.a", `<a/>`, `not valid JSON at byte 0`},
		{"customer.id", "$.a", `[1]`, ``},
		{"customer.id", "$.a", strings.Repeat(" ", MaxRecord) + `{}`, `at most 1048576 are read`},
	} {
		m := one(t, c.field, c.spec)
		rec.Value = []byte(c.value)
		event, err := m.Translate([]byte("kept"), &rec)
		if !strings.HasPrefix(string(event), "kept") {
			t.Errorf("%s: dst was overwritten: %s", c.spec, event)
		}
		got := ""
		if err != nil {
			if got = err.Error(); string(event) != "kept" {
				t.Errorf("%s of %.60s: refused and %s", c.spec, c.value, event)
			}
		} else {
			var tree map[string]map[string]json.RawMessage
			if err := json.Unmarshal(event[len("kept"):], &tree); err != nil {
				t.Errorf("%s of %.60s: %s: %v", c.spec, c.value, event, err)
			}
			group, key, _ := strings.Cut(c.field, ".")
			got = string(tree[group][key])
		}
		if got != c.want && !(err != nil && c.want != "" && strings.Contains(got, c.want)) {
			t.Errorf("%s: %s of %.60s = %s, want %s", c.field, c.spec, c.value, got, c.want)
		}
	}
}

// A fault names the field and where it was read, never what was there.
func TestFaultsHideValues(t *testing.T) {
	for _, field := range []string{"customer.created", "payment.attempt", "card.country", "customer.birth_date"} {
		m := one(t, field, "{from: $.secret.at, chars: 1-40}")
		_, err := m.Translate(nil, &Record{Value: []byte(`{"secret":{"at":"4111 1111 1111 1111"}}`)})
		if err != nil && (strings.Contains(err.Error(), "1111") || !strings.Contains(err.Error(), field+" from $.secret.at")) {
			t.Error(err)
		}
	}
}

func TestCases(t *testing.T) {
	m, err := Compile("x.yaml", []byte(`
apiVersion: mapping/v1
root: $.body
otherwise: error
fields: {event.id: .id, event.time: {from: $.at, time: unix}, customer.id: header user}
cases:
  - {when: {$.live: false}, skip: not live}
  - when: {header kind: [in, out], .n: 5}
    fields: {event.type: {value: topup}}
  - when: {header kind: [in, out]}
    fields: {event.type: {value: transfer}}
`), JSON)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ kind, value, want string }{
		{"in", `{"at":1,"body":{"id":"a","n":"5"}}`, `{"event":{"id":"a","time":"1970-01-01T00:00:01Z","type":"topup"}}`},
		{"out", `{"at":1,"body":{"id":"a","n":6},"live":true}`, `{"event":{"id":"a","time":"1970-01-01T00:00:01Z","type":"transfer"}}`},
		{"in", `{"live":false}`, `mapping: not an event of ours: not live`},
		{"up", `{"at":1,"body":{"id":"a"}}`, `mapping: no case of the mapping takes the record`},
		{"in", `{"at":1,"body":{}}`, `mapping: event.id from .id: it is not there, and must be`},
	} {
		got, err := m.Translate(nil, &Record{Value: []byte(c.value), Headers: []Header{{"kind", []byte(c.kind)}}})
		if err != nil {
			got = []byte(err.Error())
		}
		if string(got) != c.want {
			t.Errorf("%s %s = %s, want %s", c.kind, c.value, got, c.want)
		}
		if errors.Is(err, ErrSkip) != strings.Contains(c.want, "not live") {
			t.Errorf("errors.Is(%v, ErrSkip) is wrong", err)
		}
	}
}

// The same record gives the same bytes from many goroutines at once.
func TestConcurrent(t *testing.T) {
	m := readyMapping(t, "adyen", JSON)
	paths, _ := filepath.Glob("testdata/ready/adyen-*.json")
	var wg sync.WaitGroup
	for _, path := range paths {
		value, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		want, wantErr := m.Translate(nil, &Record{Value: value})
		for range 4 {
			wg.Go(func() {
				for range 50 {
					got, err := m.Translate(nil, &Record{Value: value})
					if string(got) != string(want) || fmt.Sprint(err) != fmt.Sprint(wantErr) {
						t.Errorf("%s: %s, %v; want %s, %v", path, got, err, want, wantErr)
					}
				}
			})
		}
	}
	wg.Wait()
}

func TestExplain(t *testing.T) {
	value, err := os.ReadFile("testdata/ready/stripe-charge-failed.json")
	if err != nil {
		t.Fatal(err)
	}
	x := readyMapping(t, "stripe", JSON).Explain(&Record{Value: value})
	if !strings.HasSuffix(x.Case, "$.type is charge.succeeded or charge.failed") || x.Event == nil || x.Err != nil {
		t.Errorf("Explain = %+v", x)
	}
	want := map[string]Finding{
		"amount.value": {Field: "amount.value", From: ".amount", Value: `"4500"`},
		"payment.id":   {Field: "payment.id", From: ".payment_intent", Value: `"pi_3Qx9a0"`},
		"card.funding": {Field: "card.funding", From: ".payment_method_details.card.funding"},
	}
	for _, f := range x.Fields {
		if w, ok := want[f.Field]; ok && w != f {
			t.Errorf("Explain of %s = %+v, want %+v", f.Field, f, w)
		}
		delete(want, f.Field)
	}
	if len(want) > 0 {
		t.Errorf("Explain says nothing of %v", want)
	}

	// Every fault at once.
	m, err := Compile("x.yaml", []byte("apiVersion: mapping/v1\nfields: {event.id: $.id, event.type: $.type, event.time: $.at, payment.attempt: $.n}\n"), JSON)
	if err != nil {
		t.Fatal(err)
	}
	x = m.Explain(&Record{Value: []byte(`{"id":"a","at":"noon","n":"x"}`)})
	faults := 0
	for _, f := range x.Fields {
		if f.Fault != "" {
			faults++
		}
	}
	if faults != 3 || x.Event != nil || x.Err == nil {
		t.Errorf("Explain = %+v, want three faults", x)
	}
}

// FuzzTranslate: no record makes it panic, and what it gives is JSON.
func FuzzTranslate(f *testing.F) {
	paths, _ := filepath.Glob("testdata/ready/*.json")
	for i, path := range paths {
		value, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(uint8(i), value, "charge.succeeded")
	}
	f.Add(uint8(5), []byte(`{"specversion":"1.0","id":"a","source":"s","type":"t","data":{"event":{}}}`), "application/cloudevents+json")
	var all []*Mapping
	for _, name := range ReadyNames() {
		all = append(all, readyMapping(f, name, JSON), readyMapping(f, name, CloudEvents))
	}
	all = append(all, Plain(CloudEvents), one(f, "customer.id", `{join: [$.a, "$.b[?n=='x'].v", "$.b[1].v"], chars: 2-4, trim: true, case: upper}`))
	f.Fuzz(func(t *testing.T, which uint8, value []byte, header string) {
		r := &Record{Key: []byte(header), Value: value, Time: time.Unix(1793606400, 0), Headers: []Header{
			{"content-type", []byte(header)}, {"ce_id", []byte("1")}, {"ce_source", []byte("s")}, {"ce_type", []byte(header)}, {"ce_specversion", []byte("1.0")}}}
		m := all[int(which)%len(all)]
		got, err := m.Translate(nil, r)
		if err == nil && !json.Valid(got) {
			t.Errorf("Translate(%q) = %q", value, got)
		}
		if x := m.Explain(r); (x.Event == nil) != (err != nil) {
			t.Errorf("Explain(%q) gives %q, Translate %v", value, x.Event, err)
		}
	})
}
