package risk

// Kind is the type of a field.
type Kind uint8

const (
	Text    Kind = iota + 1 // a string of at most MaxText bytes
	Free                    // a string a person wrote: scanned for card numbers
	Country                 // ISO 3166-1 alpha-2, upper case
	Decimal                 // a finite number
	Bool
	Instant // RFC 3339 time; for birth_date and created also a date: its midnight in UTC
)

// MaxText bounds a string field, in bytes of UTF-8.
const MaxText = 1024

// Class says in which part of a record a field is kept.
type Class uint8

const (
	// Plain fields say nothing about who a person is: amounts, times, states.
	Plain Class = iota + 1
	// Identifier fields name a person, device or account. The raw value is
	// personal; a keyed 128-bit ID of it stays in the pseudonymous part, so that
	// features count the same after the personal part has been erased.
	Identifier
	// Personal fields exist in the personal part only.
	Personal
)

// Field is one scalar field of an event. Exactly one accessor is set, by Kind.
type Field struct {
	Path  string // as in JSON and in expressions: "card.bin"
	Kind  Kind
	Class Class

	Text   func(*Event) *string // Text, Free, Country
	Number func(*Event) *Number
	Flag   func(*Event) *Flag
	Time   func(*Event) *Time
}

// Fields is the one description of an event's scalar fields, in canonical order;
// a group's fields stand together. Not in it, because they are not one scalar:
// amount and settlement's money, card.number (never kept), order.items,
// kyc.documents, kyc.owners and custom.
var Fields = fields()

func fields() []Field {
	text := func(path string, kind Kind, class Class, at func(*Event) *string) Field {
		return Field{Path: path, Kind: kind, Class: class, Text: at}
	}
	number := func(path string, at func(*Event) *Number) Field {
		return Field{Path: path, Kind: Decimal, Class: Plain, Number: at}
	}
	instant := func(path string, class Class, at func(*Event) *Time) Field {
		return Field{Path: path, Kind: Instant, Class: class, Time: at}
	}
	all := []Field{
		text("event.id", Text, Plain, func(e *Event) *string { return &e.ID }),
		text("event.type", Text, Plain, func(e *Event) *string { return &e.Type }),
		instant("event.time", Plain, func(e *Event) *Time { return &e.Time }),

		text("payment.id", Text, Plain, func(e *Event) *string { return &e.Payment.ID }),
		text("payment.method", Text, Plain, func(e *Event) *string { return &e.Payment.Method }),
		text("payment.rail", Text, Plain, func(e *Event) *string { return &e.Payment.Rail }),
		number("payment.attempt", func(e *Event) *Number { return &e.Payment.Attempt }),
		text("payment.status", Text, Plain, func(e *Event) *string { return &e.Payment.Status }),
		{Path: "payment.mit", Kind: Bool, Class: Plain, Flag: func(e *Event) *Flag { return &e.Payment.MIT }},
		text("payment.decline_code", Text, Plain, func(e *Event) *string { return &e.Payment.DeclineCode }),
		text("payment.avs_result", Text, Plain, func(e *Event) *string { return &e.Payment.AVSResult }),
		text("payment.cvc_result", Text, Plain, func(e *Event) *string { return &e.Payment.CVCResult }),
		text("payment.three_ds", Text, Plain, func(e *Event) *string { return &e.Payment.ThreeDS }),
		text("payment.purpose", Free, Personal, func(e *Event) *string { return &e.Payment.Purpose }),

		text("customer.id", Text, Identifier, func(e *Event) *string { return &e.Customer.ID }),
		text("customer.type", Text, Plain, func(e *Event) *string { return &e.Customer.Type }),
		text("customer.name", Free, Personal, func(e *Event) *string { return &e.Customer.Name }),
		instant("customer.birth_date", Personal, func(e *Event) *Time { return &e.Customer.BirthDate }),
		text("customer.country", Country, Plain, func(e *Event) *string { return &e.Customer.Country }),
		text("customer.email", Free, Identifier, func(e *Event) *string { return &e.Customer.Email }),
		text("customer.phone", Text, Identifier, func(e *Event) *string { return &e.Customer.Phone }),
		instant("customer.created", Plain, func(e *Event) *Time { return &e.Customer.Created }),
		text("customer.kyc_level", Text, Plain, func(e *Event) *string { return &e.Customer.KYCLevel }),
		instant("customer.password_changed", Plain, func(e *Event) *Time { return &e.Customer.PasswordChanged }),
		instant("customer.email_changed", Plain, func(e *Event) *Time { return &e.Customer.EmailChanged }),
		instant("customer.phone_changed", Plain, func(e *Event) *Time { return &e.Customer.PhoneChanged }),
		instant("customer.sim_changed", Plain, func(e *Event) *Time { return &e.Customer.SIMChanged }),

		text("kyc.level", Text, Plain, func(e *Event) *string { return &e.KYC.Level }),
		text("kyc.status", Text, Plain, func(e *Event) *string { return &e.KYC.Status }),

		text("card.token", Text, Identifier, func(e *Event) *string { return &e.Card.Token }),
		text("card.bin", Text, Plain, func(e *Event) *string { return &e.Card.BIN }),
		text("card.last4", Text, Personal, func(e *Event) *string { return &e.Card.Last4 }),
		text("card.brand", Text, Plain, func(e *Event) *string { return &e.Card.Brand }),
		text("card.funding", Text, Plain, func(e *Event) *string { return &e.Card.Funding }),
		text("card.country", Country, Plain, func(e *Event) *string { return &e.Card.Country }),
		text("card.expiry", Text, Personal, func(e *Event) *string { return &e.Card.Expiry }),

		text("device.id", Text, Identifier, func(e *Event) *string { return &e.Device.ID }),
		text("device.ip", Text, Identifier, func(e *Event) *string { return &e.Device.IP }),
		text("device.user_agent", Free, Personal, func(e *Event) *string { return &e.Device.UserAgent }),
		text("device.language", Text, Plain, func(e *Event) *string { return &e.Device.Language }),
		text("device.timezone", Text, Plain, func(e *Event) *string { return &e.Device.Timezone }),
		text("device.session_id", Text, Identifier, func(e *Event) *string { return &e.Device.SessionID }),
		number("device.lat", func(e *Event) *Number { return &e.Device.Lat }),
		number("device.lon", func(e *Event) *Number { return &e.Device.Lon }),
	}
	address := func(group string, at func(*Event) *Address) {
		all = append(all,
			text(group+".name", Free, Personal, func(e *Event) *string { return &at(e).Name }),
			text(group+".line1", Free, Personal, func(e *Event) *string { return &at(e).Line1 }),
			text(group+".line2", Free, Personal, func(e *Event) *string { return &at(e).Line2 }),
			text(group+".city", Free, Personal, func(e *Event) *string { return &at(e).City }),
			text(group+".region", Text, Plain, func(e *Event) *string { return &at(e).Region }),
			text(group+".postal_code", Text, Personal, func(e *Event) *string { return &at(e).PostalCode }),
			text(group+".country", Country, Plain, func(e *Event) *string { return &at(e).Country }),
			text(group+".phone", Text, Identifier, func(e *Event) *string { return &at(e).Phone }),
			number(group+".lat", func(e *Event) *Number { return &at(e).Lat }),
			number(group+".lon", func(e *Event) *Number { return &at(e).Lon }),
		)
	}
	address("billing", func(e *Event) *Address { return &e.Billing })
	address("shipping", func(e *Event) *Address { return &e.Shipping })
	all = append(all,
		text("merchant.id", Text, Plain, func(e *Event) *string { return &e.Merchant.ID }),
		text("merchant.name", Free, Plain, func(e *Event) *string { return &e.Merchant.Name }),
		text("merchant.mcc", Text, Plain, func(e *Event) *string { return &e.Merchant.MCC }),
		text("merchant.country", Country, Plain, func(e *Event) *string { return &e.Merchant.Country }),
		instant("merchant.created", Plain, func(e *Event) *Time { return &e.Merchant.Created }),
	)
	party := func(group string, at func(*Event) *Party) {
		all = append(all,
			text(group+".id", Text, Identifier, func(e *Event) *string { return &at(e).ID }),
			text(group+".type", Text, Plain, func(e *Event) *string { return &at(e).Type }),
			text(group+".name", Free, Personal, func(e *Event) *string { return &at(e).Name }),
			instant(group+".birth_date", Personal, func(e *Event) *Time { return &at(e).BirthDate }),
			text(group+".country", Country, Plain, func(e *Event) *string { return &at(e).Country }),
			text(group+".account", Text, Identifier, func(e *Event) *string { return &at(e).Account }),
			text(group+".bank", Free, Plain, func(e *Event) *string { return &at(e).Bank }),
			text(group+".bic", Text, Plain, func(e *Event) *string { return &at(e).BIC }),
			text(group+".wallet", Text, Identifier, func(e *Event) *string { return &at(e).Wallet }),
			instant(group+".created", Plain, func(e *Event) *Time { return &at(e).Created }),
			text(group+".email", Free, Identifier, func(e *Event) *string { return &at(e).Email }),
			text(group+".phone", Text, Identifier, func(e *Event) *string { return &at(e).Phone }),
			text(group+".line1", Free, Personal, func(e *Event) *string { return &at(e).Line1 }),
			text(group+".line2", Free, Personal, func(e *Event) *string { return &at(e).Line2 }),
			text(group+".city", Free, Personal, func(e *Event) *string { return &at(e).City }),
			text(group+".region", Text, Plain, func(e *Event) *string { return &at(e).Region }),
			text(group+".postal_code", Text, Personal, func(e *Event) *string { return &at(e).PostalCode }),
		)
	}
	party("sender", func(e *Event) *Party { return &e.Sender })
	party("receiver", func(e *Event) *Party { return &e.Receiver })
	party("ultimate_sender", func(e *Event) *Party { return &e.UltimateSender })
	party("ultimate_receiver", func(e *Event) *Party { return &e.UltimateReceiver })
	return append(all,
		text("vessel.name", Free, Plain, func(e *Event) *string { return &e.Vessel.Name }),
		text("vessel.imo", Text, Plain, func(e *Event) *string { return &e.Vessel.IMO }),

		text("escrow.id", Text, Plain, func(e *Event) *string { return &e.Escrow.ID }),
		text("escrow.state", Text, Plain, func(e *Event) *string { return &e.Escrow.State }),
		text("escrow.seller", Text, Identifier, func(e *Event) *string { return &e.Escrow.Seller }),
		text("escrow.buyer", Text, Identifier, func(e *Event) *string { return &e.Escrow.Buyer }),
		instant("escrow.funded", Plain, func(e *Event) *Time { return &e.Escrow.Funded }),
		instant("escrow.release_due", Plain, func(e *Event) *Time { return &e.Escrow.ReleaseDue }),

		text("order.id", Text, Plain, func(e *Event) *string { return &e.Order.ID }),
		number("settlement.rate", func(e *Event) *Number { return &e.Settlement.Rate }),

		text("label.event", Text, Plain, func(e *Event) *string { return &e.Label.Event }),
		text("label.kind", Text, Plain, func(e *Event) *string { return &e.Label.Kind }),
		text("label.reason", Text, Plain, func(e *Event) *string { return &e.Label.Reason }),
	)
}
