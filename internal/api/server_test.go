package api

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluice-risk/sluice/engine"
)

// listening serves until the test ends or stop is called, which gives what Serve
// returned.
func listening(t *testing.T, s *Server) (address string, stop func() error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	stopped := atomic.Bool{}
	stop = func() error {
		cancel()
		if stopped.Swap(true) {
			return nil
		}
		return <-done
	}
	t.Cleanup(func() { stop() })
	return l.Addr().String(), stop
}

func newTestServer(t *testing.T, cell decider, o Options) *Server {
	t.Helper()
	s, err := newServer(cell, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func dial(t *testing.T, address string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return c
}

// raw is a decision request as it goes over the wire.
func raw(body string, header ...string) string {
	return fmt.Sprintf("POST /v1/decisions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n%s\r\n%s", len(body), strings.Join(header, ""), body)
}

func status(t *testing.T, r *bufio.Reader) (int, http.Header, string) {
	t.Helper()
	response, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	b, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, response.Header, string(b)
}

// closed tells that the server ended the connection, with nothing more on it.
func closed(t *testing.T, c net.Conn) {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(4 * time.Second)); err != nil { // before the next longer time ends it
		t.Fatal(err)
	}
	if n, err := io.Copy(io.Discard, c); err != nil || n > 0 {
		t.Errorf("the connection gave %d more bytes and %v, want its end", n, err)
	}
}

func TestSlowCallers(t *testing.T) {
	// Each time is short in one server only, so that no other one does its work.
	short := func(set func(*timeouts)) string {
		s := newTestServer(t, newFake(), Options{})
		set(&s.timeouts)
		address, _ := listening(t, s)
		return address
	}
	address := short(func(o *timeouts) { o.header = 50 * time.Millisecond })

	header := dial(t, address) // never ends its header
	fmt.Fprint(header, "POST /v1/decisions HTTP/1.1\r\nHost: x\r\nX-A: ")
	closed(t, header)

	address = short(func(o *timeouts) { o.request = 100 * time.Millisecond })
	body := dial(t, address) // never ends its body
	fmt.Fprint(body, "POST /v1/decisions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{\"event\":")
	r := bufio.NewReader(body)
	if code, h, text := status(t, r); code != 408 || h.Get("Content-Type") != "application/problem+json" {
		t.Errorf("slow body: %d %v %s", code, h, text)
	}
	closed(t, body)

	address = short(func(o *timeouts) { o.idle = 50 * time.Millisecond })
	idle := dial(t, address) // has been answered and stays
	fmt.Fprint(idle, raw(payment("pay_1", "5.00")))
	r = bufio.NewReader(idle)
	if code, _, text := status(t, r); code != 200 {
		t.Errorf("%d %s", code, text)
	}
	closed(t, idle)

	if code, _, _ := ask(t, address, raw(payment("pay_2", "5.00"), "X-A: "+strings.Repeat("a", 64<<10)+"\r\n")); code != 431 {
		t.Errorf("a header of 64 KiB: %d, want 431", code)
	}
	// Half a body and then nothing: the answer reaches nobody, and harms nobody.
	cut := dial(t, address)
	fmt.Fprint(cut, "POST /v1/decisions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{")
	cut.Close()
	if code, _, text := ask(t, address, raw(payment("pay_3", "5.00"))); code != 200 {
		t.Errorf("%d %s", code, text)
	}
}

func ask(t *testing.T, address, request string) (int, http.Header, string) {
	t.Helper()
	c := dial(t, address)
	fmt.Fprint(c, request)
	return status(t, bufio.NewReader(c))
}

// The time for a body does not end a request that waits for its decision.
func TestPatience(t *testing.T) {
	f := newFake()
	s := newTestServer(t, f, Options{})
	s.timeouts.request = 50 * time.Millisecond
	f.ask = func(ctx context.Context, it *engine.Item, _ time.Duration) (engine.Answer, error) {
		select {
		case <-ctx.Done():
			return engine.Answer{}, ctx.Err()
		case <-time.After(4 * s.timeouts.request):
			return engine.Answer{Result: f.take(it)}, nil
		}
	}
	address, _ := listening(t, s)
	if code, _, text := ask(t, address, raw(payment("pay_1", "5.00"), "Sluice-Deadline-Ms: 60000\r\n")); code != 200 {
		t.Errorf("%d %s", code, text)
	}
}

// Half an answer must not look like a whole one.
func TestPanicInsideAnswer(t *testing.T) {
	s := newTestServer(t, newFake(), Options{})
	s.handler = s.mux([]route{{method: "GET", path: "/half", serve: func(c *call) {
		c.status = 200
		fmt.Fprint(c.w, "half")
		c.w.(http.Flusher).Flush()
		panic("in the middle")
	}}})
	address, _ := listening(t, s)
	response, err := http.Get("http://" + address + "/half")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if b, err := io.ReadAll(response.Body); err == nil {
		t.Errorf("half an answer reads as %q", b)
	}
}

// A buffer that goes back holds nothing of the request.
func TestBuffersAreCleared(t *testing.T) {
	c := &call{server: newTestServer(t, newFake(), Options{}), in: make([]byte, 8), w: httptest.NewRecorder(),
		r: httptest.NewRequest("POST", decisions, strings.NewReader("Maria Keller"))}
	if b, ok := c.body(); !ok || string(b) != "Maria Keller" {
		t.Fatalf("body = %q", b)
	}
	buffer := c.in
	c.release()
	if strings.Trim(string(buffer), "\x00") != "" {
		t.Errorf("the buffer still holds %q", buffer)
	}
}

// Too large a body is refused before it is read, and the connection ends.
func TestTooLargeOverTheWire(t *testing.T) {
	address, _ := listening(t, newTestServer(t, newFake(), Options{}))
	c := dial(t, address)
	fmt.Fprint(c, "POST /v1/decisions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000000000\r\nExpect: 100-continue\r\n\r\n")
	r := bufio.NewReader(c)
	if code, h, text := status(t, r); code != 413 || !strings.Contains(text, "65536") {
		t.Errorf("%d %v %s", code, h, text)
	}
	closed(t, c)
}

func TestStrangeRequests(t *testing.T) {
	address, _ := listening(t, newTestServer(t, newFake(), Options{Gatherer: prometheus.NewRegistry()}))
	for line, want := range map[string]int{
		"OPTIONS * HTTP/1.1":                    404,
		"GET //v1/decisions HTTP/1.1":           404,
		"GET /v1/../v1/decisions HTTP/1.1":      404,
		"GET /v1/./version HTTP/1.1":            404,
		"GET /%2e%2e/version HTTP/1.1":          404,
		"GET /v1%2Fdecisions HTTP/1.1":          404,
		"GET /version/ HTTP/1.1":                404,
		"GET http://other/version HTTP/1.1":     200,
		"GET /version?x=%zz HTTP/1.1":           200,
		"CONNECT other:443 HTTP/1.1":            404,
		"POST /healthz HTTP/1.1":                405,
		"OPTIONS /v1/decisions HTTP/1.1":        405,
		"HEAD /readyz HTTP/1.1":                 200,
		"GET /v1/decisions/a/b HTTP/1.1":        404,
		"GET /v1/decisions/%2e%2e%2f HTTP/1.1":  404,
		"GET /v1/decisions/a/outcomes HTTP/1.1": 405,
	} {
		c := dial(t, address)
		fmt.Fprint(c, line+"\r\nHost: x\r\nConnection: close\r\n\r\n")
		request := &http.Request{Method: line[:strings.IndexByte(line, ' ')]}
		response, err := http.ReadResponse(bufio.NewReader(c), request)
		if err != nil {
			t.Errorf("%s: %v", line, err)
			continue
		}
		if response.StatusCode != want || want >= 400 && response.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: %d %s, want %d", line, response.StatusCode, response.Header.Get("Content-Type"), want)
		}
		if want == 405 && response.Header.Get("Allow") == "" {
			t.Errorf("%s: no Allow", line)
		}
	}
}

// What is in flight when the server stops is answered; what comes then is not taken.
func TestDrain(t *testing.T) {
	f := newFake()
	s := newTestServer(t, f, Options{})
	arrived, proceed := make(chan struct{}), make(chan struct{})
	f.ask = func(_ context.Context, it *engine.Item, _ time.Duration) (engine.Answer, error) {
		arrived <- struct{}{}
		<-proceed
		return engine.Answer{Result: f.take(it)}, nil
	}
	address, stop := listening(t, s)
	inFlight := dial(t, address)
	fmt.Fprint(inFlight, raw(payment("pay_1", "5.00")))
	<-arrived

	stopped := make(chan error, 1)
	go func() { stopped <- stop() }()
	<-s.closing
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/readyz", nil))
	if w.Code != 503 || !strings.Contains(w.Body.String(), "stopping") {
		t.Errorf("readyz while draining: %d %s", w.Code, w.Body)
	}
	for refused := false; !refused; { // until the listener is closed
		c, err := net.Dial("tcp", address)
		if refused = err != nil; !refused {
			c.Close()
		}
	}
	close(proceed)
	if code, _, text := status(t, bufio.NewReader(inFlight)); code != 200 {
		t.Errorf("in flight: %d %s", code, text)
	}
	if err := <-stopped; err != nil {
		t.Errorf("Serve: %v", err)
	}
}

func TestDrainEnds(t *testing.T) {
	f := newFake()
	s := newTestServer(t, f, Options{Limits: Limits{Drain: 20 * time.Millisecond}})
	arrived := make(chan struct{})
	f.ask = func(ctx context.Context, _ *engine.Item, _ time.Duration) (engine.Answer, error) {
		close(arrived)
		<-ctx.Done()
		return engine.Answer{}, ctx.Err()
	}
	address, stop := listening(t, s)
	c := dial(t, address)
	fmt.Fprint(c, raw(payment("pay_1", "5.00")))
	<-arrived
	if err := stop(); err == nil || !strings.Contains(err.Error(), "20ms") {
		t.Errorf("Serve = %v, want what was cut off", err)
	}
	closed(t, c)
}

func TestServeFails(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if err := newTestServer(t, newFake(), Options{}).Serve(t.Context(), l); err == nil {
		t.Error("Serve on a closed listener = nil")
	}
}

func TestServeMetrics(t *testing.T) {
	registry := prometheus.NewRegistry()
	s := newTestServer(t, newFake(), Options{Register: registry, Gatherer: registry, MetricsApart: true})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.ServeMetrics(ctx, l) }()
	if code, _, text := ask(t, l.Addr().String(), "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"); code != 200 || !strings.Contains(text, "sluice_http_request_duration_seconds") {
		t.Errorf("%d %s", code, text)
	}
	if code, _, _ := ask(t, l.Addr().String(), "GET /version HTTP/1.1\r\nHost: x\r\n\r\n"); code != 404 {
		t.Errorf("/version beside metrics: %d, want 404", code)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// A page has its policy, and a stream outlives the time for answers until the
// server stops.
func TestPages(t *testing.T) {
	s := newTestServer(t, newFake(), Options{})
	s.timeouts.answer = 50 * time.Millisecond
	s.handler = s.mux([]route{{method: "GET", path: "/{$}", page: true, stream: true, serve: func(c *call) {
		c.status = http.StatusOK
		fmt.Fprintln(c.w, "first")
		c.w.(http.Flusher).Flush()
		select {
		case <-c.r.Context().Done():
		case <-time.After(4 * s.timeouts.answer):
		}
		fmt.Fprintln(c.w, "second")
		c.w.(http.Flusher).Flush()
		<-s.closing
		fmt.Fprintln(c.w, "last")
	}}})
	address, stop := listening(t, s)
	response, err := http.Get("http://" + address)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if p := response.Header.Get("Content-Security-Policy"); !strings.Contains(p, "default-src 'none'") || response.Header.Get("Referrer-Policy") != "no-referrer" {
		t.Errorf("headers %v", response.Header)
	}
	if other, err := http.Get("http://" + address + "/other"); err != nil || other.StatusCode != 404 {
		t.Errorf("/other: %v, %v", other, err)
	}
	lines := bufio.NewScanner(response.Body)
	for _, want := range []string{"first", "second", "last"} {
		if !lines.Scan() || lines.Text() != want {
			t.Fatalf("the stream gave %q and %v, want %q", lines.Text(), lines.Err(), want)
		}
		if want == "second" {
			go stop()
		}
	}
}
