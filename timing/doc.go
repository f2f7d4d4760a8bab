// Package timing keeps what is known of the cost of tests: node IDs, the
// results a shard recorded, the samples and the history made of them, and the
// estimates a plan is made from.
//
// Its place in the picture:
//
//	run ──events──▶ [results ──▶ merge ──history──▶ estimate] ──▶ next plan
//
// The package is pure: it takes readers, writers and values and never touches
// a file, a process, the clock or the network.
package timing
