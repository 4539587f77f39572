package mapping

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// The mappings of docs/sources.md compile, and every ready-made one is named there.
func TestDocumentedMappings(t *testing.T) {
	page, err := os.ReadFile("../../docs/sources.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```yaml\n# (\\S+)\n(.*?)```").FindAllSubmatch(page, -1)
	for _, b := range blocks {
		name, text := string(b[1]), b[2]
		if name != "sluice.yaml" {
			if _, err := Compile(name, text, JSON); err != nil {
				t.Error(err)
			}
			continue
		}
		var c struct {
			Sources []struct {
				Topic string
				Map   yaml.Node
			}
		}
		if err := yaml.Unmarshal(text, &c); err != nil {
			t.Fatal(err)
		}
		for _, s := range c.Sources {
			if s.Map.Kind == yaml.MappingNode {
				if _, err := CompileNode(name, text, &s.Map, JSON); err != nil {
					t.Errorf("%s: %v", s.Topic, err)
				}
			}
		}
	}
	if len(blocks) < 2 {
		t.Errorf("docs/sources.md has %d mappings", len(blocks))
	}
	for _, name := range ReadyNames() {
		if !strings.Contains(string(page), "| `"+name+"` |") {
			t.Errorf("docs/sources.md lacks %s", name)
		}
	}
}
