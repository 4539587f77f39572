package risk

import (
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// samples holds that each input has the form before it.
func samples(t *testing.T, name string, normal func(string) string, byForm map[string][]string) {
	t.Helper()
	for want, inputs := range byForm {
		for _, in := range inputs {
			got := normal(in)
			if got != want {
				t.Errorf("%s(%q) = %q, want %q", name, in, got, want)
			}
			if again := normal(got); again != got {
				t.Errorf("%s is not stable: %q gives %q", name, got, again)
			}
		}
	}
}

func TestNetwork(t *testing.T) {
	f := func(in, want, want48 string) {
		t.Helper()
		if got := Network(in); got != want {
			t.Errorf("Network(%q) = %q, want %q", in, got, want)
		}
		if got := Network48(in); got != want48 {
			t.Errorf("Network48(%q) = %q, want %q", in, got, want48)
		}
	}
	f("81.2.69.160", "81.2.69.0/24", "81.2.69.0/24")
	f("::ffff:81.2.69.160", "81.2.69.0/24", "81.2.69.0/24")
	f("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64", "2001:db8:1::/48")
	f("2001:DB8:1:ffff::1", "2001:db8:1:ffff::/64", "2001:db8:1::/48")
	f("fe80::1%eth0", "fe80::/64", "fe80::/48")
	f("81.2.69.160:443", "", "")
	f("81.2.69.0/24", "", "")
	f("", "", "")
}

func TestEmail(t *testing.T) {
	samples(t, "Email", Email, map[string][]string{
		"maria.keller@example.com": {" Maria.Keller+Shop@Example.COM ", "maria.keller@example.com.", "maria.keller+a+b@example.com"},
		"maria@gmail.com":          {"m.a.r.i.a+x@googlemail.com", "Maria@Gmail.com", "maria.@gmail.com", "ma..ria@gmail.com"},
		"m.a@outlook.com":          {"m.a+news@outlook.com", "M.A@Outlook.com"},
		"m-a@hotmail.co.uk":        {"m-a+x@hotmail.co.uk"},
		"ma@live.fr":               {"ma@live.fr"},
		"anna@yahoo.com":           {"anna-shop@yahoo.com", "anna-a-b@yahoo.com", "anna@yahoo.com"},
		"anna.b@yahoo.co.jp":       {"anna.b-shop@yahoo.co.jp"},
		"anna@yahoo.de":            {"anna-1@yahoo.de"},
		"-x@ymail.com":             {"-x-y@ymail.com"},
		"kim@aol.com":              {"kim-a@aol.com"},
		"user@fastmail.com":        {"tag@user.fastmail.com", "user+tag@fastmail.com", "user@fastmail.com", "a+b@user.fastmail.com"},
		"user@fastmail.fm":         {"tag@user.fastmail.fm"},
		"x@a.user.fastmail.com":    {"x@a.user.fastmail.com"},
		"alicejones@proton.me":     {"alice.jones@protonmail.com", "alice_jones+x@pm.me", "Alice-Jones@protonmail.ch", "alicejones@proton.me"},
		"tim.cook@icloud.com":      {"tim.cook@me.com", "tim.cook@mac.com", "tim.cook+a@icloud.com"},
		"ivan-petrov@yandex.ru":    {"ivan.petrov@ya.ru", "ivan-petrov@yandex.com", "Ivan.Petrov+x@yandex.com.tr"},
		"a-b@yandex.example":       {"a-b@yandex.example"},
		"a-b@example.org":          {"a-b@example.org"},
		"\"a@b\"@example.com":      {"\"a@b\"@example.com"},
		"\"a.b+c\"@gmail.com":      {"\"a.b+c\"@gmail.com"},
		"jürgen@müller.de":         {"JÜRGEN@MÜLLER.DE"},
		"": {"", "a", "@b.co", "a@", "a@b", "a@@b.co", "a@b.co@c.co", "a@.", "a@.co", "+tag@b.co", "...@gmail.com", "-_.@pm.me",
			"a b@c.de", "m@a..", "a@b c.de"},
	})
	samples(t, "Domain", func(s string) string {
		if d := Domain(s); d != "" {
			return d
		}
		return Domain("x@" + s)
	}, map[string][]string{"b.co": {"a@B.Co", "a@b.co."}, "googlemail.com": {"a@googlemail.com"}})
	if got := Domain("a@b"); got != "" {
		t.Errorf("Domain(a@b) = %q", got)
	}
}

func TestPhone(t *testing.T) {
	for _, c := range []struct {
		region string
		want   map[string][]string
	}{
		{"", map[string][]string{
			"+442079460958":  {"+44 (0)20 7946-0958", "(+44) 20 7946.0958", "0044 20 7946 0958", "+44 020 7946 0958", "tel:+44-20-7946-0958", "＋４４　２０　７９４６　０９５８", "+44 20 7946 0958 ext. 12", "+44 20 7946 0958;ext=12", "+44 20 7946 0958 x12"},
			"+44207946":      {"0(0)44 20 7946", "+44 (0)(0)20 7946"},
			"02079460958":    {"020 7946 0958", "(0)20 7946 0958", "٠٢٠ ٧٩٤٦ ٠٩٥٨"},
			"+390612345678":  {"+39 06 1234 5678", "+39 (06) 12345678"},
			"+14155550132":   {"+1 (415) 555-0132", "001 415 555 0132", "+1 1 415 555 0132"},
			"+74951234567":   {"+7 495 123-45-67", "+7 8 495 123-45-67"},
			"+36201234567":   {"+36 20 123 4567", "+36 06 20 123 4567"},
			"+8613123456789": {"+86 131 2345 6789", "+86–131–2345–6789"},
			"+80012345678":   {"+800 1234 5678"},
			"12345":          {"12345", "12345 ext 6"},
			"":               {"", "1234", "+999 12345678", "+1234567890123456", "1234567890123456", "1-800-FLOWERS", "+44 +20 7946", "call me 12345", "0 12"},
		}},
		{"GB", map[string][]string{
			"+442079460958": {"020 7946 0958", "(020) 7946 0958", "20 7946 0958", "44 20 7946 0958", "00 44 20 7946 0958", "+44 20 7946 0958"},
			"+447700900123": {"07700 900123", "7700 900123", "447700900123"},
			"+14155550132":  {"001 415 555 0132", "+1 415 555 0132"},
		}},
		{"DE", map[string][]string{"+493012345678": {"030 12345678", "(030) 12345678"}, "+4915112345678": {"0151 12345678", "0151/12345678"}}},
		{"US", map[string][]string{
			"+14155550132":  {"415-555-0132", "(415) 555-0132", "1 415 555 0132", "14155550132", "415.555.0132 x7"},
			"+442079460958": {"011 44 20 7946 0958"},
		}},
		{"JP", map[string][]string{"+81312345678": {"03-1234-5678"}, "+442079460958": {"010 44 20 7946 0958"}, "+819012345678": {"090-1234-5678"}}},
		{"AU", map[string][]string{"+61212345678": {"(02) 1234 5678"}, "+14155550132": {"0011 1 415 555 0132"}}},
		{"IT", map[string][]string{"+390612345678": {"06 1234 5678"}, "+393123456789": {"312 345 6789"}}},
		{"RU", map[string][]string{"+79123456789": {"8 912 345-67-89", "912 345-67-89", "79123456789"}, "+442079460958": {"810 44 20 7946 0958"}}},
		{"BY", map[string][]string{"+375152450911": {"8 0152 45-09-11", "152 45-09-11"}}},
		{"HU", map[string][]string{"+3611234567": {"06 1 123 4567", "1 123 4567"}}},
		{"MX", map[string][]string{"+525512345678": {"55 1234 5678", "01 55 1234 5678", "044 55 1234 5678", "+52 1 55 1234 5678"}}},
		{"LT", map[string][]string{"+37061234567": {"8 612 34567", "0 612 34567", "612 34567"}}},
		{"CI", map[string][]string{"+2250123456789": {"01 23 45 6789"}}},
		{"IN", map[string][]string{"+919123456789": {"91234 56789", "091234 56789", "91 91234 56789"}}},
		{"HK", map[string][]string{"+85221234567": {"2123 4567"}, "+8613123456789": {"001 86 131 2345 6789"}}},
		{"ZZ", map[string][]string{"02079460958": {"020 7946 0958"}}},
	} {
		samples(t, "Phone in "+c.region, func(s string) string { return Phone(s, c.region) }, c.want)
	}
}

func TestName(t *testing.T) {
	samples(t, "Name", Name, map[string][]string{
		"anna muller":         {"Anna Müller", "MÜLLER, Anna", "müller anna", "Anna  Mu\u0308ller", "Ａｎｎａ Muller"},
		"jr luc obrien zoe":   {"  Zoë   O’Brien-Łuć, Jr. ", "zoe o'brien luc jr", "O`Brien Łuć, Zoë, Jr"},
		"duc nguyen van":      {"NGUYỄN Văn Đức"},
		"gmbh muller sohne":   {"Müller & Söhne GmbH", "Muller-Sohne G.m.b.H."},
		"aether strasse ǉ":    {"Straße Æther ǈ"},
		"e":                   {"é", "e\u0301", "É"},
		"张三":                  {"张三", " 张三 "},
		"σισυφοσ":             {"ΣΊΣΥΦΟΣ", "Σίσυφος", "σι\u0301συφος"},
		"андреи семенов":      {"Семёнов Андрей", "АНДРЕЙ СЕМЕНОВ"},
		"jose maria nunez":    {"José María Núñez", "NUNEZ, JOSE MARIA"},
		"bjorn soren thor":    {"Sören Bjørn Þór", "soren bjorn thor"},
		"dangelo":             {"D'Angelo", "D’Angelo", "dʼangelo"},
		"ibrahim yildiz":      {"İbrahim Yıldız"},
		"احمد":                {"أَحْمَد", "احمد", "أحمد"},
		"כהן":                 {"כֹּהֵן"},
		"कुमार":               {"कुमार"},
		"สมชาย ใจดี":          {"สมชาย ใจดี"},
		"jp morgan":           {"J.P. Morgan", "JP MORGAN", "Morgan J.P."},
		"3m":                  {"3M"},
		"a b c d e f g h i j": {"j i h g f e d c b a"},
		"":                    {"", " -- ", "'", "\u0301"},
	})
}

func TestPostalAddress(t *testing.T) {
	samples(t, "PostalAddress", PostalAddress, map[string][]string{
		"12 3 main st":               {"12.3, Main St.", "12-3 MAIN STREET"},
		"10 main st unit 5":          {"10 Main Street, Apt 5", "10 Main St. #5", "Apartment 5, 10 MAIN STREET", "10 main street suite 5", "Flat 5\n10 Main Street"},
		"1 n 1st ave":                {"1 North First Avenue", "1 N. 1st Ave"},
		"221b baker st":              {"221B Baker Street", "221 b Baker St"},
		"10 e main st":               {"10 E Main St", "10 East Main Street"},
		"1 whitehall london sw1a2aa": {"1 Whitehall, London SW1A 2AA", "1 Whitehall London sw1a2aa"},
		"1 wellington st k1a0b1":     {"1 Wellington Street K1A 0B1"},
		"hauptstr 7":                 {"Hauptstraße 7", "Hauptstrasse 7", "Hauptstr. 7"},
		"lange st 3":                 {"Lange Straße 3", "Lange Str. 3"},
		"12 ave des champs elysees":  {"12 Avenue des Champs-Élysées", "12, av. des Champs Elysees"},
		"5 blvd st germain":          {"5 boulevard Saint-Germain", "5 Bd St Germain"},
		"c mayor 3":                  {"Calle Mayor, 3", "C/ Mayor 3"},
		"v roma 1":                   {"Via Roma, 1", "v. Roma 1"},
		"pobox 12":                   {"P.O. Box 12", "PO Box 12", "p o box 12"},
		"pobox 1234":                 {"Postfach 1234"},
		"bldg b2 5th st":             {"Building B2, 5th Street", "Bldg. B2 Fifth St"},
		"st louis":                   {"Saint Louis", "St. Louis"},
		"10 st":                      {"10 St Apt"}, "10 sq de la paix": {"10 square de la Paix"},
		"pl de la constitucion 1":  {"Plaza de la Constitución 1", "Pl. de la Constitucion, 1"},
		"10 high st unit 5 unit 6": {"Apt 5, Suite 6, 10 High Street"},
		"朝阳区 建国路 1号":               {"朝阳区 建国路 1号"},
		"":                         {"", " , "},
		"10 st johns rd":           {"10 St Johns Road"},
	})
}

func TestAddressNormal(t *testing.T) {
	f := func(want string, all ...Address) {
		t.Helper()
		for _, a := range all {
			if got := a.Normal(); got != want {
				t.Errorf("%+v has the form %q, want %q", a, got, want)
			}
		}
	}
	f("10 main st unit 5, 12345 US",
		Address{Line1: "10 Main Street", Line2: "Apt 5", City: "Springfield", PostalCode: "12345-6789", Country: "US"},
		Address{Line1: "10 Main St #5", City: "SPRINGFIELD", PostalCode: "12345", Country: "US"},
		Address{Line1: "Apt. 5", Line2: "10 MAIN ST", PostalCode: "12345", Country: "US"})
	f("1 whitehall, sw1a2aa GB",
		Address{Line1: "1 Whitehall", City: "London", PostalCode: "SW1A 2AA", Country: "GB"},
		Address{Line1: "1, Whitehall", City: "Westminster", PostalCode: "sw1a2aa", Country: "GB"})
	f("o connell st 3, dublin IE", Address{Line1: "O'Connell Street 3", City: "Dublin", Country: "IE"})
	f("hauptstr 7, 10115 DE", Address{Line1: "Hauptstraße 7", City: "Berlin", PostalCode: "10115", Country: "DE"})
	f("1a st, FR", Address{Line1: "1 A Street", Country: "FR"})
	f("1a st", Address{Line1: "1 A Street"})
	f("", Address{}, Address{City: "London", PostalCode: "SW1A 2AA"}, Address{Line1: " - "})
	party := Party{Line1: "10 Main Street", Line2: "Apt 5", PostalCode: "12345", Country: "US"}
	if got, want := party.Normal(), "10 main st unit 5, 12345 US"; got != want {
		t.Errorf("a party's address is %q, want %q", got, want)
	}
}

// TestNormalFormsAreStable holds that a normal form is its own normal form: lists
// hold normal forms, and are looked up by them.
func TestNormalFormsAreStable(t *testing.T) {
	for name, c := range map[string]struct {
		normal func(string) string
		gen    string
	}{
		"email":   {Email, `[ A-Za-z.+@"_-]{0,12}@(gmail\.com|GoogleMail\.com|x\.fastmail\.com|pm\.me|ya\.ru|yahoo\.de|[a-c.]{1,5})`},
		"phone":   {func(s string) string { return Phone(s, "") }, `[+0(]{0,3}[0-9 ()./+-]{0,12}`},
		"russian": {func(s string) string { return Phone(s, "RU") }, `[+80(]{0,3}[0-9 ()./+-]{0,12}`},
		"name":    {Name, `[A-Za-zÄÖÜßéñøłЙё'’., -]{0,40}`},
		"address": {PostalAddress, `([1-9]{1,2}|[a-e]|St|Street|Apt|#|Unit|P|O|Box|sw1a|2aa|k1a|0b1|North|Hauptstrasse|1st|,| ){0,12}`},
		"spaced":  {PostalAddress, `(([1-9]{1,2}|[a-e]|St|Street|Apt|Unit|P|O|Box|sw1a|2aa|k1a|0b1|North|Hauptstrasse|1st) ){0,12}`},
	} {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				in := rapid.StringMatching(c.gen).Draw(t, "in")
				once := c.normal(in)
				if twice := c.normal(once); twice != once {
					t.Fatalf("%q gives %q, which gives %q", in, once, twice)
				}
			})
		})
	}
}

// FuzzNormalForms: a form of UTF-8 is UTF-8, and its own form.
func FuzzNormalForms(f *testing.F) {
	for _, s := range []string{"Zoë O’Brien-Łuć", "a.b+c@gmail.com", "+44 (0)20 7946", "Flat 5, 10 High St SW1A 2AA", "أَحْمَد", "\u0301", "p o box", "1 b"} {
		f.Add(s, "GB")
	}
	f.Fuzz(func(t *testing.T, s, region string) {
		if !utf8.ValidString(s) || len(s) > MaxText {
			return
		}
		for name, normal := range map[string]func(string) string{
			"Email": Email, "Domain": Domain, "Name": Name, "PostalAddress": PostalAddress, "Network": Network,
			"Phone": func(s string) string { return Phone(s, region) },
		} {
			once := normal(s)
			if !utf8.ValidString(once) {
				t.Errorf("%s(%q) = %q, no UTF-8", name, s, once)
			}
			if name == "Network" || name == "Domain" {
				continue // of another kind than what it is made from
			}
			if twice := normal(once); twice != once {
				t.Errorf("%s(%q) = %q, which gives %q", name, s, once, twice)
			}
		}
	})
}
