package pytest

import (
	"fmt"
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
		"pytest.ini":            "[pytest]\npythonpath = lib\n",
		"lib/outer.py":          sleep(60*ms) + "import inner.part, quick\n",
		"lib/inner/__init__.py": sleep(20 * ms),
		"lib/inner/part.py":     sleep(30 * ms),
		"lib/quick.py":          sleep(2 * ms),
		"lib/ready.py":          sleep(20 * ms),
		"lib/modules.py":        sleep(40 * ms),
		"lib/wide.py":           sleep(40 * ms),
		"lib/thread.py":         sleep(40 * ms),
		"lib/lazy/__init__.py":  "import importlib\n\n\ndef __getattr__(name):\n    return importlib.import_module('lazy.' + name)\n",
		"lib/lazy/part.py":      sleep(50 * ms),
		"conftest.py":           "import pytest\n\n\n@pytest.fixture(scope='session')\ndef widely():\n    import wide\n",
		"test_0.py":             "import pytest\nimport ready\n\n\n@pytest.fixture(scope='module')\ndef narrow():\n    import modules\n\n\ndef test_fixtures(narrow, widely):\n    pass\n",
		"test_a.py":             "import lazy\n\n\ndef test_first():\n    import outer\n\n\ndef test_second():\n    import outer\n\n\ndef test_asks():\n    lazy.part\n",
		"test_b.py":             "import importlib, sys, threading\n\n\ndef test_anew():\n    del sys.modules['outer']\n    import outer\n    importlib.reload(outer)\n    del sys.modules['ready']\n    import ready\n\n\ndef test_made(tmp_path, monkeypatch):\n    monkeypatch.syspath_prepend(tmp_path)\n    (tmp_path / 'made.py').write_text('import time\\ntime.sleep(0.05)\\n')\n    import made\n\n\ndef test_thread():\n    other = threading.Thread(target=importlib.import_module, args=['thread'])\n    other.start()\n    other.join()\n",
	}
	want := map[string]map[string]time.Duration{
		"test_0.py::test_fixtures": {"import modules": 40 * ms, "module test_0.py::narrow": 0, "session ::widely": 40 * ms},
		"test_a.py::test_first":    {"import outer": 62 * ms, "import inner": 20 * ms, "import inner.part": 30 * ms},
		"test_a.py::test_asks":     {"import lazy.part": 50 * ms},
	}
	for _, env := range []string{"old", "between", "new"} {
		t.Run(env, func(t *testing.T) {
			oneOfFew(t)
			p := proof{command: pytestIn(t, env), dir: t.TempDir()}
			writeAll(t, p.dir, files)
			c := p.collect(t)
			plan, s := one(c, 1, false)
			var faults []string
			for range 5 { // a busy machine adds to a sleep and never takes away
				faults = nil
				for _, test := range p.shard(t, c, plan, s).results.Tests {
					if test.Outcome != timing.Passed {
						t.Fatalf("%s %s: %s", test.ID, test.Outcome, test.Message)
					}
					costs, names := want[string(test.ID)], map[string]bool{}
					for _, f := range test.Fixtures {
						names[f.ID] = true
						if cost, known := costs[f.ID]; !known && strings.HasPrefix(f.ID, "import ") || f.Setup < cost || f.Setup > cost+15*ms {
							faults = append(faults, fmt.Sprintf("of %s, %s took %v, want %v", test.ID, f.ID, f.Setup, cost))
						}
					}
					for id, cost := range costs {
						if cost > 0 && !names[id] {
							t.Errorf("of %s, nothing is told of %s", test.ID, id)
						}
					}
					if own := test.Setup + test.Call; len(costs) > 0 && own > 15*ms {
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
				"test_late.py": `import sys
import traceback


def test_old():
    import old


def test_bad():
    import bad


def test_broken():
    import broken


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
					if strings.HasPrefix(line, "E ") || strings.Contains(line, ".py:") {
						lines = append(lines, line)
					}
				}
				return lines
			}
			if got, want := seen(o.output), seen(string(want)); !reflect.DeepEqual(got, want) {
				t.Errorf("shown are\n%s\nwant\n%s", strings.Join(got, ""), strings.Join(want, ""))
			}
			if !strings.Contains(o.output, "3 failed, 1 passed") {
				t.Errorf("not three of four failed:\n%s", o.output)
			}
			for _, ours := range []string{"_find_and_load", "wcshard_"} {
				if strings.Contains(o.output, ours) && !strings.Contains(string(want), ours) {
					t.Errorf("%q is in\n%s", ours, o.output)
				}
			}
		})
	}
}
