package featurelog

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluice-risk/sluice/store/journal"
)

type metrics struct {
	rows, files, failures prometheus.Counter
	seen, complete        prometheus.Gauge
}

func newMetrics(to prometheus.Registerer) *metrics {
	m := &metrics{
		rows:     prometheus.NewCounter(prometheus.CounterOpts{Name: "sluice_feature_log_rows_total", Help: "Rows in complete files of the feature log."}),
		files:    prometheus.NewCounter(prometheus.CounterOpts{Name: "sluice_feature_log_files_total", Help: "Files of the feature log that were completed."}),
		failures: prometheus.NewCounter(prometheus.CounterOpts{Name: "sluice_feature_log_failures_total", Help: "Attempts to write the feature log that failed and are made again."}),
		seen:     prometheus.NewGauge(prometheus.GaugeOpts{Name: "sluice_feature_log_position", Help: "Position up to which the feature log has written."}),
		complete: prometheus.NewGauge(prometheus.GaugeOpts{Name: "sluice_feature_log_complete_position", Help: "Position up to which its files are complete."}),
	}
	if to != nil {
		to.MustRegister(m.rows, m.files, m.failures, m.seen, m.complete)
	}
	return m
}

func (m *metrics) completed(rows int64, last journal.Position) {
	m.rows.Add(float64(rows))
	m.files.Inc()
	m.complete.Set(float64(last))
}
