package risk

import (
	"testing"

	"pgregory.net/rapid"
)

func TestNormalForms(t *testing.T) {
	f := func(name string, normal func(string) string, in, want string) {
		t.Helper()
		if got := normal(in); got != want {
			t.Errorf("%s(%q) = %q, want %q", name, in, got, want)
		}
	}
	network := func(in, want string) { t.Helper(); f("Network", Network, in, want) }
	network("81.2.69.160", "81.2.69.0/24")
	network("::ffff:81.2.69.160", "81.2.69.0/24")
	network("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64")
	network("fe80::1%eth0", "fe80::/64")
	network("81.2.69.160:443", "")
	network("", "")

	email := func(in, want string) { t.Helper(); f("Email", Email, in, want) }
	email(" Maria.Keller+Shop@Example.COM ", "maria.keller@example.com")
	email("m.a.r.i.a+x@googlemail.com", "maria@gmail.com")
	email("m.a@example.com.", "m.a@example.com")
	email("m@a..", "")
	email("\"a@b\"@example.com", "\"a@b\"@example.com")
	for _, bad := range []string{"", "a", "@b.co", "a@", "a@b", "a@.", "a@.co", "+tag@b.co", "...@gmail.com", "a b@c.de"} {
		email(bad, "")
	}

	domain := func(in, want string) { t.Helper(); f("Domain", Domain, in, want) }
	domain("a@B.Co", "b.co")
	domain("a@b", "")
	domain("", "")

	phone := func(in, want string) { t.Helper(); f("Phone", Phone, in, want) }
	phone("+44 (0)20 7946-0958", "+442079460958")
	phone("(+44) 20 7946.0958", "+442079460958")
	phone("0044 20 7946 0958", "+442079460958")
	phone("020 7946 0958", "02079460958")
	phone("0(0)44 20 7946", "+44207946")
	phone("0 0000", "")
	phone("(0)20 7946 0958", "02079460958")
	phone("1234", "")
	phone("12345", "12345")
	phone("12345 ext 6", "")
	phone("", "")
}

// TestNormalFormsAreStable holds that a normal form is its own normal form: lists
// hold normal forms, and are looked up by them.
func TestNormalFormsAreStable(t *testing.T) {
	for name, c := range map[string]struct {
		normal func(string) string
		gen    string
	}{
		"email": {Email, `[ A-Za-z.+@"]{0,12}@(gmail\.com|GoogleMail\.com|[a-c.]{1,5})`},
		"phone": {Phone, `[+0(]{0,3}[0-9 ()./+-]{0,12}`},
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
