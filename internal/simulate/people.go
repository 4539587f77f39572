package simulate

import (
	"strconv"
	"strings"
	"time"

	"github.com/sluice-risk/sluice/risk"
)

func words(s string) []string { return strings.Fields(s) }

const day = int64(24 * time.Hour / time.Millisecond)

// person is somebody with an account on the platform. Texts are made once, so
// that an event costs no formatting.
type person struct {
	risk.Customer
	place   *place
	street  risk.Address
	cards   []risk.Card
	devices []risk.Device // the first is the usual one; IP is set event by event
	home    uint32
	office  uint32
	account string // on the platform
	bank    string // outside it
	spend   int    // per cent of what people spend
	friend  int    // index of the person most transfers go to
}

var agents = []struct{ prefix, os string }{
	{"Mozilla/5.0 (iPhone; CPU iPhone OS 19_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/19.1 Mobile Safari/604.1", "ios"},
	{"Mozilla/5.0 (Linux; Android 16; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Mobile Safari/537.36", "and"},
	{"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36", "win"},
	{"Mozilla/5.0 (Macintosh; Intel Mac OS X 15_1) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/19.1 Safari/605.1.15", "mac"},
	{"Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0", "lin"},
}

var streets = words("Station Garden Mill River Church Market Hill School Park Harbour Bridge Forest")

// token gives 16 characters of an identifier that says nothing.
func (d dice) token(prefix string) string {
	const digits = "0123456789abcdefghjkmnpqrstvwxyz"
	b := append(make([]byte, 0, 24), prefix...)
	for u, i := d.pcg.Uint64(), 0; i < 12; i++ {
		b = append(b, digits[u&31])
		u >>= 5
	}
	return string(b)
}

// place draws a country by how many people live there.
func (w *World) anyPlace() *place {
	n := w.d.n(w.weights)
	for _, p := range places {
		if n -= p.weight; n < 0 {
			return p
		}
	}
	panic("simulate: the weights of places do not add up")
}

// elsewhere draws a country that is not p.
func (w *World) elsewhere(p *place) *place {
	for {
		if q := w.anyPlace(); q != p {
			return q
		}
	}
}

// device makes a device; mobile ones come first in people's lives.
func (d dice) device(p *place, mobile bool) risk.Device {
	a := agents[2+d.n(3)]
	if mobile {
		a = agents[d.n(2)]
	}
	return risk.Device{ID: d.token("d_" + a.os + "_"), UserAgent: a.prefix, Language: p.language, Timezone: p.zone}
}

func (d dice) card(p *place) risk.Card {
	bin := p.bins[d.n(len(p.bins))]
	c := risk.Card{
		Token:   d.token("tok_"),
		BIN:     bin,
		Last4:   strconv.Itoa(d.between(1000, 9999)),
		Brand:   "mastercard",
		Funding: "debit",
		Country: p.country,
		Expiry:  strconv.Itoa(d.between(2027, 2031)) + "-" + [...]string{"01", "03", "05", "07", "09", "11"}[d.n(6)],
	}
	switch bin[0] {
	case '4':
		c.Brand = "visa"
	case '6':
		c.Brand = "unionpay"
	case '3':
		c.Brand = "jcb"
	}
	switch n := d.n(100); {
	case n < 42:
		c.Funding = "credit"
	case n < 47:
		c.Funding = "prepaid"
	}
	return c
}

// person makes somebody who has been a customer for age milliseconds.
func (w *World) person(p *place, age int64) *person {
	d := w.d
	w.people++
	number := strconv.Itoa(w.people)
	given := p.names.first[d.n(len(p.names.first))]
	family := p.names.last[d.n(len(p.names.last))]
	name, mailbox := given+" "+family, strings.ToLower(given+"."+family)
	if p.names == chinese {
		name, mailbox = family+given, "user"
	}
	years := 18 + d.around(18, &narrow)
	if d.in(4) {
		years = d.between(15, 16)
	}
	town := p.cities[d.n(len(p.cities))]
	q := &person{place: p, home: p.home.address(d), office: p.home.address(d), account: "acct_" + number, bank: "ext_" + number,
		spend: 40 + d.around(60, &narrow), friend: d.n(1 << 20)}
	q.Customer = risk.Customer{
		ID: "u_" + number, Type: "individual", Name: name, Country: p.country,
		Email:     mailbox + "." + number + "@" + [...]string{"example.com", "example.org", "example.net"}[d.n(3)],
		Phone:     "+" + p.calling + "555" + strconv.Itoa(d.between(100000, 999999)),
		BirthDate: midnight(w.now - int64(min(years, 88))*365*day - int64(d.n(365))*day),
		Created:   risk.Time(w.now - age),
		KYCLevel:  [...]string{"basic", "basic", "basic", "standard", "standard", "standard", "standard", "standard", "standard", "full"}[d.n(10)],
	}
	if age > 60*day && d.in(500) {
		q.PasswordChanged = risk.Time(w.now - min(age, int64(d.between(30, 400))*day))
	}
	if age > 400*day && d.in(200) {
		q.PhoneChanged = risk.Time(w.now - int64(d.between(60, 390))*day)
	}
	q.street = risk.Address{
		Name: name, Line1: strconv.Itoa(d.between(1, 180)) + " " + streets[d.n(len(streets))] + " Street",
		City: town.name, Region: town.region, PostalCode: town.postal, Country: p.country,
	}
	q.cards = append(q.cards, d.card(p))
	if d.in(350) {
		q.cards = append(q.cards, d.card(p))
	}
	q.devices = append(q.devices, d.device(p, d.in(800)))
	if d.in(500) {
		q.devices = append(q.devices, d.device(p, false))
	}
	return q
}

// settled makes somebody long known to the platform, whom no rule has a reason
// to look at: adult, checked, with an old account.
func (w *World) settled(p *place, kind string) *person {
	q := w.person(p, int64(w.d.between(500, 2500))*day)
	q.Type, q.KYCLevel = kind, "full"
	q.BirthDate = midnight(w.now - int64(w.d.between(25, 60))*365*day)
	return q
}

// midnight makes a date of an instant, for births.
func midnight(ms int64) risk.Time {
	if ms >= 0 {
		return risk.Time(ms - ms%day)
	}
	return risk.Time(ms - (ms%day+day)%day)
}

func (q *person) party() risk.Party {
	return risk.Party{ID: q.ID, Type: q.Type, Name: q.Name, Country: q.Country, Account: q.account, Bank: "Platform Wallet", BirthDate: q.BirthDate}
}

// outside is the person's own account at a bank.
func (q *person) outside() risk.Party {
	return risk.Party{ID: q.ID, Type: q.Type, Name: q.Name, Country: q.Country, Account: q.bank, Bank: "First " + q.street.City + " Bank"}
}

// stranger is an account at a bank nobody on the platform owns.
func (w *World) stranger(country string) risk.Party {
	name := latin.first[w.d.n(24)] + " " + western.last[w.d.n(24)]
	return risk.Party{ID: w.d.token("x_"), Type: "individual", Name: name, Country: country, Account: w.d.token("ext_"), Bank: "Union Savings Bank"}
}

// where draws the address a person acts from: home, the phone's network or the office.
func (w *World) where(q *person) uint32 {
	switch n := w.d.n(100); {
	case n < 60:
		return q.home
	case n < 92:
		// A carrier sends a country's phones through few addresses.
		m := q.place.mobile
		return uint32(int(m.first)+w.d.n(m.count))<<16 | uint32(w.d.n(24))<<8 | uint32(w.d.between(2, 250))
	}
	return q.office
}

// using gives one of the person's devices at an address.
func (w *World) using(q *person, ip uint32) risk.Device {
	v := q.devices[0]
	if len(q.devices) > 1 && w.d.in(250) {
		v = q.devices[1]
	}
	v.IP = dotted(ip)
	return v
}

// merchant sells something at prices around a median.
type merchant struct {
	risk.Merchant
	median int // cents of USD
	tail   *[64]int64
	goods  []string
	kind   string
	posts  bool // ships parcels
}

var trades = []struct {
	mcc, kind string
	median    int
	tail      *[64]int64
	posts     bool
	goods     string
}{
	{"5651", "clothing", 4600, &narrow, true, "jacket trousers shirt dress scarf"},
	{"5732", "electronics", 11000, &wide, true, "headphones tablet camera charger monitor"},
	{"5942", "books", 2200, &narrow, true, "novel atlas cookbook notebook"},
	{"5977", "cosmetics", 3100, &narrow, true, "serum perfume shampoo lipstick"},
	{"5945", "toys", 3400, &narrow, true, "puzzle kite blocks robot"},
	{"5815", "digital_media", 900, &narrow, false, "album film season e-book"},
	{"5816", "games", 1500, &narrow, false, "credits skin expansion pass"},
	{"5812", "restaurant", 3300, &narrow, false, "dinner lunch delivery"},
	{"5411", "grocery", 4100, &narrow, true, "basket vegetables coffee tea"},
	{"4722", "travel", 18000, &narrow, false, "hotel ticket tour transfer"},
	{"5712", "furniture", 15000, &narrow, true, "chair desk lamp shelf"},
	{"5947", "gift_cards", 5000, &narrow, false, "voucher giftcard"},
}

var shopNames = [2][]string{words("Blue Silver North Golden Little Urban Grand Bright Pacific Alpine Lotus Maple Coral Amber Jade"), words("Harbor Lane Market Corner House Studio Depot Works Garden Trading Supply Bazaar Outlet Point Union")}

// shops makes the merchants; the first are the busiest.
func (w *World) shops(n int) {
	total := 0
	for i := range n {
		t := trades[w.d.n(len(trades))]
		p := w.anyPlace()
		w.merchants = append(w.merchants, &merchant{
			Merchant: risk.Merchant{
				ID: "m_" + strconv.Itoa(1000+i), Name: shopNames[0][w.d.n(15)] + " " + shopNames[1][w.d.n(15)], MCC: t.mcc, Country: p.country,
				Created: risk.Time(w.now - int64(w.d.between(20, 3000))*day),
			},
			median: t.median * w.d.between(60, 140) / 100, tail: t.tail, goods: words(t.goods), kind: t.kind, posts: t.posts,
		})
		// Zipf: the k-th busiest has 1/(k+3) of the trade.
		total += 1_000_000 / (i + 3)
		w.trade = append(w.trade, total)
	}
}

// shop draws a merchant by trade.
func (w *World) shop() *merchant {
	n := w.d.n(w.trade[len(w.trade)-1])
	lo, hi := 0, len(w.trade)-1
	for lo < hi {
		if mid := (lo + hi) / 2; w.trade[mid] > n {
			hi = mid
		} else {
			lo = mid + 1
		}
	}
	return w.merchants[lo]
}

// shopOf draws a merchant of one of the kinds.
func (w *World) shopOf(kinds ...string) *merchant {
	for range 400 {
		m := w.shop()
		for _, k := range kinds {
			if m.kind == k {
				return m
			}
		}
	}
	return w.merchants[0]
}
