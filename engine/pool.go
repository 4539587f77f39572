package engine

import (
	"runtime"
	"sync"

	"github.com/sluice-risk/sluice/features"
	"github.com/sluice-risk/sluice/internal/expression"
	"github.com/sluice-risk/sluice/rules"
	"github.com/sluice-risk/sluice/store"
)

// worker is the scratch of one goroutine of a parallel step.
type worker struct {
	scope   expression.Scope
	outcome rules.Outcome
	values  []float64
	wanted  features.Wanted // entities of the batch's events
	view    *store.View     // of a batch's look-ups; nil: none was needed yet
}

// pool is one worker per core. A pool serves one batch at a time.
type pool []*worker

func newPool() pool {
	p := make(pool, runtime.GOMAXPROCS(0))
	for i := range p {
		p[i] = &worker{}
	}
	return p
}

// each runs a step for every item, on all workers when there is enough to share.
// Items do not see each other, so the split changes no result.
func (p pool) each(b *Batch, step func(*Batch, *Item, *worker)) {
	const share = 8 // items that pay for a goroutine
	n := min(len(p), (len(b.Items)+share-1)/share)
	if n <= 1 {
		for _, it := range b.Items {
			step(b, it, p[0])
		}
		return
	}
	var wg sync.WaitGroup
	for k := range n {
		part := b.Items[k*len(b.Items)/n : (k+1)*len(b.Items)/n]
		wg.Go(func() {
			for _, it := range part {
				step(b, it, p[k])
			}
		})
	}
	wg.Wait()
}
