// Package atomicfile writes small files whole or not at all, whenever the process
// or the machine ends. The journal and the store have rules of their own.
package atomicfile

import (
	"errors"
	"os"
	"path/filepath"
)

// Unfinished begins the names of files that are being written. What a kill leaves
// under such a name may be removed.
const Unfinished = ".part-"

// Write makes data the content of the file at path, readable by its owner only:
// beside it first, synced, then renamed, and the directory synced.
func Write(path string, data []byte) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, Unfinished+"*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return SyncDir(dir)
}

// SyncDir makes the names in a directory durable.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
