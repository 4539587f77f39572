package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-risk/sluice/internal/config"
)

// remote is a running server that a command asks.
type remote struct {
	server, key, ca string
	client          *http.Client
	token           string
}

func (r *remote) flags(c *cobra.Command) {
	flags := c.Flags()
	flags.StringVar(&r.server, "server", "", "the server's address, https://HOST:PORT (default: listen of the configuration)")
	flags.StringVar(&r.key, "api-key-file", "", "file with an API key of scope admin")
	flags.StringVar(&r.ca, "server-ca", "", "file with the server's certificate authorities (default: those of the system)")
}

// reach finds the server and what it asks for. A key goes to another machine only
// under TLS.
func (r *remote) reach(cfg *config.Config) error {
	if r.server == "" {
		host, port, err := net.SplitHostPort(cfg.Listen)
		if err != nil || port == "0" {
			return &exitError{exitUsage, errors.New("--server URL: the configuration does not say where the server is")}
		}
		if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
			host = "127.0.0.1"
		}
		r.server = "http://" + net.JoinHostPort(host, port)
		if cfg.TLS.CertFile != "" {
			r.server = "https://" + net.JoinHostPort(host, port)
		}
	}
	u, err := url.Parse(r.server)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil {
		return &exitError{exitUsage, errors.New("--server: want https://HOST:PORT")}
	}
	ip := net.ParseIP(u.Hostname())
	if r.key != "" && u.Scheme == "http" && u.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return &exitError{exitUsage, fmt.Errorf("--server %s: the API key would go over the network in clear: use https", r.server)}
	}
	r.server = strings.TrimSuffix(r.server, "/")
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	if r.ca != "" {
		pem, err := os.ReadFile(r.ca)
		if err != nil {
			return err
		}
		transport.TLSClientConfig.RootCAs = x509.NewCertPool()
		if !transport.TLSClientConfig.RootCAs.AppendCertsFromPEM(pem) {
			return fmt.Errorf("--server-ca %s: no certificate in it", r.ca)
		}
	}
	r.client = &http.Client{Transport: transport, Timeout: 2 * time.Minute,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	if r.key != "" {
		key, err := config.ReadSecret(r.key)
		if err != nil {
			return err
		}
		r.token = key.Reveal()
	}
	return nil
}

// ask sends a request; body may be nil.
func (r *remote) ask(ctx context.Context, method, path string, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, r.server+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if r.token != "" {
		req.Header.Set("Authorization", "Bearer "+r.token)
	}
	return r.client.Do(req)
}
