package pytest

import (
	"bytes"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wcshard/wcshard/shard"
)

// Full collections of garbage that are due are counted for the test that they fall on,
// and not those that a test asks for.
func TestGarbage(t *testing.T) {
	for _, env := range []string{"old", "new"} {
		for _, workers := range []int{1, 2} {
			t.Run(env, func(t *testing.T) {
				oneOfFew(t)
				p := proof{command: pytestIn(t, env), dir: t.TempDir()}
				write(t, filepath.Join(p.dir, "test_garbage.py"), `
import gc

def test_makes():
    kept, before = [], gc.get_stats()[2]["collections"]
    while gc.get_stats()[2]["collections"] == before and len(kept) < 5_000_000:
        kept.extend([kept] for _ in range(1000))

def test_asks():  # after one, none is due for long
    gc.collect()

def test_quiet():
    pass
`)
				c := p.collect(t)
				plan, s := one(c, workers, true)
				o := p.shard(t, c, plan, s)
				got := map[string]int{}
				for _, test := range o.results.Tests {
					got[test.ID.Rest()] = test.Garbage
				}
				if o.status != ExitOK || got["::test_makes"] < 1 || got["::test_asks"] != 0 || got["::test_quiet"] != 0 {
					t.Errorf("status %d, collections %v\n%s", o.status, got, o.output)
				}
			})
		}
	}
}

// The collector does not look through what was there before the first test, and has
// thresholds as ever when that runs; unless it is to be left as it is, or a conftest.py
// has its own way. Who asks it for something is told of everything.
func TestFreezing(t *testing.T) {
	const tests = `import gc
import subprocess
import sys

import conftest
import holders


def test_frozen():
    assert (gc.get_threshold(), gc.isenabled()) == (conftest.threshold, conftest.enabled)
    print("frozen" if gc.get_freeze_count() > 1000 else "seen", file=sys.stderr)
    gc.collect()


def test_asks():
    assert any(found is conftest.known for found in gc.get_objects())
    assert [type(found) for found in gc.get_referrers(conftest.known)] == [dict]
    assert gc.get_freeze_count() == 0


def test_asks_with_what_it_took_before():
    assert any(found is conftest.known for found in conftest.objects())
    assert gc.get_freeze_count() == 0


def test_asks_in_a_generator():
    # trio has such tests, of coroutines. With Python 3.11 and later there is no frame,
    # and a generator that runs is not looked into.
    plain = subprocess.check_output([sys.executable, "-c", "import holders; print(next(holders.names()))"], text=True)
    assert str(next(holders.names())) == plain.strip()


def test_stays_a_module():
    # cloudpickle and dill know a module by its exact type
    assert type(gc) is type(sys)
    assert not hasattr(gc, "no_such_function")
    assert "get_objects" in dir(gc) and "__getattr__" not in dir(gc)


def test_replaces(monkeypatch):
    monkeypatch.setattr(gc, "get_objects", lambda: 7)
    assert gc.get_objects() == 7
    monkeypatch.undo()
    assert any(found is conftest.known for found in gc.get_objects())
`
	asking := []string{"::test_frozen", "::test_asks", "::test_asks_with_what_it_took_before", "::test_asks_in_a_generator", "::test_stays_a_module", "::test_replaces"}
	for _, c := range []struct {
		name, conftest string
		unfrozen       bool
		want           string
	}{
		{"plain", "enabled, threshold = True, usual()\n", false, "frozen"},
		{"left as it is", "enabled, threshold = True, usual()\n", true, "seen"},
		{"its own thresholds", "enabled, threshold = True, (5000, 20, 20)\ngc.set_threshold(*threshold)\n", false, "frozen"},
		{"a multiple of them", "enabled, threshold = True, (60_000, 2 * usual()[1], 3 * usual()[2])\n_, one, two = gc.get_threshold()\ngc.set_threshold(60_000, 2 * one, 3 * two)\n", false, "frozen"},
		{"switched off", "enabled, threshold = False, usual()\ngc.disable()\n", false, "seen"},
	} {
		for _, workers := range []int{1, 2} {
			for _, env := range []string{"old", "new"} {
				t.Run(fmt.Sprint(c.name, workers, env), func(t *testing.T) {
					oneOfFew(t)
					p := proof{command: pytestIn(t, env), dir: t.TempDir()}
					writeAll(t, p.dir, map[string]string{
						"conftest.py": "import gc\nimport subprocess\nimport sys\nfrom gc import get_objects as objects\n\nknown = [[]]\n\n\ndef usual():\n" +
							"    return eval(subprocess.check_output([sys.executable, \"-c\", \"import gc; print(gc.get_threshold())\"]))\n\n\n" + c.conftest,
						"holders.py":     "import gc\n\n\ndef names():\n    known = [[]]\n    yield [type(found).__name__ for found in gc.get_referrers(known)]\n",
						"test_frozen.py": tests,
					})
					collected := p.collect(t)
					var output bytes.Buffer
					status, err := Run(t.Context(), p.command, RunOptions{
						Dir: p.dir, Env: testEnv(), Root: collected.Collector.Root, Workers: workers, Results: newResults(t, "frozen"), Unfrozen: c.unfrozen,
						Args: []string{"-s", "-rA"}, Stdout: &output, Stderr: &output,
						Selection: Selection{Pieces: []shard.Piece{{File: "test_frozen.py", Tests: asking, Cut: true}}},
					})
					if err != nil || status != 0 || !strings.Contains(output.String(), c.want) {
						t.Errorf("%d, %v, want it %s\n%s", status, err, c.want, output.String())
					}
				})
			}
		}
	}
}

// Where a module is imported anew, what it was may have to go: nothing is frozen any
// more, unless the tests have frozen it themselves.
func TestThawing(t *testing.T) {
	const tests = `import colorsys
import gc
import importlib
import os
import sys
import unittest.mock


def test_collects():
    gc.collect()
    assert gc.get_freeze_count() > 1000


def test_there_already():  # mock asks importlib for what it patches
    importlib.import_module("colorsys")
    with unittest.mock.patch("colorsys.hls_to_rgb"), unittest.mock.patch.dict(sys.modules, {"colorsys": None}):
        try:
            import colorsys
        except ImportError:
            pass
        else:
            assert False, colorsys
    assert gc.get_freeze_count() > 1000


def test_anew():
    if os.environ["ANEW"] == "reload":
        importlib.reload(colorsys)
    else:
        del sys.modules["colorsys"]
        import colorsys as another

        assert another is not colorsys
    assert gc.get_freeze_count() == 0


def test_frozen_by_itself():
    gc.freeze()
    importlib.reload(sys.modules["colorsys"])
    assert gc.get_freeze_count() > 0
`
	for _, env := range []string{"old", "new"} {
		for _, anew := range []string{"reload", "import"} {
			t.Run(env+anew, func(t *testing.T) {
				oneOfFew(t)
				p := proof{command: pytestIn(t, env), dir: t.TempDir()}
				writeAll(t, p.dir, map[string]string{"test_anew.py": tests})
				collected := p.collect(t)
				var output bytes.Buffer
				status, err := Run(t.Context(), p.command, RunOptions{
					Dir: p.dir, Env: append(testEnv(), "ANEW="+anew), Root: collected.Collector.Root, Workers: 1, Results: newResults(t, "anew"),
					Stdout: &output, Stderr: &output,
					Selection: Selection{Pieces: []shard.Piece{{File: "test_anew.py", Tests: []string{"::test_collects", "::test_there_already", "::test_anew", "::test_frozen_by_itself"}}}},
				})
				if err != nil || status != 0 {
					t.Errorf("%d, %v\n%s", status, err, output.String())
				}
			})
		}
	}
}

// An error in a finalizer of what was there before the first test is pytest's status in a
// shard, too, where warnings are errors.
func TestLateFinalizer(t *testing.T) {
	const tests = `class Loop:
    def __del__(self):
        raise ValueError("late")


loop = Loop()
loop.itself = loop


def test_lets_go():
    global loop
    del loop


def test_last():
    pass
`
	for _, c := range []struct {
		ini  string
		want int
	}{{"filterwarnings = error\n", ExitFailed}, {"", ExitOK}} {
		t.Run(c.ini, func(t *testing.T) {
			oneOfFew(t)
			p := proof{command: pytestIn(t, "new"), dir: t.TempDir()}
			writeAll(t, p.dir, map[string]string{"pytest.ini": "[pytest]\n" + c.ini, "test_loop.py": tests})
			collected := p.collect(t)
			plan, s := one(collected, 1, true)
			if o := p.shard(t, collected, plan, s); o.status != c.want {
				t.Errorf("status %d, want %d\n%s", o.status, c.want, o.output)
			}
			plain := execIn(t, p.dir, testEnv(), p.command, nil)
			output, _ := plain.CombinedOutput()
			if got := plain.ProcessState.ExitCode(); got != c.want {
				t.Errorf("plain pytest ends with %d, want %d\n%s", got, c.want, output)
			}
		})
	}
}
