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
	for _, c := range slices.Concat(d.tally.Frauds[:], d.tally.LookAlikes[:]) {
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
	table := func(heading string, names []string, counts []simulate.Count) {
		fmt.Fprintln(w, heading)
		for i, name := range names {
			fmt.Fprintf(w, "  %s\t%d\t%d\t\n", name, counts[i].Cases, counts[i].Stopped)
		}
	}
	table("planted fraud\tcases\tstopped\t", simulate.Frauds[:], d.tally.Frauds[:])
	table("lawful look-alike\tcases\twrongly stopped\t", simulate.LookAlikes[:], d.tally.LookAlikes[:])
	w.Flush()
}
