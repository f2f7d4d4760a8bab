package pytest

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wcshard/wcshard/shard"
	"github.com/wcshard/wcshard/timing"
)

// Tests that put something else in place of the clock and of the file system,
// for longer than they run themselves, are measured all the same.
func TestReplaced(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("pyfakefs keeps the other system's calls")
	}
	oneOfFew(t)
	dir := t.TempDir()
	writeAll(t, dir, map[string]string{
		"test_frozen.py": `import pytest
from freezegun import freeze_time


@pytest.fixture(scope="module", autouse=True)
def frozen():
    with freeze_time("2030-01-01"):
        yield


@pytest.fixture(scope="module")
def shared():
    pass


@pytest.mark.parametrize("n", range(4))
def test_frozen(n, shared):
    pass
`,
		"test_past.py": `import freezegun

freezer = freezegun.freeze_time("1985-01-01")


def setup_module():
    freezer.start()


def teardown_module():
    freezer.stop()


def test_one():
    pass


def test_two():
    pass
`,
		"test_files.py": `import pytest


@pytest.fixture(scope="module", autouse=True)
def files(fs_module):
    fs_module.create_file("/made/up", contents="x")


@pytest.mark.parametrize("n", range(4))
def test_files(n):
    with open("/made/up") as file:
        assert file.read() == "x"
`,
		"test_reasons.py": `import pytest


@pytest.mark.xfail(reason=("bug 12",))
def test_tuple():
    assert False


@pytest.mark.xfail(reason=None)
def test_none():
    assert False
`,
	})
	_, all := proof{command: pytestIn(t, "meddling"), dir: dir, workers: []int{1, 2}}.run(t)
	for _, o := range all {
		for _, test := range o.results.Tests {
			took := test.Wall
			for _, f := range test.Fixtures {
				took += f.Setup + f.Teardown
			}
			if took > time.Minute || test.Start > 10*time.Minute {
				t.Errorf("%s took %v, from %v on", test.ID, took, test.Start)
			}
		}
	}
}

// Plugins that look at a fixture's finalizers, as allure does to make steps of them, find
// those of the suite.
func TestFinalizers(t *testing.T) {
	for _, env := range []string{"old", "new"} {
		t.Run(env, func(t *testing.T) {
			oneOfFew(t)
			p := proof{command: pytestIn(t, env), dir: t.TempDir(), workers: []int{1}}
			writeAll(t, p.dir, map[string]string{
				"conftest.py": `import pytest

known = []


@pytest.hookimpl(hookwrapper=True)
def pytest_fixture_setup(fixturedef):
    yield
    if fixturedef.argname == "shared":
        known.extend(str(getattr(each, "__module__", "")) for each in fixturedef._finalizers)
`,
				"test_shared.py": `import conftest
import pytest


@pytest.fixture(scope="module")
def shared():
    yield


def test_shared(shared):
    assert conftest.known and not [name for name in conftest.known if name.startswith("wcshard")]
`,
			})
			if _, all := p.run(t); all[0].status != ExitOK {
				t.Errorf("status %d\n%s", all[0].status, all[0].output)
			}
		})
	}
}

// Tests that want others to have run before stay with them, in their order.
func TestDependentTests(t *testing.T) {
	oneOfFew(t)
	p := proof{command: pytestIn(t, "meddling"), dir: t.TempDir()}
	writeAll(t, p.dir, map[string]string{
		"pytest.ini": "[pytest]\nmarkers = incremental: of a class\n",
		"test_a.py": `import time

import pytest


@pytest.mark.dependency()
def test_create():
    time.sleep(0.1)


@pytest.mark.dependency(depends=["test_create"])
def test_use():
    pass


@pytest.mark.dependency(depends=["test_use"])
def test_use_more():
    pass


@pytest.mark.parametrize("n", range(8))
def test_alone(n):
    pass


@pytest.mark.incremental
class TestSteps:
    done = []

    def test_first(self):
        time.sleep(0.1)
        self.done.append(1)

    def test_second(self):
        assert self.done


@pytest.mark.xdist_group("mine")
def test_grouped():
    pass
`,
	})
	c := p.collect(t)
	groups := map[string]string{}
	for _, test := range c.Tests {
		groups[test.ID.Rest()] = test.Group
	}
	for rest, want := range map[string]string{
		"::test_create": "with test_a.py::test_create", "::test_use_more": "with test_a.py::test_create", "::test_alone[3]": "",
		"::TestSteps::test_first": "with test_a.py::TestSteps::test_first", "::TestSteps::test_second": "with test_a.py::TestSteps::test_first", "::test_grouped": "mine",
	} {
		if groups[rest] != want {
			t.Errorf("the group of %s is %q, want %q", rest, groups[rest], want)
		}
	}
	plan, s := one(c, 3, true)
	for _, test := range p.shard(t, c, plan, s).results.Tests {
		if test.Outcome != timing.Passed {
			t.Errorf("%s %s: %s", test.ID, test.Outcome, test.Message)
		}
	}
	// Over files, where the plugin marks all tests by itself, and by names. The plan
	// would have the longest first.
	writeAll(t, p.dir, map[string]string{
		"pytest.ini": "[pytest]\nautomark_dependency = true\n",
		"test_a.py":  "def test_create():\n    pass\n\n\ndef test_alone():\n    pass\n",
		"test_b.py": `import time

import pytest


@pytest.mark.dependency(depends=["test_a.py::test_create"], scope="session")
def test_use():
    time.sleep(0.3)


@pytest.mark.dependency(depends=["late"])
def test_named():
    pass


def test_more():
    pass
`,
		"test_c.py": "import pytest\n\n\n@pytest.mark.order(1)\ndef test_mine():\n    pass\n\n\n@pytest.mark.order(2)\ndef test_other():\n    pass\n",
	})
	c = p.collect(t)
	var suite shard.Suite
	for i, test := range c.Tests {
		want := ""
		if test.ID == "test_a.py::test_create" || test.ID == "test_b.py::test_use" || test.ID == "test_b.py::test_named" {
			want = "with test_a.py::test_create"
		}
		if test.Group != want { // nobody has registered what order means
			t.Errorf("the group of %s is %q, want %q", test.ID, test.Group, want)
		}
		suite.Tests = append(suite.Tests, shard.Test{ID: test.ID, Order: i, Group: test.Group, Estimate: timing.Estimate{Wall: time.Millisecond, Rung: timing.Measured}})
		if test.ID == "test_b.py::test_use" {
			suite.Tests[i].Estimate.Wall = 5 * time.Second
		}
	}
	packed, err := shard.Pack(suite, shard.Fleet{Shards: 1, Workers: 2, CPUs: 2})
	if err != nil {
		t.Fatal(err)
	}
	ran := p.shard(t, c, packed, packed.Shards[0]).results.Tests
	for _, test := range ran {
		if skips := test.ID == "test_b.py::test_named"; (test.Outcome == timing.Skipped) != skips {
			t.Errorf("%s %s: %s", test.ID, test.Outcome, test.Message)
		}
	}
	// What is left of a shard depends on what has run before.
	var reduced outcome
	for _, again := range []bool{false, true} {
		results := newResults(t, "again")
		var output bytes.Buffer
		status, err := Run(t.Context(), p.command, RunOptions{
			Dir: p.dir, Env: testEnv(), Root: c.Collector.Root, Workers: 1, Results: results, Stdout: &output, Stderr: &output,
			Selection: Selection{Pieces: []shard.Piece{{File: "test_b.py", Tests: []string{"::test_use"}}}, Partial: true, Reduced: again},
		})
		reduced = outcome{status, readResults(t, results), output.String()}
		if err != nil || len(reduced.results.Tests) != 1 || (reduced.results.Tests[0].Outcome == timing.Passed) != again {
			t.Errorf("reduced %v: %v, %+v\n%s", again, err, reduced.results.Tests, reduced.output)
		}
	}
}

// A test in a process of its own is not taken for the one before it.
func TestForkedTests(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("it does not fork")
	}
	oneOfFew(t)
	p := proof{command: pytestIn(t, "meddling"), dir: t.TempDir(), extra: []string{"-p", "no:cacheprovider"}}
	writeAll(t, p.dir, map[string]string{"test_a.py": `import os
import time

import pytest


@pytest.fixture(scope="module")
def model():
    time.sleep(0.2)


def test_slow(model):
    time.sleep(0.3)


@pytest.mark.forked
def test_forked():
    time.sleep(0.05)


@pytest.mark.forked
@pytest.mark.xfail(reason="it dies")
def test_dies():
    os.abort()
`})
	for _, workers := range []int{1, 2} {
		c := p.collect(t)
		plan, s := one(c, workers, false)
		o := p.shard(t, c, plan, s)
		got := map[string]timing.TestResult{}
		for _, test := range o.results.Tests {
			got[test.ID.Rest()] = test
		}
		forked, dies := got["::test_forked"], got["::test_dies"]
		if forked.Outcome != timing.Passed || forked.Wall < 50*time.Millisecond || forked.Wall > 250*time.Millisecond || len(forked.Fixtures) > 0 {
			t.Errorf("%d workers: the forked test is %+v", workers, forked)
		}
		if dies.Outcome != timing.XFailed || o.status != ExitOK {
			t.Errorf("%d workers: status %d, and the test that dies is %+v\n%s", workers, o.status, dies, o.output)
		}
	}
}

// What judges a whole run does not judge a part of one.
func TestPartial(t *testing.T) {
	oneOfFew(t)
	p := proof{command: pytestIn(t, "meddling"), dir: t.TempDir()}
	writeAll(t, p.dir, map[string]string{
		"pytest.ini": "[pytest]\naddopts = --cov=code_of --cov-fail-under=90\n",
		"code_of.py": "def one():\n    return 1\n\n\ndef two():\n    return 2\n\n\ndef three():\n    x = 1\n    y = 2\n    return x + y\n",
		"test_a.py":  "import code_of\n\n\ndef test_a(snapshot):\n    assert code_of.one() == snapshot\n",
		"test_b.py":  "import code_of\n\n\ndef test_b(snapshot):\n    assert code_of.two() + code_of.three() == snapshot\n",
	})
	made := execIn(t, p.dir, testEnv(), p.command, []string{"--snapshot-update"})
	if output, err := made.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	c := p.collect(t)
	var hint *HintError
	if _, err := Collect(t.Context(), p.command, CollectOptions{Dir: p.dir, Env: testEnv(), Args: []string{"--snapshot-update"}}); !asHint(err, &hint) || !strings.Contains(err.Error(), "usage error") {
		t.Errorf("a collection that would delete snapshots: %v", err)
	}
	plan := split(c, []int{1, 1})
	for _, s := range plan.Shards {
		o := p.shard(t, c, plan, s)
		if o.status != ExitOK || !slices.ContainsFunc(o.results.Notes, func(n string) bool { return strings.Contains(n, "--cov-fail-under is on: switched off") }) {
			t.Errorf("%s ended with %d, notes %q\n%s", s.Name, o.status, o.results.Notes, o.output)
		}
		update := p
		update.extra = []string{"--snapshot-update"}
		if o := update.shard(t, c, plan, s); o.status == ExitOK || !strings.Contains(o.output, "would delete the snapshots of tests that run elsewhere") {
			t.Errorf("an update of %s ended with %d\n%s", s.Name, o.status, o.output)
		}
	}
	for _, name := range []string{"test_a.ambr", "test_b.ambr"} {
		if _, err := os.Stat(filepath.Join(p.dir, "__snapshots__", name)); err != nil {
			t.Error(err)
		}
	}
	// All in one shard is a whole run, and what the user says of this one counts.
	whole, s := one(c, 1, false)
	if o := p.shard(t, c, whole, s); o.status != ExitOK || len(o.results.Notes) > 0 {
		t.Errorf("the whole ended with %d, notes %q\n%s", o.status, o.results.Notes, o.output)
	}
	p.extra = []string{"--cov-fail-under=90"}
	if o := p.shard(t, c, plan, plan.Shards[0]); o.status != ExitFailed {
		t.Errorf("with a limit of its own it ended with %d\n%s", o.status, o.output)
	}
}

// Classes that compare in their own way and have no hash may be the types of parameters.
func TestClassesWithoutHash(t *testing.T) {
	oneOfFew(t)
	p := proof{command: pytestIn(t, "new"), dir: t.TempDir(), workers: []int{1, 2}}
	writeAll(t, p.dir, map[string]string{"test_kinds.py": `import pytest


class Meta(type):
    def __eq__(cls, other):
        return cls is other


class Kind(metaclass=Meta):
    pass


@pytest.fixture(scope="module")
def shared(request):
    return request.param


@pytest.mark.parametrize("kind", [Kind(), Kind()])
def test_kind(kind):
    pass


@pytest.mark.parametrize("shared", [Kind(), Kind()], indirect=True)
def test_shared(shared):
    pass


def test_other():
    pass
`})
	p.run(t)
}

// Names that say nothing of files, and a module of the project's that is called
// as one of Python's.
func TestOddNames(t *testing.T) {
	oneOfFew(t)
	for _, env := range []string{"between", "new"} {
		p := proof{command: pytestIn(t, env), dir: t.TempDir(), workers: []int{1}}
		writeAll(t, p.dir, map[string]string{
			"conftest.py": `def pytest_itemcollected(item):
    item._nodeid = item.name + " does what it says"
`,
			"resource.py": "class Thing:\n    pass\n",
			"test_a.py":   "from resource import Thing\n\n\ndef test_a():\n    assert Thing()\n\n\ndef test_b():\n    pass\n",
		})
		p.run(t)
	}
}

// Where a plugin has ordered the tests over files, one process keeps to that.
func TestInterleaved(t *testing.T) {
	for _, env := range []string{"old", "new", "bare"} {
		t.Run(env, func(t *testing.T) {
			oneOfFew(t)
			p := proof{command: pytestIn(t, env), dir: t.TempDir()}
			writeAll(t, p.dir, map[string]string{
				"conftest.py": "def pytest_collection_modifyitems(items):\n    items.sort(key=lambda item: \"last\" in item.name)\n",
				"test_a.py":   "def test_last():\n    pass\n\n\ndef test_one():\n    pass\n",
				"test_b.py":   "def test_one():\n    pass\n\n\ndef test_last():\n    pass\n",
			})
			c := p.collect(t)
			slices.SortStableFunc(c.Tests, func(a, b CollectedTest) int { return strings.Compare(a.ID.File(), b.ID.File()) }) // as a plan has them
			plan, s := one(c, 1, false)
			var ran []string
			for _, test := range p.shard(t, c, plan, s).results.Tests {
				ran = append(ran, string(test.ID))
			}
			if want := []string{"test_a.py::test_one", "test_b.py::test_one", "test_a.py::test_last", "test_b.py::test_last"}; !slices.Equal(ran, want) {
				t.Errorf("ran %q, want %q", ran, want)
			}
		})
	}
}

// A conftest.py that has a say in tests of other folders has it in every shard.
func TestFarConftest(t *testing.T) {
	for _, env := range []string{"old", "new", "bare"} {
		t.Run(env, func(t *testing.T) {
			oneOfFew(t)
			p := proof{command: pytestIn(t, env), dir: t.TempDir(), workers: []int{1, 1}}
			writeAll(t, p.dir, map[string]string{
				"pytest.ini": "[pytest]\nmarkers = slow: takes long\n",
				"tests/slow/deep/conftest.py": `import pytest


def pytest_collection_modifyitems(items):
    for item in items:
        if "slow" in item.keywords:
            item.add_marker(pytest.mark.skip)
`,
				"tests/slow/deep/test_deep.py": "def test_deep():\n    pass\n",
				"tests/quick/conftest.py":      "import pytest\n\n\n@pytest.fixture\ndef one():\n    return 1\n",
				"tests/quick/test_quick.py":    "import pytest\n\n\n@pytest.mark.slow\ndef test_slow(one):\n    assert not one\n\n\ndef test_one(one):\n    pass\n",
			})
			c, _ := p.run(t)
			if want := []string{"tests/slow/deep"}; !slices.Equal(c.Collector.Conftests, want) {
				t.Errorf("the folders are %q, want %q", c.Collector.Conftests, want)
			}
		})
	}
}

// What a whole suite finds because pytest has been in other folders, each shard finds:
// modules beside other shards' files, and what a conftest.py has put into the environment.
func TestOtherFolders(t *testing.T) {
	for _, env := range []string{"old", "new", "bare"} {
		t.Run(env, func(t *testing.T) {
			oneOfFew(t)
			p := proof{command: pytestIn(t, env), dir: t.TempDir(), workers: []int{1, 1, 1, 1}}
			writeAll(t, p.dir, map[string]string{
				"tests/a/helpers.py":  "two = 2\n",
				"tests/a/test_a.py":   "import helpers\n\n\ndef test_two():\n    assert helpers.two == 2\n",
				"tests/b/conftest.py": "import os\nimport sys\n\nos.environ[\"OF_B\"] = \"1\"\nsys.path.append(os.path.join(os.path.dirname(__file__), \"lib\"))\n",
				"tests/b/lib/of_b.py": "one = 1\n",
				"tests/b/test_b.py":   "def test_one():\n    import of_b\n\n    assert of_b.one == 1\n",
				"tests/c/test_c.py":   "import os\n\nimport helpers\nimport of_b\nimport pip\n\n\ndef test_three():\n    import of_none\n\n    assert of_none.zero == 0 and helpers.two + of_b.one == 3 and os.environ[\"OF_B\"]\n",
				"tests/d/conftest.py": "seen = 1\n",
				"tests/d/lib/pip.py":  "raise ImportError(\"there is one installed, which is found before this one\")\n",
				"tests/d/test_d.py":   "import os\nimport sys\n\nsys.path.append(os.path.join(os.path.dirname(__file__), \"lib\"))\nsys.path.append(\"further\")\nsys.path += sys.path[1:9]\nimport pip\n\n\ndef test_path():\n    pass\n",
				"further/of_none.py":  "zero = 0\n",
				"pytest.ini":          "[pytest]\ntestpaths = tests\n",
			})
			c, outcomes := p.run(t)
			if want := []string{"tests/b"}; !slices.Equal(c.Collector.Conftests, want) {
				t.Errorf("the folders are %q, want %q", c.Collector.Conftests, want)
			}
			if want := []string{"tests/a", "tests/b", "tests/c", "tests/d"}; !slices.Equal(slices.Sorted(slices.Values(c.Collector.Places)), want) {
				t.Errorf("the places are %q, want %q", c.Collector.Places, want)
			}
			if want := []string{"tests/b/lib", "tests/d/lib", "further"}; !slices.Equal(c.Collector.LastPlaces, want) {
				t.Errorf("the places behind others are %q, want %q", c.Collector.LastPlaces, want)
			}
			for _, o := range outcomes {
				if o.status != ExitOK {
					t.Errorf("status %d\n%s", o.status, o.output)
				}
			}
		})
	}
}

// Where coverage is not told what to measure, it measures nothing of wcshard's.
func TestUncovered(t *testing.T) {
	oneOfFew(t)
	p := proof{command: pytestIn(t, "meddling"), dir: t.TempDir(), extra: []string{"--cov", "--cov-report=json:cov.json"}}
	writeAll(t, p.dir, map[string]string{
		"code_of.py": "def one():\n    return 1\n",
		"test_a.py":  "import code_of\n\n\ndef test_a():\n    assert code_of.one()\n\n\ndef test_b():\n    pass\n",
	})
	c := p.collect(t)
	for _, workers := range []int{1, 2} {
		plan, s := one(c, workers, true)
		o := p.shard(t, c, plan, s)
		text, err := os.ReadFile(filepath.Join(p.dir, "cov.json"))
		if err != nil {
			t.Fatalf("%v\n%s", err, o.output)
		}
		var report struct {
			Files map[string]any `json:"files"`
		}
		if err := json.Unmarshal(text, &report); err != nil {
			t.Fatal(err)
		}
		if got, want := slices.Sorted(maps.Keys(report.Files)), []string{"code_of.py", "test_a.py"}; !slices.Equal(got, want) {
			t.Errorf("%d workers: coverage has %q, want %q", workers, got, want)
		}
	}
}
