package shard

import (
	"math"
	"slices"
	"time"

	"github.com/wcshard/wcshard/timing"
)

// Suite is what there is to run: the collected tests, what they share, and
// what each job pays before its first test.
type Suite struct {
	Tests  []Test        // in any order: Test.Order says in which they run
	Setups []Setup       // shared set-ups; Test.Setups indexes them
	Late   []Late        // those of them that more tests may need than are known to
	Base   time.Duration // interpreter, plugins, conftest and collection of a job of one worker, without the files' imports
	Bases  time.Duration // the same of a job of several workers, xdist's own included; 0: Base

	Overhead Overhead // what jobs take outside pytest; for their time limits, and for what one more memory job costs
	Margin   int      // how much longer than predicted a job may take and still keep a target, in per cent; 0: TargetMargin

	Floor      int64 // resident memory of a worker after collection, bytes; 0 where unknown
	Controller int64 // resident memory of xdist's controller, bytes
}

// Late is a set-up of which only the first test of a worker to need it is known: an
// import inside of a function.
type Late struct {
	Setup int     // index into Suite.Setups
	Every float64 // one of so many tests is the first to need it, at random: the mean of a geometric distribution
}

// Foresee returns the suite as the jobs of a fleet find it: what is late is part of
// their base, for its probability that a worker with as many tests as the mean sets it
// up, whichever these are; the rest of its cost is of the tests that are known to need
// it. Pack does so itself.
func (s Suite) Foresee(fleet Fleet) Suite {
	tests := float64(len(s.Tests)) / float64(max(1, fleet.Shards)) / float64(max(1, fleet.Workers))
	if len(s.Late) > 0 {
		s.Setups = slices.Clone(s.Setups)
	}
	for _, late := range s.Late {
		setup := &s.Setups[late.Setup]
		part := time.Duration(-math.Expm1(-tests/late.Every) * float64(setup.Cost)).Truncate(time.Microsecond)
		setup.Cost -= part
		s.Base += part
		if s.Bases > 0 {
			s.Bases += part
		}
	}
	s.Late = nil
	return s
}

// BaseOf returns what a job of so many workers pays before its first test and
// after its last one.
func (s *Suite) BaseOf(workers int) time.Duration {
	if workers > 1 && s.Bases > 0 {
		return s.Bases
	}
	return s.Base
}

// LeastBase is BaseOf for at most so many workers, whichever that are.
func (s *Suite) LeastBase(workers int) time.Duration { return min(s.BaseOf(1), s.BaseOf(workers)) }

// Test is one collected test.
type Test struct {
	ID       timing.NodeID
	Order    int    // position in pytest's own running order; tests with equal ones, as in a plan from a bare list, run in natural order of their IDs
	Group    string // its tests share a worker: of one xdist_group, or those that depend on each other
	Memory   bool   // has a memory marker
	Setups   []int  // the set-ups that it needs, by index into Suite.Setups, ascending; tests may share the slice
	Estimate timing.Estimate
	Before   int // the number of the pool shard that had it in the plan before, from 1; 0: not known
}

// fill is more memory than a test can fill in a second, in bytes: some four
// cores that do nothing but write.
const fill = 32 << 30

// LimitNeeds lowers the upper bounds of needs to what a test has the time to
// fill, its fixtures included and what more may know of its file; imports are
// over when its worker's floor is measured. After a heavy test all others on its
// worker seem to hold what it left; most of them are over in milliseconds, which
// rules that out before they ever ran elsewhere.
func (s *Suite) LimitNeeds(more func(file string) time.Duration) {
	for i := range s.Tests {
		t := &s.Tests[i]
		n := &t.Estimate.Need
		if n.High < MinNeed || t.Estimate.Rung != timing.Measured {
			continue
		}
		wall := t.Estimate.Wall + more(t.ID.File())
		for _, k := range t.Setups {
			if !s.Setups[k].Import {
				wall += s.Setups[k].Cost
			}
		}
		if most := wall.Seconds() * fill; float64(n.High) > most {
			*n = n.Lower(int64(most))
		}
	}
}

// Setup is work done once for each worker that runs any of the tests that need
// it: the import of a file or of libraries that files share, the start of processes that
// tests share, or one instance of a fixture whose scope is above function.
type Setup struct {
	ID     timing.SetupID
	Cost   time.Duration // set-up and teardown
	Import bool          // each worker of a job that runs any of the tests pays it, before its first test
}

// Fleet says how many runners of which kind there are.
type Fleet struct {
	Shards        int    // pool shards wanted, at least 1
	Workers       int    // workers of a pool shard; 0: CPUs
	MemoryWorkers int    // workers of a memory shard; 0: as many as its memory and cores have room for, 1 where a test's need is unknown
	MaxMemoryJobs int    // at most so many memory shards; 0: one for each file with memory tests
	CPUs          int    // cores of a runner
	Memory        int64  // memory of a runner, bytes; 0: unknown, and no plan is made for it
	Runner        string // label of the pool shards' runner
	MemoryRunner  string // label of the memory shards' runner

	MemoryRunnerMemory int64   // memory of the memory shards' runner, bytes; 0: Memory
	Reserve            int64   // memory that is the system's on each runner, bytes; 0: Reserve(Memory)
	MemoryShare        float64 // a test that needs more than this share of a runner's memory without its reserve and a worker's floor is a memory test; 0: markers alone say
	MemoryJobs         int     // at most so many memory shards for one module; 0: 1; AutoMemoryJobs: as many as pay
}
