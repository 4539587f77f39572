package doctor

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/sluice-risk/sluice/engine"
	"github.com/sluice-risk/sluice/store"
)

// files looks at what only the server may read.
func (e *examination) files() {
	cfg := e.cfg
	dir, err := os.Stat(cfg.DataDir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		e.warn("data_dir", "nothing, when no server has run here yet; else look at data_dir and at the working directory", "%s is not there", cfg.DataDir)
	case err != nil:
		e.problem("data_dir", "run doctor as the user of the server", "%v", err)
	case dir.Mode().Perm()&0o002 != 0:
		e.problem("data_dir", "chmod 700 "+cfg.DataDir, "every user can write in %s (mode %04o)", cfg.DataDir, dir.Mode().Perm())
	case dir.Mode().Perm()&0o007 != 0:
		e.warn("data_dir", "chmod 700 "+cfg.DataDir, "every user can look into %s (mode %04o)", cfg.DataDir, dir.Mode().Perm())
	default:
		e.ok("data_dir", "%s", cfg.DataDir)
	}
	if dir != nil {
		e.secret("secret.key", filepath.Join(cfg.DataDir, "secret.key"), dir.IsDir() && !empty(filepath.Join(cfg.DataDir, "state")))
	}
	if _, err := os.Stat(cfg.KeysFile); errors.Is(err, fs.ErrNotExist) {
		e.warn("keys_file", "sluice keys create", "%s is not there: every call that needs a key is refused", cfg.KeysFile)
	} else {
		e.secret("keys_file", cfg.KeysFile, true)
	}
	for _, o := range cfg.Origins() { // whatever is a secret in a file is called so
		name := o.Key[strings.LastIndex(o.Key, ".")+1:]
		if o.Value == "" || o.Key == "dead_letter.key_file" { // that one is a public key
			continue
		}
		switch name {
		case "key_file", "password_file", "token_file", "client_secret_file":
			e.secret(o.Key, o.Value, true)
		case "cert_file", "ca_file", "token_ca_file", "user_file", "client_id_file":
			if _, err := os.Stat(o.Value); err != nil {
				e.problem(o.Key, "put the file there, or change the key", "%v", err)
			}
		}
	}
}

// secret looks at a file that others must not read.
func (e *examination) secret(check, path string, needed bool) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && !needed:
		e.ok(check, "%s is made at the first start", path)
	case errors.Is(err, fs.ErrNotExist) && check == "secret.key":
		e.problem(check, "restore it: without it nothing that is stored would be known again", "%s is missing, and there is state", path)
	case err != nil:
		e.problem(check, "put the file there, or change the key", "%v", err)
	case check == "secret.key" && info.Size() != 32:
		e.problem(check, "restore it", "%s has %d bytes, not 32", path, info.Size())
	case info.Mode().Perm()&0o007 != 0:
		e.problem(check, "chmod 600 "+path+", and think about making the secret anew: somebody may have read it", "every user can read %s (mode %04o)", path, info.Mode().Perm())
	case info.Mode().Perm()&0o070 != 0:
		e.warn(check, "chmod 600 "+path+", unless its group is the server's alone", "a group can read %s (mode %04o)", path, info.Mode().Perm())
	default:
		e.ok(check, "%s, mode %04o", path, info.Mode().Perm())
	}
}

func empty(dir string) bool {
	entries, err := os.ReadDir(dir)
	return err != nil || len(entries) == 0
}

// Latencies of a disk that a journal can live with, and those that callers notice.
const (
	slowSync = 20 * time.Millisecond
	badSync  = 200 * time.Millisecond
)

// disk looks at free space and at how long a write takes to be safe.
func (e *examination) disk() {
	cfg := e.cfg
	dirs := []string{cfg.DataDir}
	if !strings.HasPrefix(filepath.Clean(cfg.Journal.Dir)+"/", filepath.Clean(cfg.DataDir)+"/") {
		dirs = append(dirs, cfg.Journal.Dir)
	}
	if cfg.FeatureLog.Dir != "" {
		dirs = append(dirs, cfg.FeatureLog.Dir)
	}
	for _, dir := range dirs {
		if _, err := os.Stat(dir); err != nil {
			if dir != cfg.DataDir {
				e.warn("disk", "nothing, when no server has run here yet", "%v", err)
			}
			continue
		}
		free, err := store.FreeSpace(dir)
		reserve := int64(cfg.Disk.Reserve)
		switch {
		case err != nil:
			e.problem("disk", "run doctor as the user of the server", "%v", err)
		case dir == cfg.FeatureLog.Dir && free < reserve:
			e.warn("disk", "free space, or move old files of the feature log away", "%s has %s free", dir, size(free))
		case dir != cfg.FeatureLog.Dir && free < reserve:
			e.problem("disk", "free space or make the disk larger: no event is taken", "%s has %s free, disk.reserve is %s", dir, size(free), size(reserve))
		case dir != cfg.FeatureLog.Dir && free < 2*reserve:
			e.warn("disk", "see where it goes: journal.retain, journal.retain_bytes, or something else on this disk", "%s has %s free, at disk.reserve (%s) nothing is taken", dir, size(free), size(reserve))
		default:
			e.ok("disk", "%s has %s free", dir, size(free))
		}
	}
	dir := dirs[0]
	if len(dirs) > 1 && dirs[1] == cfg.Journal.Dir {
		dir = dirs[1]
	}
	if _, err := os.Stat(dir); err != nil {
		return
	}
	took, err := syncs(dir, 30)
	if err != nil {
		e.problem("fsync", "run doctor as the user of the server", "cannot write in %s: %v", dir, err)
		return
	}
	median, worst := took[len(took)/2], took[len(took)-1]
	detail := "%d writes of 4 KiB to %s were safe after %s, the slowest after %s"
	args := []any{len(took), dir, median.Round(10 * time.Microsecond), worst.Round(10 * time.Microsecond)}
	switch {
	case median > badSync:
		e.problem("fsync", "put the journal on another disk: every decision waits for this", detail, args...)
	case median > slowSync:
		e.warn("fsync", "look at what else uses this disk: every decision waits for this", detail, args...)
	default:
		e.ok("fsync", detail, args...)
	}
}

// syncs gives how long n small writes took to be on the disk, in rising order.
func syncs(dir string, n int) (took []time.Duration, err error) {
	f, err := os.CreateTemp(dir, ".doctor-*")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	page := make([]byte, 4096)
	for i := range n {
		page[0] = byte(i)
		began := time.Now()
		if _, err := f.Write(page); err != nil {
			return nil, err
		}
		if err := f.Sync(); err != nil {
			return nil, err
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	return took, nil
}

// blobs is where releases lie.
func (e *examination) blobs() engine.Blobs {
	return engine.Blobs(filepath.Join(e.cfg.DataDir, "blobs"))
}
