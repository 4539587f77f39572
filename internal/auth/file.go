package auth

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/sluice-risk/sluice/internal/atomicfile"
)

// maxFile is some 10,000 keys.
const maxFile = 4 << 20

const (
	fileVersion = 1
	fileHeader  = "# API keys of sluice: digests, no secrets. Written by `sluice keys`; read again by the server when it changes.\n"
)

// Spec is what a new key is to be.
type Spec struct {
	Tenant  string
	Scopes  []Scope
	Expires time.Time // zero: never
	Note    string    // for people: who has it, what for
}

// Create adds a key to the file, which is made if there is none. The token is
// not kept anywhere: show it once.
func Create(path string, spec Spec) (Token, Key, error) {
	now := time.Now().UTC().Truncate(time.Second)
	if !spec.Expires.IsZero() && !spec.Expires.After(now) {
		return Token{}, Key{}, fmt.Errorf("auth: expiry %s is not after now, %s", spec.Expires.Format(time.RFC3339), now.Format(time.RFC3339))
	}
	var token Token
	var key Key
	err := edit(path, func(keys []Key) ([]Key, error) {
		// Ids are 40 random bits; a second key of one id would lock both out.
		for again := true; again; {
			token, key.ID = newToken()
			again = slices.ContainsFunc(keys, func(k Key) bool { return k.ID == key.ID })
		}
		key = Key{
			ID: key.ID, Tenant: spec.Tenant, Scopes: slices.Clone(spec.Scopes), SHA256: sha256.Sum256([]byte(token.text)),
			Created: now, Expires: spec.Expires.UTC(), Note: spec.Note,
		}
		if err := key.validate(); err != nil {
			return nil, fmt.Errorf("auth: %w", err)
		}
		return append(keys, key), nil
	})
	if err != nil {
		return Token{}, Key{}, err
	}
	return token, key, nil
}

// Revoke ends a key for good, and keeps its row for the record. Revoking twice
// changes nothing.
func Revoke(path, id string) error {
	return edit(path, func(keys []Key) ([]Key, error) {
		i := slices.IndexFunc(keys, func(k Key) bool { return k.ID == id })
		if i < 0 {
			return nil, fmt.Errorf("%w: %q in %s", ErrNoKey, id, path)
		}
		if keys[i].Revoked.IsZero() {
			keys[i].Revoked = time.Now().UTC().Truncate(time.Second)
		}
		return keys, nil
	})
}

// List returns the keys in the order they were made. No file is no keys.
func List(path string) ([]Key, error) {
	keys, _, err := read(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return keys, err
}

func (k Key) validate() error {
	switch {
	case !idForm.MatchString(k.ID):
		return fmt.Errorf("key id %q is not 8 of a-z 2-7", k.ID)
	case !tenantForm.MatchString(k.Tenant):
		return fmt.Errorf("key %s: tenant %q is not 1 to 64 of a-z A-Z 0-9 . _ -, first a letter or digit", k.ID, k.Tenant)
	case k.SHA256 == Digest{}:
		return fmt.Errorf("key %s has no sha256", k.ID)
	case len(k.Note) > 256:
		return fmt.Errorf("key %s: note has %d bytes, at most 256", k.ID, len(k.Note))
	}
	if err := checkScopes(k.Scopes); err != nil {
		return fmt.Errorf("key %s: %w", k.ID, err)
	}
	return nil
}

// content is the keys file.
type content struct {
	Version int   `yaml:"version"`
	Keys    []Key `yaml:"keys"`
}

// read returns the valid content of the file and the state of the file read, so
// that a change after it is seen as one.
func read(path string) ([]Key, fs.FileInfo, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, fmt.Errorf("auth: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, nil, fmt.Errorf("auth: %w", err)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, info, fmt.Errorf("auth: %w", err)
	}
	if len(text) > maxFile {
		return nil, info, fmt.Errorf("auth: %s is larger than %d bytes", path, maxFile)
	}
	keys, err := parse(text)
	if err != nil {
		return nil, info, fmt.Errorf("auth: %s: %w", path, err)
	}
	return keys, info, nil
}

func parse(text []byte) ([]Key, error) {
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	var c content
	if err := decoder.Decode(&c); errors.Is(err, io.EOF) {
		// Not "no keys": it is what a wrong redirect leaves, and must not lock
		// everyone out.
		return nil, errors.New("keys file is empty; remove it to begin anew")
	} else if err != nil {
		return nil, err
	}
	if err := decoder.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, errors.New("keys file holds more than one document")
	}
	if c.Version != fileVersion {
		return nil, fmt.Errorf("keys file has version %d, this program reads %d", c.Version, fileVersion)
	}
	seen := make(map[string]bool, len(c.Keys))
	for _, k := range c.Keys {
		if err := k.validate(); err != nil {
			return nil, err
		}
		if seen[k.ID] {
			return nil, fmt.Errorf("key %s stands twice in the keys file", k.ID)
		}
		seen[k.ID] = true
	}
	return c.Keys, nil
}

// edit replaces the file by what change makes of its keys, one editor at a time.
func edit(path string, change func([]Key) ([]Key, error)) (err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("auth: %w", err)
	}
	// The lock is a file of its own: the keys file is replaced, and a lock on
	// what was replaced holds nobody off.
	lock, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("auth: %w", err)
	}
	defer lock.Close() // also unlocks
	for {
		if err = syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != syscall.EINTR {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("auth: lock %s: %w", lock.Name(), err)
	}
	keys, err := List(path)
	if err != nil {
		return err
	}
	if keys, err = change(keys); err != nil {
		return err
	}
	text, err := yaml.Marshal(content{fileVersion, keys})
	if err != nil {
		return fmt.Errorf("auth: %w", err)
	}
	text = append([]byte(fileHeader), text...)
	if len(text) > maxFile {
		return fmt.Errorf("auth: keys file would have %d bytes, at most %d: remove revoked keys from it", len(text), maxFile)
	}
	if err := atomicfile.Write(path, text); err != nil {
		return fmt.Errorf("auth: write %s: %w", path, err)
	}
	return nil
}
