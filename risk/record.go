package risk

import "crypto/sha256"

// Entry is one journal record: exactly one of its parts is set.
type Entry struct {
	Event      *Record     // a decoded event with its facts
	Activation *Activation // from here on another release decides
	Answered   *Answered   // a caller was given a fallback before the decision
	Refused    *Refused    // a source's record that is no event
	Genesis    *Genesis    // always position 1
	Cutover    *Cutover    // new features have their past from here on
}

// Record is an event as it enters the journal: what was sent, what was looked up
// for it, and what makes it recognisable when it is sent again.
type Record struct {
	Tenant  string
	Arrival Time   // at intake, by our clock
	Source  Source // zero: over HTTP
	// Content is a keyed digest of the canonical known fields, after tokenising
	// and before facts: equal content, equal digest. It is keyed so that an
	// erased personal part cannot be guessed from it.
	Content Digest
	Event   Event
	IDs     IDs
	Facts   Facts
	// ObserveOnly is set for an event that feeds features and asks for no
	// decision, whatever its type.
	ObserveOnly bool
	Warnings    []Warning // of intake; Decide appends its own to the decision, not here
	// Erased is set on reading when the personal part has been deleted.
	Erased bool
	sealed Digest // of the personal part that was erased

	// canonical is both parts of the event's canonical encoding, as Decode made
	// them for Content and AppendEntry writes them; plain is the first's length.
	canonical []byte
	plain     int
}

// Reset makes the record empty for the next event, keeping its memory.
func (r *Record) Reset() { *r = Record{canonical: r.canonical[:0]} }

// Source is where in Kafka a record was read. The zero Source is HTTP or a file.
type Source struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Offset    int64  `json:"offset"`
	// Again says that the record was read once more, on request and out of the order
	// of its partition: reading goes on where it did before.
	Again bool `json:"-"`
}

// IsZero reports whether the record came from no topic.
func (s Source) IsZero() bool { return s.Topic == "" }

// InOrder reports whether the record stands for its place in a partition: what was
// before it is in the journal.
func (s Source) InOrder() bool { return s.Topic != "" && !s.Again }

// Digest is a SHA-256 or HMAC-SHA-256 value.
type Digest [sha256.Size]byte

// Facts are what enrich looked up for one event, kept in the journal with the
// versions of the tables they came from, so that a replay needs no table. All but
// Base, UTCOffset and Version are described by FactFields.
type Facts struct {
	Base Money // the amount in the base currency; absent without a rate

	IPCountry, IPRegion, IPCity, IPTimezone, IPASNOrg                 string
	IPLat, IPLon                                                      Number // degrees
	IPASN                                                             Number
	IPAnonymous, IPVPN, IPHosting, IPProxy, IPResidentialProxy, IPTor Flag

	IssuerCountry                                 string // of the card's BIN, else as sent in card.country
	BINCountry, BINBrand, BINFunding, BINIssuer   string
	UABrowser, UAOS, UADevice                     string
	UABrowserVersion                              Number // the first part
	UABot, UAHeadless                             Flag
	EmailClass                                    string
	FXDeviation                                   Number // settled rate / reference rate - 1
	MatchTimezone, MatchLanguage, MatchIPCurrency Flag   // with the country of the address
	MatchPayerCurrency, MatchPayeeCurrency        Flag

	UTCOffset Number // minutes east of UTC at the payer's place and time
	Version   string // names every table that was consulted
}

// Warning is an optional field that could not be used, or a field nobody knows.
type Warning struct {
	Pointer string `json:"pointer"` // RFC 6901
	Code    string `json:"code"`
	Detail  string `json:"detail"`
}

// Activation makes a release the one that decides, from the next position on.
// The release's bytes lie under blobs/ by their SHA-256.
type Activation struct {
	Kind   string `json:"kind"` // "ruleset"
	Name   string `json:"name"`
	SHA256 string `json:"sha256"` // lower-case hex
	Size   int64  `json:"size"`
	By     string `json:"by"`
	At     Time   `json:"at"` // arrival; moves no window
}

// Cutover tells that a second walk over the journal, with the features of the active
// release from its first position on, has come to this one: from the next position
// on its state is the state. It counts for nothing when another release's features
// are waited for meanwhile.
type Cutover struct {
	Activation uint64 `json:"activation"` // position of the release that brought the features
	Features   string `json:"features"`   // their version
	From       uint64 `json:"from"`       // position at which the second walk began
	// Since is when the journal before From ends: no event there is younger. Absent
	// when From is 1.
	Since Time `json:"since"`
	At    Time `json:"at"` // arrival; moves no window
}

// Answered tells that a caller was answered with the scenario's fallback because
// the decision was not there at the deadline. It changes no later decision.
type Answered struct {
	Tenant   string   `json:"tenant"`
	Event    string   `json:"event"`
	Action   Action   `json:"action"`
	Degraded []string `json:"degraded"`
	At       Time     `json:"at"`
}

// Refused is a source's record that could not become an event. Its payload is
// not kept, or only sealed for whoever has the private key.
type Refused struct {
	Tenant string `json:"tenant"`
	Source Source `json:"source"`
	Reason string `json:"reason"`
	Detail string `json:"detail"`
	Digest string `json:"digest"` // keyed digest of the payload, hex
	At     Time   `json:"at"`
	Sealed []byte `json:"sealed,omitempty"` // the payload; see internal/seal
}

// Genesis fixes for the life of a journal what no release may change.
type Genesis struct {
	Cell         string `json:"cell"`
	BaseCurrency string `json:"base_currency"`
	Created      Time   `json:"created"`
}
