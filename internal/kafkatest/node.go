package kafkatest

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Ports of one node, by listener.
const (
	controllerPort = iota
	plainPort
	saslPort
	mutualPort
	listeners
)

// node is one process after the other on the same files.
type node struct {
	id      int
	jars    string
	archive string
	fast    bool
	dir     string
	ports   []int

	mu    sync.Mutex
	cmd   *exec.Cmd // nil when it does not run
	ended chan struct{}
}

func (n *node) address(listener int) string { return fmt.Sprintf("127.0.0.1:%d", n.ports[listener]) }
func (n *node) properties() string          { return filepath.Join(n.dir, "server.properties") }
func (n *node) logFile() string             { return filepath.Join(n.dir, "log") }

// java is a command on the class path.
func java(jars, archive string, fast bool, args ...string) *exec.Cmd {
	flags := []string{"-Xmx512m", "-XX:+UseSerialGC", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-Dorg.slf4j.simpleLogger.showDateTime=true"}
	if !fast {
		flags = append(flags, "-XX:TieredStopAtLevel=1", "-Xshare:auto")
	}
	if archive != "" {
		flags = append(flags, archive)
	}
	cmd := exec.Command("java", append(append(flags, "-cp", filepath.Join(jars, "*")), args...)...)
	cmd.SysProcAttr = dieWithUs()
	return cmd
}

// format writes the node's settings and makes its data directory.
func (n *node) format(cluster string, settings, users map[string]string) error {
	if err := os.MkdirAll(n.dir, 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(n.properties(), []byte(sorted(settings)), 0o600); err != nil {
		return err
	}
	args := []string{"kafka.tools.StorageTool", "format", "--cluster-id=" + cluster, "-c", n.properties()} // an id may begin with a dash
	for user, password := range users {
		for _, mechanism := range []string{"SCRAM-SHA-512", "SCRAM-SHA-256"} {
			args = append(args, "--add-scram", fmt.Sprintf("%s=[name=%s,password=%s]", mechanism, user, password))
		}
	}
	if out, err := java(n.jars, n.archive, false, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("format: %w\n%s", err, out)
	}
	return nil
}

func (n *node) start() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.cmd != nil {
		return fmt.Errorf("node %d runs already", n.id)
	}
	log, err := os.OpenFile(n.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := java(n.jars, n.archive, n.fast, "kafka.Kafka", n.properties())
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() { cmd.Wait(); close(ended) }()
	n.cmd, n.ended = cmd, ended
	return nil
}

func (n *node) kill() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.cmd != nil {
		n.cmd.Process.Kill()
		<-n.ended
		n.cmd = nil
	}
}

// died tells whether a node that was not killed has ended.
func (n *node) died() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.cmd == nil {
		return false
	}
	select {
	case <-n.ended:
		return true
	default:
		return false
	}
}

func (n *node) lastWords() string {
	text, err := os.ReadFile(n.logFile())
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-4000):])
}

// classArchive gives the flag that maps the brokers' classes into memory instead
// of loading them one by one, which halves the time until a node serves. The
// archive lies beside the jars; the first node of all times, which is thrown away,
// writes it. Without the archive everything works, only slower.
func classArchive(jars string) (flag string, err error) {
	path := filepath.Join(filepath.Dir(jars), "classes.jsa")
	flag = "-XX:SharedArchiveFile=" + path
	if _, err := os.Stat(path); err == nil {
		return flag, nil
	}
	dir, err := os.MkdirTemp("", "kafka-classes-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	ports, err := freePorts(listeners)
	if err != nil {
		return "", err
	}
	c := &Cluster{o: Options{Nodes: 1}}
	n := &node{id: 1, jars: jars, dir: dir, ports: ports}
	if err := n.format("AAAAAAAAAAAAAAAAAAAAAQ", c.settings(n, fmt.Sprintf("1@%s", n.address(controllerPort))), nil); err != nil {
		return "", err
	}
	fresh := filepath.Join(dir, "classes.jsa")
	n.archive = "-XX:ArchiveClassesAtExit=" + fresh
	if err := n.start(); err != nil {
		return "", err
	}
	defer n.kill()
	for end := time.Now().Add(time.Minute); !reachable(n.address(plainPort)); time.Sleep(50 * time.Millisecond) {
		if n.died() || time.Now().After(end) {
			return "", fmt.Errorf("a node does not start:\n%s", n.lastWords())
		}
	}
	n.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-n.ended:
	case <-time.After(time.Minute):
		return "", errors.New("a node does not stop")
	}
	if os.Rename(fresh, path) != nil && copyFile(fresh, path) != nil {
		return "", nil // the folder is not ours to write to
	}
	return flag, nil
}

func copyFile(from, to string) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	part := fmt.Sprintf("%s.%d", to, os.Getpid())
	if err := os.WriteFile(part, b, 0o600); err != nil {
		return err
	}
	return os.Rename(part, to)
}

// CPU is the processor time of a process so far, 0 when that cannot be known.
func CPU(pid int) time.Duration {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	// The name, in brackets, may hold anything. User and system time are the 12th
	// and 13th field behind it, in hundredths of a second.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 13 {
		return 0
	}
	var sum time.Duration
	for _, f := range fields[11:13] {
		ticks, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0
		}
		sum += time.Duration(ticks) * 10 * time.Millisecond
	}
	return sum
}
