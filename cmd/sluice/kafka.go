package main

import (
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluice-risk/sluice/engine"
	"github.com/sluice-risk/sluice/internal/config"
	"github.com/sluice-risk/sluice/internal/stream"
)

// newStream connects the cell with Kafka as the configuration says.
func newStream(cfg *config.Config, sources []stream.Source, cell *engine.Cell, log *slog.Logger, r prometheus.Registerer) (*stream.Stream, error) {
	o := stream.Options{Cell: cfg.Cell, Brokers: cfg.Kafka.Brokers, TLS: cfg.Kafka.TLS, SASL: cfg.Kafka.SASL, MaxSkew: cfg.Kafka.MaxSkew, Log: log, Register: r,
		Sources: sources, Decisions: cfg.Outputs.Decisions, Alerts: cfg.Outputs.Alerts, DeadLetter: cfg.Outputs.DeadLetter}
	return stream.New(cell, o)
}

// sourcesOf compiles what is read: its mistakes are found before anything is opened.
func sourcesOf(cfg *config.Config) (all []stream.Source, err error) {
	for _, s := range cfg.Sources {
		translate, err := translator(s)
		if err != nil {
			return nil, err
		}
		all = append(all, stream.Source{Topic: s.Topic, Tenant: s.Tenant, Translate: translate})
	}
	return all, nil
}
