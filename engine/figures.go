package engine

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluice-risk/sluice/features"
	"github.com/sluice-risk/sluice/risk"
)

// Memory is what the features keep of entities, and how far back the journal goes
// that they could be computed from again.
type Memory struct {
	features.Figures
	JournalFrom   risk.Time     // event time at which the kept journal begins, to the day; 0: no event yet
	Watermark     risk.Time     // newest event time
	LongestWindow time.Duration // that a feature of the active release has, lateness included
}

// Memory tells how the entities are kept now.
func (c *Cell) Memory() Memory {
	m := Memory{JournalFrom: risk.Time(c.oldest.Load()), Watermark: risk.Time(c.watermark.Load())}
	if state := c.state.Load(); state != nil {
		m.Figures = state.Figures()
	}
	if b := c.bundle.Load(); b != nil {
		m.LongestWindow = b.Rules.Features.Horizon()
	}
	return m
}

// memoryMetric is one metric of the entities, with its values by label.
type memoryMetric struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	of   func(m *Memory, emit func(value int64, label ...string))
}

// memoryMetrics are all of them, read together so that they fit each other.
type memoryMetrics struct {
	cell *Cell
	all  []memoryMetric
}

func newMemoryMetrics(c *Cell) *memoryMetrics {
	const gauge, counter = prometheus.GaugeValue, prometheus.CounterValue
	one := func(of func(*Memory) int64) func(*Memory, func(int64, ...string)) {
		return func(m *Memory, emit func(int64, ...string)) { emit(of(m)) }
	}
	out := &memoryMetrics{cell: c}
	add := func(kind prometheus.ValueType, name, help string, of func(*Memory, func(int64, ...string)), labels ...string) {
		out.all = append(out.all, memoryMetric{prometheus.NewDesc(name, help, labels, nil), kind, of})
	}
	add(gauge, "sluice_state_entities", "Entities by where they are: hot in memory, and stored (hot ones too).",
		func(m *Memory, emit func(int64, ...string)) {
			emit(m.Hot, "hot")
			emit(m.Stored, "stored")
		}, "state")
	add(gauge, "sluice_state_bytes", "Bytes of the entities in memory.", one(func(m *Memory) int64 { return m.Bytes }))
	add(gauge, "sluice_state_limit_bytes", "What they may take, about: state.memory.", one(func(m *Memory) int64 { return m.Budget }))
	add(gauge, "sluice_state_filter_bytes", "Bytes of the filter over stored ids, on top of them.", one(func(m *Memory) int64 { return m.Filter }))
	add(counter, "sluice_state_lookups_total", "Entities that events touched, by where they were: hot, prefetched (read early), read (while everything waited), new.",
		func(m *Memory, emit func(int64, ...string)) {
			emit(m.Hits, "hot")
			emit(m.Prefetched, "prefetched")
			emit(m.Read, "read")
			emit(m.New, "new")
		}, "result")
	add(counter, "sluice_state_prefetches_total", "Entities read early from the store, used or not.", one(func(m *Memory) int64 { return m.Prefetches }))
	add(counter, "sluice_state_evictions_total", "Entities that left memory for the limit.", one(func(m *Memory) int64 { return m.Evictions }))
	add(gauge, "sluice_journal_span_seconds", "Event time from where the kept journal begins, to the day, to the newest event.", one(func(m *Memory) int64 {
		if m.JournalFrom == 0 {
			return 0
		}
		return int64(m.Watermark.Sub(m.JournalFrom).Seconds())
	}))
	add(gauge, "sluice_feature_window_seconds", "The longest window of a feature that decides, with its delay and the lateness that is allowed.",
		one(func(m *Memory) int64 { return int64(m.LongestWindow.Seconds()) }))
	return out
}

// Describe implements prometheus.Collector.
func (m *memoryMetrics) Describe(to chan<- *prometheus.Desc) {
	for i := range m.all {
		to <- m.all[i].desc
	}
}

// Collect implements prometheus.Collector.
func (m *memoryMetrics) Collect(to chan<- prometheus.Metric) {
	now := m.cell.Memory()
	for i := range m.all {
		one := &m.all[i]
		one.of(&now, func(value int64, labels ...string) {
			to <- prometheus.MustNewConstMetric(one.desc, one.kind, float64(value), labels...)
		})
	}
}
