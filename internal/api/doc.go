// Package api is the synchronous way in: decisions, events and outcomes over
// HTTP, and what operators ask of the process.
//
// A [Server] is made by [New] around a cell. Its routes are one table: the mux,
// the check of scopes, the metrics and the OpenAPI document all follow from it.
// Every request is a call, which knows the caller and writes the answer or a
// problem document (RFC 9457).
//
// Pages are routes too (page*.go). What they show of the running engine comes from
// a hub, which follows all results once for all viewers and holds the newest; its
// two goroutines run while Serve does.
//
// Handlers share nothing but the server, which does not change once made, and
// the cell, which is safe for concurrent use; buffers are pooled and never
// outlive their request. The package decides nothing, keeps nothing that must
// last, and never repeats in a problem what a caller sent as a value.
package api
