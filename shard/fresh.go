package shard

import (
	"slices"

	"github.com/wcshard/wcshard/timing"
)

// What a new file takes nobody knows: its tests are estimated with the mean of all, and
// they are of one kind, so that they are all wrong together. Where all of them are in one
// job, that is late. Dealt over the jobs they make each of them a little later.

// fold is how many times as long as estimated a new file is reckoned with: of OneGov's files
// one in twenty has a mean of 2.6 times the suite's, one in a hundred of eleven times.
const fold = 3

// fresh returns the pool's files that are new, and the rest of the pool; nil and the whole
// pool where there are none, or where too much is new, as in a first plan.
func (it *items) fresh(shards int) (dealt, rest *items) {
	all, unknown := int64(0), int64(0)
	known := make([]bool, len(it.files))
	for _, p := range it.tests {
		all += it.sequence.cost[p]
		if it.test(p).Estimate.Rung < timing.Suite { // of its file, or of the one that this was
			known[it.file[p]] = true
		} else {
			unknown += it.sequence.cost[p]
		}
	}
	if unknown == 0 || unknown > all/5 {
		return nil, it
	}
	spans := it.spanning()
	const pooled, new = 1, 2
	kind := make([]int8, len(it.root)) // by root
	for _, p := range it.tests {
		if r := it.root[p]; known[it.file[r]] || spans[r] {
			kind[r] = pooled
		} else {
			kind[r] = new
		}
	}
	dealt = newItems(it.sequence, func(p int32) bool { return kind[it.root[p]] == new })
	rest = newItems(it.sequence, func(p int32) bool { return kind[it.root[p]] == pooled })
	if dealt.blocks == 0 || int(rest.blocks) < shards || int(dealt.blocks)*shards > effort {
		return nil, it
	}
	return dealt, rest
}

// spread adds the tests of new files to the jobs of a pool: each block goes to the job that
// would be done first if what it has of the file took fold times as long as estimated. One
// more job for the file is worth what it sets up anew if that is less than what the others
// then have less of the file, fold times.
func (it *items) spread(pool [][]int32) [][]int32 {
	out, load, has := make([][]int32, len(pool)), make([]int64, len(pool)), make([]map[int32]bool, len(pool))
	for k, tests := range pool {
		out[k], load[k], has[k] = slices.Clone(tests), it.load(tests), map[int32]bool{}
		for needs := range it.setupLists(tests) {
			for _, s := range needs {
				has[k][int32(s)] = true
			}
		}
	}
	for _, i := range it.heaviest() {
		x := &it.list[i]
		mine := make([]int64, len(pool)) // of the file, by job
		jobs := int64(0)
		for b := x.lo; b < x.hi; b++ {
			to, added, least := -1, int64(0), int64(0)
			for k := range pool {
				anew := int64(0)
				it.eachSetup(b, b+1, func(s int32) {
					if !has[k][s] {
						anew += it.setup[s]
					}
				})
				if jobs > 0 && mine[k] == 0 && anew > fold*x.cost/(jobs*(jobs+1)) {
					continue
				}
				if done := load[k] + anew + (fold-1)*mine[k]; to < 0 || done < least {
					to, added, least = k, anew, done
				}
			}
			if mine[to] == 0 {
				jobs++
			}
			load[to] += it.cost[b] + added
			mine[to] += it.cost[b]
			it.eachSetup(b, b+1, func(s int32) { has[to][s] = true })
			out[to] = append(out[to], it.tests[it.start[b]:it.start[b+1]]...)
		}
	}
	for _, tests := range out {
		slices.Sort(tests)
	}
	return out
}
