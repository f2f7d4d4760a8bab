package shard

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wcshard/wcshard/timing"
)

// ErrNoTests means that a suite has no tests, so that there is nothing to plan.
var ErrNoTests = errors.New("no tests")

// TooManyRowsError means that a plan would have more jobs than a matrix may.
type TooManyRowsError struct {
	Rows   int // jobs the plan would have
	Memory int // how many of them are memory shards
}

func (e *TooManyRowsError) Error() string {
	return fmt.Sprintf("%d jobs, %d of them for memory tests: a matrix has at most %d", e.Rows, e.Memory, MaxRows)
}

// Pack divides a suite over the jobs of a fleet.
//
// The memory tests of one file get a memory shard of their own, or several with
// MemoryJobs. With MaxMemoryJobs several of those are put together until there
// are no more than that. Those of tests that only may need so much memory are put
// together until there are no more than pool shards. All other tests go to Shards
// pool shards, or to as many as there are tests that can be parted.
//
// A file's tests stay together. A file is cut only where the longest shard would be
// longer otherwise, and fewer files than there are pool shards are, but where the set-ups
// are known and more cuts pay. What several shards set up is gathered into fewer of them
// where all shards together gain more than the longest one loses, at most pays
// thousandths. A file of which nothing is known, beside others of which most is, is dealt
// over the shards as far as what it sets up allows. Jobs below the longest are made even
// where that costs little, up to 100,000 blocks; where the set-ups are known, files are
// cut for that, too, while fewer are than there are pool shards.
// Tests of one group stay in one shard, over files; where one of them is
// a memory test, all of them go to its memory shard. So do tests with the same
// node ID, which no shard could tell apart.
//
// Where a suite has many files, or says where its tests were before
// ([Suite.Follow]), a small change of it moves few tests to other pool shards.
//
// The plan depends on the set of tests, not on their order in the suite, and
// is the same on every machine. Pack does not change the suite. The plan's
// Collector is the caller's to fill in.
//
// Errors: ErrNoTests, *TooManyRowsError, *TooLargeError, and values out of range.
func Pack(suite Suite, fleet Fleet) (*Plan, error) {
	if len(suite.Tests) == 0 {
		return nil, ErrNoTests
	}
	fleet, err := fleet.normal()
	if err != nil {
		return nil, err
	}
	if err := check(&suite); err != nil {
		return nil, err
	}
	suite = suite.Foresee(fleet)
	q := newSequence(&suite)
	by := q.heavies(fleet)
	warning, err := q.checkSizes(fleet, by.memory)
	if err != nil {
		return nil, err
	}
	heavy := newItems(q, func(p int32) bool { return by.memory[q.root[p]] })
	light := newItems(q, func(p int32) bool { return !by.memory[q.root[p]] })
	packs := heavy.modules(fleet.MaxMemoryJobs)
	packs = heavy.joinDoubtful(packs, &by, fleet.Shards)
	if rows := len(packs) + min(fleet.Shards, int(light.blocks)); rows > MaxRows {
		return nil, &TooManyRowsError{Rows: rows, Memory: len(packs)}
	}
	p := &packing{sequence: q, fleet: fleet, by: &by, packs: packs, heavy: heavy, bound: light.poolBound(fleet)}
	p.dealt, p.light = light.fresh(fleet)
	p.divide()
	p.finish()
	if len(packs) > 0 && fleet.jobsOfModule() > 1 {
		p.packs = heavy.splitModules(packs, fleet, p.anyway(Pool), p.whole(p.chosen).pool)
		p.plan = p.assemble(p.chosen)
	}
	plan := p.plan
	if warning != "" {
		plan.Warnings = append(plan.Warnings, warning)
	}
	plan.Bound = duration(max(p.bound, heavy.memoryBound(fleet)))
	if n := len(p.chosen.pool); 0 < n && n < fleet.Shards {
		plan.Warnings = append(plan.Warnings, fmt.Sprintf("pool shards: %d instead of %d, as there are no more tests to divide", n, fleet.Shards))
	}
	return plan, nil
}

// A packing is a plan in the making.
type packing struct {
	*sequence
	fleet  Fleet
	by     *heavies
	packs  [][]int32 // tests of the memory shards
	heavy  *items    // what the memory shards have
	light  *items    // what the pool has, but for new files
	dealt  *items    // those, whose tests are dealt over its jobs; nil where there are none
	bound  int64     // of the pool
	plan   *Plan     // the best one so far
	chosen division  // of its pool
}

func (p *packing) assemble(d division) *Plan {
	return p.sequence.assemble(p.fleet, p.by, p.packs, p.whole(d))
}

// whole returns a division with the new files dealt over its jobs.
func (p *packing) whole(d division) division {
	if p.dealt != nil {
		d.pool = p.dealt.spread(d.pool)
	}
	return d
}

// anyway returns how long a job of the other kind may be that is done as soon as the
// longest one of a kind; 0 where there is none of that. Memory modules that may have
// several jobs count with the least that these may come to.
func (p *packing) anyway(kind Kind) int64 {
	longest := micros(p.plan.longest(kind))
	if kind == Memory && p.fleet.jobsOfModule() > 1 {
		longest = p.heavy.memoryBound(p.fleet)
	}
	if longest == 0 {
		return 0
	}
	took := map[Kind]time.Duration{Pool: p.suite.Overhead.Pool.Took, Memory: p.suite.Overhead.Memory.Took}
	other := map[Kind]Kind{Pool: Memory, Memory: Pool}[kind]
	return max(0, longest+micros(took[kind]-took[other]))
}

// divide looks for the division of the pool whose longest job is shortest: by load,
// and where that is not near the bound, in other ways as well.
func (p *packing) divide() {
	light, n, workers := p.light, p.fleet.Shards, p.fleet.Workers
	p.chosen = light.byLoad(n, true)
	p.plan = p.assemble(p.chosen)
	small := light.blocks <= manyBlocks
	if before := light.bins(); workers > 1 && 0 < before && before <= n && small && p.far() {
		p.try(light.byLoad(n, false)) // loads alone do not tell how long jobs of several workers take
	}
	if workers > 1 && small && p.far() {
		p.try(light.byWorker(n, workers))
	}
	if carved := light.carve(n); carved != nil {
		p.try(carved.byLoad(n, true))
		if workers > 1 && p.far() {
			p.try(carved.byWorker(n, workers))
		}
	}
	has := light.has()
	for _, weighed := range []*sequence{p.byMemory(p.fleet, has), p.byImports(p.fleet)} {
		if weighed != nil && small && p.far() {
			p.try(newItems(weighed, has).byLoad(n, true))
		}
	}
}

// far reports whether the longest job of the pool is further than coarse from what
// no plan can beat.
func (p *packing) far() bool { return above(p.plan.longest(Pool), p.bound, coarse) }

// try takes another division of the pool if that is better.
func (p *packing) try(d division) {
	many := count(p.cutFiles(d.pool)) >= len(p.chosen.pool)
	if many && len(p.setup) == 0 {
		return
	}
	if trial := p.assemble(d); trial.beats(p.plan, many) {
		p.plan, p.chosen = trial, d
	}
}

// finish looks at what the longest job does not show: what all jobs take together,
// and how far the others are from it.
func (p *packing) finish() {
	anyway := p.anyway(Memory)
	if gathered, ok := p.light.gathered(p.chosen, anyway-micros(p.suite.BaseOf(p.fleet.Workers))); ok {
		if trial := p.assemble(gathered); trial.saves(p.plan, duration(anyway)) {
			p.plan, p.chosen = trial, gathered
		}
	}
	if p.light.blocks > manyBlocks {
		return // to price one more division of so many tests takes half a second
	}
	if levelled, ok := p.light.levelled(p.chosen); ok {
		if trial := p.assemble(levelled); trial.evener(p.plan) && trial.costsLittle(p.plan) {
			p.plan, p.chosen = trial, levelled
		}
	}
}

// beats reports whether a plan is enough better than another one in its pool:
// its longest job shorter, or as long and all jobs together shorter. Many cuts,
// as many as there are shards, must bring more, and set-ups be known whose price
// says what they cost.
func (p *Plan) beats(other *Plan, many bool) bool {
	least := int64(coarse)
	if many {
		least = pays
	}
	mine, others := micros(p.longest(Pool)), micros(other.longest(Pool))
	if others-mine > mine/1000*least {
		return true
	}
	return mine-others <= others/1000*fine && above(other.sum(Pool), micros(p.sum(Pool)), least)
}

// saves reports whether a plan's pool takes less in all than another one's, by more
// than if all of its jobs were as much longer as the longest one is, and that is no
// more than pays. What other jobs take anyway makes none longer.
func (p *Plan) saves(other *Plan, anyway time.Duration) bool {
	jobs := 0
	for i := range p.Shards {
		if p.Shards[i].Kind == Pool {
			jobs++
		}
	}
	longest := max(other.longest(Pool), anyway)
	longer := max(0, p.longest(Pool)-longest)
	return longer <= longest/1000*pays && other.sum(Pool)-p.sum(Pool) > longer*time.Duration(jobs)
}

// sum returns the wall time of all shards of one kind.
func (p *Plan) sum(kind Kind) time.Duration {
	sum := time.Duration(0)
	for i := range p.Shards {
		if p.Shards[i].Kind == kind {
			sum += p.Shards[i].Wall
		}
	}
	return sum
}

// above reports whether d is more than so many thousandths above so many
// microseconds.
func above(d time.Duration, us, thousandths int64) bool {
	return micros(d)-us > us/1000*thousandths
}

// longest returns the longest wall time of the shards of one kind.
func (p *Plan) longest(kind Kind) time.Duration {
	top := time.Duration(0)
	for i := range p.Shards {
		if p.Shards[i].Kind == kind {
			top = max(top, p.Shards[i].Wall)
		}
	}
	return top
}

func count(marks []bool) int {
	n := 0
	for _, m := range marks {
		if m {
			n++
		}
	}
	return n
}

// normal fills in what a fleet leaves out.
func (f Fleet) normal() (Fleet, error) {
	switch {
	case f.Shards < 1:
		return f, fmt.Errorf("shards is %d, want at least 1", f.Shards)
	case f.Workers < 0 || f.Workers > maxWorkers:
		return f, fmt.Errorf("workers is %d, want 0 to %d", f.Workers, maxWorkers)
	case f.MemoryWorkers < 0 || f.MemoryWorkers > maxWorkers:
		return f, fmt.Errorf("memory workers is %d, want 0 to %d", f.MemoryWorkers, maxWorkers)
	case f.CPUs < 0 || f.CPUs > maxWorkers:
		return f, fmt.Errorf("CPUs is %d, want 0 to %d", f.CPUs, maxWorkers)
	case f.MaxMemoryJobs < 0:
		return f, fmt.Errorf("memory jobs is %d, want at least 0", f.MaxMemoryJobs)
	case f.MemoryJobs < AutoMemoryJobs || f.MemoryJobs > MaxRows:
		return f, fmt.Errorf("jobs of a memory module are %d, want %d to %d", f.MemoryJobs, AutoMemoryJobs, MaxRows)
	case f.Memory < 0:
		return f, fmt.Errorf("a runner's memory is %d, want at least 0", f.Memory)
	}
	if err := f.inRange(); err != nil {
		return f, err
	}
	f.CPUs = max(f.CPUs, 1)
	if f.Workers == 0 {
		f.Workers = f.CPUs
	}
	return f, nil
}

// modules returns the positions of each memory shard's tests: file by file,
// or files that a group binds together, joined until there are at most limit. A limit
// of 0 is none.
func (it *items) modules(limit int) [][]int32 {
	parent := make([]int32, len(it.files))
	for f := range parent {
		parent[f] = int32(f)
	}
	for _, p := range it.tests {
		union(parent, it.file[p], it.file[it.root[p]])
	}
	byFile := map[int32][]int32{}
	var packs [][]int32
	var order []int32
	for _, p := range slices.Sorted(slices.Values(it.tests)) {
		f := find(parent, it.file[p])
		if byFile[f] == nil {
			order = append(order, f)
		}
		byFile[f] = append(byFile[f], p)
	}
	for _, f := range order {
		packs = append(packs, byFile[f])
	}
	if limit > 0 {
		packs = it.join(packs, limit)
	}
	return packs
}

// join joins packs until there are at most limit: the heaviest first, each goes to
// whoever has least (LPT: Graham, Bounds on multiprocessing timing anomalies, 1969).
func (it *items) join(packs [][]int32, limit int) [][]int32 {
	if len(packs) <= limit {
		return packs
	}
	type loaded struct {
		tests []int32
		load  int64
	}
	var all []loaded
	for _, tests := range packs {
		all = append(all, loaded{tests, it.load(tests)})
	}
	slices.SortFunc(all, func(a, b loaded) int {
		return cmp.Or(cmp.Compare(b.load, a.load), cmp.Compare(a.tests[0], b.tests[0]))
	})
	joined := all[:limit]
	for _, x := range all[limit:] {
		to := &joined[0]
		for k := range joined {
			if joined[k].load < to.load {
				to = &joined[k]
			}
		}
		to.tests, to.load = append(slices.Clip(to.tests), x.tests...), to.load+x.load
	}
	packs = nil
	for _, x := range joined {
		slices.Sort(x.tests)
		packs = append(packs, x.tests)
	}
	return packs
}

// joinDoubtful joins the memory shards of tests that only may need so much,
// until there are no more of them than there are pool shards: after a heavy
// test all others on its worker look heavy, until they have run elsewhere.
func (it *items) joinDoubtful(packs [][]int32, by *heavies, limit int) [][]int32 {
	var sure, doubtful [][]int32
	for _, tests := range packs {
		if slices.ContainsFunc(tests, func(p int32) bool { return by.certain[it.root[p]] }) {
			sure = append(sure, tests)
		} else {
			doubtful = append(doubtful, tests)
		}
	}
	return append(sure, it.join(doubtful, limit)...)
}

// assemble makes the plan's shards of positions.
func (q *sequence) assemble(fleet Fleet, by *heavies, packs [][]int32, pool division) *Plan {
	plan := &Plan{Fleet: fleet}
	type draft struct {
		shard  Shard
		first  int32
		spare  int
		number int // of a pool shard; 0: by its place
	}
	var drafts []draft
	r := newSimulator(q)
	plan.Setups, r.mentioned = mentioned(q.suite)
	names := q.memoryNames(packs)
	cut := q.cutFiles(pool.pool)
	add := func(kind Kind, name string, workers int, tests []int32) *Shard {
		s, spare := r.shard(tests, workers, cut, fleet.budget(kind))
		s.Timeout = timeout(s.Wall, q.suite.Overhead.Of(kind).Took, s.Basis)
		s.Name, s.Kind, s.Runner = name, kind, fleet.runner(kind)
		drafts = append(drafts, draft{s, tests[0], spare, 0})
		return &drafts[len(drafts)-1].shard
	}
	for k, tests := range packs {
		add(Memory, names[k], q.memoryWorkers(fleet, tests), tests).Why = by.why(tests)
	}
	for k, tests := range pool.pool {
		add(Pool, "", fleet.Workers, tests)
		if pool.numbers != nil {
			drafts[len(drafts)-1].number = pool.numbers[k]
		}
	}
	slices.SortFunc(drafts, func(x, y draft) int {
		return cmp.Or(cmp.Compare(y.shard.Wall, x.shard.Wall), cmp.Compare(x.shard.Kind, y.shard.Kind), cmp.Compare(x.first, y.first))
	})
	n := 0
	var short []string
	for i := range drafts {
		s := &drafts[i].shard
		if s.Kind == Pool {
			n++
			s.Name = "pool-" + strconv.Itoa(cmp.Or(drafts[i].number, n))
		}
		if spare := drafts[i].spare; spare > 0 {
			short = append(short, fmt.Sprintf("%s %d of %d", s.Name, s.Workers, s.Workers+spare))
		}
		plan.Shards = append(plan.Shards, *s)
	}
	if len(short) > 0 {
		plan.Warnings = append(plan.Warnings, "memory has room for fewer workers than there are cores: "+listed(short))
	}
	plan.Makespan = plan.Shards[0].Wall
	return plan
}

// listed joins the first few of some names.
func listed(names []string) string {
	const most = 5
	if more := len(names) - most; more > 0 {
		names = append(slices.Clone(names[:most]), fmt.Sprintf("and %d more", more))
	}
	return strings.Join(names, ", ")
}

// memoryWorkers returns the most workers that a memory shard may have. Of
// tests of unknown need, one at a time runs.
func (q *sequence) memoryWorkers(fleet Fleet, tests []int32) int {
	if fleet.MemoryWorkers > 0 {
		return fleet.MemoryWorkers
	}
	if fleet.budget(Memory) == 0 || slices.ContainsFunc(tests, func(p int32) bool { return q.test(p).Estimate.Need.High == 0 }) {
		return 1
	}
	return fleet.CPUs
}

// cutFiles marks the files with tests in several shards of the pool. The
// memory tests of a file are elsewhere by rule, which cuts nothing; nor do
// groups over files, as workers keep those together whatever is cut.
func (q *sequence) cutFiles(pool [][]int32) []bool {
	cut := make([]bool, len(q.files))
	in := make([]int, len(q.files)) // the last shard that had some, from 1
	spans := q.spanning()
	for k, tests := range pool {
		last := int32(-1)
		for _, p := range tests {
			f := q.file[p]
			if f == last || spans[q.root[p]] {
				continue
			}
			last = f
			if in[f] != 0 {
				cut[f] = true
			}
			in[f] = k + 1
		}
	}
	return cut
}

// count adds a test to the basis.
func (b *Basis) count(r timing.Rung) {
	switch r {
	case timing.Measured:
		b.Measured++
	case timing.Guess:
		b.Guessed++
	default:
		b.Relatives++
	}
}
