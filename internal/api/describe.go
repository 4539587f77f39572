package api

import (
	"encoding/json"
	"strings"
)

// groupTexts describe the groups of an event.
var groupTexts = map[string]string{
	"event":             "What happened. Required.",
	"payment":           "The payment and what its issuer answered.",
	"customer":          "Who pays, as the merchant knows them.",
	"kyc":               "What is known of the customer's identity.",
	"card":              "The card paid with.",
	"device":            "Where the request came from.",
	"billing":           "Address the bill goes to.",
	"shipping":          "Address the goods go to.",
	"merchant":          "Who is paid for goods or services.",
	"sender":            "Who pays, in a transfer: the debtor.",
	"receiver":          "Who is paid, in a transfer: the creditor.",
	"ultimate_sender":   "On whose behalf the sender pays.",
	"ultimate_receiver": "On whose behalf the receiver is paid.",
	"vessel":            "A ship that is part of the trade.",
	"escrow":            "Funds held until a deal is done.",
	"order":             "What is bought.",
	"settlement":        "What is paid out to the merchant.",
	"label":             "What an earlier event turned out to be.",
}

// fieldTexts describe the fields: by path, or by "address." and "party." for the
// groups that are alike.
var fieldTexts = map[string]string{
	"event.id":   "Unique within the tenant, whatever is sent again: the idempotency key.",
	"event.type": "An open list: payment.authorization, payment.outcome, payment.capture, payment.refund, payment.payout, transfer, topup, escrow.release, chargeback, account.created, account.login, account.updated, kyc.updated, label and others.",
	"event.time": "When it happened, by your clock, with a zone.",

	"payment.id":           "Id of the payment, the same in all its events.",
	"payment.method":       "card, transfer, wallet, cash and others.",
	"payment.rail":         "Network: visa, sepa_instant, pix and others.",
	"payment.attempt":      "1 for the first try.",
	"payment.status":       "State, such as pending, captured, declined.",
	"payment.mit":          "Merchant-initiated: the payer is not present.",
	"payment.decline_code": "The issuer's reason for declining, ISO 8583 field 39.",
	"payment.avs_result":   "Answer of the address check.",
	"payment.cvc_result":   "Answer of the card code check. The code itself is never taken.",
	"payment.three_ds":     "Result of 3-D Secure.",
	"payment.purpose":      "Text that goes with the payment.",

	"customer.id":               "Your id of the customer.",
	"customer.type":             "person or company.",
	"customer.name":             "Full name.",
	"customer.birth_date":       "Date of birth.",
	"customer.country":          "Country of residence, ISO 3166-1 alpha-2.",
	"customer.email":            "E-mail address.",
	"customer.phone":            "Telephone number, international form.",
	"customer.created":          "When the account was opened.",
	"customer.kyc_level":        "How well the customer is known.",
	"customer.password_changed": "Last change of the password.",
	"customer.email_changed":    "Last change of the e-mail address.",
	"customer.phone_changed":    "Last change of the telephone number.",
	"customer.sim_changed":      "Last change of the SIM card.",

	"kyc.level":  "Level reached.",
	"kyc.status": "State of the check.",

	"card.token":   "Your token of the card: the same card, the same token. Never a card number.",
	"card.bin":     "First 6 to 8 digits.",
	"card.last4":   "Last four digits.",
	"card.brand":   "visa, mastercard and others.",
	"card.funding": "credit, debit or prepaid.",
	"card.country": "Country of the issuer, ISO 3166-1 alpha-2.",
	"card.expiry":  "Month of expiry, 2028-09.",

	"device.id":         "Stable id of the device.",
	"device.ip":         "IP address of the payer, v4 or v6.",
	"device.user_agent": "User agent of the browser.",
	"device.language":   "Language of the browser, BCP 47.",
	"device.timezone":   "Time zone of the browser, IANA.",
	"device.session_id": "Id of the session.",
	"device.lat":        "Latitude in degrees, where the device knows it; two decimals are kept.",
	"device.lon":        "Longitude in degrees; two decimals are kept.",

	"address.name":        "Name at the address.",
	"address.line1":       "Street and number.",
	"address.line2":       "Rest of the address.",
	"address.city":        "City.",
	"address.region":      "State or province.",
	"address.postal_code": "Postal code.",
	"address.country":     "Country, ISO 3166-1 alpha-2.",
	"address.phone":       "Telephone number.",
	"address.lat":         "Latitude in degrees; two decimals are kept.",
	"address.lon":         "Longitude in degrees; two decimals are kept.",

	"merchant.id":      "Your id of the merchant.",
	"merchant.name":    "Name of the merchant.",
	"merchant.mcc":     "Merchant category code, ISO 18245.",
	"merchant.country": "Country of the merchant, ISO 3166-1 alpha-2.",
	"merchant.created": "When the merchant was taken on.",

	"party.id":         "Your id of the party.",
	"party.type":       "person or company.",
	"party.name":       "Full name.",
	"party.birth_date": "Date of birth.",
	"party.country":    "Country of residence, ISO 3166-1 alpha-2.",
	"party.account":    "Account number or IBAN.",
	"party.bank":       "Name of the bank.",
	"party.bic":        "BIC of the bank.",
	"party.wallet":     "Address of a wallet.",

	"party.created":     "When its account was opened.",
	"party.email":       "E-mail address.",
	"party.phone":       "Telephone number, best in international form.",
	"party.line1":       "Street and number.",
	"party.line2":       "Rest of the address.",
	"party.city":        "City.",
	"party.region":      "State or province.",
	"party.postal_code": "Postal code.",

	"vessel.name": "Name of the ship.",
	"vessel.imo":  "IMO number of the ship.",

	"escrow.id":          "Id of the escrow.",
	"escrow.state":       "State of the escrow.",
	"escrow.seller":      "Id of the seller.",
	"escrow.buyer":       "Id of the buyer.",
	"escrow.funded":      "When it was funded.",
	"escrow.release_due": "When it is to be released.",

	"order.id":        "Id of the order.",
	"settlement.rate": "Rate applied: units of the settlement's currency for one of the amount's.",

	"label.event":  "Id of the event that is named, of the same tenant.",
	"label.kind":   "What it turned out to be.",
	"label.reason": "Reason of a chargeback: fraud, or another.",
}

// alike are the groups that share their descriptions.
var alike = map[string]string{
	"billing": "address", "shipping": "address",
	"sender": "party", "receiver": "party", "ultimate_sender": "party", "ultimate_receiver": "party",
}

func fieldText(path string) string {
	group, member, _ := strings.Cut(path, ".")
	if shared := alike[group]; shared != "" {
		group = shared
	}
	return fieldTexts[group+"."+member]
}

// examples are request bodies, by schema. A test decodes them.
var examples = map[string]object{
	"Event": {
		"card": example("A card payment.", `{
			"event": {"id": "pay_91", "type": "payment.authorization", "time": "2026-11-21T12:00:00Z"},
			"amount": {"value": "323.21", "currency": "USD"},
			"payment": {"id": "p_91", "method": "card", "rail": "visa", "attempt": 1},
			"customer": {"id": "u_1", "email": "a@example.com", "country": "US", "created": "2024-02-01"},
			"card": {"token": "tok_c1", "bin": "41111111", "last4": "1111", "country": "US"},
			"device": {"id": "d_9", "ip": "81.2.69.160", "language": "en-US"},
			"merchant": {"id": "m_1", "mcc": "5812", "country": "US"}}`),
		"transfer": example("A transfer between accounts.", `{
			"event": {"id": "tr_7", "type": "transfer", "time": "2026-11-21T12:00:03.250Z"},
			"amount": {"value": "9500.00", "currency": "EUR"},
			"payment": {"method": "transfer", "rail": "sepa_instant", "purpose": "invoice 2031"},
			"sender": {"id": "u_2", "type": "person", "name": "Maria Keller", "country": "DE", "account": "DE89370400440532013000"},
			"receiver": {"id": "u_3", "type": "company", "name": "Harbour Trading", "country": "NL", "account": "NL91ABNA0417164300"}}`),
		"label": example("What an earlier event turned out to be.", `{
			"event": {"id": "lab_3", "type": "label", "time": "2026-12-02T08:00:00Z"},
			"label": {"event": "pay_91", "kind": "fraud"}}`),
	},
	"Replay": {
		"two": example("Two records of one partition.", `{"records": [{"topic": "payments", "partition": 0, "offsets": [17, 42]}]}`),
	},
	"Outcome": {
		"declined": example("The issuer declined.", `{"status": "declined", "decline_code": "51", "avs_result": "N", "cvc_result": "M"}`),
		"captured": example("With an id and a time of your own.", `{"id": "out_91_1", "time": "2026-11-21T12:00:04Z", "status": "captured", "three_ds": "authenticated"}`),
	},
}

func example(summary, value string) object {
	return object{"summary": summary, "value": json.RawMessage(value)}
}
