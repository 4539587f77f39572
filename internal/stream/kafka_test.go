package stream

import (
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-risk/sluice/internal/config"
	"github.com/sluice-risk/sluice/internal/kafkatest"
)

// What a real broker says to whom it refuses: the same words as in-process.
func TestKafkaConnections(t *testing.T) {
	k := kafkatest.Start(t, kafkatest.Options{Secure: true, Users: map[string]string{"sluice": "hunter2", "nobody": "hunter2"}})
	for _, topic := range []string{"payments", "decisions"} {
		k.Create(topic, 1)
	}
	k.Create(PublishedTopic, 1, "cleanup.policy=compact")
	k.Allow("sluice", kmsg.ACLResourceTypeTopic, "payments", kmsg.ACLOperationRead)
	k.Allow("sluice", kmsg.ACLResourceTypeTopic, "decisions", kmsg.ACLOperationWrite)
	k.Allow("sluice", kmsg.ACLResourceTypeTopic, PublishedTopic, kmsg.ACLOperationRead, kmsg.ACLOperationWrite)
	k.Allow("sluice", kmsg.ACLResourceTypeTransactionalId, "sluice-c", kmsg.ACLOperationWrite)
	other := newAuthority(t, "another authority")
	_, strange, strangeKey := other.sign("stranger", time.Hour)
	trust := config.KafkaTLS{Enabled: true, CAFile: k.CA}
	as := func(mechanism, user, password string) config.SASL {
		return config.SASL{Mechanism: mechanism, UserFile: secretFile(t, user), PasswordFile: secretFile(t, password)}
	}
	nobody := config.SASL{}
	for _, mechanism := range []string{"SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"} {
		t.Run(mechanism, func(t *testing.T) {
			r := connect(t, k.Secured(), trust, as(mechanism, "sluice", "hunter2"))
			r.patience = 15 * time.Second
			r.published(3)
			r.close()
		})
	}
	for _, tt := range []struct {
		name  string
		addrs []string
		tls   config.KafkaTLS
		sasl  config.SASL
		want  string
	}{
		{"wrong password", k.Secured(), trust, as("SCRAM-SHA-512", "sluice", "not hunter2"),
			"the brokers refuse the user or its password (kafka.sasl.user_file, kafka.sasl.password_file)"},
		{"wrong password in plain text", k.Secured(), trust, as("PLAIN", "sluice", "not hunter2"),
			"the brokers refuse the user or its password (kafka.sasl.user_file, kafka.sasl.password_file)"},
		{"unknown user", k.Secured(), trust, as("SCRAM-SHA-256", "somebody", "hunter2"),
			"the brokers refuse the user or its password (kafka.sasl.user_file, kafka.sasl.password_file)"},
		{"wrong mechanism", k.Secured(), trust, config.SASL{Mechanism: config.OAuth, TokenFile: secretFile(t, "t0k3n")},
			"the brokers do not take SASL mechanism OAUTHBEARER here (kafka.sasl.mechanism)"},
		{"no SASL here", k.Secured(), trust, nobody, "it may ask for SASL, or for a certificate of this client, and neither is configured (kafka.sasl, kafka.tls.cert_file)"},
		{"no SASL there", k.Brokers(), config.KafkaTLS{}, as("SCRAM-SHA-512", "sluice", "hunter2"),
			"the brokers ask for no SASL at this port, and one is configured (kafka.sasl, kafka.brokers)"},
		{"untrusted certificate", k.Secured(), config.KafkaTLS{Enabled: true, CAFile: other.file()}, nobody, "(kafka.tls.ca_file)"},
		{"plain text to a TLS port", k.Secured(), config.KafkaTLS{}, nobody, "(kafka.tls.enabled)"},
		{"TLS to a plain port", k.Brokers(), trust, nobody, "(kafka.tls.enabled)"},
		{"no client certificate", k.Mutual(), trust, nobody, "(kafka.tls.cert_file)"},
		{"strange client certificate", k.Mutual(), config.KafkaTLS{Enabled: true, CAFile: k.CA, CertFile: strange, KeyFile: strangeKey}, nobody, "(kafka.tls.cert_file)"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := connect(t, tt.addrs, tt.tls, tt.sasl)
			r.patience = 5 * time.Second
			saysOnce(t, r, tt.want)
		})
	}
	t.Run("no rights", func(t *testing.T) {
		r := connect(t, k.Secured(), trust, as("PLAIN", "nobody", "hunter2"))
		for _, want := range []string{"do not allow Read and Describe of topic payments (sources[0].topic)", "do not allow Write and Describe of topic decisions (outputs.decisions)"} {
			until(t, want, func() bool { _, detail := r.Check(); return strings.Contains(detail, want) })
		}
		r.close()
	})
}
