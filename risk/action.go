package risk

import "fmt"

// Action is what the gateway should do with a payment. The zero value is not an
// action: it is a bug, never a yes.
type Action uint8

const (
	Allow  Action = iota + 1 // let it pass
	Review                   // hold it until a person has looked
	Block                    // refuse it
)

// Stricter reports whether a asks for more caution than b.
func (a Action) Stricter(b Action) bool { return a > b }

// Valid reports whether a is one of the three actions.
func (a Action) Valid() bool { return a >= Allow && a <= Block }

func (a Action) String() string {
	switch a {
	case Allow:
		return "allow"
	case Review:
		return "review"
	case Block:
		return "block"
	}
	return fmt.Sprintf("action(%d)", uint8(a))
}

// ParseAction reads "allow", "review" or "block".
func ParseAction(s string) (Action, error) {
	for a := Allow; a <= Block; a++ {
		if a.String() == s {
			return a, nil
		}
	}
	return 0, fmt.Errorf("risk: %q is not an action (allow, review, block)", s)
}

func (a Action) MarshalText() ([]byte, error) {
	if !a.Valid() {
		return nil, fmt.Errorf("risk: %s is not an action", a)
	}
	return []byte(a.String()), nil
}

func (a *Action) UnmarshalText(b []byte) (err error) {
	*a, err = ParseAction(string(b))
	return err
}
