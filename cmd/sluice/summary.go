package main

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/sluice-risk/sluice/engine"
	"github.com/sluice-risk/sluice/internal/simulate"
)

// summary prints what the demo saw: events, answers, and how the engine did on
// what the simulator had planted.
func (d *demoShow) summary(out io.Writer) {
	d.mu.Lock()
	defer d.mu.Unlock()
	total := d.tally.Ordinary
	for _, c := range d.tally.Patterns {
		total.Allow += c.Allow
		total.Review += c.Review
		total.Block += c.Block
	}
	fmt.Fprintf(out, "\n%d events: %d decided, %d observed, %d refused\n", d.events,
		d.verdicts[engine.Decided], d.verdicts[engine.Observed], d.verdicts[engine.Refused]+d.verdicts[engine.Conflict])
	fmt.Fprintf(out, "%d allow, %d review, %d block\n", total.Allow, total.Review, total.Block)
	if n := len(d.took); n > 0 {
		slices.Sort(d.took)
		fmt.Fprintf(out, "from record read to decision durable: p50 %s, p99 %s\n",
			d.took[n/2].Round(10*time.Microsecond), d.took[n*99/100].Round(10*time.Microsecond))
	}
	o := d.tally.Ordinary
	fmt.Fprintf(out, "ordinary payments: %d, of them %d reviewed, %d blocked\n\n", o.Total(), o.Review, o.Block)
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "planted fraud\tcases\tstopped\t")
	for i, name := range simulate.Patterns {
		if i == len(simulate.Patterns)/2 {
			fmt.Fprintln(w, "lawful look-alike\tcases\twrongly stopped\t")
		}
		c := d.tally.Patterns[i]
		share := 0.0
		if c.Cases > 0 {
			share = 100 * float64(c.Stopped) / float64(c.Cases)
		}
		fmt.Fprintf(w, "  %s\t%d\t%d\t%.0f %%\n", name, c.Cases, c.Stopped, share)
	}
	w.Flush()
}
