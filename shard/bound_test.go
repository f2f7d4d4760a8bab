package shard

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/wcshard/wcshard/timing"
)

func TestBound(t *testing.T) {
	memory := test("m.py::x", 500)
	memory.Memory = true
	for _, c := range []struct {
		name  string
		suite Suite
		fleet Fleet
		want  time.Duration
	}{
		{"a fair share", Suite{Base: time.Second, Tests: tests("a.py", 12, 10)}, Fleet{Shards: 2, CPUs: 2}, 1030 * time.Millisecond},
		{"the longest test with its set-ups", Suite{Setups: []Setup{{ID: "a.py", Cost: 7 * time.Millisecond}}, Tests: []Test{{ID: "a.py::x", Setups: []int{0}, Estimate: timing.Estimate{Wall: 30 * time.Millisecond}}, test("b.py::x", 1)}}, Fleet{Shards: 2}, 37 * time.Millisecond},
		{"three equal tests on two machines", Suite{Tests: tests("a.py", 3, 10)}, Fleet{Shards: 2}, 20 * time.Millisecond},
		{"three memory modules in two jobs", Suite{Tests: slices.Concat(module("a.py", nil, 10), module("b.py", nil, 10), module("c.py", nil, 10))}, Fleet{Shards: 1, MaxMemoryJobs: 2, MemoryWorkers: 1}, 20 * time.Second},
		{"nine on four: one of these has three", Suite{Tests: tests("a.py", 9, 10)}, Fleet{Shards: 4, Workers: 1}, 30 * time.Millisecond},
		{"a memory module is one piece", Suite{Tests: append(tests("a.py", 3, 10), memory)}, Fleet{Shards: 2}, 500 * time.Millisecond},
	} {
		if p := mustPack(t, c.suite, c.fleet); p.Bound != c.want {
			t.Errorf("%s: the bound is %v, want %v", c.name, p.Bound, c.want)
		}
	}
}

// The bound knows that each worker of a job imports all that its job needs.
func TestBoundOfImports(t *testing.T) {
	var s Suite
	for k := range 20 {
		s.Setups = append(s.Setups, Setup{ID: timing.SetupID(fmt.Sprintf("f%02d.py", k)), Cost: 3 * time.Second, Import: true})
		x := test(fmt.Sprintf("f%02d.py::t", k), 2000)
		x.Setups, x.Estimate.Rung = []int{k}, timing.Measured
		s.Tests = append(s.Tests, x)
	}
	if p := mustPack(t, s, Fleet{Shards: 1, CPUs: 4}); p.Bound != 70*time.Second || p.Makespan != p.Bound {
		t.Errorf("the job takes %v, the bound is %v, want 1m10s of both", p.Makespan, p.Bound)
	}
	// One job of one worker for what is imported, and one of four for the rest, take 20 s.
	s = Suite{Base: time.Second, Bases: 3 * time.Second, Setups: []Setup{{ID: "a.py", Cost: 19 * time.Second, Import: true}}}
	for k := range 5 {
		x := test(fmt.Sprintf("b.py::t%d", k), 17_000)
		if k == 0 {
			x = test("a.py::t", 0)
			x.Setups = []int{0}
		}
		x.Estimate.Rung = timing.Measured
		s.Tests = append(s.Tests, x)
	}
	if p := mustPack(t, s, Fleet{Shards: 2, CPUs: 4}); p.Bound > 20*time.Second+time.Microsecond { // a test without time counts for that much
		t.Errorf("the bound is %v, want no more than the 20s that it can take", p.Bound)
	}
}

// A need that is so small that no schedule looks at it makes no bound either.
func TestBoundOfSmallNeeds(t *testing.T) {
	s := Suite{Tests: []Test{needing("a.py::x", 1000, 20, 20, 0)}}
	it := newItems(newSequence(&s), func(int32) bool { return true })
	if got := it.memoryTime(it.tests, 40*mebibyte, 1); got != 0 {
		t.Errorf("the bound is %v, want none", duration(got))
	}
}
