# Needs Go and, for `make check` (race detector), a C compiler. `make help` lists the targets.
.DEFAULT_GOAL := help
SHELL := /bin/sh

STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOVULNCHECK := golang.org/x/vuln/cmd/govulncheck@latest

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unversioned)
# Filters and further flags: make test TESTFLAGS='-run TestReload -v' PKG=./engine
PKG ?= ./...
TESTFLAGS ?=
BENCH ?= .
ARGS ?=

.PHONY: run
run: ## decide simulated payments, with a page to watch: no other service needed
	go run ./cmd/sluice demo $(ARGS)

.PHONY: build
build: ## bin/sluice, static and reproducible
	CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags '-s -w -X main.version=$(VERSION)' -o bin/sluice ./cmd/sluice

.PHONY: test
test: ## all tests, under 3 minutes
	go test -timeout 3m $(TESTFLAGS) $(PKG)

.PHONY: check
check: fmt vet staticcheck race ## everything a change must pass

.PHONY: fmt
fmt: ## files that are not gofmt-formatted
	@bad=$$(gofmt -l .) || exit 1; \
	if [ -n "$$bad" ]; then echo "not formatted, run gofmt -w on:"; echo "$$bad"; exit 1; fi

.PHONY: vet
vet: ## go vet
	go vet $(PKG)

.PHONY: staticcheck
staticcheck: ## staticcheck; its first run builds it, about a minute
	go run $(STATICCHECK) $(PKG)

.PHONY: race
race: ## all tests under the race detector; the process tests in their short form
	CGO_ENABLED=1 go test -race -short -timeout 15m $(TESTFLAGS) $(PKG)

# A tool or database out of reach is said and does not fail the build; a finding
# does. govulncheck ends with 3 when it found something, which `go run` prints.
.PHONY: vuln
vuln: ## known vulnerabilities in what is called; needs the vulnerability database
	@if ! out=$$(go run $(GOVULNCHECK) -version 2>&1); then \
		echo "$$out" | tail -n 3; echo "vuln: NOT CHECKED: govulncheck cannot be fetched or built here"; exit 0; fi; \
	out=$$(go run $(GOVULNCHECK) $(PKG) 2>&1); code=$$?; echo "$$out"; \
	if [ $$code -eq 0 ] || echo "$$out" | grep -q '^exit status 3$$'; then exit $$code; fi; \
	if echo "$$out" | grep -Eqi 'vuln\.go\.dev|fetching vulnerabilities|dial tcp|no such host|i/o timeout|connection refused|proxyconnect'; then \
		echo "vuln: NOT CHECKED: the vulnerability database cannot be reached"; exit 0; fi; \
	exit $$code

.PHONY: bench
bench: ## CPU time an event: decode, walk, journal, HTTP; ratios within the one run
	@GOGC=$${GOGC:-300} go test -run '^$$' -bench '^Benchmark(Decode|Memory|Durable|HTTPEcho|HTTPDecisions)$$' -benchtime 1x -timeout 20m $(TESTFLAGS) ./engine ./cmd/sluice | tee bench.out
	@awk '/^Benchmark/ { for (i = 2; i < NF; i++) if ($$(i+1) ~ /^cpu-us/) cpu[$$1] = $$i; else if ($$(i+1) == "req/s") rate[$$1] = $$i } \
	  END { for (k in cpu) { n = k; sub(/-[0-9]+$$/, "", n); c[n] = cpu[k]; r[n] = rate[k] } d = c["BenchmarkDecode"]; \
	  printf "in memory: %.2f x decode; journal and checkpoints on top: %.2f x decode; HTTP: %.0f %% of echo\n", \
	  c["BenchmarkMemory"]/d, (c["BenchmarkDurable"]-c["BenchmarkMemory"])/d, 100*r["BenchmarkHTTPDecisions"]/r["BenchmarkHTTPEcho"] }' bench.out

.PHONY: bench-features
bench-features: ## CPU time of 40 features over 6 entities, a million of them, in memory and in the store, against encoding/json of the same events
	@GOGC=$${GOGC:-300} go test -run '^$$' -bench '^BenchmarkForty' -benchtime 1x -timeout 20m $(TESTFLAGS) ./engine ./store | tee bench.out
	@awk '/^Benchmark/ { for (i = 2; i < NF; i++) if ($$(i+1) == "cpu-us/event") { n = $$1; sub(/-[0-9]+$$/, "", n); sub(/^BenchmarkForty/, "", n); c[n] = $$i; order[++k] = n } } \
	  END { for (i = 1; i <= k; i++) printf "%-10s %6.1f us an event, %5.2f x decode\n", order[i], c[order[i]], c[order[i]]/c["Decode"] }' bench.out

.PHONY: microbench
microbench: ## the packages' own benchmarks; make microbench BENCH=Decide PKG=./engine
	go test -run '^$$' -bench '$(BENCH)' -benchmem -timeout 60m $(TESTFLAGS) $(PKG)

.PHONY: torture
torture: ## the long tests: crash, power cut, corruption; up to two hours
	SLUICE_TORTURE=1 go test -count 1 -timeout 2h $(TESTFLAGS) $(PKG)

# A real Apache Kafka: jars from Maven Central, run by the tests on loopback.
KAFKA := $(CURDIR)/.cache/kafka
PYTHON := $(CURDIR)/.cache/python
KAFKA_TEST := SLUICE_TEST_KAFKA='$(KAFKA)/lib' SLUICE_TEST_PYTHON='$(PYTHON)/bin/python' nice go test -count 1 -p 1 -parallel 4

$(KAFKA)/fetched: internal/kafkatest/pom.xml
	@command -v java >/dev/null && command -v mvn >/dev/null || { echo "needs Java 17 or later and Maven"; exit 1; }
	rm -rf '$(KAFKA)'
	mvn -q -B -ntp -f $< dependency:copy-dependencies -DoutputDirectory='$(KAFKA)/lib' -DincludeScope=runtime
	touch $@

# Oracles and other clients that are Python.
$(PYTHON)/fetched: internal/kafkatest/requirements.txt
	rm -rf '$(PYTHON)'
	python3 -m venv '$(PYTHON)' && '$(PYTHON)/bin/pip' install -q --disable-pip-version-check -r $<
	touch $@

.PHONY: test-kafka
test-kafka: $(KAFKA)/fetched $(PYTHON)/fetched ## tests against a real Apache Kafka: needs Java 17, Maven and Python, about 7 minutes
	$(KAFKA_TEST) -timeout 20m -run '^TestKafka' $(or $(TESTFLAGS),-v) ./internal/kafkatest ./internal/stream ./cmd/sluice

.PHONY: test-oracle
test-oracle: $(PYTHON)/fetched ## every feature of 500,000 events against DuckDB, in order and late: needs Python, about 2 minutes
	SLUICE_TEST_PYTHON='$(PYTHON)/bin/python' nice go test -count 1 -timeout 20m -run '^TestOracle' $(or $(TESTFLAGS),-v) ./cmd/sluice

.PHONY: bench-kafka
bench-kafka: $(KAFKA)/fetched ## payments a second from topic to topic, against a loop that only copies them
	SLUICE_TEST_BENCH=1 $(subst nice ,,$(KAFKA_TEST)) -timeout 60m -run '^TestKafkaThroughput$$' $(or $(TESTFLAGS),-v) ./cmd/sluice

# Chromium, and a font with Chinese so that the pictures can be read.
.PHONY: test-web
test-web: ## the pages in Chromium, about a minute; pictures in dist/screenshots
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && { ! command -v chromium || ! fc-list :lang=zh-cn | grep -q .; } >/dev/null 2>&1; then \
		DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium fontconfig fonts-wqy-microhei >&2; fi
	SLUICE_TEST_WEB=1 go test -count 1 -timeout 5m -run '^TestPages$$' $(or $(TESTFLAGS),-v) ./cmd/sluice

# What runs deploy/ elsewhere, as the tools of those places see it.
DEPLOY := $(CURDIR)/.cache/deploy

.PHONY: test-deploy
test-deploy: ## deploy/ by promtool, hadolint, kubernetes-validate, systemd-analyze; fetches them the first time
	.ci/deploy-tools '$(DEPLOY)'
	SLUICE_TEST_TOOLS='$(DEPLOY)' go test -count 1 -timeout 3m -run '^TestDeployTools$$' $(or $(TESTFLAGS),-v) ./cmd/sluice

.PHONY: test-faults
test-faults: ## what brokers and networks can do wrong, 300 seeds of it, in process: about a minute and a half
	SLUICE_TEST_FAULTS=300 go test -count 1 -timeout 12m -run '^TestFaultsGiveEverythingOnce$$' $(or $(TESTFLAGS),-v) ./internal/stream

.PHONY: clean
clean: ## remove what build made
	rm -rf bin dist

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
