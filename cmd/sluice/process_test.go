package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/sluice-risk/sluice/internal/auth"
)

// Tests that need a process of its own run this binary again: it is the program
// when childVariable is set, and in scripts under the name sluice.
const childVariable = "SLUICE_TEST_CHILD"

func TestMain(m *testing.M) {
	switch path := os.Getenv("SLUICE_TEST_PROFILE"); {
	case os.Getenv(childVariable) != "" && path != "":
		os.Exit(profiled(path))
	case os.Getenv(childVariable) != "":
		main()
	case os.Getenv(loopVariable) != "":
		if err := loop(os.Getenv(loopVariable)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	testscript.Main(m, map[string]func(){"sluice": main})
}

// torture is a number of rounds: few with every change, many on demand.
func torture(few, many int) int {
	switch {
	case os.Getenv("SLUICE_TORTURE") != "":
		return many
	case raced:
		return (few + 7) / 8
	}
	return few
}

// alone skips a test under the race detector: what it does in processes one after the
// other, to files or to a start, has nothing beside it that others do not have too.
func alone(t *testing.T) {
	if t.Helper(); raced {
		t.Skip("nothing goes on beside it, and processes start slowly under the race detector")
	}
}

// seeded gives the test's random source and prints how to have it again.
func seeded(t *testing.T, normal uint64) *rand.Rand {
	if s := os.Getenv("SLUICE_TEST_SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		normal = n
	}
	t.Logf("SLUICE_TEST_SEED=%d", normal)
	return rand.New(rand.NewPCG(normal, 1))
}

// program is this binary as sluice, with arguments and further environment.
func program(env []string, args ...string) *exec.Cmd {
	exe, err := os.Executable()
	if err != nil {
		panic(err)
	}
	cmd := exec.Command(exe, args...)
	cmd.Env = append(append(os.Environ(), childVariable+"=1"), env...)
	return cmd
}

const paymentRules = "../../rulesets/payments"

// server is `sluice serve` on a data directory: one process after the other.
type server struct {
	t     *testing.T
	dir   string // data directory
	token string // of a key that may do all
	set   []string
	env   []string

	cmd    *exec.Cmd
	ended  chan struct{} // closed when the process has ended
	ready  chan struct{} // closed when it serves
	base   string        // its address, when it serves
	onBase func(string)  // told of it; may be nil

	mu  sync.Mutex
	log bytes.Buffer // of the process that runs
}

// newServer makes a data directory with a key. set overrides the configuration.
func newServer(t *testing.T, set ...string) *server {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	token, _, err := auth.Create(filepath.Join(dir, "keys.yaml"), auth.Spec{Tenant: "default", Scopes: auth.Scopes})
	if err != nil {
		t.Fatal(err)
	}
	s := &server{t: t, dir: dir, token: token.Reveal(), set: append([]string{
		"data_dir=" + dir, "listen=127.0.0.1:0", "rulesets=" + paymentRules, "disk.reserve=64MiB", "disk.ballast=0",
		"checkpoint.every=100ms", "checkpoint.events=200",
	}, set...)}
	t.Cleanup(func() {
		if s.cmd != nil {
			s.kill()
		}
		if t.Failed() {
			t.Logf("log of the last process:\n%s", s.logged())
		}
	})
	return s
}

var servingLine = regexp.MustCompile(`msg=serving listen=(\S+)`)

// launch starts a process and does not wait for it.
func (s *server) launch() {
	s.t.Helper()
	args := []string{"serve"}
	for _, kv := range s.set {
		args = append(args, "--set", kv)
	}
	s.cmd = program(s.env, args...)
	stderr, err := s.cmd.StderrPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	s.mu.Lock()
	s.log.Reset()
	s.mu.Unlock()
	s.base, s.ready, s.ended = "", make(chan struct{}), make(chan struct{})
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	go func(cmd *exec.Cmd, ready, ended chan struct{}) {
		defer close(ended)
		defer cmd.Wait()
		for lines := bufio.NewReader(stderr); ; {
			line, err := lines.ReadString('\n')
			s.mu.Lock()
			s.log.WriteString(line)
			s.mu.Unlock()
			if strings.Contains(line, "WARNING: DATA RACE") { // also of one that is killed later
				s.t.Error("a data race in a process")
			}
			if m := servingLine.FindStringSubmatch(line); m != nil {
				s.base = "http://" + m[1]
				close(ready)
				if s.onBase != nil {
					s.onBase(s.base)
				}
			}
			if err != nil {
				return
			}
		}
	}(s.cmd, s.ready, s.ended)
}

// startLimit is generous: processes under the race detector share the cores with all
// other tests.
func startLimit() time.Duration {
	if raced {
		return 4 * time.Minute
	}
	return time.Minute
}

// start launches and waits until it serves.
func (s *server) start() {
	s.t.Helper()
	s.launch()
	select {
	case <-s.ready:
	case <-s.ended:
		s.t.Fatalf("serve ended with %v before it served:\n%s", s.cmd.ProcessState, s.logged())
	case <-time.After(startLimit()):
		s.t.Fatalf("serve does not serve:\n%s", s.logged())
	}
}

// kill ends the process at once. It fails the test when it had ended by itself.
func (s *server) kill() {
	s.t.Helper()
	s.cmd.Process.Kill()
	<-s.ended
	if status, ok := s.cmd.ProcessState.Sys().(syscall.WaitStatus); ok && !status.Signaled() {
		s.t.Errorf("serve ended by itself: %v\n%s", s.cmd.ProcessState, s.logged())
	}
	s.cmd = nil
}

// stop asks the process to end and waits until it has drained.
func (s *server) stop() {
	s.t.Helper()
	s.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.ended:
	case <-time.After(60 * time.Second):
		s.cmd.Process.Kill()
		s.t.Errorf("serve does not stop")
		<-s.ended
	}
	if !s.cmd.ProcessState.Success() {
		s.t.Errorf("serve ended with %v:\n%s", s.cmd.ProcessState, s.logged())
	}
	s.cmd = nil
}

// refused launches and expects that the process ends by itself, with an error.
func (s *server) refused() string {
	s.t.Helper()
	s.launch()
	select {
	case <-s.ended:
	case <-s.ready:
		s.t.Error("serve serves, want it refused")
		s.cmd.Process.Kill()
		<-s.ended
	case <-time.After(60 * time.Second):
		s.t.Fatalf("serve neither serves nor ends:\n%s", s.logged())
	}
	if code := s.cmd.ProcessState.ExitCode(); code != exitFailed {
		s.t.Errorf("serve ended with %v, want exit code %d:\n%s", s.cmd.ProcessState, exitFailed, s.logged())
	}
	s.cmd = nil
	return s.logged()
}

// stacks ends a process that hangs and tells where it did.
func (s *server) stacks() string {
	s.cmd.Process.Signal(syscall.SIGQUIT)
	<-s.ended
	return s.logged()
}

func (s *server) logged() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.String()
}

// await polls until a condition holds; it is for other processes, whose
// conditions cannot be waited on.
func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("in vain: %s", what)
		}
	}
}

// answer is what a server said.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (a *answer) String() string { return fmt.Sprintf("%d %.600s", a.status, a.body) }

// degraded tells why an answer is no decision; "" when it is one.
func (a *answer) degraded() string {
	var m struct{ Degraded []string }
	if err := json.Unmarshal(a.body, &m); err != nil {
		return err.Error()
	}
	return strings.Join(m.Degraded, " ")
}

var client = &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 64}}

// ask sends one request to an address. The error is that of the connection.
func (s *server) ask(base, method, path string, body []byte, header ...string) (*answer, error) {
	r, err := http.NewRequest(method, base+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Authorization", "Bearer "+s.token)
	if len(body) > 0 {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := client.Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	return &answer{resp.StatusCode, resp.Header, got}, nil
}

// get and post are ask for a server that must answer.
func (s *server) get(path string) *answer {
	s.t.Helper()
	return s.must(s.ask(s.base, "GET", path, nil))
}

func (s *server) post(path string, body []byte, header ...string) *answer {
	s.t.Helper()
	return s.must(s.ask(s.base, "POST", path, body, header...))
}

func (s *server) must(a *answer, err error) *answer {
	s.t.Helper()
	if err != nil {
		s.t.Fatalf("%v\n%s", err, s.logged())
	}
	return a
}

// patient asks for the decision itself, however long the disk takes.
var patient = []string{"Sluice-Deadline-Ms", "60000"}

// bodyOf takes position and what else stands behind the body off an answer.
func bodyOf(t *testing.T, answer []byte) string {
	t.Helper()
	i := bytes.LastIndex(answer, []byte(`,"position":`))
	if i < 0 {
		t.Fatalf("no position in %s", answer)
	}
	return string(answer[:i]) + "}"
}

// sluice runs a command in this process and expects it to succeed.
func sluice(t *testing.T, args ...string) (out, talk string) {
	t.Helper()
	var o, e bytes.Buffer
	if code := run(t.Context(), args, strings.NewReader(""), &o, &e); code != exitOK {
		t.Fatalf("sluice %s = exit %d:\n%s%s", strings.Join(args, " "), code, o.Bytes(), e.Bytes())
	}
	return o.String(), e.String()
}
