package config

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
)

// The table of docs/configuration.md is made from the keys; -update rewrites it.
func TestDocumentedTable(t *testing.T) {
	const page = "../../docs/configuration.md"
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	var want strings.Builder
	want.WriteString("| key | default | values | what |\n|---|---|---|---|\n")
	for i, k := range Keys() {
		tag := settings[i].tag
		values := strings.ReplaceAll(tag.Get("oneof"), ",", ", ")
		if low, high := tag.Get("min"), tag.Get("max"); low != "" && high != "" {
			values = low + " to " + high
		} else if low != "" {
			values = "from " + low
		} else if high != "" {
			values = "to " + high
		}
		value := ""
		if k.Default != "" {
			value = "`" + k.Default + "`"
		}
		fmt.Fprintf(&want, "| `%s` | %s | %s | %s |\n", k.Name, value, values, k.Help)
	}
	table := regexp.MustCompile(`(?m)^\| key \| default .*\n(\|.*\n)+`)
	if got := table.FindString(string(text)); got != want.String() {
		if *update {
			if err := os.WriteFile(page, table.ReplaceAllLiteral(text, []byte(want.String())), 0o644); err != nil {
				t.Fatal(err)
			}
			return
		}
		t.Errorf("%s has another table; go test ./internal/config -run TestDocumentedTable -update rewrites it:\n%s", page, got)
	}
}
