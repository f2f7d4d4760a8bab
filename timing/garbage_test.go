package timing

import (
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"
)

// A full collection of garbage is no cost of the test that it falls on, as far as that
// is longer than others of its file for it. All tests of a job pay for it.
func TestGarbage(t *testing.T) {
	r := &Results{Header: ResultsHeader{Run: "r", Runner: "linux", Started: time.UnixMilli(1).UTC(), Workers: 1, CPUs: 1}, Ended: true}
	at := time.Second
	add := func(id NodeID, ms int, collections int) {
		took := time.Duration(ms) * time.Millisecond
		r.Tests = append(r.Tests, TestResult{ID: id, Worker: "main", Outcome: Passed, Start: at, Call: took, Wall: took, Garbage: collections})
		at += took
	}
	for k := range 10 {
		add(NodeID(fmt.Sprintf("a.py::t%d", k)), 10, 0)
		add(NodeID(fmt.Sprintf("b.py::t%d", k)), 1000, 0)
	}
	add("a.py::long", 310, 1)
	add("a.py::longer", 330, 1)
	add("a.py::twice", 610, 2)
	add("a.py::heavy", 30_010, 40) // most of which is its own
	add("b.py::slow", 1310, 1)     // of 1310 ms 300 are garbage
	add("b.py::slower", 990, 1)    // and here none, for all we know
	add("c.py::asks", 400, 1)      // nothing else in its file
	for k := range 6 {
		add(NodeID(fmt.Sprintf("d.py::skip%d", k)), 0, 0)
		r.Tests[len(r.Tests)-1].Outcome = Skipped
	}
	add("d.py::own", 1300, 1)
	r.Workers = []WorkerResult{{Worker: "main", Startup: 400 * time.Millisecond, Collect: 500 * time.Millisecond}}
	r.Elapsed = at
	h := FromResults(r)
	for id, want := range map[NodeID]int{
		"a.py::t0": 10, "a.py::long": 10, "a.py::longer": 30, "a.py::twice": 10, "a.py::heavy": 30_010 - 40*300,
		"b.py::slow": 1010, "b.py::slower": 990, "c.py::asks": 400, "d.py::own": 1300,
	} {
		if got := h.Estimator("linux").Tests([]NodeID{id})[0].Wall; got != time.Duration(want)*time.Millisecond {
			t.Errorf("%s takes %v, want %d ms", id, got, want)
		}
	}
	if got := h.EstimatorAt(Place{Runner: "linux", Workers: 1, CPUs: 1}).Tests([]NodeID{"b.py::t0"})[0].Wall; got <= 1000*time.Millisecond {
		t.Errorf("in a job b.py::t0 takes %v, want its share of the garbage as well", got)
	}
	odd := *r // one of ten relatives is long
	odd.Tests = slices.Clone(r.Tests)
	odd.Tests[0].Call = 10 * time.Second
	if paused := garbage(&odd); paused == nil || paused[20] != 300*time.Millisecond {
		t.Errorf("beside a long relative a.py::long is %v longer for garbage, want 300ms", paused)
	}
	few := *r
	few.Tests = r.Tests[:22]
	if garbage(&few) != nil {
		t.Error("two tests tell what a collection takes")
	}
	if garbage(jobRun("r", 1, 1, 1300, 1200, 100)) != nil {
		t.Error("there is garbage where there was none")
	}
}

// What a collection takes is known of enough tests with one, where most of them took
// longer for it than enough others of their file.
func TestGarbageKnown(t *testing.T) {
	job := func(relatives int, ms ...int) *Results { // of tests that take 100 ms, and those with a collection
		r := &Results{Ended: true}
		for k := range relatives {
			r.Tests = append(r.Tests, passed(NodeID(fmt.Sprintf("a.py::t%d", k)), 100))
		}
		for k, took := range ms {
			r.Tests = append(r.Tests, passed(NodeID(fmt.Sprintf("a.py::g%d", k)), took))
			r.Tests[len(r.Tests)-1].Garbage = 1
		}
		return r
	}
	stopped := job(5, 400, 400, 400, 400, 400)
	stopped.Ended = false
	twice := job(5, 700, 700, 700, 700, 700)
	for i := range twice.Tests[5:] {
		twice.Tests[5+i].Garbage = 2
	}
	quick := job(5, 100, 400, 800, 800, 800)
	for i := range 5 {
		quick.Tests[i].Call = 0
	}
	for _, c := range []struct {
		name string
		r    *Results
		want []int // ms, of those with a collection
	}{
		{"five of each", job(5, 400, 400, 400, 400, 400), []int{300, 300, 300, 300, 300}},
		{"four with one", job(5, 400, 400, 400, 400), nil},
		{"four without", job(4, 400, 400, 400, 400, 400), nil},
		{"two collections each", twice, []int{600, 600, 600, 600, 600}},
		{"most take no longer", job(5, 90, 90, 90, 400, 400), nil},
		{"no more than the quickest quarter took", quick, []int{100, 400, 400, 400, 400}},
		{"stopped", stopped, nil},
	} {
		var got []int
		if paused := garbage(c.r); paused != nil {
			for _, longer := range paused[5:] {
				got = append(got, int(longer.Milliseconds()))
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: tests are longer by %d ms, want %d", c.name, got, c.want)
		}
	}
}

// Garbage is taken from a test's call first, and once.
func TestWithoutGarbage(t *testing.T) {
	got := TestResult{Setup: 300, Call: 100, Teardown: 50, Wall: 500}.without(200)
	if want := (TestResult{Setup: 200, Teardown: 50, Wall: 300}); !reflect.DeepEqual(got, want) {
		t.Errorf("without(200) = %+v, want %+v", got, want)
	}
}
