package main

import (
	"maps"
	"os"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// releaseMetrics tell which release decides and how old its lists are.
type releaseMetrics struct{ releases *releases }

var (
	rulesetDesc = prometheus.NewDesc("sluice_ruleset_info", "1, of the release that decides: its ruleset's name, and its version as in the log and /readyz.",
		[]string{"ruleset", "version"}, nil)
	deadlineDesc = prometheus.NewDesc("sluice_scenario_deadline_seconds", "Deadline of a scenario's decisions for callers that name none.", []string{"scenario"}, nil)
	listAgeDesc  = prometheus.NewDesc("sluice_list_age_seconds", "Since a file of the list was last written, of lists that decide.", []string{"list"}, nil)
)

func (m releaseMetrics) Describe(to chan<- *prometheus.Desc) {
	to <- rulesetDesc
	to <- deadlineDesc
	to <- listAgeDesc
}

func (m releaseMetrics) Collect(to chan<- prometheus.Metric) {
	b := m.releases.cell.Bundle()
	if b == nil {
		return
	}
	to <- prometheus.MustNewConstMetric(rulesetDesc, prometheus.GaugeValue, 1, b.Rules.Name, b.SHA256[:12])
	for _, sc := range b.Rules.Scenarios() {
		to <- prometheus.MustNewConstMetric(deadlineDesc, prometheus.GaugeValue, sc.Deadline.Seconds(), sc.Name)
	}
	for name, written := range m.releases.listDates() {
		to <- prometheus.MustNewConstMetric(listAgeDesc, prometheus.GaugeValue, time.Since(written).Seconds(), name)
	}
}

// listDates looks at the files of the lists that decide. A list that is written
// again with the same content is young again: whatever makes it has run. While
// the directory is broken, and its files are not what decides, the last dates
// known stay; a process that began so has none.
func (w *releases) listDates() map[string]time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	b := w.cell.Bundle()
	if b == nil || w.state.Problem != "" || w.state.SHA256 != b.SHA256 {
		return maps.Clone(w.dated)
	}
	w.dated = map[string]time.Time{}
	for _, list := range b.Rules.Lists {
		for _, name := range list.Sources() {
			info, err := os.Stat(filepath.Join(w.dir, name))
			if err == nil && info.ModTime().After(w.dated[list.Name()]) {
				w.dated[list.Name()] = info.ModTime()
			}
		}
	}
	return maps.Clone(w.dated)
}
