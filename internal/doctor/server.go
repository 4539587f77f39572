package doctor

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// base is where the server of the configuration listens.
func (e *examination) base(listen string) string {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return "http://" + listen
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	scheme := "http"
	if e.cfg.TLS.CertFile != "" && listen == e.cfg.Listen {
		scheme = "https"
	}
	return scheme + "://" + net.JoinHostPort(host, port)
}

// server asks the server how it stands.
func (e *examination) server(running bool) {
	base := e.Server
	if base == "" {
		base = e.base(e.cfg.Listen)
	}
	base = strings.TrimSuffix(base, "/")
	client := &http.Client{Timeout: 5 * time.Second, Transport: e.transport()}
	status, body, err := get(e.ctx, client, base+"/readyz", "")
	switch {
	case err != nil && !running && e.Server == "":
		e.ok("server", "none answers at %s", base)
		return
	case err != nil:
		e.problem("server", "look at its log; at listen; and, with TLS, at --server and --server-ca", "does not answer: %v", err)
		return
	}
	var ready struct {
		Ready  bool
		Checks map[string]struct {
			OK     bool
			Detail string
		}
	}
	if err := json.Unmarshal(body, &ready); err != nil || ready.Checks == nil {
		e.problem("server", "is this a sluice server?", "%s/readyz answers %d %.80q", base, status, body)
		return
	}
	if ready.Ready {
		e.ok("server", "%s is ready", base)
	} else {
		e.problem("server", "mend what is said below", "%s is not ready", base)
	}
	for _, name := range slices.Sorted(maps.Keys(ready.Checks)) {
		switch c := ready.Checks[name]; {
		case c.OK:
			e.ok("server "+name, "%s", c.Detail)
		default:
			e.problem("server "+name, "docs: /healthz and /readyz, "+name, "%s", c.Detail)
		}
	}
	url, key := base+"/metrics", e.Key
	if e.cfg.MetricsListen != "" && e.Server == "" {
		url, key = e.base(e.cfg.MetricsListen)+"/metrics", ""
	}
	status, body, err = get(e.ctx, client, url, key)
	switch {
	case err != nil:
		e.warn("metrics", "look at metrics_listen", "%v", err)
	case status == 401 || status == 403:
		e.warn("metrics", "--api-key-file with a key of scope admin, or metrics_listen", "%s asks for a key, and they were not read", url)
	case status != 200:
		e.warn("metrics", "look at the server's log", "%s answers %d", url, status)
	default:
		e.metrics(parse(body))
	}
}

func (e *examination) transport() *http.Transport {
	t := &http.Transport{Proxy: nil}
	if e.CA != nil {
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(e.CA)
		t.TLSClientConfig = &tls.Config{RootCAs: pool}
	}
	return t
}

func get(ctx context.Context, client *http.Client, url, key string) (int, []byte, error) {
	r, err := http.NewRequestWithContext(ctx, "GET", url, nil)
	if err != nil {
		return 0, nil, err
	}
	if key != "" {
		r.Header.Set("Authorization", "Bearer "+key)
	}
	resp, err := client.Do(r)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 16<<20))
	return resp.StatusCode, body, err
}

// samples are metrics, by name with labels, and by name added up over them.
type samples map[string]float64

func parse(text []byte) samples {
	s := samples{}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		line := lines.Text()
		i := strings.LastIndexByte(line, ' ')
		if i < 0 || strings.HasPrefix(line, "#") {
			continue
		}
		v, err := strconv.ParseFloat(line[i+1:], 64)
		name, _, labelled := strings.Cut(line[:i], "{")
		if err != nil {
			continue
		}
		if s[name] += v; labelled {
			s[line[:i]] = v
		}
	}
	return s
}

// metrics looks at what a server counts.
func (e *examination) metrics(s samples) {
	durable, stored := s["sluice_journal_durable_position"], s["sluice_store_position"]
	e.ok("positions", "%.0f durable, %.0f in the last checkpoint; journal %s, store %s", durable, stored, size(int64(s["sluice_journal_bytes"])), size(int64(s["sluice_store_table_bytes"])))
	if n := s["sluice_store_corrupt_reads_total"]; n > 0 {
		e.problem("store", "docs: SluiceCorruptReads", "%.0f reads found damaged data", n)
	}
	if n := s["sluice_store_read_only"]; n > 0 {
		e.problem("disk", "free space or make the disk larger", "nothing is taken: free space is under disk.reserve")
	}
	if n, all := s["sluice_waiting_entries"], s["sluice_waiting_entries_limit"]; all > 0 && n > all/2 {
		e.warn("load", "docs: SluiceLagGrowing", "%.0f of at most %.0f entries wait", n, all)
	}
	if n := s["sluice_kafka_source_gaps_total"]; n > 0 {
		e.problem("kafka", "docs: SluiceSourceGap", "%.0f times a source no longer had the records to go on at", n)
	}
	if n, ok := s["sluice_kafka_lag_records"]; ok {
		e.ok("kafka", "%.0f records not yet given to the engine, published up to position %.0f", n, s["sluice_kafka_published_position"])
	}
	if n := s["sluice_feature_log_failures_total"]; n > 0 {
		e.warn("feature_log", "look at the log for why", "%.0f attempts to write it failed", n)
	}
	for _, n := range []string{"sluice_rule_errors_total", "sluice_degraded_total"} {
		if v := s[n]; v > 0 {
			e.warn("decisions", map[string]string{"sluice_rule_errors_total": "docs: SluiceRuleErrors", "sluice_degraded_total": "docs: SluiceDegradedAnswers"}[n],
				"%s", map[string]string{
					"sluice_rule_errors_total": fmt.Sprintf("%.0f times a rule missed a value or failed", v),
					"sluice_degraded_total":    fmt.Sprintf("%.0f answers were a fallback", v),
				}[n])
		}
	}
	if n := s["sluice_backfill_features"]; n > 0 {
		e.warn("backfill", "wait: until then rules that read them act as missing_feature says", "%.0f features are missing until a backfill is complete, %.0f %% is read", n, 100*s["sluice_backfill_progress_ratio"])
	}
	if need, ok := s["sluice_feature_window_seconds"]; ok {
		seconds := func(n float64) string { return span(time.Duration(n) * time.Second) }
		e.ok("windows", "the longest window reaches back %s, the journal %s", seconds(need), seconds(s["sluice_journal_span_seconds"]))
	}
	e.entities(s)
}

// Shares of the look-ups of entities from which on memory is told to be short.
const (
	manyRead    = 0.01 // while everything waited
	manyFetched = 0.5  // from the store, early
)

// entities tells how the state fits into memory.
func (e *examination) entities(s samples) {
	look := func(result string) float64 { return s[`sluice_state_lookups_total{result="`+result+`"}`] }
	hot, fetched, read := look("hot"), look("prefetched"), look("read")
	known := hot + fetched + read
	if known == 0 {
		return
	}
	detail := "%.0f in memory, %s of %s; %.0f stored; %.1f %% of look-ups were hot, %.2f %% waited for the disk"
	args := []any{s[`sluice_state_entities{state="hot"}`], size(int64(s["sluice_state_bytes"])), size(int64(s["sluice_state_limit_bytes"])),
		s[`sluice_state_entities{state="stored"}`], 100 * hot / known, 100 * read / known}
	if s["sluice_state_evictions_total"] > 0 && (read > manyRead*known || fetched > manyFetched*known) {
		e.warn("entities", "a larger state.memory", detail, args...)
	} else {
		e.ok("entities", detail, args...)
	}
}
