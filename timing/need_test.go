package timing

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

const mib = 1 << 20

// seen is a sample of a test that was over in a moment: MiB before, at the
// peak and after, in a worker with a floor of 100.
func seen(outcome Outcome, before, peak, after int64) TestResult {
	return TestResult{Outcome: outcome, Wall: time.Millisecond, Before: before * mib, Peak: peak * mib, After: after * mib}
}

// memories makes a history of one test with one sample a run, oldest first.
func memories(samples ...TestResult) *History {
	h := &History{}
	for i, s := range samples {
		s.ID, s.Worker = "a.py::t", "main"
		r := run(string(rune('a'+i)), int64(i+1), s)
		r.Workers = []WorkerResult{{Worker: "main", Floor: 100 * mib}}
		h.Merge(FromResults(r))
	}
	return h
}

func TestNeed(t *testing.T) {
	fresh := seen(Passed, 100, 1000, 700) // 900 needed
	for _, c := range []struct {
		name      string
		samples   []TestResult
		low, high int64 // MiB
		kept      int64
		certain   bool
	}{
		{"in a fresh worker", []TestResult{fresh}, 900, 900, 600, true},
		{"gave back some of its floor before", []TestResult{seen(Passed, 95, 1000, 95)}, 905, 905, 0, true},
		{"crashed a little above what it took alone", []TestResult{fresh, seen(Crashed, 100, 1005, 0)}, 900, 905, 600, true},
		{"after a heavy one", []TestResult{seen(Passed, 1900, 1910, 1900)}, 10, 1810, 0, false},
		{"light, after a heavy one", []TestResult{seen(Passed, 1900, 1900, 1900)}, 0, 1800, 0, false},
		{"after heavy ones of different weight", []TestResult{seen(Passed, 1900, 1910, 1900), seen(Passed, 600, 680, 600)}, 80, 580, 0, false},
		{"light, in a fresh worker at last", []TestResult{seen(Passed, 1900, 1900, 1900), seen(Passed, 100, 105, 103)}, 5, 5, 3, true},
		{"reused memory, and fresh", []TestResult{seen(Passed, 1400, 1570, 1400), fresh}, 900, 900, 600, true},
		{"needs vary: the higher", []TestResult{fresh, seen(Passed, 100, 950, 700)}, 900, 900, 600, true},
		{"one outlier from below", []TestResult{fresh, seen(Passed, 100, 102, 101), fresh}, 900, 900, 600, true},
		{"one outlier from below, of two", []TestResult{seen(Passed, 100, 102, 101), fresh}, 900, 900, 600, true},
		{"skips do not count", []TestResult{fresh, seen(Skipped, 100, 100, 100), seen(Skipped, 100, 100, 100)}, 900, 900, 600, true},
		{"skipped for good", []TestResult{fresh, seen(Skipped, 100, 101, 100), seen(Skipped, 100, 101, 100), seen(Skipped, 100, 101, 100)}, 1, 1, 0, true},
		{"failed early", []TestResult{fresh, seen(Failed, 100, 110, 105)}, 900, 900, 600, true},
		{"failed, but rose higher", []TestResult{fresh, seen(Failed, 100, 1200, 105)}, 1100, 1100, 600, true},
		{"only failed", []TestResult{seen(Failed, 100, 110, 105)}, 10, 10, 5, true},
		{"crashed: twice what it had", []TestResult{seen(Crashed, 100, 1100, 0)}, 0, 2000, 0, false},
		{"crashed beyond what it took before", []TestResult{fresh, seen(Crashed, 100, 1600, 0)}, 900, 3000, 600, false},
		{"crashed below what it takes", []TestResult{fresh, seen(Crashed, 100, 400, 0)}, 900, 900, 600, true},
		{"not measured", []TestResult{took(Passed, 5)}, 0, 0, 0, false},
		{"not measured this time", []TestResult{fresh, took(Passed, 5)}, 900, 900, 600, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := memories(c.samples...).Estimator("linux").Tests([]NodeID{"a.py::t"})[0].Need
			want := Need{Low: c.low * mib, High: c.high * mib, Kept: c.kept * mib, Died: got.Died}
			if got != want || got.Certain() != c.certain {
				t.Errorf("need %d to %d MiB, keeps %d, certain %t; want %d to %d, %d, %t",
					got.Low/mib, got.High/mib, got.Kept/mib, got.Certain(), c.low, c.high, c.kept, c.certain)
			}
		})
	}
}

// A worker that has given back some of its floor is below it during a light
// test, which is then known to need next to nothing, and not unknown.
func TestNeedBelowFloor(t *testing.T) {
	got := memories(seen(Passed, 95, 96, 96)).Estimator("linux").Tests([]NodeID{"a.py::t"})[0].Need
	if got.Low != mib || got.High != mib || !got.Certain() {
		t.Errorf("rose by 1 MiB: %+v", got)
	}
	got = memories(seen(Passed, 95, 95, 95)).Estimator("linux").Tests([]NodeID{"a.py::t"})[0].Need
	if got.High <= 0 || got.High > mib || !got.Certain() {
		t.Errorf("rose by nothing: %+v, want it known", got)
	}
}

// Less memory in a pool lowers what a test may need, but not below what it died of, and
// what it keeps with it.
func TestNeedLower(t *testing.T) {
	got := Need{Low: 1, High: 2000, Kept: 1800, Died: 1500}.Lower(10)
	if want := (Need{Low: 1, High: 1500, Kept: 1500, Died: 1500}); got != want {
		t.Errorf("Lower(10) = %+v, want %+v", got, want)
	}
}

// Child processes are the test's as well. A test that died may need twice what it took
// by then.
func TestNeedFromResults(t *testing.T) {
	r := run("r", 1, heavy("a.py::children", 100), heavy("a.py::light", 10))
	r.Tests[0].Children, r.Tests[0].After = 500*mib, 130*mib
	r.Tests[1].Before, r.Tests[1].Peak, r.Tests[1].After = 130*mib, 140*mib, 135*mib
	r.Tests = append(r.Tests, TestResult{ID: "a.py::died", Worker: "main", Outcome: Crashed, Peak: 735 * mib})
	r.Workers = []WorkerResult{{Worker: "main", Floor: 100 * mib}, {Worker: "gw1", Floor: 100 * mib}}
	r.Running = []TestStart{{ID: "a.py::running", Worker: "gw1", Peak: 400 * mib, Children: 50 * mib}, {ID: "a.py::unseen", Worker: "gw1"}}
	h := FromResults(r)
	for _, c := range []struct {
		id         NodeID
		low, high  int64
		kept, rung int64
		died       int64
	}{
		{"a.py::children", 600, 600, 30, 0, 0},
		{"a.py::light", 10, 40, 5, 0, 0},
		{"a.py::died", 0, 1200, 5, int64(File), 600},
		{"a.py::running", 0, 700, 5, int64(File), 350},
		{"a.py::unseen", 0, 40, 5, int64(File), 0}, // the file's middle one
	} {
		e := h.Estimator("linux").Tests([]NodeID{c.id})[0]
		if want := (Need{Low: c.low * mib, High: c.high * mib, Kept: c.kept * mib, Died: c.died * mib}); e.Need != want || e.Rung != Rung(c.rung) {
			t.Errorf("%s: need %+v on rung %v, want %+v on %v", c.id, e.Need, e.Rung, want, Rung(c.rung))
		}
	}
}

// A test that died early needs as much as its class, as far as is known.
func TestNeedDiedEarly(t *testing.T) {
	r := run("r", 1, heavy("a.py::T::big", 900), TestResult{ID: "a.py::T::died", Worker: "main", Outcome: Crashed, Before: 100 * mib, Peak: 200 * mib})
	r.Workers = []WorkerResult{{Worker: "main", Floor: 100 * mib}}
	got := FromResults(r).Estimator("linux").Tests([]NodeID{"a.py::T::died"})[0].Need
	if want := (Need{High: 900 * mib, Died: 100 * mib}); got != want {
		t.Errorf("it needs %+v, want %+v", got, want)
	}
}

// A worker that says no floor has the others'.
func TestNeedWithoutFloor(t *testing.T) {
	r := run("r", 1, TestResult{ID: "a.py::t", Worker: "gw9", Outcome: Passed, Wall: 1, Peak: 1000 * mib})
	r.Workers = []WorkerResult{{Worker: "gw0", Floor: 100 * mib}}
	if got := FromResults(r).Estimator("linux").Tests([]NodeID{"a.py::t"})[0].Need.High; got != 900*mib {
		t.Errorf("it needs %d MiB, want 900", got/mib)
	}
}

// Where no worker says its floor, it is what its first test found.
func TestNeedWithoutWorkers(t *testing.T) {
	r := run("r", 1, heavy("a.py::one", 300), heavy("a.py::two", 10))
	r.Tests[1].Before, r.Tests[1].Peak = 250*mib, 260*mib
	e := FromResults(r).Estimator("linux")
	got := e.Tests([]NodeID{"a.py::one", "a.py::two"})
	if want := (Need{Low: 300 * mib, High: 300 * mib}); got[0].Need != want || e.Floor() != 100*mib {
		t.Errorf("the first needs %+v over a floor of %d, want %+v over 100 MiB", got[0].Need, e.Floor(), want)
	}
	if want := (Need{Low: 10 * mib, High: 160 * mib}); got[1].Need != want {
		t.Errorf("the second needs %+v, want %+v", got[1].Need, want)
	}
}

// What the controller of xdist holds is measured, or taken for a worker's.
func TestFloor(t *testing.T) {
	r := run("r", 1)
	r.Workers = []WorkerResult{{Worker: "gw0", Floor: 100}, {Worker: "gw1", Floor: 120}}
	e := FromResults(r).Estimator("linux")
	if e.Floor() != 120 || e.Controller() != 120 {
		t.Errorf("floor %d, controller %d, want 120 of both", e.Floor(), e.Controller())
	}
	r.Memory = []WorkerMemory{{Worker: "main", Resident: 70}, {Worker: "gw0", Resident: 500}}
	e = FromResults(r).Estimator("linux")
	if e.Floor() != 120 || e.Controller() != 70 {
		t.Errorf("floor %d, controller %d, want 120 and 70", e.Floor(), e.Controller())
	}
	r.Killed = []KilledTest{{ID: "a.py::t", Worker: "gw0"}} // its main process may have run that again
	r.Memory[0].Resident = 9000
	if e := FromResults(r).Estimator("linux"); e.Controller() != 120 {
		t.Errorf("controller %d after a killed test, want 120", e.Controller())
	}
	if e := new(History).Estimator("linux"); e.Floor() != 0 || e.Controller() != 0 {
		t.Errorf("floor %d, controller %d of nothing", e.Floor(), e.Controller())
	}
}

// An unknown test takes the need of its relatives.
func TestNeedUnknown(t *testing.T) {
	h := FromResults(&Results{
		Header:  ResultsHeader{Run: "r", Runner: "linux", Started: time.UnixMilli(1)},
		Workers: []WorkerResult{{Worker: "main", Floor: 100 * mib}},
		Tests: []TestResult{
			heavy("a.py::f[1]", 300), heavy("a.py::f[2]", 500), heavy("a.py::f[3]", 100),
			heavy("a.py::C::x", 10), heavy("a.py::C::y", 20), heavy("a.py::C::z", 2000),
		},
	})
	for _, c := range []struct {
		id   NodeID
		want int64
	}{
		{"a.py::f[4]", 500},     // the most that the function needs
		{"a.py::C::new", 20},    // the middle one of the class
		{"a.py::D::new", 100},   // and of the file
		{"new.py::x", 0},        // never the suite's
		{"b/a.py::f[2]", 500},   // it is gone from a.py
		{"a.py::C::z[1]", 2000}, // parametrized since
	} {
		e := h.Estimator("linux").Tests([]NodeID{"a.py::f[1]", c.id})[1]
		if e.Need.High != c.want*mib || e.Need.Low != 0 {
			t.Errorf("%s: need %+v, want up to %d MiB and no lower bound", c.id, e.Need, c.want)
		}
	}
}

// heavy is a test that ran in a fresh worker.
func heavy(id NodeID, need int64) TestResult {
	r := seen(Passed, 100, 100+need, 100)
	r.ID, r.Worker = id, "main"
	return r
}

// A process in which tests run: what is live, and what it holds besides for
// allocations to come.
type process struct{ floor, live, level int64 }

// run runs a test that needs and keeps so much.
func (p *process) run(id NodeID, need, kept int64, back float64) TestResult {
	before := p.level
	p.level = max(p.level, p.live+need)
	peak := p.level
	p.live += kept
	p.level -= int64(back * float64(p.level-p.live)) // what the system gets back
	return TestResult{ID: id, Worker: "main", Outcome: Passed, Wall: time.Millisecond, Before: p.floor + before, Peak: p.floor + peak, After: p.floor + p.level}
}

// Whatever ran before them, the needs of tests lie within their bounds; the
// first of a worker is certain, each further run only tightens them, and one
// run in which a test needed less changes nothing that was known for certain.
func TestNeedBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type truth struct{ need, kept int64 }
		var ids []NodeID
		truths := map[NodeID]truth{}
		for i := range rapid.IntRange(1, 6).Draw(t, "tests") {
			id := NodeID(fmt.Sprintf("a.py::t%d", i))
			need := rapid.Int64Range(1, 4<<30).Draw(t, "need")
			ids, truths[id] = append(ids, id), truth{need, rapid.Int64Range(0, need).Draw(t, "kept")}
		}
		h := &History{}
		last := map[NodeID]Need{}
		first := map[NodeID]bool{}
		for i := range rapid.IntRange(1, 5).Draw(t, "runs") {
			p := process{floor: rapid.Int64Range(1, 1<<30).Draw(t, "floor")}
			r := run(fmt.Sprint(i), int64(i+1))
			r.Workers = []WorkerResult{{Worker: "main", Floor: p.floor}}
			order := rapid.Permutation(ids).Draw(t, "order")
			for _, id := range order {
				r.Tests = append(r.Tests, p.run(id, truths[id].need, truths[id].kept, rapid.Float64Range(0, 1).Draw(t, "back")))
			}
			first[order[0]] = true
			h.Merge(FromResults(r))
			for k, e := range h.Estimator("linux").Tests(ids) {
				n, want := e.Need, truths[ids[k]].need
				if n.Low > want || n.High < want || n.Kept > n.High {
					t.Fatalf("%s needs %d, bounds %+v", ids[k], want, n)
				}
				if first[ids[k]] && (n.Low != want || n.High != want) {
					t.Fatalf("%s was the first of a worker and needs %d, bounds %+v", ids[k], want, n)
				}
				if old, ok := last[ids[k]]; ok && (n.Low < old.Low || n.High > old.High) {
					t.Fatalf("%s: bounds %+v after %+v", ids[k], n, old)
				}
				last[ids[k]] = n
			}
		}
		victim := rapid.SampledFrom(ids).Draw(t, "victim")
		p := process{floor: 1 << 20}
		less := rapid.Int64Range(0, truths[victim].need-1).Draw(t, "less")
		r := run("less", 100, p.run(victim, less, 0, 0))
		r.Workers = []WorkerResult{{Worker: "main", Floor: p.floor}}
		h.Merge(FromResults(r))
		n := h.Estimator("linux").Tests([]NodeID{victim})[0].Need
		if n.Low < last[victim].Low || first[victim] && n.High < truths[victim].need {
			t.Fatalf("%s needs %d; after a run with %d the bounds are %+v, were %+v", victim, truths[victim].need, less, n, last[victim])
		}
	})
}

// weathercop reads two recorded runs.
func weathercop(t *testing.T, pattern string) *History {
	files, err := filepath.Glob("testdata/weathercop/" + pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: %v", pattern, err)
	}
	h := &History{}
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		r, err := ReadResults(f, name)
		if err != nil {
			t.Fatal(err)
		}
		h.Merge(FromResults(r))
	}
	return h
}

// In weathercop's serial run memory never fell. A second run in another order
// tells the tests that need it from those that only ran later.
func TestNeedWeathercop(t *testing.T) {
	for _, c := range []struct {
		files string
		id    NodeID
		want  [2]int64 // MiB, to the whole
	}{
		{"serial.jsonl", "tests/test_vine.py::Test::test_serialize", [2]int64{0, 1646}},
		{"serial.jsonl", "tests/test_memory_optimization.py::test_simulate_ensemble_with_memory_optimization", [2]int64{171, 1299}},
		{"*.jsonl", "tests/test_vine.py::Test::test_serialize", [2]int64{54, 798}},
		{"*.jsonl", "tests/test_memory_optimization.py::test_simulate_ensemble_with_memory_optimization", [2]int64{910, 932}},
		{"*.jsonl", "tests/test_ensemble.py::test_ensemble_generation_creates_dataset", [2]int64{954, 954}},
		{"*.jsonl", "tests/test_multisite.py::test_phase_randomization_corr", [2]int64{829, 829}},
		{"*.jsonl", "tests/test_multisite.py::test_sim_gradual", [2]int64{561, 1532}},
	} {
		n := weathercop(t, c.files).Estimator("local").Tests([]NodeID{c.id})[0].Need
		if got := [2]int64{n.Low / mib, n.High / mib}; got != c.want {
			t.Errorf("%s after %s: %d MiB, want %d", c.id, c.files, got, c.want)
		}
	}
	h := weathercop(t, "*.jsonl")
	light := 0
	for k, e := range h.Estimator("local").Tests(h.Tests()) {
		id := h.Tests()[k]
		if e.Need.High == 0 {
			t.Errorf("%s: nothing known", id)
		}
		if e.Need.Certain() && e.Need.High < 64*mib {
			light++
		}
		if slices.ContainsFunc([]string{"copulae", "assertion"}, func(s string) bool { return strings.Contains(string(id), s) }) && !e.Need.Certain() {
			t.Errorf("%s ran in fresh workers only: %+v", id, e.Need)
		}
	}
	if light < 20 {
		t.Errorf("%d tests are light for certain, want at least 20", light)
	}
}
