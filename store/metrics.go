package store

import "github.com/prometheus/client_golang/prometheus"

// Metrics of a store and its guard.
type Metrics struct {
	duration, putsPer prometheus.Histogram
	puts, bytes       prometheus.Counter
	staged, corrupt   prometheus.Counter
	position, size    prometheus.Gauge
	readOnly, free    prometheus.Gauge
}

// NewMetrics registers the metrics. One Metrics may serve stores that follow
// each other, not two at the same time.
func NewMetrics(r prometheus.Registerer) (*Metrics, error) {
	m := newMetrics()
	for _, c := range []prometheus.Collector{m.duration, m.putsPer, m.puts, m.bytes, m.staged, m.corrupt, m.position, m.size, m.readOnly, m.free} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func newMetrics() *Metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: "sluice", Subsystem: "store", Name: name, Help: help})
	}
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "sluice", Subsystem: "store", Name: name, Help: help})
	}
	histogram := func(name, help string, buckets []float64) prometheus.Histogram {
		return prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: "sluice", Subsystem: "store", Name: name, Help: help, Buckets: buckets})
	}
	return &Metrics{
		duration: histogram("checkpoint_seconds", "Time to commit a checkpoint.", prometheus.ExponentialBuckets(0.001, 2, 14)),
		putsPer:  histogram("checkpoint_puts", "Keys written or deleted by a checkpoint.", prometheus.ExponentialBuckets(16, 4, 10)),
		puts:     counter("puts_total", "Keys written or deleted by checkpoints."),
		bytes:    counter("checkpoint_bytes_total", "Bytes of keys, values and state given to checkpoints."),
		staged:   counter("checkpoints_staged_total", "Checkpoints too big for one transaction, which cost about twice as much."),
		corrupt:  counter("corrupt_reads_total", "Reads that found damaged data."),
		position: gauge("position", "Journal position of the last checkpoint."),
		size:     gauge("table_bytes", "Size of the tables on disk."),
		readOnly: gauge("read_only", "1 while there is too little free disk space to write."),
		free:     gauge("free_bytes", "Free space of the fullest directory watched."),
	}
}
