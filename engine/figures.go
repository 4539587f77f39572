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

func (c *Cell) registerMemory(r prometheus.Registerer) {
	figure := func(kind prometheus.ValueType, name, help, label, value string, of func(*features.Figures) int64) prometheus.Collector {
		o := prometheus.Opts{Name: name, Help: help}
		if label != "" {
			o.ConstLabels = prometheus.Labels{label: value}
		}
		read := func() float64 {
			m := c.Memory()
			return float64(of(&m.Figures))
		}
		if kind == prometheus.CounterValue {
			return prometheus.NewCounterFunc(prometheus.CounterOpts(o), read)
		}
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts(o), read)
	}
	const (
		entities, entitiesHelp = "sluice_state_entities", "Entities by where they are: hot in memory, and stored (hot ones too)."
		lookups, lookupsHelp   = "sluice_state_lookups_total", "Entities that events touched, by where they were: hot, prefetched (read early), read (while everything waited), new."
		gauge, counter         = prometheus.GaugeValue, prometheus.CounterValue
	)
	r.MustRegister(
		figure(gauge, entities, entitiesHelp, "state", "hot", func(f *features.Figures) int64 { return f.Hot }),
		figure(gauge, entities, entitiesHelp, "state", "stored", func(f *features.Figures) int64 { return f.Stored }),
		figure(gauge, "sluice_state_bytes", "Bytes of the entities in memory.", "", "", func(f *features.Figures) int64 { return f.Bytes }),
		figure(gauge, "sluice_state_limit_bytes", "What they may take, about (state.memory).", "", "", func(f *features.Figures) int64 { return f.Budget }),
		figure(gauge, "sluice_state_filter_bytes", "Bytes of the filter over stored ids, on top of them.", "", "", func(f *features.Figures) int64 { return f.Filter }),
		figure(counter, lookups, lookupsHelp, "result", "hot", func(f *features.Figures) int64 { return f.Hits }),
		figure(counter, lookups, lookupsHelp, "result", "prefetched", func(f *features.Figures) int64 { return f.Prefetched }),
		figure(counter, lookups, lookupsHelp, "result", "read", func(f *features.Figures) int64 { return f.Read }),
		figure(counter, lookups, lookupsHelp, "result", "new", func(f *features.Figures) int64 { return f.New }),
		figure(counter, "sluice_state_prefetches_total", "Entities read early from the store, used or not.", "", "", func(f *features.Figures) int64 { return f.Prefetches }),
		figure(counter, "sluice_state_evictions_total", "Entities that left memory for the limit.", "", "", func(f *features.Figures) int64 { return f.Evictions }),
	)
}
