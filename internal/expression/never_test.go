package expression

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-risk/sluice/internal/diag"
)

// docs/rules.md lists the same values as fieldValues.
func TestValuesAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/rules.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(page), "\n### Usual values\n")
	section, _, _ = strings.Cut(section, "\n### ")
	if !ok {
		t.Fatal("docs/rules.md has no section Usual values")
	}
	quoted := regexp.MustCompile("`([^`]+)`")
	texts := func(cell string) (all []string) {
		for _, m := range quoted.FindAllStringSubmatch(cell, -1) {
			all = append(all, strings.Fields(m[1])...)
		}
		return all
	}
	documented := map[string]values{}
	for row := range strings.Lines(section) {
		if cells := strings.Split(row, "|"); len(cells) == 5 && strings.Contains(cells[1], "`") {
			for _, field := range texts(cells[1]) {
				documented[field] = values{strings.TrimSpace(cells[3]) == "no", texts(cells[2])}
			}
		}
	}
	for field := range maps.Keys(fieldValues) {
		d, of := documented[field], fieldValues[field]
		if d.closed != of.closed || !slices.Equal(d.texts, of.texts) {
			t.Errorf("%s is documented as %+v, is %+v", field, d, of)
		}
		if e := NewEnv("USD", nil); e.name(field) == nil {
			t.Errorf("there is no field %s", field)
		}
		delete(documented, field)
	}
	for field := range documented {
		t.Errorf("%s is documented only", field)
	}
}

func TestOwnEventTypesAreKnown(t *testing.T) {
	e := NewEnv("USD", nil)
	e.Known("payment.authorisation")
	for _, src := range []string{`event.type == "payment.authorisation"`, `event.type in ["transfers"]`, `event.type == "order.placed"`} {
		if _, list := e.With().Compile(diag.Inline("test", src), Bool, CompileOptions{}); list.Err() != nil {
			t.Fatal(list)
		}
	}
	if d := e.Doubts(); len(d) != 1 || !strings.Contains(d[0].Message, `"transfers"`) {
		t.Errorf("doubtful are %v, want transfers alone", d)
	}
}
