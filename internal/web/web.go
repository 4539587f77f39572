// Package web is what a browser sees: page templates, one stylesheet, one script
// and a catalogue of all texts for each [Language], embedded in the binary.
//
// A page is one of [Live], [Decision], [Rules] or [Fault], filled by whoever
// serves it and written by [Render]; [Asset] gives a file by the address that
// pages link to. Values come in formatted (see format.go), so that a page and
// the live updates of the same page cannot differ. Templates escape everything:
// no type here carries markup. A page is written in the language of its [View],
// and so are the values that came in formatted.
//
// Everything is made once and never changed, so all of it may be used by any
// number of goroutines. The package knows no HTTP and no other package of ours.
package web

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"path"
	"strings"
	"sync"
)

//go:embed assets templates
var files embed.FS

// File is one asset.
type File struct {
	Body []byte
	Type string
	ETag string
}

type assetTable struct {
	byAddress map[string]File
	address   map[string]string // by plain name
}

var types = map[string]string{".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}

// assets are addressed by name and content, so that a browser may keep them for
// good and never mixes the files of two versions.
var assets = sync.OnceValue(func() assetTable {
	t := assetTable{map[string]File{}, map[string]string{}}
	entries, err := files.ReadDir("assets")
	if err != nil {
		panic(err) // embedded: cannot happen
	}
	for _, e := range entries {
		body, err := files.ReadFile("assets/" + e.Name())
		if err != nil {
			panic(err)
		}
		sum := sha256.Sum256(body)
		tag, ext := hex.EncodeToString(sum[:6]), path.Ext(e.Name())
		address := strings.TrimSuffix(e.Name(), ext) + "-" + tag + ext
		t.byAddress[address] = File{Body: body, Type: types[ext], ETag: `"` + tag + `"`}
		t.address[e.Name()] = address
	}
	return t
})

// Asset gives the file behind /assets/<address>.
func Asset(address string) (File, bool) {
	f, ok := assets().byAddress[address]
	return f, ok
}

// Address gives where an asset is found.
func Address(name string) (string, error) {
	a, ok := assets().address[name]
	if !ok {
		return "", fmt.Errorf("web: no asset %q", name)
	}
	return "/assets/" + a, nil
}

// pages are the templates by language: the functions in them speak it.
var pages = sync.OnceValue(func() map[*Language]*template.Template {
	sets := map[*Language]*template.Template{}
	for _, l := range languages {
		sets[l] = parse(l)
	}
	return sets
})

func parse(l *Language) *template.Template {
	return template.Must(template.New("").Funcs(template.FuncMap{
		"t": l.T, "asset": Address, "script": l.scriptTexts, "word": l.Word, "count": Count[int],
		"inc": func(i int) int { return i + 1 }, "utc": l.utc, "languages": Languages,
	}).ParseFS(files, "templates/*.html"))
}

// Render writes a page. Nothing is written when it fails.
func Render(to *bytes.Buffer, page Page) error {
	start := to.Len()
	if err := pages()[page.language()].ExecuteTemplate(to, page.template(), page); err != nil {
		to.Truncate(start)
		return fmt.Errorf("web: %w", err)
	}
	return nil
}
