package engine_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sluice-risk/sluice/engine"
	"github.com/sluice-risk/sluice/risk"
)

// paymentAt is a small event of a day before the clock's.
func paymentAt(id string, daysAgo int, amount string) []byte {
	at := clock().AddDate(0, 0, -daysAgo).Format(time.RFC3339)
	return fmt.Appendf(nil, `{"event":{"id":%q,"type":"payment.authorization","time":%q},"amount":{"value":%q,"currency":"USD"},"customer":{"id":"u1"},"card":{"token":"c1"}}`, id, at, amount)
}

// give hands one record of a source in and waits for what became of it.
func (r *running) give(raw []byte, offset int64, again bool) engine.Result {
	r.t.Helper()
	it := engine.NewItem(raw, "default")
	it.Source = risk.Source{Topic: "payments", Offset: offset, Again: again}
	done := make(chan engine.Result, 1)
	it.Reply = func(res engine.Result) { done <- res }
	if err := r.SubmitWait(r.t.Context(), it); err != nil {
		r.t.Fatalf("SubmitWait() = %v", err)
	}
	return <-done
}

// A record read again comes in once, leaves the place to go on at where it was, and
// is the same in a replay; live, after a kill, and from a checkpoint.
func TestARecordReadAgain(t *testing.T) {
	for _, checkpoints := range []bool{false, true} {
		t.Run(fmt.Sprintf("checkpoints=%v", checkpoints), func(t *testing.T) {
			o := options()
			if !checkpoints {
				o.CheckpointEvery, o.CheckpointEvents = time.Hour, 1<<20
			}
			dir := t.TempDir()
			c := start(t, dir, o)
			if r := c.give([]byte(`{"event":`), 3, false); r.Verdict != engine.Refused {
				t.Fatalf("half an event = %s", r.Verdict)
			}
			// Days pass, more than dedup remembers.
			for i := range 10 {
				if r := c.give(paymentAt(fmt.Sprint("p", i), 9-i, "10.00"), int64(4+i), false); r.Verdict != engine.Decided {
					t.Fatalf("payment %d = %s", i, r.Verdict)
				}
			}
			mended := paymentAt("mended", 9, "20.00")
			first := c.give(mended, 3, true)
			if first.Verdict != engine.Decided || first.Refused != nil {
				t.Fatalf("read again = %s %v", first.Verdict, first.Refused)
			}
			end := c.Status().End
			unchanged := func(when string) {
				t.Helper()
				r := c.give(mended, 3, true)
				if r.Verdict != engine.Duplicate || !bytes.Equal(r.Body, first.Body) || r.Position != first.Position {
					t.Errorf("%s: read a second time = %s at %d, want duplicate of %d with the same bytes", when, r.Verdict, r.Position, first.Position)
				}
				if r := c.give([]byte(`{"event":`), 3, true); r.Verdict != engine.Refused || r.Refused.Reason != "invalid_event" {
					t.Errorf("%s: still no event = %s", when, r.Verdict)
				}
				if r := c.give(paymentAt("p1", 8, "11.00"), 3, true); r.Verdict != engine.Conflict || r.Refused != nil {
					t.Errorf("%s: other content = %s %v, want a conflict without a dead letter", when, r.Verdict, r.Refused)
				}
				if got := c.Status().End; got != end {
					t.Errorf("%s: the journal grew from %d to %d", when, end, got)
				}
			}
			unchanged("live")

			killed := copyTree(t, dir) // as a kill would leave it
			c.close()
			for _, at := range []string{dir, killed} {
				reopened, err := engine.Open(at, o)
				if err != nil {
					t.Fatal(err)
				}
				if got := reopened.Offsets("payments")[0]; got != 13 {
					t.Errorf("after a restart reading goes on behind offset %d, want 13", got)
				}
				reopened.Close()
				c = start(t, at, o)
				unchanged("after a restart")
				c.close()
				if _, decided := replayed(t, at, 3); !bytes.Contains(decided, first.Body) {
					t.Error("the replayed journal lacks the decision")
				}
			}
		})
	}
}

// Both readings in one batch, as a caller who does not wait makes them: one counts.
func TestARecordReadAgainTwiceAtOnce(t *testing.T) {
	c := start(t, t.TempDir(), options())
	const n = 40
	got := make(chan engine.Result, 2*n)
	for i := range 2 * n {
		it := engine.NewItem(paymentAt(fmt.Sprint("p", i%n), 0, "10.00"), "default")
		if i >= n && i%2 == 0 {
			it.Raw = paymentAt(fmt.Sprint("p", i%n), 0, "11.00")
		}
		it.Source = risk.Source{Topic: "payments", Offset: int64(i % n), Again: true}
		it.Reply = func(r engine.Result) { got <- r }
		if err := c.SubmitWait(t.Context(), it); err != nil {
			t.Fatal(err)
		}
	}
	verdicts := map[engine.Verdict]int{}
	for range 2 * n {
		r := <-got
		verdicts[r.Verdict]++
		if r.Refused != nil {
			t.Errorf("%s has a dead letter", r.Verdict)
		}
	}
	if verdicts[engine.Decided] != n || verdicts[engine.Duplicate] != n/2 || verdicts[engine.Conflict] != n/2 {
		t.Errorf("verdicts %v, want %d decided, %d duplicate, %d conflict", verdicts, n, n/2, n/2)
	}
	last := c.Status().End
	for p := last; p > last-5; p-- { // as a publisher that is behind reads it back
		if r, err := c.At(p); err != nil || r.Refused != nil {
			t.Errorf("At(%d) = %v, %v: a dead letter of a record read again", p, r.Refused, err)
		}
	}
}

// A refused record keeps its payload only as the configured function closed it.
func TestPayloadsOfRefusedRecordsAreSealed(t *testing.T) {
	o := options()
	o.Seal = func(s risk.Source, b []byte) []byte {
		return fmt.Appendf(nil, "<%s/%d/%d %x>", s.Topic, s.Partition, s.Offset, b)
	}
	dir := t.TempDir()
	c := start(t, dir, o)
	bad := []byte(`{"event":"hunter2"`)
	r := c.give(bad, 7, false)
	want := fmt.Sprintf("<payments/0/7 %x>", bad)
	if string(r.Refused.Sealed) != want {
		t.Fatalf("sealed %q, want %q", r.Refused.Sealed, want)
	}
	c.give(paymentAt("p1", 0, "10.00"), 8, false)
	c.close()
	c = start(t, dir, o) // another process: the payload is in the journal
	if again, err := c.At(r.Position); err != nil || string(again.Refused.Sealed) != want || strings.Contains(again.Refused.Detail, "hunter2") {
		t.Errorf("read back %+v, %v", again.Refused, err)
	}
	other := paymentAt("p1", 0, "11.00")
	if r := c.give(other, 9, false); r.Refused == nil || r.Refused.Reason != "conflict" || string(r.Refused.Sealed) != fmt.Sprintf("<payments/0/9 %x>", other) {
		t.Errorf("conflict = %+v", r.Refused)
	}
}
