package shard

import (
	"cmp"
	"slices"
)

// What gathering looks at, so that it costs little: set-ups that take more than one
// part in minorGain of the longest job and that no more than mostPayers jobs pay
// for, and so many tests of the jobs that it tries. A budget of work, not of time,
// makes the same plan on every machine.
const (
	minorGain    = 100
	mostPayers   = 8
	gatherEffort = 20_000_000
)

// gathered moves tests between pool shards so that fewer of them pay for the same
// set-up, and returns false where nothing is to be gained.
//
// Balancing looks at the longest job first, so that it sets up a fixture of 8 s
// twice to make that one 0.1 s shorter. Here, tests that need a set-up go to another
// job that pays for it, too, where all jobs together then take less by more than
// what they would if each were as much longer as the longest one becomes, and that
// is no more than pays. No further file is cut for it.
//
// A job may take as long as other jobs do anyway, by what one worker would take for it.
func (it *items) gathered(d division, anyway int64) (division, bool) {
	g := newGathering(it, d)
	g.most = max(g.longest, anyway)
	for _, s := range g.order() {
		for g.work > 0 && g.gather(s) {
		}
	}
	return division{g.pool, d.numbers}, g.moved
}

// A gathering is a division whose jobs exchange tests.
type gathering struct {
	*items
	spans   []bool // by root
	pool    [][]int32
	load    []int64
	longest int64         // before anything was moved
	most    int64         // that, or what other jobs take anyway
	payers  map[int][]int // dear set-up → the jobs that pay for it
	moved   bool
	work    int
}

func newGathering(it *items, d division) *gathering {
	g := &gathering{items: it, spans: it.spanning(), pool: slices.Clone(d.pool), payers: map[int][]int{}, work: gatherEffort}
	for _, tests := range g.pool {
		load := it.load(tests)
		g.load = append(g.load, load)
		g.longest = max(g.longest, load)
	}
	for k := range g.pool {
		g.pay(k)
	}
	return g
}

// pay enters a job with all dear set-ups that it pays for.
func (g *gathering) pay(job int) {
	for needs := range g.setupLists(g.pool[job]) {
		for _, s := range needs {
			if g.setup[s] > g.longest/minorGain && !slices.Contains(g.payers[s], job) {
				g.payers[s] = append(g.payers[s], job)
			}
		}
	}
}

// order lists the set-ups that several jobs pay for, the dearest first.
func (g *gathering) order() []int {
	var all []int
	for s, jobs := range g.payers {
		if n := len(jobs); 1 < n && n <= mostPayers {
			all = append(all, s)
		}
	}
	slices.SortFunc(all, func(s, t int) int {
		return cmp.Or(cmp.Compare(g.setup[t], g.setup[s]), g.compareSetups(int32(s), int32(t)))
	})
	return all
}

// A transfer takes the tests that need a set-up from one job to another.
type transfer struct {
	from, to       int
	tests          []int32
	loadFrom, load int64 // of the two jobs afterwards
	gain           int64
}

// gather makes the transfer that gains most for a set-up; false where none does.
func (g *gathering) gather(s int) bool {
	var best transfer
	payers := slices.Sorted(slices.Values(g.payers[s]))
	for _, from := range payers {
		moving := g.needing(from, s)
		if len(moving) == len(g.pool[from]) {
			continue // it would be empty
		}
		alone := int64(0) // what they take without any set-up
		for _, p := range moving {
			alone += g.sequence.cost[p]
		}
		for _, to := range payers {
			if to == from || g.work <= 0 || g.tooLong(g.load[to]+alone) {
				continue
			}
			if t := g.price(from, to, moving); t.gain > best.gain {
				best = t
			}
		}
	}
	if best.gain <= 0 {
		return false
	}
	g.apply(best)
	return true
}

// needing returns the tests of a job that need a set-up, and those bound to them.
func (g *gathering) needing(job, s int) []int32 {
	roots := map[int32]bool{}
	for _, p := range g.pool[job] {
		if _, found := slices.BinarySearch(g.test(p).Setups, s); found {
			roots[g.root[p]] = true
		}
	}
	g.work -= len(g.pool[job])
	return slices.DeleteFunc(slices.Clone(g.pool[job]), func(p int32) bool { return !roots[g.root[p]] })
}

// price says what a transfer comes to. It gains nothing where it cuts a file, or
// makes the longest job too long for what it saves.
func (g *gathering) price(from, to int, moving []int32) transfer {
	t := transfer{from: from, to: to, tests: moving}
	stay, joined := g.after(from, to, moving)
	g.work -= len(stay) + len(joined)
	t.loadFrom, t.load = g.items.load(stay), g.items.load(joined)
	saved := g.load[from] + g.load[to] - t.loadFrom - t.load
	longer := max(0, t.load-g.most)
	if saved <= g.longest/minorGain || g.tooLong(t.load) || g.cuts(stay, g.pool[to], moving) {
		return t
	}
	t.gain = saved - longer*int64(len(g.pool))
	return t
}

// tooLong reports whether a job is longer than the longest one may become.
func (g *gathering) tooLong(load int64) bool { return load-g.most > g.most/1000*pays }

func (g *gathering) apply(t transfer) {
	g.pool[t.from], g.pool[t.to] = g.after(t.from, t.to, t.tests)
	g.load[t.from], g.load[t.to] = t.loadFrom, t.load
	for s := range g.payers {
		g.payers[s] = slices.DeleteFunc(g.payers[s], func(job int) bool { return job == t.from })
	}
	g.pay(t.from)
	g.pay(t.to)
	g.moved = true
}

// after returns the tests of both jobs after a transfer, ascending.
func (g *gathering) after(from, to int, moving []int32) (stay, joined []int32) {
	stay = slices.DeleteFunc(slices.Clone(g.pool[from]), func(p int32) bool {
		_, goes := slices.BinarySearch(moving, p)
		return goes
	})
	joined = slices.Concat(g.pool[to], moving)
	slices.Sort(joined)
	return stay, joined
}

// cuts reports whether moving tests leave others of their file behind and find
// none where they go. Groups over files cut none, as in cutFiles.
func (g *gathering) cuts(stay, other, moving []int32) bool {
	left, there := g.filesOf(stay), g.filesOf(other)
	for f := range g.filesOf(moving) {
		if left[f] && !there[f] {
			return true
		}
	}
	return false
}

func (g *gathering) filesOf(tests []int32) map[int32]bool {
	files := map[int32]bool{}
	last := int32(-1)
	for _, p := range tests {
		if f := g.file[p]; f != last && !g.spans[g.root[p]] {
			files[f] = true
			last = f
		}
	}
	return files
}
