package api

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-risk/sluice/engine"
	"github.com/sluice-risk/sluice/internal/diag"
	"github.com/sluice-risk/sluice/internal/enrich"
	"github.com/sluice-risk/sluice/risk"
	"github.com/sluice-risk/sluice/store"
	"github.com/sluice-risk/sluice/store/journal"
)

var testTables = sync.OnceValue(func() *enrich.Tables {
	t, err := enrich.New(enrich.Options{})
	if err != nil {
		panic(err)
	}
	return t
})

// running is a real cell that can be stopped and started again.
type running struct {
	*engine.Cell
	t    testing.TB
	dir  string
	o    engine.Options
	stop func()
}

func openCell(t testing.TB, o engine.Options) *running {
	t.Helper()
	o.Tables, o.Decoder, o.DiskReserve = testTables(), testDecoder, -1
	o.CheckpointEvery = cmp.Or(o.CheckpointEvery, 20*time.Millisecond)
	o.Journal, o.Store = journal.Options{SegmentBytes: 32 << 20}, store.Options{MemTable: 4 << 20}
	r := &running{t: t, dir: t.TempDir(), o: o}
	r.open()
	t.Cleanup(r.close)
	return r
}

func (r *running) open() {
	r.t.Helper()
	c, err := engine.Open(r.dir, r.o)
	if err != nil {
		r.t.Fatal(err)
	}
	r.Cell, r.stop = c, func() {}
}

// run starts the walk, with a release on a new journal.
func (r *running) run() {
	r.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			r.t.Errorf("Run: %v", err)
		}
	})
	files, err := diag.ReadDir(filepath.Join("testdata", "ruleset"))
	if err != nil {
		r.t.Fatal(err)
	}
	b, err := engine.Build(files, testTables())
	if err != nil {
		r.t.Fatal(err)
	}
	if err := r.Begin(ctx, b, "test"); err != nil {
		r.t.Fatal(err)
	}
}

func (r *running) close() {
	r.stop()
	if err := r.Close(); err != nil {
		r.t.Error(err)
	}
}

// stored waits until all that was taken has reached the store.
func (r *running) stored() {
	r.t.Helper()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		if s := r.Status(); s.Stored == s.End {
			return
		} else if time.Now().After(end) {
			r.t.Fatalf("stored %d, end %d", s.Stored, s.End)
		}
	}
}

func TestCell(t *testing.T) {
	keys, tokens := keyring(t, "shop decide", "shop decide evidence", "other decide evidence")
	cell := openCell(t, engine.Options{})
	cell.run()
	c := newClient(t, cell.Cell, Options{Keys: keys})
	plain, full, other := c.with(tokens["shop decide"]), c.with(tokens["shop decide evidence"]), c.with(tokens["other decide evidence"])

	first := plain.do("POST", decisions, payment("pay_1", "323.21")).status(200)
	m := first.json()
	if m["action"] != "review" || m["features"] != nil || m["scenario"] != "card_payment" || m["hold"] == nil {
		t.Errorf("decision %s", first.Body)
	}
	path := decisions + "/" + m["id"].(string)
	evidence := full.do("GET", path, "").status(200)
	if f, _ := evidence.json()["features"].(map[string]any); f["attempts_10m"] != 1.0 {
		t.Errorf("features %v in %s", f, evidence.Body)
	}
	plain.do("POST", events, payment("seen", "5.00")).status(202)
	outcome := plain.do("POST", path+"/outcomes", `{"status":"declined","decline_code":"51"}`).status(202).json()

	check := func(when string) {
		t.Helper()
		for name, r := range map[string]*reply{
			"again":         plain.do("POST", decisions, payment("pay_1", "323.21")).has("Idempotent-Replayed", "true"),
			"read":          plain.do("GET", path, ""),
			"full":          full.do("GET", path, ""),
			"again in full": full.do("POST", decisions, payment("pay_1", "323.21")).has("Idempotent-Replayed", "true"),
		} {
			want := first
			if strings.Contains(name, "full") {
				want = evidence
			}
			if r.status(200).Body.String() != want.Body.String() {
				t.Errorf("%s, %s: %s, want %s", when, name, r.Body, want.Body)
			}
		}
		if v := plain.do("POST", events, payment("seen", "5.00")).status(202).has("Idempotent-Replayed", "true").json()["verdict"]; v != "duplicate" {
			t.Errorf("%s: observed again with verdict %v", when, v)
		}
		plain.do("POST", decisions, payment("pay_1", "323.22")).problem(conflicting)
		plain.do("POST", decisions, payment("seen", "5.00")).problem(observedOnly)
		plain.do("GET", decisions+"/"+risk.KeyOf("shop", "seen").DecisionID(), "").problem(notFound)
		other.do("GET", path, "").problem(notFound)
		other.do("POST", path+"/outcomes", `{"status":"declined"}`).problem(notFound)
		again := plain.do("POST", path+"/outcomes", `{"status":"declined","decline_code":"51"}`).status(202).has("Idempotent-Replayed", "true").json()
		if again["event"] != outcome["event"] {
			t.Errorf("%s: outcome %v, want %v", when, again, outcome)
		}
	}
	check("at once")
	cell.stored()
	check("from the store")
	c.do("GET", "/readyz", "").status(200)

	cell.close()
	cell.open()
	cell.run()
	*c.server = *newTestServer(t, cell.Cell, Options{Keys: keys})
	check("after a restart")
}

// The deadline's fallback goes out without the decision, which says so when it
// comes.
func TestCellDeadline(t *testing.T) {
	cell := openCell(t, engine.Options{Inflight: 2})
	c := newClient(t, cell.Cell, Options{})
	c.do("POST", decisions, payment("pay_1", "20.00")).problem(noRelease)
	c.do("GET", "/readyz", "").status(503)
	cell.run()
	c.do("POST", decisions, payment("pay_0", "20.00")).status(200)
	cell.close()
	cell.open() // and does not run: nothing is decided
	*c.server = *newTestServer(t, cell.Cell, Options{})

	m := c.do("POST", decisions, payment("pay_1", "20.00"), "Sluice-Deadline-Ms", "1").status(200).json()
	id := risk.KeyOf("default", "pay_1").DecisionID()
	if fmt.Sprint(m["degraded"]) != "[deadline]" || m["action"] != "allow" || m["id"] != id {
		t.Errorf("under 50 at the deadline: %v", m)
	}
	c.do("GET", decisions+"/"+id, "").problem(notFound)
	// The event and its answer fill the cell.
	c.do("POST", decisions, payment("pay_2", "20.00")).problem(overloaded)
	c.do("POST", events, payment("pay_2", "20.00")).problem(overloaded)

	cell.run()
	for cell.Status().Waiting > 0 {
		time.Sleep(time.Millisecond)
	}
	late := c.do("POST", decisions, payment("pay_1", "20.00")).status(200).has("Idempotent-Replayed", "true").json()
	for late["supersedes"] == nil { // its entry is behind the event's
		late = c.do("GET", decisions+"/"+id, "").status(200).json()
	}
	if s := late["supersedes"].(map[string]any); s["action"] != "allow" || fmt.Sprint(s["degraded"]) != "[deadline]" {
		t.Errorf("decision %v", late)
	}

	cell.stop()
	c.do("POST", decisions, payment("pay_3", "20.00")).problem(shuttingDown)
	c.do("POST", events, payment("pay_3", "20.00")).problem(shuttingDown)
}

// The largest events, more of them at once than a batch may hold.
func TestCellLargeEvents(t *testing.T) {
	item := `{"sku":"` + strings.Repeat("s", 480) + `","name":"` + strings.Repeat("n", 480) + `"}`
	large := func(i int) string {
		return strings.Replace(payment(fmt.Sprint("pay_", i), "5.00"), `"customer"`, `"order":{"items":[`+strings.Repeat(item+",", 62)+item+`]},"customer"`, 1)
	}
	const n = 120 // 7 MiB
	if size := len(large(n)); size > maxBody || size < maxBody*9/10 {
		t.Fatalf("an event has %d bytes", size)
	}
	cell := openCell(t, engine.Options{})
	cell.run()
	cell.close()
	cell.open()
	s := newTestServer(t, cell.Cell, Options{})
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			r := httptest.NewRequest("POST", decisions, strings.NewReader(large(i)))
			r.Header.Set("Content-Type", "application/json")
			r.Header.Set("Sluice-Deadline-Ms", "60000")
			w := httptest.NewRecorder()
			s.Handler().ServeHTTP(w, r)
			var d struct{ Event string }
			if err := json.Unmarshal(w.Body.Bytes(), &d); err != nil || w.Code != 200 || d.Event != fmt.Sprint("pay_", i) {
				t.Errorf("%d: %d %.200s", i, w.Code, w.Body)
			}
		})
	}
	for cell.Status().Waiting < n {
		time.Sleep(time.Millisecond)
	}
	cell.run()
	wg.Wait()
}
