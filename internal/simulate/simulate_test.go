package simulate

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/netip"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/phuslu/iploc"
	"github.com/sluice-risk/sluice/risk"
)

// The first 10,000 events of the default world. A change of this sum is a change
// of every published number that was measured on the simulator: say so.
const first10000 = "e81db84cb9f65f28b75aafd520a37e36ff475e23c3cd41f0553236da400700ab"

func TestSameBytesEverywhere(t *testing.T) {
	sum := func(o Options, n int) string {
		w, h := New(o), sha256.New()
		for range n {
			e := w.Next()
			h.Write(risk.At(e.At).Append(nil))
			h.Write(e.Body)
			h.Write([]byte(e.Truth.Pattern))
		}
		return hex.EncodeToString(h.Sum(nil))
	}
	if got := sum(Options{}, 10_000); got != first10000 {
		t.Errorf("SHA-256 of the default world's first 10,000 events = %s, want %s", got, first10000)
	}
	if a, b := sum(Options{Seed: 2, People: 300}, 2000), sum(Options{Seed: 2, People: 300}, 2000); a != b {
		t.Errorf("two worlds with equal options differ: %s, %s", a, b)
	}
	if a, b := sum(Options{Seed: 2, People: 300}, 2000), sum(Options{Seed: 3, People: 300}, 2000); a == b {
		t.Error("seeds 2 and 3 give the same events")
	}
}

// seen is what the tests read of an event's body, by the standard library.
type seen struct {
	Event struct {
		ID, Type string
		Time     time.Time
	}
	Amount   struct{ Value, Currency string }
	Customer struct {
		ID, Country, Created string
	}
	Device, Card, Merchant struct{ ID, IP, Token, Country string }
	Escrow                 struct{ ID string }
	Label                  struct{ Event, Kind string }
}

func stretch(t *testing.T, o Options, n int, each func(Event, seen)) {
	t.Helper()
	w := New(o)
	for range n {
		e := w.Next()
		var s seen
		if err := json.Unmarshal(e.Body, &s); err != nil {
			t.Fatalf("%v in %s", err, e.Body)
		}
		each(e, s)
	}
}

func TestTheStream(t *testing.T) {
	const n = 10_000
	types, cases, countries := map[string]int{}, map[string]map[int]bool{}, map[string]bool{}
	currencies, ids := map[string]bool{}, map[string]bool{}
	times := map[string]time.Time{}
	var last, first time.Time
	payments, size, labels := 0, 0, 0
	stretch(t, Options{}, n, func(e Event, s seen) {
		if first.IsZero() {
			first = e.At
		}
		if e.At.Before(last) {
			t.Fatalf("%s arrives at %s, after one of %s", e.ID, e.At, last)
		}
		last = e.At
		if late := e.At.Sub(s.Event.Time); late < 20*time.Millisecond || late > 15*time.Minute {
			t.Errorf("%s arrives %s after its time, want 20ms to 15m", e.ID, late)
		}
		if s.Event.ID != e.ID || ids[e.ID] {
			t.Errorf("id %q of event %q is another one or not new", s.Event.ID, e.ID)
		}
		ids[e.ID] = true
		types[s.Event.Type]++
		countries[s.Customer.Country], currencies[s.Amount.Currency] = true, true
		times[e.ID] = s.Event.Time
		if e.Truth.Case != 0 {
			if cases[e.Truth.Pattern] == nil {
				cases[e.Truth.Pattern] = map[int]bool{}
			}
			cases[e.Truth.Pattern][e.Truth.Case] = true
			if lawful := slices.Contains(LookAlikes[:], e.Truth.Pattern); lawful != e.Truth.Lawful {
				t.Errorf("%s: pattern %s, lawful %v", e.ID, e.Truth.Pattern, e.Truth.Lawful)
			}
		}
		if s.Event.Type == "payment.authorization" && s.Customer.ID != "" {
			payments++
			size += len(e.Body)
		}
		if s.Label.Event != "" {
			labels++
			of, ok := times[s.Label.Event]
			if wait := s.Event.Time.Sub(of); !ok || wait < 19*time.Minute {
				t.Errorf("label %s about %q comes %s after it, want at least 20m", e.ID, s.Label.Event, wait)
			}
		}
	})
	for _, typ := range words("payment.authorization payment.outcome payment.capture payment.refund payment.payout transfer topup escrow.funded escrow.shipped escrow.confirmed escrow.release account.created account.login account.updated kyc.updated label") {
		if types[typ] == 0 {
			t.Errorf("no %s in %d events", typ, n)
		}
	}
	if share := types["payment.authorization"] * 100 / n; share < 25 || share > 45 {
		t.Errorf("%d%% of the events are payment.authorization, want 25 to 45", share)
	}
	for _, p := range slices.Concat(Frauds[:], LookAlikes[:]) {
		if len(cases[p]) < 1 {
			t.Errorf("no case of %s in %d events", p, n)
		}
	}
	if size /= payments; size < 1000 || size > 1400 {
		t.Errorf("a payment has %d bytes on average, want 1,000 to 1,400", size)
	}
	if gap := last.Sub(first) / n; gap < 1600*time.Millisecond || gap > 2400*time.Millisecond {
		t.Errorf("mean gap %s, want 2s", gap)
	}
	if len(countries) < 15 || len(currencies) < 10 || labels < 10 {
		t.Errorf("%d countries, %d currencies, %d labels: want at least 15, 10, 10", len(countries), len(currencies), labels)
	}
}

// TestDecodesAsMeant: the body is strict, gives no warning, and holds exactly the
// event that the world had in mind.
func TestDecodesAsMeant(t *testing.T) {
	d := risk.Decoder{Secrets: risk.NewSecrets([32]byte{1}), Strict: true}
	for _, o := range []Options{{}, {Gap: 90 * time.Second, People: 300, Seed: 7}} {
		w := New(o)
		for range 6000 {
			e := w.Next()
			var rec risk.Record
			if err := d.Decode(e.Body, &rec); err != nil {
				t.Fatalf("%v in %s", err, e.Body)
			}
			if len(rec.Warnings) > 0 {
				t.Fatalf("warnings %v about %s", rec.Warnings, e.Body)
			}
			if !reflect.DeepEqual(rec.Event, w.ev) {
				t.Fatalf("%s\ndecodes to %+v\nwant       %+v", e.Body, rec.Event, w.ev)
			}
		}
	}
}

// TestChargebacksComeWeeksLater uses a fast clock: a day passes in some 480 events.
func TestChargebacksComeWeeksLater(t *testing.T) {
	times := map[string]time.Time{}
	kinds := map[string]int{}
	stretch(t, Options{Gap: 3 * time.Minute, People: 300}, 15_000, func(e Event, s seen) {
		times[s.Event.ID] = s.Event.Time
		if s.Label.Event == "" {
			return
		}
		kinds[s.Label.Kind]++
		if wait := s.Event.Time.Sub(times[s.Label.Event]); s.Label.Kind == "chargeback" && wait < 4*24*time.Hour {
			t.Errorf("chargeback %s comes %s after the payment, want weeks", e.ID, wait)
		}
	})
	for _, kind := range words("fraud early_warning chargeback genuine") {
		if kinds[kind] == 0 {
			t.Errorf("no label of kind %s: %v", kind, kinds)
		}
	}
}

// TestAddressesLieWhereTheySay looks up one address of every network of 256 that
// the world can draw from.
func TestAddressesLieWhereTheySay(t *testing.T) {
	check := func(country string, b block) {
		for i := range b.count * 256 {
			ip := uint32(b.first)<<16 + uint32(i)<<8 + 7
			a := netip.AddrFrom4([4]byte{byte(ip >> 24), byte(ip >> 16), byte(ip >> 8), byte(ip)})
			if a.String() != dotted(ip) {
				t.Fatalf("dotted(%#x) = %s, want %s", ip, dotted(ip), a)
			}
			if got := iploc.IPCountry(a); got != country {
				t.Errorf("%s is in %q, want %q", a, got, country)
				return
			}
		}
	}
	for _, p := range places {
		check(p.country, p.home)
		check(p.country, p.mobile)
	}
	for _, h := range hosts {
		check(h.country, h.block)
	}
}

// TestOptions checks the shares and the edges.
func TestOptions(t *testing.T) {
	share := func(o Options) (fraud, lawful int) {
		stretch(t, o, 8000, func(e Event, _ seen) {
			if e.Truth.Lawful {
				lawful++
			} else if e.Truth.Case != 0 {
				fraud++
			}
		})
		return fraud, lawful
	}
	if f, l := share(Options{Fraud: -1, Lawful: -1, People: 200}); f != 0 || l != 0 {
		t.Errorf("without cases: %d fraud and %d look-alike events", f, l)
	}
	if f, l := share(Options{}); f < 120 || f > 280 || l < 400 || l > 800 {
		t.Errorf("of 8,000 events %d are fraud and %d look-alikes, want around 200 and 640", f, l)
	}
	if f, _ := share(Options{Fraud: 1000}); f < 480 {
		t.Errorf("of 8,000 events %d are fraud with Fraud: 1000, want around 800", f)
	}
	w := New(Options{Seed: 9, Prefix: `a"b\`, People: 1})
	if e := w.Next(); !json.Valid(e.Body) || e.ID != `a"b\-000000001` {
		t.Errorf("prefix with a quote: id %s, body %s", e.ID, e.Body)
	}
}

// TestMemoryIsBounded: what is under way settles, however long the stream.
func TestMemoryIsBounded(t *testing.T) {
	w := New(Options{Gap: 20 * time.Minute, People: 200}) // 69 days in 5,000 events
	most := 0
	for i := range 15_000 {
		w.Next()
		if i == 5000 {
			most = len(w.agenda.heap)
		}
	}
	if n := len(w.agenda.heap); n > most+most/2+50 {
		t.Errorf("%d steps wait after 15,000 events, %d after 5,000", n, most)
	}
	if len(w.folk) != 200 || len(w.gang) > 6 {
		t.Errorf("%d people and %d devices, want 200 and at most 6", len(w.folk), len(w.gang))
	}
}

func TestWrite(t *testing.T) {
	var events, truth bytes.Buffer
	if err := Write(&events, &truth, Options{People: 200}, 3000); err != nil {
		t.Fatal(err)
	}
	w := New(Options{People: 200})
	lines, sides := bufio.NewScanner(&events), bufio.NewScanner(&truth)
	for i := range 3000 {
		if !lines.Scan() || !sides.Scan() {
			t.Fatalf("only %d lines", i)
		}
		want := w.Next()
		var line struct {
			Arrival time.Time
			Event   struct{ ID string }
		}
		var side struct {
			Event, Pattern string
			Lawful         bool
			Case           int
		}
		if err := errors.Join(json.Unmarshal(lines.Bytes(), &line), json.Unmarshal(sides.Bytes(), &side)); err != nil {
			t.Fatalf("line %d: %v", i+1, err)
		}
		if !line.Arrival.Equal(want.At) || line.Event.ID != want.ID || side.Event != want.ID || (Truth{side.Pattern, side.Lawful, side.Case}) != want.Truth {
			t.Fatalf("line %d = %s / %s, want %s at %s, %+v", i+1, lines.Bytes(), sides.Bytes(), want.ID, want.At, want.Truth)
		}
		if bytes.Contains(lines.Bytes(), []byte("pattern")) || want.Truth.Case != 0 && bytes.Contains(lines.Bytes(), []byte(want.Truth.Pattern)) {
			t.Fatalf("line %d gives the truth away: %s", i+1, lines.Bytes())
		}
	}
	if lines.Scan() || sides.Scan() {
		t.Error("more than 3,000 lines")
	}
	full := errors.New("disk full")
	if err := Write(failing{full}, nil, Options{People: 200}, 100); !errors.Is(err, full) {
		t.Errorf("Write to a full disk = %v, want %v", err, full)
	}
	if err := Write(&events, failing{full}, Options{People: 200}, 100); !errors.Is(err, full) {
		t.Errorf("Write with a full disk for the truth = %v, want %v", err, full)
	}
	if err := Write(&events, nil, Options{}, -1); err == nil {
		t.Error("Write of -1 events succeeds")
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

func TestTally(t *testing.T) {
	var c Tally
	mule := Truth{Pattern: Mule, Case: 70}
	family := Truth{Pattern: Household, Lawful: true, Case: 3}
	c.Add(mule, 0) // only observed
	if got := c.Of(Mule); got != (Count{}) {
		t.Errorf("after an observed event: %+v", got)
	}
	c.Add(mule, risk.Allow)
	c.Add(mule, risk.Review)
	c.Add(mule, risk.Block)
	c.Add(Truth{Pattern: Mule, Case: 71}, risk.Allow)
	c.Add(family, risk.Allow)
	c.Add(family, risk.Allow)
	c.Add(Truth{}, risk.Review)
	c.Add(Truth{}, risk.Allow)
	if got, want := c.Of(Mule), (Count{Actions{2, 1, 1}, 2, 1}); got != want {
		t.Errorf("mules: %+v, want %+v", got, want)
	}
	if got, want := c.Fraud(), c.Of(Mule); got != want {
		t.Errorf("all fraud: %+v, want %+v", got, want)
	}
	if got, want := c.Lawful(), (Count{Actions{2, 0, 0}, 1, 0}); got != want {
		t.Errorf("look-alikes: %+v, want %+v", got, want)
	}
	if got, want := c.Ordinary, (Actions{1, 1, 0}); got != want || got.Total() != 2 {
		t.Errorf("ordinary: %+v, want %+v", got, want)
	}
	if got := c.Of("weather"); got != (Count{}) {
		t.Errorf("an unknown pattern: %+v", got)
	}
}

func BenchmarkNext(b *testing.B) {
	w := New(Options{})
	b.ReportAllocs()
	for b.Loop() {
		b.SetBytes(int64(len(w.Next().Body)))
	}
}
