// Package lists holds exact entries with an expiry: the merchants, countries,
// networks or addresses that `x in list.name` asks for.
//
// A [List] is one file of lists/, with its items inline or in a CSV file beside
// it. Values are read from the token as it was written, by the type that the
// list declares, so NO is Norway and 0123 keeps its zero; they are brought to the
// normal form of that type, in which they are looked up. An item counts while the
// event's time lies before its `expires`; no clock is read.
//
// A List is immutable and safe to share; a look-up does not allocate. Lists that
// change while the engine runs (`managed: live`) and fuzzy name matching, which
// is screening's, are not done here.
package lists
