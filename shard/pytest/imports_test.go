package pytest

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// writeAll writes files, by their paths in a folder.
func writeAll(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, path, text)
	}
}

// What files import is measured by itself, whichever of them comes first, and
// collection tells which files need it, by way of others too.
func TestImports(t *testing.T) {
	const body = "\n\ndef test_x():\n    pass\n"
	const slow, part, own = 150 * time.Millisecond, 100 * time.Millisecond, 50 * time.Millisecond
	sleep := func(d time.Duration) string { return fmt.Sprintf("import time\ntime.sleep(%v)\n", d.Seconds()) }
	files := map[string]string{
		"slowlib/__init__.py":      sleep(slow),
		"slowlib/quick.py":         "",
		"slowlib/part/__init__.py": sleep(part) + "from . import deep\nfrom .. import __name__\n",
		"slowlib/part/deep.py":     "",
		"via.py":                   "import slowlib.part.deep\n",
		"conftest.py":              "import again, early.part\n",
		"again.py":                 sleep(part),
		"early/__init__.py":        "",
		"early/part/__init__.py":   "",
		"early/part/more/x.py":     sleep(part),
		"pkg/__init__.py":          "",
		"pkg/sub/__init__.py":      "import slowlib\nf = 1\n", // imported on the way to a test file
		"pkg/sub/helper.py":        "import via\n",
		"pkg/sub/test_o.py":        "from pkg.sub import helper" + body,
		"pkg/sub/test_p.py":        "from pkg.sub import f" + body,
		"pkg/sub/test_q.py":        body,
		"pkg/sub/test_s.py":        "import importlib\nhelper = importlib.import_module('.helper', __package__)" + body,
		"other/__init__.py":        "import slowlib\n", // by test_1.py before its own test file
		"other/test_r.py":          body,
		"test_1.py":                "import other" + body,
		"test_g.py":                "from early.part.more.x import time" + body,
		"test_h.py":                "from early import part" + body,
		"test_i.py":                "import sys\ndel sys.modules['again']\nimport again" + body,
		"test_a.py":                "import slowlib" + body,
		"test_0.py":                "import test_f" + body,
		"test_f.py":                "import via" + body, // imported before it is collected
		"test_b.py":                sleep(own) + "from slowlib import __name__, quick, part" + body,
		"test_c.py":                sleep(own) + body,
		"test_j.py":                "import pytest\nslowlib = pytest.importorskip('slowlib')" + body,
		"test_k.py":                "import importlib\npart = importlib.import_module('slowlib.part')" + body,
		"test_d.py":                "import via, json" + body,
		"test_e.py":                "import builtins\nreal = builtins.__import__\nbuiltins.__import__ = lambda *a, **k: real(*a, **k)\nimport via" + body,
	}
	for _, env := range []string{"old", "new"} {
		t.Run(env, func(t *testing.T) {
			oneOfFew(t)
			p := proof{command: pytestIn(t, env), dir: t.TempDir()}
			writeAll(t, p.dir, files)
			c := p.collect(t)
			want := map[string][]string{
				"test_a.py": {"slowlib"}, "test_b.py": {"slowlib", "slowlib.part", "slowlib.quick"},
				"test_d.py": {"slowlib", "slowlib.part", "via"}, "test_e.py": {"slowlib", "slowlib.part", "via"},
				"test_0.py": {"slowlib", "slowlib.part", "via"}, "test_f.py": {"slowlib", "slowlib.part", "via"},
				"test_g.py": {"early.part.more"},
				"test_j.py": {"slowlib"}, "test_k.py": {"slowlib", "slowlib.part"},
				"pkg/sub/test_o.py": {"pkg.sub", "slowlib", "slowlib.part", "via"}, "pkg/sub/test_q.py": {"slowlib"},
				"pkg/sub/test_s.py": {"slowlib"}, // and what test_o.py has imported
				"other/test_r.py":   {"other", "slowlib"}, "test_1.py": {"other", "slowlib"},
				"pkg/sub/test_p.py": {"pkg.sub", "slowlib", "slowlib.part", "via"}, // modules of pkg.sub are one library
			}
			for file, libraries := range c.Libraries {
				var ours []string // Python 3.9 does not tell what is of its standard library
				for _, name := range libraries {
					if strings.HasPrefix(name, "slowlib") || strings.HasPrefix(name, "early") || strings.HasPrefix(name, "pkg") || name == "other" || name == "via" || name == "again" {
						ours = append(ours, name)
					}
				}
				if !reflect.DeepEqual(ours, want[file]) {
					t.Errorf("%s needs %q, want %q", file, ours, want[file])
				}
				delete(want, file)
			}
			if len(want) > 0 {
				t.Errorf("not told: %v", want)
			}
			for _, shard := range []struct {
				files string
				want  map[string]time.Duration
			}{
				{"abcde", map[string]time.Duration{"import slowlib": slow, "import slowlib.part": part, "test_a.py": 0, "test_b.py": own, "test_c.py": own, "test_d.py": 0}},
				{"j", map[string]time.Duration{"import slowlib": slow, "test_j.py": 0}},
				{"b", map[string]time.Duration{"import slowlib": slow, "import slowlib.part": part, "test_b.py": own}},
				{"cd", map[string]time.Duration{"import slowlib": slow, "import slowlib.part": part, "test_c.py": own, "test_d.py": 0}},
				{"i", map[string]time.Duration{"import again": -1, "test_i.py": part}},
				{"gh", map[string]time.Duration{"import early.part": -1, "import early.part.more": part, "test_g.py": 0, "test_h.py": 0}},
				{"a", map[string]time.Duration{"import slowlib": slow, "import slowlib.part": -1, "test_a.py": 0}},
			} {
				part := &Collection{Collector: c.Collector}
				for _, test := range c.Tests {
					if strings.Contains(shard.files, strings.TrimSuffix(strings.TrimPrefix(test.ID.File(), "test_"), ".py")) {
						part.Tests = append(part.Tests, test)
					}
				}
				plan, s := one(part, 1, false)
				shortest := map[string]time.Duration{}
				for round := range mostRuns {
					imports := p.shard(t, c, plan, s).results.Workers[0].Imports
					var faults []string
					for name, want := range shard.want {
						got, known := imports[name]
						if before, seen := shortest[name]; seen {
							got = min(got, before)
						}
						shortest[name] = got
						if known != (want >= 0) || got < want {
							t.Errorf("of %s, %s took %v, want %v", shard.files, name, got, want)
						}
						if got > want+own-10*time.Millisecond && !strings.HasPrefix(name, "import") {
							faults = append(faults, fmt.Sprintf("of %s, %s took %v, want %v", shard.files, name, got, want))
						}
					}
					if len(faults) == 0 {
						break
					}
					if round == mostRuns-1 {
						t.Error(strings.Join(faults, "\n"))
					}
				}
			}
		})
	}
}

// The conftest.py of a folder that no argument names is loaded with the folder's first
// file: jobs without one of these do not pay for it. Before pytest 8 it is the session's.
func TestFolderImports(t *testing.T) {
	const slow, own = 150 * time.Millisecond, 50 * time.Millisecond
	const body = "def test_x():\n    pass\n"
	sleep := func(d time.Duration) string { return fmt.Sprintf("import time\ntime.sleep(%v)\n", d.Seconds()) }
	for env, tells := range map[string]bool{"old": false, "new": true} {
		t.Run(env, func(t *testing.T) {
			oneOfFew(t)
			p := proof{command: pytestIn(t, env), dir: t.TempDir()}
			writeAll(t, p.dir, map[string]string{
				"lib/slowlib.py": sleep(slow), "pytest.ini": "[pytest]\npythonpath = lib\n",
				"a/b/conftest.py": sleep(own) + "import slowlib\n",
				"a/test_a.py":     body, "a/b/test_b.py": body, "a/b/c/test_c.py": body,
			})
			c := p.collect(t)
			for file, inside := range map[string]bool{"a/test_a.py": false, "a/b/test_b.py": true, "a/b/c/test_c.py": true} {
				if got := slices.Contains(c.Libraries[file], "slowlib"); got != (inside && tells) {
					t.Errorf("%s needs slowlib: %v", file, got)
				}
			}
			for _, test := range c.Tests {
				alone := &Collection{Collector: c.Collector, Tests: []CollectedTest{test}}
				plan, s := one(alone, 1, false)
				w := p.shard(t, c, plan, s).results.Workers[0]
				want := map[string]bool{"a/b/": true, "import slowlib": true}
				if !tells || test.ID.File() == "a/test_a.py" {
					want = map[string]bool{}
				}
				for _, name := range []string{"a/", "a/b/", "a/b/c/", "import slowlib"} {
					if took, known := w.Imports[name]; known != want[name] || known && took < own {
						t.Errorf("of %s, %s took %v: known %v, want %v", test.ID, name, took, known, want[name])
					}
				}
				if took := w.Imports["a/b/"]; took > own+slow-10*time.Millisecond {
					t.Errorf("of %s, a/b/ took %v, what it imports included", test.ID, took)
				}
			}
		})
	}
}

// Whoever imports is to blame for what is said at import, as without wcshard,
// and errors show nothing of it.
func TestImportBlame(t *testing.T) {
	for _, env := range []string{"old", "new"} {
		t.Run(env, func(t *testing.T) {
			oneOfFew(t)
			p := proof{command: pytestIn(t, env), dir: t.TempDir()}
			writeAll(t, p.dir, map[string]string{
				"pytest.ini":  "[pytest]\nfilterwarnings =\n    error::DeprecationWarning:test_old\n",
				"old.py":      "import warnings\nwarnings.warn('old is old', DeprecationWarning, stacklevel=2)\n",
				"test_old.py": "import old\n\n\ndef test_x():\n    pass\n",
				"bad.py":      "import no_such_module\n",
				"test_bad.py": "import bad\n",
			})
			for _, file := range []string{"test_old.py", "test_bad.py"} {
				plain := execIn(t, p.dir, testEnv(), p.command, []string{"--collect-only", "-q", file})
				want, _ := plain.CombinedOutput()
				_, err := Collect(t.Context(), p.command, CollectOptions{Dir: p.dir, Env: testEnv(), Args: []string{file}})
				var exit *ExitError
				if !asExit(err, &exit) {
					t.Fatalf("%s: %v, want the error of\n%s", file, err, want)
				}
				for line := range strings.Lines(string(want)) {
					if strings.HasPrefix(line, "E ") || strings.Contains(line, ".py:") {
						if !strings.Contains(exit.Output, line) {
							t.Errorf("%s: no %q in\n%s", file, line, exit.Output)
						}
					}
				}
				if strings.Contains(exit.Output, "_bootstrap") && !strings.Contains(string(want), "_bootstrap") || strings.Contains(exit.Output, "wcshard") {
					t.Errorf("%s: the error shows what wraps imports:\n%s\nwant\n%s", file, exit.Output, want)
				}
			}
		})
	}
}
