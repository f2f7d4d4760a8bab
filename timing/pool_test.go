package timing

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// Tests share a pool of processes where they have used the same ones, in any run, or
// share one with the same test; while they use any.
func TestPools(t *testing.T) {
	pool := func(starter string) SetupID { return SetupID("processes " + starter) }
	test := func(id string, used ...FixtureResult) TestResult {
		r := passed(NodeID(id), 1000)
		for _, f := range used {
			r.Wall += f.Setup
		}
		r.Fixtures = used
		return r
	}
	started := func(starter string, seconds int) FixtureResult {
		return FixtureResult{ID: pool(starter), Setup: time.Duration(seconds) * time.Second}
	}
	used := func(starter string) FixtureResult { return FixtureResult{ID: pool(starter)} }
	first := run("r1", 1000,
		test("a.py::x", started("a.py::x", 2)), test("a.py::y[1::2]", used("a.py::x")), test("b.py::z", used("a.py::x")),
		test("c.py::lone", started("c.py::lone", 1)), test("d.py::gone", used("a.py::x")), test("e.py::plain"))
	second := run("r2", 2000,
		test("b.py::z", started("b.py::z", 1)), test("c.py::more", used("b.py::z")), test("d.py::gone"),
		test("c.py::grows", started("c.py::grows", 9), used("b.py::z")))
	e := FromResults(first, second).Estimator("linux")
	want := []Pool{
		{ID: pool("a.py::x"), Cost: time.Second, Tests: []NodeID{"a.py::x", "a.py::y[1::2]", "b.py::z", "c.py::grows", "c.py::more"}},
		{ID: pool("c.py::lone"), Cost: time.Second, Tests: []NodeID{"c.py::lone"}},
	}
	if got := e.Pools(); !reflect.DeepEqual(got, want) {
		t.Errorf("Pools() = %+v, want %+v", got, want)
	}
	if got := e.Tests([]NodeID{"a.py::x"})[0].Wall; got != time.Second {
		t.Errorf("the test that starts one takes %v without it, want 1s", got)
	}
	if got := e.Uses(); len(got) > 0 {
		t.Errorf("Uses() = %q: pools are of tests, not of files", got)
	}
	if got := e.LateImports(); len(got) > 0 {
		t.Errorf("LateImports() = %+v", got)
	}
	other := run("r3", 3000, test("a.py::x"), test("b.py::z"))
	other.Header.Runner = "mac" // which does not tell
	if got := FromResults(first, second, other).Estimator("linux").Pools(); !reflect.DeepEqual(got, want) {
		t.Errorf("beside another class of runner: Pools() = %+v, want %+v", got, want)
	}
	later := FromResults(first, second)
	for n := range 5 {
		later.Merge(FromResults(run(fmt.Sprint("later", n), int64(4000+n), test("a.py::x", started("a.py::x", 1)), test("b.py::z", used("a.py::x")))))
		later.Prune(Limits{Keep: 2})
	}
	if text := bytesOf(t, later); strings.Contains(text, "use b.py::z::processes b.py::z") || !strings.Contains(text, "use b.py::z::processes a.py::x") || !strings.Contains(text, "use c.py::more::processes b.py::z") {
		t.Errorf("uses are to go with the samples of their tests:\n%s", text)
	}
	moved := FromResults(first, second).Estimator("linux")
	moved.Tests([]NodeID{"new/a.py::x", "new/a.py::y[1::2]", "b.py::z", "c.py::more", "c.py::grows", "c.py::lone"})
	if got := moved.Pools(); !slices.Contains(got[0].Tests, "new/a.py::x") || !slices.Contains(got[0].Tests, "b.py::z") {
		t.Errorf("after a file was renamed: Pools() = %+v", got)
	}
	h := FromResults(first, second)
	again, err := ReadHistory(strings.NewReader(bytesOf(t, h)), "h")
	if err != nil {
		t.Fatal(err)
	}
	if got := again.Estimator("linux").Pools(); !reflect.DeepEqual(got, want) {
		t.Errorf("written and read: Pools() = %+v, want %+v", got, want)
	}
}

// A pool costs what its starts were seen to take, and is none where none was seen.
func TestPoolsCost(t *testing.T) {
	test := func(id NodeID, used ...FixtureResult) TestResult {
		r := passed(id, 1000)
		r.Fixtures = used
		return r
	}
	const a, b = SetupID("processes a.py::x"), SetupID("processes b.py::y")
	for _, c := range []struct {
		name  string
		tests []TestResult
		want  []Pool
	}{
		{"no start", []TestResult{test("a.py::x"), test("b.py::y", FixtureResult{ID: a})}, nil},
		{"one of two starts", []TestResult{test("a.py::x", FixtureResult{ID: a, Setup: time.Second}, FixtureResult{ID: b}), test("b.py::y", FixtureResult{ID: b})},
			[]Pool{{ID: a, Cost: time.Second, Tests: []NodeID{"a.py::x", "b.py::y"}}}},
	} {
		if got := FromResults(run("r", 1, c.tests...)).Estimator("linux").Pools(); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: Pools() = %+v, want %+v", c.name, got, c.want)
		}
	}
}
