package stream

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/sluice-risk/sluice/internal/config"
)

// dialPatience is how long one broker may take to accept, TLS included.
const dialPatience = 10 * time.Second

// keyFault is a fault of what one key of the configuration names.
type keyFault struct {
	key string
	err error
}

func (f *keyFault) Error() string { return fmt.Sprintf("%v (%s)", f.err, f.key) }
func (f *keyFault) Unwrap() error { return f.err }

// dial connects with TLS, by certificates as their files have them now.
func (b *Brokers) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	c, err := b.tls(host)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, dialPatience)
	defer cancel()
	plain, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, &brokerError{address, err}
	}
	conn := tls.Client(plain, c)
	if err := conn.HandshakeContext(ctx); err != nil {
		plain.Close()
		return nil, &brokerError{address, &handshakeError{err}}
	}
	return conn, nil
}

// handshakeError tells that there was a connection and no TLS.
type handshakeError struct{ error }

func (e *handshakeError) Unwrap() error { return e.error }

// brokerError says which broker it was.
type brokerError struct {
	address string
	err     error
}

func (e *brokerError) Error() string { return "broker " + e.address + ": " + e.err.Error() }
func (e *brokerError) Unwrap() error { return e.err }

// tls reads what the configuration names, for a connection to host.
func (b *Brokers) tls(host string) (*tls.Config, error) {
	t := b.kafka.TLS
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: host}
	if t.ServerName != "" {
		c.ServerName = t.ServerName
	}
	var err error
	if c.RootCAs, err = authorities("kafka.tls.ca_file", t.CAFile); err != nil {
		return nil, err
	}
	if t.CertFile == "" {
		return c, nil
	}
	// Both at once: while they are being replaced they may not belong together,
	// and then the next attempt finds them whole.
	pair, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
	if err != nil {
		return nil, &keyFault{"kafka.tls.cert_file, kafka.tls.key_file", err}
	}
	// Shown whoever signed it: a broker that does not accept it then says so.
	c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	return c, nil
}

// authorities reads a file of certificates; without one the system's are trusted.
func authorities(key, file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, &keyFault{key, err}
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, &keyFault{key, fmt.Errorf("no certificate in the %d bytes of %s", len(pem), file)}
	}
	return pool, nil
}

// secret reads a file that a key names.
func secret(key, file string) (string, error) {
	s, err := config.ReadSecret(file)
	if err != nil {
		return "", &keyFault{key, err}
	}
	return s.Reveal(), nil
}

// user reads who is shown to the brokers.
func (b *Brokers) user() (name, password string, err error) {
	if name, err = secret("kafka.sasl.user_file", b.kafka.SASL.UserFile); err != nil {
		return "", "", err
	}
	password, err = secret("kafka.sasl.password_file", b.kafka.SASL.PasswordFile)
	return name, password, err
}

// checkSecrets reads every file once, so that a wrong name ends the start.
func (b *Brokers) checkSecrets() error {
	if b.token == nil {
		_, _, err := b.user()
		return err
	}
	return b.token.check()
}

// mechanism shows the identity that the files hold at each new connection.
func (b *Brokers) mechanism() (sasl.Mechanism, error) {
	proof := func(context.Context) (scram.Auth, error) {
		name, password, err := b.user()
		return scram.Auth{User: name, Pass: password}, err
	}
	switch m := b.kafka.SASL.Mechanism; m {
	case "PLAIN":
		return plain.Plain(func(context.Context) (plain.Auth, error) {
			name, password, err := b.user()
			return plain.Auth{User: name, Pass: password}, err
		}), nil
	case "SCRAM-SHA-256":
		return scram.Sha256(proof), nil
	case "SCRAM-SHA-512":
		return scram.Sha512(proof), nil
	case config.OAuth:
		return b.token, nil
	default:
		return nil, &keyFault{"kafka.sasl.mechanism", errors.New("unknown SASL mechanism " + m)}
	}
}
