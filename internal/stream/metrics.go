package stream

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	lag       *prometheus.GaugeVec
	consumed  *prometheus.CounterVec
	skipped   *prometheus.CounterVec
	lost      *prometheus.CounterVec
	held      prometheus.Counter
	again     *prometheus.CounterVec
	published *prometheus.CounterVec
	position  prometheus.Gauge
	failures  prometheus.Counter
}

func newMetrics(r prometheus.Registerer) *metrics {
	m := &metrics{
		lag: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "sluice_kafka_lag_records",
			Help: "Records of a source partition that the cell has not been given yet."}, []string{"topic", "partition"}),
		consumed: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sluice_kafka_consumed_records_total",
			Help: "Records given to the cell, by topic."}, []string{"topic"}),
		skipped: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sluice_kafka_skipped_records_total",
			Help: "Records that the mapping of their source leaves out, by topic."}, []string{"topic"}),
		lost: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sluice_kafka_source_gaps_total",
			Help: "Times that a source partition no longer had the offset to go on at, by topic."}, []string{"topic"}),
		held: prometheus.NewCounter(prometheus.CounterOpts{Name: "sluice_kafka_merge_wait_seconds_total",
			Help: "Time for which records were at hand and waited for a slower partition."}),
		again: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sluice_kafka_reread_records_total",
			Help: "Records read again on request, by what became of them."}, []string{"outcome"}),
		published: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sluice_kafka_published_records_total",
			Help: "Records in committed transactions, by topic."}, []string{"topic"}),
		position: prometheus.NewGauge(prometheus.GaugeOpts{Name: "sluice_kafka_published_position",
			Help: "Journal position up to which results are published."}),
		failures: prometheus.NewCounter(prometheus.CounterOpts{Name: "sluice_kafka_publish_failures_total",
			Help: "Attempts to connect or to publish that failed and were made again."}),
	}
	if r != nil {
		r.MustRegister(m.lag, m.consumed, m.skipped, m.lost, m.held, m.again, m.published, m.position, m.failures)
	}
	return m
}
