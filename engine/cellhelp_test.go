package engine_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/sluice-risk/sluice/engine"
	"github.com/sluice-risk/sluice/risk"
)

// What children have instead of a testing.T.

var background = context.Background()

func must(err error) {
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
}

func untilClosed(stop <-chan struct{}) context.Context {
	ctx, cancel := context.WithCancel(background)
	go func() { <-stop; cancel() }()
	return ctx
}

func idOf(raw []byte) string {
	var e struct{ Event struct{ ID string } }
	must(json.Unmarshal(raw, &e))
	return e.Event.ID
}

// feedCell hands events in as a source does, every third as HTTP does, and waits
// for what became of all of them. A cell that stops is told to fail.
func feedCell(c *engine.Cell, events [][]byte, fail func(string, ...any)) []engine.Result {
	results := make([]engine.Result, len(events))
	var pending sync.WaitGroup
	for i, raw := range events {
		it := &engine.Item{Raw: raw, Tenant: "default"}
		if i%3 == 0 {
			if err := c.Intake(it); err != nil {
				fail("Intake(%s) = %v", raw, err)
				break
			}
		} else {
			it.Source = risk.Source{Topic: "payments", Offset: int64(i)}
		}
		pending.Add(1)
		it.Reply = func(r engine.Result) { results[i] = r; pending.Done() }
		if err := c.SubmitWait(background, it); err != nil {
			pending.Done()
			if !errors.Is(err, engine.ErrClosed) {
				fail("SubmitWait() = %v", err)
			}
			break
		}
	}
	pending.Wait()
	return results
}
