package main

import (
	"log/slog"
	"os"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-risk/sluice/engine"
	"github.com/sluice-risk/sluice/internal/config"
	"github.com/sluice-risk/sluice/internal/stream"
)

// newStream connects the cell with Kafka as the configuration says.
func newStream(cfg *config.Config, cell *engine.Cell, log *slog.Logger, r prometheus.Registerer) (*stream.Stream, error) {
	client, err := clientOptions(cfg.Kafka)
	if err != nil {
		return nil, err
	}
	o := stream.Options{Cell: cfg.Cell, Brokers: cfg.Kafka.Brokers, Client: client, Log: log, Register: r,
		Decisions: cfg.Outputs.Decisions, Alerts: cfg.Outputs.Alerts, DeadLetter: cfg.Outputs.DeadLetter}
	for _, s := range cfg.Sources {
		o.Sources = append(o.Sources, stream.Source{Topic: s.Topic, Tenant: s.Tenant})
	}
	return stream.New(cell, o)
}

func clientOptions(k config.Kafka) (opts []kgo.Opt, err error) {
	if k.TLS.CAFile != "" {
		ca, err := os.ReadFile(k.TLS.CAFile)
		if err != nil {
			return nil, err
		}
		opt, err := stream.TLS(ca)
		if err != nil {
			return nil, err
		}
		opts = append(opts, opt)
	}
	if k.SASL.Enabled() {
		user, err := config.ReadSecret(k.SASL.UserFile)
		if err != nil {
			return nil, err
		}
		password, err := config.ReadSecret(k.SASL.PasswordFile)
		if err != nil {
			return nil, err
		}
		opt, err := stream.SASL(k.SASL.Mechanism, user.Reveal(), password.Reveal())
		if err != nil {
			return nil, err
		}
		opts = append(opts, opt)
	}
	return opts, nil
}
