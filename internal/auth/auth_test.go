package auth

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func keysPath(t *testing.T) string { return filepath.Join(t.TempDir(), "keys", "keys.yaml") }

func create(t *testing.T, path string, spec Spec) (Token, Key) {
	t.Helper()
	token, key, err := Create(path, spec)
	if err != nil {
		t.Fatal(err)
	}
	return token, key
}

func open(t *testing.T, path string) (*Keys, *bytes.Buffer) {
	t.Helper()
	var log bytes.Buffer
	k, err := Open(path, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	return k, &log
}

// expect authenticates and compares the error alone.
func expect(t *testing.T, k *Keys, presented string, want error) {
	t.Helper()
	p, err := k.Authenticate(presented)
	if !errors.Is(err, want) {
		t.Errorf("Authenticate = %v, want %v", err, want)
	}
	if err != nil && (p.Tenant != "" || p.KeyID != "" || p.Has(Decide)) {
		t.Errorf("Authenticate refused and still gave %+v", p)
	}
}

var payments = Spec{Tenant: "acme", Scopes: []Scope{Decide, Evidence}, Note: "checkout: eu"}

func TestCreateAndAuthenticate(t *testing.T) {
	path := keysPath(t)
	token, key := create(t, path, payments)
	if !regexp.MustCompile(`^slc_[a-z2-7]{8}_[a-z2-7]{52}$`).MatchString(token.Reveal()) {
		t.Errorf("token has the form %s", token.Reveal())
	}
	k, _ := open(t, path)
	p, err := k.Authenticate(token.Reveal())
	if err != nil || p.Tenant != "acme" || p.KeyID != key.ID || !p.Has(Decide) || !p.Has(Evidence) || p.Has(Admin) {
		t.Errorf("Authenticate = %+v, %v", p, err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if secret := token.Reveal()[len("slc_12345678_"):]; strings.Contains(string(text), secret) {
		t.Error("the keys file holds the secret")
	}
	for _, name := range []string{path, path + ".lock"} {
		info, err := os.Stat(name)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v, %v, want 0600", filepath.Base(name), info.Mode(), err)
		}
	}
	if entries, _ := os.ReadDir(filepath.Dir(path)); len(entries) != 2 {
		t.Errorf("directory holds %v, want the file and its lock", entries)
	}
}

func TestRefused(t *testing.T) {
	path := keysPath(t)
	a, keyA := create(t, path, payments)
	b, _ := create(t, path, payments)
	k, _ := open(t, path)
	whole := a.Reveal()
	crossed := whole[:13] + b.Reveal()[13:] // the id of one, the secret of another
	flipped := whole[:len(whole)-1] + string(whole[len(whole)-1]^1)
	for _, presented := range []string{
		"", "slc_", "slc__", "x", whole[:len(whole)-1], whole + "a", strings.ToUpper(whole), " " + whole, flipped, crossed,
		keyA.ID, "slc_aaaaaaaa_" + whole[13:], "xxx_" + whole[4:], strings.Repeat("_", len(whole)), strings.Repeat("\x00", 1<<16),
		fmt.Sprintf("%x", keyA.SHA256),
	} {
		expect(t, k, presented, ErrUnknown)
	}
	expect(t, k, whole, nil)
}

func TestExpires(t *testing.T) {
	path := keysPath(t)
	end := time.Now().Add(time.Hour)
	token, key := create(t, path, Spec{Tenant: "acme", Scopes: []Scope{Admin}, Expires: end})
	k, _ := open(t, path)
	k.now = func() time.Time { return end.Add(-1) }
	expect(t, k, token.Reveal(), nil)
	k.now = func() time.Time { return end }
	expect(t, k, token.Reveal(), ErrExpired)
	expect(t, k, token.Reveal()[:64]+"x", ErrUnknown) // without the secret nothing is told
	if got := key.Status(end.Add(-1)) + " " + key.Status(end); got != "active expired" {
		t.Errorf("Status before and at the end = %s", got)
	}
}

// Rotation: both keys are good until the old one is revoked.
func TestRotationAndReload(t *testing.T) {
	path := keysPath(t)
	old, oldKey := create(t, path, payments)
	synctest.Test(t, func(t *testing.T) {
		k, log := open(t, path)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { k.Watch(ctx) })

		next, _ := create(t, path, payments)
		expect(t, k, next.Reveal(), ErrUnknown) // not yet seen
		time.Sleep(pollInterval + 1)
		synctest.Wait()
		expect(t, k, old.Reveal(), nil)
		expect(t, k, next.Reveal(), nil)

		if err := Revoke(path, oldKey.ID); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * pollInterval)
		synctest.Wait()
		expect(t, k, old.Reveal(), ErrRevoked)
		expect(t, k, next.Reveal(), nil)
		cancel()
		wg.Wait()
		if got := strings.Count(log.String(), "keys file read"); got != 2 {
			t.Errorf("two changes were logged %d times:\n%s", got, log)
		}
	})
	before, _ := List(path)
	if err := Revoke(path, oldKey.ID); err != nil {
		t.Errorf("Revoke twice = %v", err)
	}
	after, err := List(path)
	if err != nil || len(after) != 2 || after[0].Status(time.Now()) != "revoked" || !after[0].Revoked.Equal(before[0].Revoked) {
		t.Errorf("List = %+v, %v", after, err)
	}
	if err := Revoke(path, "aaaaaaaa"); !errors.Is(err, ErrNoKey) {
		t.Errorf("Revoke(unknown) = %v, want %v", err, ErrNoKey)
	}
}

// A broken or missing file leaves the keys in force, and is logged once.
func TestBrokenFileKeepsKeys(t *testing.T) {
	path := keysPath(t)
	token, _ := create(t, path, payments)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	broken := map[string]string{
		"empty":         "",
		"half":          string(good[:len(good)/2]),
		"two documents": string(good) + "---\nversion: 1\nkeys: []\n",
		"not yaml":      "keys: [",
		"version":       "version: 2\nkeys: []\n",
		"unknown key":   string(good) + "more: 1\n",
		"twice":         strings.Replace(string(good), "keys:\n", "keys:\n"+string(good[strings.Index(string(good), "    - id"):]), 1),
		"scope":         strings.Replace(string(good), "decide", "decode", 1),
		"short digest":  regexp.MustCompile(`sha256: .*`).ReplaceAllString(string(good), "sha256: abcd"),
		"no digest":     regexp.MustCompile(`sha256: .*\n`).ReplaceAllString(string(good), "note: x\n"),
		"large":         string(good) + strings.Repeat("#", maxFile),
		"gone":          "",
	}
	for name, text := range broken {
		t.Run(name, func(t *testing.T) {
			put := func(text string) {
				t.Helper()
				if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			put(string(good))
			k, log := open(t, path)
			put(text)
			if name == "gone" {
				if err := os.Remove(path); err != nil {
					t.Fatal(err)
				}
			} else if _, err := Open(path, slog.New(slog.DiscardHandler)); err == nil {
				t.Error("Open took the broken file")
			} else if _, _, err := Create(path, payments); err == nil {
				t.Error("Create wrote over the broken file")
			}
			for range 3 {
				k.poll()
			}
			expect(t, k, token.Reveal(), nil)
			if got := strings.Count(log.String(), "level=ERROR"); got != 1 {
				t.Errorf("logged %d errors, want 1:\n%s", got, log)
			}
			put(string(good) + "# mended\n")
			k.poll()
			if !strings.Contains(log.String(), "keys=1") {
				t.Errorf("mended file was not read:\n%s", log)
			}
		})
	}
}

func TestNoFileYet(t *testing.T) {
	path := keysPath(t)
	k, log := open(t, path)
	if k.Len() != 0 || !strings.Contains(log.String(), "no API keys yet") {
		t.Errorf("Open(no file) has %d keys and logged %q", k.Len(), log)
	}
	k.poll()
	token, _ := create(t, path, payments)
	k.poll()
	expect(t, k, token.Reveal(), nil)
	if strings.Contains(log.String(), "ERROR") {
		t.Errorf("a file not yet there is an error:\n%s", log)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := k.Reload(); err != nil || !strings.Contains(log.String(), "others than its owner") {
		t.Errorf("Reload of a file for all = %v, logged %q", err, log)
	}
}

func TestConcurrentCreate(t *testing.T) {
	path := keysPath(t)
	const n = 12
	tokens := make([]Token, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			token, _, err := Create(path, payments)
			if err != nil {
				t.Error(err)
			}
			tokens[i] = token
		})
	}
	wg.Wait()
	k, _ := open(t, path)
	if k.Len() != n {
		t.Errorf("%d creators left %d keys", n, k.Len())
	}
	for _, token := range tokens {
		expect(t, k, token.Reveal(), nil)
	}
}

func TestCreateRefuses(t *testing.T) {
	path := keysPath(t)
	for _, spec := range []Spec{
		{Tenant: "", Scopes: []Scope{Decide}},
		{Tenant: "a b", Scopes: []Scope{Decide}},
		{Tenant: "acme"},
		{Tenant: "acme", Scopes: []Scope{"decide", "root"}},
		{Tenant: "acme", Scopes: []Scope{Decide, Decide}},
		{Tenant: "acme", Scopes: []Scope{Decide}, Expires: time.Now().Add(-time.Second)},
		{Tenant: "acme", Scopes: []Scope{Decide}, Note: strings.Repeat("x", 257)},
	} {
		if token, _, err := Create(path, spec); err == nil || token.Reveal() != "" {
			t.Errorf("Create(%+v) = %v, %v", spec, token, err)
		}
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("refused keys left a file: %v", err)
	}
}

func TestParseScopes(t *testing.T) {
	got, err := ParseScopes("decide, admin")
	if err != nil || len(got) != 2 || got[0] != Decide || got[1] != Admin {
		t.Errorf("ParseScopes = %v, %v", got, err)
	}
	for _, in := range []string{"", "decide,", "all", "Decide"} {
		if got, err := ParseScopes(in); err == nil {
			t.Errorf("ParseScopes(%q) = %v, want an error", in, got)
		}
	}
}

func TestTokenShowsNowhere(t *testing.T) {
	token, key := create(t, keysPath(t), payments)
	secret := token.Reveal()[13:]
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("made", "token", token, "key", key)
	encoded, err := json.Marshal(map[string]any{"t": token})
	if err != nil {
		t.Fatal(err)
	}
	shown := fmt.Sprintf("%v %s %+v %#v %q %s %s", token, token, token, token, token, encoded, log.String())
	digest, _ := key.SHA256.MarshalText()
	if strings.Contains(shown, secret) || strings.Contains(log.String(), string(digest)) {
		t.Errorf("key material shows in %s", shown)
	}
	if strings.Count(shown, "slc_"+key.ID+"_[secret]") != 7 {
		t.Errorf("token shows as %s", shown)
	}
	if got := (Token{}).String(); got != "[no token]" {
		t.Errorf("zero Token = %s", got)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("version: 1\nkeys: []\n"))
	f.Add([]byte("version: 1\nkeys:\n  - {id: aaaaaaaa, tenant: t, scopes: [decide], sha256: " + strings.Repeat("ab", 32) + ", created: 2026-01-02T03:04:05Z}\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		keys, err := parse(text)
		if err != nil {
			return
		}
		for _, k := range keys {
			if len(k.Scopes) == 0 || k.Tenant == "" || k.SHA256 == (Digest{}) {
				t.Errorf("parse took %+v", k)
			}
		}
	})
}

func BenchmarkAuthenticate(b *testing.B) {
	path := filepath.Join(b.TempDir(), "keys.yaml")
	token, _, err := Create(path, payments)
	if err != nil {
		b.Fatal(err)
	}
	k, err := Open(path, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := k.Authenticate(token.Reveal()); err != nil {
			b.Fatal(err)
		}
	}
}
