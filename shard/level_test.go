package shard

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/wcshard/wcshard/timing"
)

// Where one test sets the longest job, the others share what is left evenly, though
// they could be as long: the time of each is an estimate.
func TestLevelled(t *testing.T) {
	s := Suite{Setups: []Setup{{ID: "import scipy", Cost: 300 * time.Millisecond, Import: true}, {ID: "import pandas", Cost: 300 * time.Millisecond, Import: true}}}
	add := func(id string, wall time.Duration, setups ...int) {
		s.Tests = append(s.Tests, Test{ID: timing.NodeID(id), Order: len(s.Tests), Setups: setups,
			Estimate: timing.Estimate{Wall: wall, Rung: timing.Measured}})
	}
	add("giant.py::test", 20*time.Second)
	for file := range 6 {
		class := len(s.Setups)
		for range 5 {
			s.Setups = append(s.Setups, Setup{ID: timing.SetupID(fmt.Sprintf("class a.py::C%d::f", len(s.Setups))), Cost: 50 * time.Millisecond})
		}
		for k := range 20 {
			add(fmt.Sprintf("f%d.py::Test%d::test_%d", file, k/4, k), 250*time.Millisecond, file/3, class+k/4)
		}
	}
	// Two files of 5 s and 5 classes each, and what each worker imports.
	for workers, most := range map[int]time.Duration{1: 11200 * time.Millisecond, 2: 5900 * time.Millisecond} {
		plan, err := Pack(s, Fleet{Shards: 4, CPUs: workers})
		if err != nil {
			t.Fatal(err)
		}
		if plan.Makespan != 20*time.Second {
			t.Errorf("%d workers: makespan %v, want that of the giant", workers, plan.Makespan)
		}
		var walls []time.Duration
		for i := range plan.Shards {
			walls = append(walls, plan.Shards[i].Wall)
		}
		slices.Sort(walls)
		if walls[2] > most {
			t.Errorf("%d workers: the jobs take %v, want up to %v beside the giant", workers, walls, most)
		}
	}
}

// Levelling keeps each test once and each job busy, and no job is longer than the
// longest was.
func TestLevels(t *testing.T) {
	moved := 0
	rapid.Check(t, func(t *rapid.T) {
		s := drawSuite(t)
		s.Tests[0].Estimate.Wall += time.Duration(rapid.IntRange(0, 100).Draw(t, "giant")) * time.Second
		q := newSequence(&s)
		it := newItems(q, func(int32) bool { return true })
		before := it.byLoad(rapid.IntRange(1, 8).Draw(t, "shards"), true)
		b := it.balanceOf(before.pool)
		for k, tests := range before.pool {
			if !slices.Equal(it.testsOf(b.bins[k:k+1]), tests) || b.bins[k].load != it.load(tests) {
				t.Fatalf("bin %d has a load of %d and %v, want %d and %v", k, b.bins[k].load, it.testsOf(b.bins[k:k+1]), it.load(tests), tests)
			}
		}
		after, ok := it.levelled(before)
		if !ok {
			return
		}
		moved++
		loads := func(d division) (all []int32, longest int64) {
			for _, tests := range d.pool {
				if len(tests) == 0 || !slices.IsSorted(tests) {
					t.Fatalf("a job has %v", tests)
				}
				all = append(all, tests...)
				longest = max(longest, it.load(tests))
			}
			slices.Sort(all)
			return all, longest
		}
		had, longest := loads(before)
		has, now := loads(after)
		if !slices.Equal(had, has) || now > longest {
			t.Errorf("tests %v in up to %d, were %v in up to %d", has, now, had, longest)
		}
	})
	if moved == 0 {
		t.Error("no division was levelled")
	}
}

// Jobs that are levelled, or gathered, keep their numbers, and so their names.
func TestLevelsKeepNumbers(t *testing.T) {
	s := Suite{Tests: slices.Concat(tests("a.py", 1, 9000), tests("b.py", 1, 1000), tests("c.py", 1, 1000))}
	for k := range 6 {
		s.Tests = append(s.Tests, tests(fmt.Sprintf("d%d.py", k), 1, 500)...)
	}
	it := newItems(newSequence(&s), func(int32) bool { return true })
	d, ok := it.levelled(division{[][]int32{{0}, {1, 2, 3, 4, 5, 6, 7}, {8}}, []int{3, 1, 2}})
	if !ok || !slices.Equal(d.numbers, []int{3, 1, 2}) {
		t.Errorf("levelled: %v with numbers %v, want 3 1 2", ok, d.numbers)
	}
	if d, _ := it.gathered(division{[][]int32{{0}, {1, 2, 3, 4, 5, 6, 7, 8}}, []int{2, 1}}, 0); !slices.Equal(d.numbers, []int{2, 1}) {
		t.Errorf("gathered: numbers %v, want 2 1", d.numbers)
	}
}

// A plan of several workers is told by its walls: each worker pays for what a job
// imports, so that a second job of it costs more than the loads say.
func TestCostsLittle(t *testing.T) {
	of := func(seconds ...float64) *Plan {
		p := &Plan{Shards: []Shard{{Kind: Memory, Wall: time.Hour}}}
		for _, s := range seconds {
			p.Shards = append(p.Shards, Shard{Kind: Pool, Wall: time.Duration(s * float64(time.Second))})
		}
		return p
	}
	for _, test := range []struct {
		before, after *Plan
		want          bool
	}{
		{of(12.5, 29), of(22.5, 23), false},
		{of(30, 29, 10), of(30, 20, 20), true},
		{of(30, 29, 10), of(30, 20, 20.1), true},
		{of(30, 29, 10), of(30, 20, 20.2), false},
	} {
		if got := test.after.costsLittle(test.before); got != test.want || !test.after.evener(test.before) {
			t.Errorf("%v instead of %v costs little: %v, want %v", test.after.poolWalls(), test.before.poolWalls(), got, test.want)
		}
	}
}
