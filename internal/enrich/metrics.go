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
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.files {
		good := 1.0
		if f.problem != "" {
			good = 0
		}
		to <- prometheus.MustNewConstMetric(tableInfo, prometheus.GaugeValue, 1, f.kind.name, f.version)
		to <- prometheus.MustNewConstMetric(tableGood, prometheus.GaugeValue, good, f.kind.name)
		to <- prometheus.MustNewConstMetric(tableLoads, prometheus.CounterValue, float64(f.loads[true]), f.kind.name, "ok")
		to <- prometheus.MustNewConstMetric(tableLoads, prometheus.CounterValue, float64(f.loads[false]), f.kind.name, "failed")
	}
}
