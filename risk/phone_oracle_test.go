package risk

import (
	"strings"
	"testing"

	"github.com/nyaruka/phonenumbers"
)

// TestPhoneAgrees compares with the numbering plans of libphonenumber, which is too
// large and slow to decide with (8 MB, 20 us a number) and good to test with: an
// example of each country's lines and mobiles, in each way of writing it.
func TestPhoneAgrees(t *testing.T) {
	// Where the same digits are written in a way that no rule here knows.
	known := map[string]string{
		"AR mobile": "the area is not in what is dialled at home",
		"BY toll":   "a number that begins like what is dialled before one",
	}
	kinds := map[string]phonenumbers.PhoneNumberType{"line": phonenumbers.FIXED_LINE, "mobile": phonenumbers.MOBILE, "toll": phonenumbers.TOLL_FREE}
	compared := 0
	for region := range phonenumbers.GetSupportedRegions() {
		if CountryCode(region) == "" {
			continue // AC, TA: reserved, no country
		}
		for kind, is := range kinds {
			n := phonenumbers.GetExampleNumberForType(region, is)
			if n == nil {
				continue
			}
			want := phonenumbers.Format(n, phonenumbers.E164)
			for _, written := range []string{
				want,
				phonenumbers.Format(n, phonenumbers.INTERNATIONAL),
				phonenumbers.Format(n, phonenumbers.RFC3966),
				phonenumbers.Format(n, phonenumbers.NATIONAL),
				phonenumbers.GetNationalSignificantNumber(n),
				strings.NewReplacer("(", "", ")", "", " ", ".").Replace(phonenumbers.Format(n, phonenumbers.NATIONAL)),
			} {
				compared++
				if got := Phone(written, region); got != want {
					if reason := known[region+" "+kind]; reason == "" {
						t.Errorf("Phone(%q, %s) = %q, want %q (%s)", written, region, got, want, kind)
					}
				}
			}
		}
	}
	if compared < 3000 {
		t.Errorf("%d numbers compared", compared)
	}
}
