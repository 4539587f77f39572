package features

import (
	"encoding/hex"
	"slices"
	"time"

	"github.com/sluice-risk/sluice/internal/diag"
	"github.com/sluice-risk/sluice/internal/expression"
	"github.com/sluice-risk/sluice/risk"
)

// Set is a compiled features.yaml.
type Set struct {
	names    []string
	missing  []float64 // by feature: none has a value
	index    map[string]int
	features []feature
	order    []int // the formulas, each after those that it reads
	limits   Limits
	digest   digest

	entities []entityDef
	keys     []key
	roles    map[uint32]int // key by role
	slots    []slot         // entity by entity
	asked    []diag.Text    // event types that are named under `events`
	warnings diag.List

	// A mask over all slots has each entity's words together.
	words    int
	types    map[string][]uint64 // the slots that count an event type
	others   []uint64            // those that count a type not in types
	wheres   []where
	operands []operandProgram
	valued   int // length of Prepared.values
}

type digest [32]byte

// Warnings are of features that can be computed and tell nothing.
func (s *Set) Warnings() diag.List { return s.warnings }

// EventTypes gives the types that stand under `events`, each where it is named.
func (s *Set) EventTypes() []diag.Text { return s.asked }

// Limits are the settings of features.yaml that can change a result.
type Limits struct {
	ExactEvents     int           // of an entity, up to which windows are exact: see State.overflow
	AllowedLateness time.Duration // behind the watermark, up to which an event is counted
	LabelHorizon    time.Duration // for which the entities of an event are remembered
	Dedup           time.Duration // for which an event id is remembered
}

// Info describes one feature.
type Info struct {
	Name      string
	Aggregate string // "" for a formula
	Entity    string
	Window    string // as written: "10m", "life"
	Delay     string
	Derived   bool // a formula of other features
	At        diag.Span
}

// feature is one name. A formula has a program, any other a slot and a key.
type feature struct {
	info    Info
	money   string
	slot    int   // in Set.slots; -1 for a formula
	least   int64 // events in the window, below which it is missing
	guard   int   // in Set.slots: the slot that counts them where its own does not, else -1
	key     int   // in Set.keys: whose entity is read
	program *expression.Program
	reads   []int // features that the formula reads
}

// entityDef is one entry under entities.
type entityDef struct {
	name  string
	hash  uint64
	keys  []int // in Set.keys
	word  int   // first of its words in a mask over all slots
	words int
	slot  int // first of its slots in Set.slots
	slots []slot
	life  []int // the slots without a window
	spans []span

	notSought []int // by span, see view
	from      []int // by column: its place in Prepared.values
	columns   []column
	reach     risk.Time // longest window and delay, longest delay of those without
}

// span is a window in time, as several slots may have it.
type span struct{ window, delay risk.Time }

// key is one way in which an event names an entity.
type key struct {
	entity   int
	form     string
	parts    []part
	role     uint32
	observes []uint64 // the entity's slots that count what comes by this key
	before   []lookup // what is read by it before the event is counted
	after    []lookup // and after
}

// lookup is how a feature that is no formula is read.
type lookup struct {
	slot    *slot
	feature int
	least   int64 // events in the window, below which it is missing
	guard   *slot // counts them where slot does not, else nil
}

// part is one identifier or text of a key.
type part struct {
	identifier int // in risk.Keys, else -1
	program    *expression.Program
}

// slot is one distinct aggregate over one entity: features that differ in name or
// read key alone share it.
type slot struct {
	agg           *aggregate
	window, delay risk.Time // milliseconds; window 0: life, or the last
	bit           int       // in the masks of its entity
	maskAt        int       // in a log's entry: its mask word
	valueAt       int       // in a log's entry: its value, or its mask word without one
	column        *column
	col           int  // in the entity's columns, the first of its own, -1 without
	last          int  // events at most, 0: all in the window
	span          int  // in entityDef.spans
	life          int  // in entityDef.life, -1 with a window in time
	adds          bool // a tally of no more than the number and the sum
	plain         bool // a tally over a window in time, or one that keeps no values
	exclude       bool
	operand       int    // in Set.operands, -1 without
	q, within     uint64 // of the aggregates that take them, in 1e-9
	entity        int
	def           digest // equal in two releases: the past is kept
}

// where is one condition and the slots that it is for.
type where struct {
	program *expression.Program
	users   []uint64
}

// operandProgram is one `of` and the slots that it is for.
type operandProgram struct {
	identifier int                 // in risk.Keys, else -1
	program    *expression.Program // of a place the latitude
	longitude  *expression.Program
	from       int  // in Prepared.values
	own        bool // its value is wanted of every event, counted or not
	kind       columnKind
	decimals   int
	currency   func(*risk.Event) string // of "*" money: whose decimals a value has
	users      []uint64
}

// Names gives the features in the order of the file, which is their order in
// Vector.Values and Scope.Features.
func (s *Set) Names() []string { return s.names }

// Index finds a feature by name.
func (s *Set) Index(name string) (int, bool) {
	i, ok := s.index[name]
	return i, ok
}

// Info describes feature i.
func (s *Set) Info(i int) Info { return s.features[i].info }

// Digest is the content hash of the definitions and limits.
func (s *Set) Digest() string { return "sha256:" + hex.EncodeToString(s.digest[:]) }

// Limits gives the limits that hold under this set.
func (s *Set) Limits() Limits { return s.limits }

// Horizon is how far back the longest finite window reaches, lateness included.
func (s *Set) Horizon() time.Duration {
	var most risk.Time
	for i := range s.slots {
		if w := s.slots[i].window; w != 0 {
			most = max(most, w+s.slots[i].delay)
		}
	}
	return time.Duration(most)*time.Millisecond + s.limits.AllowedLateness
}

// Define makes the features' names known to the expressions of rules.
func (s *Set) Define(env *expression.Env) error {
	for i := range s.features {
		if err := env.Define(s.variable(i)); err != nil {
			return err
		}
	}
	return nil
}

func (s *Set) variable(i int) expression.Var {
	f := &s.features[i]
	return variable(f, i)
}

func variable(f *feature, i int) expression.Var {
	return expression.Var{
		Name: f.info.Name, Kind: expression.Number, Class: risk.Plain, Window: f.info.Window,
		Money: f.money, At: f.info.At,
		Number: func(s *expression.Scope) float64 { return s.Features[i] },
	}
}

// Derive computes the formulas from the features they read, in place.
func (s *Set) Derive(scope *expression.Scope) {
	for _, i := range s.order {
		v, fault := s.features[i].program.Number(scope)
		if fault != (expression.Fault{}) {
			v = missing
		}
		scope.Features[i] = v + 0 // -0 is 0
	}
}

// Approximate names the features of v that may differ from their exact values
// because they were read through tiles, and the formulas that read one.
func (s *Set) Approximate(v *Vector) []string { return s.withReaders(v.rough) }

// withReaders names some features and the formulas that read one, themselves or
// through another formula, in the order of Names; nil for none.
func (s *Set) withReaders(of []int) (names []string) {
	if len(of) == 0 {
		return nil
	}
	is := make([]bool, len(s.features))
	for _, i := range of {
		is[i] = true
	}
	for _, i := range s.order {
		is[i] = is[i] || slices.ContainsFunc(s.features[i].reads, func(r int) bool { return is[r] })
	}
	for i, yes := range is {
		if yes {
			names = append(names, s.names[i])
		}
	}
	return names
}
