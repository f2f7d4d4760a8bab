package pytest

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wcshard/wcshard/shard"
	"github.com/wcshard/wcshard/timing"
)

// A plugin that ends a worker in the middle of a test, and a fault of the
// interpreter, are crashes of that test and of no other.
func TestCrashyPlugins(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("a fault of another kind")
	}
	for _, env := range []string{"new", "plugins"} {
		t.Run(env, func(t *testing.T) {
			oneOfFew(t)
			p := proof{
				command: pytestIn(t, env), dir: suite(t, "crashy"),
				args: []string{"-p", "no:randomly", "--timeout=3", "--timeout-method=thread", "-o", "faulthandler_timeout=1"},
			}
			c := p.collect(t)
			plan, s := one(c, 2, true)
			o := p.shard(t, c, plan, s)
			got := map[timing.NodeID]timing.Outcome{}
			for _, test := range o.results.Tests {
				if got[test.ID] != "" {
					t.Errorf("%q told twice", test.ID)
				}
				got[test.ID] = test.Outcome
			}
			for _, id := range s.IDs() {
				want := timing.Passed
				if id.Rest() == "::test_hangs" || id.Rest() == "::test_segfault" {
					want = timing.Crashed
				}
				if got[id] != want {
					t.Errorf("%q: %q, want %q\n%s", id, got[id], want, o.output)
				}
			}
		})
	}
}

// Tests that share a name stay together and in order, so that a kill leaves no
// doubt which of them have run.
func TestNamesakesStayTogether(t *testing.T) {
	oneOfFew(t)
	python := pytestIn(t, "new").Argv[0]
	output, err := exec.CommandContext(t.Context(), python, "-B", filepath.Join("testdata", "model", "units.py"), ".").CombinedOutput()
	want := "[[[0], [1, 3], [2, 6], [4], [5], [7, 8, 9]], [1, 2, 5]]\n" +
		"[[[4], [0, 5], [7, 9], [1, 3], [2, 6], [8]], [2, 3, 4]]\n" // the units that the plan numbers, and then the others
	if err != nil || string(output) != want {
		t.Errorf("%s, %v, want %s", output, err, want)
	}
}

// A test that killed its worker and is repeated by pytest-rerunfailures has one
// result, that of its last try.
func TestRepeatedCrash(t *testing.T) {
	for _, env := range []string{"new", "plugins"} {
		t.Run(env, func(t *testing.T) {
			oneOfFew(t)
			p := proof{
				command: pytestIn(t, env), dir: suite(t, "repeated"),
				args: []string{"-p", "no:randomly"}, extra: []string{"--reruns=2"},
			}
			c := p.collect(t)
			plan, s := one(c, 2, true)
			o := p.shard(t, c, plan, s)
			got := map[timing.NodeID][]string{}
			for _, test := range o.results.Tests {
				got[test.ID] = append(got[test.ID], fmt.Sprintf("%s after %d", test.Outcome, test.Reruns))
			}
			for _, id := range s.IDs() {
				want := "passed after 0"
				switch id.Rest() {
				case "::test_recovers[1]":
					want = "passed after 1"
				case "::test_recovers[2]":
					want = "passed after 2"
				case "::test_never":
					want = "crashed after 2"
				}
				if !slices.Equal(got[id], []string{want}) {
					t.Errorf("%q: %q, want %q\n%s", id, got[id], want, o.output)
				}
			}
			if len(o.results.Running) > 0 {
				t.Errorf("still running: %v", o.results.Running)
			}
		})
	}
}

// A test that is repeated and whose subtest fails each time has failed: reports of
// subtests come before that of the set-up of their own try.
func TestRepeatedSubtests(t *testing.T) {
	for _, env := range []string{"new", "plugins"} {
		t.Run(env, func(t *testing.T) {
			oneOfFew(t)
			p := proof{command: pytestIn(t, env), dir: t.TempDir(), args: []string{"-p", "no:randomly"}, extra: []string{"--reruns=2"}}
			write(t, filepath.Join(p.dir, "test_sub.py"), `
tries = []

def test_subtest(subtests):
    tries.append(0)
    with subtests.test("always"):
        assert False, "a subtest"
    assert len(tries) > 1

def test_call(subtests):
    with subtests.test("never"):
        pass
    tries.append(1)
    assert tries.count(1) > 1
`)
			c := p.collect(t)
			plan, s := one(c, 1, false)
			o := p.shard(t, c, plan, s)
			got := map[string]string{}
			for _, test := range o.results.Tests {
				got[test.ID.Rest()] += string(test.Outcome)
			}
			if o.status != ExitFailed || got["::test_subtest"] != "failed" || got["::test_call"] != "passed" {
				t.Errorf("status %d, %v\n%s", o.status, got, o.output)
			}
		})
	}
}

// A group within a file that nothing cuts stays with the rest of it, as it is
// priced: what the module sets up is set up once.
func TestGroupInFile(t *testing.T) {
	oneOfFew(t)
	p := proof{command: pytestIn(t, "new"), dir: t.TempDir()}
	write(t, filepath.Join(p.dir, "test_a.py"), `
import pytest

@pytest.mark.xdist_group("g")
@pytest.mark.parametrize("n", range(3))
def test_group(n): pass

@pytest.mark.parametrize("n", range(3))
def test_other(n): pass
`)
	write(t, filepath.Join(p.dir, "test_b.py"), "import time\ndef test_long(): time.sleep(0.5)\n")
	c := p.collect(t)
	for _, cut := range []bool{false, true} {
		plan, s := one(c, 2, cut)
		o := p.shard(t, c, plan, s)
		workers, group := map[string]bool{}, map[string]bool{}
		for _, test := range o.results.Tests {
			if test.ID.File() == "test_a.py" {
				workers[test.Worker] = true
			}
			if strings.Contains(string(test.ID), "group") {
				group[test.Worker] = true
			}
		}
		if !cut && len(workers) != 1 || len(group) != 1 {
			t.Errorf("cut %v: the file ran on %v, its group on %v\n%s", cut, workers, group, o.output)
		}
	}
}

// A group over files shares a worker, and the others of each of its files do, though
// nothing is cut.
func TestGroupOverFiles(t *testing.T) {
	oneOfFew(t)
	p := proof{command: pytestIn(t, "new"), dir: t.TempDir()}
	for _, name := range []string{"test_a.py", "test_b.py"} {
		write(t, filepath.Join(p.dir, name), `
import time, pytest

@pytest.mark.parametrize("n", range(2))
def test_other(n): time.sleep(0.1)

@pytest.mark.xdist_group("g")
@pytest.mark.parametrize("n", range(2))
def test_group(n): time.sleep(0.1)
`)
	}
	c := p.collect(t)
	plan, s := one(c, 2, false)
	o := p.shard(t, c, plan, s)
	workers := map[string]map[string]bool{}
	var group []string
	for _, test := range o.results.Tests {
		scope := test.ID.File()
		if strings.Contains(string(test.ID), "group") {
			scope = "g"
			group = append(group, string(test.ID))
		}
		if workers[scope] == nil {
			workers[scope] = map[string]bool{}
		}
		workers[scope][test.Worker] = true
	}
	if len(workers["g"]) != 1 || len(workers["test_a.py"]) != 1 || len(workers["test_b.py"]) != 1 {
		t.Errorf("the group and its files ran on %v\n%s", workers, o.output)
	}
	if want := []string{"test_a.py::test_group[0]", "test_a.py::test_group[1]", "test_b.py::test_group[0]", "test_b.py::test_group[1]"}; !slices.Equal(group, want) {
		t.Errorf("the group ran in the order %v, want %v", group, want)
	}
}

// A run that calls no test is not one whose tests passed, wherever it is said.
func TestSetupOnly(t *testing.T) {
	oneOfFew(t)
	p := proof{command: pytestIn(t, "new"), dir: t.TempDir()}
	write(t, filepath.Join(p.dir, "test_a.py"), "def test_fails(): assert 0\n")
	c := p.collect(t)
	write(t, filepath.Join(p.dir, "pytest.ini"), "[pytest]\naddopts = --setup-only\n")
	plan, s := one(c, 1, false)
	if o := p.shard(t, c, plan, s); o.status != ExitUsage || len(o.results.Tests) > 0 || !strings.Contains(o.output, "--setup-only") {
		t.Errorf("status %d, %d results\n%s", o.status, len(o.results.Tests), o.output)
	}
}

// coveredLines reads which lines ran, by file, from one of coverage's JSON reports.
func coveredLines(t *testing.T, report string) map[string][]int {
	t.Helper()
	data, err := os.ReadFile(report)
	if err != nil {
		t.Fatal(err)
	}
	var r struct {
		Files map[string]struct {
			Lines []int `json:"executed_lines"`
		} `json:"files"`
	}
	if err := json.Unmarshal(data, &r); err != nil {
		t.Fatal(err)
	}
	lines := map[string][]int{}
	for name, file := range r.Files {
		lines[name] = file.Lines
	}
	return lines
}

// Each shard measures into a file of its own, as README says, and all of them
// together say what one process says.
func TestCoverageOfShards(t *testing.T) {
	oneOfFew(t)
	p := proof{command: pytestIn(t, "plugins"), dir: suite(t, "covered"), args: []string{"-p", "no:randomly", "-p", "no:cacheprovider"}}
	write(t, filepath.Join(p.dir, ".coveragerc"), "[run]\nrelative_files = true\n")
	c := p.collect(t)
	whole, s := one(c, 1, false)
	p.extra = []string{"--cov=.", "--cov-report=json:one.json"}
	p.shard(t, c, whole, s)
	want := coveredLines(t, filepath.Join(p.dir, "one.json"))
	plan := split(c, []int{1, 2})
	p.extra = []string{"--cov=.", "--cov-report="}
	for _, s := range plan.Shards {
		p.env = []string{"COVERAGE_FILE=.coverage." + s.Name}
		o := p.shard(t, c, plan, s)
		if o.status != ExitOK || len(o.results.Tests) != s.Len() {
			t.Fatalf("%s: status %d, %d tests, want %d\n%s", s.Name, o.status, len(o.results.Tests), s.Len(), o.output)
		}
	}
	for _, args := range [][]string{{"combine"}, {"json", "-o", "two.json"}} {
		cmd := execIn(t, p.dir, testEnv(), Command{Argv: []string{p.command.Argv[0], "-m", "coverage"}}, args)
		if output, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("coverage %s: %v\n%s", args[0], err, output)
		}
	}
	if got := coveredLines(t, filepath.Join(p.dir, "two.json")); len(want["numbers_of.py"]) < 10 || !reflect.DeepEqual(got, want) {
		t.Errorf("of two shards %v, of one process %v", got, want)
	}
}

// Coverage is complete with our scheduler, also of workers that were replaced
// since they held too much.
func TestCoverage(t *testing.T) {
	needsProc(t)
	oneOfFew(t)
	p := proof{command: pytestIn(t, "plugins"), dir: suite(t, "covered"), args: []string{"-p", "no:randomly", "-p", "no:cacheprovider"}}
	c := p.collect(t)
	plan, s := one(c, 2, true)
	p.extra = []string{"--cov=.", "--cov-report=json:one.json", "-n0"}
	floor := p.shard(t, c, plan, s).results.Workers[0].Floor
	want := coveredLines(t, filepath.Join(p.dir, "one.json"))
	if len(want["numbers_of.py"]) < 10 {
		t.Fatalf("in one process %v", want)
	}
	p.extra = []string{"--cov=.", "--cov-report=json:two.json"}
	for i, rest := range s.Pieces[0].Tests {
		need := shard.TestNeed{Test: i}
		switch rest {
		case "::test_large":
			need.Need = 190 << 20
		case "::test_keeps[0]", "::test_keeps[1]", "::test_keeps[2]":
			need.Need, need.Kept = 200<<20, 100<<20
		default:
			continue
		}
		need.Low = need.Need // on top of what earlier tests left
		s.Pieces[0].Needs = append(s.Pieces[0].Needs, need)
	}
	plan.Shards[0] = s
	p.memory = &Memory{Budget: 3*floor + 240<<20}
	o := p.shard(t, c, plan, s)
	if o.status != ExitOK || len(o.results.Tests) != s.Len() || len(o.results.Workers) < 3 {
		t.Fatalf("status %d, %d tests on %d workers, want %d and one replaced\n%s", o.status, len(o.results.Tests), len(o.results.Workers), s.Len(), o.output)
	}
	if got := coveredLines(t, filepath.Join(p.dir, "two.json")); !reflect.DeepEqual(got, want) {
		t.Errorf("with workers %v, want %v\n%s", got, want, o.output)
	}
}

// flaky runs a test again within its protocol, and reports each try's teardown: it is one
// test, whose last try counts.
func TestBoxedFlaky(t *testing.T) {
	for _, workers := range []int{1, 2} {
		t.Run(fmt.Sprint(workers), func(t *testing.T) {
			oneOfFew(t)
			p := proof{command: pytestIn(t, "boxed"), dir: t.TempDir()}
			writeAll(t, p.dir, map[string]string{
				"test_a.py": `import time

import pytest
from flaky import flaky

tries = []


@pytest.fixture(scope="module")
def model():
    time.sleep(0.01)


@flaky(max_runs=3)
def test_recovers(model):
    tries.append(1)
    time.sleep(0.01)
    assert len(tries) == 3


@flaky(max_runs=3, min_passes=2)
def test_twice():
    pass


@flaky(max_runs=2)
def test_never():
    assert False, "each time"


def test_plain():
    pass
`,
				"test_b.py": "def test_b():\n    pass\n",
			})
			if workers > 1 && runtime.GOOS != "windows" {
				write(t, filepath.Join(p.dir, "test_c.py"), `import os
import signal

from flaky import flaky

tries = []


@flaky(max_runs=3)
def test_killed():
    tries.append(1)
    if len(tries) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    assert False
`)
			}
			c := p.collect(t)
			plan, s := one(c, workers, false)
			o := p.shard(t, c, plan, s)
			got := map[timing.NodeID]string{}
			for _, test := range o.results.Tests {
				got[test.ID] += fmt.Sprintf("%s after %d ", test.Outcome, test.Reruns)
				if test.ID == "test_a.py::test_recovers" && (test.Wall < 40*time.Millisecond || len(test.Fixtures) != 1) {
					t.Errorf("three tries took %v with %v, want at least 40ms and one set-up", test.Wall, test.Fixtures)
				}
			}
			want := map[timing.NodeID]string{
				"test_a.py::test_recovers": "passed after 2 ", "test_a.py::test_twice": "passed after 1 ", "test_a.py::test_never": "failed after 1 ",
				"test_a.py::test_plain": "passed after 0 ", "test_b.py::test_b": "passed after 0 ",
			}
			if len(s.IDs()) > len(want) { // what was reported of its first try does not count
				want["test_c.py::test_killed"] = "crashed after 1 "
			}
			if !reflect.DeepEqual(got, want) || len(o.results.Running) > 0 {
				t.Errorf("ran %q, want %q; still running %v\n%s", got, want, o.results.Running, o.output)
			}
		})
	}
}

// Tests that pytest-order puts behind others of another file, by their path from its own
// folder or by their class, stay together.
func TestBoxedOrder(t *testing.T) {
	oneOfFew(t)
	p := proof{command: pytestIn(t, "boxed"), dir: t.TempDir()}
	writeAll(t, p.dir, map[string]string{
		"pytest.ini": "[pytest]\naddopts = --import-mode=importlib\n",
		"tests/test_a.py": `import pytest


@pytest.mark.order(after="test_b.py::test_first")
def test_second():
    pass


@pytest.mark.order(after="TestC")
class TestD:
    def test_third(self):
        pass


class TestC:
    def test_c(self):
        pass

    def test_d(self):
        pass


def test_alone():
    pass
`,
		"tests/test_b.py": "def test_first():\n    pass\n\n\ndef test_alone():\n    pass\n",
		"other/test_b.py": "def test_first():\n    pass\n", // in the way for who looks for the name alone
	})
	got := map[string][]timing.NodeID{}
	for _, test := range p.collect(t).Tests {
		got[test.Group] = append(got[test.Group], test.ID)
	}
	for _, ids := range got {
		slices.Sort(ids)
	}
	const a, b = "tests/test_a.py::", "tests/test_b.py::"
	// All marked tests of a file stay together, and so do those that they name.
	together := []timing.NodeID{a + "TestC::test_c", a + "TestC::test_d", a + "TestD::test_third", a + "test_second", b + "test_first"}
	alone := []timing.NodeID{"other/test_b.py::test_first", a + "test_alone", b + "test_alone"}
	if len(got) != 2 || !slices.Equal(got[""], alone) {
		t.Fatalf("groups %q, want %q in one and %q in none", got, together, alone)
	}
	for group, ids := range got {
		if group != "" && !slices.Equal(ids, together) {
			t.Errorf("%q stay together, want %q", ids, together)
		}
	}
}

// pytest-mypy has one test for all that mypy says, and it belongs to whichever file comes
// first: in another shard that is no test that nobody has planned.
func TestBoxedMypy(t *testing.T) {
	oneOfFew(t)
	p := proof{command: pytestIn(t, "boxed"), dir: t.TempDir(), args: []string{"--mypy", "-p", "no:cacheprovider"}}
	writeAll(t, p.dir, map[string]string{"test_a.py": "def test_a() -> None:\n    pass\n", "test_b.py": "def test_b() -> None:\n    pass\n"})
	c := p.collect(t)
	var suite shard.Suite
	for i, test := range c.Tests {
		suite.Tests = append(suite.Tests, shard.Test{ID: test.ID, Order: i})
	}
	plan, err := shard.Pack(suite, shard.Fleet{Shards: 2, Workers: 1, CPUs: 1})
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Tests) != 5 || len(plan.Shards) != 2 { // of each file its own check as well
		t.Fatalf("%d shards of %v, want 2 of 5 tests", len(plan.Shards), c.Tests)
	}
	for _, s := range plan.Shards {
		o := p.shard(t, c, plan, s)
		if len(s.Pieces) != 1 || len(o.results.Tests) != s.Len() || len(o.results.Extra) > 0 || len(o.results.Missing) > 0 {
			t.Errorf("of %v ran %d tests, want one file and %d; not planned %q, missing %q\n%s", s.Pieces, len(o.results.Tests), s.Len(), o.results.Extra, o.results.Missing, o.output)
		}
	}
}
