package shard

import (
	"cmp"
	"fmt"
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
	Kind   Kind   // of the job that it would run in
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
			tooLarge = &TooLargeError{ID: t.ID, Need: need, Have: have, Kind: kind, Runner: fleet.runner(kind), Memory: fleet.enough(need)}
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
