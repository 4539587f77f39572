package engine_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/sluice-risk/sluice/engine"
	"github.com/sluice-risk/sluice/risk"
)

// A source may have a form of its own: what its mapping makes is decided, what it
// leaves out takes no position, and what it cannot map is refused and kept as that.
func TestTranslate(t *testing.T) {
	c := start(t, t.TempDir(), options())
	const mapped = `{"event":{"id":"mapped","type":"payment.authorization","time":"2026-11-21T11:59:00Z"},"amount":{"value":"10.00","currency":"USD"},"customer":{"id":"u1"},"card":{"token":"c1"}}`
	submit := func(offset int64, translate func(dst []byte) ([]byte, error)) engine.Result {
		t.Helper()
		done := make(chan engine.Result, 1)
		it := engine.NewItem([]byte("raw"), "default")
		it.Source = risk.Source{Topic: "foreign", Offset: offset}
		it.Translate = translate
		it.Reply = func(r engine.Result) { done <- r }
		if err := c.SubmitWait(t.Context(), it); err != nil {
			t.Fatal(err)
		}
		return <-done
	}
	first := submit(1, func(dst []byte) ([]byte, error) { return append(dst, mapped...), nil })
	if first.Verdict != engine.Decided || first.Event != "mapped" {
		t.Fatalf("a mapped record: verdict %s, event %q", first.Verdict, first.Event)
	}
	skipped := submit(2, func([]byte) ([]byte, error) { return nil, fmt.Errorf("a refund of points: %w", engine.ErrSkip) })
	if skipped.Verdict != engine.Skipped || skipped.Position != 0 || skipped.Source.Offset != 2 {
		t.Errorf("a record left out: verdict %s at position %d, source %+v; want skipped without a position", skipped.Verdict, skipped.Position, skipped.Source)
	}
	refused := submit(3, func([]byte) ([]byte, error) { return nil, errors.New("mapping: no amount") })
	if refused.Verdict != engine.Refused || refused.Refused.Reason != "unmapped" || !strings.Contains(refused.Refused.Detail, "no amount") {
		t.Errorf("a record that cannot be mapped: %s %+v", refused.Verdict, refused.Refused)
	}
	invalid := submit(4, func(dst []byte) ([]byte, error) { return append(dst, `{"event":{}}`...), nil })
	if invalid.Verdict != engine.Refused || invalid.Refused.Reason != "invalid_event" {
		t.Errorf("a record mapped to no event: %s %+v", invalid.Verdict, invalid.Refused)
	}
	if refused.Position != first.Position+1 || invalid.Position != first.Position+2 {
		t.Errorf("positions %d, %d, %d: the one left out took one", first.Position, refused.Position, invalid.Position)
	}
	if again := submit(5, func(dst []byte) ([]byte, error) { return append(dst, mapped...), nil }); again.Verdict != engine.Duplicate {
		t.Errorf("after one that was left out: verdict %s, want duplicate", again.Verdict)
	}
}
