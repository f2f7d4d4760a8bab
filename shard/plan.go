package shard

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/wcshard/wcshard/timing"
)

// PlanVersion is the version of the plan format that this package writes and
// reads.
const PlanVersion = 1

// MaxRows is how many jobs GitHub makes of one matrix.
const MaxRows = 256

// Kind tells the shards of the pool from those with memory tests.
type Kind string

// The kinds of shards.
const (
	Pool   Kind = "pool"
	Memory Kind = "memory"
)

// Plan says which shard runs which tests. It is made once and is the single
// truth of a run.
type Plan struct {
	Digest    string    // "sha256:" and the hash of everything else in the plan
	Collector Collector // how the tests were collected
	Fleet     Fleet
	Makespan  time.Duration // longest Shard.Wall
	Bound     time.Duration // no plan for this fleet has a shorter makespan
	Error     Error         // how far earlier predictions were off
	Setups    []Setup       // what tests share that takes long, by ID; pieces say which of it their tests need
	Shards    []Shard       // longest first
	Warnings  []string      // doubts for the user; not part of the plan file
}

// Error is how far predictions of earlier jobs were off, |predicted - real| / real,
// and so what to expect of this plan's. The zero Error is an unknown one.
type Error struct {
	Jobs   int // that were predicted
	Median int // per mille
	Ninth  int // nine of ten predictions were this near or nearer; per mille
}

// Collector is how the tests were collected, and so how each shard must call
// pytest. The zero Collector stands for a plan from a list of node IDs.
type Collector struct {
	Args   []string // the user's pytest arguments
	Pytest string   // versions; "" where unknown
	Python string
	Xdist  string // "" where it is not installed
	Root   string // pytest's root directory relative to the working directory, with forward slashes
	Folder string // the working directory, in the repository that a CI has checked out; "" for its top, and elsewhere
	Seed   *int64 // seed for pytest-randomly or pytest-random-order, where one is installed
	Order  string // "definition", or the plugin whose seeded order the tests are in

	// Conftests are the folders whose conftest.py has a say in all tests, also those
	// of other folders, sorted, as in node IDs: every shard loads them.
	Conftests []string

	// Places are the folders that collection has put on sys.path, in its order, as in
	// node IDs: the tests of every shard may import what is in them. LastPlaces are
	// those that it has put behind all that was there, what is installed included.
	Places     []string
	LastPlaces []string

	Parameters []Parameters // of parametrized functions whose tests' IDs do not tell all values
}

// Parameters are the values that the tests of a function have, as fingerprints. Where a
// shard finds the same values in another order, its tests are not those of the plan,
// whatever their IDs are.
type Parameters struct {
	ID     string `json:"id"`     // of the function: what its tests' IDs begin with, before "["
	Order  string `json:"order"`  // of the tests with their values
	Values string `json:"values"` // of the values alone, sorted
}

// Shard is one job's tests.
type Shard struct {
	Name    string
	Kind    Kind
	Runner  string
	Workers int
	Wall    time.Duration // expected wall time of the pytest process
	Peak    int64         // expected peak memory over its workers, bytes; 0 where unknown
	Floor   int64         // resident memory of one worker after its imports, bytes; 0 where unknown
	Budget  int64         // what pytest may use on its runner, all processes together, bytes; 0 where unknown
	Why     Why           // why a memory shard is one; "" for what the tests' markers say, and in the pool
	Timeout int           // whole minutes
	Pieces  []Piece       // in running order
	Basis   Basis         // what the estimates rest on
}

// Piece is tests of one file that a shard runs one after another.
type Piece struct {
	File  string   // path as in the node IDs
	Cut   bool     // the file's tests may go to different workers: it has been cut over shards or is too long for one worker
	Tests []string // what follows File in the node IDs (timing.NodeID.Rest), in running order

	// Units says which of the tests stay on one worker, in runs as long as Tests
	// together. It is nil where Cut says all: each test goes where there is room,
	// or all to one worker.
	Units []UnitRun

	// Setups says which of the plan's set-ups the tests need, in runs as long as Tests
	// together; nil where they need none. The shard itself does without: it is for who
	// runs the tests of several shards together.
	Setups []SetupRun

	// Needs are the tests that matter to the memory of the job, ascending by
	// Test: those whose need or kept memory is at least MinNeed.
	Needs []TestNeed
}

// UnitRun is consecutive tests of a piece that stay on one worker with all tests
// of their shard, in other pieces too, that have the same number.
//
// Units with a number are begun before everything else, in the order of their
// numbers. Tests with the number 0 go as Cut says.
type UnitRun struct {
	Unit  int // from 1; 0: none
	Tests int // at least 1
}

// SetupRun is consecutive tests of a piece that need the same set-ups.
type SetupRun struct {
	Tests  int   // at least 1
	Setups []int // indexes into Plan.Setups, ascending
}

// minSetup is what a set-up takes at least that a plan mentions.
const minSetup = 10 * time.Millisecond

// mentioned returns the set-ups of a suite that a plan mentions, and of each of the
// suite's its index among these, -1 for none: the imports of files and of their folders
// follow from the files.
func mentioned(suite *Suite) (setups []Setup, index []int) {
	index = slices.Repeat([]int{-1}, len(suite.Setups))
	var order []int
	for i, s := range suite.Setups {
		if s.Cost >= minSetup && !s.ID.Import() {
			order = append(order, i)
		}
	}
	slices.SortFunc(order, func(i, j int) int { return cmp.Compare(suite.Setups[i].ID, suite.Setups[j].ID) })
	for n, i := range order {
		index[i] = n
		s := suite.Setups[i]
		s.Cost = s.Cost.Truncate(time.Microsecond)
		setups = append(setups, s)
	}
	return setups, index
}

// MinNeed is the least memory of a test that a plan mentions, in bytes. All
// that is below it is noise beside a worker's floor.
const MinNeed = 32 << 20

// TestNeed is what one test of a piece needs of memory.
type TestNeed struct {
	Test int   // index into Piece.Tests
	Need int64 // over the floor of its worker, bytes; the upper bound where it is not certain
	Kept int64 // what it leaves behind on its worker, bytes
	// Low is what it surely adds to what its worker holds, at most Need, bytes.
	// Need may hold what earlier tests had left when it was measured, such as a
	// fixture that stays: so over what a worker holds, a test needs the larger
	// of Low and of what is missing to Need.
	Low int64
}

// Why says what makes a shard a memory shard.
type Why string

// The reasons. Marked alone is not written.
const (
	Marked            Why = ""
	MeasuredNeed      Why = "measured"            // the history says so, of tests without a marker
	MarkedAndMeasured Why = "marked and measured" // some tests by their marker, others by measurement
)

// Basis counts tests by the rung that their estimates rest on.
type Basis struct {
	Measured, Relatives, Guessed int
}

// Len returns the number of tests.
func (s *Shard) Len() int {
	n := 0
	for _, p := range s.Pieces {
		n += len(p.Tests)
	}
	return n
}

// Units lists the tests that stay on one worker together, in the order in which
// workers take them, as UnitRun and Piece.Cut say. Tests with the same node ID or
// xdist_group, which stay together as well, are not looked for.
func (s *Shard) Units() [][]timing.NodeID {
	numbered := map[int][]timing.NodeID{}
	var others [][]timing.NodeID
	for _, p := range s.Pieces {
		var number []int // of each test's unit
		for _, run := range p.Units {
			number = append(number, slices.Repeat([]int{run.Unit}, run.Tests)...)
		}
		var whole []timing.NodeID
		for k, rest := range p.Tests {
			id := timing.NodeID(p.File + rest)
			switch {
			case number != nil && number[k] > 0:
				numbered[number[k]] = append(numbered[number[k]], id)
			case p.Cut:
				others = append(others, []timing.NodeID{id})
			default:
				whole = append(whole, id)
			}
		}
		if whole != nil {
			others = append(others, whole)
		}
	}
	var units [][]timing.NodeID
	for _, n := range slices.Sorted(maps.Keys(numbered)) {
		units = append(units, numbered[n])
	}
	return append(units, others...)
}

// IDs returns the node IDs in running order.
func (s *Shard) IDs() []timing.NodeID {
	ids := make([]timing.NodeID, 0, s.Len())
	for _, p := range s.Pieces {
		for _, rest := range p.Tests {
			ids = append(ids, timing.NodeID(p.File+rest))
		}
	}
	return ids
}
