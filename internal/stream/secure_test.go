package stream

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-risk/sluice/internal/config"
)

// authority signs certificates of brokers and clients.
type authority struct {
	t    testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	dir  string
}

func newAuthority(t testing.TB, name string) *authority {
	t.Helper()
	a := &authority{t: t, dir: t.TempDir()}
	a.key, _ = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, a.key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	a.cert, _ = x509.ParseCertificate(der)
	return a
}

func (a *authority) file() string {
	return a.write("ca.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw}))
}

func (a *authority) write(name string, text []byte) string {
	a.t.Helper()
	path := filepath.Join(a.dir, name)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		a.t.Fatal(err)
	}
	return path
}

// sign makes a certificate, for the loopback address or a name.
func (a *authority) sign(name string, until time.Duration) (pair tls.Certificate, certFile, keyFile string) {
	a.t.Helper()
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(until)}
	if ip := net.ParseIP(name); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{name}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	bytes, _ := x509.MarshalPKCS8PrivateKey(key)
	certFile = a.write(name+".crt", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	keyFile = a.write(name+".key", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: bytes}))
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, certFile, keyFile
}

func secretFile(t testing.TB, text string) string {
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func userOf(t testing.TB, mechanism, password string) config.SASL {
	return config.SASL{Mechanism: mechanism, UserFile: secretFile(t, "sluice"), PasswordFile: secretFile(t, password)}
}

// answer makes brokers answer every request of a kind in a way of their own.
func answer[T kmsg.Request, R kmsg.Response](k *kfake.Cluster, how func(T, R)) {
	var sample T
	for _, key := range []int16{17, 36, 3, 1, 22, 0, 24, 10} {
		if _, ok := kmsg.RequestForKey(key).(T); !ok {
			continue
		}
		k.ControlKey(key, func(req kmsg.Request) (kmsg.Response, error, bool) {
			k.KeepControl()
			resp := req.ResponseKind().(R)
			how(req.(T), resp)
			return resp, nil, true
		})
		return
	}
	panic(fmt.Sprintf("no key of %T", sample))
}

// saysOnce waits until the stream is in trouble and holds it against the words
// that /readyz and one line of the log must have.
func saysOnce(t *testing.T, r *running, want string) {
	t.Helper()
	until(t, "trouble: "+want, func() bool {
		for _, h := range []*health{&r.reading, &r.publishing} {
			if err := h.err(); !h.off && err != nil && strings.Contains(err.Error(), want) {
				return true
			}
		}
		return false
	})
	if ok, detail := r.Check(); ok || !strings.Contains(detail, want) {
		t.Errorf("Check() = %v, %q, want %q in it", ok, detail, want)
	}
	tries := r.failures()
	until(t, "another two attempts", func() bool { return r.failures() >= tries+2 })
	r.close()
	warnings := strings.Count(r.log.String(), "kafka: cannot")
	if warnings != 1 || !r.log.has(want) {
		t.Errorf("%d warnings, want one with %q:\n%s", warnings, want, r.log)
	}
	for _, secret := range []string{"hunter2", "t0k3n"} {
		if r.log.has(secret) {
			t.Errorf("the log shows a secret:\n%s", r.log)
		}
	}
}

// connect runs a stream in both directions against brokers that may not want it.
func connect(t *testing.T, addrs []string, secure config.KafkaTLS, who config.SASL) *running {
	t.Helper()
	o := Options{Cell: "c", Brokers: addrs, TLS: secure, SASL: who, Sources: []Source{{Topic: "payments", Tenant: "default"}}, Decisions: "decisions"}
	r := prepare(t, newFake(3), o)
	r.patience, r.drain = 500*time.Millisecond, 100*time.Millisecond
	return r.start()
}

// Every way to be let in.
func TestConnections(t *testing.T) {
	a := newAuthority(t, "our authority")
	broker, _, _ := a.sign("127.0.0.1", time.Hour)
	named, _, _ := a.sign("kafka.internal", time.Hour)
	_, certFile, keyFile := a.sign("sluice", time.Hour)
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	users := []kfake.Opt{kfake.EnableSASL(), kfake.Superuser("PLAIN", "sluice", "hunter2"),
		kfake.Superuser("SCRAM-SHA-256", "sluice", "hunter2"), kfake.Superuser("SCRAM-SHA-512", "sluice", "hunter2")}
	oneWay := kfake.TLS(&tls.Config{Certificates: []tls.Certificate{broker}})
	mutual := kfake.TLS(&tls.Config{Certificates: []tls.Certificate{broker}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert})
	trust := config.KafkaTLS{Enabled: true, CAFile: a.file()}
	for _, tt := range []struct {
		name   string
		broker []kfake.Opt
		tls    config.KafkaTLS
		sasl   config.SASL
	}{
		{"plain text", nil, config.KafkaTLS{}, config.SASL{Mechanism: "SCRAM-SHA-512"}},
		{"TLS", []kfake.Opt{oneWay}, trust, config.SASL{}},
		{"mutual TLS", []kfake.Opt{mutual}, config.KafkaTLS{Enabled: true, CAFile: a.file(), CertFile: certFile, KeyFile: keyFile}, config.SASL{}},
		{"server name", []kfake.Opt{kfake.TLS(&tls.Config{Certificates: []tls.Certificate{named}})},
			config.KafkaTLS{Enabled: true, CAFile: a.file(), ServerName: "kafka.internal"}, config.SASL{}},
		{"TLS and PLAIN", append(users, oneWay), trust, userOf(t, "PLAIN", "hunter2")},
		{"TLS and SCRAM-SHA-256", append(users, oneWay), trust, userOf(t, "SCRAM-SHA-256", "hunter2")},
		{"SCRAM-SHA-512", users, config.KafkaTLS{}, userOf(t, "SCRAM-SHA-512", "hunter2")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := connect(t, brokers(t, tt.broker...).ListenAddrs(), tt.tls, tt.sasl)
			r.published(3)
			r.close()
		})
	}
}

// Every way to be kept out says what is wrong and which key it comes from: in one
// line, and in /readyz.
func TestRefusedConnections(t *testing.T) {
	if testing.Short() {
		t.Skip("attempts are counted by the clock")
	}
	if _, err := x509.SystemCertPool(); err != nil { // reading it takes longer than an attempt here has
		t.Fatal(err)
	}
	a, other := newAuthority(t, "our authority"), newAuthority(t, "another authority")
	broker, certFile, keyFile := a.sign("127.0.0.1", time.Hour)
	named, _, _ := a.sign("kafka.internal", time.Hour)
	old, _, _ := a.sign("127.0.0.2", -time.Hour)
	_, strange, strangeKey := other.sign("stranger", time.Hour)
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	server := func(c tls.Certificate) kfake.Opt { return kfake.TLS(&tls.Config{Certificates: []tls.Certificate{c}}) }
	mutual := kfake.TLS(&tls.Config{Certificates: []tls.Certificate{broker}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert})
	users := []kfake.Opt{kfake.EnableSASL(), kfake.Superuser("PLAIN", "sluice", "hunter2"), kfake.Superuser("SCRAM-SHA-512", "sluice", "hunter2")}
	trust := config.KafkaTLS{Enabled: true, CAFile: a.file()}
	wrong := func(mechanism string) config.SASL { return userOf(t, mechanism, "not hunter2") }
	refuse := func(k *kfake.Cluster) {
		answer(k, func(_ *kmsg.SASLAuthenticateRequest, resp *kmsg.SASLAuthenticateResponse) {
			resp.ErrorCode, resp.ErrorMessage = kerr.SaslAuthenticationFailed.Code, kmsg.StringPtr("hunter2 is wrong")
		})
	}
	for _, tt := range []struct {
		name   string
		broker []kfake.Opt
		tls    config.KafkaTLS
		sasl   config.SASL
		tamper func(*kfake.Cluster)
		want   string
	}{
		{"wrong password", users, config.KafkaTLS{}, wrong("SCRAM-SHA-512"), refuse,
			"the brokers refuse the user or its password (kafka.sasl.user_file, kafka.sasl.password_file)"},
		{"wrong password, broker hangs up", users, config.KafkaTLS{}, wrong("PLAIN"), nil,
			"(kafka.sasl.user_file, kafka.sasl.password_file)"},
		{"wrong mechanism", users, config.KafkaTLS{}, wrong("SCRAM-SHA-256"), func(k *kfake.Cluster) {
			answer(k, func(_ *kmsg.SASLHandshakeRequest, resp *kmsg.SASLHandshakeResponse) {
				resp.ErrorCode, resp.SupportedMechanisms = kerr.UnsupportedSaslMechanism.Code, []string{"PLAIN"}
			})
		}, "the brokers do not take SASL mechanism SCRAM-SHA-256 here (kafka.sasl.mechanism)"},
		{"no SASL there", nil, config.KafkaTLS{}, wrong("PLAIN"), func(k *kfake.Cluster) {
			answer(k, func(_ *kmsg.SASLHandshakeRequest, resp *kmsg.SASLHandshakeResponse) {
				resp.ErrorCode = kerr.IllegalSaslState.Code
			})
		}, "the brokers ask for no SASL at this port, and one is configured (kafka.sasl, kafka.brokers)"},
		{"no SASL here", users, config.KafkaTLS{}, config.SASL{}, nil,
			"it may ask for SASL, and none is configured (kafka.sasl)"},
		{"untrusted certificate", []kfake.Opt{server(broker)}, config.KafkaTLS{Enabled: true, CAFile: other.file()}, config.SASL{}, nil,
			`issued by our authority, is signed by none of the authorities in ` + other.file() + " (kafka.tls.ca_file)"},
		{"unknown to the system", []kfake.Opt{server(broker)}, config.KafkaTLS{Enabled: true}, config.SASL{}, nil,
			"is signed by no authority that this system trusts (kafka.tls.ca_file)"},
		{"another name", []kfake.Opt{server(named)}, trust, config.SASL{}, nil,
			"is not for 127.0.0.1 but for kafka.internal (kafka.tls.server_name)"},
		{"expired", []kfake.Opt{server(old)}, trust, config.SASL{}, nil, "is in force from "},
		{"plain text to a TLS port", []kfake.Opt{server(broker)}, config.KafkaTLS{}, config.SASL{}, nil, "(kafka.tls.enabled)"},
		{"TLS to a plain port", nil, trust, config.SASL{}, nil, "(kafka.tls.enabled)"},
		{"TLS to a silent port", nil, trust, config.SASL{}, func(*kfake.Cluster) {}, "(kafka.tls.enabled)"},
		{"no client certificate", []kfake.Opt{mutual}, trust, config.SASL{}, nil,
			"wants a certificate of this client, and none is configured"},
		{"strange client certificate", []kfake.Opt{mutual}, config.KafkaTLS{Enabled: true, CAFile: a.file(), CertFile: strange, KeyFile: strangeKey}, config.SASL{}, nil,
			"refuses the certificate of this client"},
		{"certificate gone", []kfake.Opt{mutual}, config.KafkaTLS{Enabled: true, CAFile: a.file(), CertFile: certFile, KeyFile: keyFile}, config.SASL{},
			func(*kfake.Cluster) {}, "no such file or directory (kafka.tls.cert_file, kafka.tls.key_file)"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel() // they wait for the clock mostly
			k := brokers(t, tt.broker...)
			if tt.tamper != nil {
				tt.tamper(k)
			}
			if tt.name == "certificate gone" { // after New has read it
				moved := keyFile + ".moved"
				o := Options{Cell: "c", Brokers: k.ListenAddrs(), TLS: tt.tls, Decisions: "decisions"}
				r := prepare(t, newFake(3), o)
				r.drain = 100 * time.Millisecond
				if err := os.Rename(keyFile, moved); err != nil {
					t.Fatal(err)
				}
				saysOnce(t, r.start(), tt.want)
				return
			}
			addrs := k.ListenAddrs()
			if tt.broker == nil && tt.tls.Enabled && tt.tamper == nil {
				addrs = []string{hangsUp(t)}
			}
			saysOnce(t, connect(t, addrs, tt.tls, tt.sasl), tt.want)
		})
	}
}

// hangsUp is a broker's plain port: four bytes that are no sensible size of a
// request end the connection.
func hangsUp(t testing.TB) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			io.ReadFull(conn, make([]byte, 4))
			conn.Close()
		}
	}()
	return l.Addr().String()
}

// Rights that are missing are told with the topic and the key that names it.
func TestMissingRights(t *testing.T) {
	if testing.Short() {
		t.Skip("attempts are counted by the clock")
	}
	topic := func(name string, op kmsg.ACLOperation) kfake.ACL {
		return kfake.ACL{Resource: kmsg.ACLResourceTypeTopic, Name: name, Pattern: kmsg.ACLResourcePatternTypeLiteral, Operation: op, Allow: true}
	}
	rights := []kfake.ACL{
		topic("payments", kmsg.ACLOperationRead), topic("decisions", kmsg.ACLOperationWrite),
		topic(PublishedTopic, kmsg.ACLOperationWrite), topic(PublishedTopic, kmsg.ACLOperationRead),
		{Resource: kmsg.ACLResourceTypeTransactionalId, Name: "sluice-c", Pattern: kmsg.ACLResourcePatternTypeLiteral, Operation: kmsg.ACLOperationWrite, Allow: true},
	}
	for i, want := range []string{
		"the brokers' ACLs do not allow Read and Describe of topic payments (sources[0].topic)",
		"the brokers' ACLs do not allow Write and Describe of topic decisions (outputs.decisions)",
		"the brokers' ACLs do not allow Read, Write and Describe of topic sluice.published (kafka.sasl.user_file)",
		"",
		"the brokers' ACLs do not allow Write and Describe on transactional id sluice-c (cell)",
		"all of them",
	} {
		if want == "" {
			continue
		}
		t.Run(want, func(t *testing.T) {
			var some []kfake.ACL
			for j, r := range rights {
				if j != i && !(i == 2 && j == 3) {
					some = append(some, r)
				}
			}
			k := brokers(t, kfake.EnableSASL(), kfake.EnableACLs(), kfake.SeedTopics(1, "payments", "decisions", PublishedTopic),
				kfake.Superuser("PLAIN", "root", "root"), kfake.User("PLAIN", "sluice", "hunter2", some...))
			r := connect(t, k.ListenAddrs(), config.KafkaTLS{}, userOf(t, "PLAIN", "hunter2"))
			if i == len(rights) {
				r.published(3)
				r.close()
				return
			}
			if i == 0 { // publishing goes on, so attempts are counted by the clock of the test
				r.published(3)
				until(t, "the missing right", func() bool { _, detail := r.Check(); return strings.Contains(detail, want) })
				r.close()
				if n := strings.Count(r.log.String(), "kafka: cannot"); n != 1 || !r.log.has(want) {
					t.Errorf("%d warnings, want one with %q:\n%s", n, want, r.log)
				}
				return
			}
			saysOnce(t, r, want)
		})
	}
}

// Certificates and secrets are those of the files at each new connection.
func TestRotation(t *testing.T) {
	a := newAuthority(t, "our authority")
	broker, _, _ := a.sign("127.0.0.1", time.Hour)
	_, certFile, keyFile := a.sign("sluice", time.Hour)
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	var seen atomic.Pointer[string]
	k := brokers(t, kfake.EnableSASL(), kfake.Superuser("PLAIN", "sluice", "second"), kfake.TLS(&tls.Config{
		Certificates: []tls.Certificate{broker}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert,
		VerifyConnection: func(s tls.ConnectionState) error {
			serial := s.PeerCertificates[0].SerialNumber.String()
			seen.Store(&serial)
			return nil
		}}))
	who := userOf(t, "PLAIN", "first")
	r := connect(t, k.ListenAddrs(), config.KafkaTLS{Enabled: true, CAFile: a.file(), CertFile: certFile, KeyFile: keyFile}, who)
	until(t, "the refusal", func() bool { _, detail := r.Check(); return strings.Contains(detail, "kafka.sasl.password_file") })
	before := *seen.Load()
	a.sign("sluice", time.Hour) // replaces both files
	if err := os.WriteFile(who.PasswordFile, []byte("second"), 0o600); err != nil {
		t.Fatal(err)
	}
	r.published(3)
	if after := *seen.Load(); after == before {
		t.Errorf("the certificate with serial %s is still shown", after)
	}
	r.close()
}

func TestReachFailsEarly(t *testing.T) {
	none := filepath.Join(t.TempDir(), "none")
	for _, k := range []config.Kafka{
		{TLS: config.KafkaTLS{Enabled: true, CAFile: none}},
		{TLS: config.KafkaTLS{Enabled: true, CAFile: secretFile(t, "no certificate")}},
		{TLS: config.KafkaTLS{Enabled: true, CertFile: none, KeyFile: none}},
		{SASL: config.SASL{Mechanism: "PLAIN", UserFile: none, PasswordFile: none}},
		{SASL: config.SASL{Mechanism: config.OAuth, TokenFile: secretFile(t, "two tokens")}},
		{SASL: config.SASL{Mechanism: config.OAuth, TokenURL: "https://x/", ClientIDFile: none, ClientSecretFile: none}},
	} {
		if _, err := Reach(k, "c", nil); err == nil || !strings.Contains(err.Error(), "(kafka.") {
			t.Errorf("Reach(%+v) = %v, want an error with its key", k, err)
		}
	}
}

// bearer makes brokers take OAUTHBEARER with one token, as RFC 7628 has it.
func bearer(k *kfake.Cluster, valid *atomic.Pointer[string]) {
	answer(k, func(req *kmsg.SASLHandshakeRequest, resp *kmsg.SASLHandshakeResponse) {
		if req.Mechanism != config.OAuth {
			resp.ErrorCode = kerr.UnsupportedSaslMechanism.Code
		}
	})
	answer(k, func(req *kmsg.SASLAuthenticateRequest, resp *kmsg.SASLAuthenticateResponse) {
		if want := "n,,\x01auth=Bearer " + *valid.Load() + "\x01logicalCluster=lkc-1\x01\x01"; string(req.SASLAuthBytes) != want {
			resp.SASLAuthBytes = []byte(`{"status":"invalid_token"}`)
		}
	})
}

func TestTokenFile(t *testing.T) {
	k := brokers(t)
	var valid atomic.Pointer[string]
	second := "t0k3n.2"
	valid.Store(&second)
	bearer(k, &valid)
	who := config.SASL{Mechanism: config.OAuth, TokenFile: secretFile(t, "t0k3n.1"), Extensions: []string{"logicalCluster=lkc-1"}}
	r := connect(t, k.ListenAddrs(), config.KafkaTLS{}, who)
	until(t, "the refusal", func() bool {
		_, detail := r.Check()
		return strings.Contains(detail, "the brokers do not accept the token: invalid_token (kafka.sasl.token_file)")
	})
	if err := os.WriteFile(who.TokenFile, []byte(second), 0o600); err != nil { // renewed by something else
		t.Fatal(err)
	}
	r.published(3)
	r.close()
	if r.log.has("t0k3n") {
		t.Errorf("the log shows a token:\n%s", r.log)
	}
}

func TestTokenEndpoint(t *testing.T) {
	k := brokers(t)
	var valid atomic.Pointer[string]
	var asked atomic.Int64
	none := "none"
	valid.Store(&none)
	bearer(k, &valid)
	secret := secretFile(t, "hunter1")
	endpoint := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, password, _ := r.BasicAuth()
		if id != "sluice%2Brisk" || password != "hunter2" || r.FormValue("grant_type") != "client_credentials" || r.FormValue("scope") != "kafka" {
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, `{"error":"invalid_client","error_description":"hunter1 is wrong"}`)
			return
		}
		token := fmt.Sprintf("t0k3n.%d", asked.Add(1))
		valid.Store(&token)
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(map[string]any{"access_token": token, "token_type": "Bearer", "expires_in": 3600})
	}))
	t.Cleanup(endpoint.Close)
	ca := secretFile(t, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: endpoint.Certificate().Raw})))
	who := config.SASL{Mechanism: config.OAuth, TokenURL: endpoint.URL + "/token", TokenCAFile: ca, ClientIDFile: secretFile(t, "sluice+risk"),
		ClientSecretFile: secret, Scope: "kafka", Extensions: []string{"logicalCluster=lkc-1"}}
	r := connect(t, k.ListenAddrs(), config.KafkaTLS{}, who)
	until(t, "the refusal", func() bool {
		_, detail := r.Check()
		return strings.Contains(detail, "refused: status 401, invalid_client (kafka.sasl.token_url)")
	})
	if err := os.WriteFile(secret, []byte("hunter2"), 0o600); err != nil {
		t.Fatal(err)
	}
	r.published(3)
	if n := asked.Load(); n != 1 {
		t.Errorf("the endpoint gave %d tokens, want 1 for all connections", n)
	}
	revoked := "t0k3n.revoked" // whoever shows the cached token now is refused, and asks for another
	valid.Store(&revoked)
	cl, err := r.client()
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	until(t, "a new token", func() bool { return cl.Ping(t.Context()) == nil })
	if n := asked.Load(); n != 2 {
		t.Errorf("the endpoint gave %d tokens, want 2", n)
	}
	r.close()
	if r.log.has("hunter") || r.log.has("t0k3n") {
		t.Errorf("the log shows a secret:\n%s", r.log)
	}
}

func TestTokenEndpointAnswers(t *testing.T) {
	var body, location string
	status := 200
	endpoint := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if location != "" {
			w.Header().Set("Location", location)
		}
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}))
	t.Cleanup(endpoint.Close)
	s := newTokens(config.SASL{TokenURL: endpoint.URL, ClientIDFile: secretFile(t, "i"), ClientSecretFile: secretFile(t, "hunter2")})
	f := func(code int, text, to, want string) {
		t.Helper()
		status, body, location, s.token = code, text, to, ""
		if _, err := s.take(t.Context()); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("take() of %d %.60q = %v, want %q", code, text, err, want)
		}
	}
	f(200, `{"access_token":"a b"}`, "", "without a bearer token")
	f(200, `{"access_token":"a","token_type":"mac"}`, "", "without a bearer token")
	f(200, `hunter2`, "", "without a bearer token")
	f(200, strings.Repeat(" ", mostToken+1), "", "no whole answer")
	f(302, "", "http://127.0.0.1:1/", "status 302")
	f(400, `{"error":"<hunter2>"}`, "", "status 400")
	// Without a lifetime a token is used once.
	status, body, location = 200, `{"access_token":"a"}`, ""
	if token, err := s.take(t.Context()); err != nil || token != "a" || time.Now().Before(s.renewal) {
		t.Errorf("take() = %q, %v, renewed at %v", token, err, s.renewal)
	}
}
