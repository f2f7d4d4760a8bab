package pytest

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/wcshard/wcshard/shard"
	"github.com/wcshard/wcshard/timing"
)

// Parameters from a set have IDs by their position where they are tuples, paths or dates:
// each has to be in one shard, and in that alone.
func TestSetOfParameters(t *testing.T) {
	oneOfFew(t)
	command, dir := pytestIn(t, "new"), t.TempDir()
	writeAll(t, dir, map[string]string{"test_set.py": "import pytest\n\n\n" +
		"@pytest.mark.parametrize(\"case\", {(\"alpha\", 1), (\"beta\", 2), (\"gamma\", 3), (\"delta\", 4)})\n" +
		"def test_case(case):\n    with open(\"ran\", \"a\") as file:\n        file.write(case[0] + \"\\n\")\n"})
	env := slices.DeleteFunc(testEnv(), func(entry string) bool { return strings.HasPrefix(entry, "PYTHONHASHSEED=") })
	const id = "test_set.py::test_case[case%d]"
	for range 3 {
		c, err := Collect(t.Context(), command, CollectOptions{Dir: dir, Env: env})
		if err != nil || len(c.Tests) != 4 || c.Tests[3].ID != timing.NodeID(fmt.Sprintf(id, 3)) {
			t.Fatalf("collected %v, %v", c, err)
		}
		plan := &shard.Plan{}
		for i := range 2 {
			tests := []string{fmt.Sprintf("::test_case[case%d]", i), fmt.Sprintf("::test_case[case%d]", 3-i)}
			plan.Shards = append(plan.Shards, shard.Shard{Name: fmt.Sprint("s", i), Workers: 1, Pieces: []shard.Piece{{File: "test_set.py", Cut: true, Tests: tests}}})
		}
		for _, s := range plan.Shards {
			selection, err := Select(plan, s.Name)
			if err != nil {
				t.Fatal(err)
			}
			status, err := Run(t.Context(), command, RunOptions{Dir: dir, Env: env, Root: c.Collector.Root, Selection: selection, Workers: 1, Results: newResults(t, s.Name)})
			if err != nil || status != 0 {
				t.Fatalf("%s: %d, %v", s.Name, status, err)
			}
		}
		ran, err := os.ReadFile(filepath.Join(dir, "ran"))
		if err != nil {
			t.Fatal(err)
		}
		cases := strings.Fields(string(ran))
		slices.Sort(cases)
		if want := []string{"alpha", "beta", "delta", "gamma"}; !slices.Equal(cases, want) {
			t.Errorf("the shards ran %q, want %q", cases, want)
		}
		os.Remove(filepath.Join(dir, "ran"))
	}
	for own, want := range map[string]string{"": "0", "random": "0", "5": "5"} {
		env := (&plugin{}).env([]string{"PYTHONHASHSEED=" + own})
		last := env[len(env)-2] // before PYTHONPATH; of several the last counts
		if last != "PYTHONHASHSEED="+want {
			t.Errorf("the seed %q became %q, want %s", own, env, want)
		}
	}
}

// Where a shard finds the values of a function's tests in another order than the plan
// has them, its IDs are of other tests, and that is told: unless all of them run here, or
// the values are others in each process. Nor may workers differ.
func TestReorderedParameters(t *testing.T) {
	const tests = `import os
import time
from pathlib import Path

import pytest

LISTED = [Path(__file__).parent / name for name in ("a.json", "b.json", "c.json", "d.json")]
if os.environ.get("REVERSED", "no") in ("all", os.environ.get("PYTEST_XDIST_WORKER")):
    LISTED.reverse()


class Case:
    def __init__(self, number):
        self.number = number


class Odd(type):
    __module__ = []


@pytest.mark.parametrize("path", LISTED)
def test_path(path):
    pass


@pytest.mark.parametrize("case", [{"of": (path, 10**5000, True, b"x")} for path in LISTED])
def test_case(case):
    pass


@pytest.mark.parametrize("path", LISTED, ids=lambda path: path.name)  # IDs tell
def test_told(path):
    pass


@pytest.mark.parametrize("case", [Case(number) for number in range(4)])  # nobody can tell
def test_object(case):
    pass


@pytest.mark.parametrize("at", [(time.time(), Odd("X", (), {})) for number in range(4)])
def test_now(at):
    pass


@pytest.mark.parametrize("process", [(os.getpid(), number) for number in range(4)])
def test_process(process):
    pass
`
	const note = "the parameters of test_a.py::test_case and 1 more come in another order than planned, and their IDs are of other tests: sort what a set or a folder gives"
	extra := []timing.NodeID{"test_a.py::test_case[in another order than planned]", "test_a.py::test_path[in another order than planned]"}
	for _, env := range []string{"old", "new"} {
		for _, workers := range []int{1, 2} {
			for _, c := range []struct {
				name, reversed   string
				cut, apart, told bool
			}{
				{"as planned", "no", true, true, false},
				{"reversed", "all", true, true, true},
				{"in another order, all here", "all", true, false, false},
				{"in one piece", "all", false, false, false},
				{"one worker alone", "gw1", true, false, workers == 2},
			} {
				t.Run(fmt.Sprint(env, workers, c.name), func(t *testing.T) {
					oneOfFew(t)
					p := proof{command: pytestIn(t, env), dir: t.TempDir()}
					writeAll(t, p.dir, map[string]string{"test_a.py": tests})
					collected := p.collect(t)
					elsewhere := t.TempDir() // as of another checkout
					writeAll(t, elsewhere, map[string]string{"test_a.py": tests})
					p.dir, p.env = elsewhere, []string{"REVERSED=" + c.reversed}
					plan, _ := one(collected, workers, c.cut)
					if c.apart { // one test of each function is in another shard
						all := plan.Shards[0].Pieces[0].Tests
						first := slices.DeleteFunc(slices.Clone(all), func(test string) bool { return !strings.HasSuffix(test, "0]") && !strings.HasSuffix(test, "a.json]") })
						plan.Shards[0].Pieces[0].Tests = slices.DeleteFunc(slices.Clone(all), func(test string) bool { return slices.Contains(first, test) })
						plan.Shards = append(plan.Shards, shard.Shard{Name: "other", Workers: 1, Pieces: []shard.Piece{{File: "test_a.py", Cut: true, Tests: first}}})
					}
					o := p.shard(t, collected, plan, plan.Shards[0])
					var wantExtra []timing.NodeID
					var wantNotes []string
					if c.told {
						wantExtra, wantNotes = extra, []string{note}
					}
					if o.status != 0 || len(o.results.Tests) != plan.Shards[0].Len() || !slices.Equal(o.results.Extra, wantExtra) || !slices.Equal(o.results.Notes, wantNotes) {
						t.Errorf("status %d, %d tests, extra %q, want %q, notes %q\n%s", o.status, len(o.results.Tests), o.results.Extra, wantExtra, o.results.Notes, o.output)
					}
				})
			}
		}
	}
}

// A group over files may have some of a function's tests on another worker than the rest.
func TestReorderedInGroup(t *testing.T) {
	oneOfFew(t)
	p := proof{command: pytestIn(t, "new"), dir: t.TempDir(), env: []string{"REVERSED=gw1"}}
	writeAll(t, p.dir, map[string]string{
		"test_a.py": `import os
from pathlib import Path

import pytest

LISTED = [Path(name) for name in ("a.json", "b.json", "c.json", "d.json")]
if os.environ.get("PYTEST_XDIST_WORKER") == os.environ["REVERSED"]:
    LISTED.reverse()
MARKS = [pytest.mark.xdist_group("all"), (), (), ()]


@pytest.mark.parametrize("path", [pytest.param({"of": path}, marks=marks) for path, marks in zip(LISTED, MARKS)])
def test_path(path):
    pass
`,
		"test_b.py": "import pytest\n\n\n@pytest.mark.xdist_group(\"all\")\ndef test_b():\n    pass\n",
	})
	check := func(want ...timing.NodeID) {
		t.Helper()
		collected := p.collect(t)
		plan, s := one(collected, 2, false)
		o := p.shard(t, collected, plan, s)
		if o.status != ExitOK || !slices.Equal(o.results.Extra, want) {
			t.Errorf("status %d, extra %q, want %q\n%s", o.status, o.results.Extra, want, o.output)
		}
	}
	check("test_a.py::test_path[in another order than planned]")
	if err := os.Remove(filepath.Join(p.dir, "test_b.py")); err != nil {
		t.Fatal(err)
	}
	check() // a group within a file stays with the rest of it
}
