package timing

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// times makes a history of one test with one sample a run, oldest first.
func sampled(id NodeID, samples ...TestResult) *History {
	h := &History{}
	for i, s := range samples {
		s.ID, s.Worker = id, "main"
		h.Merge(FromResults(run(string(rune('a'+i)), int64(i+1), s)))
	}
	return h
}

func took(outcome Outcome, ms int) TestResult {
	d := time.Duration(ms) * time.Millisecond
	return TestResult{Outcome: outcome, Call: d, Wall: d}
}

func TestEstimateMeasured(t *testing.T) {
	crashed := took(Crashed, 0)
	for _, c := range []struct {
		name    string
		samples []TestResult // oldest first
		want    int          // ms
	}{
		{"one", []TestResult{took(Passed, 5)}, 5},
		{"two that differ: the smaller", []TestResult{took(Passed, 500), took(Passed, 5)}, 5},
		{"two: their mean", []TestResult{took(Passed, 8), took(Passed, 4)}, 6},
		{"an outlier above", []TestResult{took(Passed, 5), took(Passed, 6), took(Passed, 300)}, 6},
		{"an outlier below", []TestResult{took(Passed, 50), took(Passed, 2), took(Passed, 52)}, 50},
		{"four", []TestResult{took(Passed, 8), took(Passed, 5), took(Passed, 6), took(Passed, 300)}, 7},
		{"eight", []TestResult{took(Passed, 1), took(Passed, 1), took(Passed, 10), took(Passed, 20), took(Passed, 30), took(Passed, 40), took(Passed, 900), took(Passed, 900)}, 25},
		{"three slow ones at last: it stays so", slices.Concat(slices.Repeat([]TestResult{took(Passed, 10)}, 7), slices.Repeat([]TestResult{took(Passed, 100)}, 3)), 100},
		{"two slow ones at last", slices.Concat(slices.Repeat([]TestResult{took(Passed, 10)}, 8), slices.Repeat([]TestResult{took(Passed, 100)}, 2)), 10},
		{"three fast ones at last", slices.Concat(slices.Repeat([]TestResult{took(Passed, 100)}, 7), slices.Repeat([]TestResult{took(Passed, 10)}, 3)), 10},
		{"slow ones among fast ones", []TestResult{took(Passed, 10), took(Passed, 10), took(Passed, 10), took(Passed, 100), took(Passed, 10), took(Passed, 100), took(Passed, 100)}, 10},
		{"skips don't count as fast", []TestResult{took(Passed, 90), took(Skipped, 1), took(Skipped, 1)}, 90},
		{"skipped for good", []TestResult{took(Passed, 90), took(Skipped, 1), took(Skipped, 2), took(Skipped, 2)}, 2},
		{"always skipped", []TestResult{took(Skipped, 3)}, 3},
		{"failed early", []TestResult{took(Passed, 90), took(Failed, 1), took(Error, 1), took(Failed, 1)}, 90},
		{"fails in each run", []TestResult{took(Passed, 90), took(Passed, 90), took(Failed, 6000), took(Error, 6000), took(Failed, 6000)}, 6000},
		{"failed until lately", []TestResult{took(Passed, 90), took(Failed, 6000), took(Failed, 6000), took(Failed, 6000), took(Passed, 90)}, 90},
		{"only failed", []TestResult{took(Failed, 7), took(Error, 8), took(Failed, 9)}, 8},
		{"failed and skipped", []TestResult{took(Failed, 7), took(Skipped, 1), took(Skipped, 1)}, 7},
		{"xfailed and xpassed count", []TestResult{took(XFailed, 7), took(XPassed, 8), took(XFailed, 9)}, 8},
		{"crashed is not fast", []TestResult{took(Passed, 90), crashed, crashed, crashed}, 90},
		{"a week of zeros", []TestResult{took(Passed, 90), took(Passed, 0), took(Passed, 0)}, 90},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := sampled("a.py::t", c.samples...).Estimator("linux").Tests([]NodeID{"a.py::t"})[0]
			if want := (Estimate{Wall: time.Duration(c.want) * time.Millisecond, Rung: Measured}); got != want {
				t.Errorf("Tests() = %v, want %v", got, want)
			}
		})
	}
}

// What each job of a run has a sample of is known of several runs: one in which all
// took long moves nothing.
func TestEstimateRecent(t *testing.T) {
	var all []*Results
	for k := range 5 * 16 {
		took := time.Second
		if k >= 4*16 { // the last run
			took = 9 * time.Second
		}
		r := run(fmt.Sprintf("r%d", k/16), int64(1000+k), passed(NodeID(fmt.Sprintf("a%d.py::t", k%16)), 10))
		r.Tests[0].Fixtures = []FixtureResult{{ID: "session ::db", Setup: took}}
		r.Workers = []WorkerResult{{Worker: "main", Startup: took, Collect: took, Imports: map[string]time.Duration{"import numpy": took}}}
		all = append(all, r)
	}
	h := FromResults(all...)
	h.Prune(Limits{})
	e := h.Estimator("linux")
	if a, b, c := e.Fixture("session ::db"), e.Library("numpy"), e.Session(1); a != time.Second || b != time.Second || c != time.Second {
		t.Errorf("a fixture takes %v, a library %v, a session %v, want 1s of each", a, b, c)
	}
}

// Who keeps more samples has more of what tests share, too.
func TestEstimateKeep(t *testing.T) {
	var all []*Results
	for k := range 30 {
		r := run(fmt.Sprint("r", k), int64(1+k), passed("a.py::t", 1))
		r.Tests[0].Fixtures = []FixtureResult{{ID: "session ::db", Setup: time.Second}}
		if k >= 20 {
			r.Tests[0].Fixtures[0].Setup = 1800 * time.Millisecond
		}
		all = append(all, r)
	}
	for keep, want := range map[int]time.Duration{10: 1800 * time.Millisecond, 30: 1300 * time.Millisecond} {
		h := FromResults(all...)
		h.Prune(Limits{Keep: keep})
		if got := h.Estimator("linux").Fixture("session ::db").Round(time.Second / 10); got != want {
			t.Errorf("of %d runs a fixture takes %v, want %v", keep, got, want)
		}
	}
}

// Of as many jobs as there may be several runs are known: the newest one alone does not
// decide, not of a file either that is cut over all of them.
func TestEstimateManyJobs(t *testing.T) {
	var all []*Results
	for k := range int64(5) {
		for job := range int64(200) {
			took := time.Second
			if k == 4 { // the last run
				took = 9 * time.Second
			}
			r := run(fmt.Sprint("r", k), 1000*(k+1)+job, passed("a.py::t", 10))
			r.Tests[0].Fixtures = []FixtureResult{{ID: "session ::db", Setup: took}, {ID: "module a.py::data", Setup: took}}
			r.Workers = []WorkerResult{{Worker: "main", Imports: map[string]time.Duration{"a.py": took}}}
			all = append(all, r)
		}
	}
	h := FromResults(all...)
	h.Prune(Limits{})
	for _, id := range []SetupID{"session ::db", "module a.py::data", "a.py"} {
		if got := h.Estimator("linux").Setup(id); got != time.Second {
			t.Errorf("%s takes %v, want 1s", id, got)
		}
	}
	for _, s := range slices.Concat(h.series[fixtureKind], h.series[fileKind]) {
		if len(s.samples) != 5*sharedKept {
			t.Errorf("%d samples are kept of %s, want %d of each run", len(s.samples), s.id, sharedKept)
		}
	}
}

// A skip for a marker that the collection knows of says nothing of what a test takes
// when it runs, however often it was skipped.
func TestEstimateMarked(t *testing.T) {
	skip := took(Skipped, 1)
	skip.Marked = true
	h := sampled("a.py::t", slices.Concat([]TestResult{took(Passed, 90)}, slices.Repeat([]TestResult{skip}, 20))...)
	h.Prune(Limits{})
	e := h.Estimator("linux")
	if got := e.Tests([]NodeID{"a.py::t"})[0]; got.Wall != 90*time.Millisecond || got.Rung != Measured {
		t.Errorf("it is estimated with %+v, want the 90ms that it took", got)
	}
	if got := e.Skip(); got.Wall != guessOther || got.Rung != Measured {
		t.Errorf("a skip is estimated with %+v, want %v", got, guessOther)
	}
	// Where the marker depends on the machine, the newest runs tell.
	if sampled("a.py::t", took(Passed, 90), took(Skipped, 1)).Estimator("linux").Runs("a.py::t") {
		t.Error("a test that was skipped while it ran, in the newest run, does run")
	}
	for runs, want := range map[string]bool{"": false, "r": true, "m": false, "rr": true, "rm": false, "mr": false, "rrr": true, "mrrr": true, "rrrm": false, "rrmr": false} { // oldest first
		var all []*Results
		for k, what := range runs {
			marked := skip
			if marked.ID, marked.Worker = "a.py::t", "main"; what == 'r' {
				marked = passed("a.py::t", 90)
			}
			all = append(all, run(fmt.Sprint("r", k), int64(k+1), marked))
			all[k].Workers = []WorkerResult{{Worker: "main", Imports: map[string]time.Duration{"a.py": time.Millisecond}}}
		}
		if got := FromResults(all...).Estimator("linux").Runs("a.py::t"); got != want {
			t.Errorf("after %q it runs: %v, want %v", runs, got, want)
		}
	}
	// A memory test may have died on the pool's runners, and has run on larger ones since.
	var runs []*Results
	for k, runner := range []string{"linux", "large", "large", "large"} {
		pool, own := run(fmt.Sprint("r", k), int64(10*k+1), passed("a.py::other", 1)), run(fmt.Sprint("r", k), int64(10*k+2), passed("a.py::t", 90))
		if own.Header.Runner = runner; k == 0 {
			own.Tests[0].Outcome = Crashed
		}
		runs = append(runs, pool, own)
	}
	if !FromResults(runs...).Estimator("linux").Runs("a.py::t") {
		t.Error("it does not run, though it does on the runners of memory tests")
	}
	// What another class of runner skips says nothing of this one.
	local := run("local", 9, skip)
	local.Header.Runner, local.Tests[0].ID = "local", "a.py::t"
	local.Workers = []WorkerResult{{Worker: "main", Imports: map[string]time.Duration{"a.py": time.Millisecond}}}
	for runner, want := range map[string]bool{"linux": true, "local": false} {
		if got := FromResults(run("r", 1, passed("a.py::t", 90)), local).Estimator(runner).Runs("a.py::t"); got != want {
			t.Errorf("on %s it runs: %v, want %v", runner, got, want)
		}
	}
	mac := run("mac", 1, passed("b.py::t", 1)) // which had no tests of the file
	mac.Header.Runner = "mac"
	if !FromResults(mac, run("r", 5, passed("a.py::t", 1))).Estimator("mac").Runs("a.py::t") {
		t.Error("on mac it does not run, though it did in each run of its file elsewhere")
	}
	if got := new(History).Estimator("linux").Skip(); got.Rung != Guess {
		t.Errorf("without a history, a skip is %v, want a guess", got.Rung)
	}
}

// A test that took no time where others did is not free. Where none took any,
// the clock failed, and nothing is known.
func TestEstimateZero(t *testing.T) {
	passed := func(id NodeID, ms int) TestResult {
		r := took(Passed, ms)
		r.ID, r.Worker = id, "main"
		return r
	}
	for _, c := range []struct {
		name string
		runs []*Results
		want Estimate
	}{
		{"beside one that took some", []*Results{run("r", 1, passed("a.py::t", 0), passed("b.py::t", 10))}, Estimate{Wall: guessOther}},
		{"alone", []*Results{run("r", 1, passed("a.py::t", 0))}, Estimate{Wall: guessWall, Rung: Guess}},
		{"new in a run without a clock", []*Results{
			run("r", 1, passed("b.py::t", 10), passed("c.py::t", 20)), run("s", 2, passed("a.py::t", 0), passed("b.py::t", 0)),
		}, Estimate{Wall: 15 * time.Millisecond, Rung: Suite}},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := &History{}
			for _, r := range c.runs {
				h.Merge(FromResults(r))
			}
			if got := h.Estimator("linux").Tests([]NodeID{"a.py::t"})[0]; got != c.want {
				t.Errorf("Tests() = %v, want %v", got, c.want)
			}
		})
	}
}

// A skip takes what each test adds to its job as well.
func TestEstimateSkip(t *testing.T) {
	job := jobRun("j", 1, 1, 100, 100, 100)
	job.Elapsed = job.Tests[1].Start + job.Tests[1].Wall + time.Second // a long end
	h := FromResults(job)
	alone, beside := h.EstimatorAt(Place{"linux", 1, 2}), h.EstimatorAt(Place{"linux", 2, 2})
	end := alone.Tests([]NodeID{"a.py::t0"})[0].Wall - beside.Tests([]NodeID{"a.py::t0"})[0].Wall
	if got := alone.Skip().Wall - beside.Skip().Wall; end <= 0 || got != end {
		t.Errorf("where a test adds %v to the end of its job, a skip adds %v", end, got)
	}
}

// One failure after a minute is not what a test takes here, while it passes elsewhere.
func TestEstimateFailureHere(t *testing.T) {
	there, here := run("linux", 1, passed("a.py::t", 10)), run("arm", 2, took(Failed, 60_000))
	here.Header.Runner, here.Tests[0].ID = "arm", "a.py::t"
	if got := FromResults(there, here).Estimator("arm").Tests([]NodeID{"a.py::t"})[0].Wall; got != 10*time.Millisecond {
		t.Errorf("it takes %v, want the 10ms of a pass", got)
	}
}

// A fixture of a class is the file's, and one of the session everybody's.
func TestEstimateFixturesOf(t *testing.T) {
	r := run("r", 1, passed("a.py::t", 1))
	r.Tests[0].Fixtures = []FixtureResult{{ID: "class b.py::T::f", Setup: time.Second}, {ID: "session ::s", Setup: 2 * time.Second}}
	e := FromResults(r).Estimator("linux")
	for file, want := range map[string]time.Duration{"a.py": 2 * time.Second, "b.py": 3 * time.Second} {
		if got := e.FixturesOf(file); got != want {
			t.Errorf("FixturesOf(%q) = %v, want %v", file, got, want)
		}
	}
}

func TestEstimateRunner(t *testing.T) {
	sample := func(runner string, started int64, result TestResult) *Results {
		r := run(runner, started, result)
		r.Header.Runner = runner
		r.Workers = []WorkerResult{{Worker: "main", Startup: time.Duration(started) * time.Second, Tail: time.Millisecond}}
		return r
	}
	result := func(outcome Outcome, ms int, peak int64) TestResult {
		r := took(outcome, ms)
		r.ID, r.Peak = "a.py::t", peak
		return r
	}
	h := FromResults(
		sample("linux", 1, result(Passed, 10, 100)), sample("linux", 2, result(Passed, 12, 300)), sample("linux", 3, result(Passed, 11, 200)),
		sample("mac", 4, result(Passed, 50, 900)), sample("windows", 5, result(Skipped, 2, 50)), sample("arm", 6, result(Failed, 3, 50)),
	)
	for _, c := range []struct {
		runner  string
		want    Estimate
		session time.Duration
	}{
		{"linux", Estimate{Wall: 12 * time.Millisecond, Peak: 300, Need: Need{High: 100}}, 2 * time.Second},
		{"mac", Estimate{Wall: 51 * time.Millisecond, Peak: 900, Need: Need{High: 900}}, 4 * time.Second},
		{"windows", Estimate{Wall: 3 * time.Millisecond, Peak: 50, Need: Need{High: 50}}, 5 * time.Second},                   // skipped there
		{"arm", Estimate{Wall: 12*time.Millisecond + 500*time.Microsecond, Peak: 50, Need: Need{High: 50}}, 6 * time.Second}, // failed there: what the others take
		{"solaris", Estimate{Wall: 12*time.Millisecond + 500*time.Microsecond, Peak: 900, Need: Need{High: 100}}, 3500 * time.Millisecond},
	} {
		e := h.Estimator(c.runner)
		if got := e.Tests([]NodeID{"a.py::t"})[0]; got != c.want {
			t.Errorf("on %s: Tests() = %v, want %v", c.runner, got, c.want)
		}
		if got := e.Session(1); got != c.session {
			t.Errorf("on %s: Session() = %v, want %v", c.runner, got, c.session)
		}
	}
}

func TestEstimateShared(t *testing.T) {
	ms := time.Millisecond
	r := run("r", 1, TestResult{ID: "a.py::t", Worker: "gw0", Outcome: Passed, Start: 120 * ms, Wall: 50 * ms, Fixtures: []FixtureResult{
		{"module a.py::model", 10 * ms, 2 * ms}, {"module b.py::model", 30 * ms, 0}, {"module c.py::model[1]", 21 * ms, 0}, {"session ::model", 70 * ms, 0},
	}})
	r.Workers = []WorkerResult{
		{Worker: "gw0", Startup: 40 * ms, Collect: 70 * ms, Imports: map[string]time.Duration{"a.py": 30 * ms, "b.py": 10 * ms, "import numpy": 20 * ms}, Tail: 3 * ms},
		{Worker: "gw1", Startup: 41 * ms, Collect: 71 * ms, Imports: map[string]time.Duration{"a.py": 35 * ms, "b.py": 11 * ms, "import numpy": 20 * ms}},
	}
	r.Ended, r.Elapsed = true, 370*ms
	killed := run("r2", 2, r.Tests...)
	killed.Workers = r.Workers
	e := FromResults(r).Estimator("linux")
	slow := *r // xdist took more than a start-up and what is usual
	slow.Elapsed += 100 * ms
	single := run("r3", 3, TestResult{ID: "a.py::t", Worker: "main", Outcome: Passed, Start: 120 * ms, Wall: 50 * ms})
	single.Workers = []WorkerResult{{Worker: "main", Startup: 40 * ms, Collect: 70 * ms}}
	single.Ended, single.Elapsed = true, 200*ms
	for _, c := range []struct {
		what      string
		got, want time.Duration
	}{
		{"import", e.File("a.py"), 30 * ms},
		{"unknown import: the median", e.File("new.py"), 10 * ms},
		{"library", e.Library("numpy"), 20 * ms},
		{"unknown library", e.Library("scipy"), 0},
		{"fixture", e.Fixture("module a.py::model"), 12 * ms},
		{"fixture elsewhere: the median of 12, 21, 30", e.Fixture("module d.py::model[2]"), 21 * ms},
		{"unknown fixture", e.Fixture("class a.py::TestC::model"), 0},
		{"all fixtures of a file, and of the session", e.FixturesOf("a.py"), 82 * ms},
		{"the session's", e.FixturesOf("new.py"), 70 * ms},
		{"session that was killed beside it", FromResults(r, killed).Estimator("linux").Session(2), 255 * ms},
		{"session, with the wait for the first test", e.Session(2), 40*ms + 5*ms + 200*ms + 10*ms},
		{"session in the main process, from one with xdist", FromResults(&slow).Estimator("linux").Session(1), 45*ms + 310*ms - 40*ms - 200*ms},
		{"session in the main process, from one with xdist that took less than is usual", e.Session(1), 45 * ms},
		{"session in the main process", FromResults(single).Estimator("linux").Session(1), 110*ms + 30*ms + 10*ms},
		{"session with xdist, from one without", FromResults(single).Estimator("linux").Session(2), 150*ms + 40*ms + 200*ms},
		{"each kind has its own", FromResults(r, single).Estimator("linux").Session(2), 255 * ms},
		{"nothing known", (&History{}).Estimator("linux").Session(1), 0},
		{"nothing known", (&History{}).Estimator("linux").File("a.py"), 0},
		{"nothing known", (&History{}).Estimator("linux").Fixture("session ::x"), 0},
	} {
		if c.got != c.want {
			t.Errorf("%s: %v, want %v", c.what, c.got, c.want)
		}
	}
}

// Times as long as a file may say are not too long for what is reckoned from them.
func TestEstimateLongest(t *testing.T) {
	const most = 1_000_000_000_000_000 * time.Microsecond
	r := run("r", 1, TestResult{ID: "a.py::t", Worker: "main", Outcome: Passed, Setup: most, Call: most, Teardown: most, Wall: most})
	for k := range 5 {
		r.Tests[0].Fixtures = append(r.Tests[0].Fixtures, FixtureResult{SetupID(fmt.Sprintf("session ::s%d", k)), most, most})
	}
	e := FromResults(r).Estimator("linux")
	if got := e.FixturesOf("a.py"); got < most {
		t.Errorf("five fixtures take %v, want at least %v", got, most)
	}
	e.scale = []float64{mostPace * mostContention}
	if got := e.Tests([]NodeID{"a.py::t"})[0].Wall; got < most {
		t.Errorf("a test takes %v, want at least %v", got, most)
	}
	r.Tests[0].Setup, r.Tests[0].Call, r.Tests[0].Teardown = 0, time.Second, 0
	r.Tests[0].Wall = time.Minute // of which the fixtures would be all
	if got := FromResults(r).Samples("a.py::t")[0]; got.Other != 0 {
		t.Errorf("the test takes %v beside its phases, want nothing", got.Other)
	}
}

// Imported samples hold nothing of pytest's own time around the phases: the
// suite's usual one is added.
func TestEstimateImported(t *testing.T) {
	h := FromResults(run("r", 1000,
		TestResult{ID: "a.py::a", Outcome: Passed, Call: time.Millisecond, Wall: 4 * time.Millisecond},
		TestResult{ID: "a.py::b", Outcome: Passed, Call: time.Millisecond, Wall: 5 * time.Millisecond},
		TestResult{ID: "a.py::c", Outcome: Passed, Call: time.Millisecond, Wall: 6 * time.Millisecond},
	))
	b := newBuilder()
	b.add(testKind, "a.py::d", sample{source: b.source(time.UnixMilli(0), importPrefix+"x", ""), call: 10000})
	foreign := b.history()
	if got, want := foreign.Estimator("linux").Tests([]NodeID{"a.py::d"})[0].Wall, 12*time.Millisecond; got != want {
		t.Errorf("with nothing measured: %v, want %v", got, want)
	}
	h.Merge(foreign)
	if got, want := h.Estimator("linux").Tests([]NodeID{"a.py::d"})[0].Wall, 14*time.Millisecond; got != want {
		t.Errorf("with measured tests: %v, want %v", got, want)
	}
}

// An estimate is between the shortest and the longest sample, whatever the
// order in which results come, and one more sample, however wild, moves that of
// two or more others no further than they are apart.
func TestEstimateBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		times := rapid.SliceOfN(rapid.Int64Range(1, 1e5), 1, DefaultKeep+2).Draw(t, "times")
		var all []*Results
		for i, us := range times {
			all = append(all, run(string(rune('a'+i)), int64(i+1), TestResult{ID: "a.py::t", Worker: "main", Outcome: Passed, Wall: time.Duration(us) * time.Microsecond}))
		}
		of := func(results []*Results) int64 {
			return FromResults(results...).Estimator("linux").Tests([]NodeID{"a.py::t"})[0].Wall.Microseconds()
		}
		got, low, high := of(all), slices.Min(times), slices.Max(times)
		if got < low || got > high {
			t.Fatalf("%d µs of %v", got, times)
		}
		if again := of(rapid.Permutation(all).Draw(t, "merged in this order")); again != got {
			t.Fatalf("%d µs of %v, merged in another order %d", got, times, again)
		}
		if len(times) < 3 {
			return
		}
		out := rapid.IntRange(0, len(times)-1).Draw(t, "one more")
		others := slices.Delete(slices.Clone(times), out, out+1)
		without := of(slices.Delete(slices.Clone(all), out, out+1))
		if moved, apart := max(got-without, without-got), slices.Max(others)-slices.Min(others); moved > apart {
			t.Fatalf("%d µs of %v, %d without number %d: %d are between the others", got, times, without, out, apart)
		}
	})
}

// Each test's estimate depends on the set of tests, not on their order, and an
// estimator asked twice says the same.
func TestEstimateOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := FromResults(drawResults(t)...)
		ids := rapid.SliceOf(rapid.Custom(func(t *rapid.T) NodeID {
			file := rapid.SampledFrom([]string{"a.py", "b.py", "x/a.py", "c.py"}).Draw(t, "file")
			return NodeID(file + rapid.SampledFrom([]string{"", "::a", "::b", "::a[1]", "::C::a", "::C::b[x::y]", "::"}).Draw(t, "rest"))
		})).Draw(t, "ids")
		e := h.Estimator("linux")
		want := map[NodeID]Estimate{}
		for i, got := range e.Tests(ids) {
			want[ids[i]] = got
			if got.Wall <= 0 || h.Len() == 0 && got.Rung != Guess || !slices.Contains(h.Tests(), ids[i]) && got.Rung == Measured {
				t.Fatalf("%q: %v", ids[i], got)
			}
		}
		shuffled := rapid.Permutation(ids).Draw(t, "shuffled")
		for _, e := range []*Estimator{e, h.Estimator("linux")} {
			for i, got := range e.Tests(shuffled) {
				if got != want[shuffled[i]] {
					t.Fatalf("%q: %v, in another order %v", shuffled[i], got, want[shuffled[i]])
				}
			}
		}
	})
}
