package kafkatest

import (
	"cmp"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Options shape a cluster. The zero Options are one plain node.
type Options struct {
	Nodes int // default 1; from 3 on topics have three replicas and need two
	// Secure adds a listener with TLS and SASL, one with TLS on both sides, and
	// access control: the plain listener's users may do everything, others what
	// Allow gives them.
	Secure bool
	Users  map[string]string // name to password, for SCRAM-SHA-512, SCRAM-SHA-256 and PLAIN
	// Fast lets the brokers compile as they do in production. Without it they start
	// in half the time and need less memory.
	Fast     bool
	Settings map[string]string // of the brokers, over those of settings
}

// Cluster is a set of brokers that run.
type Cluster struct {
	t     testing.TB
	o     Options
	jars  string
	dir   string
	nodes []*node
	admin *kgo.Client

	// CA is the file of the authority that signed the brokers' certificates, Cert
	// and Key are those of a client called CertUser. Set when Options.Secure.
	CA, Cert, Key string
}

// CertUser is how the brokers call whoever shows Cluster.Cert.
const CertUser = "CN=sluice-client"

// Jars is the folder of the brokers' class files. It skips a test that runs
// without.
func Jars(t testing.TB) string {
	t.Helper()
	const variable = "SLUICE_TEST_KAFKA"
	dir := os.Getenv(variable)
	switch dir {
	case "":
		t.Skipf("needs a real Kafka: %s is not set; `make test-kafka` fetches one and sets it", variable)
	case "1":
		root, err := os.Getwd()
		for err == nil {
			if _, err = os.Stat(filepath.Join(root, "go.mod")); err == nil || root == filepath.Dir(root) {
				break
			}
			root, err = filepath.Dir(root), nil
		}
		dir = filepath.Join(root, ".cache", "kafka", "lib")
	}
	if found, _ := filepath.Glob(filepath.Join(dir, "kafka_2.13-*.jar")); len(found) == 0 {
		t.Fatalf("%s: no Kafka in %s; `make test-kafka` fetches one", variable, dir)
	}
	return dir
}

// Start runs a cluster until the test ends. It returns when all nodes serve.
func Start(t testing.TB, o Options) *Cluster {
	t.Helper()
	c := &Cluster{t: t, o: o, jars: Jars(t), dir: t.TempDir()}
	c.o.Nodes = max(o.Nodes, 1)
	began := time.Now()
	if err := c.start(); err != nil {
		t.Fatalf("start Kafka: %v\n%s", err, c.logs())
	}
	t.Logf("%d Kafka node(s) in %s", c.o.Nodes, time.Since(began).Round(100*time.Millisecond))
	return c
}

func (c *Cluster) start() error {
	archive, err := classArchive(c.jars)
	if err != nil {
		return err
	}
	if c.o.Secure {
		if err := c.certify(); err != nil {
			return err
		}
	}
	ports, err := freePorts(c.o.Nodes * listeners)
	if err != nil {
		return err
	}
	var voters, plain []string
	for i := range c.o.Nodes {
		n := &node{id: i + 1, jars: c.jars, dir: filepath.Join(c.dir, fmt.Sprintf("node%d", i+1)), ports: ports[i*listeners : (i+1)*listeners],
			archive: archive, fast: c.o.Fast}
		c.nodes = append(c.nodes, n)
		voters = append(voters, fmt.Sprintf("%d@127.0.0.1:%d", n.id, n.ports[controllerPort]))
		plain = append(plain, n.address(plainPort))
	}
	id := make([]byte, 16)
	rand.Read(id)
	name := base64.RawURLEncoding.EncodeToString(id)
	errs := make([]error, len(c.nodes))
	var formats sync.WaitGroup
	for i, n := range c.nodes {
		formats.Go(func() { errs[i] = n.format(name, c.settings(n, strings.Join(voters, ",")), c.o.Users) })
	}
	formats.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	c.t.Cleanup(c.stop)
	for _, n := range c.nodes {
		if err := n.start(); err != nil {
			return err
		}
	}
	if c.admin, err = kgo.NewClient(kgo.SeedBrokers(plain...), kgo.MetadataMinAge(50*time.Millisecond), kgo.DisableClientMetrics()); err != nil {
		return err
	}
	c.t.Cleanup(c.admin.Close)
	return c.InSync(c.t.Context())
}

// settings are those of one node.
func (c *Cluster) settings(n *node, voters string) map[string]string {
	replicas, least := "1", "1"
	if c.o.Nodes >= 3 {
		replicas, least = "3", "2"
	}
	s := map[string]string{
		"process.roles":              "broker,controller",
		"node.id":                    fmt.Sprint(n.id),
		"controller.quorum.voters":   voters,
		"controller.listener.names":  "CONTROLLER",
		"inter.broker.listener.name": "PLAIN",
		"log.dirs":                   filepath.Join(n.dir, "data"),
		"listeners":                  fmt.Sprintf("CONTROLLER://127.0.0.1:%d,PLAIN://%s", n.ports[controllerPort], n.address(plainPort)),
		"advertised.listeners":       "PLAIN://" + n.address(plainPort),

		"listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAIN:PLAINTEXT,SASL:SASL_SSL,MUTUAL:SSL",

		"default.replication.factor":               replicas,
		"min.insync.replicas":                      least,
		"offsets.topic.replication.factor":         replicas,
		"offsets.topic.num.partitions":             "2",
		"transaction.state.log.replication.factor": replicas,
		"transaction.state.log.min.isr":            least,
		"transaction.state.log.num.partitions":     "3",
		"group.initial.rebalance.delay.ms":         "0",
		"auto.create.topics.enable":                "false",
		"log.cleaner.backoff.ms":                   "500",
		// A broker that is killed is noticed soon, and so is a controller.
		"broker.session.timeout.ms":             "3000",
		"broker.heartbeat.interval.ms":          "500",
		"controller.quorum.fetch.timeout.ms":    "1000",
		"controller.quorum.election.timeout.ms": "500",
		// Records carry the time of the payment, which may lie weeks back: the test's
		// clock must not delete or refuse them.
		"log.retention.ms":                    "-1",
		"log.message.timestamp.after.max.ms":  "9223372036854775807",
		"log.message.timestamp.before.max.ms": "9223372036854775807",
	}
	if c.o.Secure {
		maps.Copy(s, c.secure(n))
	}
	maps.Copy(s, c.o.Settings)
	return s
}

func (c *Cluster) stop() {
	if c.t.Failed() {
		c.t.Log(c.logs())
	}
	for _, n := range c.nodes {
		n.kill()
	}
}

// logs are the last words of every node.
func (c *Cluster) logs() string {
	var b strings.Builder
	for _, n := range c.nodes {
		fmt.Fprintf(&b, "node %d:\n%s\n", n.id, n.lastWords())
	}
	return b.String()
}

// Brokers are the addresses of the plain listener, Secured those with SASL over
// TLS, Mutual those that ask for a certificate.
func (c *Cluster) Brokers() []string { return c.addresses(plainPort) }
func (c *Cluster) Secured() []string { return c.addresses(saslPort) }
func (c *Cluster) Mutual() []string  { return c.addresses(mutualPort) }

func (c *Cluster) addresses(listener int) (all []string) {
	for _, n := range c.nodes {
		all = append(all, n.address(listener))
	}
	return all
}

// Nodes is how many there are; they are called 1 to Nodes.
func (c *Cluster) Nodes() int { return len(c.nodes) }

// Kill ends a node with SIGKILL.
func (c *Cluster) Kill(node int) { c.nodes[node-1].kill() }

// Restart starts a node that was killed. It does not wait.
func (c *Cluster) Restart(node int) error { return c.nodes[node-1].start() }

// CPU is the processor time that the nodes that run have used.
func (c *Cluster) CPU() (sum time.Duration) {
	for _, n := range c.nodes {
		if n.cmd != nil {
			sum += CPU(n.cmd.Process.Pid)
		}
	}
	return sum
}

// Client is one of the plain listener's, closed with the test.
func (c *Cluster) Client(opts ...kgo.Opt) *kgo.Client {
	c.t.Helper()
	cl, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(c.Brokers()...), kgo.MetadataMinAge(100 * time.Millisecond), kgo.DisableClientMetrics()}, opts...)...)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(cl.Close)
	return cl
}

// given are the ports of all clusters of this process: one whose node is down at the
// moment looks free.
var given struct {
	sync.Mutex
	ports []int
}

// freePorts are below those that the system gives to outgoing connections, so that
// nobody takes the port of a node that is down.
func freePorts(n int) (ports []int, err error) {
	const first, width = 20_000, 12_000
	given.Lock()
	defer given.Unlock()
	var b [2]byte
	for tries := 0; len(ports) < n; tries++ {
		if tries > 1000 {
			return nil, fmt.Errorf("no %d free ports from %d on: %w", n, first, err)
		}
		rand.Read(b[:])
		port := first + (int(b[0])<<8+int(b[1]))%width
		if slices.Contains(given.ports, port) {
			continue
		}
		var l net.Listener
		if l, err = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err != nil {
			continue
		}
		l.Close()
		ports, given.ports = append(ports, port), append(given.ports, port)
	}
	return ports, nil
}

// sorted makes properties a text with a fixed order.
func sorted(settings map[string]string) string {
	var b strings.Builder
	for _, k := range slices.SortedFunc(maps.Keys(settings), cmp.Compare[string]) {
		fmt.Fprintf(&b, "%s=%s\n", k, settings[k])
	}
	return b.String()
}
