package kafkatest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// certify makes an authority and certificates of the brokers and of one client.
func (c *Cluster) certify() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, ca, ca, &key.PublicKey, key)
	if err != nil {
		return err
	}
	c.CA = filepath.Join(c.dir, "ca.pem")
	if err := writePEM(c.CA, "CERTIFICATE", der); err != nil {
		return err
	}
	sign := func(name string) (cert, private []byte, err error) {
		own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, nil, err
		}
		serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
		if err != nil {
			return nil, nil, err
		}
		template := &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: name},
			NotBefore: ca.NotBefore, NotAfter: ca.NotAfter, KeyUsage: x509.KeyUsageDigitalSignature,
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
			IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost"}}
		if cert, err = x509.CreateCertificate(rand.Reader, template, ca, &own.PublicKey, key); err != nil {
			return nil, nil, err
		}
		private, err = x509.MarshalPKCS8PrivateKey(own)
		return cert, private, err
	}
	cert, private, err := sign("localhost")
	if err != nil {
		return err
	}
	store := append(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})...)
	if err := os.WriteFile(c.keyStore(), store, 0o600); err != nil {
		return err
	}
	if cert, private, err = sign(strings.TrimPrefix(CertUser, "CN=")); err != nil {
		return err
	}
	c.Cert, c.Key = filepath.Join(c.dir, "client.pem"), filepath.Join(c.dir, "client-key.pem")
	if err := writePEM(c.Cert, "CERTIFICATE", cert); err != nil {
		return err
	}
	return writePEM(c.Key, "PRIVATE KEY", private)
}

func (c *Cluster) keyStore() string { return filepath.Join(c.dir, "broker.pem") }

func writePEM(path, kind string, der []byte) error {
	return os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
}

// secure are the settings of the listeners with TLS.
func (c *Cluster) secure(n *node) map[string]string {
	const login = "org.apache.kafka.common.security."
	var users strings.Builder
	for name, password := range c.o.Users {
		fmt.Fprintf(&users, " user_%s=%q", name, password)
	}
	controller, plain := "CONTROLLER://"+n.address(controllerPort), "PLAIN://"+n.address(plainPort)
	sasl, mutual := "SASL://"+n.address(saslPort), "MUTUAL://"+n.address(mutualPort)
	return map[string]string{
		"listeners":               strings.Join([]string{controller, plain, sasl, mutual}, ","),
		"advertised.listeners":    strings.Join([]string{plain, sasl, mutual}, ","),
		"ssl.keystore.type":       "PEM",
		"ssl.keystore.location":   c.keyStore(),
		"ssl.truststore.type":     "PEM",
		"ssl.truststore.location": c.CA,
		"sasl.enabled.mechanisms": "SCRAM-SHA-512,SCRAM-SHA-256,PLAIN",
		"authorizer.class.name":   "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
		"super.users":             "User:ANONYMOUS", // of the plain listeners

		"listener.name.mutual.ssl.client.auth":              "required",
		"listener.name.sasl.plain.sasl.jaas.config":         login + "plain.PlainLoginModule required" + users.String() + ";",
		"listener.name.sasl.scram-sha-512.sasl.jaas.config": login + "scram.ScramLoginModule required;",
		"listener.name.sasl.scram-sha-256.sasl.jaas.config": login + "scram.ScramLoginModule required;",
	}
}
