package config

import (
	"fmt"
	"net"
	"slices"
	"strings"
)

// crossCheck tests what no single key can: that keys fit together. A key that
// is already at fault says nothing more.
func (l *loader) crossCheck() {
	c := l.config
	// The fault is shown where key was written, which is the one to change.
	refuse := func(when bool, key string, others []string, msg string, args ...any) {
		if when && !l.bad[key] && !slices.ContainsFunc(others, func(k string) bool { return l.bad[k] }) {
			l.fault(key, l.place(key), "", msg, args...)
		}
	}
	both := func(a, b, valueA, valueB string) {
		refuse(valueA != "" && valueB == "", a, []string{b}, "needs %s as well", b)
		refuse(valueB != "" && valueA == "", b, []string{a}, "needs %s as well", a)
	}
	both("tls.cert_file", "tls.key_file", c.TLS.CertFile, c.TLS.KeyFile)
	both("kafka.tls.cert_file", "kafka.tls.key_file", c.Kafka.TLS.CertFile, c.Kafka.TLS.KeyFile)
	refuse(!c.Kafka.TLS.Enabled && c.Kafka.TLS.files(), "kafka.tls.enabled", nil, "is false, and files of kafka.tls are named")
	refuse(!c.Kafka.TLS.Enabled && c.Kafka.TLS.ServerName != "", "kafka.tls.server_name", []string{"kafka.tls.enabled"},
		"is used with TLS only: set kafka.tls.enabled: true")
	l.crossSASL(refuse, both)
	refuse(c.MetricsListen != "" && c.MetricsListen == c.Listen, "metrics_listen", []string{"listen"},
		"is the address of listen; leave it empty to serve /metrics there")
	refuse(c.PAN.Mode == "hmac" && c.PAN.KeyFile == "", "pan.mode", []string{"pan.key_file"}, "hmac needs pan.key_file")
	refuse(c.PAN.Mode == "token" && c.PAN.KeyFile != "", "pan.key_file", []string{"pan.mode"}, "is not used in pan.mode token")
	const encrypted = "encrypted"
	refuse(c.DeadLetter.Payload == encrypted && c.DeadLetter.KeyFile == "", "dead_letter.payload", []string{"dead_letter.key_file"}, "encrypted needs dead_letter.key_file")
	refuse(c.DeadLetter.Payload != encrypted && c.DeadLetter.KeyFile != "", "dead_letter.key_file", []string{"dead_letter.payload"},
		"is used with dead_letter.payload: encrypted only")
	refuse(len(c.Sources) > 0 && !c.Kafka.Enabled(), "sources", []string{"kafka.brokers"}, "need kafka.brokers")
	refuse(len(c.Sources) > 0 && c.Outputs.DeadLetter == "", "outputs.dead_letter", []string{"sources"},
		"must not be empty while there are sources: a record that cannot be taken has to go somewhere")

	// One topic has one purpose: reading what we write would be a loop.
	used := map[string]string{}
	take := func(key, topic string) {
		if topic == "" {
			return
		}
		if first, taken := used[topic]; taken {
			if l.place(key).From == FromDefault {
				key, first = first, key // the one that was written is the one to change
			}
			refuse(true, key, nil, "%s is already the topic of %s", topic, first)
			return
		}
		used[topic] = key
	}
	take("outputs.decisions", c.Outputs.Decisions)
	take("outputs.alerts", c.Outputs.Alerts)
	take("outputs.dead_letter", c.Outputs.DeadLetter)
	for i, s := range c.Sources {
		item := fmt.Sprintf("sources[%d]", i)
		refuse(s.Topic == "", item, []string{item + ".topic"}, "needs a topic")
		take(item+".topic", s.Topic)
	}
}

// crossSASL tests that the identity shown to the brokers is whole, and that none
// is shown in clear to whoever listens.
func (l *loader) crossSASL(refuse func(bool, string, []string, string, ...any), both func(a, b, valueA, valueB string)) {
	const at = "kafka.sasl."
	s := l.config.Kafka.SASL
	both(at+"user_file", at+"password_file", s.UserFile, s.PasswordFile)
	token := s.Mechanism == OAuth
	mechanism := []string{at + "mechanism"}
	refuse(token && s.UserFile != "", at+"user_file", mechanism, "is not used by mechanism %s", s.Mechanism)
	refuse(token && (s.TokenFile == "") == (s.TokenURL == ""), at+"mechanism", []string{at + "token_file", at + "token_url"},
		"%s needs %stoken_file or %stoken_url, one of them", s.Mechanism, at, at)
	for _, k := range []struct {
		name, value string
		of          bool // used in this setting
		what        string
	}{
		{"token_file", s.TokenFile, token, "mechanism " + OAuth},
		{"token_url", s.TokenURL, token, "mechanism " + OAuth},
		{"extensions", strings.Join(s.Extensions, ","), token, "mechanism " + OAuth},
		{"token_ca_file", s.TokenCAFile, s.TokenURL != "", at + "token_url"},
		{"client_id_file", s.ClientIDFile, s.TokenURL != "", at + "token_url"},
		{"client_secret_file", s.ClientSecretFile, s.TokenURL != "", at + "token_url"},
		{"scope", s.Scope, s.TokenURL != "", at + "token_url"},
	} {
		refuse(k.value != "" && !k.of, at+k.name, mechanism, "is used with %s only", k.what)
	}
	for _, needed := range []struct{ name, value string }{{"client_id_file", s.ClientIDFile}, {"client_secret_file", s.ClientSecretFile}} {
		refuse(token && s.TokenURL != "" && needed.value == "", at+"token_url", []string{at + needed.name}, "needs %s as well", at+needed.name)
	}
	open := s.Enabled() && !l.config.Kafka.TLS.Enabled && (token || s.Mechanism == "PLAIN")
	remote := slices.IndexFunc(l.config.Kafka.Brokers, func(broker string) bool { return !loopback(broker) })
	if open && remote >= 0 {
		refuse(true, at+"mechanism", []string{"kafka.brokers", "kafka.tls.enabled"},
			"%s without TLS shows the secret to everyone on the way to %s: set kafka.tls.enabled: true, or use SCRAM",
			s.Mechanism, l.config.Kafka.Brokers[remote])
	}
}

// loopback tells whether an address host:port, or a host, is this machine's own.
func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		host = address
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
