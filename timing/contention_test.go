package timing

import (
	"fmt"
	"math"
	"testing"
	"time"
)

// wallAt is what a test takes in a job of such a place, in whole milliseconds.
func wallAt(h *History, p Place, id NodeID) time.Duration {
	return h.EstimatorAt(p).Tests([]NodeID{id})[0].Wall.Round(time.Millisecond)
}

// Tests that ran alone take 100 ms, and 160 ms beside others: what is known of
// one is made into the other, the more so the more runs say so.
func TestContention(t *testing.T) {
	at := func(workers int) Place { return Place{"linux", workers, 2} }
	h := &History{}
	for k := range 3 {
		h.Merge(FromResults(jobRun(fmt.Sprint("one", k), int64(k), 1, 1000, 0, 100)))
	}
	if got := wallAt(h, at(2), "a.py::t0"); got != 100*time.Millisecond {
		t.Errorf("nothing known of two workers: %v", got)
	}
	if e := h.EstimatorAt(at(2)); !e.Corrects() || h.EstimatorAt(at(1)).Corrects() {
		t.Error("times of other numbers of workers are not told from the same")
	}
	// Only t2 and t3 ran with two workers first; t0 learns from them.
	for k := range 3 {
		one := jobRun(fmt.Sprint("wide", k), int64(10+k), 1, 1000, 0, 100)
		one.Tests[0].ID, one.Tests[1].ID = "a.py::t2", "a.py::t3"
		two := jobRun(fmt.Sprint("two", k), int64(20+k), 2, 1000, 0, 160)
		two.Tests = two.Tests[2:]
		h.Merge(FromResults(one, two))
		want := []time.Duration{130, 140, 145}[k] * time.Millisecond // 1 + n/(n+1)·0.6
		if got := wallAt(h, at(2), "a.py::t0"); got != want {
			t.Errorf("after %d runs with two workers: %v, want %v", k+1, got, want)
		}
	}
	if got := wallAt(h, at(2), "a.py::t2"); got != 160*time.Millisecond {
		t.Errorf("measured three times with two workers: %v", got)
	}
	if got := wallAt(h, at(1), "a.py::t0"); got != 100*time.Millisecond {
		t.Errorf("for one worker nothing changes: %v", got)
	}
	if got := wallAt(h, Place{Runner: "linux"}, "a.py::t0"); got != 100*time.Millisecond {
		t.Errorf("without workers nothing changes: %v", got)
	}
	// Runs of other tests say nothing of the two that ran with both.
	one := jobRun("both", 1, 2, 1000, 0, 200)
	one.Tests = one.Tests[:1]
	few := FromResults(one)
	for k := range 3 {
		a, b := jobRun(fmt.Sprint("a", k), int64(10+k), 1, 1000, 0, 100), jobRun(fmt.Sprint("b", k), int64(20+k), 2, 1000, 0, 100)
		a.Tests, b.Tests = a.Tests[:2], b.Tests[2:]
		few.Merge(FromResults(a, b))
	}
	if got := wallAt(few, at(2), "a.py::t1"); got != 150*time.Millisecond { // 1 + 1/2·1
		t.Errorf("after one run that both are known of: %v, want 150ms", got)
	}
	// One wild run jumps nothing: the factor is the median over tests.
	wild := jobRun("wild", 99, 2, 1000, 0, 16000)
	wild.Tests = wild.Tests[2:3]
	h.Merge(FromResults(wild))
	if got := wallAt(h, at(2), "a.py::t0"); got > 150*time.Millisecond {
		t.Errorf("after one wild test: %v", got)
	}
}

// Each test weighs what it takes: a short one, ten times as long beside others, makes no
// long one longer.
func TestContentionByTime(t *testing.T) {
	h := &History{}
	for k := range 3 {
		one, two := jobRun(fmt.Sprint("one", k), int64(k), 1, 1000, 0, 100), jobRun(fmt.Sprint("two", k), int64(10+k), 2, 1000, 0, 100)
		one.Tests = append(one.Tests, passed("a.py::t2", 100), passed("a.py::short", 1))
		two.Tests = append(two.Tests[2:], passed("a.py::short", 10))
		h.Merge(FromResults(one, two))
	}
	for id, want := range map[NodeID]time.Duration{"a.py::t0": 100 * time.Millisecond, "a.py::short": 10 * time.Millisecond} {
		if got := wallAt(h, Place{"linux", 2, 2}, id); got != want {
			t.Errorf("%s takes %v, want %v", id, got, want)
		}
	}
}

// A factor is believed as far as the fewer runs of the two say, and not beyond what
// workers can do to each other.
func TestContentionBelieved(t *testing.T) {
	renamed := func(r *Results) *Results {
		r.Tests[0].ID, r.Tests[1].ID = "a.py::x", "a.py::y"
		return r
	}
	few := FromResults(jobRun("one", 1, 1, 1000, 0, 100), renamed(jobRun("one", 2, 1, 1000, 0, 100)))
	for k := range 3 {
		few.Merge(FromResults(jobRun(fmt.Sprint("two", k), int64(10+k), 2, 1000, 0, 200)))
	}
	wild := FromResults(jobRun("one", 1, 1, 1000, 0, 1), jobRun("two", 2, 2, 1000, 0, 1000), renamed(jobRun("other", 3, 1, 1000, 0, 100)))
	for _, c := range []struct {
		name string
		h    *History
		want time.Duration
	}{
		{"one run alone, three beside others", few, 150 * time.Millisecond}, // 1 + 1/2·(2-1)
		{"a clock that is wrong", wild, 450 * time.Millisecond},             // 1 + 1/2·(8-1)
	} {
		if got := wallAt(c.h, Place{"linux", 2, 2}, "a.py::x"); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// One slow sample beside others is not all that counts of a test that ran alone since.
func TestContentionOnce(t *testing.T) {
	h := FromResults(jobRun("two", 1, 2, 1000, 0, 900))
	for k := range 2 {
		h.Merge(FromResults(jobRun(fmt.Sprint("one", k), int64(20+k), 1, 1000, 0, 100)))
	}
	if got := wallAt(h, Place{"linux", 2, 2}, "a.py::t0"); got != 450*time.Millisecond {
		t.Errorf("it takes %v, want 450ms", got)
	}
}

// Workers that wait a tenth of their time between tests make all tests longer by
// that, as far as it is believed.
func TestPace(t *testing.T) {
	h := &History{}
	for k := range 3 {
		r := jobRun(fmt.Sprint("r", k), int64(k), 2, 1000, 0, 100)
		for i := range r.Tests {
			if i%2 == 1 {
				r.Tests[i].Start += 20 * time.Millisecond
			}
		}
		h.Merge(FromResults(r))
		want := []float64{105, 106.667, 107.5}[k]
		got := h.EstimatorAt(Place{"linux", 2, 2}).Tests([]NodeID{"a.py::t0"})[0].Wall
		if math.Abs(got.Seconds()*1000-want) > 0.01 {
			t.Errorf("after %d runs: %v, want %v ms", k+1, got, want)
		}
	}
	// Who waits for memory waits long, and the plan foresees that.
	waits := &History{}
	for k := range 3 {
		r := jobRun(fmt.Sprint("r", k), int64(k), 2, 1000, 0, 100)
		r.Tests[1].Start += time.Second
		waits.Merge(FromResults(r))
	}
	if got := waits.EstimatorAt(Place{"linux", 2, 2}).Tests([]NodeID{"a.py::t0"})[0].Wall; got != 100*time.Millisecond {
		t.Errorf("after waits for memory: %v", got)
	}
	// The session: with so many workers where that is known.
	slow := jobRun("slow", 9, 4, 1000, 0, 100)
	for i := range slow.Workers {
		slow.Workers[i].Startup = 3 * time.Second
	}
	h.Merge(FromResults(slow))
	for workers, want := range map[int]time.Duration{2: 900 * time.Millisecond, 4: 3500 * time.Millisecond} {
		if got := h.EstimatorAt(Place{"linux", workers, 2}).Session(workers); got < want || got > want+100*time.Millisecond {
			t.Errorf("Session(%d) = %v, want %v and the wait for the first test", workers, got, want)
		}
	}
}

// waiting is a history of so many runs with two workers, whose tests took that long and
// began so long after each other's end; what is negative is their tail.
func waiting(runs int, took, gap time.Duration) *History {
	h := &History{}
	for k := range runs {
		r := jobRun(fmt.Sprint("r", k), int64(k), 2, 1000, 0, int(took.Milliseconds()))
		for i := range r.Tests {
			r.Tests[i].Start += time.Duration(i%2) * gap
		}
		for i := range r.Workers {
			r.Workers[i].Tail = max(0, -gap)
		}
		h.Merge(FromResults(r))
	}
	return h
}

// Waits make tests no more than half as long again, and overlaps no shorter. How long jobs
// on other machines wait says nothing here, and one job of one worker takes nothing away.
func TestPaceBounds(t *testing.T) {
	ms := time.Millisecond
	cores := waiting(2, 100*ms, 0)
	for k := range 3 {
		r := jobRun(fmt.Sprint("wide", k), int64(10+k), 2, 1000, 0, 100)
		r.Header.CPUs = 8
		for i := range r.Tests {
			r.Tests[i].Start += time.Duration(i%2) * 90 * ms
			r.Tests[i].ID += "x"
		}
		cores.Merge(FromResults(r))
	}
	mixed := waiting(3, 100*ms, 40*ms)
	mixed.Merge(FromResults(jobRun("one", 99, 1, 1000, 0, 100)))
	for _, c := range []struct {
		name string
		h    *History
		id   NodeID
		want time.Duration
	}{
		{"they wait most of their time", waiting(1, 10*ms, 90*ms), "a.py::t0", 13 * ms}, // 1 + 1/2·(1.5-1)
		{"they overlap", waiting(1, 100*ms, -50*ms), "a.py::t0", 150 * ms},              // its own tail
		{"they wait on other machines", cores, "a.py::t0", 100 * ms},
		{"one ran alone", mixed, "a.py::t3", 115 * ms}, // 1 + 3/4·0.2
	} {
		if got := wallAt(c.h, Place{"linux", 2, 2}, c.id); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// Files are imported while no test runs: what workers wait between tests does not
// come on top.
func TestPaceOfImports(t *testing.T) {
	r := jobRun("r", 1, 2, 1300, 1200, 100)
	for i := range r.Tests {
		if i%2 == 1 {
			r.Tests[i].Start += 40 * time.Millisecond
		}
	}
	for i := range r.Workers {
		r.Workers[i].Imports = map[string]time.Duration{"a.py": time.Second, libraryPrefix + "numpy": 2 * time.Second}
	}
	r.Tests[0].Fixtures = []FixtureResult{{ID: "module a.py::db", Setup: 20 * time.Millisecond}}
	e := FromResults(r).EstimatorAt(Place{Runner: "linux", Workers: 2, CPUs: 2})
	if file, library := e.File("a.py"), e.Library("numpy"); file != time.Second || library != 2*time.Second {
		t.Errorf("imports take %v and %v, want 1s and 2s as measured", file, library)
	}
	if fixture := e.Fixture("module a.py::db"); fixture <= 20*time.Millisecond {
		t.Errorf("a fixture takes %v, want more than the measured 20ms", fixture)
	}
}

// A test that always has a job of one worker takes there what it takes there, whatever
// the others have.
func TestApart(t *testing.T) {
	place := Place{Runner: "linux", Workers: 4, CPUs: 4}
	job := func(run string, started int64, workers int, tests ...TestResult) *Results {
		return &Results{Header: ResultsHeader{Run: run, Runner: "linux", Started: time.UnixMilli(started).UTC(), Workers: workers, CPUs: 4}, Tests: tests}
	}
	all := []*Results{job("r0", 1000, 4, passed("a.py::long", 90_000), passed("b.py::t", 1500))}
	for k := range 3 {
		all = append(all, job(fmt.Sprint("r", k+1), int64(2000+1000*k), 4, passed("b.py::t", 1500)), job(fmt.Sprint("r", k+1), int64(2001+1000*k), 1, passed("a.py::long", 60_000)))
	}
	wall := func(results []*Results) time.Duration {
		return FromResults(results...).EstimatorAt(place).Tests([]NodeID{"a.py::long"})[0].Wall
	}
	if got := wall(all); got != time.Minute {
		t.Errorf("it takes %v, want 1m", got)
	}
	if got := wall(all[:5]); got <= time.Minute { // two of them say little
		t.Errorf("after two runs it takes %v", got)
	}
	// What its file sets up takes there what it took there as well.
	for _, r := range all {
		for i := range r.Tests {
			r.Tests[i].Fixtures = []FixtureResult{{ID: SetupID("module " + r.Tests[i].ID.File() + "::data"), Setup: r.Tests[i].Wall}}
			r.Tests[i].Wall *= 2
		}
	}
	if got := FromResults(all...).EstimatorAt(place).Fixture("module a.py::data"); got != time.Minute {
		t.Errorf("a fixture takes %v, want 1m", got)
	}
	serial := []*Results{all[0]} // runs of which all jobs have one worker say nothing of such jobs
	for k := range 3 {
		serial = append(serial, job(fmt.Sprint("s", k), int64(2000+k), 1, passed("a.py::long", 60_000)))
	}
	if got := wall(serial); got <= time.Minute {
		t.Errorf("after runs in one process it takes %v, want more", got)
	}
}

// What is not one file's alone is not apart, though a job of one worker had it last.
func TestApartShared(t *testing.T) {
	var all []*Results
	for k := range 3 {
		wide, lone := jobRun(fmt.Sprint("r", k), int64(10*k), 2, 1000, 0, 100), jobRun(fmt.Sprint("r", k), int64(10*k+1), 1, 1000, 0, 50)
		wide.Tests = append(wide.Tests[:2], passed("b.py::t", 100))
		lone.Tests[0].ID, lone.Tests[1].ID = "b.py::t", "b.py::u" // half as long alone
		lone.Tests[0].Fixtures = []FixtureResult{{ID: "session ::db", Setup: time.Second}, {ID: "module b.py::db", Setup: time.Second}}
		lone.Workers[0].Imports = map[string]time.Duration{"b/": time.Second, "import lib": time.Second, "b.py": time.Second}
		all = append(all, wide, lone)
	}
	e := FromResults(all...).EstimatorAt(Place{"linux", 2, 2})
	for id, apart := range map[SetupID]bool{"session ::db": false, "b/": false, "import lib": false, "module b.py::db": true, "b.py": true} {
		if got := e.Setup(id); (got == time.Second) != apart {
			t.Errorf("%s takes %v, as measured alone: want %v", id, got, apart)
		}
	}
}
