package timing

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// Fixtures that no test names count where the file's newest run set them up.
func TestUncollected(t *testing.T) {
	fixtures := func(ids ...SetupID) TestResult {
		r := passed("a.py::t", 1)
		for _, id := range ids {
			r.Fixtures = append(r.Fixtures, FixtureResult{ID: id, Setup: time.Second})
		}
		return r
	}
	imports := []WorkerResult{{Worker: "main", Imports: map[string]time.Duration{"a.py": time.Second}}}
	old := run("r1", 1000, fixtures("module a.py::gone", "module a.py::late", "module b.py::other"))
	old.Workers = imports
	newer := run("r2", 2000, fixtures("module a.py::late", "class a.py::TestC::late", "module a.py::known", "session ::late"))
	newer.Workers = imports
	stopped := run("r3", 3000, passed("b.py::t", 1)) // it came to none of the file's tests
	stopped.Workers = imports
	died := run("r4", 4000)
	died.Running = []TestStart{{ID: "a.py::t", Before: 1, Peak: 2}}
	got := FromResults(old, newer, stopped, died).Estimator("linux").Uncollected([]NodeID{"a.py::t", "a.py::u"}, func(id SetupID) bool { return id == "module a.py::known" })
	if want := []SetupID{"class a.py::TestC::late", "module a.py::late"}; !slices.Equal(got, want) {
		t.Errorf("Uncollected() = %q, want %q", got, want)
	}
	removed := run("r0", 500, passed("a.py::removed", 1)) // since then, and not deselected
	got = FromResults(removed, newer).Estimator("linux").Uncollected([]NodeID{"a.py::t"}, func(id SetupID) bool { return id == "module a.py::known" })
	if want := []SetupID{"class a.py::TestC::late", "module a.py::late"}; !slices.Equal(got, want) {
		t.Errorf("Uncollected() after a test was removed = %q, want %q", got, want)
	}
	newer.Tests = append(newer.Tests, passed("a.py::deselected", 1)) // which the fixtures may be of
	got = FromResults(newer).Estimator("linux").Uncollected([]NodeID{"a.py::t", "a.py::u"}, func(SetupID) bool { return false })
	if len(got) > 0 {
		t.Errorf("Uncollected() with tests deselected = %q, want none", got)
	}
}

// What tests asked for while they ran counts for their file, while its newest run
// says so; other than that it is no fixture: it has no time and no relatives.
func TestUses(t *testing.T) {
	const schema, server = "session ::schema", "package pkg::server"
	run := func(name string, started int64, fixtures map[string][]FixtureResult) *Results {
		r := &Results{Header: ResultsHeader{Run: name, Runner: "linux", Started: time.UnixMilli(started).UTC()}}
		imports := map[string]time.Duration{}
		for _, file := range slices.Sorted(maps.Keys(fixtures)) {
			imports[file] = time.Millisecond
			r.Tests = append(r.Tests, TestResult{ID: NodeID(file + "::x"), Outcome: Passed, Wall: time.Second, Fixtures: fixtures[file]})
		}
		r.Workers = []WorkerResult{{Worker: "main", Imports: imports}}
		return r
	}
	use := func(id SetupID) FixtureResult { return FixtureResult{ID: id} }
	took := FixtureResult{ID: schema, Setup: 3 * time.Second, Teardown: time.Second}
	older := run("1", 1_700_000_000_000, map[string][]FixtureResult{"a.py": {took, use(schema)}, "b.py": {use(schema)}, "c.py": {use(schema)}})
	newer := run("2", 1_700_000_060_000, map[string][]FixtureResult{"a.py": {took, use(schema)}, "b.py": {use(schema), use(server)}, "d.py": nil})
	h := FromResults(older, newer)
	again, err := ReadHistory(strings.NewReader(bytesOf(t, h)), "h")
	if err != nil {
		t.Fatal(err)
	}
	e := again.Estimator("linux")
	want := map[string][]SetupID{"a.py": {schema}, "b.py": {server, schema}, "c.py": {schema}}
	if got := e.Uses(); !reflect.DeepEqual(got, want) {
		t.Errorf("Uses() = %q, want %q", got, want)
	}
	if got := e.Fixture(schema); got != 4*time.Second {
		t.Errorf("the fixture takes %v, want 4s", got)
	}
	if got := e.Fixture(server); got != 0 {
		t.Errorf("a fixture whose set-up was never seen takes %v", got)
	}
	h = FromResults(older, newer, run("3", 1_700_000_120_000, map[string][]FixtureResult{"b.py": nil, "c.py": {use(schema)}}))
	want = map[string][]SetupID{"a.py": {schema}, "c.py": {schema}}
	if got := h.Estimator("linux").Uses(); !reflect.DeepEqual(got, want) {
		t.Errorf("after another run: Uses() = %q, want %q", got, want)
	}
}

// What is set up while tests run is that of the newest run on runners like these: one
// elsewhere, of a few tests or with other fixtures, takes nothing away.
func TestNewestRunOfClass(t *testing.T) {
	ci := run("ci", 1000, passed("a.py::t", 1))
	ci.Tests[0].Fixtures = []FixtureResult{{ID: "session ::db"}, {ID: "module a.py::data", Setup: time.Second}}
	local := run("local", 2000, passed("a.py::t", 1), passed("a.py::new", 1))
	local.Header.Runner = "local"
	local.Tests[1].Fixtures = []FixtureResult{{ID: "session ::other"}}
	for runner, want := range map[string][]SetupID{"linux": {"session ::db", "module a.py::data"}, "local": {"session ::other"}, "mac": {"session ::other"}} {
		e := FromResults(ci, local).Estimator(runner)
		got := append(e.Uses()["a.py"], e.Uncollected([]NodeID{"a.py::t", "a.py::new"}, func(SetupID) bool { return false })...)
		if !slices.Equal(got, want) {
			t.Errorf("%s: tests ask for %q, want %q", runner, got, want)
		}
	}
}

// An import is no newer run that did without fixtures.
func TestUsesImported(t *testing.T) {
	ci := run("ci", 1000, passed("a.py::t", 1))
	ci.Tests[0].Fixtures = []FixtureResult{{ID: "session ::db"}}
	h := FromResults(ci)
	const suite = `<testsuite timestamp="2024-01-02T00:00:00"><testcase classname="a" name="t" time="1"/></testsuite>`
	imported, _, err := ImportJUnit(strings.NewReader(suite), "f", []NodeID{"a.py::t"})
	if err != nil {
		t.Fatal(err)
	}
	h.Merge(imported)
	if got := h.Estimator("mac").Uses()["a.py"]; !slices.Equal(got, []SetupID{"session ::db"}) {
		t.Errorf("tests ask for %q, want what they did", got)
	}
}
