package shard

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/wcshard/wcshard/timing"
)

// Reserve returns the memory of a runner that pytest is not to use, where
// nobody says how much that is: a sixteenth for the system, the runner's agent
// and the page cache, between 64 MiB and 2 GiB.
func Reserve(memory int64) int64 {
	return min(max(memory/16, 64<<20), 2<<30, memory/2)
}

// Budget returns what pytest may use on a runner of so much memory, all its
// processes together.
func (f Fleet) Budget(memory int64) int64 {
	return max(0, memory-cmp.Or(f.Reserve, Reserve(memory)))
}

// runnerMemory returns the memory of the runner that shards of a kind get, 0
// where it is unknown.
func (f Fleet) runnerMemory(kind Kind) int64 {
	if kind == Memory {
		return cmp.Or(f.MemoryRunnerMemory, f.Memory)
	}
	return f.Memory
}

// budget returns what pytest may use on the runner that shards of a kind get,
// 0 where that is unknown.
func (f Fleet) budget(kind Kind) int64 {
	return f.Budget(f.runnerMemory(kind))
}

// Threshold returns the need above which a test is a memory test by
// measurement, 0 where none is.
//
// What is shared is the budget of the pool's runner without the floors of a
// worker for each of its cores and of the controller; on a runner that is too
// small for so many workers, half of what one worker would have.
func (f Fleet) Threshold(suite *Suite) int64 {
	budget := f.budget(Pool)
	if budget == 0 {
		return 0
	}
	room := room{budget: budget, floor: suite.Floor, controller: suite.Controller}
	return int64(f.MemoryShare * float64(max(room.of(max(f.CPUs, 1)), room.of(1)/2)))
}

// TooLargeError means that a test needs more memory than its runner has.
type TooLargeError struct {
	ID     timing.NodeID
	Need   int64  // what it is known to need, its worker's floor included, bytes
	Have   int64  // what pytest may use on the runner
	Runner string // the runner's label
	Memory int64  // a runner with so much memory would do, whole GiB
	Others int    // tests that are too large as well, and not larger
}

func (e *TooLargeError) Error() string {
	others := ""
	if e.Others > 0 {
		others = fmt.Sprintf(" (and %d more)", e.Others)
	}
	return fmt.Sprintf("%q%s needs %s, and pytest may use %s of runner %q", e.ID, others, mebi(e.Need), mebi(e.Have), e.Runner)
}

func mebi(n int64) string { return fmt.Sprintf("%d MiB", (n+1<<20-1)>>20) }

// A room is the memory of one job.
type room struct {
	budget, floor, controller int64
}

// of returns what the tests of so many workers have together, beside the
// workers' own floors. A single worker is pytest itself, without a controller.
func (m room) of(workers int) int64 {
	if workers == 1 {
		return m.budget - m.floor
	}
	return m.budget - m.controller - int64(workers)*m.floor
}

// heavies says which tests are memory tests, by root, and why.
type heavies struct {
	memory  []bool // by root
	certain []bool // by root: by its marker, or as it surely needs so much
	by      []Why  // by position
	any     []bool // by position: it is one itself
}

// heavies finds the memory tests: by marker or by measurement. A need that is
// not certain counts with its upper bound.
func (q *sequence) heavies(fleet Fleet) heavies {
	n := len(q.root)
	h := heavies{memory: make([]bool, n), certain: make([]bool, n), by: make([]Why, n), any: make([]bool, n)}
	limit := fleet.Threshold(q.suite)
	for p, r := range q.root {
		t := q.test(int32(p))
		measured := limit > 0 && t.Estimate.Need.High > limit
		if !t.Memory && !measured {
			continue
		}
		h.any[p], h.memory[r] = true, true
		if !t.Memory {
			h.by[p] = MeasuredNeed
		}
		if t.Memory || t.Estimate.Need.Low > limit {
			h.certain[r] = true
		}
	}
	return h
}

// why says what makes some tests a memory shard.
func (h *heavies) why(tests []int32) Why {
	marked, measured := false, false
	for _, p := range tests {
		if h.any[p] {
			measured = measured || h.by[p] == MeasuredNeed
			marked = marked || h.by[p] == Marked
		}
	}
	switch {
	case !measured:
		return Marked
	case marked:
		return MarkedAndMeasured
	}
	return MeasuredNeed
}

// checkSizes finds tests that surely need more memory than their runner has,
// and warns of those that only may.
func (q *sequence) checkSizes(fleet Fleet, memory []bool) (warning string, err error) {
	var tooLarge *TooLargeError
	var doubtful []int32
	budgets := map[Kind]int64{Pool: fleet.budget(Pool), Memory: fleet.budget(Memory)}
	for p, r := range q.root {
		kind := Pool
		if memory[r] {
			kind = Memory
		}
		have := budgets[kind]
		t := q.test(int32(p))
		if have == 0 || q.suite.Floor+t.Estimate.Need.High <= have {
			continue
		}
		need := q.suite.Floor + t.Estimate.Need.Low
		if need <= have {
			doubtful = append(doubtful, int32(p))
			continue
		}
		others := 0
		if tooLarge != nil {
			others = tooLarge.Others + 1
		}
		if tooLarge == nil || need > tooLarge.Need {
			tooLarge = &TooLargeError{ID: t.ID, Need: need, Have: have, Runner: fleet.runner(kind), Memory: fleet.enough(need)}
		}
		tooLarge.Others = others
	}
	if tooLarge != nil {
		return "", tooLarge
	}
	if len(doubtful) == 0 {
		return "", nil
	}
	first := slices.MaxFunc(doubtful, func(a, b int32) int {
		return cmp.Or(cmp.Compare(q.test(a).Estimate.Need.High, q.test(b).Estimate.Need.High), cmp.Compare(b, a))
	})
	t := q.test(first)
	return fmt.Sprintf("%d tests may need more memory than their runner has, such as %q: %s to %s over the floor of a worker; they run alone, and what they need will be known then",
		len(doubtful), t.ID, mebi(t.Estimate.Need.Low), mebi(t.Estimate.Need.High)), nil
}

// runner returns the label of the runner that shards of a kind get.
func (f Fleet) runner(kind Kind) string {
	if kind == Memory {
		return cmp.Or(f.MemoryRunner, f.Runner)
	}
	return f.Runner
}

// enough returns the memory of a runner on which pytest may use so much, in
// whole GiB.
func (f Fleet) enough(need int64) int64 {
	memory := int64(1 << 30)
	for f.Budget(memory) < need && memory < maxBytes {
		memory += 1 << 30
	}
	return memory
}

// byMemory returns the sequence with costs that count for a job's memory as
// well as for its workers: a test that takes more than its worker's share of
// the memory keeps others from running. It is nil where no test of the pool
// does.
func (q *sequence) byMemory(fleet Fleet, take func(p int32) bool) *sequence {
	budget := fleet.budget(Pool)
	share := room{budget: budget, floor: q.suite.Floor, controller: q.suite.Controller}.of(fleet.Workers) / int64(fleet.Workers)
	if budget == 0 || share <= 0 || fleet.Workers == 1 || fleet.Shards == 1 {
		return nil
	}
	var weighed *sequence
	for p := range q.cost {
		need := q.test(int32(p)).Estimate.Need.High
		if need <= share || need < MinNeed || !take(int32(p)) {
			continue
		}
		if weighed == nil {
			other := *q
			other.cost = slices.Clone(q.cost)
			weighed = &other
		}
		// Never more than all workers: such a test runs alone. 256 keeps all
		// sums in range.
		weighed.cost[p] = int64(float64(q.cost[p]) * min(float64(need)/float64(share), float64(min(fleet.Workers, 256))))
	}
	return weighed
}

// needs lists the tests of a piece whose memory a plan mentions.
func (q *sequence) needs(tests []int32) []TestNeed {
	var list []TestNeed
	for i, p := range tests {
		if n := q.test(p).Estimate.Need; max(n.High, n.Kept) >= MinNeed {
			list = append(list, TestNeed{Test: i, Need: n.High, Kept: n.Kept, Low: min(n.Low, n.High)})
		}
	}
	return list
}

// demand returns what a test's worker holds over its floor while it runs, and
// afterwards, where earlier tests left kept.
//
// High may hold what was inherited when it was seen, Low is what it surely
// adds: so it is the larger of High and of Low on top of kept. What is below
// MinNeed is left out: the most that thousands of tests ever left would add up
// to what no run leaves.
func (q *sequence) demand(p int32, kept int64) (use, after int64) {
	n := q.test(p).Estimate.Need
	if n.High < MinNeed {
		return kept, kept
	}
	after = kept
	if n.Kept >= MinNeed {
		after += n.Kept
	}
	return max(n.High, kept+n.Low, after), after
}

// meeting returns the most that any w of the tests can need at once, with all
// that the tests leave behind: no order of them on w workers exceeds it.
func (q *sequence) meeting(tests []int32, workers int) int64 {
	var highs []int64
	sum := int64(0)
	for _, p := range tests {
		n := q.test(p).Estimate.Need
		if n.High < MinNeed {
			continue
		}
		highs = append(highs, n.High)
		if n.Kept >= MinNeed {
			sum += n.Kept
		}
	}
	slices.Sort(highs)
	for _, high := range highs[max(0, len(highs)-workers):] {
		sum += high
	}
	return sum
}

// A lane is one worker in a schedule that keeps within a job's memory.
type lane struct {
	free   int64 // when it is done with its test
	unit   int   // what it works at, -1: nothing
	next   int   // test of the unit
	soon   int   // unit that it works at then, -1: not known
	looked int   // schedule.freed when it last looked at the units that wait
	kept   int64 // what the tests so far left
	use    int64 // what it holds over its floor
	after  int64 // and will, once its test is done
	parked bool  // nothing that it may do fits
}

// A unit is what one worker does from beginning to end.
type unit struct {
	tests  []int32
	pieces []int32 // by test
}

// within is run for a job whose tests cannot all meet: a test starts only when
// it fits beside what is running and what was left behind. Where nothing fits
// though nothing runs, the workers are started afresh, which costs once more what
// they take before their first test. It returns math.MaxInt64 where a test does
// not fit at all, and sets r.peak to the most that is in use at once.
func (r *runner) within(pieces []stretch, workers int, limit int64) (wall int64, last int) {
	if r.work <= 0 {
		return r.roughly(pieces, workers, limit)
	}
	r.forget(workers)
	s := schedule{runner: r, units: r.unitsOf(pieces), lanes: make([]lane, workers), limit: limit, last: -1}
	r.peak = 0
	s.begin(!r.needy(pieces))
	for s.step() {
		if r.work <= 0 {
			return r.roughly(pieces, workers, limit)
		}
	}
	return s.wall, s.last
}

// roughly is within without a schedule: as long as the workers take, or as long
// as the memory takes when it is always full.
func (r *runner) roughly(pieces []stretch, workers int, limit int64) (wall int64, last int) {
	wall, last = r.plain(pieces, workers)
	full := float64(0)
	for i := range pieces {
		for _, p := range pieces[i].tests {
			use, _ := r.demand(p, 0)
			if use > limit {
				return math.MaxInt64, last
			}
			full += float64(float64(r.cost[p]) * float64(use))
		}
	}
	r.peak = limit
	if limit > 0 {
		wall = max(wall, int64(full/float64(limit)))
	}
	return wall, last
}

// unitsOf lists what one worker does in one go, in running order.
func (r *runner) unitsOf(pieces []stretch) []unit {
	var units []unit
	index := map[int32]int{}
	for i := range pieces {
		for j, p := range pieces[i].tests {
			u := r.unit(&pieces[i], j)
			k, ok := index[u]
			if !ok {
				k = len(units)
				index[u] = k
				units = append(units, unit{})
			}
			units[k].tests = append(units[k].tests, p)
			units[k].pieces = append(units[k].pieces, int32(i))
		}
	}
	return units
}

// A schedule is a simulation of a job under way.
type schedule struct {
	*runner
	units   []unit
	lanes   []lane
	limit   int64
	used    int64
	next    int   // first unit that nobody looked at
	waiting []int // units that did not fit, in order
	freed   int   // how often memory was freed
	vain    int   // freed when somebody looked at the units that wait for nothing
	held    int64 // and kept most of those who did
	wall    int64
	last    int
}

// lookAhead is ahead for a lane that has come to the last test of its unit.
func (s *schedule) lookAhead(l *lane) {
	if l.next == len(s.units[l.unit].tests) {
		s.ahead(l)
	}
}

// begin gives each lane a unit, and then those that have one test a second one,
// as plain does.
func (s *schedule) begin(reverse bool) {
	var single []int
	for w := range s.lanes {
		l := &s.lanes[w]
		l.unit, l.soon = -1, -1
		u := s.take(l)
		if u < 0 {
			l.parked = true
			continue
		}
		l.unit = u
		if s.start(w, s.units[u].tests[0]); l.next == len(s.units[u].tests) {
			single = append(single, w)
		}
	}
	if reverse {
		slices.Reverse(single)
	}
	for _, w := range single {
		s.ahead(&s.lanes[w])
	}
}

// ahead lets a lane that has come to the last test of its unit take the next
// one. Where units wait for memory, which of them comes next is seen when the
// test is done.
func (s *schedule) ahead(l *lane) {
	if s.next == len(s.units) || len(s.waiting) > 0 {
		return
	}
	kept := l.kept
	l.kept = l.after
	if s.fits(l, s.units[s.next].tests[0]) {
		l.soon = s.next
		s.next++
	}
	l.kept = kept
}

// step lets the lane that is free first take its next test; it returns false
// at the end.
func (s *schedule) step() bool {
	s.work -= len(s.lanes)
	w := -1
	for k := range s.lanes {
		if l := &s.lanes[k]; !l.parked && (w < 0 || l.free <= s.lanes[w].free) {
			w = k
		}
	}
	if w < 0 {
		return s.restart()
	}
	l := &s.lanes[w]
	s.end(l)
	if l.unit >= 0 && l.next == len(s.units[l.unit].tests) {
		l.unit, l.soon, l.next = l.soon, -1, 0
	}
	if l.unit >= 0 {
		if p := s.units[l.unit].tests[l.next]; s.fits(l, p) {
			s.start(w, p)
			s.lookAhead(l)
		} else {
			l.parked = true
		}
		return true
	}
	if u := s.take(l); u >= 0 {
		l.unit, l.next = u, 0
		s.start(w, s.units[u].tests[0])
		s.lookAhead(l)
	} else {
		l.parked = true
	}
	return true
}

// end gives back what a lane's last test no longer uses, and wakes the others.
func (s *schedule) end(l *lane) {
	if l.use == l.after {
		l.kept = l.after
		return
	}
	s.used -= l.use - l.after
	l.use, l.kept = l.after, l.after
	s.freed++
	for k := range s.lanes {
		if o := &s.lanes[k]; o.parked {
			o.parked = false
			o.free = max(o.free, l.free)
		}
	}
}

func (s *schedule) fits(l *lane, p int32) bool {
	use, _ := s.demand(p, l.kept)
	return use == l.use || s.used-l.use+use <= s.limit
}

// take finds the first unit that fits.
func (s *schedule) take(l *lane) int {
	// Who holds less of what it kept itself finds no more than who holds more.
	if l.looked != s.freed && (s.vain != s.freed || l.kept > s.held) {
		s.work -= len(s.waiting)
		for i, u := range s.waiting {
			if s.fits(l, s.units[u].tests[0]) {
				s.waiting = slices.Delete(s.waiting, i, i+1)
				return u
			}
		}
		if s.vain != s.freed {
			s.held = 0
		}
		s.vain, s.held = s.freed, max(s.held, l.kept)
	}
	for s.next < len(s.units) {
		u := s.next
		s.next++
		if s.fits(l, s.units[u].tests[0]) {
			return u
		}
		s.waiting = append(s.waiting, u)
		s.held = min(s.held, l.kept)
	}
	l.looked = s.freed
	return -1
}

func (s *schedule) start(w int, p int32) {
	l := &s.lanes[w]
	use, after := s.demand(p, l.kept)
	s.used += use - l.use
	l.use, l.after = use, after
	s.peak = max(s.peak, s.used)
	l.free += s.alone(w, p)
	if l.free > s.wall {
		s.wall, s.last = l.free, int(s.units[l.unit].pieces[l.next])
	}
	l.next++
}

// restart starts the workers afresh, when all of them wait though none of them
// works. It returns false when nothing is left to do, or would fit even then.
func (s *schedule) restart() bool {
	now, left, held := int64(0), len(s.waiting) > 0, int64(0)
	for k := range s.lanes {
		l := &s.lanes[k]
		now, held = max(now, l.free), held+l.kept
		left = left || l.unit >= 0
	}
	if !left {
		return false
	}
	if held == 0 {
		s.wall = math.MaxInt64
		return false
	}
	for k := range s.lanes {
		l := &s.lanes[k]
		*l = lane{free: now + s.paid, unit: l.unit, next: l.next, soon: l.soon}
	}
	s.used = 0
	s.freed++
	s.forget(len(s.lanes))
	return true
}
