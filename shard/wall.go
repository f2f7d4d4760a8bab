package shard

import (
	"cmp"
	"math"
	"slices"
)

// maxWorkers bounds the workers of a job, in a fleet and in a plan file.
const maxWorkers = 4096

// scheduleEffort bounds what all schedules within memory of one plan take:
// beyond it they are estimated. A budget of work, not of time, makes the same
// plan on every machine.
const scheduleEffort = 20_000_000

// A runner foresees how a shard runs. Its sequence has no imports among the
// set-ups: each worker pays all of its job's before the first test, whichever
// tests it will run.
type runner struct {
	*sequence
	imports []int64 // by set-up
	loaded  int64   // what a worker of the job takes for imports
	paid    int64   // what it takes before its first test: that, and the base
	spans   []bool
	seen    []uint32 // by worker and set-up: the last run that had it there
	epoch   uint32

	work     int   // looks at lanes and units that schedules within memory may still take
	laneWork int   // and what may still go into dividing jobs over their workers
	spare    int   // workers that the last job staffed goes without for the sake of memory
	limited  bool  // the tests of the job cannot all meet
	limit    int64 // what they may need together, over the floors of their workers
	peak     int64 // what the last run within the limit came to
}

func newRunner(q *sequence) *runner {
	own := *q
	own.setup = slices.Clone(q.setup)
	imports := make([]int64, len(q.setup))
	for s := range imports {
		if q.suite.Setups[s].Import {
			imports[s], own.setup[s] = q.setup[s], 0
		}
	}
	return &runner{sequence: &own, imports: imports, spans: q.spanning(), work: scheduleEffort, laneWork: laneEffort}
}

// A stretch is a piece in the making.
type stretch struct {
	file  int32
	cut   bool
	tests []int32
	units []int32 // of each test: tests with the same number stay on one worker, over pieces too; 0 is none; nil where no test has one
	load  int64   // on one worker
	top   int64   // the longest part that stays on one worker
}

// shard orders the tests of one job, foresees its wall time, and drops the
// workers that would have nothing to do.
func (r *runner) shard(tests []int32, workers int, cut []bool, budget int64) Shard {
	r.loaded = r.once(r.imports, tests)
	pieces := r.stretches(tests, cut)
	workers, wall, use := r.staff(pieces, tests, workers, budget)
	s := Shard{Workers: workers, Wall: duration(wall), Floor: r.suite.Floor, Budget: budget}
	for _, p := range tests {
		s.Basis.count(r.test(p).Estimate.Rung)
	}
	s.Peak = r.expect(tests, workers, use)
	for _, x := range pieces {
		piece := Piece{File: r.files[x.file], Cut: x.cut, Tests: make([]string, len(x.tests))}
		for i, p := range x.tests {
			piece.Tests[i] = r.test(p).ID.Rest()
		}
		piece.Units = unitRuns(x.units)
		piece.Needs = r.needs(x.tests)
		s.Pieces = append(s.Pieces, piece)
	}
	s.Timeout = timeout(s.Wall, r.suite.Overhead, s.Basis)
	return s
}

// stretches divides positions, ascending, by file.
func (r *runner) stretches(tests []int32, cut []bool) []stretch {
	var out []stretch
	for len(tests) > 0 {
		f := r.file[tests[0]]
		n := 1
		for n < len(tests) && r.file[tests[n]] == f {
			n++
		}
		out = append(out, stretch{file: f, cut: cut[f], tests: slices.Clone(tests[:n]), load: r.load(tests[:n])})
		tests = tests[n:]
	}
	return out
}

// unit names what stays on one worker with test k of a piece: what the plan has
// put together, or its whole piece, or, in a cut one and across files, its block.
func (r *runner) unit(x *stretch, k int) int32 {
	if x.units != nil && x.units[k] > 0 {
		return math.MinInt32 + x.units[k]
	}
	if p := x.tests[k]; x.cut || r.spans[r.root[p]] {
		return r.root[p]
	}
	return -1 - x.file
}

// units counts what different workers can do, up to a limit; with loose, as if
// all pieces were cut.
func (r *runner) units(pieces []stretch, loose bool, limit int) int {
	seen := map[int32]bool{}
	for i := range pieces {
		x := &pieces[i]
		for k, p := range x.tests {
			if loose {
				seen[r.root[p]] = true
			} else {
				seen[r.unit(x, k)] = true
			}
			if len(seen) == limit {
				return limit
			}
		}
	}
	return len(seen)
}

// settle orders the pieces for so many workers, cuts those that are too long
// for one of them, and returns the time until the last worker is done.
//
// One worker keeps definition order. Several take the slowest first, so that
// no long test starts last: a whole piece counts by its load, a cut one by its
// longest test. A piece is cut for what is more than coarse of the time, as it
// may cost imports and fixtures that are not known.
func (r *runner) settle(pieces []stretch, workers int) int64 {
	if workers <= 1 {
		slices.SortFunc(pieces, func(x, y stretch) int { return cmp.Compare(x.file, y.file) })
		var all []int32
		for i := range pieces {
			slices.Sort(pieces[i].tests)
			all = append(all, pieces[i].tests...)
		}
		return r.load(all)
	}
	for i := range pieces {
		pieces[i].units = nil
		r.order(&pieces[i])
	}
	whole := slices.Clone(pieces)
	sortPieces(pieces)
	best, last := r.run(pieces, workers)
	// Each step spreads the piece that ends last. Several may be as long as each
	// other, so that only the last of these steps helps: as many as there are
	// workers may not.
	trial := pieces
	for idle := 0; idle < workers && last >= 0 && !trial[last].cut && len(trial[last].tests) > 1; idle++ {
		trial = slices.Clone(trial)
		trial[last].cut = true
		trial[last].tests = slices.Clone(trial[last].tests)
		r.order(&trial[last])
		sortPieces(trial)
		var wall int64
		wall, last = r.run(trial, workers)
		if best-wall > best/1000*coarse {
			copy(pieces, trial)
			best, idle = wall, -1
		}
	}
	if r.limited {
		return best
	}
	bundled, wall := r.divideLanes(whole, workers, best)
	if bundled != nil {
		copy(pieces, bundled)
	}
	return wall
}

func sortPieces(pieces []stretch) {
	slices.SortFunc(pieces, func(x, y stretch) int {
		return cmp.Or(cmp.Compare(y.top, x.top), cmp.Compare(x.file, y.file))
	})
}

// order sorts the tests of a piece for several workers and sets its top.
//
// The tests of a whole piece keep definition order, as they all run on one
// worker. Those of a cut piece run slowest first, bound ones together; tests
// that share a set-up which costs more than their longest test stay next to
// each other, since a worker that leaves it for a moment pays for it again.
func (r *runner) order(x *stretch) {
	slices.Sort(x.tests)
	x.top = x.load
	if !x.cut {
		return
	}
	type rank struct {
		cluster  int64 // longest block of the tests with the same costly set-up
		leader   int32 // first test of those
		block    int64
		root     int32
		position int32
	}
	block := map[int32]int64{}
	for _, p := range x.tests {
		block[r.root[p]] += r.cost[p]
	}
	costly := r.costly(x.tests)
	lead := map[int]rank{}
	ranks := make([]rank, len(x.tests))
	for i, p := range x.tests {
		root := r.root[p]
		ranks[i] = rank{cluster: block[root], leader: root, block: block[root], root: root, position: p}
		if s := costly[i]; s >= 0 {
			l, ok := lead[s]
			if !ok {
				l = ranks[i]
			}
			l.cluster = max(l.cluster, block[root])
			lead[s] = l
		}
	}
	x.top = 0
	for i := range ranks {
		if s := costly[i]; s >= 0 {
			ranks[i].cluster, ranks[i].leader = lead[s].cluster, lead[s].leader
		}
		x.top = max(x.top, ranks[i].block)
	}
	slices.SortFunc(ranks, func(a, b rank) int {
		return cmp.Or(
			cmp.Compare(b.cluster, a.cluster), cmp.Compare(a.leader, b.leader),
			cmp.Compare(b.block, a.block), cmp.Compare(a.root, b.root),
			cmp.Compare(a.position, b.position))
	})
	for i := range ranks {
		x.tests[i] = ranks[i].position
	}
}

// costly returns for each test the dearest of the set-ups that some but not
// all of the tests need and that costs more than the longest of those, or -1. Of
// tests that stay together it is the dearest of all of them.
func (r *runner) costly(tests []int32) []int {
	need, longest := map[int]int{}, map[int]int64{}
	for _, p := range tests {
		for _, s := range r.test(p).Setups {
			need[s]++
			longest[s] = max(longest[s], r.cost[p])
		}
	}
	out := make([]int, len(tests))
	for i, p := range tests {
		out[i] = -1
		for _, s := range r.test(p).Setups {
			if need[s] < 2 || need[s] == len(tests) || r.setup[s] <= longest[s] {
				continue
			}
			if o := out[i]; o < 0 || r.dearer(int32(s), int32(o)) {
				out[i] = s
			}
		}
	}
	byRoot := map[int32]int{}
	for i, p := range tests {
		if s, o := out[i], byRoot[r.root[p]]-1; s >= 0 && (o < 0 || r.dearer(int32(s), int32(o))) {
			byRoot[r.root[p]] = s + 1
		}
	}
	for i, p := range tests {
		out[i] = byRoot[r.root[p]] - 1
	}
	return out
}

// forget begins a run of so many workers that have no set-up yet.
func (r *runner) forget(workers int) {
	if n := workers * len(r.setup); len(r.seen) < n {
		r.seen = make([]uint32, n)
		r.epoch = 0
	}
	r.epoch++
}

// alone returns the time of a test on a worker, with the set-ups that it does
// not have yet.
func (r *runner) alone(worker int, p int32) int64 {
	sum := r.cost[p]
	for _, s := range r.test(p).Setups {
		if at := &r.seen[worker*len(r.setup)+s]; *at != r.epoch {
			*at = r.epoch
			sum += r.setup[s]
		}
	}
	return sum
}

// run gives each unit in turn to the worker that is free first, and returns
// when the last one ends and which piece that is of.
func (r *runner) run(pieces []stretch, workers int) (wall int64, last int) {
	if r.limited {
		return r.within(pieces, workers, r.limit)
	}
	return r.plain(pieces, workers)
}

// A span is tests of one piece that a worker runs one after another.
type span struct{ piece, lo, hi int32 }

// lineUp lists the units in the order in which workers take them: numbered ones
// first, then the others as they come. Most units are one span; more has the
// other spans of those that are not.
func (r *runner) lineUp(pieces []stretch) (units []span, more map[int][]span) {
	index := map[int32]int{} // of the units that may go on elsewhere
	more = map[int][]span{}
	var numbered []int32 // of each unit
	most := int32(0)
	for i := range pieces {
		x := &pieces[i]
		for lo := 0; lo < len(x.tests); {
			u := r.unit(x, lo)
			hi := lo + 1
			for hi < len(x.tests) && r.unit(x, hi) == u {
				hi++
			}
			s := span{int32(i), int32(lo), int32(hi)}
			lo = hi
			if k, ok := index[u]; ok {
				more[k] = append(more[k], s)
				continue
			}
			number := int32(math.MaxInt32)
			if n := x.units; n != nil && n[s.lo] > 0 {
				number = n[s.lo]
				most = max(most, number)
			}
			if number < math.MaxInt32 || u < 0 || r.spans[u] {
				index[u] = len(units)
			}
			units = append(units, s)
			numbered = append(numbered, number)
		}
	}
	if most == 0 {
		return units, more
	}
	order := make([]int, len(units))
	for k := range order {
		order[k] = k
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(numbered[a], numbered[b]) })
	sorted, others := make([]span, len(units)), map[int][]span{}
	for to, k := range order {
		sorted[to] = units[k]
		if more[k] != nil {
			others[to] = more[k]
		}
	}
	return sorted, others
}

// plain is run where memory is no matter.
//
// A worker of xdist starts its last test only when it knows the next one, or
// that there is none: so it takes its next unit when it comes to the last test
// of the one before. At first each takes one, and then those that have one test
// a second one, in reverse, where no test needs memory (see
// shard/pytest/schedule.py).
func (r *runner) plain(pieces []stretch, workers int) (wall int64, last int) {
	r.forget(workers)
	units, more := r.lineUp(pieces)
	ends := make([]int64, workers) // when all that a worker has is done
	asks := make([]int64, workers) // when it comes to the last of that
	next := 0
	last = -1
	give := func(w int) int {
		s, rest := units[next], more[next]
		next++
		n := 0
		for k := 0; ; k++ {
			for _, p := range pieces[s.piece].tests[s.lo:s.hi] {
				asks[w] = ends[w]
				ends[w] += r.alone(w, p)
				n++
			}
			if ends[w] > wall {
				wall, last = ends[w], int(s.piece)
			}
			if k == len(rest) {
				return n
			}
			s = rest[k]
		}
	}
	var single []int
	for w := 0; w < workers && next < len(units); w++ {
		if give(w) == 1 {
			single = append(single, w)
		}
	}
	if !r.needy(pieces) {
		slices.Reverse(single)
	}
	for _, w := range single {
		if next < len(units) {
			give(w)
		}
	}
	for next < len(units) {
		w := 0
		for k := range asks {
			if asks[k] <= asks[w] {
				w = k
			}
		}
		give(w)
	}
	return wall, last
}

// needy reports whether the plan mentions the memory of any test.
func (r *runner) needy(pieces []stretch) bool {
	for i := range pieces {
		for _, p := range pieces[i].tests {
			if n := r.test(p).Estimate.Need; max(n.High, n.Kept) >= MinNeed {
				return true
			}
		}
	}
	return false
}

// load returns the time that one worker takes for some tests.
func (q *sequence) load(tests []int32) int64 {
	sum := q.once(q.setup, tests)
	for _, p := range tests {
		sum += q.cost[p]
	}
	return sum
}

// once returns what all set-ups of some tests cost together.
func (q *sequence) once(costs []int64, tests []int32) int64 {
	sum := int64(0)
	seen := map[int]bool{}
	var last []int
	for _, p := range tests {
		needs := q.test(p).Setups
		if len(needs) == 0 || len(last) == len(needs) && &last[0] == &needs[0] {
			continue
		}
		last = needs
		for _, s := range needs {
			if !seen[s] {
				seen[s] = true
				sum += costs[s]
			}
		}
	}
	return sum
}
