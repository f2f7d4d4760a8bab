package timing

import (
	"testing"
	"time"
)

// A test rose from what its worker was last seen to hold; where nobody saw its start, what
// the worker held is known, and no rise.
func TestFromResultsMemory(t *testing.T) {
	r := run("r", 1,
		TestResult{ID: "a.py::a", Worker: "gw0", Outcome: Passed, Wall: 1, Before: 100, Peak: 300, After: 200},
		TestResult{ID: "a.py::b", Worker: "gw0", Outcome: Crashed},
		TestResult{ID: "a.py::c", Worker: "gw0", Outcome: Crashed, Peak: 900})
	r.Running = []TestStart{{ID: "a.py::hangs", Worker: "gw1"}}
	r.Killed = []KilledTest{{ID: "a.py::unseen", Worker: "gw0", Held: 700}}
	h := FromResults(r)
	for id, want := range map[NodeID]Sample{
		"a.py::c":      {Rise: 700, Peak: 900}, // since the last of which memory is known
		"a.py::unseen": {Rise: 0, Peak: 700},   // nobody saw its start
	} {
		if got := h.Samples(id)[0]; got.Rise != want.Rise || got.Peak != want.Peak {
			t.Errorf("%s rose by %d to %d, want %d to %d", id, got.Rise, got.Peak, want.Rise, want.Peak)
		}
	}
	if h.Knows("a.py::hangs") {
		t.Error("a test that hung unseen has a sample")
	}
}

// A killed try that has no result but its crash is one sample, of what it held.
func TestFromResultsKilled(t *testing.T) {
	r := run("r", 1, TestResult{ID: "a.py::t", Worker: "main", Outcome: Crashed})
	r.Killed = []KilledTest{{ID: "a.py::t", Worker: "gw0", Before: 1, Held: 9}}
	if got := FromResults(r).Samples("a.py::t"); len(got) != 1 || got[0].Peak != 9 {
		t.Errorf("samples %+v, want one with a peak of 9", got)
	}
}

// A job of which there is nothing to keep takes no place in the history.
func TestFromResultsOfNothing(t *testing.T) {
	if got := FromResults(run("r", 1)); len(got.sources) > 0 {
		t.Errorf("sources %v of no samples", got.sources)
	}
}

// What a session takes is what its workers said: none that told nothing, and not the
// process that ran a killed test again.
func TestFromResultsWorkers(t *testing.T) {
	ms := time.Millisecond
	for _, c := range []struct {
		name    string
		workers []WorkerResult
		session time.Duration
		tail    int64 // µs
		floor   int64
	}{
		{"one that told nothing", []WorkerResult{{Worker: "gw0", Startup: 300 * ms, Tail: 5 * ms, Floor: 900}, {Worker: "gw1", Floor: 800}}, 300 * ms, 5000, 900},
		{"killed tests ran again", []WorkerResult{
			{Worker: "gw0", Startup: 100 * ms, Floor: 100}, {Worker: "gw1", Startup: 300 * ms},
			{Worker: "main", Startup: 900 * ms, Floor: 9000}, {Worker: "main", PID: 2, Startup: 900 * ms},
		}, 100 * ms, 0, 100},
	} {
		r := run("r", 1, passed("a.py::t", 1))
		r.Workers = c.workers
		e := FromResults(r).EstimatorAt(Place{Runner: "linux", Workers: 2})
		if e.Session(2) != c.session || e.tail != c.tail || e.Floor() != c.floor {
			t.Errorf("%s: a session takes %v, a tail %d µs, the floor is %d; want %v, %d, %d", c.name, e.Session(2), e.tail, e.Floor(), c.session, c.tail, c.floor)
		}
	}
}

// Whatever times a CI tells, the history of them can be read.
func TestFromJobsBounds(t *testing.T) {
	r := run("r", 1, passed("a.py::t", 1))
	for _, job := range []JobOverhead{{r, 2 * mostTime, 0}, {r, time.Second, -time.Second}} {
		file := bytesOf(t, FromJobs(job))
		if again := bytesOf(t, reread(t, file)); again != file {
			t.Errorf("of %v and %v, read again it is\n%s, was\n%s", job.Overhead, job.Queued, again, file)
		}
	}
}
