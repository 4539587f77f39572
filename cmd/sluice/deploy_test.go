package main

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
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
