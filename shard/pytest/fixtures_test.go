package pytest

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wcshard/wcshard/timing"
)

// Shared set-up is measured by itself, once for each instance, and is not
// charged to the test that came first.
func TestFixtureTimes(t *testing.T) {
	want := map[string][3]int{ // set-up, call and teardown, milliseconds
		"session ::session_thing":                      {120, 0, 60},
		"package pkg::package_thing":                   {50, 0, 30},
		"module pkg/test_shared.py::model[0]":          {100, 0, 40},
		"module pkg/test_shared.py::model[1]":          {140, 0, 40},
		"module pkg/test_shared.py::late":              {70, 0, 0},
		"module pkg/test_shared.py::later":             {90, 0, 50},
		"class pkg/test_shared.py::TestClass::classy":  {80, 0, 0},
		"module pkg/test_shared.py::(module)":          {30, 0, 20},
		"class pkg/test_shared.py::TestClass::(class)": {60, 0, 20},
		"class pkg/test_shared.py::Unit::(class)":      {110, 0, 50},
		"module pkg/test_unit_module.py::(module)":     {50, 0, 40},

		"pkg/test_shared.py::test_model[a]":        {20, 30, 10},
		"pkg/test_shared.py::test_model[b]":        {20, 30, 10},
		"pkg/test_shared.py::test_late":            {0, 10, 0},
		"pkg/test_shared.py::TestClass::test_one":  {},
		"pkg/test_shared.py::TestClass::test_two":  {0, 20, 0},
		"pkg/test_shared.py::test_no_class":        {80, 0, 0},
		"pkg/test_shared.py::Unit::test_unit":      {0, 20, 0},
		"pkg/test_unit_module.py::Unit::test_unit": {},
	}
	for _, env := range []string{"old", "between", "new", "bare"} {
		t.Run(env, func(t *testing.T) {
			oneOfFew(t)
			p := proof{command: pytestIn(t, env), dir: suite(t, "fixtures")}
			c := p.collect(t)
			plan, s := one(c, 1, false)
			got := map[string]time.Duration{}
			var faults []string
			for range mostRuns {
				times(t, p.shard(t, c, plan, s).results, got)
				if faults = compare(got, want); len(faults) == 0 {
					break
				}
			}
			for _, fault := range faults {
				t.Error(fault)
			}
			collected := map[string]bool{}
			for _, test := range c.Tests {
				for _, f := range test.Fixtures {
					collected[named(f)] = true
				}
			}
			for _, name := range slices.Sorted(maps.Keys(want)) {
				if !strings.Contains(name, " ") {
					continue // a test
				}
				dynamic := strings.HasSuffix(name, "::late") || strings.HasSuffix(name, "::later")
				if collected[name] == dynamic {
					t.Errorf("collected %q: %v, want %v; there are %q", name, collected[name], !dynamic, slices.Sorted(maps.Keys(collected)))
				}
			}
		})
	}
}

// named gives pytest's fixtures for xunit's and unittest's set-ups, whose names
// change from version to version, one name.
func named(id string) string {
	place, name, found := cutLast(id, "::")
	if found && strings.Contains(strings.ToLower(name), "xunit_setup_module") || strings.Contains(name, "unittest_setUpModule") {
		return place + "::(module)"
	}
	if strings.Contains(name, "xunit_setup_class") || strings.Contains(name, "unittest_setUpClass") {
		return place + "::(class)"
	}
	return id
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

// phases name what a test or fixture takes time for.
var phases = [3]string{"set-up", "call", "teardown"}

// times adds a run to the shortest times so far, by the name of the test or
// fixture and the phase.
func times(t *testing.T, r *timing.Results, shortest map[string]time.Duration) {
	t.Helper()
	add := func(name string, took [3]time.Duration) {
		for i, phase := range phases {
			key := name + " " + phase
			if before, seen := shortest[key]; !seen || took[i] < before {
				shortest[key] = took[i]
			}
		}
	}
	fixtures := map[string][3]time.Duration{} // set up during one test, torn down during another
	for _, test := range r.Tests {
		if test.Outcome != timing.Passed {
			t.Errorf("%q %s: %s", test.ID, test.Outcome, test.Message)
		}
		add(string(test.ID), [3]time.Duration{test.Setup, test.Call, test.Teardown})
		for _, f := range test.Fixtures {
			sum := fixtures[named(string(f.ID))]
			fixtures[named(string(f.ID))] = [3]time.Duration{sum[0] + f.Setup, 0, sum[2] + f.Teardown}
		}
	}
	for name, took := range fixtures {
		add(name, took)
	}
}

// compare says where times differ by more than what a quiet machine adds.
func compare(got map[string]time.Duration, want map[string][3]int) (faults []string) {
	for _, name := range slices.Sorted(maps.Keys(want)) {
		for i, phase := range phases {
			low := time.Duration(want[name][i]) * time.Millisecond
			took, measured := got[name+" "+phase]
			if !measured || took < low-time.Millisecond || took > low+9*time.Millisecond {
				faults = append(faults, fmt.Sprintf("%s %s took %v, want %v", name, phase, took, low))
			}
		}
	}
	return faults
}

// Instances are told apart as pytest does: by the parameter of a fixture, by those of what
// it is built on, and by the values that tests give (indirect), whose numbers are of
// each test's own list. Each is set up once, and tests are known to need it before.
func TestInstances(t *testing.T) {
	files := map[string]string{
		"conftest.py": `import enum
import time

import pytest


class Odd:
    def __getattr__(self, name):  # as proxies do that stand for nothing yet
        if name == "__qualname__":
            raise RuntimeError(name)
        raise AttributeError(name)


class Color(enum.Enum):
    RED = 1


ODD = Odd()


@pytest.fixture(scope="session", params=["a", pytest.param("b", id="B")])
def backend(request):
    time.sleep(0.001)
    yield request.param
    time.sleep(0.001)


@pytest.fixture(scope="session")
def schema(backend):
    time.sleep(0.001)


@pytest.fixture(scope="module")
def rows(schema, plain):
    time.sleep(0.001)


@pytest.fixture(scope="session")
def plain():
    time.sleep(0.001)


@pytest.fixture(scope="session")
def server(request):
    time.sleep(0.001)
    return request.param
`,
		"pkg/__init__.py": "",
		"pkg/conftest.py": `import time

import pytest


@pytest.fixture(scope="module")
def plain(plain, server):
    time.sleep(0.001)


@pytest.fixture(scope="session")
def schema():
    time.sleep(0.001)
`,
		"test_rows.py": `import pytest


@pytest.mark.parametrize("n", [1, 2])
def test_rows(rows, n):
    pass


@pytest.mark.parametrize("backend", ["".join("b")], indirect=True)
def test_one(schema, backend):
    assert backend == "b"
`,
		"test_server.py": `import pytest
from conftest import ODD, Color


@pytest.mark.parametrize("server", ["pg", {"port": 1}, 0, ODD, ValueError, Color.RED, lambda: 1, lambda: 2], indirect=True)
def test_server(server):
    pass
`,
		"test_mysql.py": `import pytest


@pytest.mark.parametrize("server", ["mysql"], indirect=True)
class TestServer:
    def test_a(self, server):
        assert server == "mysql"

    def test_b(self, server):
        pass
`,
		"pkg/test_plain.py": `import pytest


@pytest.mark.parametrize("server", ["mysql", "pg"], indirect=True)
def test_plain(plain):
    pass


def test_schema(schema):
    pass
`,
	}
	want := []string{
		"module pkg/test_plain.py::plain[server='mysql']",
		"module pkg/test_plain.py::plain[server='pg']",
		"module test_rows.py::rows[backend 0]",
		"module test_rows.py::rows[backend 1]",
		"session ::backend[0]",
		"session ::backend[1]",
		"session ::plain",
		"session ::schema[backend 0]",
		"session ::schema[backend 1]",
		"session ::server[='mysql']",
		"session ::server[='pg']",
		"session ::server[=0]",
		"session ::server[=3 of test_server.py test_server]",
		"session ::server[=35fa24e7]",                        // {"port": 1}
		"session ::server[=6 of test_server.py test_server]", // lambdas
		"session ::server[=7 of test_server.py test_server]",
		"session ::server[=Color.RED]",
		"session ::server[=builtins.ValueError]",
		"session pkg::schema",
	}
	for _, env := range []string{"old", "between", "new"} {
		t.Run(env, func(t *testing.T) {
			oneOfFew(t)
			p := proof{command: pytestIn(t, env), dir: t.TempDir()}
			writeAll(t, p.dir, files)
			c := p.collect(t)
			plan, s := one(c, 1, false)
			needed, setUp := map[string]bool{}, map[string]bool{}
			for _, test := range c.Tests {
				for _, id := range test.Fixtures {
					needed[id] = true
				}
			}
			for _, test := range p.shard(t, c, plan, s).results.Tests {
				if test.Outcome != timing.Passed {
					t.Errorf("%s %s: %s", test.ID, test.Outcome, test.Message)
				}
				for _, f := range test.Fixtures {
					if f.Setup > 0 {
						setUp[string(f.ID)] = true
					}
				}
			}
			if got := slices.Sorted(maps.Keys(needed)); !slices.Equal(got, want) {
				t.Errorf("tests need\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
			if got := slices.Sorted(maps.Keys(setUp)); !slices.Equal(got, want) {
				t.Errorf("set up were\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		})
	}
}

// What tests ask for while they run is told once a file, without a time, where it
// took long to set up: by whichever try counts, and by whichever worker.
func TestAskedFor(t *testing.T) {
	files := map[string]string{
		"conftest.py": `import time

import pytest


@pytest.fixture(scope="session")
def schema():
    time.sleep(0.01)


@pytest.fixture(scope="session")
def quick():
    pass


@pytest.fixture
def rows(request):
    request.getfixturevalue("schema")
    request.getfixturevalue("quick")
`,
		"test_again.py": `import pytest

tries = []


@pytest.mark.flaky(reruns=1)
def test_again(rows, request):
    tries.append(1)
    assert len(tries) == 2 or not request.config.pluginmanager.hasplugin("rerunfailures")


def test_more(rows):
    pass
`,
		"test_named.py":      "def test_named(schema):\n    pass\n\n\ndef test_none():\n    pass\n",
		"test_unit.py":       "import unittest\n\n\nclass Unit(unittest.TestCase):\n    def test_unit(self):\n        pass\n",
		"pkg/__init__.py":    "",
		"pkg/conftest.py":    "import time\n\nimport pytest\n\n\n@pytest.fixture(scope=\"package\")\ndef server():\n    time.sleep(0.01)\n",
		"pkg/test_inside.py": "def test_a(request):\n    request.getfixturevalue(\"server\")\n\n\ndef test_b(request):\n    request.getfixturevalue(\"server\")\n    request.getfixturevalue(\"schema\")\n",
	}
	want := map[string][]string{
		"test_again.py": {"session ::schema"}, "pkg/test_inside.py": {"package pkg::server", "session ::schema"},
	}
	for _, env := range []string{"old", "between", "new", "plugins"} {
		for _, workers := range []int{1, 2} {
			t.Run(fmt.Sprint(env, "/", workers), func(t *testing.T) {
				oneOfFew(t)
				p := proof{command: pytestIn(t, env), dir: t.TempDir(), args: []string{"-p", "no:randomly"}}
				writeAll(t, p.dir, files)
				c := p.collect(t)
				plan, s := one(c, workers, false)
				got := map[string][]string{}
				for _, test := range p.shard(t, c, plan, s).results.Tests {
					if test.Outcome != timing.Passed {
						t.Errorf("%s %s: %s", test.ID, test.Outcome, test.Message)
					}
					if strings.HasSuffix(string(test.ID), "test_again") && (test.Reruns == 1) != (env == "new" || env == "plugins") {
						t.Errorf("%d reruns", test.Reruns)
					}
					for _, f := range test.Fixtures {
						if f.Setup+f.Teardown == 0 {
							got[test.ID.File()] = append(got[test.ID.File()], string(f.ID))
						}
					}
				}
				for _, asked := range got {
					slices.Sort(asked)
				}
				if !reflect.DeepEqual(got, want) {
					t.Errorf("asked for %q, want %q", got, want)
				}
			})
		}
	}
}

// What the set-up of a fixture took that failed, or skipped, says nothing of the next
// one: it is its test's. What that had set up by then counts.
func TestFixtureFails(t *testing.T) {
	for _, env := range []string{"old", "between", "new"} {
		t.Run(env, func(t *testing.T) {
			oneOfFew(t)
			p := proof{command: pytestIn(t, env), dir: t.TempDir()}
			writeAll(t, p.dir, map[string]string{
				"conftest.py": `import time

import pytest


@pytest.fixture(scope="session")
def server():
    time.sleep(0.05)


@pytest.fixture(scope="session")
def fails(server):
    time.sleep(0.1)
    raise OSError("no route to host")


@pytest.fixture(scope="module")
def skips():
    time.sleep(0.1)
    pytest.skip("no database")
`,
				"test_a.py": "def test_fails(fails):\n    pass\n\n\ndef test_skips(skips):\n    pass\n",
			})
			c := p.collect(t)
			plan, s := one(c, 1, false)
			r := p.shard(t, c, plan, s).results
			var fixtures []string
			for _, test := range r.Tests {
				if test.Setup < 100*time.Millisecond {
					t.Errorf("the set-up of %s took %v, want at least 100ms", test.ID, test.Setup)
				}
				for _, f := range test.Fixtures {
					if f.Setup > 0 {
						fixtures = append(fixtures, string(f.ID))
					}
				}
			}
			if want := []string{"session ::server"}; len(r.Tests) != 2 || !reflect.DeepEqual(fixtures, want) {
				t.Errorf("%d tests set up %q, want 2 and %q", len(r.Tests), fixtures, want)
			}
		})
	}
}

// What a fixture raises is shown as without wcshard.
func TestFixtureBlame(t *testing.T) {
	for _, env := range []string{"old", "between", "new"} {
		t.Run(env, func(t *testing.T) {
			oneOfFew(t)
			p := proof{command: pytestIn(t, env), dir: t.TempDir(), extra: []string{"-l"}}
			writeAll(t, p.dir, map[string]string{
				"conftest.py": `import pytest


@pytest.fixture
def one():
    raise ValueError("of one test")


@pytest.fixture(scope="session")
def all_of_them():
    raise KeyError("of all tests")
`,
				"test_a.py": "def test_one(one):\n    pass\n\n\ndef test_all(all_of_them):\n    pass\n",
			})
			c := p.collect(t)
			plan, s := one(c, 1, false)
			got := p.shard(t, c, plan, s).output
			plain := execIn(t, p.dir, testEnv(), p.command, []string{"-l"})
			want, _ := plain.CombinedOutput()
			for line := range strings.Lines(string(want)) {
				if (strings.HasPrefix(line, "E ") || strings.Contains(line, ".py:")) && !strings.Contains(got, line) {
					t.Errorf("no %q in\n%s", line, got)
				}
			}
			for _, ours := range []string{"wcshard_", "fixturedef", "pytest_fixture_setup"} {
				if strings.Contains(got, ours) && !strings.Contains(string(want), ours) {
					t.Errorf("%q is in\n%s", ours, got)
				}
			}
		})
	}
}
