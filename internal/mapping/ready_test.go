package mapping

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-risk/sluice/risk"
)

var update = flag.Bool("update", false, "rewrite golden files")

// recordTime is shortly after a year began: what has no year is told from it.
var recordTime = time.Date(2027, 1, 1, 0, 0, 3, 0, time.UTC)

func readyMapping(t testing.TB, name string, format Format) *Mapping {
	t.Helper()
	file, text, ok := Ready(name)
	if !ok {
		t.Fatalf("no ready-made mapping %s", name)
	}
	m, err := Compile(file, text, format)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// golden compares with a file, or writes it under -update.
func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s: got\n%s\nwant\n%s", path, got, want)
	}
}

// decoded reads an event as intake does, and wants no warning.
func decoded(t *testing.T, name string, event []byte) *risk.Record {
	t.Helper()
	d := &risk.Decoder{Secrets: risk.NewSecrets([32]byte{1}), Strict: true}
	var rec risk.Record
	if err := d.Decode(event, &rec); err != nil {
		t.Errorf("%s: %v\n%s", name, err, event)
	}
	return &rec
}

// Every sample becomes the event beside it, which decodes without a warning, or
// is left out or refused with the reason beside it.
func TestReady(t *testing.T) {
	seen := map[string]int{}
	paths, _ := filepath.Glob("testdata/ready/*.json")
	for _, path := range paths {
		sample := strings.TrimSuffix(filepath.Base(path), ".json")
		name, _, _ := strings.Cut(sample, "-")
		seen[name]++
		value, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		m := readyMapping(t, name, JSON)
		got, err := m.Translate(nil, &Record{Value: value, Time: recordTime})
		if err != nil {
			got = []byte(err.Error())
		} else {
			decoded(t, sample, got)
		}
		golden(t, filepath.Join("testdata/ready", sample+".txt"), append(got, '\n'))
	}
	for _, name := range ReadyNames() {
		if seen[name] < 4 {
			t.Errorf("%d samples of %s", seen[name], name)
		}
	}
}

// What follows a payment names the event that was decided.
func TestReadyLabelsFindTheirEvent(t *testing.T) {
	id := func(sample string) *risk.Event {
		t.Helper()
		value, err := os.ReadFile("testdata/ready/" + sample + ".json")
		if err != nil {
			t.Fatal(err)
		}
		name, _, _ := strings.Cut(sample, "-")
		event, err := readyMapping(t, name, JSON).Translate(nil, &Record{Value: value, Time: recordTime})
		if err != nil {
			t.Fatal(err)
		}
		return &decoded(t, sample, event).Event
	}
	for _, pair := range [][2]string{
		{"stripe-charge-succeeded", "stripe-dispute"}, {"stripe-charge-succeeded", "stripe-warning"}, {"stripe-charge-failed", "stripe-intent-failed"},
		{"paypal-capture", "paypal-chargeback"}, {"adyen-authorised", "adyen-chargeback"}, {"adyen-authorised", "adyen-fraud"},
		{"iso8583-request", "iso8583-approved"},
	} {
		if got, want := id(pair[1]).Label.Event, id(pair[0]).ID; got != want {
			t.Errorf("%s names %q, want the id of %s, %q", pair[1], got, pair[0], want)
		}
	}
}
