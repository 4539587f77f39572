package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-risk/sluice/internal/api"
	"github.com/sluice-risk/sluice/internal/simulate"
)

// newFeatures ask for the whole past of customers, cards and merchants.
const newFeatures = `
  new_customer_life:    {count: {by: customer, where: amount.base > AT}}
  new_customer_amounts: {distinct: {by: customer, of: amount.value, window: 30d, where: amount.base > AT}}
  new_card_sum:         {sum: {by: card, of: amount.base, window: ATd}}
  new_merchant_max:     {max: {by: merchant, of: amount.base, window: ATd}}
  new_device_labels:    {count: {by: device, events: [label], window: ATd}}
`

// rulesCopy is a ruleset that a test may change, and a function that adds features.
func rulesCopy(t *testing.T) (dir string, add func(features string)) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "rules")
	if err := os.CopyFS(dir, os.DirFS(paymentRules)); err != nil {
		t.Fatal(err)
	}
	return dir, func(features string) {
		t.Helper()
		path := filepath.Join(dir, "features.yaml")
		text, err := os.ReadFile(path)
		if err == nil {
			err = os.WriteFile(path+".new", append(text, features...), 0o600)
		}
		if err == nil {
			err = os.Rename(path+".new", path)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func (s *server) backfill() (b api.Backfill) {
	s.t.Helper()
	if err := json.Unmarshal(s.get("/v1/backfill").body, &b); err != nil {
		s.t.Fatal(err)
	}
	return b
}

// TestBackfillLatency measures what live decisions pay for a backfill: their p99 at a
// fixed rate over HTTP, from the moment each was due, before it and while it runs. It
// takes a minute and a quiet machine, so it is run by name:
//
//	SLUICE_TEST_LATENCY=400 go test -run TestBackfillLatency -v ./cmd/sluice
func TestBackfillLatency(t *testing.T) {
	rate, err := strconv.Atoi(os.Getenv("SLUICE_TEST_LATENCY"))
	if err != nil {
		t.Skip("SLUICE_TEST_LATENCY is no rate in requests a second")
	}
	past := 60_000
	if n, err := strconv.Atoi(os.Getenv("SLUICE_TEST_PAST")); err == nil {
		past = n
	}
	rules, add := rulesCopy(t)
	s := newServer(t, "rulesets="+rules, "checkpoint.every=1s", "checkpoint.events=10000")
	s.start()
	w := simulate.New(simulate.Options{Seed: 9})
	var mu sync.Mutex
	next := func() []byte {
		mu.Lock()
		defer mu.Unlock()
		for {
			if e := w.Next(); bytes.Contains(e.Body, []byte(`"type":"payment.authorization"`)) {
				return e.Body
			}
		}
	}
	var filling sync.WaitGroup
	for range 64 {
		filling.Go(func() {
			for range past / 64 {
				if a, err := s.ask(s.base, "POST", "/v1/decisions", next(), patient...); err != nil || a.status != 200 {
					t.Error(err, a)
					return
				}
			}
		})
	}
	filling.Wait()
	measure := func(d time.Duration, on func() bool) []time.Duration {
		var mu sync.Mutex
		var took []time.Duration
		var calls sync.WaitGroup
		began := time.Now()
		for i := 0; ; i++ {
			due := began.Add(time.Duration(i) * time.Second / time.Duration(rate))
			if due.Sub(began) > d || i%rate == rate-1 && !on() {
				break
			}
			body := next()
			time.Sleep(time.Until(due))
			calls.Go(func() {
				a, err := s.ask(s.base, "POST", "/v1/decisions", body, patient...)
				if err != nil || a.status != 200 {
					t.Error(err, a)
					return
				}
				mu.Lock()
				defer mu.Unlock()
				took = append(took, time.Since(due))
			})
		}
		calls.Wait()
		slices.Sort(took)
		return took
	}
	quantile := func(took []time.Duration, q float64) time.Duration {
		return took[int(q*float64(len(took)-1))].Round(10 * time.Microsecond)
	}
	always := func() bool { return true }
	measure(2*time.Second, always) // to warm up
	var without, with []time.Duration
	var spent time.Duration
	const rounds = 2
	for n := range rounds {
		without = append(without, measure(8*time.Second, always)...)
		add(strings.NewReplacer("new_", "new"+strconv.Itoa(n)+"_", "AT", strconv.Itoa(n+1)).Replace(newFeatures))
		for range 4 { // what the one before has left is removed first
			if b := s.backfill(); len(b.Features) == 0 || b.Waits {
				without = append(without, measure(8*time.Second, func() bool { b := s.backfill(); return len(b.Features) == 0 || b.Waits })...)
			}
		}
		await(t, "the backfill begins", func() bool { b := s.backfill(); return len(b.Features) > 0 && !b.Waits && b.Position > 0 })
		began := time.Now()
		with = append(with, measure(60*time.Second, func() bool { return len(s.backfill().Features) > 0 })...)
		await(t, "the backfill is complete", func() bool { return len(s.backfill().Features) == 0 })
		spent += time.Since(began)
	}
	without = append(without, measure(8*time.Second, always)...)
	for _, m := range []struct {
		what string
		took []time.Duration
	}{{"without", without}, {"with", with}} {
		slices.Sort(m.took)
		t.Logf("%s: n %d, p50 %v, p90 %v, p99 %v, max %v", m.what, len(m.took), quantile(m.took, 0.5), quantile(m.took, 0.9), quantile(m.took, 0.99), quantile(m.took, 1))
	}
	for line := range strings.SplitSeq(s.logged(), "\n") {
		if strings.Contains(line, "backfill complete") {
			t.Log(line)
		}
	}
	t.Logf("%d entries in %v beside %d requests a second; p99 with / without: %.2f", past, (spent / rounds).Round(100*time.Millisecond), rate,
		float64(quantile(with, 0.99))/float64(quantile(without, 0.99)))
	s.stop()
}
