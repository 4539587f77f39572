package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-risk/sluice/internal/kafkatest"
)

// Clients of other makes write what Sluice reads and read what it writes: the Java
// client, which comes with the brokers, and librdkafka by way of Python.
func TestKafkaClients(t *testing.T) {
	t.Parallel() // it mostly waits
	const payments = 1000
	c := kafkatest.Start(t, kafkatest.Options{})
	topics(t, c)
	s := newServer(t, against(c)...)
	s.start()
	jars := kafkatest.Jars(t)
	for _, client := range []struct{ name, program, source string }{
		{"Java", "java", "Payments.java"},
		{"Python", "", "payments.py"},
	} {
		t.Run(client.name, func(t *testing.T) {
			if client.program == "" {
				client.program = oraclePython(t)
			}
			args := []string{filepath.Join("testdata", "clients", client.source), strings.Join(c.Brokers(), ","), fmt.Sprint(payments)}
			if client.program == "java" {
				args = append([]string{"-Dorg.slf4j.simpleLogger.defaultLogLevel=error", "-cp", filepath.Join(jars, "*")}, args...)
			}
			began := time.Now()
			cmd := exec.CommandContext(t.Context(), client.program, args...)
			cmd.Stderr = os.Stderr
			out, err := cmd.Output()
			want := fmt.Sprintf("%d decided, 0 twice, 0 of what was taken back, %d with their type", payments, payments)
			if got := strings.TrimSpace(string(out)); err != nil || got != want {
				t.Errorf("%s client: %q, %v; want %q", client.name, got, err, want)
			}
			t.Logf("figures: %s: %s, in %s", client.name, strings.TrimSpace(string(out)), time.Since(began).Round(100*time.Millisecond))
		})
	}
	s.stop()
	if x := readAll(t, c); len(x.events) < payments {
		t.Errorf("%d decisions, want %d at least", len(x.events), payments)
	}
}
