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
