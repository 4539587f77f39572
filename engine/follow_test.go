package engine_test

import (
	"context"
	"io"
	"testing"

	"github.com/sluice-risk/sluice/engine"
	"github.com/sluice-risk/sluice/store/journal"
)

// An event that comes again while the first one is under way takes a place of its
// own in the journal. Its caller is told the first one's position; a follower must
// see it at its own, or it misses one and sees another twice.
func TestFollowersSeeDuplicatesAtTheirOwnPosition(t *testing.T) {
	c := start(t, t.TempDir(), options())
	events := world(21, 60)
	var twice [][]byte
	for i, e := range events { // 0 1 0 2 1 3 2 …: a batch holds both sorts
		if twice = append(twice, e); i > 0 {
			twice = append(twice, events[i-1])
		}
	}
	seen := map[journal.Position]engine.Verdict{}
	failed := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	from := c.Status().Durable + 1
	stop := make(chan journal.Position, 1)
	go func() {
		next, end := from, journal.Position(0)
		failed <- c.Follow(ctx, from, func(results []engine.Result) error {
			for _, r := range results {
				if r.Position != next {
					t.Errorf("position %d (%s) follows %d", r.Position, r.Verdict, next-1)
					return io.ErrUnexpectedEOF
				}
				seen[r.Position], next = r.Verdict, next+1
			}
			select {
			case end = <-stop:
			default:
			}
			if end != 0 && next > end {
				return io.EOF
			}
			return nil
		})
	}()
	results := c.feed(twice, 0)
	again, first := 0, map[string]engine.Result{}
	for _, r := range results {
		a, ok := first[r.Event]
		if !ok {
			first[r.Event] = r
			continue
		}
		if r.Verdict != engine.Duplicate {
			t.Fatalf("event %s again = %s", r.Event, r.Verdict)
		}
		if r.Body != nil {
			again++
			if r.Position != a.Position {
				t.Errorf("event %s again = position %d, want the first answer's %d", r.Event, r.Position, a.Position)
			}
		}
	}
	if again == 0 {
		t.Fatal("no event came twice while it was under way")
	}
	stop <- c.Status().Durable
	c.feed(world(22, 1), 1000) // one more result, so that the follower looks at the end
	if err := <-failed; err != io.EOF {
		t.Fatalf("Follow() = %v", err)
	}
	for p := from; p <= c.Status().Durable-1; p++ {
		if seen[p] == 0 {
			t.Errorf("position %d was not seen", p)
		}
	}
}
