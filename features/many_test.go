//go:build unix

package features_test

import (
	"bytes"
	"cmp"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/sluice-risk/sluice/features"
	"github.com/sluice-risk/sluice/risk"
	"github.com/sluice-risk/sluice/store"
)

// cardFeatures are the ten of the forty that an issuer has of a card, over at most
// 30 days.
func cardFeatures(tb testing.TB) string {
	text, err := os.ReadFile("../engine/testdata/forty/features.yaml")
	if err != nil {
		tb.Fatal(err)
	}
	var src strings.Builder
	src.WriteString("apiVersion: features/v1\nentities: {card: {key: card.token}}\nfeatures:\n")
	n := 0
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "  card_") {
			src.WriteString(line)
			n++
		}
	}
	if n != 10 {
		tb.Fatalf("%d features of a card, want 10", n)
	}
	return src.String()
}

// pay makes the next payment by a card.
func pay(rec *risk.Record, rng *rand.Rand, card int, at risk.Time) {
	*rec = risk.Record{Tenant: "default", Arrival: at}
	e := &rec.Event
	e.Type, e.Time = "payment.authorization", at
	e.Amount = risk.Money{Minor: 100 + rng.Int64N(100_000), Currency: "USD"}
	rec.Facts.Base = e.Amount
	e.Payment.AVSResult = [...]string{"Y", "Y", "Y", "U", "N"}[rng.IntN(5)]
	e.Card.Token = fmt.Sprint("card_", card)
	e.Merchant.ID = fmt.Sprint("m_", rng.IntN(10_000))
	rec.IDs = bankSecrets.IDs(e)
}

const monthMs = 30 * 86_400_000

// BenchmarkManyCards has SLUICE_TEST_CARDS cards in a store, with 20 events each
// within 30 days, and no more memory for them than 2 GiB for 5 million. It reports
// what a card takes, stored and in memory, what an event of a card that is drawn
// from all of them costs, and how the heap that is alive for them compares with the budget.
func BenchmarkManyCards(b *testing.B) {
	cards, err := strconv.Atoi(cmp.Or(os.Getenv("SLUICE_TEST_CARDS"), "20000"))
	if err != nil {
		b.Fatal(err)
	}
	budget := int64(cards) * (2 << 30) / 5_000_000
	models := min(cards, 20_000)
	rng := rand.New(rand.NewPCG(5, 5))
	bank := newBank(b, cardFeatures(b), 0)
	recs := make([]risk.Record, 500)
	start := risk.Time(1_700_000_000_000)
	at := start
	for i := 0; i < 20*models; i += len(recs) {
		for k := range recs {
			at = start + risk.Time(float64(i+k)/float64(20*models)*monthMs)
			pay(&recs[k], rng, rng.IntN(models), at)
		}
		bank.batch(recs)
	}
	bank.checkpoint()
	bank.batch(nil)
	f := bank.state.Figures()
	b.ReportMetric(float64(f.Bytes)/float64(f.Hot), "grown-B/card")

	rows := bank.copies(cards)
	b.ReportMetric(float64(rows)/float64(cards), "stored-B/card")
	bank.reopen(budget)

	step := risk.Time(monthMs / 20 / cards)
	round := func(zipf *rand.Zipf) {
		for k := range recs {
			if at += step; step == 0 && k == 0 {
				at++
			}
			card := rng.IntN(cards)
			if zipf != nil {
				card = int(zipf.Uint64())
			}
			pay(&recs[k], rng, card, at)
		}
		bank.batch(recs)
	}
	n := 0
	for ; bank.state.Figures().Bytes < budget*99/100; n += len(recs) {
		round(nil)
	}
	b.Logf("%d events until %d MB are full", n, budget>>20)
	measure := func(name string, zipf *rand.Zipf) {
		was, n := bank.state.Figures(), 0
		var spent int64
		for ; n < min(cards, 200_000); n += len(recs) {
			from := used()
			round(zipf)
			spent += used() - from
		}
		f := bank.state.Figures()
		hits, cold := f.Hits-was.Hits, f.Prefetched+f.Read-was.Prefetched-was.Read
		b.ReportMetric(float64(spent)/float64(n)/1000, name+"-cpu-us/event")
		b.ReportMetric(float64(hits)/float64(hits+cold), name+"-hit-rate")
	}
	measure("uniform", nil)
	measure("zipf", rand.NewZipf(rng, 1.1, 50, uint64(cards-1)))
	f = bank.state.Figures()
	b.ReportMetric(float64(f.Stored), "cards")
	b.ReportMetric(float64(f.Bytes)/float64(f.Hot), "hot-B/card")
	b.ReportMetric(float64(f.Bytes)/float64(budget), "counted/budget")
	all := heap()
	bank.state, bank.prepared = nil, features.Prepared{}
	b.ReportMetric(float64(all-heap())/float64(budget), "heap/budget")
	b.ReportMetric(float64(all)/(1<<20), "with-the-store-MiB")
	b.ReportMetric(0, "ns/op")
	runtime.KeepAlive(bank)
}

func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// copies stores the cards that are not there yet as copies of those that are, and
// gives the bytes of all rows.
func (b *bank) copies(cards int) (total int) {
	var models [][]byte
	have := map[[16]byte]bool{}
	var last [16]byte
	if err := b.store.Scan(store.Entities, nil, func(key, value []byte, _ uint64) error {
		total += len(key) + len(value)
		id, head := [16]byte(key), len(key) == 17
		switch {
		case head:
			models, last = append(models, bytes.Clone(value)), id
			have[id] = true
		case last == id: // it is not all in its head
			models, last = models[:len(models)-1], [16]byte{}
		}
		return nil
	}); err != nil {
		b.Fatal(err)
	}
	var ids [][16]byte
	var rec risk.Record
	rng := rand.New(rand.NewPCG(6, 6))
	for card := range cards {
		pay(&rec, rng, card, 1)
		b.set.Prepare(&rec, &b.scope, &b.prepared)
		for _, t := range b.prepared.Touches() {
			if !have[t.ID] {
				ids = append(ids, t.ID)
			}
		}
	}
	slices.SortFunc(ids, func(x, y [16]byte) int { return bytes.Compare(x[:], y[:]) })
	for i := 0; i < len(ids); {
		var puts []store.Put
		for size := 0; i < len(ids) && size < b.store.Room()*3/4; i++ {
			p := store.Put{Space: store.Entities, Key: append(ids[i][:], 0), Value: models[i%len(models)]}
			puts = append(puts, p)
			size += p.Size()
			total += len(p.Key) + len(p.Value)
		}
		if err := b.store.Amend(puts); err != nil {
			b.Fatal(err)
		}
	}
	return total
}

// reopen forgets what is in memory and goes on with what is stored.
func (b *bank) reopen(budget int64) {
	last, _ := b.store.Last()
	b.state = features.NewState(b.set)
	b.attach(budget)
	if err := b.state.Restore(last.State); err != nil {
		b.Fatal(err)
	}
	b.state.Expect(b.store.Count())
	if err := b.store.ProveEntities(func(_ store.Space, keys [][]byte) error {
		b.state.Known(keys...)
		return nil
	}); err != nil {
		b.Fatal(err)
	}
}
