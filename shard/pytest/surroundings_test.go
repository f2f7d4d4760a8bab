package pytest

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/wcshard/wcshard/shard"
	"github.com/wcshard/wcshard/timing"
)

// Test files and tests see the arguments that the user has, and no seed of ours: those that
// call the program under test would have it read wcshard's options.
func TestOutOfSight(t *testing.T) {
	const file = `import gc
import os
import sys

import pytest

seen = sys.argv[1:], os.environ.get("PYTHONHASHSEED")


def test_seen():
    arguments = [] if hasattr(pytest, "worker") else ["-q", "test_seen.py"]
    assert seen == (arguments, os.environ.get("OWN"))


def test_modules():
    import inspect

    assert {"get_objects", "get_referrers", "collect"} < set(dir(gc)) and not {"__dir__", "__getattr__"} & set(dir(gc))
    assert dict(inspect.getmembers(gc))["get_objects"] is gc.get_objects
`
	const conftest = `import pytest


def pytest_configure(config):
    if hasattr(config, "workerinput"):
        pytest.worker = True
`
	for _, env := range []string{"old", "new", "bare"} {
		for _, seed := range []string{"", "random", "7"} {
			for _, workers := range []int{1, 2} {
				if env == "bare" && workers > 1 {
					continue
				}
				t.Run(fmt.Sprint(env, seed, workers), func(t *testing.T) {
					oneOfFew(t)
					command, dir := pytestIn(t, env), t.TempDir()
					command.Argv = append(slices.Clone(command.Argv), "-q")
					writeAll(t, dir, map[string]string{"conftest.py": conftest, "test_seen.py": file})
					environ := slices.DeleteFunc(testEnv(), func(entry string) bool { return strings.HasPrefix(entry, "PYTHONHASHSEED=") })
					if seed != "" {
						environ = append(environ, "OWN="+seed)
					}
					environ = append(environ, "PYTHONHASHSEED="+seed)
					c, err := Collect(t.Context(), command, CollectOptions{Dir: dir, Env: environ, Args: []string{"test_seen.py"}})
					if err != nil {
						t.Fatal(err)
					}
					plan, s := one(c, workers, false)
					sel, err := Select(plan, s.Name)
					if err != nil {
						t.Fatal(err)
					}
					var output bytes.Buffer
					status, err := Run(t.Context(), command, RunOptions{
						Dir: dir, Env: environ, Root: c.Collector.Root, Args: c.Collector.Args, Selection: sel, Workers: workers, Results: newResults(t, s.Name),
						Stdout: &output, Stderr: &output,
					})
					if err != nil || status != ExitOK {
						t.Errorf("%d, %v\n%s", status, err, &output)
					}
				})
			}
		}
	}
}

// What is out of sight while tests run is there again after them, for a program that calls
// pytest twice: without --collect-only the second call would run all tests, and say that
// they are the shard's. What a conftest.py sets for itself stays.
func TestOutOfSightForAWhile(t *testing.T) {
	for _, env := range []string{"old", "new"} {
		t.Run(env, func(t *testing.T) {
			oneOfFew(t)
			dir := t.TempDir()
			writeAll(t, dir, map[string]string{
				"twice.py": "import os\nimport sys\n\nimport pytest\n\nbefore = list(sys.argv), dict(os.environ)\n" +
					"status = pytest.main(sys.argv[1:])\nassert before == (sys.argv, {**os.environ})\nsys.exit(status)\n",
				"conftest.py": "import os\n\n\ndef pytest_configure(config):\n    if os.path.exists(\"own\"):\n        os.environ[\"PYTHONHASHSEED\"] = \"42\"\n",
				"test_a.py":   "import os\n\n\ndef test_seed():\n    assert os.environ.get(\"PYTHONHASHSEED\") == (\"42\" if os.path.exists(\"own\") else None)\n",
			})
			environ := slices.DeleteFunc(testEnv(), func(entry string) bool { return strings.HasPrefix(entry, "PYTHONHASHSEED=") })
			plain := pytestIn(t, env)
			twice := Command{Argv: []string{plain.Argv[0], "twice.py"}, Source: plain.Source}
			if c, err := Collect(t.Context(), twice, CollectOptions{Dir: dir, Env: environ}); err != nil || len(c.Tests) != 1 {
				t.Fatalf("collected %+v, %v", c, err)
			}
			run := func(command Command) {
				t.Helper()
				var output bytes.Buffer
				status, err := Run(t.Context(), command, RunOptions{
					Dir: dir, Env: environ, Root: ".", Workers: 1, Results: newResults(t, "a"), Stdout: &output, Stderr: &output,
					Selection: Selection{Pieces: []shard.Piece{{File: "test_a.py", Tests: []string{"::test_seed"}}}},
				})
				if err != nil || status != ExitOK {
					t.Errorf("%d, %v\n%s", status, err, &output)
				}
			}
			run(twice)
			write(t, filepath.Join(dir, "own"), "")
			run(plain)
			write(t, filepath.Join(dir, "conftest.py"), "import sys\n\n\ndef pytest_configure(config):\n    sys.argv = None\n")
			os.Remove(filepath.Join(dir, "own"))
			run(plain)
		})
	}
}

// A file that is skipped where the plan is made runs nowhere, even if a shard would have
// what it wants: that is said.
func TestSkippedFile(t *testing.T) {
	for _, env := range []string{"old", "new"} {
		t.Run(env, func(t *testing.T) {
			oneOfFew(t)
			p := proof{command: pytestIn(t, env), dir: t.TempDir()}
			writeAll(t, p.dir, map[string]string{
				"test_a.py":   "def test_a():\n    pass\n",
				"test_gpu.py": "import pytest\n\npytest.skip(\"no GPU here\", allow_module_level=True)\n\n\ndef test_gpu():\n    pass\n",
				"test_lib.py": "import pytest\n\npytest.importorskip(\"no_such_module\")\n\n\ndef test_lib():\n    pass\n",
			})
			c := p.collect(t)
			if want := "skipped where the plan is made, so that no job runs their tests: test_gpu.py (no GPU here) and 1 more"; !slices.Equal(c.Notes, []string{want}) {
				t.Errorf("notes are %q, want %q", c.Notes, want)
			}
		})
	}
}

// What a conftest.py or a test file does to the directory and to the environment is no
// matter, nor is a relative folder for temporary files.
func TestSurroundings(t *testing.T) {
	const clear = "import os\n\nfor name in set(os.environ) - {\"WCSHARD_TRUTH\"}:\n    del os.environ[name]\n"
	const tests = "import pytest\n\n\n@pytest.mark.parametrize(\"n\", range(8))\ndef test_a(n):\n    pass\n"
	for _, c := range []struct {
		name  string
		files map[string]string
	}{
		{"directory", map[string]string{"pytest.ini": "[pytest]\n", "tests/conftest.py": "import os\n\nos.chdir(os.path.dirname(__file__))\n", "tests/test_a.py": tests}},
		{"environment", map[string]string{"tests/conftest.py": clear, "tests/test_a.py": tests}},
		{"root far above", map[string]string{"pytest.ini": "[pytest]\n", "a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p/tests/test_a.py": tests}},
		{"both", map[string]string{"tests/test_a.py": clear + "os.chdir(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))\n" + tests}},
	} {
		for _, workers := range []int{1, 2} {
			for _, env := range []string{"old", "new"} {
				t.Run(fmt.Sprint(c.name, workers, env), func(t *testing.T) {
					oneOfFew(t)
					p := proof{command: pytestIn(t, env), dir: t.TempDir(), workers: []int{workers, workers}}
					writeAll(t, p.dir, c.files)
					if c.name == "root far above" { // so that its absolute path is the shorter one
						p.dir = filepath.Join(p.dir, "a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p")
					}
					p.run(t)
				})
			}
		}
	}
}

func TestRelativeTemporaryFolder(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("goes by TMPDIR")
	}
	command, dir := pytestIn(t, "new"), t.TempDir()
	writeAll(t, dir, map[string]string{"tmp/x": "", "test_a.py": "import os\n\nos.chdir(\"/\")\n\n\ndef test_a():\n    pass\n\n\ndef test_b():\n    pass\n"})
	t.Chdir(dir)
	results := newResults(t, "relative")
	t.Setenv("TMPDIR", "tmp")
	status, err := Run(t.Context(), command, RunOptions{
		Dir: dir, Env: testEnv(), Root: ".", Workers: 2, Results: results,
		Selection: Selection{Pieces: []shard.Piece{{File: "test_a.py", Cut: true, Tests: []string{"::test_a", "::test_b"}}}},
	})
	if r := readResults(t, results); err != nil || status != 0 || len(r.Tests) != 2 {
		t.Errorf("%d, %v, %d tests", status, err, len(r.Tests))
	}
}

// A version that cannot run a plan gets none.
func TestOldPytest(t *testing.T) {
	name := filepath.Join(t.TempDir(), "collection.jsonl")
	for version, refused := range map[string]bool{"6.2.5": true, "7.0.0": false, "10.1": false, "": false} {
		write(t, name, fmt.Sprintf(`{"wcshard":"collection","version":1,"pytest":%q,"python":"3.9.1","xdist":"","root":".","order":"definition","seed":1}`+"\n"+
			`{"t":"end"}`+"\n", version))
		_, err := readCollected(name, ExitNoTests, nil, &tail{})
		var hint *HintError
		if refused != (err != nil) || refused && (!errors.As(err, &hint) || err.Error() != "pytest 6.2.5 is too old" || !strings.Contains(hint.Hint, "7.0 or newer")) {
			t.Errorf("pytest %q: %v", version, err)
		}
	}
}

// Where a run's arguments distribute tests over workers and the plan has none, they run
// in one process.
func TestDistributedOverNobody(t *testing.T) {
	for _, env := range []string{"old", "between", "new"} {
		t.Run(env, func(t *testing.T) {
			oneOfFew(t)
			p := proof{command: pytestIn(t, env), dir: t.TempDir(), extra: []string{"--dist=loadfile"}, workers: []int{1, 2}}
			writeAll(t, p.dir, map[string]string{"test_a.py": "def test_a():\n    pass\n", "test_b.py": "def test_b():\n    pass\n"})
			p.run(t)
		})
	}
}

// A child begins with what its parent held when it was started: that is no need of the
// test in which it ends.
func TestChildOfLongAgo(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells what a child held")
	}
	oneOfFew(t)
	p := proof{command: pytestIn(t, "new"), dir: t.TempDir()}
	writeAll(t, p.dir, map[string]string{"test_a.py": `import subprocess

import pytest


@pytest.fixture(scope="module")
def child():
    held = bytearray(200 << 20)
    process = subprocess.Popen(["sleep", "60"])
    del held
    yield
    process.kill()
    process.wait()


def test_first(child):
    pass


def test_last(child):
    pass
`, "test_b.py": `import subprocess
import sys


def test_other():
    subprocess.run([sys.executable, "-c", "bytearray(300 << 20)"], check=True)


def test_large_itself():
    bytearray(450 << 20)


def test_after_that():
    subprocess.run([sys.executable, "-c", "bytearray(380 << 20)"], check=True)
`})
	c := p.collect(t)
	plan, s := one(c, 1, false)
	o := p.shard(t, c, plan, s)
	children := map[string]int64{}
	for _, test := range o.results.Tests {
		children[test.ID.Rest()] = test.Children >> 20
	}
	if o.status != 0 || children["::test_last"] > 100 || children["::test_other"] < 290 || children["::test_after_that"] < 370 {
		t.Errorf("status %d, children in MiB: %v, want few of test_last, 300 of test_other and 380 of test_after_that\n%s", o.status, children, o.output)
	}
}

// A daemon closes all that it has not opened, and opens files of its own: they stay what
// they are in what it starts.
func TestDaemon(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("nothing forks")
	}
	for _, env := range []string{"old", "new"} {
		for _, workers := range []int{1, 2} {
			t.Run(fmt.Sprint(env, workers), func(t *testing.T) {
				oneOfFew(t)
				p := proof{command: pytestIn(t, env), dir: t.TempDir(), workers: []int{workers}}
				writeAll(t, p.dir, map[string]string{"test_daemon.py": `import os


def work():
    os.closerange(3, 256)
    mine = [os.open(__file__, os.O_RDONLY) for _ in range(60)]
    pid = os.fork()
    if pid == 0:
        same = {os.fstat(fd)[1:3] for fd in mine} == {os.stat(__file__)[1:3]}
        os._exit(0 if same else 7)
    os._exit(os.waitpid(pid, 0)[1] >> 8)


def test_daemon():
    pid = os.fork()
    if pid == 0:
        work()
    assert os.waitpid(pid, 0)[1] == 0


def test_other():
    pass
`})
				p.run(t)
			})
		}
	}
}

// A test whose child comes back to pytest runs the rest of the tests in it as well. The
// child's word does not count.
func TestForkThatReturns(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("nothing forks")
	}
	oneOfFew(t)
	p := proof{command: pytestIn(t, "new"), dir: t.TempDir(), workers: []int{1}}
	writeAll(t, p.dir, map[string]string{"test_fork.py": `import os
import sys


def test_fork():
    pid = os.fork()
    if pid == 0:
        sys.exit(0)
    os.waitpid(pid, 0)


def test_next():
    pass
`})
	collected := p.collect(t)
	plan, s := one(collected, 1, false)
	o := p.shard(t, collected, plan, s)
	if o.status != ExitOK || len(o.results.Tests) != 2 || len(o.results.Warnings) > 0 {
		t.Errorf("status %d, tests %+v, warnings %v\n%s", o.status, o.results.Tests, o.results.Warnings, o.output)
	}
}

// A pytest that a test starts, with the options of the one that it runs in, is not the
// shard once more.
func TestPytestInside(t *testing.T) {
	for _, env := range []string{"old", "new"} {
		t.Run(env, func(t *testing.T) {
			oneOfFew(t)
			p := proof{command: pytestIn(t, env), dir: t.TempDir(), workers: []int{1, 2}}
			writeAll(t, p.dir, map[string]string{
				"inner/inner.py": "def test_inner():\n    pass\n",
				"test_outer.py": `import subprocess
import sys


def outer(request, *more):
    plugins = [word for name in request.config.option.plugins for word in ("-p", name)]
    out = subprocess.run([sys.executable, "-m", "pytest", *plugins, *more, "inner/inner.py"], stdout=subprocess.PIPE, text=True).stdout
    assert "1 passed" in out


def test_outer(request):
    outer(request)


def test_second(request):
    outer(request, "-n", "2")


def test_third():
    pass


def test_fourth():
    pass
`,
			})
			_, all := p.run(t)
			for _, o := range all {
				if o.status != ExitOK {
					t.Errorf("status %d\n%s", o.status, o.output)
				}
			}
		})
	}
}

// A command may go elsewhere before it calls pytest, as uv run --directory does.
func TestCommandThatGoesElsewhere(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("calls a shell script")
	}
	oneOfFew(t)
	p := proof{dir: t.TempDir(), workers: []int{2}}
	writeAll(t, p.dir, map[string]string{
		"sub/pytest.ini": "[pytest]\n", "sub/test_a.py": "def test_a():\n    pass\n\n\ndef test_b():\n    pass\n",
		"call": "#!/bin/sh\ncd sub && exec \"$@\"\n",
	})
	script := filepath.Join(p.dir, "call")
	if err := os.Chmod(script, 0o700); err != nil {
		t.Fatal(err)
	}
	p.command = Command{Argv: append([]string{script}, pytestIn(t, "new").Argv...), Source: "a script"}
	p.run(t)
}

// A command may call pytest twice: each time it is the shard.
func TestCommandThatRepeats(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("calls a shell script")
	}
	oneOfFew(t)
	p := proof{command: pytestIn(t, "new"), dir: t.TempDir()}
	writeAll(t, p.dir, map[string]string{
		"test_a.py": "def test_a():\n    pass\n\n\ndef test_b():\n    pass\n",
		"twice":     "#!/bin/sh\n\"$@\" && \"$@\"\n",
	})
	script := filepath.Join(p.dir, "twice")
	if err := os.Chmod(script, 0o700); err != nil {
		t.Fatal(err)
	}
	var output bytes.Buffer
	status, err := Run(t.Context(), Command{Argv: append([]string{script}, p.command.Argv...), Source: "a script"}, RunOptions{
		Dir: p.dir, Env: testEnv(), Workers: 1, Results: newResults(t, "twice"), Stdout: &output, Stderr: &output,
		Selection: Selection{Pieces: []shard.Piece{{File: "test_a.py", Tests: []string{"::test_b"}, Cut: true}}, Elsewhere: []timing.NodeID{"test_a.py::test_a"}},
	})
	if err != nil || status != ExitOK || strings.Count(output.String(), "1 passed, 1 deselected") != 2 {
		t.Errorf("%d, %v\n%s", status, err, output.String())
	}
}
