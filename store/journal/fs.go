package journal

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// file and filesystem are all the journal asks of an operating system. Tests put
// full disks, failing syncs and power cuts behind them.
type file interface {
	ReadAt(p []byte, off int64) (int, error)
	WriteAt(p []byte, off int64) (int, error)
	Allocate(size int64) error // makes the file size bytes of reserved zeros
	Sync() error               // data and size reach the disk
	Size() (int64, error)
	Close() error
}

type entry struct {
	name string
	size int64
}

type filesystem interface {
	mkdir(dir string) error
	list(dir string) ([]entry, error)
	open(path string, write bool) (file, error)
	create(path string) (file, error) // empty, whatever was there
	rename(from, to string) error
	remove(path string) error
	syncDir(dir string) error
	lock(path string, shared bool) (file, error) // Close releases; ErrLocked
}

type osFS struct{}

type osFile struct{ *os.File }

// mkdir syncs the parent even if the directory is there: the process that made it
// may have been killed before it did.
func (osFS) mkdir(dir string) error {
	_, statErr := os.Stat(dir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	err := osFS{}.syncDir(filepath.Dir(filepath.Clean(dir)))
	if statErr == nil && errors.Is(err, fs.ErrPermission) {
		return nil // somebody else's directory, made for us long ago
	}
	return err
}

func (osFS) list(dir string) ([]entry, error) {
	names, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	out := make([]entry, 0, len(names))
	for _, d := range names {
		info, err := d.Info()
		if err != nil {
			return nil, err
		}
		out = append(out, entry{d.Name(), info.Size()})
	}
	return out, nil
}

func (osFS) open(path string, write bool) (file, error) {
	flag := os.O_RDONLY
	if write {
		flag = os.O_RDWR
	}
	return osOpen(path, flag)
}

func (osFS) create(path string) (file, error) {
	return osOpen(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC)
}

func osOpen(path string, flag int) (file, error) {
	f, err := os.OpenFile(path, flag, 0o600)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

func (osFS) rename(from, to string) error { return os.Rename(from, to) }
func (osFS) remove(path string) error     { return os.Remove(path) }

func (f osFile) Allocate(size int64) error { return allocate(f.File, size) }
func (f osFile) Sync() error               { return datasync(f.File) }

func (f osFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// writeZeros reserves space where the system has no call for it.
func writeZeros(f interface {
	WriteAt([]byte, int64) (int, error)
}, from, to int64) error {
	zeros := make([]byte, min(max(to-from, 0), 1<<20))
	for from < to {
		n, err := f.WriteAt(zeros[:min(int64(len(zeros)), to-from)], from)
		if err != nil {
			return err
		}
		from += int64(n)
	}
	return nil
}

func notExist(err error) bool { return errors.Is(err, fs.ErrNotExist) }
