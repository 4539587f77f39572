package mapping

import (
	"embed"
	"path"
	"slices"
	"strings"
)

//go:embed ready/*.yaml
var ready embed.FS

// Ready gives the text of a ready-made mapping, and the name it is shown under
// in mistakes.
func Ready(name string) (file string, text []byte, ok bool) {
	file = path.Join("ready", name+".yaml")
	text, err := ready.ReadFile(file)
	return file, text, err == nil && !strings.ContainsAny(name, "/\\")
}

// ReadyNames are the names of all ready-made mappings.
func ReadyNames() []string {
	entries, err := ready.ReadDir("ready")
	if err != nil {
		panic(err) // they are part of the program
	}
	var names []string
	for _, e := range entries {
		names = append(names, strings.TrimSuffix(e.Name(), ".yaml"))
	}
	slices.Sort(names)
	return names
}
