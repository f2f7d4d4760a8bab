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

// fresh returns the pool's files that are new and worth dealing, and the rest of the pool;
// nil and the whole pool where there are none, or where too much is new, as in a first plan.
func (it *items) fresh(fleet Fleet) (dealt, rest *items) {
	all, unknown := int64(0), int64(0)
	surplus := make([]int64, len(it.files)) // by how much more of a file's time is unknown than known
	for _, p := range it.tests {
		cost := it.sequence.cost[p]
		all += cost
		if it.test(p).Estimate.Rung < timing.Suite { // of its file, or of the one that this was
			cost = -cost
		} else {
			unknown += cost
		}
		surplus[it.file[p]] += cost
	}
	if unknown == 0 || unknown > all/5 {
		return nil, it
	}
	has, whole, spans := it.has(), it, it.spanning()
	if weighed := it.byImports(fleet); weighed != nil {
		whole = newItems(weighed, has) // each worker of a job pays for its imports
	}
	users := make([]int, len(it.setup)) // items that need a set-up
	for i := range whole.list {
		whole.eachSetup(whole.list[i].lo, whole.list[i].hi, func(s int32) { users[s]++ })
	}
	chosen := make([]bool, len(it.root)) // by root
	for i := range whole.list {
		x := &whole.list[i]
		longest, anew := int64(0), int64(0)
		whole.eachSetup(x.lo, x.hi, func(s int32) {
			if 2*users[s] < len(whole.list) { // else most jobs have it
				anew += whole.setup[s]
			}
		})
		for b := x.lo; b < x.hi; b++ {
			longest = max(longest, whole.cost[b])
		}
		first := it.root[whole.tests[whole.start[x.lo]]]
		if spans[first] || surplus[it.file[first]] <= 0 || longest > x.cost/2 || !worth(anew, x.cost, 1) {
			continue
		}
		for _, p := range whole.tests[whole.start[x.lo]:whole.start[x.hi]] {
			chosen[it.root[p]] = true
		}
	}
	dealt = newItems(whole.sequence, func(p int32) bool { return has(p) && chosen[it.root[p]] })
	rest = newItems(it.sequence, func(p int32) bool { return has(p) && !chosen[it.root[p]] })
	work := 0
	for _, p := range dealt.tests {
		work += 1 + len(it.test(p).Setups)
	}
	if dealt.blocks == 0 || int(rest.blocks) < fleet.Shards || work > effort/fleet.Shards {
		return nil, it
	}
	return dealt, rest
}

// worth reports whether a file that so many jobs have some of is worth one more, for what
// that sets up anew: that has to be less than what each of the others then has less of
// it, if it takes fold times as long as estimated.
func worth(anew, cost, jobs int64) bool { return anew <= fold*cost/(jobs*(jobs+1)) }

// spread adds the tests of new files to the jobs of a pool. Of the jobs that have some of
// the file, and those that it is worth setting up for, each block goes to the one that would
// be done first if what that has of the file took fold times as long as estimated.
func (it *items) spread(pool [][]int32) [][]int32 {
	out, load, has := make([][]int32, len(pool)), make([]int64, len(pool)), make([][]bool, len(pool))
	for k, tests := range pool {
		out[k], load[k], has[k] = slices.Clone(tests), it.load(tests), make([]bool, len(it.setup))
		for needs := range it.setupLists(tests) {
			for _, s := range needs {
				has[k][s] = true
			}
		}
	}
	var needs []int32
	for _, i := range it.heaviest() {
		x := &it.list[i]
		mine := make([]int64, len(pool)) // of the file, by job
		jobs := int64(0)
		for b := x.lo; b < x.hi; b++ {
			needs = needs[:0]
			it.eachSetup(b, b+1, func(s int32) { needs = append(needs, s) })
			to, added, least := -1, int64(0), int64(0)
			for k := range pool {
				anew := int64(0)
				for _, s := range needs {
					if !has[k][s] {
						anew += it.setup[s]
					}
				}
				if jobs > 0 && mine[k] == 0 && !worth(anew, x.cost, jobs) {
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
			for _, s := range needs {
				has[to][s] = true
			}
			out[to] = append(out[to], it.tests[it.start[b]:it.start[b+1]]...)
		}
	}
	for _, tests := range out {
		slices.Sort(tests)
	}
	return out
}
