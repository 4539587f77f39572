package main

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

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
