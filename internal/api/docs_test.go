package api

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/sluice-risk/sluice/risk"
)

// Every example of docs/api.md is what the OpenAPI document describes, and its
// tables name every problem and scope.
func TestDocs(t *testing.T) {
	b, err := os.ReadFile("../../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(b)
	d := newClient(t, newFake(), Options{}).document
	strict := &risk.Decoder{Secrets: testDecoder.Secrets, Strict: true}
	checked := map[string]int{}
	for _, block := range regexp.MustCompile("(?s)```(\\w+)(?: (\\w+))?\n(.*?)```").FindAllStringSubmatch(page, -1) {
		language, name, text := block[1], block[2], block[3]
		if language == "sh" {
			quoted := strings.Split(text, "'")
			name, text = "Event", quoted[len(quoted)-2]
		}
		checked[name]++
		var v any
		decode(t, []byte(text), &v)
		schema := map[string]any{"$ref": "#/components/schemas/" + name}
		if name == "supersedes" {
			schema["$ref"] = "#/components/schemas/Decision/properties/supersedes"
			v = v.(map[string]any)["supersedes"]
		}
		for _, fault := range d.validate(schema, v, "") {
			t.Errorf("example %s: %s", name, fault)
		}
		if name == "Event" {
			var rec risk.Record
			if err := strict.Decode([]byte(text), &rec); err != nil {
				t.Errorf("example %s: %v", text, err)
			}
		}
	}
	for name, n := range map[string]int{"Event": 2, "Decision": 2, "supersedes": 1, "Accepted": 1, "Outcome": 1, "Problem": 1, "Readiness": 1, "Replay": 1, "Replayed": 1} {
		if checked[name] != n {
			t.Errorf("%d examples of %s, want %d", checked[name], name, n)
		}
	}
	for _, k := range kinds {
		row := regexp.MustCompile(fmt.Sprintf("(?m)^\\| %d \\| .*`%s`", k.status, k.name))
		if !row.MatchString(page) {
			t.Errorf("no row for %d %s", k.status, k.name)
		}
	}
	for _, text := range []string{"64 KiB", "32 levels", "1,024 members", fmt.Sprint(maxDeadline), ordinary.header.String(), ordinary.request.String()} {
		if !strings.Contains(strings.ReplaceAll(page, " s", "s"), strings.ReplaceAll(text, " s", "s")) {
			t.Errorf("the page does not say %s", text)
		}
	}
}
