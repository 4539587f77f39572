package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-risk/sluice/internal/kafkatest"
)

const secretPassword = "correct-horse-7f3a" // of the user sluice, and nowhere in a log

// Users, passwords, certificates and rights as a bank's brokers want them. The
// rights are those of docs/operations.md and no others.
func TestKafkaSecured(t *testing.T) {
	t.Parallel() // it mostly waits
	c := kafkatest.Start(t, kafkatest.Options{Secure: true, Users: map[string]string{"sluice": secretPassword}})
	topics(t, c)
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	user, password := file("user", "sluice\n"), file("password", secretPassword+"\n")
	tls := "kafka.tls.ca_file=" + c.CA
	var figures []string

	// Each way in is a cell of its own.
	for _, way := range []struct {
		name      string
		principal string
		brokers   []string
		set       []string
	}{
		{"SCRAM-SHA-512", "sluice", c.Secured(), []string{tls, "kafka.sasl.user_file=" + user, "kafka.sasl.password_file=" + password}},
		{"SCRAM-SHA-256", "sluice", c.Secured(), []string{tls, "kafka.sasl.user_file=" + user, "kafka.sasl.password_file=" + password, "kafka.sasl.mechanism=SCRAM-SHA-256"}},
		{"PLAIN", "sluice", c.Secured(), []string{tls, "kafka.sasl.user_file=" + user, "kafka.sasl.password_file=" + password, "kafka.sasl.mechanism=PLAIN"}},
		{"mutual-TLS", kafkatest.CertUser, c.Mutual(), []string{tls, "kafka.tls.cert_file=" + c.Cert, "kafka.tls.key_file=" + c.Key}},
	} {
		t.Run(way.name, func(t *testing.T) {
			cell := "cell-" + strings.ToLower(way.name)
			s := newServer(t, append(way.set, "kafka.brokers="+strings.Join(way.brokers, ","), "sources=[{topic: payments}]", "cell="+cell)...)
			s.start()
			began := time.Now()
			refused := func() bool { return strings.Contains(s.logged(), "ACLs do not allow") }
			await(t, "a refusal of who may do nothing yet", refused)
			grant(t, c, way.principal, cell)
			id := "by-" + way.name
			if a := s.post("/v1/decisions", payment(id, "20.00"), patient...); a.status != 200 || a.degraded() != "" {
				t.Fatal(a)
			}
			produceOne(t, c, "payments", payment(id+"-kafka", "30.00"))
			awaitDecisions(t, c, s, id, id+"-kafka")
			s.stop()
			figures = append(figures, fmt.Sprintf("%s %s", way.name, time.Since(began).Round(100*time.Millisecond)))
		})
	}

	t.Run("wrong-password", func(t *testing.T) {
		const wrong = "battery-staple-91c2"
		passwords := file("changing", wrong+"\n")
		var tries atomic.Int64
		front := countingProxy(t, c.Secured()[0], &tries)
		grant(t, c, "sluice", "cell-late")
		s := newServer(t, tls, "kafka.brokers="+front, "sources=[{topic: payments}]", "cell=cell-late",
			"kafka.sasl.user_file="+user, "kafka.sasl.password_file="+passwords)
		s.start()
		if a := s.post("/v1/decisions", payment("patient", "20.00"), patient...); a.status != 200 || a.degraded() != "" {
			t.Errorf("HTTP with a wrong password for the brokers = %s", a)
		}
		const says = "the brokers refuse the user or its password"
		await(t, "a line in the log", func() bool { return strings.Contains(s.logged(), says) })
		before, watched := tries.Load(), 15*time.Second
		time.Sleep(watched) // a storm would show
		storm := tries.Load() - before
		if limit := 2 * int64(watched.Seconds()); storm > limit {
			t.Errorf("%d attempts to log in within %s, want %d at most", storm, watched, limit)
		}
		ready := s.get("/readyz")
		if ready.status != 200 || !strings.Contains(string(ready.body), `"kafka":{"ok":false`) || !strings.Contains(string(ready.body), says) {
			t.Errorf("/readyz = %s, want 200 with what is wrong", ready)
		}
		if n := strings.Count(s.logged(), "kafka: "); n != 1 {
			t.Errorf("%d lines about Kafka, want one:\n%s", n, s.logged())
		}
		file("changing", secretPassword+"\n") // no restart
		corrected := time.Now()
		awaitDecisions(t, c, s, "patient")
		took := time.Since(corrected)
		s.stop()
		for _, secret := range []string{wrong, secretPassword} {
			if strings.Contains(s.logged()+string(ready.body), secret) {
				t.Errorf("the password %s is told", secret)
			}
		}
		figures = append(figures, fmt.Sprintf("wrong password: 1 line, %d attempts in %s, published %s after it was corrected", storm, watched, took.Round(100*time.Millisecond)))
	})
	t.Logf("figures: from start to published over TLS, rights given in between: %s", strings.Join(figures, ", "))
}

var rightsRow = regexp.MustCompile(`(?m)^\| (each|.outputs|.sluice|transactional)(.*?) \| ([A-Za-z, ]+) \|$`)

// grant gives a user the rights that docs/operations.md tells operators to give.
func grant(t *testing.T, c *kafkatest.Cluster, principal, cell string) {
	t.Helper()
	page, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(page), "With ACLs the user needs:")
	operations := map[string]kmsg.ACLOperation{"Read": kmsg.ACLOperationRead, "Write": kmsg.ACLOperationWrite, "Describe": kmsg.ACLOperationDescribe}
	rows := rightsRow.FindAllStringSubmatch(table, -1)
	if len(rows) != 4 {
		t.Fatalf("%d rows of rights in docs/operations.md, want 4", len(rows))
	}
	for _, row := range rows {
		var may []kmsg.ACLOperation
		for _, word := range strings.Split(row[3], ", ") {
			op, ok := operations[word]
			if !ok {
				t.Fatalf("docs/operations.md: unknown right %q", word)
			}
			may = append(may, op)
		}
		switch row[1] {
		case "each":
			c.Allow(principal, kmsg.ACLResourceTypeTopic, "payments", may...)
		case "`outputs":
			for _, topic := range []string{"decisions", "alerts", "dead-letter"} {
				c.Allow(principal, kmsg.ACLResourceTypeTopic, topic, may...)
			}
		case "`sluice":
			c.Allow(principal, kmsg.ACLResourceTypeTopic, "sluice.published", may...)
		case "transactional":
			c.Allow(principal, kmsg.ACLResourceTypeTransactionalId, "sluice-"+cell, may...)
		}
	}
}

func produceOne(t *testing.T, c *kafkatest.Cluster, topic string, value []byte) {
	t.Helper()
	cl := c.Client()
	defer cl.Close()
	if err := cl.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Value: value}).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

// awaitDecisions follows decisions until all of these events have theirs.
func awaitDecisions(t *testing.T, c *kafkatest.Cluster, s *server, events ...string) {
	t.Helper()
	cl := c.Client(kgo.ConsumeTopics("decisions"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	defer cl.Close()
	missing := map[string]bool{}
	for _, id := range events {
		missing[id] = true
	}
	end := time.After(time.Minute)
	for len(missing) > 0 {
		fetches := make(chan kgo.Fetches, 1)
		go func() { fetches <- cl.PollFetches(t.Context()) }()
		select {
		case f := <-fetches:
			if err := f.Err(); err != nil {
				t.Fatal(err)
			}
			f.EachRecord(func(r *kgo.Record) {
				for id := range missing {
					if strings.Contains(string(r.Value), `"event":"`+id+`"`) {
						delete(missing, id)
					}
				}
			})
		case <-end:
			t.Fatalf("no decision of %v is published; /readyz: %s\n%s", missing, s.get("/readyz"), s.logged())
		}
	}
}

// countingProxy passes connections on to a broker and counts them.
func countingProxy(t *testing.T, to string, n *atomic.Int64) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			n.Add(1)
			go func() {
				defer in.Close()
				out, err := net.Dial("tcp", to)
				if err != nil {
					return
				}
				defer out.Close()
				go func() { io.Copy(out, in); out.Close() }()
				io.Copy(in, out)
			}()
		}
	}()
	return l.Addr().String()
}
