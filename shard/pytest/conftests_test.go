package pytest

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/wcshard/wcshard/shard"
	"github.com/wcshard/wcshard/timing"
)

// What xdist is asked to keep on one worker stays there, and in one job; so do the
// examples of a document, and what pytest-ordering orders. Where a conftest.py hands the
// tests out, it does.
func TestScopesOfXdist(t *testing.T) {
	const tests = "import os\nimport time\n\nimport pytest\n\n\nclass TestA:\n" +
		"    @pytest.mark.parametrize(\"n\", range(4))\n    def test_a(self, n):\n        time.sleep(0.05)\n\n\n" +
		"@pytest.mark.parametrize(\"n\", range(4))\ndef test_b(n):\n    time.sleep(0.05)\n"
	const scheduler = `from xdist.scheduler import LoadFileScheduling


def pytest_xdist_make_scheduler(config, log):
    return LoadFileScheduling(config, log)
`
	const groups = `import pytest
from xdist.scheduler import LoadGroupScheduling


def pytest_xdist_make_scheduler(config, log):
    return LoadGroupScheduling(config, log) if config.getvalue("dist") == "loadgroup" else None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    for item in items:
        if "test_b" in item.name:
            item.add_marker(pytest.mark.xdist_group("one"))
`
	const documents = `import pytest


class SybilItem(pytest.Item):
    def runtest(self):
        pass


class Document(pytest.File):
    def collect(self):
        return [SybilItem.from_parent(self, name=f"line:{n}") for n in range(3)]


def pytest_collect_file(file_path, parent):
    return Document.from_parent(parent, path=file_path) if file_path.suffix == ".rst" else None


def pytest_configure(config):
    config.pluginmanager.register(object(), "pytest_ordering")
`
	for _, c := range []struct {
		name   string
		files  map[string]string
		groups map[string]string // by what follows the file in the ID
		note   string
		apart  string // what of an ID is on one worker
	}{
		{"file", map[string]string{"pytest.ini": "[pytest]\naddopts = -n 4 --dist loadfile\n"},
			map[string]string{"::TestA::test_a[1]": "with test_x.py::TestA::test_a[0]", "::test_b[2]": "with test_x.py::TestA::test_a[0]"},
			"--dist loadfile is on", "file"},
		{"scope", map[string]string{"pytest.ini": "[pytest]\naddopts = -n 4 --dist=loadscope\n"},
			map[string]string{"::TestA::test_a[1]": "with test_x.py::TestA::test_a[0]", "::test_b[2]": "with test_x.py::test_b[0]"},
			"--dist loadscope is on", "class"},
		{"scheduler", map[string]string{"conftest.py": scheduler}, map[string]string{"::test_b[2]": ""}, "", "file"},
		{"none yet", map[string]string{"conftest.py": "def pytest_xdist_make_scheduler(config, log):\n    return None\n", "pytest.ini": "[pytest]\naddopts = --dist loadfile\n"},
			map[string]string{"::test_b[2]": "with test_x.py::TestA::test_a[0]"}, "--dist loadfile is on", "file"},
		{"groups", map[string]string{"conftest.py": groups, "pytest.ini": "[pytest]\naddopts = --dist loadgroup\n"},
			map[string]string{"::test_b[2]": "one"}, "", "group"},
		{"documents", map[string]string{"conftest.py": documents, "guide.rst": "", "test_y.py": "import pytest\n\n\n@pytest.mark.run(order=1)\ndef test_late():\n    pass\n\n\n@pytest.mark.first\ndef test_early():\n    pass\n\n\n@pytest.mark.run(order=2)\ndef test_later():\n    pass\n"},
			map[string]string{"::test_b[2]": "", "::line:2": "with guide.rst::line:0", "::test_later": "with test_y.py::test_late"}, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			oneOfFew(t)
			env := "new"
			if c.name == "groups" {
				env = "old" // with pytest 9.2, xdist 3.8 has no "@group" in the names
			}
			p := proof{command: pytestIn(t, env), dir: t.TempDir()}
			c.files["test_x.py"] = tests
			writeAll(t, p.dir, c.files)
			collected := p.collect(t)
			groups := map[string]string{}
			for _, test := range collected.Tests {
				groups[test.ID.Rest()] = test.Group
			}
			for rest, want := range c.groups {
				if got, known := groups[rest]; !known || got != want {
					t.Errorf("the group of %s is %q (collected: %v), want %q", rest, got, known, want)
				}
			}
			if notes := strings.Join(collected.Notes, "\n"); !strings.HasPrefix(notes, c.note) || c.note == "" && notes != "" {
				t.Errorf("the collection notes %q, want %q", notes, c.note)
			}
			plan, s := one(collected, 2, true)
			o := p.shard(t, collected, plan, s)
			if notes := strings.Join(o.results.Notes, "\n"); strings.Contains(notes, "scheduler of its own") != (c.name == "scheduler" || c.name == "groups") {
				t.Errorf("the run notes %q", notes)
			}
			workers := map[string]string{}
			for _, test := range o.results.Tests {
				scope := test.ID.File()
				if c.apart == "class" {
					scope = test.ID.Class()
				}
				if c.apart == "group" {
					scope = groups[test.ID.Rest()]
				}
				if before, ok := workers[scope]; ok && before != test.Worker && scope != "" && c.apart != "" {
					t.Errorf("%s ran on %s, others of %s on %s", test.ID, test.Worker, scope, before)
				}
				workers[scope] = test.Worker
			}
			if len(o.results.Tests) != len(collected.Tests) {
				t.Errorf("%d tests of %d ran\n%s", len(o.results.Tests), len(collected.Tests), o.output)
			}
		})
	}
}

// Reports may have other names than their tests; what measures nothing with workers has
// none; and hooks of far folders that all tests see are there in each job.
func TestMeddlingConftests(t *testing.T) {
	const renames = `import pytest


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    report.nodeid = report.nodeid.encode("utf-8").decode("unicode_escape")
`
	const benchmark = "def pytest_addoption(parser):\n    parser.addoption(\"--benchmark-only\", action=\"store_true\", default=True)\n"
	for _, c := range []struct {
		name    string
		files   map[string]string
		workers []int
		note    string
	}{
		{"renamed reports", map[string]string{
			"conftest.py": renames,
			"test_a.py":   "import pytest\n\n\n@pytest.mark.parametrize(\"word\", [\"\u4e2d\u6587\", \"a\"])\ndef test_a(word):\n    pass\n",
		}, []int{1}, ""},
		{"benchmarks", map[string]string{"conftest.py": benchmark, "test_a.py": "def test_a():\n    pass\n\n\ndef test_b():\n    pass\n"}, []int{2}, "--benchmark-only is on: the tests run in one process"},
		{"names of parameters", map[string]string{
			"pytest.ini":            "[pytest]\naddopts = --strict-markers\n",
			"tests/api/conftest.py": "def pytest_make_parametrize_id(config, val):\n    return repr(val)\n\n\ndef pytest_configure(config):\n    config.addinivalue_line(\"markers\", \"slow: takes long\")\n",
			"tests/api/test_a.py":   "def test_a():\n    pass\n",
			"tests/web/test_w.py":   "import pytest\n\n\n@pytest.mark.slow\n@pytest.mark.parametrize(\"word\", [\"a\", \"b\"])\ndef test_w(word):\n    pass\n",
		}, []int{1, 1}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			oneOfFew(t)
			p := proof{command: pytestIn(t, "new"), dir: t.TempDir(), workers: c.workers}
			writeAll(t, p.dir, c.files)
			var outcomes []outcome
			if c.name == "renamed reports" { // nobody can tell from a plain run's reports which tests those are of
				collected := p.collect(t)
				plan, s := one(collected, 1, false)
				outcomes = append(outcomes, p.shard(t, collected, plan, s))
				for i, test := range outcomes[0].results.Tests {
					if test.ID != collected.Tests[i].ID || test.Outcome != timing.Passed {
						t.Errorf("%q %s, want %q passed", test.ID, test.Outcome, collected.Tests[i].ID)
					}
				}
			} else {
				_, outcomes = p.run(t)
			}
			for _, o := range outcomes {
				if notes := strings.Join(o.results.Notes, "\n"); notes != c.note {
					t.Errorf("the run notes %q, want %q", notes, c.note)
				}
				if processes := o.results.Workers; c.note != "" && (len(processes) != 1 || processes[0].Worker != "main") {
					t.Errorf("it ran in %+v, want one process", processes)
				}
			}
		})
	}
}

// Another call's reports lie beside the first one's, whoever asked for them.
func TestReportsOfAnotherCall(t *testing.T) {
	oneOfFew(t)
	p := proof{command: pytestIn(t, "new"), dir: t.TempDir()}
	writeAll(t, p.dir, map[string]string{
		"pytest.ini": "[pytest]\naddopts = --junitxml=out/report.xml --clean-alluredir\nlog_file = log\n",
		"conftest.py": `def pytest_addoption(parser):
    parser.addoption("--clean-alluredir", action="store_true", dest="clean_alluredir")


def pytest_configure(config):
    with open("cleans", "a") as file:
        print(config.option.clean_alluredir, file=file)
`,
		"test_a.py": "def test_a():\n    pass\n",
	})
	c := p.collect(t)
	if err := os.Remove(filepath.Join(p.dir, "cleans")); err != nil {
		t.Fatal(err)
	}
	for again := range 3 {
		status, err := Run(t.Context(), p.command, RunOptions{
			Dir: p.dir, Env: testEnv(), Root: c.Collector.Root, Workers: 1, Results: newResults(t, "again"), Again: again,
			Selection: Selection{Pieces: []shard.Piece{{File: "test_a.py", Tests: []string{"::test_a"}}}},
		})
		if err != nil || status != 0 {
			t.Fatalf("call %d: %d, %v", again, status, err)
		}
	}
	var found []string
	for _, pattern := range []string{"out/*", "log*"} {
		names, err := filepath.Glob(filepath.Join(p.dir, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			found = append(found, filepath.Base(name))
		}
	}
	if want := []string{"report.again-1.xml", "report.again-2.xml", "report.xml", "log", "log.again-1", "log.again-2"}; !slices.Equal(found, want) {
		t.Errorf("the reports are %q, want %q", found, want)
	}
	if cleans, err := os.ReadFile(filepath.Join(p.dir, "cleans")); err != nil || string(cleans) != "True\nFalse\nFalse\n" {
		t.Errorf("allure is told to clean its folder: %q, %v, want only in the first call", cleans, err)
	}
}

// What another call covers is added to what the first one did, and that this is less
// than was run is said, wherever coverage was asked for.
func TestCoverageOfAnotherCall(t *testing.T) {
	oneOfFew(t)
	p := proof{command: pytestIn(t, "plugins"), dir: t.TempDir()}
	writeAll(t, p.dir, map[string]string{
		"pytest.ini": "[pytest]\naddopts = --cov=lib --cov-report= -p no:randomly\n",
		"lib.py":     "def a():\n    return 1\n\ndef b():\n    return 2\n",
		"test_a.py":  "import lib\n\ndef test_a():\n    assert lib.a() == 1\n\ndef test_b():\n    assert lib.b() == 2\n",
	})
	c := p.collect(t)
	tests := [...]string{"::test_a", "::test_b"}
	for again, test := range tests {
		name := newResults(t, "again")
		status, err := Run(t.Context(), p.command, RunOptions{
			Dir: p.dir, Env: testEnv(), Root: c.Collector.Root, Workers: 1, Results: name, Again: again,
			Selection: Selection{Pieces: []shard.Piece{{File: "test_a.py", Cut: true, Tests: []string{test}}}, Elsewhere: []timing.NodeID{timing.NodeID("test_a.py" + tests[1-again])}},
		})
		if err != nil || status != 0 {
			t.Fatalf("call %d: %d, %v", again, status, err)
		}
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if said := strings.Contains(string(text), "what a killed process had covered is lost"); said != (again > 0) {
			t.Errorf("call %d: it is said that coverage is not whole: %v", again, said)
		}
	}
	report := exec.CommandContext(t.Context(), p.command.Argv[0], "-m", "coverage", "report", "--include=lib.py", "--format=total")
	report.Dir = p.dir
	if total, err := report.CombinedOutput(); err != nil || string(total) != "100\n" {
		t.Errorf("coverage report: %q, %v, want 100", total, err)
	}
}
