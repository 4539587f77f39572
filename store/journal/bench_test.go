package journal

import (
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
)

// payment is a record of about 1.3 KB as the engine writes them: an event with the
// facts looked up for it.
func payment(i int) []byte {
	rng := rand.New(rand.NewPCG(uint64(i), 1))
	hex := func(n int) string {
		b := make([]byte, n)
		for i := range b {
			b[i] = "0123456789abcdef"[rng.IntN(16)]
		}
		return string(b)
	}
	pick := func(s ...string) string { return s[rng.IntN(len(s))] }
	return fmt.Appendf(nil, `{"id":"evt-%s","type":"payment","channel":"%s","at":"2026-03-%02dT%02d:%02d:%02d.%03dZ","amount":{"minor":%d,"currency":"%s"},`+
		`"sender":{"account":"DE%018d","name":"%s %s","country":"%s","kyc_level":%d,"opened":"20%02d-0%d-11"},`+
		`"receiver":{"account":"FR%018d","name":"%s %s","country":"%s"},"card":{"token":"%s","bin":"%06d","last4":"%04d","scheme":"%s"},`+
		`"merchant":{"id":"m-%06d","name":"%s","mcc":"%04d","country":"%s"},"device":{"id":"%s","agent":"Mozilla/5.0 (%s) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/%d.%d Safari/605.1.15","language":"%s"},`+
		`"ip":"%d.%d.%d.%d","facts":{"geo":{"country":"%s","city":"%s","lat":%.4f,"lon":%.4f,"accuracy_km":%d,"table":"city-2026-03-02"},"network":{"asn":%d,"org":"%s","hosting":false,"proxy":false},"bin":{"issuer":"%s","country":"%s","kind":"debit","table":"bin-17"},"fx":{"eur_minor":%d,"table":"fx-2026-03-04"},"device":{"first_seen":"2026-01-%02dT00:00:00Z","accounts":%d}},"arrival":%d}`,
		hex(24), pick("ecom", "card_present", "transfer", "wallet"), 1+rng.IntN(28), rng.IntN(24), rng.IntN(60), rng.IntN(60), rng.IntN(1000), rng.IntN(1e6), pick("EUR", "USD", "GBP"),
		rng.Int64N(1e17), pick("Anna", "Jonas", "Maria", "Luca"), pick("Schmidt", "Rossi", "Dupont", "Novak"), pick("DE", "FR", "IT"), rng.IntN(4), 10+rng.IntN(15), 1+rng.IntN(9),
		rng.Int64N(1e17), pick("Eva", "Paul", "Nina"), pick("Meier", "Blanc", "Costa"), pick("DE", "FR", "ES"), hex(32), rng.IntN(1e6), rng.IntN(1e4), pick("visa", "mastercard"),
		rng.IntN(1e6), pick("Coffee Corner", "Books Online", "Fuel Stop 24"), rng.IntN(1e4), pick("DE", "FR", "NL"), hex(32), pick("Macintosh; Intel Mac OS X 10_15_7", "iPhone; CPU iPhone OS 17_3 like Mac OS X"), 15+rng.IntN(4), rng.IntN(6), pick("de", "fr", "en"),
		rng.IntN(223), rng.IntN(256), rng.IntN(256), rng.IntN(256), pick("DE", "FR", "NL"), pick("Berlin", "Lyon", "Utrecht"), rng.Float64()*90, rng.Float64()*90, rng.IntN(100), rng.IntN(65000), pick("Deutsche Telekom AG", "Orange S.A.", "KPN B.V."), pick("Sparkasse", "BNP Paribas", "ING"), pick("DE", "FR", "NL"), rng.IntN(1e6), 1+rng.IntN(28), rng.IntN(5), rng.Int64N(1e15))
}

func payments(n int) [][]byte {
	out := make([][]byte, n)
	for i := range out {
		out[i] = payment(i)
	}
	return out
}

// BenchmarkAppendSync is the time of one batch, fsync included.
func BenchmarkAppendSync(b *testing.B) {
	pool := payments(4096)
	for _, n := range []int{1, 16, 256} {
		b.Run(fmt.Sprintf("batch=%d", n), func(b *testing.B) {
			l, err := Open(b.TempDir(), Options{})
			if err != nil {
				b.Fatal(err)
			}
			defer l.Close()
			b.ReportAllocs()
			at := 0
			for b.Loop() {
				if at += n; at+n > len(pool) {
					at = 0
				}
				if _, err := l.Append(&Batch{Records: pool[at : at+n]}); err != nil {
					b.Fatal(err)
				}
				if err := l.Sync(); err != nil {
					b.Fatal(err)
				}
				if l.Bytes() > 512<<20 {
					l.Retain(l.End())
				}
			}
			b.ReportMetric(float64(b.N*n)/b.Elapsed().Seconds(), "records/s")
		})
	}
}

// BenchmarkEncode is the CPU of a record on its way into a frame, checksum included.
func BenchmarkEncode(b *testing.B) {
	pool := payments(4096)
	for _, n := range []int{1, 4, 16, 64, 256} {
		b.Run(fmt.Sprintf("batch=%d", n), func(b *testing.B) {
			enc, err := newEncoder()
			if err != nil {
				b.Fatal(err)
			}
			raw, stored, at := 0, 0, 0
			b.ReportAllocs()
			for b.Loop() {
				if at += n; at+n > len(pool) {
					at = 0
				}
				frame, h := enc.payload(pool[at : at+n])
				h.first = 1
				enc.frame = putFrame(frame, &h, 1)
				raw, stored = raw+int(h.raw), stored+int(h.size())
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/record")
			b.ReportMetric(float64(raw)/float64(stored), "raw/stored")
		})
	}
}

func BenchmarkRead(b *testing.B) {
	pool := payments(4096)
	for _, n := range []int{1, 16, 256} {
		b.Run(fmt.Sprintf("batch=%d", n), func(b *testing.B) {
			l, err := Open(b.TempDir(), Options{})
			if err != nil {
				b.Fatal(err)
			}
			defer l.Close()
			for at := 0; at < len(pool); at += n {
				if _, err := l.Append(&Batch{Records: pool[at : at+n]}); err != nil {
					b.Fatal(err)
				}
			}
			if err := l.Sync(); err != nil {
				b.Fatal(err)
			}
			bytes := 0
			b.ReportAllocs()
			for b.Loop() {
				r, err := l.Read(1)
				for bytes = 0; err == nil; {
					var batch Batch
					batch, err = r.Next()
					for _, rec := range batch.Records {
						bytes += len(rec)
					}
				}
				if err != io.EOF {
					b.Fatal(err)
				}
				r.Close()
			}
			b.SetBytes(int64(bytes))
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(pool)), "ns/record")
		})
	}
}
