package shard

import (
	"cmp"
	"slices"
	"sort"
)

// poolBound returns a time below which no division of the tests over the pool
// comes, in microseconds, the base included.
//
// It is the bound of McNaughton (1959) and Graham (1969) for parallel
// machines, each worker being one, with set-ups: all tests and each set-up as
// often as it is needed at least, shared evenly; or the longest block with all
// that it needs. The third is Graham's pigeonhole: of k·m + 1 blocks some
// machine gets k + 1, which take at least as long as the k + 1 shortest of
// them.
//
// A job may go with one worker, and then pays the base of that. How that divides
// set-ups is not looked into: they count once for that.
func (it *items) poolBound(fleet Fleet) int64 {
	if it.blocks == 0 {
		return 0
	}
	shards := min(fleet.Shards, int(it.blocks))
	apart := max(it.bound(int64(shards*fleet.Workers)), it.memoryTime(it.tests, fleet.budget(Pool), shards))
	return max(micros(it.suite.LeastBase(fleet.Workers))+apart, it.together(it.tests, shards, fleet.Workers))
}

// together returns a time below which so many jobs of up to so many workers do not
// run all tests, if they share the work evenly: with the base that belongs to their
// number of workers, which is the best for all of them if it is for one; or with the
// least base, and the imports shared by the jobs alone, as each worker of a job pays
// for all of its imports before its first test.
func (it *items) together(tests []int32, jobs, workers int) int64 {
	work := it.load(tests)
	with := func(workers int) int64 {
		m := int64(jobs * workers)
		return micros(it.suite.BaseOf(workers)) + (work+m-1)/m
	}
	costs := make([]int64, len(it.setup))
	for s := range costs {
		if it.suite.Setups[s].Import {
			costs[s] = it.setup[s]
		}
	}
	imports, n, w := it.once(costs, tests), int64(jobs), int64(workers)
	apart := micros(it.suite.LeastBase(workers)) + (imports+(work-imports+w-1)/w+n-1)/n
	return max(min(with(1), with(workers)), apart)
}

// memoryTime returns a time below which no division over so many jobs comes, as
// each of them has only so much memory: the needs of the tests times how long
// they take, shared evenly. A test that needs more than there is counts as one
// that needs it all.
func (it *items) memoryTime(tests []int32, budget int64, jobs int) int64 {
	room := room{budget: budget, floor: it.suite.Floor}.of(1)
	if budget == 0 || room <= 0 {
		return 0
	}
	sum := float64(0)
	for _, p := range tests {
		if need := it.test(p).Estimate.Need.High; need >= MinNeed {
			// The conversion rounds here on every machine, so that the bound is the same.
			sum += float64(float64(it.sequence.cost[p]) * float64(min(need, room)))
		}
	}
	return int64(sum / float64(float64(jobs)*float64(room)) * (1 - 1e-9))
}

// memoryBound is poolBound for the memory shards: each module has a job of its
// own, or as many as it may have, so the longest sets it.
func (it *items) memoryBound(fleet Fleet) int64 {
	if it.blocks == 0 {
		return 0
	}
	longest := int64(0)
	for _, tests := range it.modules(0) {
		top := int64(0)
		block := map[int32][]int32{}
		for _, p := range tests {
			block[it.root[p]] = append(block[it.root[p]], p)
		}
		for _, tests := range block {
			top = max(top, it.load(tests))
		}
		jobs := min(fleet.jobsOfModule(), len(block))
		workers := it.mostWorkers(fleet, tests, jobs)
		apart := max(top, it.memoryTime(tests, fleet.budget(Memory), jobs))
		longest = max(longest, micros(it.suite.LeastBase(workers))+apart, it.together(tests, jobs, workers))
	}
	if fleet.MaxMemoryJobs > 0 {
		workers := cmp.Or(fleet.MemoryWorkers, fleet.CPUs)
		longest = max(longest, micros(it.suite.LeastBase(workers))+it.bound(int64(fleet.MaxMemoryJobs*workers)))
	}
	return longest
}

// mostWorkers returns the most workers that one of so many jobs of a memory module
// may have: the one with a test of unknown need has one, the others may have more.
func (it *items) mostWorkers(fleet Fleet, tests []int32, jobs int) int {
	most := it.memoryWorkers(fleet, tests)
	if known := slices.DeleteFunc(slices.Clone(tests), func(p int32) bool { return it.test(p).Estimate.Need.High == 0 }); jobs > 1 && len(known) > 0 {
		most = max(most, it.memoryWorkers(fleet, known))
	}
	return most
}

// bound is poolBound for m machines, without the base.
func (it *items) bound(m int64) int64 {
	bound, _ := it.evenly(m)
	// A block below an eighth of it cannot be among the few that matter.
	var long []int64
	for _, c := range it.cost {
		if c > bound/8 {
			long = append(long, c)
		}
	}
	slices.SortFunc(long, func(x, y int64) int { return cmp.Compare(y, x) })
	for k := int64(1); k*m < int64(len(long)); k++ {
		sum := int64(0)
		for _, c := range long[k*m-k : k*m+1] {
			sum += c
		}
		bound = max(bound, sum)
	}
	return bound
}

// evenly returns the least time in which m machines have room for the longest
// block, and together for all; and what they take together by then, at least.
func (it *items) evenly(m int64) (t, sum int64) {
	needed := it.needed()
	work, least := int64(0), int64(0)
	for i := range it.list {
		work += it.list[i].cost
	}
	for s, w := range needed {
		if w > 0 {
			work += it.setup[s]
		}
	}
	for b := range it.cost {
		least = max(least, it.total(int32(b), int32(b)+1))
	}
	least = max(least, (work+m-1)/m)
	crowds := it.crowds(needed, least)
	enough := func(t int64) bool { return (work+repeats(crowds, t)+m-1)/m <= t }
	extra := sort.Search(int(work-least), func(d int) bool { return enough(least + int64(d)) })
	t = least + int64(extra)
	return t, work + repeats(crowds, t)
}

// A crowd is the tests that need a set-up.
type crowd struct{ setup, work int64 }

// crowds returns those that do not fit on one machine by t, of what the tests take that
// need each set-up.
//
// In a time T a machine that pays for a set-up of s has T - s left for the tests
// that need it, and for what else they need. Where these take W, each of those
// other set-ups counted once, at least W / (T - s) machines pay for it. That falls
// with T, so the least T with room for so many is a lower bound.
func (it *items) crowds(needed []int64, t int64) []crowd {
	it.addCompany(needed, t/minorSetup)
	var crowds []crowd
	for s, w := range needed {
		if setup := it.setup[s]; min(setup, w) > 0 && w > t-setup {
			crowds = append(crowds, crowd{setup, w})
		}
	}
	return crowds
}

// repeats returns what set-ups cost beyond the first time on machines that are done by t.
func repeats(crowds []crowd, t int64) int64 {
	sum := int64(0)
	for _, c := range crowds {
		sum += c.setup * ((c.work - 1) / (t - c.setup))
	}
	return sum
}

// minorSetup says what set-ups' company is not looked for: of those that take
// more than one part in so many of a bound there are few.
const minorSetup = 200

// addCompany adds to what tests take that need a set-up, for each one of dear
// microseconds or more, what the other set-ups cost that they need together with
// it.
func (it *items) addCompany(needed []int64, dear int64) {
	seen := map[[2]int32]bool{}
	for needs := range it.setupLists(it.tests) {
		for _, s := range needs {
			if it.setup[s] < dear {
				continue
			}
			for _, t := range needs {
				if pair := [2]int32{int32(s), int32(t)}; s != t && !seen[pair] {
					seen[pair] = true
					needed[s] += it.setup[t]
				}
			}
		}
	}
}

// needed returns for each set-up what the tests take that need it, microseconds.
func (it *items) needed() []int64 {
	needed := make([]int64, len(it.setup))
	for _, p := range it.tests {
		for _, s := range it.test(p).Setups {
			needed[s] += it.sequence.cost[p]
		}
	}
	return needed
}
