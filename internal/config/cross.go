package config

import (
	"fmt"
	"slices"
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
	both("kafka.sasl.user_file", "kafka.sasl.password_file", c.Kafka.SASL.UserFile, c.Kafka.SASL.PasswordFile)
	refuse(c.MetricsListen != "" && c.MetricsListen == c.Listen, "metrics_listen", []string{"listen"},
		"is the address of listen; leave it empty to serve /metrics there")
	refuse(c.PAN.Mode == "hmac" && c.PAN.KeyFile == "", "pan.mode", []string{"pan.key_file"}, "hmac needs pan.key_file")
	refuse(c.PAN.Mode == "token" && c.PAN.KeyFile != "", "pan.key_file", []string{"pan.mode"}, "is not used in pan.mode token")
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
