package expression

import (
	"testing"
)

// TestNamesOfScenarios holds that what the usual fraud and money-laundering scenarios
// ask of one event can be said; what they ask of the past is for features.
func TestNamesOfScenarios(t *testing.T) {
	e := testEnv(t)
	for what, src := range map[string]string{
		"new beneficiary account":       `receiver.age_days < 1`,
		"minor payer":                   `sender.age_years < 18 or customer.age_years < 18`,
		"reporting threshold":           `amount.base >= 10000`,
		"card checks failed":            `payment.cvc_result == "N" or payment.avs_result in ["N", "Z"]`,
		"prepaid card":                  `(has(card.funding) ? card.funding : card.bin_funding) == "prepaid" and amount.base > 1000`,
		"merchant category":             `merchant.mcc in ["7995", "6051"] and payment.three_ds != "authenticated"`,
		"BIN, address and goods differ": `card.bin_country != ip.country and ip.country != shipping.country and card.issuer_country != shipping.country`,
		"high-risk corridor":            `sender.country in list.countries or receiver.country in list.countries or ip.country in list.countries or card.bin_country in list.countries`,
		"account takeover":              `hours_since(customer.password_changed) < 24 or hours_since(customer.sim_changed) < 24 or hours_since(customer.phone_changed) < 24 or hours_since(customer.email_changed) < 24`,
		"another place":                 `ip.country not in ["GB"] and ip.country != billing.country and ip.country != card.issuer_country and km(ip, billing) > 900 and km(device, shipping) > 1`,
		"young seller":                  `merchant.age_days < 30 or receiver.age_days < 30`,
		"release before shipment":       `hours_since(escrow.funded) < 1 and escrow.state == "funded" and event.type == "escrow.release"`,
		"buyer is seller": `phone(sender.phone) == phone(receiver.phone) or address(shipping) == address(receiver) or sender.account == receiver.account or
			email(sender.email) == email(receiver.email) or name(sender.name) == name(receiver.name)`,
		"settled rate":      `abs(fx.deviation) > 0.02`,
		"unusual currency":  `not match.payer_currency and not match.payee_currency`,
		"KYC level":         `customer.kyc_level == "basic" and kyc.status != "verified"`,
		"hidden":            `ip.is_anonymous or ip.is_vpn or ip.is_proxy or ip.is_residential_proxy or ip.is_tor or ip.is_hosting`,
		"a program":         `ua.is_bot or ua.is_headless or ua.browser == "Chrome" and ua.browser_version < 90 or ua.device == "tv" or ua.os == "Windows"`,
		"does not fit":      `not match.ip_timezone and not match.ip_language and not match.ip_currency`,
		"throw-away":        `email.class == "disposable" or domain(customer.email) in list.domains`,
		"at night":          `local.hour < 5 and local.weekday > 5`,
		"network operator":  `ip.asn in [9009, 20473] or ip.asn_org contains "Hosting" or asn(device.ip) == "AS9009"`,
		"bank of the range": `card.bin_issuer == "First Bank" and card.bin_brand == "visa" and ip.region == "ENG" and ip.city == "London" and ip.timezone == "Europe/London"`,
	} {
		if mustCompile(t, e, src, Bool) == nil {
			t.Errorf("%s cannot be said", what)
		}
	}
}
