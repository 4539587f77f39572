package risk

import "testing"

func BenchmarkDecode(b *testing.B) {
	src, d := sample(b), Decoder{Secrets: testSecrets}
	var rec Record
	b.SetBytes(int64(len(src)))
	b.ReportAllocs()
	for b.Loop() {
		if err := d.Decode(src, &rec); err != nil {
			b.Fatal(err)
		}
	}
	if len(rec.Warnings) > 0 {
		b.Fatal(rec.Warnings)
	}
}
