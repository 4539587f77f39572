// Package featurelog keeps what models are trained on: one row for each decided
// event, with every feature as it was when the event was judged, bit for bit.
//
// A [Schema] is what the features of a release are called and how they are
// defined. A [File] writes rows of one schema as CSV or Parquet, with the
// definitions beside them. A [Log] follows a cell and keeps a directory of such
// files: durable positions only, each in exactly one file, whenever the process
// ends.
//
// A decision's body has all its features, so the log needs nothing of the walk and
// can always go on from a position: [Values] reads them back.
//
// A File belongs to one goroutine, a Log to those that it starts in Run. The
// package deletes no file that is complete, and joins no labels to rows: those
// come later, and are events of their own.
package featurelog
