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

// mostInVain is how many steps more than two for each module may not pay before
// splitModules gives up.
const mostInVain = 8

// splitModules cuts memory modules over several jobs while that pays: while the
// longest memory job is longer than least, which other jobs take anyway, and gets shorter
// by more than the further jobs cost: their start, and the set-ups that are then
// paid once more. One further job may help nothing where several do: of two modules
// that are as long as each other, or of three tests.
//
// Each time it is the longest module that gets more jobs, and its tests are
// divided anew: longest first to the job that has least with them, by classes,
// by functions with all their parameters, or test by test, the coarsest of these
// that comes near the best. Tests of files that the pool cuts go to any worker of a
// job, which makes some modules' jobs shorter.
func (it *items) splitModules(packs [][]int32, fleet Fleet, least int64, pool [][]int32) [][]int32 {
	rows, cut := MaxRows-len(pool), it.cutFiles(pool)
	if fleet.MaxMemoryJobs > 0 {
		rows = min(rows, fleet.MaxMemoryJobs)
	}
	s := splitting{items: it, fleet: fleet, simulator: newSimulator(it.sequence), cut: cut}
	owner := map[int32]int{} // position → module
	for k, tests := range it.modules(0) {
		for _, p := range tests {
			owner[p] = k
		}
	}
	for _, tests := range packs {
		m := memoryModule{tests: tests, parts: [][]int32{tests}}
		m.joined = slices.ContainsFunc(tests, func(p int32) bool { return owner[p] != owner[tests[0]] })
		s.price(&m)
		s.all = append(s.all, m)
	}
	kept := slices.Clone(s.all)
	longest, sum, jobs := s.longest(least), s.sum(), len(packs)
	overhead := micros(it.suite.Overhead.Memory.Took)
	for idle := 0; idle < 2*len(s.all)+mostInVain && s.longest(least) > least && s.step(rows); idle++ {
		now, more := s.longest(least), s.jobs()-jobs
		if longest-now > max(0, s.sum()-sum)+int64(more)*overhead+longest/1000*coarse {
			kept = slices.Clone(s.all)
			longest, sum, jobs, idle = now, s.sum(), s.jobs(), -1
		}
	}
	var out [][]int32
	for _, m := range kept {
		out = append(out, m.parts...)
	}
	return out
}

// A memoryModule is the memory tests of a file, and the jobs that they have.
type memoryModule struct {
	tests  []int32
	parts  [][]int32
	wall   int64 // of the longest part
	sum    int64 // of all
	joined bool  // it is several modules, and stays so
}

// A splitting is memory modules in the middle of getting more jobs.
type splitting struct {
	*items
	fleet     Fleet
	simulator *simulator
	cut       []bool
	all       []memoryModule
}

func (s *splitting) price(m *memoryModule) {
	m.wall, m.sum = 0, 0
	for _, tests := range m.parts {
		x, _ := s.simulator.shard(tests, s.memoryWorkers(s.fleet, tests), s.cut, s.fleet.budget(Memory))
		m.wall, m.sum = max(m.wall, micros(x.Wall)), m.sum+micros(x.Wall)
	}
}

// mostMore is how many jobs more, beside twice as many as it has, a module gets in a step:
// where so many do not make it shorter, a single block is as long.
const mostMore = 8

// step gives the longest module more jobs, few that make it shorter; false where none
// do, of rows jobs in all.
func (s *splitting) step(rows int) bool {
	top := &s.all[0]
	for k := range s.all {
		if s.all[k].wall > top.wall {
			top = &s.all[k]
		}
	}
	n := len(top.parts)
	most := min(s.fleet.jobsOfModule(), n+rows-s.jobs(), 2*n+mostMore)
	if most = s.items.countBlocks(top.tests, most); top.joined || most <= n {
		return false
	}
	shortest := s.with(top, most)
	if !shorter(&shortest, top) {
		return false
	}
	for more := 1; n+more < most; more += 1 + more/4 {
		if trial := s.with(top, n+more); shorter(&trial, top) {
			*top = trial
			return true
		}
	}
	*top = shortest
	return true
}

// with returns a module with so many jobs.
func (s *splitting) with(m *memoryModule, jobs int) memoryModule {
	trial := memoryModule{tests: m.tests, parts: s.divide(m.tests, jobs)}
	if len(trial.parts) < jobs {
		return *m
	}
	s.price(&trial)
	return trial
}

// shorter reports whether a module's longest job is enough shorter than it was.
func shorter(m, before *memoryModule) bool {
	return before.wall-m.wall > before.wall/1000*coarse
}

// longest returns how long the longest job is, least at least.
func (s *splitting) longest(least int64) int64 {
	for k := range s.all {
		least = max(least, s.all[k].wall)
	}
	return least
}

func (s *splitting) sum() int64 {
	sum := int64(0)
	for k := range s.all {
		sum += s.all[k].sum
	}
	return sum
}

func (s *splitting) jobs() int {
	n := 0
	for k := range s.all {
		n += len(s.all[k].parts)
	}
	return n
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
