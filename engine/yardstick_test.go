package engine_test

import "time"

// yardstick is the event as a Go program would declare it for encoding/json.
type yardstick struct {
	Event struct {
		ID   string    `json:"id"`
		Type string    `json:"type"`
		Time time.Time `json:"time"`
	} `json:"event"`
	Amount struct {
		Value    string `json:"value"`
		Currency string `json:"currency"`
	} `json:"amount"`
	Payment struct {
		ID          string `json:"id"`
		Method      string `json:"method"`
		Rail        string `json:"rail"`
		Attempt     int    `json:"attempt"`
		Status      string `json:"status"`
		MIT         bool   `json:"mit"`
		DeclineCode string `json:"decline_code"`
		AVSResult   string `json:"avs_result"`
		CVCResult   string `json:"cvc_result"`
		ThreeDS     string `json:"three_ds"`
		Purpose     string `json:"purpose"`
	} `json:"payment"`
	Customer struct {
		ID              string `json:"id"`
		Type            string `json:"type"`
		Name            string `json:"name"`
		BirthDate       string `json:"birth_date"`
		Country         string `json:"country"`
		Email           string `json:"email"`
		Phone           string `json:"phone"`
		Created         string `json:"created"`
		KYCLevel        string `json:"kyc_level"`
		PasswordChanged string `json:"password_changed"`
		EmailChanged    string `json:"email_changed"`
		PhoneChanged    string `json:"phone_changed"`
		SIMChanged      string `json:"sim_changed"`
	} `json:"customer"`
	Card struct {
		Token   string `json:"token"`
		BIN     string `json:"bin"`
		Last4   string `json:"last4"`
		Brand   string `json:"brand"`
		Funding string `json:"funding"`
		Country string `json:"country"`
		Expiry  string `json:"expiry"`
	} `json:"card"`
	Device struct {
		ID        string `json:"id"`
		IP        string `json:"ip"`
		UserAgent string `json:"user_agent"`
		Language  string `json:"language"`
		Timezone  string `json:"timezone"`
		SessionID string `json:"session_id"`
	} `json:"device"`
	Billing  yardAddress `json:"billing"`
	Shipping yardAddress `json:"shipping"`
	Merchant struct {
		ID      string `json:"id"`
		Name    string `json:"name"`
		MCC     string `json:"mcc"`
		Country string `json:"country"`
		Created string `json:"created"`
	} `json:"merchant"`
	Sender   yardParty `json:"sender"`
	Receiver yardParty `json:"receiver"`
	Escrow   struct {
		ID         string `json:"id"`
		State      string `json:"state"`
		Seller     string `json:"seller"`
		Buyer      string `json:"buyer"`
		Funded     string `json:"funded"`
		ReleaseDue string `json:"release_due"`
	} `json:"escrow"`
	Order struct {
		ID    string `json:"id"`
		Items []struct {
			SKU      string  `json:"sku"`
			Name     string  `json:"name"`
			Category string  `json:"category"`
			Quantity float64 `json:"quantity"`
			Price    string  `json:"price"`
		} `json:"items"`
	} `json:"order"`
	Label struct {
		Event  string `json:"event"`
		Kind   string `json:"kind"`
		Reason string `json:"reason"`
	} `json:"label"`
	Custom map[string]any `json:"custom"`
}

type yardAddress struct {
	Name       string `json:"name"`
	Line1      string `json:"line1"`
	Line2      string `json:"line2"`
	City       string `json:"city"`
	Region     string `json:"region"`
	PostalCode string `json:"postal_code"`
	Country    string `json:"country"`
	Phone      string `json:"phone"`
}

type yardParty struct {
	ID        string `json:"id"`
	Type      string `json:"type"`
	Name      string `json:"name"`
	BirthDate string `json:"birth_date"`
	Country   string `json:"country"`
	Account   string `json:"account"`
	Bank      string `json:"bank"`
	BIC       string `json:"bic"`
	Wallet    string `json:"wallet"`
}
