package auth

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// pollInterval is how soon a change of the keys file takes effect. Polling needs
// no library and also sees changes on network and container mounts.
const pollInterval = time.Second

// Keys is the keys file as last read whole. A file that cannot be read, or is
// gone, leaves the keys in force: a broken edit must not lock every caller out.
type Keys struct {
	path string
	log  *slog.Logger
	now  func() time.Time
	byID atomic.Pointer[map[string]Key]

	mu   sync.Mutex  // one reader of the file at a time
	seen fs.FileInfo // of the last try; nil when there was no file
}

// Open reads the keys file. None yet is no keys, which is logged; a broken one
// is an error, for there are no keys to keep.
func Open(path string, log *slog.Logger) (*Keys, error) {
	k := &Keys{path: path, log: log, now: time.Now}
	k.byID.Store(&map[string]Key{})
	err := k.Reload()
	if errors.Is(err, fs.ErrNotExist) {
		log.Warn("no API keys yet, every call that needs one is refused", "file", path)
		return k, nil
	}
	if err != nil {
		return nil, err
	}
	return k, nil
}

// Authenticate says who presents a token, or ErrUnknown, ErrExpired, ErrRevoked.
// The last two are told only to who has the right secret.
func (k *Keys) Authenticate(presented string) (Principal, error) {
	id, ok := tokenID(presented)
	if !ok {
		return Principal{}, ErrUnknown
	}
	// The id is public; all that depends on the secret is one comparison of
	// digests in constant time, made for unknown ids as well.
	key, known := (*k.byID.Load())[id]
	got := sha256.Sum256([]byte(presented))
	same := subtle.ConstantTimeCompare(got[:], key.SHA256[:]) == 1
	if !known || !same {
		return Principal{}, ErrUnknown
	}
	if err := key.refusal(k.now()); err != nil {
		return Principal{}, err
	}
	return Principal{KeyID: key.ID, Tenant: key.Tenant, Scopes: key.Scopes}, nil
}

// Len is the number of keys known, whatever their status.
func (k *Keys) Len() int { return len(*k.byID.Load()) }

// Reload reads the file now. On an error the keys in force stay.
func (k *Keys) Reload() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.reload()
}

func (k *Keys) reload() error {
	keys, info, err := read(k.path)
	k.seen = info
	if err != nil {
		return err
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		k.log.Warn("keys file can be read by others than its owner", "file", k.path, "mode", mode.String())
	}
	byID := make(map[string]Key, len(keys))
	for _, key := range keys {
		byID[key.ID] = key
	}
	k.byID.Store(&byID)
	return nil
}

// Watch takes in every change of the file until ctx ends, and logs each once.
func (k *Keys) Watch(ctx context.Context) {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			k.poll()
		}
	}
}

func (k *Keys) poll() {
	k.mu.Lock()
	defer k.mu.Unlock()
	info, err := os.Stat(k.path)
	if err != nil {
		if k.seen != nil {
			k.log.Error("keys file cannot be read, keys in force stay", "file", k.path, "error", err)
		}
		k.seen = nil
		return
	}
	if k.seen != nil && os.SameFile(info, k.seen) && info.Size() == k.seen.Size() && info.ModTime().Equal(k.seen.ModTime()) {
		return
	}
	if err := k.reload(); err != nil {
		k.log.Error("keys file is broken, keys in force stay", "file", k.path, "error", err)
		if k.seen == nil {
			k.seen = info // opened badly: do not say so every second
		}
		return
	}
	k.log.Info("keys file read", "file", k.path, "keys", k.Len())
}
