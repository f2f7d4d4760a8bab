// Package pytest is all that wcshard knows of Python: how to find and call
// pytest, what its exit statuses mean, and the plugin that collects tests,
// keeps a shard's tests and records what they cost.
//
// Its place in the picture are the two ends that touch a process:
//
//	[collect] ──tests──▶ estimate ──items──▶ pack ──plan──▶ matrix
//	[run] ──events──▶ results ──▶ verify ──▶ merge ──history──▶ next plan
package pytest
