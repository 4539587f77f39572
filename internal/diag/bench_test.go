package diag

import (
	"fmt"
	"strings"
	"testing"
)

func BenchmarkDecode(b *testing.B) {
	var src strings.Builder
	src.WriteString("apiVersion: rules/v1\nrules:\n")
	for i := range 1000 {
		fmt.Fprintf(&src, "  - id: rule_%d\n    title: Many tiny charges on one card\n    when: card_attempts_10m >= %d and\n      amount.base < 5\n    points: %d\n    live: true\n    params: {max: {value: %d}}\n", i, i, i, i)
	}
	text := []byte(src.String())
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		var f rulesFile
		if l := Decode("rules.yaml", text, &f); l.Err() != nil || len(f.Rules) != 1000 {
			b.Fatal(l)
		}
	}
}
