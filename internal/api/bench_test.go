//go:build unix

package api

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-risk/sluice/engine"
	"github.com/sluice-risk/sluice/risk"
)

func sampleEvent(b *testing.B) []byte {
	src, err := os.ReadFile(filepath.Join("testdata", "event.json"))
	if err != nil {
		b.Fatal(err)
	}
	return src
}

// BenchmarkHandler is the server's own work for one request, without connection
// and cell.
func BenchmarkHandler(b *testing.B) {
	src := sampleEvent(b)
	s, err := newServer(newInstant(b, src), Options{})
	if err != nil {
		b.Fatal(err)
	}
	body := bytes.NewReader(src)
	r := httptest.NewRequest("POST", decisions, io.NopCloser(body))
	r.Header["Content-Type"] = jsonType
	w := httptest.NewRecorder()
	b.ReportAllocs()
	for b.Loop() {
		w.Body.Reset()
		body.Reset(src)
		s.Handler().ServeHTTP(w, r)
	}
	if w.Code != 200 {
		b.Fatal(w.Body)
	}
}

// BenchmarkHTTP compares POST /v1/decisions with a bare echo of the same bytes,
// both over 256 kept connections from the same process, which takes its part of
// the processor too.
func BenchmarkHTTP(b *testing.B) {
	const connections = 256
	src := sampleEvent(b)
	b.Run("echo", func(b *testing.B) {
		load(b, connections, src, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				b.Error(err)
			}
			w.Header()["Content-Type"] = jsonType
			w.Write(body)
		}))
	})
	b.Run("handler", func(b *testing.B) {
		s, err := newServer(newInstant(b, src), Options{})
		if err != nil {
			b.Fatal(err)
		}
		load(b, connections, src, s.Handler())
	})
	b.Run("cell", func(b *testing.B) {
		cell := openCell(b, engine.Options{CheckpointEvery: time.Second})
		cell.run()
		s, err := newServer(cell.Cell, Options{})
		if err != nil {
			b.Fatal(err)
		}
		load(b, connections, src, s.Handler())
	})
}

// instant is a cell that costs nothing: what is left is the server's own work.
type instant struct {
	*fake
	rec    *risk.Record
	answer engine.Answer
}

func newInstant(b *testing.B, src []byte) *instant {
	f := newFake()
	it := &engine.Item{Raw: src, Tenant: "default"}
	if err := f.Intake(it); err != nil {
		b.Fatal(err)
	}
	return &instant{fake: f, rec: it.Entry.Event, answer: engine.Answer{Result: f.take(it)}}
}

func (i *instant) Intake(it *engine.Item) error {
	it.Entry.Event = i.rec
	return nil
}

func (i *instant) Ask(context.Context, *engine.Item, time.Duration) (engine.Answer, error) {
	return i.answer, nil
}

func load(b *testing.B, connections int, src []byte, h http.Handler) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	srv := &http.Server{Handler: h, ReadTimeout: ordinary.request, WriteTimeout: ordinary.answer, IdleTimeout: ordinary.idle}
	go srv.Serve(l)
	defer srv.Close()
	var next, bad atomic.Uint64
	run := time.Now().UnixNano() % 1e6 // b.N grows over several runs of one cell
	b.SetParallelism(max(1, connections/runtime.GOMAXPROCS(0)))
	b.ReportAllocs()
	before := processor(b)
	b.ResetTimer()
	b.RunParallel(func(p *testing.PB) {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			b.Error(err)
			return
		}
		defer c.Close()
		r := bufio.NewReaderSize(c, 16<<10)
		head := fmt.Appendf(nil, "POST /v1/decisions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nSluice-Deadline-Ms: 1000\r\nContent-Length: %d\r\n\r\n", len(src))
		request := append(head, src...)
		id := bytes.Index(request, []byte("pay_0191f3a2c4d5")) + len("pay_")
		for p.Next() {
			copy(request[id:], fmt.Sprintf("%06d%06d", run, next.Add(1)%1e6))
			if _, err := c.Write(request); err != nil {
				b.Error(err)
				return
			}
			if !answered(r) {
				bad.Add(1)
			}
		}
	})
	b.StopTimer()
	if n := bad.Load(); n > 0 {
		b.Errorf("%d of %d answers were not 200", n, b.N)
	}
	// Time of the processor is what compares on a machine with neighbours.
	b.ReportMetric(float64((processor(b)-before).Microseconds())/float64(b.N), "cpu-µs/req")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "req/s")
}

func processor(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// answered reads an answer with a length and says whether it is 200.
func answered(r *bufio.Reader) bool {
	line, err := r.ReadSlice('\n')
	ok := err == nil && bytes.HasPrefix(line, []byte("HTTP/1.1 200"))
	length := -1
	for {
		line, err = r.ReadSlice('\n')
		if err != nil {
			return false
		}
		if len(line) <= 2 {
			break
		}
		if v, found := bytes.CutPrefix(line, []byte("Content-Length: ")); found {
			length, _ = strconv.Atoi(strings.TrimSpace(string(v)))
		}
	}
	n, err := r.Discard(length)
	return ok && err == nil && n == length
}
