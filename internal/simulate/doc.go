// Package simulate makes an endless stream of events as a third-party payment
// platform for cross-border trade would send them, with planted fraud and with
// lawful behaviour that looks like it, and keeps the truth about both beside the
// stream.
//
// A [World] gives one [Event] after the other in order of arrival; [Truth] says
// which planted case an event belongs to, and never enters the event itself.
// [Frauds] are the patterns; for each there is one of [LookAlikes].
// [Tally] compares the truth with the actions that were answered. [Write] puts a
// stretch of the stream into a file.
//
// # Time
//
// The world has its own clock, which no wall clock moves: [Options.Gap] is the
// mean event time from one event to the next, two seconds unless set. A demo that
// sends 200 events a second therefore covers 6.7 hours in a minute, so that
// windows of a day fill and labels arrive while somebody watches. Parcels are
// fast for the same reason (2 to 30 hours). The first fraud reports come 20
// minutes after the fact, most within two days; chargebacks take 5 to 45 days.
// An event's own time lies a little before its arrival: 20 to 600 ms; of those
// that come from somebody's device for one in 250 up to 90 seconds, for one in
// 2,000 up to 15 minutes.
//
// # The same everywhere
//
// All randomness comes from one PCG generator and integer arithmetic; there is
// no floating point, no map order and no clock in it, so equal options give equal
// bytes on every machine.
//
// A World belongs to one goroutine. Its memory is bounded by the population and
// by the follow-ups that are under way (some ten thousand), not by how many
// events it has given. It decides nothing, sends nothing and knows no rule.
package simulate
