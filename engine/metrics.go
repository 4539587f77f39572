package engine

import (
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluice-risk/sluice/risk"
)

// Metrics are the engine's own. Entity ids are never labels.
type Metrics struct {
	decisions   *prometheus.CounterVec
	entries     *prometheus.CounterVec
	duration    *prometheus.HistogramVec
	batches     prometheus.Histogram
	labels      *prometheus.CounterVec
	hits        *prometheus.CounterVec
	faults      *prometheus.CounterVec
	checkpoints prometheus.Histogram
	journal     prometheus.Gauge
	degraded    *prometheus.CounterVec
	features    prometheus.Histogram
	scores      *prometheus.HistogramVec
	live        bool // registered: someone reads them
}

// modeLive is the mode of a decision that answers its caller, which all do.
const modeLive = "live"

func newMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		decisions: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sluice_decisions_total",
			Help: "Decisions by scenario, action and mode; mode is live, of answers that count."}, []string{"scenario", "action", "mode"}),
		entries: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sluice_entries_total",
			Help: "Entries by what became of them."}, []string{"verdict"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "sluice_decision_duration_seconds",
			Help: "From submission until the decision is durable.", Buckets: prometheus.ExponentialBuckets(0.0005, 2, 14)}, []string{"scenario"}),
		batches: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "sluice_batch_entries",
			Help: "Entries a batch.", Buckets: prometheus.ExponentialBuckets(1, 2, 10)}),
		labels: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sluice_labels_total",
			Help: "Labels by use: counted, unknown (the named event is not known) or repeated."}, []string{"use"}),
		hits: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sluice_rule_hits_total",
			Help: "Rules that were true, by rule and mode."}, []string{"rule", "mode"}),
		faults: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sluice_rule_errors_total",
			Help: "Rules that missed a value or failed, by rule and kind."}, []string{"rule", "kind"}),
		checkpoints: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "sluice_checkpoint_age_seconds",
			Help: "From taking a checkpoint until it is stored.", Buckets: prometheus.ExponentialBuckets(0.001, 2, 14)}),
		journal: prometheus.NewGauge(prometheus.GaugeOpts{Name: "sluice_journal_bytes",
			Help: "Bytes of the journal that is kept."}),
		degraded: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sluice_degraded_total",
			Help: "Answers that were a fallback, by cause."}, []string{"cause"}),
		features: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "sluice_feature_duration_seconds",
			Help: "Observing an event and reading its feature values, serially: the mean of a batch.", Buckets: prometheus.ExponentialBuckets(1e-6, 2, 14)}),
		scores: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "sluice_model_score",
			Help: "Score of decisions, 0 to 1, that the scenario's bands compare.", Buckets: prometheus.LinearBuckets(0.05, 0.05, 20)}, []string{"scenario"}),
		live: r != nil,
	}
	for _, cause := range []string{CauseDeadline, CauseStorage} {
		m.degraded.WithLabelValues(cause) // the first one is an increase too
	}
	if r != nil {
		r.MustRegister(m.decisions, m.entries, m.duration, m.batches, m.labels, m.hits, m.faults, m.checkpoints, m.journal, m.degraded,
			m.features, m.scores)
	}
	return m
}

func (m *Metrics) orNone() *Metrics {
	if m == nil {
		return newMetrics(nil)
	}
	return m
}

func (m *Metrics) count(r *Result) {
	m.entries.WithLabelValues(r.Verdict.String()).Inc()
	if r.Verdict == Decided {
		m.decisions.WithLabelValues(r.Scenario, r.Action.String(), modeLive).Inc()
		m.duration.WithLabelValues(r.Scenario).Observe(r.Took.Seconds())
	}
}

// fired counts rules live; what recovery and replay compute again is not counted
// twice.
func (m *Metrics) fired(it *Item, fired []risk.Fired) {
	if it.Started.IsZero() {
		return
	}
	for i := range fired {
		if f := &fired[i]; f.Result == "" {
			m.hits.WithLabelValues(f.ID, f.Mode).Inc()
		} else {
			kind, _, _ := strings.Cut(f.Result, "(")
			m.faults.WithLabelValues(f.ID, kind).Inc()
		}
	}
}

// expect begins the counts of a release's decisions at 0, so that the first of
// them is seen as an increase. It gives where each scenario's scores are kept,
// found once, for looking it up by label costs more than keeping a score.
func (m *Metrics) expect(b *Bundle) (scores map[string]prometheus.Observer) {
	scores = map[string]prometheus.Observer{}
	for _, sc := range b.Rules.Scenarios() {
		for _, action := range []risk.Action{risk.Allow, risk.Review, risk.Block} {
			m.decisions.WithLabelValues(sc.Name, action.String(), modeLive)
		}
		if b.scorers[sc.Name] != nil {
			scores[sc.Name] = m.scores.WithLabelValues(sc.Name)
		}
	}
	return scores
}

// beginFeatures and endFeatures stand around the features step: two looks at the
// clock a batch, and none where nobody reads them or nobody waits.
func (m *Metrics) beginFeatures(b *Batch) (since time.Time) {
	if m.live && len(b.Items) > 0 && b.Items[0].Entry.Event != nil && !b.Items[0].Started.IsZero() {
		since = time.Now()
	}
	return since
}

func (m *Metrics) endFeatures(b *Batch, since time.Time) {
	if !since.IsZero() {
		m.features.Observe(time.Since(since).Seconds() / float64(len(b.Items)))
	}
}

// register adds what is read from the cell whenever it is asked for.
func (c *Cell) register(r prometheus.Registerer) {
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value)
	}
	r.MustRegister(newMemoryMetrics(c),
		gauge("sluice_journal_durable_position", "Position up to which the journal is durable.", func() float64 { return float64(c.journal.Durable()) }),
		gauge("sluice_waiting_entries", "Entries handed in that no batch has taken yet.", func() float64 { return float64(len(c.waiting)) }),
		gauge("sluice_waiting_entries_limit", "Entries that may wait; beyond, callers are told to come back.", func() float64 { return float64(cap(c.waiting)) }))
}

// registerBackfill adds how far the past of new features is learned.
func (c *Cell) registerBackfill(r prometheus.Registerer) {
	gauge := func(name, help string, value func(Backfill) float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 { return value(c.Backfill()) })
	}
	r.MustRegister(
		gauge("sluice_backfill_features", "Features of the release that decides that are missing until a backfill is complete.", func(b Backfill) float64 { return float64(len(b.Features)) }),
		gauge("sluice_backfill_progress_ratio", "Share of the journal that the backfill has read; 1 when none runs.", Backfill.Progress),
		gauge("sluice_backfill_lag_entries", "Entries of the journal that the backfill has yet to read; 0 when none runs.", func(b Backfill) float64 { return float64(b.Lag()) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "sluice_backfill_rested_seconds_total", Help: "Time that backfills stood back for the live walk."},
			func() float64 { return c.Backfill().Rested.Seconds() }))
}

func (m *Metrics) batch(b *Batch) {
	if len(b.Items) > 0 {
		m.batches.Observe(float64(len(b.Items)))
	}
}

func (m *Metrics) label(use labelUse) {
	if use != notLabel {
		m.labels.WithLabelValues([...]string{"", "counted", "unknown", "repeated"}[use]).Inc()
	}
}

func (m *Metrics) checkpoint(age time.Duration, journalBytes int64) {
	m.checkpoints.Observe(age.Seconds())
	m.journal.Set(float64(journalBytes))
}
