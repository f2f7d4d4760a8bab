package shard

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/wcshard/wcshard/timing"
)

// module makes memory tests of one file that take so many seconds each and need
// the set-ups.
func module(file string, setups []int, seconds ...int) []Test {
	var list []Test
	for k, s := range seconds {
		list = append(list, Test{ID: timing.NodeID(fmt.Sprintf("%s::t%02d", file, k)), Order: k, Memory: true, Setups: setups,
			Estimate: timing.Estimate{Wall: time.Duration(s) * time.Second, Rung: timing.Measured}})
	}
	return list
}

func memoryWalls(p *Plan) []string {
	var list []string
	for i := range p.Shards {
		if s := &p.Shards[i]; s.Kind == Memory {
			list = append(list, fmt.Sprintf("%s %v", s.Name, s.Wall))
		}
	}
	slices.Sort(list)
	return list
}

func TestMemoryJobs(t *testing.T) {
	// As weathercop: one test of 717 s among 1131.
	multisite := module("tests/test_multisite.py", nil, 717, 100, 90, 80, 70, 40, 20, 14)
	small := module("tests/test_ensemble.py", nil, 60, 30)
	pool := tests("tests/test_a.py", 40, 1000)
	dear := []Setup{{ID: "module x::big", Cost: 100 * time.Second}}
	byParameter := []Test{
		{ID: "m.py::a[1]", Order: 1, Memory: true}, {ID: "m.py::b[1]", Order: 2, Memory: true},
		{ID: "m.py::a[2]", Order: 3, Memory: true}, {ID: "m.py::b[2]", Order: 4, Memory: true},
	}
	for i := range byParameter {
		byParameter[i].Estimate.Wall = 100 * time.Second
	}
	grouped := module("m.py", nil, 100, 100, 100, 100)
	for i := range grouped {
		grouped[i].Group = "one"
	}
	long := "tests/" + strings.Repeat("long_", 20) + ".py"
	for _, c := range []struct {
		name     string
		suite    Suite
		jobs     int
		most     int // MaxMemoryJobs
		overhead time.Duration
		want     []string
	}{
		{"module", Suite{Tests: slices.Concat(multisite, small, pool)}, 0, 0, 0,
			[]string{"mem-test_ensemble 1m30s", "mem-test_multisite 18m51s"}},
		{"1 is module", Suite{Tests: slices.Concat(multisite, small, pool)}, 1, 0, 0,
			[]string{"mem-test_ensemble 1m30s", "mem-test_multisite 18m51s"}},
		{"auto", Suite{Tests: slices.Concat(multisite, small, pool)}, AutoMemoryJobs, 0, 0,
			[]string{"mem-test_ensemble 1m30s", "mem-test_multisite-1 11m57s", "mem-test_multisite-2 6m54s"}},
		{"so few memory jobs in all", Suite{Tests: slices.Concat(multisite, small, pool)}, AutoMemoryJobs, 2, 0,
			[]string{"mem-test_ensemble 1m30s", "mem-test_multisite 18m51s"}},
		{"three that pay", Suite{Tests: module("m.py", nil, 100, 100, 100)}, AutoMemoryJobs, 0, 20 * time.Second,
			[]string{"mem-m-1 1m40s", "mem-m-2 1m40s", "mem-m-3 1m40s"}},
		{"at most two", Suite{Tests: module("m.py", nil, 100, 100, 100, 100)}, 2, 0, 0,
			[]string{"mem-m-1 3m20s", "mem-m-2 3m20s"}},
		{"two modules of one length", Suite{Tests: slices.Concat(module("m.py", nil, 200, 200), module("n.py", nil, 195, 200))}, AutoMemoryJobs, 0, 25 * time.Second,
			[]string{"mem-m-1 3m20s", "mem-m-2 3m20s", "mem-n-1 3m15s", "mem-n-2 3m20s"}},
		{"seven that pay, of which the fifth and sixth alone help nothing", Suite{Tests: module("m.py", nil, 300, 300, 300, 300, 300, 300, 300)}, AutoMemoryJobs, 0, 25 * time.Second,
			[]string{"mem-m-1 5m0s", "mem-m-2 5m0s", "mem-m-3 5m0s", "mem-m-4 5m0s", "mem-m-5 5m0s", "mem-m-6 5m0s", "mem-m-7 5m0s"}},
		{"ten that pay", Suite{Tests: module("m.py", nil, slices.Repeat([]int{300}, 10)...)}, AutoMemoryJobs, 0, 25 * time.Second,
			[]string{"mem-m-1 5m0s", "mem-m-10 5m0s", "mem-m-2 5m0s", "mem-m-3 5m0s", "mem-m-4 5m0s", "mem-m-5 5m0s", "mem-m-6 5m0s", "mem-m-7 5m0s", "mem-m-8 5m0s", "mem-m-9 5m0s"}},
		{"a dear set-up that all need", Suite{Setups: dear, Tests: module("m.py", []int{0}, 40, 40, 40, 40)}, AutoMemoryJobs, 0, 0,
			[]string{"mem-m 4m20s"}},
		{"a dear start of a job", Suite{Tests: module("m.py", nil, 40, 40)}, AutoMemoryJobs, 0, 40 * time.Second,
			[]string{"mem-m 1m20s"}},
		{"parameters of a function stay together where that costs nothing", Suite{Tests: byParameter}, 2, 0, 0,
			[]string{"mem-m-1 3m20s", "mem-m-2 3m20s"}},
		{"a group is one piece", Suite{Tests: grouped}, AutoMemoryJobs, 0, 0, []string{"mem-m 6m40s"}},
		{"the pool is longer anyway", Suite{Tests: slices.Concat(module("m.py", nil, 10, 10), tests("p.py", 1, 30_000))}, AutoMemoryJobs, 0, 0,
			[]string{"mem-m 20s"}},
		{"a name that is taken", Suite{Tests: slices.Concat(module("m.py", nil, 100, 100), module("m-1.py", nil, 1))}, 2, 0, 0,
			[]string{"mem-m-1 1s", "mem-m-1-fdb63cab 1m40s", "mem-m-2 1m40s"}},
		{"a long name", Suite{Tests: module(long, nil, 100, 100)}, 2, 0, 0,
			[]string{"mem-long_long_long_long_long_long_long_long_long_lo-9068dc76 1m40s", "mem-long_long_long_long_long_long_long_long_long_lo-b9ef795a 1m40s"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.suite.Overhead = everywhere(c.overhead)
			p := mustPack(t, c.suite, Fleet{Shards: 2, CPUs: 1, MemoryJobs: c.jobs, MaxMemoryJobs: c.most})
			if got := memoryWalls(p); !slices.Equal(got, c.want) {
				t.Errorf("the memory jobs are %q, want %q", got, c.want)
			}
			for i := range p.Shards {
				if ids := p.Shards[i].IDs(); c.name[:4] == "para" && ids[0].Function() != ids[1].Function() {
					t.Errorf("%s has %q", p.Shards[i].Name, ids)
				}
			}
		})
	}
}

// A memory module is not cut where the pool's jobs are done no sooner, with what they
// take outside pytest.
func TestMemoryJobsBesideThePool(t *testing.T) {
	s := Suite{Tests: slices.Concat(module("m.py", nil, 30, 30), tests("p.py", 4, 15_000))}
	for overhead, want := range map[time.Duration]int{10 * time.Second: 2, 50 * time.Second: 1} {
		s.Overhead = Overhead{Pool: Outside{Took: overhead}, Memory: Outside{Took: 10 * time.Second}}
		if got := memoryWalls(mustPack(t, s, Fleet{Shards: 2, CPUs: 1, MemoryJobs: AutoMemoryJobs})); len(got) != want {
			t.Errorf("where pool jobs take %v outside pytest, the memory jobs are %q, want %d", overhead, got, want)
		}
	}
}

// The pool's jobs may take as long as memory jobs do that start later; where a module may
// have several jobs, no longer than the least that these may come to.
func TestAnyway(t *testing.T) {
	s := Suite{Tests: module("m.py", nil, 30, 30), Overhead: Overhead{Pool: Outside{Took: 10 * time.Second}, Memory: Outside{Took: 30 * time.Second}}}
	q := newSequence(&s)
	heavy := newItems(q, func(int32) bool { return true })
	for jobs, want := range map[int]time.Duration{1: 80 * time.Second, 2: 50 * time.Second} {
		p := packing{sequence: q, heavy: heavy, fleet: Fleet{CPUs: 1, MemoryJobs: jobs}, plan: &Plan{Shards: []Shard{{Kind: Memory, Wall: time.Minute}}}}
		if got := duration(p.anyway(Memory)); got != want {
			t.Errorf("beside a module of up to %d jobs the pool's may take %v, want %v", jobs, got, want)
		}
	}
}

// Cutting never makes the longest job longer, and what it adds to all jobs is
// less than what it takes off the longest.
func TestMemoryJobsPay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, f := drawSuite(t), drawFleet(t)
		f.Memory, f.MemoryRunnerMemory = 0, 0
		f.MemoryJobs = 0
		whole, err := Pack(s, f)
		if err != nil {
			t.Fatalf("Pack: %v", err)
		}
		f.MemoryJobs = AutoMemoryJobs
		cut, err := Pack(s, f)
		if err != nil {
			t.Fatalf("Pack with more jobs: %v", err)
		}
		less := whole.longest(Memory) - cut.longest(Memory)
		if more := cut.sum(Memory) - whole.sum(Memory); less < 0 || more > less {
			t.Errorf("the longest memory job is %v shorter, and all of them %v longer", less, more)
		}
	})
}

// Of a module that is cut, a job with a test of unknown need has one worker and the
// others as many as there are cores: no bound may count them all as having one.
func TestMemoryJobsOfUnknownNeed(t *testing.T) {
	s := Suite{}
	for k, ms := range []int{400, 1000, 1000, 1000} {
		x := needing(fmt.Sprintf("mem.py::t%d", k), ms, 100, 100, 0)
		x.Memory = true
		if k == 0 {
			x.Estimate.Need = timing.Need{}
		}
		s.Tests = append(s.Tests, x)
	}
	plan, err := Pack(s, Fleet{Shards: 1, CPUs: 2, Memory: 8 << 30, MemoryJobs: 2})
	if err != nil {
		t.Fatal(err)
	}
	if len(plan.Shards) != 2 || plan.Shards[0].Workers+plan.Shards[1].Workers != 3 {
		t.Fatalf("%d jobs, the first of %d workers, want two, of one and of two", len(plan.Shards), plan.Shards[0].Workers)
	}
	if plan.Bound > plan.Makespan {
		t.Errorf("bound %v is above the makespan %v", plan.Bound, plan.Makespan)
	}
}

// Rows are left for what the pool has, not for what it was asked to have.
func TestMemoryJobsLeftRows(t *testing.T) {
	s := Suite{Tests: append(module("m.py", nil, 250, 250, 250, 250), tests("a.py", 10, 1)...)}
	for _, shards := range []int{10, MaxRows} {
		p := mustPack(t, s, Fleet{Shards: shards, MemoryJobs: AutoMemoryJobs})
		if walls := memoryWalls(p); len(walls) != 4 {
			t.Errorf("--shards %d: %v, want four jobs of 250 s", shards, walls)
		}
	}
}

// The matrix has room for so many jobs, however many a module may have.
func TestMemoryJobsKeepToTheMatrix(t *testing.T) {
	s := Suite{Tests: module("m.py", nil, slices.Repeat([]int{100}, 60)...)}
	const pool = MaxRows - 16
	for k := range pool {
		s.Tests = append(s.Tests, test(fmt.Sprintf("f%d.py::x", k), 10))
	}
	p := mustPack(t, s, Fleet{Shards: pool, MemoryJobs: AutoMemoryJobs, MaxMemoryJobs: 50})
	if n := len(p.Shards); n <= pool || n > MaxRows {
		t.Errorf("%d jobs, want more than %d and at most %d", n, pool, MaxRows)
	}
}
