package api

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-risk/sluice/engine"
)

func sampleEvent(b *testing.B) []byte {
	src, err := os.ReadFile(filepath.Join("testdata", "event.json"))
	if err != nil {
		b.Fatal(err)
	}
	return src
}

// numbered gives the sample event under an id of its own.
func numbered(src []byte, n uint64) []byte {
	return bytes.Replace(src, []byte("pay_0191f3a2c4d5"), fmt.Appendf(nil, "pay_%012d", n), 1)
}

// BenchmarkHandler is the work of one request without the connection: the server
// around a cell that decides at once.
func BenchmarkHandler(b *testing.B) {
	s, err := newServer(newFake(), Options{})
	if err != nil {
		b.Fatal(err)
	}
	src := sampleEvent(b)
	w := httptest.NewRecorder()
	b.ReportAllocs()
	for n := uint64(0); b.Loop(); n++ {
		w.Body.Reset()
		r := httptest.NewRequest("POST", decisions, bytes.NewReader(numbered(src, n)))
		r.Header["Content-Type"] = jsonType
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
		s, err := newServer(newFake(), Options{})
		if err != nil {
			b.Fatal(err)
		}
		load(b, connections, src, s.Handler())
	})
	b.Run("cell", func(b *testing.B) {
		cell := openCell(b, engine.Options{})
		cell.run()
		s, err := newServer(cell.Cell, Options{})
		if err != nil {
			b.Fatal(err)
		}
		load(b, connections, src, s.Handler())
	})
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
	b.SetParallelism(connections / 2)  // two processors
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(p *testing.PB) {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			b.Error(err)
			return
		}
		defer c.Close()
		r := bufio.NewReaderSize(c, 16<<10)
		head := fmt.Appendf(nil, "POST /v1/decisions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nSluice-Deadline-Ms: 60000\r\nContent-Length: %d\r\n\r\n", len(src))
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
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "req/s")
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
