package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/sluice-risk/sluice/internal/config"
)

const deployed = "../../deploy/"

// documents reads a file of YAML documents.
func documents[T any](t *testing.T, path string) (out []T) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for d := yaml.NewDecoder(bytes.NewReader(text)); ; {
		var v T
		if err := d.Decode(&v); err != nil {
			if err.Error() == "EOF" {
				return out
			}
			t.Fatalf("%s: %v", path, err)
		}
		out = append(out, v)
	}
}

// panelQuery is one expression of the dashboard.
type panelQuery struct{ where, expr string }

type dashboard struct {
	Templating struct {
		List []struct{ Name, Type, Definition string }
	}
	Annotations struct {
		List []struct{ Name, Expr string }
	}
	Panels []struct {
		ID          int
		Type, Title string
		GridPos     struct{ X, Y, W, H int }
		Datasource  struct{ Type, UID string }
		Targets     []struct {
			Expr       string
			Datasource struct{ Type, UID string }
		}
	}
}

func readDashboard(t *testing.T) (d dashboard, queries []panelQuery) {
	t.Helper()
	text, err := os.ReadFile(deployed + "grafana/sluice.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	for _, p := range d.Panels {
		for _, q := range p.Targets {
			queries = append(queries, panelQuery{"panel " + p.Title, q.Expr})
		}
	}
	for _, a := range d.Annotations.List {
		queries = append(queries, panelQuery{"annotation " + a.Name, a.Expr})
	}
	if len(queries) < 30 {
		t.Fatalf("%d queries in the dashboard: not read as Grafana writes it", len(queries))
	}
	return d, queries
}

type alertRule struct {
	Record, Alert, Expr, For string
	Labels, Annotations      map[string]string
}

func readAlerts(t *testing.T) (out []alertRule) {
	t.Helper()
	type file struct{ Groups []struct{ Rules []alertRule } }
	for _, f := range documents[file](t, deployed+"prometheus/alerts.yaml") {
		for _, g := range f.Groups {
			out = append(out, g.Rules...)
		}
	}
	return out
}

var (
	quoted    = regexp.MustCompile(`"[^"]*"`)
	selector  = regexp.MustCompile(`\b((?:sluice|go|process)_[a-z_0-9]+)\b(?:\{([^}]*)\})?`)
	matcher   = regexp.MustCompile(`([a-z_]+) *(?:=~|!~|!=|=)`)
	grouping  = regexp.MustCompile(`\b(?:by|on) *\(([^)]*)\)`)
	fromJob   = []string{"job", "instance"}
	sampledAs = []string{"", "_bucket", "_sum", "_count"}
)

// unknownIn tells which metrics and labels of an expression nothing has.
func unknownIn(all map[string]metric, expr string) (unknown []string) {
	bare := quoted.ReplaceAllString(expr, "")
	labels := append([]string{"le", "quantile"}, fromJob...)
	for _, m := range selector.FindAllStringSubmatch(bare, -1) {
		name := m[1]
		i := slices.IndexFunc(sampledAs, func(suffix string) bool {
			base, ok := strings.CutSuffix(name, suffix)
			_, known := all[base]
			return ok && known
		})
		if i < 0 {
			unknown = append(unknown, name)
			continue
		}
		own := all[strings.TrimSuffix(name, sampledAs[i])].labels
		labels = append(labels, own...)
		for _, l := range matcher.FindAllStringSubmatch(m[2], -1) {
			if !slices.Contains(own, l[1]) && !slices.Contains(fromJob, l[1]) && l[1] != "quantile" {
				unknown = append(unknown, name+"{"+l[1]+"}")
			}
		}
	}
	for _, m := range grouping.FindAllStringSubmatch(bare, -1) {
		for l := range strings.SplitSeq(m[1], ",") {
			if l = strings.TrimSpace(l); !slices.Contains(labels, l) && !strings.Contains(expr, "sluice:") {
				unknown = append(unknown, "by "+l)
			}
		}
	}
	return unknown
}

func TestUnknownIn(t *testing.T) {
	all := map[string]metric{"sluice_a_total": {"sluice_a_total", []string{"rule"}}, "sluice_b": {"sluice_b", nil}}
	for expr, want := range map[string]string{
		`sum by (job, rule) (rate(sluice_a_total{rule=~"x",job="$job"}[5m])) / on (job) sluice_b`: "",
		`histogram_quantile(0.9, sum by (le) (rate(sluice_b_bucket[5m])))`:                        "",
		`sluice_c > 0`:                               "sluice_c",
		`sluice_a_total_more`:                        "sluice_a_total_more",
		`sluice_a_total{action="sluice_c"}`:          "sluice_a_total{action}",
		`sum by (action) (sluice_a_total{rule="a"})`: "by action",
	} {
		if got := strings.Join(unknownIn(all, expr), " "); got != want {
			t.Errorf("unknownIn(%s) = %s, want %s", expr, got, want)
		}
	}
}

// The dashboard and the alerts ask for metrics and labels that there are.
func TestDeployedQueries(t *testing.T) {
	all := metrics(t)
	_, queries := readDashboard(t)
	for _, q := range queries {
		for _, name := range unknownIn(all, q.expr) {
			t.Errorf("dashboard, %s: nothing has %s", q.where, name)
		}
		if n := strings.Count(q.expr, `job="$job",instance=~"$instance"`); n == 0 || n < len(selector.FindAllString(quoted.ReplaceAllString(q.expr, ""), -1)) {
			t.Errorf("dashboard, %s: not every metric is of the job and the instances chosen: %s", q.where, q.expr)
		}
	}
	recorded := []string{}
	for _, r := range readAlerts(t) {
		recorded = append(recorded, r.Record)
		for _, name := range unknownIn(all, r.Expr) {
			t.Errorf("alerts, %s%s: nothing has %s", r.Record, r.Alert, name)
		}
		for _, name := range regexp.MustCompile(`sluice:[a-z_0-9:]+`).FindAllString(r.Expr, -1) {
			if !slices.Contains(recorded, name) {
				t.Errorf("alerts, %s%s: %s is not recorded before", r.Record, r.Alert, name)
			}
		}
	}
}

func TestDashboard(t *testing.T) {
	d, _ := readDashboard(t)
	ids, taken := map[int]bool{}, map[[2]int]string{}
	for _, p := range d.Panels {
		if ids[p.ID] {
			t.Errorf("panel %s: id %d stands twice", p.Title, p.ID)
		}
		ids[p.ID] = true
		g := p.GridPos
		if g.X < 0 || g.W < 1 || g.H < 1 || g.X+g.W > 24 {
			t.Errorf("panel %s does not fit a row of 24: %+v", p.Title, g)
		}
		for x := g.X; x < g.X+g.W; x++ {
			for y := g.Y; y < g.Y+g.H; y++ {
				if other, ok := taken[[2]int{x, y}]; ok {
					t.Fatalf("panels %s and %s overlap", p.Title, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
		for _, q := range p.Targets {
			if q.Datasource.UID != "${datasource}" || p.Datasource.UID != "${datasource}" {
				t.Errorf("panel %s names a data source of its own", p.Title)
			}
		}
	}
	variables := []string{}
	for _, v := range d.Templating.List {
		variables = append(variables, v.Name)
	}
	if want := []string{"datasource", "job", "instance"}; !slices.Equal(variables, want) {
		t.Errorf("variables %v, want %v", variables, want)
	}
}

// Each alert says what is the case, leads to a passage that is there, and has
// tests of when it fires and when not.
func TestAlerts(t *testing.T) {
	const docs = "https://github.com/sluice-risk/sluice/blob/main/docs/operations.md#"
	headings := map[string]bool{} // of runbook passages; true: an alert leads there
	for _, m := range regexp.MustCompile(`(?m)^### (Sluice\w+)$`).FindAllStringSubmatch(page(t, "docs/operations.md"), -1) {
		headings[m[1]] = false
	}
	type check struct {
		Alertname string
		Expected  []any `yaml:"exp_alerts"`
	}
	type file struct {
		Tests []struct {
			Checks []check `yaml:"alert_rule_test"`
		}
	}
	tested := map[string][2]bool{} // quiet, fires
	for _, f := range documents[file](t, deployed+"prometheus/alerts_test.yaml") {
		for _, c := range f.Tests {
			for _, c := range c.Checks {
				was := tested[c.Alertname]
				was[min(1, len(c.Expected))] = true
				tested[c.Alertname] = was
			}
		}
	}
	for _, r := range readAlerts(t) {
		if r.Alert == "" {
			continue
		}
		if r.Annotations["summary"] == "" || r.Annotations["description"] == "" {
			t.Errorf("%s: no summary or description", r.Alert)
		}
		if s := r.Labels["severity"]; s != "page" && s != "ticket" {
			t.Errorf("%s: severity %q", r.Alert, s)
		}
		if want := docs + strings.ToLower(r.Alert); r.Annotations["runbook_url"] != want {
			t.Errorf("%s: runbook_url %s, want %s", r.Alert, r.Annotations["runbook_url"], want)
		}
		if _, ok := headings[r.Alert]; !ok {
			t.Errorf("docs/operations.md lacks ### %s", r.Alert)
		}
		headings[r.Alert] = true
		if tested[r.Alert] != [2]bool{true, true} {
			t.Errorf("%s: tested quiet, firing: %v", r.Alert, tested[r.Alert])
		}
	}
	for name, led := range headings {
		if !led {
			t.Errorf("docs/operations.md has ### %s, which is no alert", name)
		}
	}
}

// manifest is what the tests read of a Kubernetes object.
type manifest struct {
	Kind     string
	Metadata struct{ Name string }
	Data     map[string]string
	Spec     struct {
		Ports []struct {
			Name string
			Port int
		}
		Template struct {
			Spec struct {
				Grace   int `yaml:"terminationGracePeriodSeconds"`
				Volumes []struct {
					Name      string
					ConfigMap struct {
						Name  string
						Items []struct{ Key, Path string }
					} `yaml:"configMap"`
				}
				Containers []struct {
					Lifecycle struct {
						PreStop struct{ Sleep struct{ Seconds int } } `yaml:"preStop"`
					}
				}
			}
		}
	}
}

func manifests(t *testing.T) (out map[string]manifest) {
	t.Helper()
	files, err := filepath.Glob(deployed + "kubernetes/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no manifests: %v", err)
	}
	out = map[string]manifest{}
	for _, f := range files {
		for _, m := range documents[manifest](t, f) {
			out[m.Kind+" "+m.Metadata.Name] = m
		}
	}
	return out
}

// leaveTime is how long a stop may take beside limits.drain: 5 s for what Kafka
// gave, and the last checkpoint.
const leaveTime = 20 * time.Second

// The ConfigMaps hold a configuration that is read and a ruleset that passes its
// tests, laid out as the kubelet lays out a volume.
func TestKubernetesConfig(t *testing.T) {
	all := manifests(t)
	set := all["StatefulSet sluice"].Spec.Template.Spec
	dir := t.TempDir()
	text := all["ConfigMap sluice-config"].Data["sluice.yaml"]
	file := filepath.Join(dir, "sluice.yaml")
	// What stands there for who has brokers is read too.
	for _, text := range []string{text, regexp.MustCompile(`(?m)^# (With brokers.*\n)?`).ReplaceAllString(text, "")} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		// Variables that Kubernetes sets for the Services of the namespace are no configuration.
		var env []string
		for name, m := range all {
			if host := strings.ToUpper(strings.ReplaceAll(m.Metadata.Name, "-", "_")); strings.HasPrefix(name, "Service ") {
				env = append(env, host+"_SERVICE_HOST=10.0.0.1", fmt.Sprintf("%s_SERVICE_PORT=%d", host, m.Spec.Ports[0].Port))
				for _, p := range m.Spec.Ports {
					env = append(env, fmt.Sprintf("%s_SERVICE_PORT_%s=%d", host, strings.ToUpper(p.Name), p.Port),
						fmt.Sprintf("%s_PORT=tcp://10.0.0.1:%d", host, p.Port), fmt.Sprintf("%s_PORT_%d_TCP=tcp://10.0.0.1:%d", host, p.Port, p.Port),
						fmt.Sprintf("%s_PORT_%d_TCP_PROTO=tcp", host, p.Port), fmt.Sprintf("%s_PORT_%d_TCP_PORT=%d", host, p.Port, p.Port),
						fmt.Sprintf("%s_PORT_%d_TCP_ADDR=10.0.0.1", host, p.Port))
				}
			}
		}
		cfg, err := config.Load(config.Input{File: file, Env: env})
		if err != nil {
			t.Fatal(err)
		}
		grace := time.Duration(set.Grace-set.Containers[0].Lifecycle.PreStop.Sleep.Seconds) * time.Second
		if need := cfg.Limits.Drain + leaveTime; grace < need {
			t.Errorf("Kubernetes gives %s to stop, want at least %s", grace, need)
		}
	}
	volume := filepath.Join(dir, "ruleset")
	files := map[string]bool{}
	for _, v := range set.Volumes {
		if v.Name != "ruleset" {
			continue
		}
		for _, item := range v.ConfigMap.Items {
			content, ok := all["ConfigMap "+v.ConfigMap.Name].Data[item.Key]
			if !ok {
				t.Fatalf("ConfigMap %s has no %s", v.ConfigMap.Name, item.Key)
			}
			files[item.Key] = true
			path := filepath.Join(volume, "..2026", item.Path)
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			top, _, _ := strings.Cut(item.Path, "/")
			if err := os.Symlink(filepath.Join("..data", top), filepath.Join(volume, top)); err != nil && !os.IsExist(err) {
				t.Fatal(err)
			}
		}
	}
	for key := range all["ConfigMap sluice-ruleset"].Data {
		if !files[key] {
			t.Errorf("%s of the ruleset is not mounted", key)
		}
	}
	if err := os.Symlink("..2026", filepath.Join(volume, "..data")); err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"check", "test"} {
		var out bytes.Buffer
		if code := run(t.Context(), []string{verb, volume}, nil, &out, &out); code != exitOK {
			t.Errorf("sluice %s = exit %d: %s", verb, code, &out)
		}
	}
}

// The image's configuration is read, and what the unit says fits the program.
func TestImageAndUnit(t *testing.T) {
	cfg, err := config.Load(config.Input{File: deployed + "docker/sluice.yaml"})
	if err != nil {
		t.Fatal(err)
	}
	image := page(t, "deploy/docker/Dockerfile")
	for _, want := range []string{"VOLUME " + cfg.DataDir + "\n", "COPY rulesets/payments " + cfg.Rulesets + "\n", `CMD ["serve", "--config", "/etc/sluice/sluice.yaml"]`} {
		if !strings.Contains(image, want) {
			t.Errorf("the Dockerfile lacks %s", want)
		}
	}
	unit := page(t, "deploy/systemd/sluice.service") + page(t, "deploy/systemd/kafka-credentials.conf")
	m := regexp.MustCompile(`(?m)^TimeoutStopSec=(\d+s)$`).FindStringSubmatch(unit)
	if m == nil {
		t.Fatal("the unit says no TimeoutStopSec")
	}
	if got, err := time.ParseDuration(m[1]); err != nil || got < cfg.Limits.Drain+leaveTime {
		t.Errorf("TimeoutStopSec=%s (%v), want at least %s", m[1], err, cfg.Limits.Drain+leaveTime)
	}
	if want := fmt.Sprintf("RestartPreventExitStatus=%d\n", exitUsage); !strings.Contains(unit, want) {
		t.Errorf("the unit lacks %s", want)
	}
	var env []string
	for _, m := range regexp.MustCompile(`(?m)^Environment=(SLUICE_.*)$`).FindAllStringSubmatch(unit, -1) {
		env = append(env, strings.ReplaceAll(m[1], "%d", "/run/credentials/sluice.service"))
	}
	if cfg, err = config.Load(config.Input{File: deployed + "systemd/sluice.yaml", Env: append(env, "SLUICE_KAFKA_BROKERS=127.0.0.1:9092", "SLUICE_SOURCES=[{topic: payments}]")}); err != nil {
		t.Errorf("the unit's variables: %v", err)
	} else if cfg.DataDir != "/var/lib/sluice" || !strings.Contains(unit, "StateDirectory=sluice\n") || !cfg.Kafka.SASL.Enabled() {
		t.Errorf("the unit's variables give data_dir %s and SASL %v", cfg.DataDir, cfg.Kafka.SASL.Enabled())
	}
}

// Everything under deploy/ as the tools of those it is for see it: make
// test-deploy, which puts them into the directory that SLUICE_TEST_TOOLS names.
func TestDeployTools(t *testing.T) {
	tools := os.Getenv("SLUICE_TEST_TOOLS")
	if tools == "" {
		t.Skip("SLUICE_TEST_TOOLS is not set: make test-deploy")
	}
	tool := func(t *testing.T, name string, args ...string) string {
		t.Helper()
		cmd := exec.Command(filepath.Join(tools, name), args...)
		cmd.Env = append(os.Environ(), "SYSTEMD_COLORS=0", "LC_ALL=C.UTF-8")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
		}
		return string(out)
	}
	t.Run("prometheus configuration", func(t *testing.T) {
		tool(t, "promtool", "check", "config", deployed+"prometheus/prometheus.yaml")
		tool(t, "promtool", "check", "rules", deployed+"prometheus/alerts.yaml")
	})
	t.Run("alerts", func(t *testing.T) {
		t.Parallel()
		tool(t, "promtool", "test", "rules", deployed+"prometheus/alerts_test.yaml")
	})
	t.Run("dashboard queries", func(t *testing.T) {
		variables := strings.NewReplacer("$__rate_interval", "5m", "$instance", ".*", "$job", "sluice")
		type rule struct{ Record, Expr string }
		type group struct {
			Name  string
			Rules []rule
		}
		rules := group{Name: "dashboard"}
		_, queries := readDashboard(t)
		for i, q := range queries {
			rules.Rules = append(rules.Rules, rule{fmt.Sprintf("dashboard:query:%d", i), variables.Replace(q.expr)})
		}
		text, err := yaml.Marshal(map[string][]group{"groups": {rules}})
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), "queries.yaml")
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		if out := tool(t, "promtool", "check", "rules", file); !strings.Contains(out, fmt.Sprintf("SUCCESS: %d rules found", len(queries))) {
			t.Errorf("promtool says of %d queries: %s", len(queries), out)
		}
	})
	t.Run("Dockerfile", func(t *testing.T) { tool(t, "hadolint", deployed+"docker/Dockerfile") })
	t.Run("Kubernetes", func(t *testing.T) {
		files, err := filepath.Glob(deployed + "kubernetes/*.yaml")
		if err != nil {
			t.Fatal(err)
		}
		out := tool(t, "kubernetes-validate", append([]string{"--strict"}, files...)...)
		if n := strings.Count(out, " passed "); n != len(manifests(t)) {
			t.Errorf("%d of %d objects passed:\n%s", n, len(manifests(t)), out)
		}
	})
	t.Run("systemd", func(t *testing.T) {
		// The program need not be installed here: any that can be run will do.
		dir := t.TempDir()
		unit := strings.ReplaceAll(page(t, "deploy/systemd/sluice.service"), "/usr/bin/sluice", cmp.Or(os.Args[0], "/bin/true"))
		for name, text := range map[string]string{"sluice.service": unit, "sluice.service.d/kafka-credentials.conf": page(t, "deploy/systemd/kafka-credentials.conf")} {
			path := filepath.Join(dir, name)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		path := filepath.Join(dir, "sluice.service")
		newer := regexp.MustCompile(`Unknown key (name )?'(RestartSteps|RestartMaxDelaySec)' in section`) // systemd 254
		for line := range strings.Lines(tool(t, "systemd-analyze", "verify", path)) {
			if !newer.MatchString(line) {
				t.Errorf("systemd-analyze verify: %s", line)
			}
		}
		// In tenths: 0 is shut in, 100 is open. The network it serves costs 9.
		tool(t, "systemd-analyze", "security", "--offline=yes", "--threshold=15", path)
	})
}
