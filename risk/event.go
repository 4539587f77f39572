package risk

import "time"

// EventTypes are the types of events that have a meaning of their own. The list
// is open: an event of any other type is counted and judged as well.
var EventTypes = []string{
	"payment.authorization", "payment.outcome", "payment.capture", "payment.refund", "payment.payout", "transfer", "topup",
	"escrow.funded", "escrow.shipped", "escrow.confirmed", "escrow.release", "escrow.refund",
	"dispute.opened", "dispute.won", "dispute.lost", "chargeback",
	"account.created", "account.login", "account.updated", "kyc.updated", "label",
}

// Event is one payment, login or change, as received and decoded. An empty
// string, an unset Number or Flag and a zero Time mean that the field is absent.
// Fields names every one of its scalar fields; the slices below are the rest.
type Event struct {
	ID   string // unique within the tenant: sending it again changes nothing
	Type string // open list: payment.authorization, transfer, account.login …
	Time Time   // when it happened, by the sender's clock

	Amount   Money
	Payment  Payment
	Customer Customer
	KYC      KYC
	Card     Card
	Device   Device
	Billing  Address
	Shipping Address
	Merchant Merchant

	Sender, Receiver                 Party
	UltimateSender, UltimateReceiver Party

	Vessel     Vessel
	Escrow     Escrow
	Order      Order
	Settlement Settlement
	Label      Label
	Custom     []Custom // sorted by name; types are declared in the ruleset
}

type Payment struct {
	ID, Method, Rail, Status, DeclineCode, AVSResult, CVCResult, ThreeDS, Purpose string

	Attempt Number
	MIT     Flag // merchant-initiated: the payer is not present
}

type Customer struct {
	ID, Type, Name, Country, Email, Phone, KYCLevel                             string
	BirthDate, Created, PasswordChanged, EmailChanged, PhoneChanged, SIMChanged Time
}

type KYC struct {
	Level, Status string
	Documents     []Document
	Owners        []Owner
}

type Document struct {
	Kind    string
	Expires Time
}

type Owner struct {
	ID, Name string
	Share    Number // 0..1
}

// Card never holds a card number: card.number is replaced at intake by Token,
// BIN and Last4.
type Card struct{ Token, BIN, Last4, Brand, Funding, Country, Expiry string }

type Device struct {
	ID, IP, UserAgent, Language, Timezone, SessionID string

	Lat, Lon Number // degrees, to about a kilometre
}

type Address struct {
	Name, Line1, Line2, City, Region, PostalCode, Country, Phone string

	Lat, Lon Number // degrees, to about a kilometre
}

type Merchant struct {
	ID, Name, MCC, Country string
	Created                Time
}

// Party is one side of a transfer.
type Party struct {
	ID, Type, Name, Country, Account, Bank, BIC, Wallet string
	Email, Phone                                        string
	Line1, Line2, City, Region, PostalCode              string
	BirthDate, Created                                  Time
}

type Vessel struct{ Name, IMO string }

type Escrow struct {
	ID, State, Seller, Buyer string
	Funded, ReleaseDue       Time
}

type Order struct {
	ID    string
	Items []Item
}

type Item struct {
	SKU, Name, Category string
	Quantity            Number
	Price               string // decimal in the event's currency, as sent
}

type Settlement struct {
	Amount Money
	Rate   Number
}

// Label says what an earlier event turned out to be.
type Label struct {
	Event  string // id of the named event, same tenant
	Kind   string // fraud, early_warning, chargeback, genuine, other
	Reason string // of a chargeback: fraud, or anything else
}

// Custom is one field of the event's custom object. Kind is Text, Decimal or Bool.
type Custom struct {
	Name   string
	Kind   Kind
	Text   string
	Number float64
	Flag   Flag
}

// Number is an optional finite number.
type Number struct {
	Value float64
	Set   bool
}

// Flag is an optional truth value; the zero Flag is absent.
type Flag uint8

const (
	No Flag = iota + 1
	Yes
)

// Time is a UTC instant in milliseconds since 1970; zero is absent.
type Time int64

// At gives the Time of t, to the millisecond.
func At(t time.Time) Time { return Time(t.UnixMilli()) }

// Time gives t as a time.Time in UTC.
func (t Time) Time() time.Time { return time.UnixMilli(int64(t)).UTC() }

// Add gives t moved by d.
func (t Time) Add(d time.Duration) Time { return t + Time(d.Milliseconds()) }

// Sub gives the duration from u to t.
func (t Time) Sub(u Time) time.Duration { return time.Duration(t-u) * time.Millisecond }

// String gives RFC 3339 in UTC, with milliseconds only where there are any.
func (t Time) String() string { return string(t.Append(nil)) }

// Append appends String to dst. Years have four digits: what lies outside 0 to
// 9999 is cut to that range.
func (t Time) Append(dst []byte) []byte {
	const first, last = -62_167_219_200_000, 253_402_300_799_999
	t = min(max(t, first), last)
	year, month, date := t.Time().Date()
	ms := int((t%day + day) % day)
	second := ms / 1000
	dst = append2(append2(dst, year/100), year%100)
	dst = append2(append(dst, '-'), int(month))
	dst = append2(append(dst, '-'), date)
	dst = append2(append(dst, 'T'), second/3600)
	dst = append2(append(dst, ':'), second/60%60)
	dst = append2(append(dst, ':'), second%60)
	if ms %= 1000; ms != 0 {
		dst = append2(append(dst, '.', byte('0'+ms/100)), ms%100)
		for dst[len(dst)-1] == '0' {
			dst = dst[:len(dst)-1]
		}
	}
	return append(dst, 'Z')
}

// append2 appends two digits.
func append2(dst []byte, v int) []byte { return append(dst, byte('0'+v/10), byte('0'+v%10)) }
