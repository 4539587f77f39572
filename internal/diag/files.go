package diag

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
)

// Bounds of what ReadDir takes in.
const (
	MaxFile  = 1 << 20  // bytes of one file, and of what Decode reads
	maxFiles = 2000     // files in one directory tree
	maxTotal = 64 << 20 // bytes of all of them
	maxDepth = 8        // directories in directories, links to directories included
)

// Files is a directory read once: slash path relative to its root -> bytes.
type Files map[string][]byte

// ReadDir reads every regular file under dir. Names that start with a dot are
// not read. A link is followed when it stays inside dir, so that the `..data`
// links of a mounted Kubernetes volume work; dir itself may be a link. Anything
// else, and anything over its bound, is an error: nothing is left out silently.
// Of a YAML file that is too large MaxFile+1 bytes are read: Decode refuses those
// with everything else that is wrong.
func ReadDir(dir string) (Files, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("diag: %w", err)
	}
	defer root.Close()
	files, total := Files{}, 0
	var walk func(at string, depth int) error
	walk = func(at string, depth int) error {
		if depth > maxDepth {
			return fmt.Errorf("diag: %s: more than %d directories deep", at, maxDepth)
		}
		entries, err := readNames(root, at)
		if err != nil {
			return err
		}
		for _, name := range entries {
			if strings.HasPrefix(name, ".") {
				continue
			}
			name = path.Join(at, name)
			info, err := root.Stat(name)
			switch {
			case err != nil:
				return fmt.Errorf("diag: %w", err)
			case info.IsDir():
				if err := walk(name, depth+1); err != nil {
					return err
				}
				continue
			case !info.Mode().IsRegular():
				return fmt.Errorf("diag: %s is not a regular file", name)
			case len(files) == maxFiles:
				return fmt.Errorf("diag: %s holds more than %d files", dir, maxFiles)
			}
			b, err := readFile(root, name)
			if err != nil {
				return err
			}
			if total += len(b); total > maxTotal {
				return fmt.Errorf("diag: %s holds more than %d bytes", dir, maxTotal)
			}
			files[name] = b
		}
		return nil
	}
	if err := walk(".", 0); err != nil {
		return nil, err
	}
	return files, nil
}

func readNames(root *os.Root, at string) ([]string, error) {
	f, err := root.Open(at)
	if err != nil {
		return nil, fmt.Errorf("diag: %w", err)
	}
	defer f.Close()
	names, err := f.Readdirnames(4 * maxFiles)
	if err != nil && err != io.EOF {
		return nil, fmt.Errorf("diag: %w", err)
	}
	if len(names) == 4*maxFiles {
		return nil, fmt.Errorf("diag: %s holds more than %d names", at, 4*maxFiles-1)
	}
	slices.Sort(names)
	return names, nil
}

func readFile(root *os.Root, name string) ([]byte, error) {
	f, err := root.Open(name)
	if err != nil {
		return nil, fmt.Errorf("diag: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, MaxFile+1))
	if err != nil {
		return nil, fmt.Errorf("diag: %w", err)
	}
	if len(b) > MaxFile && path.Ext(name) != ".yaml" {
		do := "every file in the directory is read: keep this one elsewhere, or begin its name with a dot"
		if path.Ext(name) == ".csv" {
			do = "split it"
		}
		return nil, fmt.Errorf("diag: %s is larger than %d MiB; %s", name, MaxFile>>20, do)
	}
	return b, nil
}

// Names gives the paths in order.
func (f Files) Names() []string { return slices.Sorted(maps.Keys(f)) }

// Digest is "sha256:" and the hex of a SHA-256 over the named files in sorted
// order, each as length and bytes of its path, then of its content. Without
// names it covers all files. A name that is not there counts as no content,
// which differs from an empty one.
func (f Files) Digest(names ...string) string {
	if len(names) == 0 {
		names = f.Names()
	} else {
		names = slices.Compact(slices.Sorted(slices.Values(names)))
	}
	h := sha256.New()
	put := func(n uint64) {
		var b [8]byte
		binary.BigEndian.PutUint64(b[:], n)
		h.Write(b[:])
	}
	for _, name := range names {
		put(uint64(len(name)))
		io.WriteString(h, name)
		b, ok := f[name]
		if !ok {
			put(1 << 63)
			continue
		}
		put(uint64(len(b)))
		h.Write(b)
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil))
}
