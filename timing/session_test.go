package timing

import (
	"fmt"
	"testing"
	"time"
)

// What the end of a session takes grows with its tests: a job with few of them
// does not pay what a session with all of them paid.
func TestSessionEnd(t *testing.T) {
	session := func(started int64, tests int, end time.Duration) *Results {
		r := &Results{Header: ResultsHeader{Run: fmt.Sprint(started), Runner: "linux", Started: time.UnixMilli(started).UTC(), Workers: 1, CPUs: 2}}
		at := time.Second
		for k := range tests {
			r.Tests = append(r.Tests, TestResult{ID: NodeID(fmt.Sprintf("a.py::t%d", k)), Worker: "main", Outcome: Passed, Start: at, Call: time.Millisecond, Wall: time.Millisecond})
			at += time.Millisecond
		}
		r.Workers = []WorkerResult{{Worker: "main", Startup: 960 * time.Millisecond, Collect: 40 * time.Millisecond}}
		r.Ended, r.Elapsed = true, at+end
		return r
	}
	collected := func(r *Results, took time.Duration) *Results {
		for i := range r.Tests {
			r.Tests[i].Start += took - r.Workers[0].Collect
		}
		r.Elapsed += took - r.Workers[0].Collect
		r.Workers[0].Collect = took
		return r
	}
	// Samples of earlier versions do not tell how many tests there were.
	h := FromResults(session(1000, 5000, 1100*time.Millisecond), session(2000, 5000, 1100*time.Millisecond))
	h.series[sessionKind][0].samples[0].rise = 0
	if got := h.EstimatorAt(Place{Runner: "linux", Workers: 1, CPUs: 2}).Session(1); got != 1100*time.Millisecond {
		t.Errorf("with an old sample the session takes %v, want 1.1s", got)
	}
	h.series[sessionKind][0].samples[1].rise = 0
	if got := h.EstimatorAt(Place{Runner: "linux", Workers: 1, CPUs: 2}).Session(1); got != 2100*time.Millisecond {
		t.Errorf("of old samples the session takes %v, want 2.1s", got)
	}
	for _, test := range []struct {
		name     string
		sessions []*Results
		session  time.Duration // without what each test adds
		byTest   time.Duration
	}{
		{"short", []*Results{session(1000, 1000, 80*time.Millisecond)}, 1080 * time.Millisecond, 0},
		{"many tests", []*Results{session(1000, 5000, 1100*time.Millisecond)}, 1100 * time.Millisecond, 200 * time.Microsecond},
		{"a report of its own", []*Results{session(1000, 100, 3*time.Second)}, 3975 * time.Millisecond, 250 * time.Microsecond},
		{"other ends", []*Results{session(1000, 7500, time.Second), session(2000, 1000, 320*time.Millisecond)}, 1125 * time.Millisecond, 170 * time.Microsecond},
		{"jobs, too", []*Results{session(1000, 5000, 1100*time.Millisecond), session(2000, 500, 200*time.Millisecond)}, 1100 * time.Millisecond, 200 * time.Microsecond},
		{"a long collection", []*Results{collected(session(1000, 5000, 1100*time.Millisecond), 600*time.Millisecond)}, 1110 * time.Millisecond, 310 * time.Microsecond},
	} {
		e := FromResults(test.sessions...).EstimatorAt(Place{Runner: "linux", Workers: 1, CPUs: 2})
		byTest := e.Tests([]NodeID{"a.py::t1"})[0].Wall - time.Millisecond
		if got := e.Session(1); got != test.session || byTest != test.byTest {
			t.Errorf("%s: the session takes %v, and %v a test, want %v and %v", test.name, got, byTest, test.session, test.byTest)
		}
		// With workers the end is the controller's, which is not known here.
		with := FromResults(test.sessions...).EstimatorAt(Place{Runner: "linux", Workers: 2, CPUs: 2})
		if got := with.Tests([]NodeID{"a.py::t1"})[0].Wall; got != time.Millisecond {
			t.Errorf("%s: beside other workers a test takes %v", test.name, got)
		}
	}
}
