package mapping

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// BenchmarkTranslate compares with what encoding/json needs for decoding the
// same record into a tree.
func BenchmarkTranslate(b *testing.B) {
	for _, sample := range []string{"stripe-charge-succeeded", "adyen-authorised", "pacs008-transfer", "iso8583-request"} {
		value, err := os.ReadFile("testdata/ready/" + sample + ".json")
		if err != nil {
			b.Fatal(err)
		}
		var tree any
		if err := json.Unmarshal(value, &tree); err != nil {
			b.Fatal(err)
		}
		if value, err = json.Marshal(tree); err != nil { // as it comes: without spaces
			b.Fatal(err)
		}
		name, _, _ := strings.Cut(sample, "-")
		m := readyMapping(b, name, JSON)
		r := &Record{Value: value, Time: recordTime}
		b.Run("mapping="+sample, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(value)))
			var dst []byte
			for b.Loop() {
				if dst, err = m.Translate(dst[:0], r); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("encoding/json="+sample, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(value)))
			for b.Loop() {
				var v any
				if err := json.Unmarshal(value, &v); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
