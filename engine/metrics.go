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
}

func newMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		decisions: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sluice_decisions_total",
			Help: "Decisions by scenario and action."}, []string{"scenario", "action"}),
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
	}
	if r != nil {
		r.MustRegister(m.decisions, m.entries, m.duration, m.batches, m.labels, m.hits, m.faults, m.checkpoints, m.journal, m.degraded)
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
		m.decisions.WithLabelValues(r.Scenario, r.Action.String()).Inc()
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
