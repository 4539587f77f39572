package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"

	"github.com/sluice-risk/sluice/engine"
	"github.com/sluice-risk/sluice/internal/auth"
	"github.com/sluice-risk/sluice/risk"
	"github.com/sluice-risk/sluice/store/journal"
)

// Options say who may call and how much. The zero value serves everyone as one
// tenant, which fits a demonstration on the loopback interface.
type Options struct {
	Keys    *auth.Keys // nil: no key is asked for, and every caller has all scopes
	Tenant  string     // of callers without a key; "default"
	Limits  Limits
	Checks  []Check        // asked by /readyz, beside the cell's own
	Release func() Release // for the pages; nil: not watched
	// Replay reads records of sources again, for a tenant ("": any), and tells what
	// became of each, in their order; nil: there are no sources.
	Replay   func(ctx context.Context, tenant string, records []risk.Source) []Replayed
	Gatherer prometheus.Gatherer // what /metrics shows; nil: nothing is served there
	Register prometheus.Registerer
	// MetricsApart takes /metrics off this server: it has a listener of its
	// own, see ServeMetrics.
	MetricsApart bool
	Version      string // of the program
	Log          *slog.Logger
}

// Limits bound what callers may ask for.
type Limits struct {
	BodyBytes int           // largest request body; 64 KiB, and never more
	Drain     time.Duration // time for requests in flight when the server stops; 10 s
	// PerKey is how many requests a second each key may make over time, and
	// Burst how many at once. 0: no such limit. Burst 0 is one second's worth.
	PerKey float64
	Burst  int
}

// Check is one condition of being ready.
type Check struct {
	Name string
	Ask  func() (ok bool, detail string)
	// Told is for a condition that does not keep this server from answering: when
	// it fails, /readyz says so and stays 200.
	Told bool
}

// decider is what the server needs of *engine.Cell.
type decider interface {
	Intake(*engine.Item) error
	Ask(context.Context, *engine.Item, time.Duration) (engine.Answer, error)
	Submit(*engine.Item) error
	Find(risk.EventKey) (engine.Result, error)
	At(journal.Position) (engine.Result, error)
	Follow(ctx context.Context, from journal.Position, each func([]engine.Result) error) error
	Status() engine.Status
	Bundle() *engine.Bundle
}

// Server answers HTTP for one cell.
type Server struct {
	cell     decider
	opts     Options
	log      *slog.Logger
	timeouts timeouts
	handler  http.Handler
	metrics  *metrics
	document []byte // openapi.json
	limiters sync.Map
	denials  rate.Sometimes // how often refused keys are logged
	flow     journalFlow
	hub      *hub // of the pages

	draining atomic.Bool
	closing  chan struct{} // closed when the server drains: endless answers end
}

// maxBody is the largest event of the journal's format.
const maxBody = risk.DefaultMaxBytes

// New returns a server that answers for a cell.
func New(cell *engine.Cell, o Options) (*Server, error) {
	if cell == nil {
		return nil, errors.New("api: a server needs a cell")
	}
	return newServer(cell, o)
}

func newServer(cell decider, o Options) (*Server, error) {
	if err := o.validate(); err != nil {
		return nil, fmt.Errorf("api: %w", err)
	}
	o.Tenant = cmp.Or(o.Tenant, "default")
	o.Limits.BodyBytes = cmp.Or(o.Limits.BodyBytes, maxBody)
	o.Limits.Drain = cmp.Or(o.Limits.Drain, 10*time.Second)
	o.Limits.Burst = cmp.Or(o.Limits.Burst, max(1, int(o.Limits.PerKey)))
	s := &Server{cell: cell, opts: o, log: o.Log, timeouts: ordinary, closing: make(chan struct{}),
		denials: rate.Sometimes{First: 10, Interval: 10 * time.Second}}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.metrics = newMetrics(o.Register)
	if o.Register != nil {
		o.Register.MustRegister(readyMetrics{s})
	}
	s.hub = newHub(cell, o.Release, s.log)
	routes := s.routes()
	var err error
	if s.document, err = openAPI(routes, o); err != nil {
		return nil, err
	}
	s.handler = s.mux(routes)
	return s, nil
}

func (o Options) validate() error {
	var errs []error
	if n := o.Limits.BodyBytes; n < 0 || n > maxBody {
		errs = append(errs, fmt.Errorf("body limit (%d) must be 1 to %d bytes", n, maxBody))
	}
	if o.Limits.Drain < 0 {
		errs = append(errs, fmt.Errorf("drain time (%s) must not be negative", o.Limits.Drain))
	}
	if !(o.Limits.PerKey >= 0) || o.Limits.Burst < 0 {
		errs = append(errs, fmt.Errorf("limit of a key (%v a second, burst %d) must not be negative", o.Limits.PerKey, o.Limits.Burst))
	}
	for i, c := range o.Checks {
		if c.Name == "" || c.Ask == nil {
			errs = append(errs, fmt.Errorf("check %d (%q) needs a name and a function", i, c.Name))
		}
	}
	return errors.Join(errs...)
}

// timeouts bound how long a connection may keep us. Tests make them short.
type timeouts struct{ header, request, answer, idle, durable time.Duration }

// The answer's time begins with the request and covers the longest deadline a
// caller may set.
var ordinary = timeouts{header: 2 * time.Second, request: 5 * time.Second, answer: 90 * time.Second, idle: time.Minute, durable: 10 * time.Second}

// Handler serves every route.
func (s *Server) Handler() http.Handler { return s.handler }

// Serve answers on a listener until ctx is done. Then /readyz says so, no
// connection is taken any more, requests in flight have Limits.Drain to end, and
// what is left is cut off, which is an error. The cell must run until Serve has
// returned: it is what requests in flight wait for.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	following, stop := context.WithCancel(context.WithoutCancel(ctx))
	var pages sync.WaitGroup
	defer pages.Wait()
	defer stop()
	pages.Go(func() { s.hub.run(following) })
	return s.serve(ctx, l, s.handler, func() {
		s.draining.Store(true)
		close(s.closing)
	})
}

// ServeMetrics answers /metrics alone, without asking for a key, until ctx is done.
func (s *Server) ServeMetrics(ctx context.Context, l net.Listener) error {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", s.gathered())
	return s.serve(ctx, l, mux, func() {})
}

func (s *Server) serve(ctx context.Context, l net.Listener, h http.Handler, drain func()) error {
	srv := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: s.timeouts.header,
		ReadTimeout:       s.timeouts.request,
		WriteTimeout:      s.timeouts.answer,
		IdleTimeout:       s.timeouts.idle,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
		// So that OPTIONS * is refused like any other path.
		DisableGeneralOptionsHandler: true,
	}
	failed := make(chan error, 1)
	go func() { failed <- srv.Serve(l) }()
	select {
	case err := <-failed:
		return fmt.Errorf("api: %w", err)
	case <-ctx.Done():
	}
	drain()
	patience, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.opts.Limits.Drain)
	defer cancel()
	err := srv.Shutdown(patience)
	if err != nil {
		err = fmt.Errorf("api: requests still in flight after %s were cut off: %w", s.opts.Limits.Drain, errors.Join(err, srv.Close()))
	}
	<-failed // Serve has returned: ErrServerClosed
	return err
}
