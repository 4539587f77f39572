package diag

import (
	"os"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// whole is any value.
type whole struct{}

func (whole) DecodeNode(*Decoder, *yaml.Node) {}

// A file with one character taken out or put in is read to a mistake on the line
// that was changed or after it, never to a panic, and good files are not guessed at.
func TestSyntaxOfSpoiledFiles(t *testing.T) {
	src, err := os.ReadFile("../../rulesets/payments/features.yaml")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(src), "\n")
	lines = append(lines[:8], lines[18:26]...)
	src = []byte(strings.Join(lines, "\n"))
	var out struct {
		APIVersion Text            `yaml:"apiVersion"`
		Limits     Map[Text]       `yaml:"limits"`
		Entities   Map[Map[whole]] `yaml:"entities"`
		Features   Map[Map[whole]] `yaml:"features"`
	}
	if list := Decode("f", src, &out); len(list) > 0 {
		t.Fatal(list)
	}
	refused := 0
	for at, line := 0, 1; at < len(src); at++ {
		if src[at] == '\n' {
			line++
		}
		for _, spoiled := range []string{
			string(src[:at]) + string(src[at+1:]), string(src[:at]) + "[" + string(src[at:]), string(src[:at]) + "\"" + string(src[at:]), string(src[:at]) + "\t" + string(src[at:]),
		} {
			for _, d := range Decode("f", []byte(spoiled), &out) {
				if d.Code != notYAML {
					continue
				}
				refused++
				if d.Span.Line < line-2 && !strings.HasPrefix(d.Message, "not valid YAML") {
					t.Fatalf("spoiled on line %d: %s\n%s", line, d, spoiled)
				}
			}
		}
	}
	if refused < 1000 {
		t.Errorf("%d spoiled files were refused", refused)
	}
}
