package enrich

import "github.com/prometheus/client_golang/prometheus"

var (
	tableInfo = prometheus.NewDesc("sluice_table_info", "1, of each look-up table in use: its version as in the facts.", []string{"table", "version"}, nil)
	tableGood = prometheus.NewDesc("sluice_table_last_load_successful",
		"1 when the table's file is what is in use, 0 when it cannot be used and the table before it goes on.", []string{"table"}, nil)
	tableLoads = prometheus.NewDesc("sluice_table_loads_total", "Times that a table's file was read, by result.", []string{"table", "result"}, nil)
	lookUpsBad = prometheus.NewDesc("sluice_lookup_faults_total", "Look-ups that failed because a table is damaged.", nil, nil)
)

// Describe makes Tables a prometheus.Collector.
func (t *Tables) Describe(to chan<- *prometheus.Desc) {
	for _, d := range [...]*prometheus.Desc{tableInfo, tableGood, tableLoads, lookUpsBad} {
		to <- d
	}
}

// Collect tells how the tables stand.
func (t *Tables) Collect(to chan<- prometheus.Metric) {
	to <- prometheus.MustNewConstMetric(lookUpsBad, prometheus.CounterValue, float64(t.Faults()))
	s := t.shared
	for _, f := range s.files {
		s.state.Lock() // not mu, which is held while a file is read
		now := f.standing
		s.state.Unlock()
		good := 1.0
		if now.problem != "" {
			good = 0
		}
		to <- prometheus.MustNewConstMetric(tableInfo, prometheus.GaugeValue, 1, f.kind.name, now.version)
		to <- prometheus.MustNewConstMetric(tableGood, prometheus.GaugeValue, good, f.kind.name)
		to <- prometheus.MustNewConstMetric(tableLoads, prometheus.CounterValue, float64(now.loads), f.kind.name, "ok")
		to <- prometheus.MustNewConstMetric(tableLoads, prometheus.CounterValue, float64(now.failed), f.kind.name, "failed")
	}
}
