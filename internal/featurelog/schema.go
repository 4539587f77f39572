package featurelog

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sluice-risk/sluice/engine"
	"github.com/sluice-risk/sluice/risk"
	"github.com/sluice-risk/sluice/store/journal"
)

// Schema is one set of features: what the columns of a file are.
type Schema struct {
	Digest     string // of the definitions
	Names      []string
	Columns    []Column
	Definition string // features.yaml as it was written

	sorted []int // indices in Names, by name: the order of a decision's body
}

// Column describes one feature to whoever trains on it.
type Column struct {
	Name      string `json:"name"`
	Feature   string `json:"feature,omitempty"` // where Name had to be another
	Aggregate string `json:"aggregate"`
	Entity    string `json:"entity,omitempty"`
	Window    string `json:"window,omitempty"`
	Delay     string `json:"delay,omitempty"`
}

// own are the columns of every file, before the features.
var own = []string{"event_id", "tenant", "type", "time", "position", "scenario", "action", "partial", "approximate"}

// SchemaOf gives the schema of a release.
func SchemaOf(b *engine.Bundle) *Schema {
	set := b.Rules.Features
	s := &Schema{Digest: set.Digest(), Names: set.Names(), Definition: string(b.Files["features.yaml"])}
	for i, name := range s.Names {
		info := set.Info(i)
		c := Column{Name: name, Aggregate: info.Aggregate, Entity: info.Entity, Window: info.Window, Delay: info.Delay}
		if info.Derived {
			c = Column{Name: name, Aggregate: "expr"}
		}
		if slices.Contains(own, name) { // names have no dots, so this is no other feature's
			c.Name, c.Feature = "feature."+name, name
		}
		s.Columns = append(s.Columns, c)
		s.sorted = append(s.sorted, i)
	}
	slices.SortFunc(s.sorted, func(a, b int) int { return strings.Compare(s.Names[a], s.Names[b]) })
	return s
}

// Row is one decided event.
type Row struct {
	Event, Tenant, Type, Scenario string
	Action                        risk.Action
	At                            risk.Time // as counted, so clamped
	Position                      journal.Position
	Partial                       string    // features that do not know their whole window yet, with a blank between
	Approximate                   string    // features that were read through tiles, likewise
	Values                        []float64 // in the order of Schema.Names; NaN is missing
	Versions                      Versions
}

// Versions are those of the decision that a file names.
type Versions struct{ Engine, Ruleset, Features string }

// Meta is what a file says of itself.
type Meta struct {
	Format     string   `json:"format"`
	Program    string   `json:"program"`
	Engine     string   `json:"engine"`
	Features   string   `json:"features"`
	Rulesets   []string `json:"rulesets"` // in the order in which they decided
	First      uint64   `json:"first"`    // positions that the file is complete for
	Last       uint64   `json:"last"`
	Rows       int64    `json:"rows"`
	Columns    []Column `json:"columns"`
	Definition string   `json:"definition"`
}

// FormatName is the version of columns and metadata.
const FormatName = "sluice features 2"

// ChangedError says that rows of two sets of features do not go into one file.
type ChangedError struct {
	Position journal.Position
	Was, Is  string
}

func (e *ChangedError) Error() string {
	return fmt.Sprintf("featurelog: the features change at position %d (%.19s, before %.19s), and a file holds one set of them", e.Position, e.Is, e.Was)
}
