package stream

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-risk/sluice/internal/config"
)

// Brokers is how brokers are reached, and what they said last.
type Brokers struct {
	kafka config.Kafka
	id    string
	more  []kgo.Opt
	log   *slog.Logger
	token *tokens // nil: no OAUTHBEARER

	answered atomic.Bool             // to more than what it speaks
	trouble  atomic.Pointer[Trouble] // told last, nil since an answer

	mu    sync.Mutex
	last  error // of the newest attempt to connect, nil when it was good
	asked time.Time
}

// Reach prepares the way to brokers; it connects to nothing. Files of
// certificates and secrets are read once, to fail early, and again for each new
// connection. id names the client to the brokers.
func Reach(k config.Kafka, id string, log *slog.Logger, more ...kgo.Opt) (*Brokers, error) {
	b := &Brokers{kafka: k, id: id, more: more, log: log}
	if k.TLS.Enabled {
		if _, err := b.tls("localhost"); err != nil {
			return nil, fmt.Errorf("stream: %w", err)
		}
	}
	if k.SASL.Enabled() {
		if k.SASL.Mechanism == config.OAuth {
			b.token = newTokens(k.SASL)
		}
		if err := b.checkSecrets(); err != nil {
			return nil, fmt.Errorf("stream: %w", err)
		}
	}
	return b, nil
}

// Client makes a client; it connects when it is first used.
func (b *Brokers) Client(more ...kgo.Opt) (*kgo.Client, error) {
	opts := []kgo.Opt{
		kgo.SeedBrokers(b.kafka.Brokers...),
		kgo.ClientID(b.id),
		kgo.DisableClientMetrics(),
		kgo.MetadataMinAge(250 * time.Millisecond), // a partition whose leader moves waits for no longer
		kgo.WithLogger(clientLog{b.log}),
		kgo.WithHooks(b),
	}
	if b.kafka.TLS.Enabled {
		opts = append(opts, kgo.Dialer(b.dial))
	}
	if b.kafka.SASL.Enabled() {
		m, err := b.mechanism()
		if err != nil {
			return nil, fmt.Errorf("stream: %w", err)
		}
		opts = append(opts, kgo.SASL(m))
	}
	cl, err := kgo.NewClient(append(append(opts, b.more...), more...)...)
	if err != nil {
		return nil, fmt.Errorf("stream: %w", err)
	}
	return cl, nil
}

// OnBrokerConnect keeps what became of the newest connection: a client that tries
// again until its time is over says only that.
func (b *Brokers) OnBrokerConnect(_ kgo.BrokerMetadata, _ time.Duration, _ net.Conn, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	// When the caller's time is over a connection is given up: that is no news.
	if b.last != nil && overdue(err) && time.Since(b.asked) < time.Minute {
		return
	}
	b.last, b.asked = err, time.Now()
}

// OnBrokerE2E keeps that a broker has answered to something else than what it
// answers to everyone: what it speaks, and how to log in.
func (b *Brokers) OnBrokerE2E(_ kgo.BrokerMetadata, key int16, e kgo.BrokerE2E) {
	const handshake, apiVersions, authenticate = 17, 18, 36
	if key == handshake || key == apiVersions || key == authenticate || e.Err() != nil {
		return
	}
	b.answered.Store(true)
	if b.trouble.Load() != nil {
		b.trouble.Store(nil)
	}
}

// refused is why the newest connection did not come about, nil when that is long ago.
func (b *Brokers) refused() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if time.Since(b.asked) > time.Minute {
		return nil
	}
	return b.last
}

// client makes a client of the stream's brokers.
func (s *Stream) client(more ...kgo.Opt) (*kgo.Client, error) { return s.brokers.Client(more...) }

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
