package mapping

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/sluice-risk/sluice/internal/diag"
	"github.com/sluice-risk/sluice/risk"
)

// Each bad mapping has all its mistakes beside it, where they stand.
func TestMistakes(t *testing.T) {
	paths, _ := filepath.Glob("testdata/bad/*.yaml")
	codes := map[string]bool{}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		_, err = Compile(path, text, JSON)
		list, ok := errors.AsType[diag.List](err)
		if !ok {
			t.Errorf("Compile(%s) = %v, want mistakes", path, err)
			continue
		}
		var b bytes.Buffer
		diag.Render(&b, list, diag.Files{path: text})
		golden(t, strings.TrimSuffix(path, ".yaml")+".txt", b.Bytes())
		for _, d := range list {
			codes[d.Code] = true
		}
	}
	for _, c := range Codes {
		if !codes[c.ID] {
			t.Errorf("no bad mapping shows %s", c.ID)
		}
	}
}

// A mapping inside another file has its mistakes where they stand there.
func TestCompileNode(t *testing.T) {
	text := []byte("sources:\n  - topic: a\n    map:\n      fields: {event.id: $.id, event.type: $.t, event.tme: $.at}\n")
	var tree struct {
		Sources []struct{ Map yaml.Node }
	}
	if err := yaml.Unmarshal(text, &tree); err != nil {
		t.Fatal(err)
	}
	_, err := CompileNode("sluice.yaml", text, &tree.Sources[0].Map, JSON)
	list, _ := errors.AsType[diag.List](err)
	i := slices.IndexFunc(list, func(d diag.Diagnostic) bool { return d.Code == unknownTarget })
	if i < 0 || list[i].Span.String() != "sluice.yaml:4:49" || list[i].Help != "did you mean `event.time`?" {
		t.Errorf("CompileNode = %v", err)
	}
}

// Every field of an event can be filled, and is known to the decoder.
func TestTargetsAreFields(t *testing.T) {
	for name, x := range targets {
		text := "apiVersion: mapping/v1\nfields:\n"
		with := map[string]string{"event.id": "{value: e1}", "event.type": "{value: transfer}", "event.time": "{value: '2026-11-02T08:00:00Z'}",
			"amount.value": "{value: '1.00'}", "amount.currency": "{value: EUR}"}
		value := "{value: abc}"
		switch {
		case x.kind == risk.Country:
			value = "{value: DE}"
		case x.kind == risk.Decimal:
			value = "{value: 5}"
		case x.kind == risk.Bool:
			value = "{value: true}"
		case x.kind == risk.Instant:
			value = "{value: '2026-11-02T08:00:00Z'}"
		}
		switch name {
		case "card.bin":
			value = "{value: '411111'}"
		case "card.last4", "merchant.mcc":
			value = "{value: '1111'}"
		case "card.number":
			value = "{value: '4111111111111111'}"
		case "device.ip":
			value = "{value: 81.2.69.160}"
		case "label.kind":
			value = "{value: fraud}"
		case "settlement.amount":
			value, with["settlement.currency"] = "{value: '1.00'}", "{value: EUR}"
		case "settlement.currency":
			value, with["settlement.amount"] = "{value: EUR}", "{value: '1.00'}"
		}
		if with[name] == "" {
			with[name] = value
		}
		for field, value := range with {
			text += "  " + field + ": " + value + "\n"
		}
		m, err := Compile("x.yaml", []byte(text), JSON)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		event, err := m.Translate(nil, &Record{Value: []byte("{}")})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		d := &risk.Decoder{Secrets: risk.NewSecrets([32]byte{1}), Strict: true, PAN: risk.PANToken}
		if err := d.Decode(event, new(risk.Record)); err != nil {
			t.Errorf("%s: %v\n%s", name, err, event)
		}
	}
}

// The currencies by number are those that amounts can have.
func TestCurrencies(t *testing.T) {
	seen := map[string]string{}
	for digits, letters := range currencies {
		if risk.Exponent(letters) < 0 {
			t.Errorf("%s: %s is no currency of package risk", digits, letters)
		}
		if seen[letters] != "" {
			t.Errorf("%s is both %s and %s", letters, digits, seen[letters])
		}
		seen[letters] = digits
	}
	for a := 'A'; a <= 'Z'; a++ {
		for b := 'A'; b <= 'Z'; b++ {
			for c := 'A'; c <= 'Z'; c++ {
				if code := string([]rune{a, b, c}); risk.Exponent(code) >= 0 && seen[code] == "" {
					t.Errorf("%s has no number", code)
				}
			}
		}
	}
}
