package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/sluice-risk/sluice/engine"
	"github.com/sluice-risk/sluice/internal/simulate"
)

// greet says what is to be seen, for somebody who has never heard of it.
func (d *demoShow) greet(out io.Writer, o demoOptions, topics *demoTopics) {
	fmt.Fprintf(out, `
  Sluice decides payments while they are made: allow, review or block, within
  milliseconds, each with its reasons. Here a simulated platform sends payments
  from twenty countries. Planted among them are eight patterns of fraud, and for
  each a lawful customer who looks just like it and must not be stopped.

  Watch: open %s
`, d.page)
	rate := "events as fast as they are taken"
	if o.rate > 0 {
		rate = fmt.Sprintf("%d events a second", o.rate)
	}
	if o.kafka == "" {
		fmt.Fprintf(out, "  Kafka: an embedded stand-in, %s\n", rate)
	} else {
		after := "deleted at the end"
		if o.keep {
			after = "left at the end"
		}
		fmt.Fprintf(out, "  Kafka: %s, %s\n  Made there, and %s:\n", o.kafka, rate, after)
		for i, name := range topics.made {
			partitions := "1 partition"
			if i == 0 {
				partitions = fmt.Sprint(paymentsPartitions, " partitions")
			}
			fmt.Fprintf(out, "    %s (%s)\n", name, partitions)
		}
		fmt.Fprintf(out, "  Used: the position of cell %s in sluice.published\n", topics.cell)
	}
	fmt.Fprintf(out, "  Rules: %s: edit one and save, it is live in seconds\n  Ctrl-C ends it with a summary.\n\n", o.rules)
}

// summary prints what the demo saw: events, answers, and how the engine did on
// what the simulator had planted. It fits 80 columns.
func (d *demoShow) summary(out io.Writer, o demoOptions) {
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
	if seconds := d.last.Sub(d.first).Seconds(); seconds > 0 {
		fmt.Fprintf(out, "%.0f events a second\n", float64(d.events)/seconds)
	}
	if n := len(d.took); n > 0 {
		slices.Sort(d.took)
		fmt.Fprintf(out, "from taken in to decision durable: p50 %s, p99 %s\n",
			d.took[n/2].Round(10*time.Microsecond), d.took[n*99/100].Round(10*time.Microsecond))
	}
	const row = "%-20s %5s %8s   %-20s %5s %9s\n"
	line := func(fraud string, f simulate.Count, lawful string, l simulate.Count) {
		fmt.Fprintf(out, row, fraud, fmt.Sprint(f.Cases), share(f.Stopped, f.Cases), lawful, fmt.Sprint(l.Cases), share(l.Cases-l.Stopped, l.Cases))
	}
	fmt.Fprintf(out, "\n"+row, "planted fraud", "cases", "stopped", "its look-alike", "cases", "let pass")
	for i, name := range simulate.Frauds {
		line("  "+name, d.tally.Frauds[i], "  "+simulate.LookAlikes[i], d.tally.LookAlikes[i])
	}
	line("all", d.tally.Fraud(), "all", d.tally.Lawful())
	ordinary := d.tally.Ordinary
	fmt.Fprintf(out, "\nordinary payments: %d, of them %d reviewed, %d blocked\n", ordinary.Total(), ordinary.Review, ordinary.Block)

	rules := o.rules
	if strings.HasPrefix(rules, o.data) { // gone with the data
		rules = "rulesets/payments"
	}
	fmt.Fprintf(out, `
What next: change a rule under %s/rules, then
  sluice check %s
  sluice demo --rate 0 --events 20000     the same payments under your rules
While it runs, ask for a decision yourself (README.md has a payment to send):
  curl -d @payment.json %sv1/decisions
`, rules, rules, d.page)
}

func share(n, of int) string {
	if of == 0 {
		return "-"
	}
	return fmt.Sprintf("%d %%", 100*n/of)
}
