package shard

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/wcshard/wcshard/timing"
)

// A class whose fixture takes 8 s is set up by one job, though the job would be 0.1 s
// shorter if another one set it up once more for the quick tests: as in
// statsmodels' test_count_model.py.
func TestGathersFixture(t *testing.T) {
	s := Suite{Base: time.Second, Setups: []Setup{{ID: "class a.py::TestSlow::setup", Cost: 8 * time.Second}}}
	add := func(id string, ms int, setups ...int) {
		s.Tests = append(s.Tests, Test{ID: timing.NodeID(id), Order: len(s.Tests), Setups: setups,
			Estimate: timing.Estimate{Wall: time.Duration(ms) * time.Millisecond, Rung: timing.Measured}})
	}
	add("a.py::TestSlow::test_fit", 500, 0)
	for k := range 11 {
		add(fmt.Sprintf("a.py::TestSlow::test_%d", k), 10, 0)
	}
	for k := range 30 {
		add(fmt.Sprintf("a.py::TestQuick::test_%d", k), 200)
		add(fmt.Sprintf("b.py::test_%d", k), 300)
	}
	for shards := 2; shards <= 8; shards++ {
		plan, err := Pack(s, Fleet{Shards: shards, CPUs: 1})
		if err != nil {
			t.Fatal(err)
		}
		payers := 0
		for i := range plan.Shards {
			if slices.ContainsFunc(plan.Shards[i].IDs(), func(id timing.NodeID) bool { return id.Class() == "a.py::TestSlow" }) {
				payers++
			}
		}
		if payers != 1 || above(plan.Makespan, micros(plan.Bound), pays+coarse) {
			t.Errorf("%d jobs: %d set up the fixture, makespan %v, bound %v", shards, payers, plan.Makespan, plan.Bound)
		}
	}
}

// A fixture that two pool jobs set up is set up by one where a memory job takes longer
// anyway.
func TestGathersBesideMemory(t *testing.T) {
	s := Suite{Setups: []Setup{{ID: "session ::db", Cost: time.Minute}}, Tests: module("m.py", nil, 1131)}
	add := func(file string, n int, setups ...int) {
		for k := range n {
			s.Tests = append(s.Tests, Test{ID: timing.NodeID(fmt.Sprintf("%s::t%d", file, k)), Order: k, Setups: setups,
				Estimate: timing.Estimate{Wall: 10 * time.Second, Rung: timing.Measured}})
		}
	}
	add("a.py", 6, 0)
	add("b.py", 6, 0)
	add("c.py", 1)
	for overhead, want := range map[time.Duration]time.Duration{0: 190 * time.Second, time.Hour: 250 * time.Second} {
		s.Overhead.Pool.Took = overhead
		if got := mustPack(t, s, Fleet{Shards: 2, CPUs: 1}).sum(Pool); got != want {
			t.Errorf("where pool jobs take %v outside pytest, they take %v in all, want %v", overhead, got, want)
		}
	}
}

// Gathering keeps each test once and each job busy, cuts no further file, and makes
// the longest job longer only as far as that pays.
func TestGathered(t *testing.T) {
	moved := 0
	rapid.Check(t, func(t *rapid.T) {
		s := drawSuite(t)
		for i := range s.Setups {
			s.Setups[i].Cost *= time.Duration(rapid.IntRange(0, 20).Draw(t, "times"))
		}
		q := newSequence(&s)
		it := newItems(q, func(int32) bool { return true })
		before := it.byLoad(rapid.IntRange(1, 8).Draw(t, "shards"), true)
		after, ok := it.gathered(before, 0)
		if !ok {
			return
		}
		moved++
		loads := func(d division) (sum, longest int64) {
			for _, tests := range d.pool {
				if len(tests) == 0 || !slices.IsSorted(tests) {
					t.Fatalf("a job has %v", tests)
				}
				sum += it.load(tests)
				longest = max(longest, it.load(tests))
			}
			return sum, longest
		}
		sumBefore, longestBefore := loads(before)
		sumAfter, longestAfter := loads(after)
		longer := max(0, longestAfter-longestBefore)
		if sumBefore-sumAfter <= longer*int64(len(before.pool)) || longer > longestBefore/1000*pays {
			t.Fatalf("%d in all and %d the longest, before %d and %d", sumAfter, longestAfter, sumBefore, longestBefore)
		}
		if !slices.Equal(slices.Sorted(slices.Values(slices.Concat(after.pool...))), slices.Sorted(slices.Values(slices.Concat(before.pool...)))) {
			t.Fatal("tests are lost or doubled")
		}
		if now, then := count(q.cutFiles(after.pool)), count(q.cutFiles(before.pool)); now > then {
			t.Fatalf("%d files are cut, before %d", now, then)
		}
		job := map[int32]int{} // root → its job
		for k, tests := range after.pool {
			for _, p := range tests {
				if other, ok := job[q.root[p]]; ok && other != k {
					t.Fatal("tests that stay together are in two jobs")
				}
				job[q.root[p]] = k
			}
		}
	})
	if moved == 0 {
		t.Error("nothing was ever gathered")
	}
}
