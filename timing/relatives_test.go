package timing

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// A file that has a new name in its folder, or takes tests over from one that stays, has
// what these took; other tests of it are like the old file's.
func TestEstimateMovedFiles(t *testing.T) {
	var tests []TestResult
	for id, ms := range map[NodeID]int{
		"tests/test_model.py::test_slow": 300_000, "tests/test_model.py::TestM::test_a[1]": 100, "tests/test_model.py::TestM::test_a[2]": 300,
		"tests/test_io.py::test_read": 50, "tests/test_io.py::test_write": 70, "tests/test_io.py::test_seek": 90,
	} {
		r := took(Passed, ms)
		r.ID, r.Worker = id, "main"
		tests = append(tests, r)
	}
	r := run("r", 1, tests...)
	r.Workers = []WorkerResult{{Worker: "main", Imports: map[string]time.Duration{"tests/test_model.py": 3 * time.Second, "tests/test_io.py": time.Second}}}
	e := FromResults(r).Estimator("linux")
	want := map[NodeID]Estimate{}
	for id, estimate := range map[NodeID]struct {
		ms   int
		rung Rung
	}{
		"tests/test_fit.py::test_slow":        {300_000, Moved},
		"tests/test_fit.py::TestM::test_a[1]": {100, Moved},
		"tests/test_fit.py::TestM::test_a[3]": {200, Sibling},
		"tests/test_fit.py::TestM::test_new":  {200, Class},
		"tests/test_io.py::test_read":         {50, Measured},
		"tests/test_files.py::test_write":     {70, Moved}, // of the file that stays
		"tests/test_files.py::test_seek":      {90, Moved},
		"tests/test_other.py::test_read":      {50_102, Suite}, // it is still where it was
		"tests/test_new.py::test_slow":        {50_102, Suite}, // one of three that are gone
	} {
		want[id] = Estimate{Wall: time.Duration(estimate.ms) * time.Millisecond, Rung: estimate.rung}
	}
	ids := slices.Sorted(maps.Keys(want))
	for i, got := range e.Tests(ids) {
		got.Wall = got.Wall.Round(time.Millisecond)
		if got != want[ids[i]] {
			t.Errorf("%s: %v, want %v", ids[i], got, want[ids[i]])
		}
	}
	if model, io := e.File("tests/test_fit.py"), e.File("tests/test_files.py"); model != 3*time.Second || io != time.Second {
		t.Errorf("the files take %v and %v to import, want 3s and 1s", model, io)
	}
}

// A folder has a new name, while files of the same name are gone from others.
func TestEstimateMoved(t *testing.T) {
	var tests []TestResult
	for i, file := range []string{"a/x/test_v.py", "a/y/test_v.py", "a/y/z/test_v.py", "b/x/test_v.py", "b/test_v.py"} {
		r := took(Passed, 10<<i)
		r.ID, r.Worker = NodeID(file+"::test[1]"), "main"
		tests = append(tests, r)
	}
	h := FromResults(run("r", 1, tests...))
	for _, c := range []struct {
		id   NodeID
		want int // ms
	}{
		{"new/y/test_v.py::test[1]", 20},
		{"new/y/z/test_v.py::test[1]", 40},
		{"new/y/z/test_v.py::test[2]", 40},
		{"b/new/test_v.py::test[1]", 120},      // the two of b: 80, 160
		{"new/x/test_v.py::test[1]", 45},       // 10, 80
		{"a/x/more/test_v.py::test[1]", 10},    // as many names at the end, more at the start
		{"new/deep/er/test_v.py::test[1]", 62}, // all five
	} {
		got := h.Estimator("linux").Tests([]NodeID{c.id})[0]
		if want := (Estimate{Wall: time.Duration(c.want) * time.Millisecond, Rung: Moved}); got != want {
			t.Errorf("%s: %v, want %v", c.id, got, want)
		}
	}
}

func TestEstimateRungs(t *testing.T) {
	crash := took(Crashed, 3000)
	crash.ID = "tests/test_a.py::test_crash"
	slow := passed("tests/test_a.py::test_f[b]", 30)
	slow.Peak = 77
	h := FromResults(run("r", 1,
		passed("tests/test_a.py::test_f", 10), passed("tests/test_a.py::test_f[a]", 20), slow, passed("tests/test_a.py::test_fa[a]", 9000),
		passed("tests/test_a.py::TestC::test_m", 500), passed("tests/test_a.py::TestC::test_n[x]", 700), passed("tests/test_a.py::TestC::test_o", 600),
		passed("tests/test_a.py::TestCC::test_o", 1),
		passed("old/test_b.py::TestB::test_p[1]", 41), passed("old/test_b.py::TestB::test_p[2]", 43), passed("old/test_b.py::TestB::test_p[3]", 48),
		passed("tests/test_c.py::test_q", 2000), crash,
	))
	ids := []NodeID{
		"tests/test_a.py::test_f[b]",
		"tests/test_a.py::test_f[new]", // 10, 20, 30
		"tests/test_a.py::TestC::test_n",
		"new/test_b.py::TestB::test_p[3]",
		"new/test_b.py::TestB::test_p[4]",  // 41, 43, 48
		"tests/test_a.py::TestC::test_new", // 500, 600, 700
		"tests/test_a.py::TestNew::test_x", // 1, 10, 20, 30, 500, 600, 700, 9000
		"tests/test_a.py::TestC",
		"tests/test_new.py::test_new", // the folder's: these and 2000
		"tests/more/test_crash.py",    // the folder above
		"tests/test_a.py::test_crash", // the file's mean is less than what it took to crash
		"tests/test_c.py::TestB::test_p[3]",
		"test_c.py::test_q", // gone from its file, which is still there
	}
	ms := func(n int, rung Rung) Estimate {
		return Estimate{Wall: time.Duration(n) * time.Millisecond, Rung: rung}
	}
	need := Need{High: 77}
	want := []Estimate{
		{Wall: 30 * time.Millisecond, Peak: 77, Need: need},
		{Wall: 20 * time.Millisecond, Peak: 77, Rung: Sibling, Need: need},
		ms(700, Sibling),
		ms(48, Moved),
		ms(44, Moved),
		ms(600, Class),
		{Wall: 1357625 * time.Microsecond, Peak: 77, Rung: File, Need: need},
		{Wall: 1357625 * time.Microsecond, Peak: 77, Rung: File, Need: need},
		ms(1429, Suite),
		ms(1429, Suite),
		{Wall: 3000 * time.Millisecond, Peak: 77, Rung: File, Need: need},
		ms(2000, File),
		ms(2000, Moved),
	}
	got := h.Estimator("linux").Tests(ids)
	for i := range ids {
		if got[i] != want[i] {
			t.Errorf("%s: %v, want %v", ids[i], got[i], want[i])
		}
	}
	for _, e := range (&History{}).Estimator("linux").Tests(ids) {
		if want := ms(100, Guess); e != want {
			t.Errorf("without history: %v, want %v", e, want)
		}
	}
}

// What a job's unknown tests take together is what as many known ones take.
func TestEstimateSums(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var known, fresh []NodeID
		var tests []TestResult
		sum := time.Duration(0)
		for i, us := range rapid.SliceOfN(rapid.IntRange(1, 1e8), 1, 30).Draw(t, "times") {
			wall := time.Duration(us) * time.Microsecond
			known = append(known, NodeID(fmt.Sprintf("x/a.py::test_%d", i)))
			fresh = append(fresh, NodeID(fmt.Sprintf("x/b.py::test_%d", i)))
			tests = append(tests, TestResult{ID: known[i], Worker: "main", Outcome: Passed, Wall: wall})
			sum += wall
		}
		got := time.Duration(0)
		for _, e := range FromResults(run("r", 1, tests...)).Estimator("linux").Tests(append(fresh, known[0])) {
			got += e.Wall
		}
		got -= tests[0].Wall
		if off, most := max(got-sum, sum-got), time.Duration(len(tests))*time.Microsecond; off > most {
			t.Fatalf("%d new tests of %v, as many known ones of %v", len(fresh), got, sum)
		}
	})
}
