package api

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

type metrics struct {
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	denied   *prometheus.CounterVec
	replayed prometheus.Counter
}

func newMetrics(r prometheus.Registerer) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sluice_http_requests_total",
			Help: "Requests by route and status; 499 is a caller that did not wait for the answer."}, []string{"route", "code"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "sluice_http_request_duration_seconds",
			Help: "From the request's header until its answer was written.", Buckets: prometheus.ExponentialBuckets(0.00025, 2, 15)}, []string{"route"}),
		denied: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sluice_http_denied_total",
			Help: "Calls refused for their key: missing, malformed, unknown, expired, revoked, or without the scope."}, []string{"reason"}),
		replayed: prometheus.NewCounter(prometheus.CounterOpts{Name: "sluice_http_replayed_total",
			Help: "Answers that repeated an earlier decision."}),
	}
	if r != nil {
		r.MustRegister(m.requests, m.duration, m.denied, m.replayed)
	}
	return m
}

// readyMetrics tell what /readyz tells, for those who only see metrics.
type readyMetrics struct{ server *Server }

var (
	readyDesc = prometheus.NewDesc("sluice_ready", "1 when /readyz answers 200, else 0.", nil, nil)
	checkDesc = prometheus.NewDesc("sluice_check_ok", "1 when a check of /readyz is ok, else 0.", []string{"check"}, nil)
)

func (m readyMetrics) Describe(to chan<- *prometheus.Desc) { to <- readyDesc; to <- checkDesc }

func (m readyMetrics) Collect(to chan<- prometheus.Metric) {
	one := map[bool]float64{true: 1}
	r := m.server.readiness(time.Now())
	to <- prometheus.MustNewConstMetric(readyDesc, prometheus.GaugeValue, one[r.Ready])
	for name, check := range r.Checks {
		to <- prometheus.MustNewConstMetric(checkDesc, prometheus.GaugeValue, one[check.OK], name)
	}
}

// counts are the metrics of one route, found beforehand.
type counts struct {
	metrics  *metrics
	route    string
	ok       int // the status that most answers have
	answered prometheus.Counter
	duration prometheus.Observer
}

func (m *metrics) route(r *route) *counts {
	c := &counts{metrics: m, route: r.path, duration: m.duration.WithLabelValues(r.path)}
	if len(r.answers) > 0 {
		c.ok = r.answers[0].status
		c.answered = m.requests.WithLabelValues(r.path, strconv.Itoa(c.ok))
	}
	return c
}

// gone is counted for a caller that left before the answer.
const gone = 499

func (c *counts) add(status int, took time.Duration) {
	c.duration.Observe(took.Seconds())
	if status == c.ok && c.answered != nil {
		c.answered.Inc()
		return
	}
	if status == 0 {
		status = gone
	}
	c.metrics.requests.WithLabelValues(c.route, strconv.Itoa(status)).Inc()
}

func (s *Server) gathered() http.Handler {
	if s.opts.Gatherer == nil {
		return http.NotFoundHandler()
	}
	// One metric that fails must not hide all others.
	return promhttp.HandlerFor(s.opts.Gatherer, promhttp.HandlerOpts{ErrorLog: errorLog{s}, ErrorHandling: promhttp.ContinueOnError})
}

func (s *Server) serveMetrics() func(*call) {
	h := s.gathered()
	return func(c *call) {
		c.status = http.StatusOK
		h.ServeHTTP(c.w, c.r)
	}
}

type errorLog struct{ *Server }

func (l errorLog) Println(v ...any) { l.log.Error("metrics could not be gathered", "err", v) }
