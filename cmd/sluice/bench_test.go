package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-risk/sluice/internal/config"
	"github.com/sluice-risk/sluice/internal/simulate"
)

const (
	benchConnections = 256
	benchRequests    = 60_000
)

// payments gives simulated events that have a scenario, so that each gets a
// decision.
func payments(n int) (events [][]byte) {
	w := simulate.New(simulate.Options{Seed: 9})
	for len(events) < n {
		if e := w.Next(); bytes.Contains(e.Body, []byte(`"type":"payment.authorization"`)) {
			events = append(events, e.Body)
		}
	}
	return events
}

// load sends each event once over 256 connections, each waiting for its answer,
// and reports requests a second and CPU time a request, of client and server
// together.
func load(b *testing.B, addr, path string, events [][]byte) {
	b.Helper()
	var next atomic.Int64
	var wg sync.WaitGroup
	var cpu0, cpu1 syscall.Rusage
	took := make([][]time.Duration, benchConnections)
	syscall.Getrusage(syscall.RUSAGE_SELF, &cpu0)
	started := time.Now()
	for c := range benchConnections {
		wg.Go(func() {
			conn, err := net.Dial("tcp", addr)
			if err != nil {
				b.Error(err)
				return
			}
			defer conn.Close()
			in := bufio.NewReader(conn)
			var out []byte
			for {
				i := int(next.Add(1)) - 1
				if i >= len(events) {
					return
				}
				out = fmt.Appendf(out[:0], "POST %s HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nSluice-Deadline-Ms: 60000\r\nContent-Length: %d\r\n\r\n", path, len(events[i]))
				out = append(out, events[i]...)
				sent := time.Now()
				if _, err := conn.Write(out); err != nil {
					b.Error(err)
					return
				}
				if status, err := readAnswer(in); err != nil || status != 200 {
					b.Errorf("request %d: status %d, %v", i, status, err)
					return
				}
				took[c] = append(took[c], time.Since(sent))
			}
		})
	}
	wg.Wait()
	wall := time.Since(started)
	syscall.Getrusage(syscall.RUSAGE_SELF, &cpu1)
	cpu := time.Duration(cpu1.Utime.Nano() + cpu1.Stime.Nano() - cpu0.Utime.Nano() - cpu0.Stime.Nano())
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(len(events))/wall.Seconds(), "req/s")
	b.ReportMetric(float64(cpu.Microseconds())/float64(len(events)), "cpu-us/req")
}

// readAnswer reads one response with a Content-Length and gives its status.
func readAnswer(in *bufio.Reader) (status int, err error) {
	length := -1
	for first := true; ; first = false {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return status, err
		}
		if line = bytes.TrimRight(line, "\r\n"); len(line) == 0 {
			break
		}
		if first {
			status, err = strconv.Atoi(string(line[9:12]))
		} else if v, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
			length, err = strconv.Atoi(string(v))
		}
		if err != nil {
			return status, err
		}
	}
	_, err = io.CopyN(io.Discard, in, int64(length))
	return status, err
}

// BenchmarkHTTPEcho is the yardstick: net/http reads a body and writes it back.
func BenchmarkHTTPEcho(b *testing.B) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Write(body)
	})}
	go s.Serve(l)
	defer s.Close()
	load(b, l.Addr().String(), "/", payments(benchRequests))
}

// BenchmarkHTTPDecisions is the same load on POST /v1/decisions: durable
// decisions under the shipped ruleset.
func BenchmarkHTTPDecisions(b *testing.B) {
	cfg, err := config.Load(config.Input{Flags: map[string]string{
		"data_dir": b.TempDir(), "listen": "127.0.0.1:0", "rulesets": "../../rulesets/payments",
		"disk.reserve": "64MiB", "disk.ballast": "0",
	}})
	if err != nil {
		b.Fatal(err)
	}
	n, err := open(cfg, nil, slog.New(slog.DiscardHandler), time.Now)
	if err != nil {
		b.Fatal(err)
	}
	ready, done := make(chan struct{}), make(chan error, 1)
	ctx := b.Context()
	go func() { done <- n.run(ctx, func() { close(ready) }) }()
	<-ready
	events := payments(benchRequests)
	load(b, n.listener.Addr().String(), "/v1/decisions", events)
}
