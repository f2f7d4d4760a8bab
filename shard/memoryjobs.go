package shard

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// AutoMemoryJobs as Fleet.MemoryJobs cuts memory modules over as many jobs as
// pay.
const AutoMemoryJobs = -1

// splitModules cuts memory modules over several jobs while that pays: while the
// longest memory job is longer than the pool's bound, and gets shorter
// by more than the further job costs: its start, and the set-ups that are then
// paid once more.
//
// Each time it is the longest module that gets one job more, and its tests are
// divided anew: longest first to the job that has least with them, by classes,
// by functions with all their parameters, or test by test, the coarsest of these
// that comes near the best. Tests of files that the pool cuts go to any worker of a
// job, which makes some modules' jobs shorter.
func (it *items) splitModules(packs [][]int32, fleet Fleet, bound int64, pool [][]int32) [][]int32 {
	most, rows, cut := fleet.jobsOfModule(), MaxRows-len(pool), it.cutFiles(pool)
	if fleet.MaxMemoryJobs > 0 {
		rows = min(rows, fleet.MaxMemoryJobs)
	}
	type module struct {
		tests []int32
		parts [][]int32
		wall  int64 // of the longest part
		sum   int64 // of all
		done  bool
	}
	r := newSimulator(it.sequence)
	price := func(m *module) {
		m.wall, m.sum = 0, 0
		for _, tests := range m.parts {
			s, _ := r.shard(tests, it.memoryWorkers(fleet, tests), cut, fleet.budget(Memory))
			m.wall, m.sum = max(m.wall, micros(s.Wall)), m.sum+micros(s.Wall)
		}
	}
	owner := map[int32]int{} // position → module
	for k, tests := range it.modules(0) {
		for _, p := range tests {
			owner[p] = k
		}
	}
	var all []module
	for _, tests := range packs {
		m := module{tests: tests, parts: [][]int32{tests}}
		m.done = slices.ContainsFunc(tests, func(p int32) bool { return owner[p] != owner[tests[0]] }) // several modules, joined
		price(&m)
		all = append(all, m)
	}
	overhead := micros(it.suite.Overhead.Memory.Took)
	for jobs := len(packs); jobs < rows; {
		top, next := -1, bound
		for k := range all {
			if top < 0 || all[k].wall > all[top].wall {
				top = k
			}
		}
		if top < 0 || all[top].done || len(all[top].parts) >= most || all[top].wall <= bound {
			break
		}
		for k := range all {
			if k != top {
				next = max(next, all[k].wall)
			}
		}
		// One job more may help nothing where two do: three tests of one length.
		old := &all[top]
		old.done = true
		for n := len(old.parts) + 1; n <= min(most, len(old.parts)+2) && jobs+n-len(old.parts) <= rows; n++ {
			trial := module{tests: old.tests, parts: it.divide(old.tests, n)}
			if len(trial.parts) < n {
				break
			}
			price(&trial)
			added := n - len(old.parts)
			if old.wall-max(trial.wall, next) > max(0, trial.sum-old.sum)+int64(added)*overhead+old.wall/1000*coarse {
				jobs += added
				*old = trial
				break
			}
		}
	}
	var out [][]int32
	for _, m := range all {
		out = append(out, m.parts...)
	}
	return out
}

// jobsOfModule returns the most jobs that one memory module may have.
func (f Fleet) jobsOfModule() int {
	if f.MemoryJobs == AutoMemoryJobs {
		return MaxRows
	}
	return max(1, f.MemoryJobs)
}

// divide divides the tests of a module over at most n jobs, as splitModules
// says. Each part is ascending, and parts are in the order of their first tests.
func (it *items) divide(tests []int32, n int) [][]int32 {
	borders := [...]func(p int32) string{
		func(p int32) string { return it.test(p).ID.Class() },
		func(p int32) string { return it.test(p).ID.Function() },
		func(p int32) string { return fmt.Sprint(p) },
	}
	var best [][]int32
	least := int64(0)
	for k := len(borders) - 1; k >= 0; k-- {
		parts, longest := it.deal(it.clusters(tests, borders[k]), n)
		if len(parts) == n && (best == nil || longest-least <= least/1000*coarse) {
			best = parts
			least = min(cmp.Or(least, longest), longest)
		}
	}
	slices.SortFunc(best, func(a, b []int32) int { return cmp.Compare(a[0], b[0]) })
	return best
}

// clusters divides tests by a name; what is bound together stays so.
func (it *items) clusters(tests []int32, name func(p int32) string) [][]int32 {
	parent := make([]int32, len(tests)) // by index
	place := map[int32]int32{}          // root → index of a test of it
	first := map[string]int32{}         // name → index of a test that has it
	for i, p := range tests {
		parent[i] = int32(i)
		if k, ok := place[it.root[p]]; ok {
			union(parent, k, int32(i))
		} else {
			place[it.root[p]] = int32(i)
		}
		if k, ok := first[name(p)]; ok {
			union(parent, k, int32(i))
		} else {
			first[name(p)] = int32(i)
		}
	}
	byRoot := map[int32][]int32{}
	var order []int32
	for i, p := range tests {
		r := find(parent, int32(i))
		if byRoot[r] == nil {
			order = append(order, r)
		}
		byRoot[r] = append(byRoot[r], p)
	}
	var out [][]int32
	for _, r := range order {
		out = append(out, byRoot[r])
	}
	return out
}

// deal gives the clusters, longest first, to the part that is least long with them,
// and returns the parts that have any and the longest of their loads.
func (it *items) deal(clusters [][]int32, n int) (parts [][]int32, longest int64) {
	load := make([]int64, len(clusters))
	order := make([]int, len(clusters))
	for k := range clusters {
		load[k], order[k] = it.load(clusters[k]), k
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(load[b], load[a]) })
	sums := make([]int64, n)
	has := make([]map[int]bool, n)
	parts = make([][]int32, n)
	for _, u := range order {
		best, gain := 0, int64(0)
		for k := range n {
			g := it.gain(clusters[u], has[k])
			if k == 0 || sums[k]+g < sums[best]+gain {
				best, gain = k, g
			}
		}
		if has[best] == nil {
			has[best] = map[int]bool{}
		}
		for _, p := range clusters[u] {
			for _, s := range it.test(p).Setups {
				has[best][s] = true
			}
		}
		sums[best] += gain
		parts[best] = append(parts[best], clusters[u]...)
	}
	parts = slices.DeleteFunc(parts, func(tests []int32) bool { return len(tests) == 0 })
	for _, tests := range parts {
		slices.Sort(tests)
	}
	return parts, slices.Max(sums)
}

// gain returns how much longer a worker takes with more tests, which has some
// set-ups already.
func (it *items) gain(tests []int32, has map[int]bool) int64 {
	sum, more := int64(0), map[int]bool{}
	for _, p := range tests {
		sum += it.sequence.cost[p]
		for _, s := range it.test(p).Setups {
			if !has[s] && !more[s] {
				more[s] = true
				sum += it.setup[s]
			}
		}
	}
	return sum
}

// numberParts names the parts of modules that were cut over several jobs:
// mem-test_big-1, mem-test_big-2, in the order of their first tests. Parts have
// the same first file.
func numberParts(names, files []string) {
	count := map[string]int{}
	for _, f := range files {
		count[f]++
	}
	taken := map[string]bool{}
	for k, f := range files {
		if count[f] == 1 {
			taken[strings.ToLower(names[k])] = true
		}
	}
	next := map[string]int{}
	for k, f := range files {
		if count[f] == 1 {
			continue
		}
		next[f]++
		name := fmt.Sprintf("%s-%d", names[k], next[f])
		if len(name) > maxName || taken[strings.ToLower(name)] {
			name = hashed(name, fmt.Sprintf("%s %d", f, next[f]))
		}
		taken[strings.ToLower(name)] = true
		names[k] = name
	}
}
