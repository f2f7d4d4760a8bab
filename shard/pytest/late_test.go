package pytest

import (
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/wcshard/wcshard/timing"
)

// What tests import while they run is told apart from them, once a worker and by
// library, unless nothing else can share it.
func TestLateImports(t *testing.T) {
	const ms = time.Millisecond
	sleep := func(d time.Duration) string { return fmt.Sprintf("import time\ntime.sleep(%v)\n", d.Seconds()) }
	files := map[string]string{
		"pytest.ini":                    "[pytest]\npythonpath = ../lib\n",
		"../lib/outer.py":               sleep(60*ms) + "import inner.part, quick\n",
		"../lib/inner/__init__.py":      sleep(20 * ms),
		"../lib/inner/part/__init__.py": sleep(30 * ms),
		"../lib/inner/part/deep.py":     sleep(25 * ms),
		"../lib/quick.py":               sleep(2 * ms),
		"../lib/ready/__init__.py":      sleep(20 * ms),
		"../lib/ready/more.py":          sleep(35 * ms),
		"../lib/modules.py":             sleep(40 * ms),
		"../lib/wide.py":                sleep(40 * ms),
		"../lib/thread.py":              sleep(40 * ms),
		"../lib/strange.py":             sleep(40*ms) + "import sys\n\n\nclass Strange:\n    def __getattribute__(self, name):\n        raise KeyError(name)\n\n\nsys.modules[__name__] = Strange()\n",
		"../lib/failing.py":             sleep(40*ms) + "import os\nif 'READY' not in os.environ:\n    raise ImportError\n",
		"../lib/lazy/__init__.py":       "import importlib\n\n\ndef __getattr__(name):\n    return importlib.import_module('lazy.' + name)\n",
		"../lib/lazy/part.py":           sleep(50 * ms),
		"conftest.py": `import pytest


@pytest.fixture(scope='session')
def widely():
    import wide
    yield
    import sys
    del sys.modules['wide']
    import wide
`,
		"test_0.py": `import pytest
import ready


@pytest.fixture(scope='module')
def narrow():
    import modules


def test_fixtures(narrow, widely):
    pass
`,
		"test_a.py": `import lazy


def test_first():
    import outer


def test_second():
    import outer
    from inner.part import deep


def test_asks():
    lazy.part


def test_more():
    import ready.more


def test_wide():
    import wide
`,
		"test_b.py": `import importlib, os, sys, threading
import pytest


def test_anew():
    del sys.modules['outer']
    import outer
    importlib.reload(outer)
    del sys.modules['ready']
    import ready


def test_made(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / 'made.py').write_text('import time\ntime.sleep(0.05)\n')
    import made


def test_thread():
    other = threading.Thread(target=importlib.import_module, args=['thread'])
    other.start()
    other.join()


def test_strange():
    import strange


def test_failing():
    with pytest.raises(ImportError):
        import failing
    os.environ['READY'] = '1'
    import failing
`,
	}
	want := map[string]map[timing.SetupID]time.Duration{
		"test_0.py::test_fixtures": {"import modules": 40 * ms, "module test_0.py::narrow": 0, "session ::widely": 40 * ms},
		"test_a.py::test_first":    {"import outer": 62 * ms, "import inner": 20 * ms, "import inner.part": 30 * ms},
		"test_a.py::test_second":   {"import inner.part": 25 * ms},
		"test_a.py::test_asks":     {"import lazy.part": 50 * ms},
		"test_a.py::test_more":     {"import ready.more": 35 * ms},
		"test_b.py::test_failing":  {"import failing": 40 * ms, "session ::widely": 0},
	}
	for _, env := range []string{"old", "between", "new"} {
		t.Run(env, func(t *testing.T) {
			oneOfFew(t)
			p := proof{command: pytestIn(t, env), dir: filepath.Join(t.TempDir(), "tests")}
			writeAll(t, p.dir, files)
			c := p.collect(t)
			plan, s := one(c, 1, false)
			type part struct {
				test  timing.NodeID
				setup timing.SetupID // none: the test itself
			}
			shortest := map[part]time.Duration{}
			least := func(of part, took time.Duration) time.Duration {
				if before, seen := shortest[of]; !seen || took < before {
					shortest[of] = took
				}
				return shortest[of]
			}
			var faults []string
			for range mostRuns {
				faults = nil
				for _, test := range p.shard(t, c, plan, s).results.Tests {
					if test.Outcome != timing.Passed {
						t.Fatalf("%s %s: %s", test.ID, test.Outcome, test.Message)
					}
					costs, names := want[string(test.ID)], map[timing.SetupID]bool{}
					for _, f := range test.Fixtures {
						names[f.ID] = true
						took := least(part{test.ID, f.ID}, f.Setup)
						if cost, known := costs[f.ID]; !known && strings.HasPrefix(string(f.ID), "import ") || took < cost || took > cost+15*ms {
							faults = append(faults, fmt.Sprintf("of %s, %s took %v, want %v", test.ID, f.ID, took, cost))
						}
					}
					for id, cost := range costs {
						if cost > 0 && !names[id] {
							t.Errorf("of %s, nothing is told of %s", test.ID, id)
						}
					}
					own := least(part{test: test.ID}, test.Setup+test.Call)
					if len(costs) > 0 && own > 15*ms && !strings.HasSuffix(string(test.ID), "test_failing") {
						faults = append(faults, fmt.Sprintf("%s took %v, want nothing", test.ID, own))
					}
				}
				if len(faults) == 0 {
					break
				}
			}
			for _, fault := range faults {
				t.Error(fault)
			}
		})
	}
}

// Whoever imports while tests run is shown and blamed as without wcshard.
func TestLateImportBlame(t *testing.T) {
	for _, env := range []string{"old", "between", "new"} {
		t.Run(env, func(t *testing.T) {
			oneOfFew(t)
			p := proof{command: pytestIn(t, env), dir: t.TempDir()}
			writeAll(t, p.dir, map[string]string{
				"pytest.ini": "[pytest]\nfilterwarnings =\n    error::DeprecationWarning:test_late\n",
				"old.py":     "import warnings\nwarnings.warn('old is old', DeprecationWarning, stacklevel=2)\n",
				"bad.py":     "import no_such_module\n",
				"broken.py":  "raise ValueError('broken by itself')\n",
				"test_late.py": `import importlib
import traceback


def test_old():
    import old


def test_bad():
    import bad


def test_broken():
    import broken


def test_named():
    importlib.import_module("no_such_module")


def test_stack():
    try:
        import broken
    except ValueError:
        shown = traceback.format_exc()
    assert shown.count("File ") == 2, shown
`,
			})
			c := p.collect(t)
			plan, s := one(c, 1, false)
			o := p.shard(t, c, plan, s)
			plain := execIn(t, p.dir, testEnv(), p.command, nil)
			want, _ := plain.CombinedOutput()
			seen := func(output string) (lines []string) {
				for line := range strings.Lines(output) {
					if strings.HasPrefix(line, "E ") || strings.Contains(line, ".py:") || strings.HasPrefix(line, "<frozen") {
						lines = append(lines, line)
					}
				}
				return lines
			}
			if got, want := seen(o.output), seen(string(want)); !reflect.DeepEqual(got, want) {
				t.Errorf("shown are\n%s\nwant\n%s", strings.Join(got, ""), strings.Join(want, ""))
			}
			if !strings.Contains(o.output, "4 failed, 1 passed") {
				t.Errorf("not four of five failed:\n%s", o.output)
			}
			if strings.Contains(o.output, "wcshard_") {
				t.Errorf("the plugin is in\n%s", o.output)
			}
		})
	}
}

// Each worker imports for itself, and a try again does not import again.
func TestLateImportsOfWorkers(t *testing.T) {
	for _, env := range []string{"old", "plugins"} {
		t.Run(env, func(t *testing.T) {
			oneOfFew(t)
			p := proof{command: pytestIn(t, env), dir: t.TempDir(), args: []string{"-p", "no:randomly"}}
			files := map[string]string{"pytest.ini": "[pytest]\npythonpath = lib\n", "lib/slow.py": "import time\ntime.sleep(0.05)\n"}
			for k := range 4 {
				files[fmt.Sprintf("test_%d.py", k)] = `import time
import pytest

tries = []


@pytest.mark.flaky(reruns=1)
@pytest.mark.parametrize("n", range(3))
def test_x(n, request):
    import slow
    time.sleep(0.1)
    tries.append(n)
    assert tries.count(n) == 2 or n or not request.config.pluginmanager.hasplugin("rerunfailures")
`
			}
			writeAll(t, p.dir, files)
			c := p.collect(t)
			plan, s := one(c, 2, false)
			imports, workers := map[string]int{}, map[string]bool{}
			for _, test := range p.shard(t, c, plan, s).results.Tests {
				if test.Outcome != timing.Passed {
					t.Errorf("%s %s: %s", test.ID, test.Outcome, test.Message)
				}
				workers[test.Worker] = true
				for _, f := range test.Fixtures {
					if f.ID != "import slow" || f.Setup < 50*time.Millisecond {
						t.Errorf("of %s, %s took %v", test.ID, f.ID, f.Setup)
					}
					imports[test.Worker]++
				}
			}
			if len(workers) != 2 {
				t.Errorf("the tests ran on %v, want two workers", workers)
			}
			for worker := range workers {
				if imports[worker] != 1 {
					t.Errorf("%s imported %d times, want once", worker, imports[worker])
				}
			}
		})
	}
}
