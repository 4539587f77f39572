package stream

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

// TLS makes clients speak TLS, 1.2 at least, and trust the authorities in ca
// (PEM); an empty ca trusts those of the system.
func TLS(ca []byte) (kgo.Opt, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if len(ca) > 0 {
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(ca) {
			return nil, fmt.Errorf("stream: no certificate in the %d bytes of the brokers' authority file", len(ca))
		}
	}
	return kgo.DialTLSConfig(config), nil
}

// SASL makes clients show an identity by PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512.
func SASL(mechanism, user, password string) (kgo.Opt, error) {
	if user == "" || password == "" {
		return nil, errors.New("stream: SASL needs a user and a password")
	}
	var m sasl.Mechanism
	switch mechanism {
	case "PLAIN":
		m = plain.Auth{User: user, Pass: password}.AsMechanism()
	case "SCRAM-SHA-256":
		m = scram.Auth{User: user, Pass: password}.AsSha256Mechanism()
	case "SCRAM-SHA-512":
		m = scram.Auth{User: user, Pass: password}.AsSha512Mechanism()
	default:
		return nil, fmt.Errorf("stream: SASL mechanism %q is not PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512", mechanism)
	}
	return kgo.SASL(m), nil
}

// client makes a client of the brokers; it connects when it is first used.
func (s *Stream) client(more ...kgo.Opt) (*kgo.Client, error) {
	opts := append([]kgo.Opt{
		kgo.SeedBrokers(s.opts.Brokers...),
		kgo.ClientID("sluice-" + s.opts.Cell),
		kgo.DisableClientMetrics(),
		kgo.MetadataMinAge(250 * time.Millisecond), // a partition whose leader moves waits for no longer
		kgo.WithLogger(clientLog{s.log}),
	}, s.opts.Client...)
	cl, err := kgo.NewClient(append(opts, more...)...)
	if err != nil {
		return nil, fmt.Errorf("stream: %w", err)
	}
	return cl, nil
}

// clientLog gives the client's own words to those who debug: what matters of them
// comes back as an error, and is told once.
type clientLog struct{ *slog.Logger }

func (l clientLog) Level() kgo.LogLevel {
	if l.Enabled(context.Background(), slog.LevelDebug) {
		return kgo.LogLevelInfo
	}
	return kgo.LogLevelNone
}

func (l clientLog) Log(level kgo.LogLevel, msg string, keyvals ...any) {
	l.Debug("kafka client: "+msg, append(keyvals, "severity", strings.ToLower(level.String()))...)
}
