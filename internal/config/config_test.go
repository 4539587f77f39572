package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

var update = flag.Bool("update", false, "rewrite testdata/*.txt")

func load(t *testing.T, in Input) *Config {
	t.Helper()
	c, err := Load(in)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "sluice.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestDefaults(t *testing.T) {
	c := load(t, Input{})
	if got, want := c.Journal.Dir, filepath.Join("data", "journal"); got != want {
		t.Errorf("Journal.Dir = %q, want %q", got, want)
	}
	if got, want := c.KeysFile, filepath.Join("data", "keys.yaml"); got != want {
		t.Errorf("KeysFile = %q, want %q", got, want)
	}
	if c.Kafka.Enabled() || c.Kafka.SASL.Enabled() || len(c.Sources) != 0 {
		t.Errorf("defaults want Kafka: %+v, %+v", c.Kafka, c.Sources)
	}
	if c.Limits.BodyBytes != 65536 || c.Limits.InFlight != 4096 || c.Limits.Drain != 10*time.Second || c.Limits.BatchEvents != 512 {
		t.Errorf("Limits = %+v", c.Limits)
	}
	if c.Journal.Retain != 400*24*time.Hour || c.Journal.RetainBytes != 200<<30 {
		t.Errorf("Journal = %+v", c.Journal)
	}
}

// The documented file spells out the defaults, but for the topics it reads.
func TestDocumentedFile(t *testing.T) {
	documented := load(t, Input{File: "testdata/sluice.yaml"})
	want := load(t, Input{})
	want.Kafka.Brokers = []string{"127.0.0.1:9092"}
	want.Sources = []Source{{Topic: "payments", Format: "json", Tenant: "default"}}
	documented.origins, want.origins = nil, nil
	if !reflect.DeepEqual(documented, want) {
		t.Errorf("Load(testdata/sluice.yaml) =\n%+v\nwant\n%+v", documented, want)
	}
}

// The documented file names every key, so that none is added without a word.
func TestDocumentedFileIsComplete(t *testing.T) {
	text, err := os.ReadFile("testdata/sluice.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var tree map[string]any
	if err := yaml.Unmarshal(text, &tree); err != nil {
		t.Fatal(err)
	}
	for _, k := range Keys() {
		var at any = tree
		for _, name := range strings.Split(k.Name, ".") {
			section, _ := at.(map[string]any)
			value, ok := section[name]
			if !ok {
				t.Errorf("testdata/sluice.yaml lacks %s", k.Name)
				break
			}
			at = value
		}
		if k.Help == "" {
			t.Errorf("%s has no help", k.Name)
		}
	}
}

// Each key is set at every level at once; then levels are taken away.
func TestPrecedence(t *testing.T) {
	in := Input{
		File:  write(t, "limits:\n  inflight: 10\n"),
		Env:   []string{"PATH=/bin", "SLUICE_LIMITS_INFLIGHT=20"},
		Flags: map[string]string{"limits.inflight": "30"},
	}
	check := func(value int, from, place string) {
		t.Helper()
		c := load(t, in)
		if c.Limits.InFlight != value {
			t.Errorf("InFlight = %d, want %d", c.Limits.InFlight, value)
		}
		o := origin(t, c, "limits.inflight")
		if o.Value != fmt.Sprint(value) || o.Place.From != from || o.Place.String() != place {
			t.Errorf("origin = %+v (%s), want %d from %s at %s", o, o.Place, value, from, place)
		}
	}
	check(30, FromFlag, "--set limits.inflight")
	in.Flags = nil
	check(20, FromEnv, "SLUICE_LIMITS_INFLIGHT")
	in.Env = nil
	check(10, FromFile, in.File+":2:13")
	in.File = ""
	check(4096, FromDefault, "default")
}

func origin(t *testing.T, c *Config, key string) Origin {
	t.Helper()
	i := slices.IndexFunc(c.Origins(), func(o Origin) bool { return o.Key == key })
	if i < 0 {
		t.Fatalf("no origin of %s", key)
	}
	return c.Origins()[i]
}

// What Origins shows can be given back, by variable and by flag, for every key.
func TestOriginsRoundTrip(t *testing.T) {
	want := load(t, Input{
		File: "testdata/sluice.yaml",
		Env:  []string{"SLUICE_KAFKA_BROKERS=a:1, b:2,", "SLUICE_JOURNAL_RETAIN=1d90m", "SLUICE_DISK_BALLAST=0", "SLUICE_PAN_MODE=hmac", "SLUICE_PAN_KEY_FILE=k"},
	})
	if got := want.Kafka.Brokers; !slices.Equal(got, []string{"a:1", "b:2"}) {
		t.Errorf("brokers = %q", got)
	}
	var env []string
	flags := map[string]string{}
	for _, o := range want.Origins() {
		env = append(env, EnvName(o.Key)+"="+o.Value)
		flags[o.Key] = o.Value
	}
	for _, in := range []Input{{Env: env}, {Flags: flags}} {
		got := load(t, in)
		for i, o := range got.Origins() {
			if o.Value != want.Origins()[i].Value {
				t.Errorf("%s = %s, want %s", o.Key, o.Value, want.Origins()[i].Value)
			}
			if o.Place.From == FromDefault {
				t.Errorf("%s was not taken", o.Key)
			}
		}
	}
}

func TestFileNamedByEnvironment(t *testing.T) {
	c := load(t, Input{Env: []string{"SLUICE_CONFIG=" + write(t, "tenant: acme\n")}})
	if c.Tenant != "acme" {
		t.Errorf("Tenant = %q, want acme", c.Tenant)
	}
	_, err := Load(Input{File: filepath.Join(t.TempDir(), "none.yaml")})
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Load(missing file) = %v, want not exist", err)
	}
}

func TestSourceTenantFollows(t *testing.T) {
	c := load(t, Input{Flags: map[string]string{
		"tenant": "acme", "kafka.brokers": "b:9092", "sources": "[{topic: a}, {topic: b, tenant: other}]"}})
	if got, want := origin(t, c, "sources").Value,
		`[{topic: "a", format: "json", tenant: "acme", map: {}}, {topic: "b", format: "json", tenant: "other", map: {}}]`; got != want {
		t.Errorf("origin of sources = %s, want %s", got, want)
	}
	want := []Source{{Topic: "a", Format: "json", Tenant: "acme"}, {Topic: "b", Format: "json", Tenant: "other"}}
	if !reflect.DeepEqual(c.Sources, want) {
		t.Errorf("Sources = %+v, want %+v", c.Sources, want)
	}
}

func TestEmptyFilesAndSections(t *testing.T) {
	want := load(t, Input{}).Origins()
	for _, text := range []string{"", "# nothing\n", "---\n", "{}", "journal:\nsources:\n", "sources: []\n"} {
		got := load(t, Input{File: write(t, text)}).Origins()
		for i := range want {
			if got[i].Value != want[i].Value {
				t.Errorf("Load(%q): %s = %s, want %s", text, got[i].Key, got[i].Value, want[i].Value)
			}
		}
	}
}

// Every *.bad.yaml has its exact message beside it.
func TestBadFiles(t *testing.T) {
	paths, err := filepath.Glob("testdata/*.bad.yaml")
	if err != nil || len(paths) == 0 {
		t.Fatal("no testdata/*.bad.yaml", err)
	}
	for _, path := range paths {
		_, err := Load(Input{File: path})
		if e, ok := errors.AsType[*Error](err); !ok || len(e.Faults) == 0 {
			t.Errorf("Load(%s) = %v, want faults", path, err)
			continue
		}
		got := filepath.ToSlash(err.Error()) + "\n"
		if strings.Contains(got, "hunter2") {
			t.Errorf("Load(%s) shows a secret:\n%s", path, got)
		}
		golden := strings.TrimSuffix(path, ".yaml") + ".txt"
		if *update {
			if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("Load(%s) =\n%s\nwant\n%s", path, got, want)
		}
	}
}

func TestBadEnvironmentAndFlags(t *testing.T) {
	_, err := Load(Input{
		Env: []string{
			"SLUICE_KAFKA_BROKER=a:1", "SLUICE_KAFKA_SASL_PASSWORD=hunter2", "SLUICE_LIMITS_INFLIGHT=",
			"SLUICE_SOURCES=[{topic: p, fromat: json}]", "SLUICE_KAFKA_BROKERS=a:1,b",
			"SLUICE_CONFIG=", "SLUICE_TORTURE=1", "SLUICE_TEST_DATA=x", // ours, but no keys
			"SLUICE_SERVICE_HOST=10.0.0.1", "SLUICE_SERVICE_PORT_HTTP=80", "SLUICE_PORT=tcp://10.0.0.1:80", // Kubernetes
			"SLUICE_PORT_80_TCP_ADDR=10.0.0.1", "SLUICE_METRICS_PORT_81_TCP=tcp://10.0.0.1:81",
		},
		Flags: map[string]string{"journal.retian": "1d", "log.level": "loud", "sources": "[", "retain_bytes": "1"},
	})
	if err == nil {
		t.Fatal("Load took everything")
	}
	want := `config: 9 faults
  SLUICE_KAFKA_BROKER: no key has this variable (did you mean SLUICE_KAFKA_BROKERS?)
  SLUICE_KAFKA_BROKERS: kafka.brokers: "b" is not host:port
  SLUICE_KAFKA_SASL_PASSWORD: no key has this variable (a secret stands in a file of its own: use SLUICE_KAFKA_SASL_PASSWORD_FILE)
  SLUICE_LIMITS_INFLIGHT: limits.inflight: "" is not a whole number from 0 up
  SLUICE_SOURCES: sources[0].fromat: unknown key (did you mean sources[0].format?)
  --set journal.retian: unknown key (did you mean journal.retain?)
  --set log.level: "loud" is not known: write debug, info, warn or error
  --set retain_bytes: unknown key (did you mean journal.retain_bytes?)
  --set sources: not YAML: did not find expected node content`
	if err.Error() != want {
		t.Errorf("Load = %v\nwant %s", err, want)
	}
}

func TestFileTooLarge(t *testing.T) {
	_, err := Load(Input{File: write(t, strings.Repeat("#", maxFile+1))})
	if err == nil || !strings.Contains(err.Error(), "larger than 1048576 bytes") {
		t.Errorf("Load(1 MiB + 1) = %v", err)
	}
}

func TestParseSize(t *testing.T) {
	f := func(in string, want Size) {
		t.Helper()
		if got, err := ParseSize(in); err != nil || got != want {
			t.Errorf("ParseSize(%q) = %d, %v, want %d", in, got, err, want)
		}
		if got, err := ParseSize(want.String()); err != nil || got != want {
			t.Errorf("ParseSize(%q) = %d, %v, want %d", want.String(), got, err, want)
		}
	}
	f("0", 0)
	f("4096", 4096)
	f("64KiB", 65536)
	f("200GiB", 200<<30)
	f("1 TiB", 1<<40)
	f("5GB", 5e9)
	f("5kB", 5000)
	f("7B", 7)
	f("9223372036854775807", 1<<63-1)
	for _, in := range []string{"", "KiB", "1.5GiB", "-1", "+1", "1gib", "1KiBKiB", "8388608TiB", "9223372036854775808", "1iB", "1_0"} {
		if got, err := ParseSize(in); err == nil {
			t.Errorf("ParseSize(%q) = %d, want an error", in, got)
		}
	}
}

func TestParseDuration(t *testing.T) {
	f := func(in string, want time.Duration, text string) {
		t.Helper()
		got, err := ParseDuration(in)
		if err != nil || got != want {
			t.Errorf("ParseDuration(%q) = %v, %v, want %v", in, got, err, want)
		}
		if FormatDuration(got) != text {
			t.Errorf("FormatDuration(%v) = %q, want %q", got, FormatDuration(got), text)
		}
	}
	f("0", 0, "0s")
	f("80ms", 80*time.Millisecond, "80ms")
	f("10s", 10*time.Second, "10s")
	f("90m", 90*time.Minute, "1h30m")
	f("400d", 400*day, "400d")
	f("36h", 36*time.Hour, "1d12h")
	f("1d10m5s", day+605*time.Second, "1d10m5s")
	f("106751d", 106751*day, "106751d")
	for _, in := range []string{"", "d", "10", "-1s", "+1s", "1d-1h", "1.5d", "1d1d", "106752d", "106751d24h", "400 days", "1y", "4294967296d"} {
		if got, err := ParseDuration(in); err == nil {
			t.Errorf("ParseDuration(%q) = %v, want an error", in, got)
		}
	}
}

func TestSecretShowsNowhere(t *testing.T) {
	path := write(t, "hunter2 \r\n\n")
	s, err := ReadSecret(path)
	if err != nil || s.Reveal() != "hunter2 " {
		t.Fatalf("ReadSecret = %q, %v", s.Reveal(), err)
	}
	var log bytes.Buffer
	logger := Log{Format: "json", Level: "debug"}.Logger(&log)
	logger.Debug("s", "secret", s, "in", slog.AnyValue(struct{ S Secret }{s}))
	encoded, err := json.Marshal(map[string]any{"s": s})
	if err != nil {
		t.Fatal(err)
	}
	shown := fmt.Sprintf("%v %s %+v %#v %q %s %s", s, s, s, s, s, encoded, log.String())
	if strings.Contains(shown, "hunter2") || strings.Count(shown, masked) != 8 {
		t.Errorf("secret shows as %s", shown)
	}
	for _, text := range []string{"", "\n"} {
		if _, err := ReadSecret(write(t, text)); err == nil {
			t.Errorf("ReadSecret(%q) took an empty secret", text)
		}
	}
}

func TestLogger(t *testing.T) {
	var out bytes.Buffer
	l := Log{Level: "warn", Format: "text"}.Logger(&out)
	l.Info("quiet")
	l.Warn("loud")
	if got := out.String(); strings.Contains(got, "quiet") || !strings.Contains(got, "msg=loud") {
		t.Errorf("level warn wrote %q", got)
	}
}

func FuzzLoad(f *testing.F) {
	paths, _ := filepath.Glob("testdata/*.yaml")
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := Load(Input{File: write(t, string(text))})
		if e, ok := errors.AsType[*Error](err); ok && len(e.Faults) == 0 || (c == nil) == (err == nil) {
			t.Fatalf("Load = %v, %v", c, err)
		}
		if err != nil {
			return
		}
		flags := map[string]string{}
		for _, o := range c.Origins() {
			flags[o.Key] = o.Value
		}
		again, err := Load(Input{Flags: flags})
		if err != nil {
			t.Fatalf("what Origins shows is refused: %v", err)
		}
		for i, o := range again.Origins() {
			if o.Value != c.Origins()[i].Value {
				t.Errorf("%s = %q, was %q", o.Key, o.Value, c.Origins()[i].Value)
			}
		}
	})
}
