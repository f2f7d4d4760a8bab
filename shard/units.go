package shard

import (
	"cmp"
	"slices"

	"github.com/wcshard/wcshard/timing"
)

// unitEffort bounds the work of all divisions of jobs over their workers that one plan
// makes; maxUnitTests the tests of a job that is divided.
const (
	unitEffort   = 5_000_000
	maxUnitTests = 20_000
	unitPays     = 5 // thousandths of its time that dividing a job must save
)

// The workers of a job take the next unit when they have nothing to do. That
// keeps them all busy whatever the tests really take, and costs nothing where
// set-ups are cheap beside tests. Where they are dear, which tests meet on a
// worker decides what the job takes: then the job is divided over its workers
// as the suite is over jobs, and tests that belong together become a unit.

// divideUnits tries to shorten a job by saying which tests stay together. whole
// are its pieces as they were before any was cut for its workers, wall is what
// it takes without. It returns nil where that saves no more than unitPays.
func (r *simulator) divideUnits(whole []draftPiece, workers int, wall int64) ([]draftPiece, int64) {
	tests := testsOf(whole)
	if r.unitWork <= 0 || len(tests) > maxUnitTests || !r.known(tests) || wall-r.leastWall(tests, workers) <= wall/1000*unitPays {
		return nil, wall
	}
	it := newItems(r.part(tests), func(int32) bool { return true })
	it.workers = true
	r.unitWork -= len(r.setup) + len(tests)
	if wall-it.bound(int64(workers)) <= wall/1000*unitPays {
		return nil, wall
	}
	work := min(r.unitWork, effort)
	b := newBalance(it, workers, work, false)
	r.unitWork -= work - b.work
	if wall-b.longest() <= wall/1000*unitPays {
		return nil, wall
	}
	for _, divide := range []func(*balance) []int32{(*balance).companies, (*balance).byBin} {
		trial := r.bundle(whole, tests, divide(b))
		if t := r.plain(trial, workers).wall; t-b.longest() <= b.longest()/1000*coarse {
			return trial, t
		}
	}
	return nil, wall
}

// known reports whether most of what tests take was measured. What is not is
// better left to whichever worker is free.
func (r *simulator) known(tests []int32) bool {
	all, guessed := int64(0), int64(0)
	for _, p := range tests {
		all += r.cost[p]
		if r.test(p).Estimate.Rung != timing.Measured {
			guessed += r.cost[p]
		}
	}
	return guessed <= all/5
}

// testsOf returns the tests of pieces, ascending.
func testsOf(pieces []draftPiece) []int32 {
	var tests []int32
	for i := range pieces {
		tests = append(tests, pieces[i].tests...)
	}
	slices.Sort(tests)
	return tests
}

// leastWall is a bound on what workers take for tests that costs little: set-ups
// once, and all shared evenly.
func (r *simulator) leastWall(tests []int32, workers int) int64 {
	longest := int64(0)
	for _, p := range tests {
		longest = max(longest, r.cost[p])
	}
	return max(longest, r.load(tests)/int64(workers))
}

// part returns the sequence of some tests, ascending: whole blocks.
func (q *sequence) part(tests []int32) *sequence {
	out := &sequence{suite: q.suite, setup: q.setup, from: []int32{0}}
	last := int32(-1)
	for i, p := range tests {
		if f := q.file[p]; f != last {
			last = f
			out.files = append(out.files, q.files[f])
			out.from = append(out.from, 0)
		}
		root, _ := slices.BinarySearch(tests, q.root[p])
		out.at = append(out.at, q.at[p])
		out.file = append(out.file, int32(len(out.files)-1))
		out.cost = append(out.cost, q.cost[p])
		out.root = append(out.root, int32(root))
		out.from[len(out.files)] = int32(i + 1)
	}
	return out
}

// byBin makes the tests of each bin a unit: position → number of the unit, from
// 1.
func (b *balance) byBin() []int32 {
	units := make([]int32, len(b.root))
	for k := range b.bins {
		for _, p := range b.testsOf(b.bins[k : k+1]) {
			units[p] = int32(k + 1)
		}
	}
	return units
}

// companies makes those tests of a bin a unit that share a file or a costly
// set-up which not all bins need: position → number of the unit, from 1, the
// longest first. Tests that share nothing get 0: whoever is free may run them.
func (b *balance) companies() []int32 {
	parent := make([]int32, b.blocks)
	for k := range parent {
		parent[k] = int32(k)
	}
	draws := b.draws()
	for k := range b.bins {
		first := map[int32]int32{} // set-up, or file from -1 down, → a block
		meet := func(key, block int32) {
			if other, ok := first[key]; ok {
				union(parent, other, block)
			} else {
				first[key] = block
			}
		}
		for i := range b.bins[k].parts {
			p := &b.bins[k].parts[i]
			for _, block := range b.blocksOf(p) {
				if b.in[p.item] < len(b.bins) {
					meet(-1-p.item, block)
				}
				b.eachSetup(block, block+1, func(s int32) {
					if draws[s] {
						meet(s, block)
					}
				})
			}
		}
	}
	return b.number(parent)
}

// draws marks the set-ups that keep tests together: they cost more than coarse
// of the longest bin, and some bin does without.
func (b *balance) draws() []bool {
	in := make([]int, len(b.setup))
	for k := range b.bins {
		b.epoch++
		for i := range b.bins[k].parts {
			for _, block := range b.blocksOf(&b.bins[k].parts[i]) {
				b.addSetups(block, block+1, func(s int32) { in[s]++ })
			}
		}
	}
	draws := make([]bool, len(b.setup))
	for s, n := range in {
		draws[s] = 0 < n && n < len(b.bins) && b.setup[s] > b.longest()/1000*coarse
	}
	return draws
}

// number numbers sets of blocks, the longest first. A block on its own whose
// item is in several bins gets 0.
func (b *balance) number(parent []int32) []int32 {
	members := map[int32][]int32{}
	for k := range b.blocks {
		r := find(parent, k)
		members[r] = append(members[r], k)
	}
	type company struct {
		load int64
		root int32
	}
	var order []company
	for k := range b.blocks {
		if list := members[k]; len(list) > 1 || len(list) == 1 && b.in[b.itemOf(k)] == 1 {
			order = append(order, company{b.loadOf(list), k})
		}
	}
	slices.SortFunc(order, func(x, y company) int {
		return cmp.Or(cmp.Compare(y.load, x.load), cmp.Compare(x.root, y.root))
	})
	units := make([]int32, len(b.root))
	for n, c := range order {
		for _, k := range members[c.root] {
			for _, p := range b.tests[b.start[k]:b.start[k+1]] {
				units[p] = int32(n + 1)
			}
		}
	}
	return units
}

// loadOf returns what one worker takes for some blocks.
func (b *balance) loadOf(blocks []int32) int64 {
	sum := int64(0)
	b.epoch++
	for _, k := range blocks {
		sum += b.cost[k]
		b.addSetups(k, k+1, func(s int32) { sum += b.setup[s] })
	}
	return sum
}

// bundle returns the pieces with the given units of their tests. Everything
// keeps definition order, so that what is set up for a package or a class is
// not left and set up again; only blocks of no unit are sorted, slow ones first.
func (r *simulator) bundle(whole []draftPiece, tests, units []int32) []draftPiece {
	block := map[int32]int64{} // by root
	for _, p := range tests {
		block[r.root[p]] += r.cost[p]
	}
	out := slices.Clone(whole)
	slices.SortFunc(out, func(x, y draftPiece) int { return cmp.Compare(x.file, y.file) })
	unit := func(p int32) int32 {
		i, _ := slices.BinarySearch(tests, p)
		return units[i]
	}
	for i := range out {
		x := &out[i]
		x.tests = slices.Clone(x.tests)
		slices.SortFunc(x.tests, func(p, q int32) int {
			a, b := unit(p), unit(q)
			if a == 0 && b == 0 {
				v, w := r.root[p], r.root[q]
				return cmp.Or(cmp.Compare(block[w], block[v]), cmp.Compare(v, w), cmp.Compare(p, q))
			}
			if a == 0 || b == 0 {
				return cmp.Compare(b, a)
			}
			return cmp.Compare(p, q)
		})
		x.units = make([]int32, len(x.tests))
		for k, p := range x.tests {
			x.units[k] = unit(p)
			x.cut = x.cut || x.units[k] != x.units[0] || x.units[k] == 0
		}
	}
	return out
}

// unitRuns writes the numbers of tests as runs; nil where all are 0.
func unitRuns(units []int32) []UnitRun {
	var runs []UnitRun
	some := false
	for i, u := range units {
		some = some || u > 0
		if i > 0 && u == units[i-1] {
			runs[len(runs)-1].Tests++
		} else {
			runs = append(runs, UnitRun{Unit: int(u), Tests: 1})
		}
	}
	if !some {
		return nil
	}
	return runs
}
