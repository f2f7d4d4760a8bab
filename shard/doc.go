// Package shard turns tests with estimates into a plan, a plan into a job
// matrix, and a plan with results into a verdict.
//
// Its place in the picture:
//
//	collect ──tests──▶ estimate ──▶ [items ──▶ pack ──plan──▶ matrix, plan file]
//	run ──▶ results ──▶ [verify: every test exactly once?] ──▶ verdict
//
// Vocabulary: a test is a collected pytest item, named by its node ID; a block is
// tests that nothing may part (one test, or those of a group); an item is the blocks
// of one file, which packing keeps together unless parting them pays; a shard is one
// job's tests, a piece what it has of one file, a unit what one of its workers runs
// in one go. A shard's load is the time that its tests take, its wall that time
// spread over its workers; the makespan is the longest wall, and the lower bound what
// no plan can beat.
//
// Of memory: a worker's floor is what it holds before its first test; a test's
// need is what it takes on top of that, and kept what it leaves behind; a job's
// budget is what all its processes may use together.
//
// The package is pure: no files, processes, clock or network.
package shard
