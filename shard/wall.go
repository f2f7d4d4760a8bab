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

// A simulator foresees how a shard runs. Its sequence has no imports among the
// set-ups: each worker pays all of its job's before the first test, whichever
// tests it will run.
type simulator struct {
	*sequence
	imports []int64 // by set-up
	spans   []bool
	seen    []uint32 // by worker and set-up: the last run that had it there
	epoch   uint32   // of this run
	stamp   uint32   // the last number given to a run or a visit

	mentioned []int // by set-up: its index in the plan, or -1; nil where jobs are only priced

	inFile []int64  // by set-up: its cost where it is of a module or a class, and gone when a worker leaves the file; else 0
	at     []int32  // by worker: the file that it is in, from 1
	visit  []uint32 // by worker: its stay in that

	family   []int32 // by set-up, from 1: of its instances a worker has one at a time; 0 is none
	families int
	holds    []int32 // by worker and family: the set-up that it has, if it has seen that

	work     int // looks at workers and units that schedules within memory may still take
	unitWork int // and what may still go into dividing jobs over their workers
}

// A crew is the workers of a job.
type crew struct {
	workers int
	paid    int64 // what each takes before its first test: the base and its imports
	limit   int64 // what their tests may need together, over their floors
}

const (
	unlimited = math.MaxInt64 // limit of a crew whose tests may all meet
	never     = math.MaxInt64 // when a job is done whose tests do not fit
)

// An outlook is how a job runs, as foreseen.
type outlook struct {
	wall int64 // until the last worker is done, from when they have imported everything, or never
	last int   // piece that ends last, or -1
	peak int64 // the most that the tests need together, where they have a limit
}

func newSimulator(q *sequence) *simulator {
	own := *q
	own.setup = slices.Clone(q.setup)
	imports := make([]int64, len(q.setup))
	for s := range imports {
		if q.suite.Setups[s].Import {
			imports[s], own.setup[s] = q.setup[s], 0
		}
	}
	r := &simulator{sequence: &own, imports: imports, spans: q.spanning(), work: scheduleEffort, unitWork: unitEffort}
	r.family, r.families = families(q.suite)
	r.inFile = make([]int64, len(r.setup))
	for s := range r.inFile {
		if q.suite.Setups[s].ID.OfFile() {
			r.inFile[s] = r.setup[s]
		}
	}
	return r
}

// A draftPiece is a piece in the making.
type draftPiece struct {
	file  int32
	cut   bool
	tests []int32
	units []int32 // of each test: tests with the same number stay on one worker, over pieces too; 0 is none; nil where no test has one
	load  int64   // on one worker
	top   int64   // the longest part that stays on one worker
}

// shard orders the tests of one job, foresees its wall time, and drops the
// workers that would have nothing to do. It also says how many it goes without for
// the sake of memory.
func (r *simulator) shard(tests []int32, workers int, cut []bool, budget int64) (s Shard, spare int) {
	staffed := r.staff(r.draftPieces(tests, cut), workers, job{
		room:  room{budget: budget, floor: r.suite.Floor, controller: r.suite.Controller},
		tests: tests, loaded: r.once(r.imports, tests),
	})
	s = Shard{Workers: staffed.workers, Wall: duration(staffed.wall), Floor: r.suite.Floor, Budget: budget}
	for _, p := range tests {
		s.Basis.count(r.test(p).Estimate.Rung)
	}
	s.Peak = r.expect(tests, staffed.workers, staffed.peak)
	for _, x := range staffed.pieces {
		piece := Piece{File: r.files[x.file], Cut: x.cut, Tests: make([]string, len(x.tests))}
		for i, p := range x.tests {
			piece.Tests[i] = r.test(p).ID.Rest()
		}
		piece.Units = unitRuns(x.units)
		piece.Setups = r.setupRuns(x.tests)
		piece.Needs = r.needs(x.tests)
		s.Pieces = append(s.Pieces, piece)
	}
	return s, staffed.spare
}

// setupRuns says which of the plan's set-ups tests need; nil where there is no plan.
func (r *simulator) setupRuns(tests []int32) []SetupRun {
	if r.mentioned == nil {
		return nil
	}
	var runs []SetupRun
	some := false
	var last []int // of the suite, which tests share
	for i, p := range tests {
		needs := r.test(p).Setups
		if i > 0 && len(needs) == len(last) && (len(needs) == 0 || &needs[0] == &last[0]) {
			runs[len(runs)-1].Tests++
			continue
		}
		last = needs
		var list []int
		for _, s := range needs {
			if n := r.mentioned[s]; n >= 0 {
				list = append(list, n)
			}
		}
		slices.Sort(list)
		some = some || len(list) > 0
		if n := len(runs); n > 0 && slices.Equal(runs[n-1].Setups, list) {
			runs[n-1].Tests++
		} else {
			runs = append(runs, SetupRun{1, list})
		}
	}
	if !some {
		return nil
	}
	return runs
}

// draftPieces divides positions, ascending, by file.
func (r *simulator) draftPieces(tests []int32, cut []bool) []draftPiece {
	var out []draftPiece
	for len(tests) > 0 {
		f := r.file[tests[0]]
		n := 1
		for n < len(tests) && r.file[tests[n]] == f {
			n++
		}
		out = append(out, draftPiece{file: f, cut: cut[f], tests: slices.Clone(tests[:n]), load: r.load(tests[:n])})
		tests = tests[n:]
	}
	return out
}

// unit names what stays on one worker with test k of a piece: what the plan has
// put together, or its whole piece, or, in a cut one and across files, its block.
func (r *simulator) unit(x *draftPiece, k int) int32 {
	if x.units != nil && x.units[k] > 0 {
		return math.MinInt32 + x.units[k]
	}
	if p := x.tests[k]; x.cut || r.spans[r.root[p]] {
		return r.root[p]
	}
	return -1 - x.file
}

// countUnits counts what different workers can do, up to a limit.
func (r *simulator) countUnits(pieces []draftPiece, limit int) int {
	seen := map[int32]bool{}
	for i := range pieces {
		x := &pieces[i]
		for k := range x.tests {
			if seen[r.unit(x, k)] = true; len(seen) == limit {
				return limit
			}
		}
	}
	return len(seen)
}

// forget begins a run of so many workers that have no set-up yet.
func (r *simulator) forget(workers int) {
	if n := workers * len(r.setup); len(r.seen) < n {
		r.seen = make([]uint32, n)
	}
	if len(r.at) < workers {
		r.at, r.visit = make([]int32, workers), make([]uint32, workers)
	}
	clear(r.at)
	if n := workers * r.families; len(r.holds) < n {
		r.holds = make([]int32, n)
	}
	r.stamp++
	r.epoch = r.stamp
}

// alone returns the time of a test on a worker, with the set-ups that it does
// not have yet.
func (r *simulator) alone(worker int, p int32) int64 {
	sum := r.cost[p]
	if f := r.file[p] + 1; f != r.at[worker] {
		r.stamp++
		r.at[worker], r.visit[worker] = f, r.stamp
	}
	for _, s := range r.test(p).Setups {
		since := r.epoch
		if r.inFile[s] > 0 {
			since = r.visit[worker]
		}
		at := &r.seen[worker*len(r.setup)+s]
		if f := r.family[s]; f > 0 {
			if held := &r.holds[worker*r.families+int(f)-1]; *held != int32(s) {
				*held, *at = int32(s), 0
			}
		}
		if *at != since {
			*at = since
			sum += r.setup[s]
		}
	}
	return sum
}

// run foresees the pieces in this order: each unit in turn goes to the worker that
// is free first.
func (r *simulator) run(pieces []draftPiece, c crew) outlook {
	if c.limit != unlimited {
		return r.within(pieces, c)
	}
	return r.plain(pieces, c.workers)
}

// A span is tests of one piece that a worker runs one after another.
type span struct{ piece, lo, hi int32 }

// lineUp lists the units in the order in which workers take them: numbered ones
// first, then the others as they come. Most units are one span; more has the
// other spans of those that are not.
func (r *simulator) lineUp(pieces []draftPiece) (units []span, more map[int][]span) {
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
func (r *simulator) plain(pieces []draftPiece, workers int) outlook {
	r.forget(workers)
	units, more := r.lineUp(pieces)
	ends := make([]int64, workers) // when all that a worker has is done
	asks := make([]int64, workers) // when it comes to the last of that
	next := 0
	out := outlook{last: -1}
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
			if ends[w] > out.wall {
				out.wall, out.last = ends[w], int(s.piece)
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
	return out
}

// needy reports whether the plan mentions the memory of any test.
func (r *simulator) needy(pieces []draftPiece) bool {
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
	for needs := range q.setupLists(tests) {
		for _, s := range needs {
			if !seen[s] {
				seen[s] = true
				sum += costs[s]
			}
		}
	}
	return sum
}
