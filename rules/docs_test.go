package rules

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-risk/sluice/features"
	"github.com/sluice-risk/sluice/internal/diag"
	"github.com/sluice-risk/sluice/internal/expression"
	"github.com/sluice-risk/sluice/internal/lists"
)

const docsFile = "../docs/rules.md"

var (
	fenced   = regexp.MustCompile("(?s)```yaml\n(.*?)```")
	fileName = regexp.MustCompile(`^# (\S+)\n`)
)

// The blocks of the documentation, each headed by its file name, load together.
func TestDocs(t *testing.T) {
	text, err := os.ReadFile(docsFile)
	if err != nil {
		t.Fatal(err)
	}
	files := diag.Files{"lists/embargoed.csv": []byte("value,note\nKP,\nNO,the code survives\n")}
	for _, block := range fenced.FindAllSubmatch(text, -1) {
		name := fileName.FindSubmatch(block[1])
		if name == nil {
			t.Fatalf("%s has a block that names no file:\n%s", docsFile, block[1])
		}
		if files[string(name[1])] != nil {
			t.Fatalf("%s has two blocks of %s", docsFile, name[1])
		}
		files[string(name[1])] = block[1]
	}
	set := mustLoad(t, files)
	if len(set.Scenarios()) != 2 || len(set.Rules()) != 8 || len(set.Lists) != 2 {
		t.Errorf("%s has %d scenarios, %d rules, %d lists, want 2, 8, 2", docsFile, len(set.Scenarios()), len(set.Rules()), len(set.Lists))
	}
}

// Every operator's example compiles as a condition.
func TestDocsOperators(t *testing.T) {
	text, err := os.ReadFile(docsFile)
	if err != nil {
		t.Fatal(err)
	}
	_, table, ok := strings.Cut(string(text), "| operator | example | |\n|---|---|---|\n")
	table, _, end := strings.Cut(table, "\n\n")
	if !ok || !end {
		t.Fatal("no table of operators")
	}
	files := base(t)
	files["lists/embargoed.yaml"] = []byte("apiVersion: lists/v1\nlist: embargoed\ntype: country\nitems: [{value: KP}]\n")
	rules := "apiVersion: rules/v1\nscenario: card_payment\nrules:\n"
	for i, row := range strings.Split(table, "\n") {
		example := strings.Split(strings.Split(row, " | ")[1], "`")[1]
		rules += fmt.Sprintf("  - {id: doc%d, stage: review, reason: R101, when: %q}\n", i, strings.ReplaceAll(example, "cash_24h", "card_attempts_10m"))
	}
	files["rules/doc.yaml"] = []byte(rules)
	mustLoad(t, files)
}

// The documentation ends with the table of the codes, as the packages have it.
func TestDocsCodes(t *testing.T) {
	var want strings.Builder
	all := slices.Concat(expression.Codes, diag.Codes, features.Codes, Codes, lists.Codes)
	for i, c := range all {
		if i > 0 && all[i-1].ID >= c.ID {
			t.Errorf("code %s comes after %s", c.ID, all[i-1].ID)
		}
		fmt.Fprintf(&want, "| %s | %s |\n", c.ID, strings.ReplaceAll(c.Explain, "|", `\|`))
	}
	text, err := os.ReadFile(docsFile)
	if err != nil {
		t.Fatal(err)
	}
	const head = "| code | what |\n|---|---|\n"
	before, got, ok := strings.Cut(string(text), head)
	if *update {
		if err := os.WriteFile(docsFile, []byte(before+head+want.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if !ok || got != want.String() {
		t.Errorf("the codes at the end of %s are\n%s, want\n%s", docsFile, got, want.String())
	}
}

func FuzzLoad(f *testing.F) {
	for _, src := range base(f) {
		f.Add(string(src), string(src))
	}
	f.Fuzz(func(t *testing.T, head, rules string) {
		files := base(t)
		files["ruleset.yaml"] = []byte(head)
		files["rules/card.yaml"] = []byte(rules)
		if set, diags := Load(files); (set == nil) != (len(diags) > 0) {
			t.Errorf("Load gives %v and %d mistakes", set, len(diags))
		}
		files = base(t)
		files["rules/card.yaml"], files["reasons.yaml"] = []byte(rules), []byte(head)
		Load(files)
	})
}
