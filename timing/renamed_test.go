package timing

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// A folder with a new name has the files, fixtures and late imports that it had under
// the old one.
func TestRenamed(t *testing.T) {
	with := func(id NodeID, fixtures ...FixtureResult) TestResult {
		r := passed(id, 100)
		r.Fixtures = fixtures
		return r
	}
	var all []*Results
	for k := range 3 {
		r := run(fmt.Sprint("r", k), int64(1000+k),
			with("old/test_a.py::t", FixtureResult{ID: "module old/test_a.py::data", Setup: 15 * time.Second}, FixtureResult{ID: "session ::db"}, FixtureResult{ID: "import numpy", Setup: time.Second}),
			with("old/test_b.py::TestB::t", FixtureResult{ID: "class old/test_b.py::TestB::late", Setup: 2 * time.Second}),
			with("old/test_c.py::t", FixtureResult{ID: "module old/test_c.py::data", Setup: 100 * time.Millisecond}),
			with("other/test_a.py::u"), with("other/test_b.py::TestB::t", FixtureResult{ID: "class other/test_b.py::TestB::late", Setup: time.Second}),
			with("gone/test_e.py::x"))
		r.Workers = []WorkerResult{{Worker: "main", Imports: map[string]time.Duration{"old/": 5 * time.Second, "old/test_a.py": 3 * time.Second, "old/test_b.py": time.Millisecond, "old/test_c.py": time.Millisecond, "other/test_a.py": time.Millisecond, "other/test_b.py": time.Millisecond, "gone/test_e.py": 30 * time.Second}}}
		all = append(all, r)
	}
	e := FromResults(all...).Estimator("linux")
	if got := e.File("new/test_a.py"); got != time.Millisecond {
		t.Errorf("before it is known what was collected, an unknown file takes %v, want the median", got)
	}
	e.Tests([]NodeID{"new/test_a.py::t", "new/test_b.py::TestB::t", "new/test_c.py::t", "other/test_a.py::u", "other/test_b.py::TestB::t", "new/test_d.py::v", "new/test_e.py::v", "new/test_e.py::w", "new/test_e.py::x"})
	for what, took := range map[string][2]time.Duration{
		"an import":                 {e.File("new/test_a.py"), 3 * time.Second},
		"the import of a new file":  {e.File("new/test_d.py"), time.Millisecond},
		"a folder's conftest.py":    {e.Folder("new/"), 5 * time.Second},
		"another folder's":          {e.Folder("newer/"), 0},
		"a file of other tests":     {e.File("new/test_e.py"), time.Millisecond},
		"a fixture":                 {e.Fixture("module new/test_a.py::data"), 15 * time.Second},
		"a fixture of a class":      {e.Fixture("class new/test_b.py::TestB::late"), 2 * time.Second},
		"a fixture of another file": {e.Fixture("module new/test_d.py::data"), 100 * time.Millisecond},
	} {
		if took[0] != took[1] {
			t.Errorf("%s takes %v, want %v", what, took[0], took[1])
		}
	}
	if got := e.Uses()["new/test_a.py"]; !slices.Equal(got, []SetupID{"session ::db"}) {
		t.Errorf("the file's tests ask for %q", got)
	}
	collected := []NodeID{"new/test_a.py::t", "new/test_b.py::TestB::t"}
	if got := e.Uncollected(collected, func(id SetupID) bool { return id.Scope() == ModuleScope }); !slices.Equal(got, []SetupID{"class new/test_b.py::TestB::late", "class old/test_b.py::TestB::late"}) {
		t.Errorf("Uncollected() = %q", got)
	}
	if got := e.LateImports(); len(got) != 1 || !slices.Equal(got[0].Files, []string{"new/test_a.py", "old/test_a.py"}) {
		t.Errorf("LateImports() = %+v", got)
	}
}

// Half of a file's tests are enough to know it by its old name; a fixture that they name
// under the new one is not among those that no test names.
func TestRenamedByHalf(t *testing.T) {
	with := func(id NodeID, fixture SetupID, took time.Duration) TestResult {
		r := passed(id, 1000)
		r.Fixtures = []FixtureResult{{ID: fixture, Setup: took}}
		return r
	}
	e := FromResults(run("r", 1, with("old/a.py::T::t", "class old/a.py::T::f", 5*time.Second), with("b.py::T::t", "class b.py::T::f", time.Second), passed("c.py::t", 1))).Estimator("linux")
	e.Tests([]NodeID{"new/a.py::T::t", "new/a.py::T::more", "b.py::T::t", "c.py::t"})
	if got := e.Fixture("class new/a.py::T::f"); got != 5*time.Second {
		t.Errorf("a fixture of its class takes %v, want 5s", got)
	}
	got := e.Uncollected([]NodeID{"new/a.py::T::t", "b.py::T::t"}, func(id SetupID) bool { return id == "class new/a.py::T::f" })
	if want := []SetupID{"class b.py::T::f", "class old/a.py::T::f"}; !slices.Equal(got, want) {
		t.Errorf("Uncollected() = %q, want %q", got, want)
	}
}
