package engine

import (
	"sync"
	"time"

	"github.com/sluice-risk/sluice/features"
	"github.com/sluice-risk/sluice/risk"
	"github.com/sluice-risk/sluice/rules"
	"github.com/sluice-risk/sluice/store/journal"
)

// Verdict says what became of an entry.
type Verdict uint8

const (
	Decided   Verdict = iota + 1 // has a decision
	Observed                     // counted; its type has no scenario
	Duplicate                    // sent before with the same content: nothing changed
	Conflict                     // sent before with other content: nothing changed
	Refused                      // no event at all
	Control                      // an activation, an answered fallback, the genesis
	Skipped                      // a source's record that its mapping leaves out: no entry
)

func (v Verdict) String() string {
	return [...]string{"none", "decided", "observed", "duplicate", "conflict", "refused", "control", "skipped"}[v]
}

// Result is what a caller, a publisher or a page learns about one entry. It is
// immutable and its bytes are shared.
type Result struct {
	Position journal.Position
	Verdict  Verdict
	Key      risk.EventKey
	Tenant   string
	Event    string
	Type     string
	Source   risk.Source
	Time     risk.Time // when it happened, as its sender has it
	Arrival  risk.Time

	Body     []byte // canonical, with evidence; of a Duplicate the first answer's
	Public   []byte // the same without evidence, where the item asked for it
	Action   risk.Action
	Scenario string
	Subject  string
	Amount   risk.Money
	Base     risk.Money
	Answered *risk.Answered // the fallback this decision supersedes
	Refused  *risk.Refused  // set with Refused, and with Conflict from a source
	Took     time.Duration  // from submission to answer; zero when read back
	Err      error          // the entry was not taken: nothing above is set
}

// Item is one entry on its way. One made with NewItem is used again as soon as it
// is answered, so its maker must not touch it after it was submitted.
type Item struct {
	Entry  risk.Entry
	Raw    []byte      // to decode at intake; nil when Entry is set already
	Tenant string      // of Raw
	Source risk.Source // of Raw
	// Translate turns Raw into the canonical event, appended to dst, where the source
	// has a form of its own; it must be safe for any goroutine. What it refuses is
	// kept as refused; an error that wraps ErrSkip leaves no entry.
	Translate func(dst []byte) ([]byte, error)
	Key       risk.EventKey // of an event
	Strict    bool          // refuse at intake what would be warned of
	Redact    bool          // the caller may not see evidence: make Public too
	Reply     func(Result)  // called once, in position order, when durable; may be nil
	Bundle    *Bundle       // of an activation made by this process; else from its blob
	Started   time.Time     // monotonic, for Took; set by Submit
	Arrival   risk.Time     // offline: zero is the event's own time

	record   risk.Record // backing of Entry.Event
	canonic  []byte      // what Translate made of Raw
	recent   *settled    // durable and perhaps not stored, at enrich; nil: not there
	known    found       // in the store at enrich
	named    found       // the same for the event that a label names
	scenario *rules.Scenario
	prepared features.Prepared
	// preparedFor is the set that enrich has prepared it for; nil: not yet.
	preparedFor *features.Set
	vector      features.Vector
	timing      features.Timing
	verdict     Verdict
	entry       *memory   // what is remembered until the next checkpoint
	since       risk.Time // from which it is remembered; entry belongs to the walk
	body        []byte
	public      []byte
	action      risk.Action
	subject     string
	bodySum     risk.Digest
	salt        [16]byte
	encoded     []byte
	err         error
	pooled      bool
}

var items = sync.Pool{New: func() any { return new(Item) }}

// NewItem is an entry to be decoded from bytes, or for Entry to be set. Items are
// large and used again: a caller that submits them at a high rate should get them
// here.
func NewItem(raw []byte, tenant string) *Item {
	it := items.Get().(*Item)
	it.Raw, it.Tenant, it.pooled = raw, tenant, true
	return it
}

// release gives an answered item back. The memory that its steps have grown is
// kept; what it was about is not.
func (it *Item) release() {
	if !it.pooled {
		return
	}
	it.Entry, it.Raw, it.Tenant, it.Source = risk.Entry{}, nil, "", risk.Source{}
	it.Strict, it.Redact, it.Reply, it.Bundle, it.Translate = false, false, nil, nil, nil
	it.Arrival, it.Started = 0, time.Time{}
	it.recent, it.known, it.named, it.scenario, it.entry = nil, found{}, found{}, nil, nil
	it.body, it.public, it.subject, it.action, it.verdict, it.err = nil, nil, "", 0, 0, nil
	it.preparedFor = nil
	it.prepared.Forget()
	it.record.Reset()
	items.Put(it)
}

// Batch is what goes through the walk together: entries at consecutive
// positions. A control entry that changes the bundle is alone in its batch.
type Batch struct {
	First journal.Position
	Items []*Item

	bundle     *Bundle
	generation uint64     // checkpoints that the look-ups of enrich could see
	swept      swept      // by the pass over the store
	durable    chan error // the fsync's result, live only
	checkpoint *pending   // taken behind this batch, nil mostly
	final      bool       // nothing comes after it
}

// split cuts a batch whose entries have become larger than what they were made
// from, and than a journal frame holds.
func (b *Batch) split() []*Batch {
	const most = 4 << 20
	bytes := 0
	for i, it := range b.Items {
		if bytes += len(it.encoded); bytes > most && i > 0 {
			rest := &Batch{Items: b.Items[i:], generation: b.generation, durable: make(chan error, 1), final: b.final}
			b.Items, b.final = b.Items[:i:i], false
			return append([]*Batch{b}, rest.split()...)
		}
	}
	return []*Batch{b}
}

// Last is the position of the batch's last entry.
func (b *Batch) Last() journal.Position { return b.First + journal.Position(len(b.Items)) - 1 }
