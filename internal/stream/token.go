package stream

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/oauth"

	"github.com/sluice-risk/sluice/internal/config"
)

const (
	tokenPatience = 10 * time.Second
	mostToken     = 64 << 10 // bytes of an endpoint's answer
)

// tokens is the mechanism OAUTHBEARER: a token from a file that something else
// renews, or from an endpoint by the client-credentials grant (RFC 6749, 4.4).
// Safe for concurrent use.
type tokens struct {
	sasl config.SASL

	mu      sync.Mutex // held while the endpoint is asked: one question at a time
	token   string
	renewal time.Time // from here on a new one is asked for
}

func newTokens(s config.SASL) *tokens { return &tokens{sasl: s} }

func (*tokens) Name() string { return config.OAuth }

// Authenticate shows a token, with the extensions that are configured.
func (t *tokens) Authenticate(ctx context.Context, host string) (sasl.Session, []byte, error) {
	token, err := t.take(ctx)
	if err != nil {
		return nil, nil, err
	}
	auth := oauth.Auth{Token: token, Extensions: map[string]string{}}
	for _, x := range t.sasl.Extensions {
		name, value, _ := strings.Cut(x, "=")
		auth.Extensions[name] = value
	}
	session, first, err := auth.AsMechanism().Authenticate(ctx, host)
	if err != nil {
		return nil, nil, err
	}
	return &tokenSession{session, t, token}, first, nil
}

// errToken is a broker's answer to a token that it does not take.
var errToken = errors.New("the brokers do not accept the token")

// tokenSession lets go of a token that a broker refused, so that the next attempt
// shows another one.
type tokenSession struct {
	sasl.Session
	tokens *tokens
	shown  string
}

func (s *tokenSession) Challenge(answer []byte) (bool, []byte, error) {
	done, reply, err := s.Session.Challenge(answer)
	if err == nil {
		return done, reply, nil
	}
	s.tokens.forget(s.shown)
	var why struct {
		Status string `json:"status"` // RFC 7628, 3.2.2
	}
	if json.Unmarshal(answer, &why) == nil && errorCode.MatchString(why.Status) {
		return false, nil, fmt.Errorf("%w: %s", errToken, why.Status)
	}
	return false, nil, errToken
}

func (t *tokens) forget(token string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.token == token {
		t.token = ""
	}
}

// check reads the files; it asks no endpoint.
func (t *tokens) check() error {
	if t.sasl.TokenFile != "" {
		_, err := t.fromFile()
		return err
	}
	_, _, err := t.credentials()
	if err == nil {
		_, err = authorities("kafka.sasl.token_ca_file", t.sasl.TokenCAFile)
	}
	return err
}

func (t *tokens) take(ctx context.Context) (string, error) {
	if t.sasl.TokenFile != "" {
		return t.fromFile()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.token != "" && time.Now().Before(t.renewal) {
		return t.token, nil
	}
	token, lasts, err := t.ask(ctx)
	if err != nil {
		return "", &keyFault{"kafka.sasl.token_url", err}
	}
	// A broker ends the connection with the token, so that it is renewed well
	// before; an endpoint that names no lifetime is asked each time.
	t.token, t.renewal = token, time.Now().Add(lasts-min(lasts/5, time.Minute))
	return token, nil
}

func (t *tokens) fromFile() (string, error) {
	token, err := secret("kafka.sasl.token_file", t.sasl.TokenFile)
	if err == nil && !tokenForm.MatchString(token) {
		err = &keyFault{"kafka.sasl.token_file", errors.New("the file holds something else than one token")}
	}
	return token, err
}

func (t *tokens) credentials() (id, secretText string, err error) {
	if id, err = secret("kafka.sasl.client_id_file", t.sasl.ClientIDFile); err != nil {
		return "", "", err
	}
	secretText, err = secret("kafka.sasl.client_secret_file", t.sasl.ClientSecretFile)
	return id, secretText, err
}

var (
	tokenForm = regexp.MustCompile(`^[A-Za-z0-9._~+/-]+=*$`) // RFC 6750
	errorCode = regexp.MustCompile(`^[a-z_]{1,64}$`)         // of RFC 6749 and 7628; safe to show
)

// ask gets a token from the endpoint. No error repeats anything that was sent or
// got but an error code.
func (t *tokens) ask(ctx context.Context) (token string, lasts time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, tokenPatience)
	defer cancel()
	id, secretText, err := t.credentials()
	if err != nil {
		return "", 0, err
	}
	form := url.Values{"grant_type": {"client_credentials"}}
	if t.sasl.Scope != "" {
		form.Set("scope", t.sasl.Scope)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, t.sasl.TokenURL, strings.NewReader(form.Encode()))
	if err != nil {
		return "", 0, errors.New("cannot ask the token endpoint")
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	req.SetBasicAuth(url.QueryEscape(id), url.QueryEscape(secretText)) // RFC 6749, 2.3.1
	pool, err := authorities("kafka.sasl.token_ca_file", t.sasl.TokenCAFile)
	if err != nil {
		return "", 0, err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool}
	transport.DisableKeepAlives = true // the next question is far away
	client := http.Client{Transport: transport,
		// The secret goes where the configuration says, and nowhere else.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		if inner, ok := errors.AsType[*url.Error](err); ok {
			err = inner.Err
		}
		return "", 0, fmt.Errorf("the token endpoint %s cannot be asked: %w", req.URL.Host, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, mostToken+1))
	if err != nil || len(body) > mostToken {
		return "", 0, fmt.Errorf("the token endpoint %s gave no whole answer of at most %d bytes", req.URL.Host, mostToken)
	}
	var answer struct {
		Token   string  `json:"access_token"`
		Type    string  `json:"token_type"`
		Expires float64 `json:"expires_in"`
		Error   string  `json:"error"`
	}
	notJSON := json.Unmarshal(body, &answer) != nil
	switch {
	case resp.StatusCode != http.StatusOK && errorCode.MatchString(answer.Error):
		return "", 0, fmt.Errorf("the token endpoint %s refused: status %d, %s", req.URL.Host, resp.StatusCode, answer.Error)
	case resp.StatusCode != http.StatusOK:
		return "", 0, fmt.Errorf("the token endpoint %s refused: status %d", req.URL.Host, resp.StatusCode)
	case notJSON || !tokenForm.MatchString(answer.Token) || answer.Type != "" && !strings.EqualFold(answer.Type, "bearer"):
		return "", 0, fmt.Errorf("the token endpoint %s answered without a bearer token", req.URL.Host)
	}
	const most = 24 * 60 * 60
	return answer.Token, time.Duration(max(0, min(answer.Expires, most)) * float64(time.Second)), nil
}
