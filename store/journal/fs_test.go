package journal

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
)

var errCrash = errors.New("crashed")

// memFS is a disk whose unsynced bytes and names a power cut can lose.
type memFS struct {
	mu      sync.Mutex
	names   map[string]*memNode
	onDisk  map[string]*memNode         // as of the last syncDir
	pending []func(map[string]*memNode) // name changes since
	// fault sees every operation first; for a write it may let through n bytes.
	fault func(op, path string, off int64, n int) (int, error)
}

type memNode struct {
	fs     *memFS
	path   string
	data   []byte
	disk   []byte // as of the last Sync
	locked bool
}

func newMemFS() *memFS {
	return &memFS{names: map[string]*memNode{}, onDisk: map[string]*memNode{}}
}

func (m *memFS) try(op, path string, off int64, n int) (int, error) {
	m.mu.Lock()
	fault := m.fault
	m.mu.Unlock()
	if fault == nil {
		return n, nil
	}
	return fault(op, filepath.Base(path), off, n)
}

func (m *memFS) setFault(f func(op, path string, off int64, n int) (int, error)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fault = f
}

func (m *memFS) change(f func(map[string]*memNode)) {
	f(m.names)
	m.pending = append(m.pending, f)
}

func (m *memFS) mkdir(string) error { return nil }

func (m *memFS) list(dir string) ([]entry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []entry
	for _, path := range slices.Sorted(maps.Keys(m.names)) {
		out = append(out, entry{filepath.Base(path), int64(len(m.names[path].data))})
	}
	return out, nil
}

func (m *memFS) open(path string, write bool) (file, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, ok := m.names[path]
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
	}
	return n, nil
}

func (m *memFS) create(path string) (file, error) {
	if _, err := m.try("create", path, 0, 0); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	n := &memNode{fs: m, path: path}
	m.change(func(names map[string]*memNode) { names[path] = n })
	return n, nil
}

func (m *memFS) rename(from, to string) error {
	if _, err := m.try("rename", from, 0, 0); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	n, ok := m.names[from]
	if !ok {
		return fs.ErrNotExist
	}
	n.path = to
	m.change(func(names map[string]*memNode) { delete(names, from); names[to] = n })
	return nil
}

func (m *memFS) remove(path string) error {
	if _, err := m.try("remove", path, 0, 0); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.names[path]; !ok {
		return fs.ErrNotExist
	}
	m.change(func(names map[string]*memNode) { delete(names, path) })
	return nil
}

func (m *memFS) syncDir(dir string) error {
	if _, err := m.try("syncdir", dir, 0, 0); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.onDisk, m.pending = maps.Clone(m.names), nil
	return nil
}

func (m *memFS) lock(path string, shared bool) (file, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, ok := m.names[path]
	if !ok && shared {
		return nil, fs.ErrNotExist
	}
	if !ok {
		n = &memNode{fs: m, path: path}
		m.change(func(names map[string]*memNode) { names[path] = n })
	}
	if n.locked {
		return nil, ErrLocked
	}
	n.locked = true
	return memLock{n}, nil
}

type memLock struct{ *memNode }

func (l memLock) Close() error { l.locked = false; return nil }

func (n *memNode) ReadAt(p []byte, off int64) (int, error) {
	if _, err := n.fs.try("read", n.path, off, len(p)); err != nil {
		return 0, err
	}
	n.fs.mu.Lock()
	defer n.fs.mu.Unlock()
	if off >= int64(len(n.data)) {
		return 0, io.EOF
	}
	c := copy(p, n.data[off:])
	if c < len(p) {
		return c, io.EOF
	}
	return c, nil
}

func (n *memNode) WriteAt(p []byte, off int64) (int, error) {
	c, err := n.fs.try("write", n.path, off, len(p))
	n.fs.mu.Lock()
	defer n.fs.mu.Unlock()
	if grow := off + int64(c) - int64(len(n.data)); grow > 0 {
		n.data = append(n.data, make([]byte, grow)...)
	}
	copy(n.data[off:], p[:c])
	return c, err
}

func (n *memNode) Allocate(size int64) error {
	if _, err := n.fs.try("allocate", n.path, 0, int(size)); err != nil {
		return err
	}
	n.fs.mu.Lock()
	defer n.fs.mu.Unlock()
	n.data = append(n.data, make([]byte, size-int64(len(n.data)))...)
	return nil
}

func (n *memNode) Sync() error {
	if _, err := n.fs.try("sync", n.path, 0, 0); err != nil {
		return err
	}
	n.fs.mu.Lock()
	defer n.fs.mu.Unlock()
	n.disk = bytes.Clone(n.data)
	return nil
}

func (n *memNode) Size() (int64, error) {
	n.fs.mu.Lock()
	defer n.fs.mu.Unlock()
	return int64(len(n.data)), nil
}

func (n *memNode) Close() error { return nil }

// dirty says whether bytes of any file were written and not synced.
func (m *memFS) dirty(path string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for p, n := range m.names {
		if filepath.Base(p) == path && !bytes.Equal(n.data, n.disk) {
			return true
		}
	}
	return false
}

// killed is the disk after kill -9: everything written is there.
func (m *memFS) killed() *memFS {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := newMemFS()
	for path, n := range m.names {
		c := &memNode{fs: out, path: path, data: bytes.Clone(n.data), disk: bytes.Clone(n.disk)}
		out.names[path] = c
	}
	for path, n := range m.onDisk {
		if _, ok := out.names[path]; ok {
			out.onDisk[path] = out.names[path]
		} else {
			out.onDisk[path] = &memNode{fs: out, path: path, data: bytes.Clone(n.disk), disk: bytes.Clone(n.disk)}
		}
	}
	out.pending = []func(map[string]*memNode){func(names map[string]*memNode) {
		clear(names)
		maps.Copy(names, out.names)
	}}
	return out
}

// cut is the disk after a power cut: of what was not synced, any sectors and any
// changes of names may have got there.
func (m *memFS) cut(rng *rand.Rand) *memFS {
	m.mu.Lock()
	defer m.mu.Unlock()
	names := maps.Clone(m.onDisk)
	first := rng.IntN(len(m.pending) + 1)
	for i, f := range m.pending { // the first few, and any of the others
		if i < first || rng.IntN(4) == 0 {
			f(names)
		}
	}
	out := newMemFS()
	for _, path := range slices.Sorted(maps.Keys(names)) {
		n := names[path]
		data := bytes.Clone(n.disk)
		if len(n.data) != len(data) && rng.IntN(2) == 0 {
			data = append(data, make([]byte, max(0, len(n.data)-len(data)))...)[:len(n.data)]
		}
		for at := 0; at < min(len(data), len(n.data)); at += 512 {
			if rng.IntN(2) == 0 {
				copy(data[at:min(at+512, len(data))], n.data[at:])
			}
		}
		out.names[path] = &memNode{fs: out, path: path, data: data, disk: bytes.Clone(data)}
	}
	out.onDisk = maps.Clone(out.names)
	return out
}

// crashAfter fails every operation that changes the disk from the n-th on.
func (m *memFS) crashAfter(n int) {
	var mu sync.Mutex
	m.setFault(func(op, path string, off int64, size int) (int, error) {
		if op == "read" {
			return size, nil
		}
		mu.Lock()
		defer mu.Unlock()
		if n--; n >= 0 {
			return size, nil
		}
		return 0, errCrash
	})
}

func enospc(want string) func(op, path string, off int64, n int) (int, error) {
	return func(op, path string, off int64, n int) (int, error) {
		if op == want {
			return 0, &fs.PathError{Op: op, Path: path, Err: syscall.ENOSPC}
		}
		return n, nil
	}
}
