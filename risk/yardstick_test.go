package risk

import (
	"encoding/json"
	"testing"
)

// plainStruct is the event as encoding/json would be given it: the yardstick.
type plainStruct struct {
	Event    struct{ ID, Type, Time string }
	Amount   struct{ Value, Currency string }
	Payment  map1
	Customer struct {
		ID, Type, Name, Country, Email, Phone string
		BirthDate                             string `json:"birth_date"`
		Created                               string
		KYCLevel                              string `json:"kyc_level"`
	}
	Card   struct{ Token, BIN, Last4, Brand, Funding, Country, Expiry string }
	Device struct {
		ID, IP, Language, Timezone string
		UserAgent                  string `json:"user_agent"`
		SessionID                  string `json:"session_id"`
	}
	Billing struct {
		Name, Line1, City, Region, Country string
		PostalCode                         string `json:"postal_code"`
	}
	Merchant struct{ ID, Name, MCC, Country, Created string }
	Custom   map[string]any
}

type map1 struct {
	ID, Method, Rail, Status string
	Attempt                  int
	MIT                      bool
	AVS                      string `json:"avs_result"`
	CVC                      string `json:"cvc_result"`
	ThreeDS                  string `json:"three_ds"`
}

func BenchmarkYardstick(b *testing.B) {
	src := sample(b)
	b.ReportAllocs()
	for b.Loop() {
		var v plainStruct
		if err := json.Unmarshal(src, &v); err != nil {
			b.Fatal(err)
		}
	}
}
