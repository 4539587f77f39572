package engine

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/sluice-risk/sluice/internal/atomicfile"
	"github.com/sluice-risk/sluice/internal/diag"
	"github.com/sluice-risk/sluice/internal/enrich"
	"github.com/sluice-risk/sluice/risk"
	"github.com/sluice-risk/sluice/rules"
	"github.com/sluice-risk/sluice/scoring"
)

// Bundle is a release, ready to decide: immutable and shared by every worker.
type Bundle struct {
	Rules  *rules.Ruleset
	Files  diag.Files
	Blob   []byte // the release's bytes, content-addressed by SHA256
	SHA256 string

	tables   *enrich.Tables // with the release's rates
	scorers  map[string]scoring.Scorer
	versions map[string]risk.Versions // by scenario, without facts
	names    []string                 // feature names, sorted
	order    []int                    // their indices in the vector
}

// Build reads a release. Nothing becomes live; every mistake is in the error,
// which is a diag.List when the files are at fault.
func Build(files diag.Files, tables *enrich.Tables) (*Bundle, error) {
	ruleset, faults := rules.Load(files)
	if err := faults.Err(); err != nil {
		return nil, err
	}
	b := &Bundle{Rules: ruleset, Files: files, Blob: pack(files)}
	sum := sha256.Sum256(b.Blob)
	b.SHA256 = hex.EncodeToString(sum[:])

	var err error
	if b.tables, err = tables.With(ruleset.BaseCurrency, files["rates.csv"]); err != nil {
		return nil, fmt.Errorf("rates.csv: %w", err)
	}
	b.names = slices.Sorted(slices.Values(ruleset.Features.Names()))
	for _, name := range b.names {
		i, _ := ruleset.Features.Index(name)
		b.order = append(b.order, i)
	}
	b.scorers = map[string]scoring.Scorer{}
	b.versions = map[string]risk.Versions{}
	for _, sc := range ruleset.Scenarios() {
		v := ruleset.Versions()
		v.Engine, v.Model = Version, "none"
		if sc.Score.Scorer != "" {
			points := scoring.Points{Full: sc.Score.Full}
			b.scorers[sc.Name], v.Model = points, points.Version()
		}
		b.versions[sc.Name] = v
	}
	return b, nil
}

// Needs is how much of the journal, by event time, its windows, labels and the
// recognition of duplicates may still read.
func (b *Bundle) Needs() time.Duration {
	set := b.Rules.Features
	limits := set.Limits()
	return max(set.Horizon(), limits.Dedup, limits.LabelHorizon) + limits.AllowedLateness
}

// With gives the release with other tables, and its own rates.
func (b *Bundle) With(tables *enrich.Tables) (*Bundle, error) {
	next := *b
	var err error
	if next.tables, err = tables.With(b.Rules.BaseCurrency, b.Files["rates.csv"]); err != nil {
		return nil, fmt.Errorf("rates.csv: %w", err)
	}
	return &next, nil
}

// pack writes a release as a tar of its files in name order with nothing else
// in the headers, so that equal files give equal bytes.
func pack(files diag.Files) []byte {
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		// Writes to a buffer fail for no reason but a header we would get wrong.
		if err := errors.Join(
			w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(files[name])), Format: tar.FormatUSTAR}),
			second(w.Write(files[name])),
		); err != nil {
			panic(fmt.Sprintf("engine: pack %s: %v", name, err))
		}
	}
	w.Close()
	return buf.Bytes()
}

func second[T any](_ T, err error) error { return err }

func unpack(blob []byte) (diag.Files, error) {
	files := diag.Files{}
	for r := tar.NewReader(bytes.NewReader(blob)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files, nil
		}
		if err != nil {
			return nil, err
		}
		if files[h.Name], err = io.ReadAll(r); err != nil {
			return nil, err
		}
	}
}

// Blobs is the directory of releases, each under its SHA-256.
type Blobs string

// Put stores a release durably; one that is there already is left alone.
func (dir Blobs) Put(b *Bundle) error {
	path := filepath.Join(string(dir), b.SHA256)
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	if err := os.MkdirAll(string(dir), 0o700); err != nil {
		return err
	}
	return atomicfile.Write(path, b.Blob)
}

// Load reads a release back and checks its bytes.
func (dir Blobs) Load(sha string, tables *enrich.Tables) (*Bundle, error) {
	blob, err := os.ReadFile(filepath.Join(string(dir), sha))
	if err != nil {
		return nil, err
	}
	if sum := sha256.Sum256(blob); hex.EncodeToString(sum[:]) != sha {
		return nil, fmt.Errorf("blob %.12s: bytes do not match their name", sha)
	}
	files, err := unpack(blob)
	if err != nil {
		return nil, fmt.Errorf("blob %.12s: %w", sha, err)
	}
	return Build(files, tables)
}

// Release finds a release by its features' digest: the one that decides, else one
// that has.
func (c *Cell) Release(features string) (*Bundle, error) {
	b := c.bundle.Load()
	if b != nil && b.Rules.Versions().Features == features {
		return b, nil
	}
	entries, err := os.ReadDir(string(c.blobs))
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		b, err := c.blobs.Load(e.Name(), c.opts.Tables)
		if err == nil && b.Rules.Versions().Features == features {
			return b, nil
		}
	}
	return nil, fmt.Errorf("engine: no release in %s has the features %s", c.blobs, features)
}
