package main

import (
	"bytes"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite what `sluice check` says of the directories under testdata/check")

// What an analyst reads who runs `sluice check` on a ruleset with mistakes, to the
// character. Each directory is a ruleset; the file beside it is what is shown.
func TestCheck(t *testing.T) {
	dirs, err := filepath.Glob("testdata/check/*/features.yaml")
	if err != nil || len(dirs) < 40 {
		t.Fatalf("%d directories, %v", len(dirs), err)
	}
	for _, file := range dirs {
		dir := filepath.Dir(file)
		t.Run(filepath.Base(dir), func(t *testing.T) { checkShows(t, dir, dir+".txt") })
	}
	// Files that only weigh.
	large := t.TempDir()
	if err := os.CopyFS(large, os.DirFS("testdata/check/aliases")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(large, "rules"), 0o777); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"features.yaml", "rules/card.yaml"} {
		if err := os.WriteFile(filepath.Join(large, name), []byte("# "+strings.Repeat("x", 1<<20)), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("large", func(t *testing.T) { checkShows(t, large, "testdata/check/large.txt") })
}

func checkShows(t *testing.T, dir, golden string) {
	var out, talk bytes.Buffer
	code := run(t.Context(), []string{"check", dir}, nil, &out, &talk)
	want := exitInvalidRules
	if strings.HasSuffix(dir, "_warn") {
		want = exitOK
	}
	if code != want {
		t.Errorf("exit %d, want %d", code, want)
	}
	shown := append(talk.Bytes(), out.Bytes()...)
	if *update {
		if err := os.WriteFile(golden, shown, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	expected, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(shown, expected) {
		t.Errorf("check shows\n%s\nwant\n%s", shown, expected)
	}
	for line := range strings.Lines(string(shown)) {
		_, code, ok := strings.Cut(strings.TrimSpace(line), "docs: sluice help ")
		if !ok {
			continue
		}
		var help bytes.Buffer
		if run(t.Context(), []string{"help", code}, nil, &help, io.Discard); !strings.HasPrefix(help.String(), code+": ") {
			t.Errorf("sluice help %s: %q", code, help.String())
		}
	}
}

func TestCheckOfNoDirectory(t *testing.T) {
	for dir, want := range map[string]string{
		"testdata/nowhere":                       "there is no directory testdata/nowhere",
		"testdata/check/aggregate/features.yaml": "is a file; a ruleset is a directory",
	} {
		var out, talk bytes.Buffer
		if code := run(t.Context(), []string{"check", dir}, nil, &out, &talk); code != exitInvalidRules || !strings.Contains(talk.String(), want) {
			t.Errorf("check %s: exit %d, %q, want %q", dir, code, talk.String(), want)
		}
	}
}
