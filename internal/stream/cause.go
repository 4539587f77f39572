package stream

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-risk/sluice/internal/config"
)

// Trouble is what keeps a client from its brokers, in words for whoever set it
// up: what is wrong and the key of sluice.yaml to look at. It never holds a secret,
// and none of what a broker says in its own words.
type Trouble struct {
	What string
	Key  string
	Err  error
}

func (t *Trouble) Error() string { return t.What + " (" + t.Key + ")" }
func (t *Trouble) Unwrap() error { return t.Err }

// topicError says which topic it was.
type topicError struct {
	topic string
	err   error
}

func (e *topicError) Error() string { return "topic " + e.topic + ": " + e.err.Error() }
func (e *topicError) Unwrap() error { return e.err }

// Explain gives a Trouble for an error of a client whose cause is known, and any
// other error as it is.
func (b *Brokers) Explain(err error) error {
	if err == nil {
		return nil
	}
	// A client that has tried until its time was over says only that; one that
	// the broker hung up on does not say in the middle of what.
	if last := b.refused(); last != nil && (overdue(err) || errors.Is(err, io.EOF)) {
		err = last
	}
	if t := b.trouble.Load(); t != nil && (overdue(err) || hasDied(err)) {
		return t // it lasts
	}
	what, key := b.explain(err)
	if what == "" {
		return err
	}
	t := &Trouble{what, key, err}
	b.trouble.Store(t)
	return t
}

// overdue tells of an attempt that was given up for its time, not for what it met.
func overdue(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) || errors.Is(err, kgo.ErrRecordTimeout)
}

// hasDied tells of a connection that ended under a request: no type is given out.
func hasDied(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || strings.Contains(err.Error(), "broker connection has died")
}

const (
	tlsKeys  = "kafka.tls.enabled"
	userKeys = "kafka.sasl.user_file, kafka.sasl.password_file"
)

func (b *Brokers) explain(err error) (what, key string) {
	k := b.kafka
	broker := "a broker"
	if e, ok := errors.AsType[*brokerError](err); ok {
		broker = "broker " + e.address
	}
	if f, ok := errors.AsType[*keyFault](err); ok {
		return f.err.Error(), f.key
	}
	if what, key := b.explainTLS(err, broker); what != "" {
		return what, key
	}
	identity := userKeys
	if k.SASL.Mechanism == config.OAuth {
		identity = "kafka.sasl.mechanism " + config.OAuth
		if k.SASL.TokenFile != "" {
			identity = "kafka.sasl.token_file"
		} else if k.SASL.TokenURL != "" {
			identity = "kafka.sasl.token_url"
		}
	}
	var hungUp *kgo.ErrFirstReadEOF
	dialled, isDial := errors.AsType[*net.OpError](err)
	switch {
	case errors.Is(err, errToken):
		return err.Error(), identity
	case errors.Is(err, kerr.SaslAuthenticationFailed):
		if k.SASL.Mechanism == config.OAuth {
			return errToken.Error(), identity
		}
		return "the brokers refuse the user or its password", identity
	case errors.Is(err, kerr.UnsupportedSaslMechanism):
		return "the brokers do not take SASL mechanism " + k.SASL.Mechanism + " here", "kafka.sasl.mechanism"
	case errors.Is(err, kerr.IllegalSaslState) && k.SASL.Enabled():
		return "the brokers ask for no SASL at this port, and one is configured", "kafka.sasl, kafka.brokers"
	case errors.As(err, &hungUp) && strings.Contains(hungUp.Error(), "SASL"),
		!k.SASL.Enabled() && !b.answered.Load() && hasDied(err):
		return "a broker hung up at the first request: it may ask for SASL, and none is configured", "kafka.sasl"
	case errors.As(err, &hungUp):
		return "a broker hung up at the first request: the port may speak TLS, and none is configured", tlsKeys
	case errors.Is(err, io.EOF) && k.SASL.Enabled():
		return "the brokers hang up when they are shown the user or token: they refuse it, or the port speaks another protocol", identity
	case strings.Contains(err.Error(), "HTTP response"):
		return broker + " answers in HTTP: the port is another one", "kafka.brokers"
	case isDial && dialled.Op == "dial":
		return "no broker can be reached: " + dialled.Error(), "kafka.brokers"
	}
	return "", ""
}

// explainTLS knows what goes wrong before the brokers' own protocol is spoken.
func (b *Brokers) explainTLS(err error, broker string) (what, key string) {
	t := b.kafka.TLS
	if strings.Contains(err.Error(), "appear to be a tls alert") { // no type for it
		return "the brokers speak TLS at this port, and none is configured", tlsKeys
	}
	if !t.Enabled {
		return "", ""
	}
	unknown, isUnknown := errors.AsType[x509.UnknownAuthorityError](err)
	host, isHost := errors.AsType[x509.HostnameError](err)
	invalid, isInvalid := errors.AsType[x509.CertificateInvalidError](err)
	remote, isRemote := errors.AsType[*net.OpError](err)
	isAlert := isRemote && remote.Op == "remote error" // as crypto/tls tells an alert
	_, isHandshake := errors.AsType[*handshakeError](err)
	_, isRecord := errors.AsType[tls.RecordHeaderError](err)
	var hungUp *kgo.ErrFirstReadEOF
	switch {
	case isUnknown && t.CAFile != "":
		return fmt.Sprintf("the certificate of %s%s is signed by none of the authorities in %s", broker, issuer(unknown.Cert), t.CAFile), "kafka.tls.ca_file"
	case isUnknown:
		return fmt.Sprintf("the certificate of %s%s is signed by no authority that this system trusts", broker, issuer(unknown.Cert)), "kafka.tls.ca_file"
	case isHost:
		return fmt.Sprintf("the certificate of %s is not for %s but for %s", broker, host.Host, strings.Join(names(host.Certificate), ", ")), "kafka.tls.server_name"
	case isInvalid && invalid.Reason == x509.Expired && invalid.Cert != nil:
		return fmt.Sprintf("the certificate of %s is in force from %s to %s only", broker,
			invalid.Cert.NotBefore.UTC().Format(time.RFC3339), invalid.Cert.NotAfter.UTC().Format(time.RFC3339)), "the brokers' certificate"
	case isInvalid:
		return "the certificate of " + broker + " cannot be used: " + invalid.Error(), "the brokers' certificate"
	case isAlert && t.CertFile == "":
		return broker + " wants a certificate of this client, and none is configured (" + remote.Err.Error() + ")", "kafka.tls.cert_file"
	case isAlert:
		return broker + " refuses the certificate of this client (" + remote.Err.Error() + ")", "kafka.tls.cert_file"
	case isRecord:
		return broker + " does not speak TLS at this port", tlsKeys
	case isHandshake && (errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, context.DeadlineExceeded)):
		return broker + " hung up or was silent in the TLS handshake: the port may speak no TLS", tlsKeys
	case errors.As(err, &hungUp) && !b.kafka.SASL.Enabled() && t.CertFile == "":
		return broker + " hung up after the TLS handshake: it may ask for SASL, or for a certificate of this client, and neither is configured", "kafka.sasl, kafka.tls.cert_file"
	case errors.As(err, &hungUp) && t.CertFile == "":
		return broker + " hung up after the TLS handshake: it may want a certificate of this client", "kafka.tls.cert_file"
	}
	return "", ""
}

func issuer(c *x509.Certificate) string {
	if c == nil || c.Issuer.CommonName == "" {
		return ""
	}
	return fmt.Sprintf(", issued by %.100s,", c.Issuer.CommonName)
}

// names are those a certificate is for, few of them.
func names(c *x509.Certificate) []string {
	all := append([]string(nil), c.DNSNames...)
	for _, ip := range c.IPAddresses {
		all = append(all, ip.String())
	}
	if len(all) > 5 {
		all = append(all[:5], "…")
	}
	return all
}

// explain is Brokers.Explain that also knows what the stream does with a topic.
func (s *Stream) explain(err error) error {
	var what, key string
	topic := ""
	if e, ok := errors.AsType[*topicError](err); ok {
		topic = e.topic
	}
	switch {
	case errors.Is(err, kerr.TopicAuthorizationFailed) && topic != "":
		var rights string
		rights, key = s.needs(topic)
		what = "the brokers' ACLs do not allow " + rights + " topic " + topic
	case errors.Is(err, kerr.TopicAuthorizationFailed):
		what, key = "the brokers' ACLs do not allow a topic that is read or written", "sources, outputs"
	case errors.Is(err, kerr.TransactionalIDAuthorizationFailed):
		what, key = "the brokers' ACLs do not allow Write and Describe on transactional id sluice-"+s.opts.Cell, "cell"
	case errors.Is(err, kerr.ClusterAuthorizationFailed):
		what, key = "the brokers' ACLs do not allow what is needed on the cluster: IdempotentWrite, or Create for a topic that is missing", userKeys
	default:
		return s.brokers.Explain(err)
	}
	return &Trouble{what, key, err}
}

// needs are the rights on a topic, and the key that names it.
func (s *Stream) needs(topic string) (rights, key string) {
	switch topic {
	case PublishedTopic:
		return "Read, Write and Describe of", "kafka.sasl.user_file"
	case s.opts.Decisions:
		return "Write and Describe of", "outputs.decisions"
	case s.opts.Alerts:
		return "Write and Describe of", "outputs.alerts"
	case s.opts.DeadLetter:
		return "Write and Describe of", "outputs.dead_letter"
	}
	for i, src := range s.opts.Sources {
		if src.Topic == topic {
			return "Read and Describe of", fmt.Sprintf("sources[%d].topic", i)
		}
	}
	return "", "sources, outputs"
}

// failed notes that a direction failed and says it: what keeps both directions
// from the brokers is said once for both, and each thing at most every minute.
func (s *Stream) failed(h *health, what string, err error) {
	err = s.explain(err)
	h.bad(err)
	line := what + err.Error()
	if t, ok := errors.AsType[*Trouble](err); ok {
		line = t.What
	}
	if s.said.due(line, time.Now()) {
		s.log.Warn("kafka: "+what, "err", err)
	}
}

// said is what was logged within the last minute.
type said struct {
	mu    sync.Mutex
	lines map[string]time.Time
}

// due tells whether a line is to be written now, and remembers that it was.
func (s *said) due(line string, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for old, at := range s.lines {
		if now.Sub(at) >= time.Minute {
			delete(s.lines, old)
		}
	}
	if _, ok := s.lines[line]; ok {
		return false
	}
	if s.lines == nil {
		s.lines = map[string]time.Time{}
	}
	s.lines[line] = now
	return true
}
