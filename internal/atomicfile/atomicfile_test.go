package atomicfile

import (
	"os"
	"path/filepath"
	"testing"
)

func TestWrite(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	for _, want := range []string{"old", "", "new and longer"} {
		if err := Write(path, []byte(want)); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != want {
			t.Errorf("the file holds %q, %v, want %q", got, err, want)
		}
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v, want 0600", info.Mode(), err)
	}
	// What cannot be put in place leaves what is there, and nothing beside it.
	if err := os.Mkdir(filepath.Join(dir, "d"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := Write(filepath.Join(dir, "d"), []byte("x")); err == nil {
		t.Error("a directory was replaced by a file")
	}
	if err := Write(filepath.Join(dir, "nowhere", "f"), nil); err == nil {
		t.Error("a file was written into a directory that is not there")
	}
	if names, _ := os.ReadDir(dir); len(names) != 2 {
		t.Errorf("%d names in the directory, want f and d", len(names))
	}
}
