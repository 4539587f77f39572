package risk

import "time"

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

type Device struct{ ID, IP, UserAgent, Language, Timezone, SessionID string }

type Address struct{ Name, Line1, Line2, City, Region, PostalCode, Country, Phone string }

type Merchant struct {
	ID, Name, MCC, Country string
	Created                Time
}

// Party is one side of a transfer.
type Party struct {
	ID, Type, Name, Country, Account, Bank, BIC, Wallet string
	BirthDate                                           Time
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
	at := min(max(t, first), last).Time()
	year, month, day := at.Date()
	hour, minute, second := at.Clock()
	dst = appendDigits(dst, year, 1000)
	dst = appendDigits(append(dst, '-'), int(month), 10)
	dst = appendDigits(append(dst, '-'), day, 10)
	dst = appendDigits(append(dst, 'T'), hour, 10)
	dst = appendDigits(append(dst, ':'), minute, 10)
	dst = appendDigits(append(dst, ':'), second, 10)
	if ms := at.Nanosecond() / 1_000_000; ms != 0 {
		dst = appendDigits(append(dst, '.'), ms, 100)
		for dst[len(dst)-1] == '0' {
			dst = dst[:len(dst)-1]
		}
	}
	return append(dst, 'Z')
}

// appendDigits appends v with leading zeros, unit being the weight of its first digit.
func appendDigits(dst []byte, v, unit int) []byte {
	for ; unit > 0; unit /= 10 {
		dst = append(dst, byte('0'+v/unit%10))
	}
	return dst
}
