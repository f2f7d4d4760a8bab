package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/wcshard/wcshard/shard"
	"github.com/wcshard/wcshard/timing"
)

// sharedSetups is a suite with every way to share a set-up. All that costs time
// sleeps, so that a busy machine adds little to it.
var sharedSetups = map[string]string{
	"pytest.ini": "[pytest]\n",
	"conftest.py": `import time
import pytest

@pytest.fixture(scope="session")
def engine():
    time.sleep(0.5)

@pytest.fixture(scope="session")
def database(engine):
    time.sleep(0.3)
    yield
    time.sleep(0.2)

@pytest.fixture(scope="session")
def schema():
    time.sleep(0.4)
    yield
    time.sleep(0.1)

@pytest.fixture(scope="session", params=[0.6, 0.8])
def backend(request):
    time.sleep(request.param)

@pytest.fixture(scope="session")
def tables(backend):
    time.sleep(0.3)

@pytest.fixture(scope="session")
def server(request):
    time.sleep(request.param)

@pytest.fixture
def rows(request):
    request.getfixturevalue("schema")
`,
	"test_backend_a.py":   backendTests,
	"test_backend_b.py":   backendTests,
	"test_first_user.py":  "import time\n\ndef test_rows(rows):\n    time.sleep(0.1)\n",
	"test_second_user.py": "import time\n\ndef test_rows(rows):\n    time.sleep(0.2)\n",
	"test_session.py": `import time
import pytest

@pytest.mark.parametrize("n", range(6))
def test_database(database, n):
    time.sleep(0.3)
`,
	"test_server_a.py": fmt.Sprintf(serverTests, "0.4, 0.6"),
	"test_server_b.py": fmt.Sprintf(serverTests, "0.9"),
	"test_dynamic.py": `import time
import pytest

@pytest.fixture(scope="module")
def late():
    time.sleep(0.8)

@pytest.mark.parametrize("n", range(3))
def test_late(request, n):
    request.getfixturevalue("late")
    time.sleep(0.1)
`,
	"test_parameters.py": `import time
import pytest

@pytest.fixture(scope="module", params=[0.4, 0.6])
def model(request):
    time.sleep(request.param)

def test_a(model):
    time.sleep(0.1)

def test_b(model):
    time.sleep(0.1)
`,
	"test_auto.py": `import time
import pytest

@pytest.fixture(scope="module", autouse=True)
def around():
    time.sleep(0.3)
    yield
    time.sleep(0.3)

class TestC:
    @pytest.fixture(scope="class", autouse=True)
    def inside(self):
        time.sleep(0.4)

    @pytest.fixture(autouse=True)
    def own(self):
        time.sleep(0.1)

    def test_a(self):
        pass

    def test_b(self):
        pass
`,
	"package/__init__.py": "",
	"package/conftest.py": `import time
import pytest

@pytest.fixture(scope="package")
def server():
    time.sleep(0.6)
`,
	"package/test_one.py": "def test_one(server):\n    pass\n",
	"package/test_two.py": "def test_two(server):\n    pass\n",
	"test_unit.py": `import time
import unittest

def setUpModule():
    time.sleep(0.5)

class Unit(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        time.sleep(0.4)

    def test_a(self):
        time.sleep(0.1)

    def test_b(self):
        pass
`,
}

const (
	backendTests = "import time\n\ndef test_read(backend):\n    time.sleep(0.3)\n\ndef test_write(tables):\n    time.sleep(0.3)\n"
	serverTests  = "import pytest\n\n@pytest.mark.parametrize('server', [%s], indirect=True)\ndef test_server(server):\n    pass\n"
)

// What each file, or folder, costs by itself, and how often it sleeps for that: what the
// plan is to say of it and what it takes.
var sharedCosts = map[string]struct{ ms, sleeps int }{
	"test_session.py": {500 + 300 + 200 + 6*300, 9}, "test_dynamic.py": {800 + 3*100, 4}, "test_parameters.py": {400 + 600 + 4*100, 6},
	"test_first_user.py": {400 + 100 + 100, 3}, "test_second_user.py": {400 + 100 + 200, 3},
	"test_auto.py": {600 + 400 + 2*100, 5}, "package": {600, 1}, "test_unit.py": {500 + 400 + 100, 3},
	"test_backend_a.py": {600 + 800 + 2*300 + 4*300, 8}, "test_backend_b.py": {600 + 800 + 2*300 + 4*300, 8},
	"test_server_a.py": {400 + 600, 2}, "test_server_b.py": {900, 1},
}

// Predictions are compared with what really happens, of each file alone and of files
// together: parametrized and autouse fixtures, those built by others, those asked for at
// run time, of packages, of unittest; and a session's fixture that two workers set up
// each for itself, or with parameters, of which each worker takes one.
func TestPredicted(t *testing.T) {
	venv := testVenv(t)
	t.Parallel() // it sleeps most of its time
	dir, call := writeSuite(t, venv, sharedSetups)
	// A busy machine adds to a sleep and never takes away: a round more brings the
	// medians that are predicted nearer to the times themselves. What is priced
	// wrongly is so in each round.
	var faults []string
	for round := range 6 {
		faults = predictedRound(t, dir, round, call)
		if len(faults) == 0 {
			return
		}
		t.Logf("round %d: %q", round, faults)
	}
	for _, fault := range faults {
		t.Error(fault)
	}
}

// writeSuite writes a suite into a folder of its own, and returns that and a way to call
// wcshard there.
func writeSuite(t *testing.T, venv string, files map[string]string) (dir string, call func(args ...string) string) {
	t.Helper()
	dir = t.TempDir()
	for name, text := range files {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o777); err != nil {
			t.Fatal(err)
		}
		writeTestFile(t, filepath.Join(dir, name), text)
	}
	env := []string{"VIRTUAL_ENV=" + venv, "PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}
	return dir, func(args ...string) string { t.Helper(); return mustRun(t, wcshard(t, dir, env, args...)) }
}

// resultsIn reads what a shard left in a folder at its first attempt.
func resultsIn(t *testing.T, folder, name string) *timing.Results {
	t.Helper()
	r, err := readResultsFile(&system{stderr: t.Output()}, filepath.Join(folder, "wcshard-results-"+name+"-1.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// historyIn reads the history of a suite in a folder.
func historyIn(t *testing.T, dir string) *timing.History {
	t.Helper()
	history, err := readHistory(&system{stderr: t.Output()}, filepath.Join(dir, defaultTimings), false)
	if err != nil {
		t.Fatal(err)
	}
	return history
}

// predictedRound records the suite, plans it from all that was recorded, and
// says what was predicted wrongly.
func predictedRound(t *testing.T, dir string, round int, call func(args ...string) string) (faults []string) {
	check := func(what string, predicted, real time.Duration, sleeps int) {
		t.Logf("%s: predicted %v, real %v", what, predicted.Round(time.Millisecond), real.Round(time.Millisecond))
		// What waking up from so many sleeps may add: less than any fixture takes.
		if off := (predicted - real).Abs(); off > real/50+time.Duration(sleeps)*10*time.Millisecond {
			faults = append(faults, fmt.Sprintf("%s: predicted %v, real %v", what, predicted, real))
		}
	}
	known := func(place timing.Place) *timing.Estimator {
		return historyIn(t, dir).EstimatorAt(place)
	}
	plan := func(shards, workers int, files ...string) *shard.Plan {
		call(append([]string{"matrix", "--shards", fmt.Sprint(shards), "--workers", fmt.Sprint(workers), "--runner", "local", "--runner-cpus", "2", "--", "-p", "no:cacheprovider"}, files...)...)
		return testPlan(t, filepath.Join(dir, defaultPlan))
	}
	results := func(name string) string { return fmt.Sprintf("results-%d-%s", round, name) }
	plan(1, 1)
	call("run", "--shard", "pool-1", "--results", results("all"))
	call("merge", results("all"))

	// Each file alone, so that one that is wrong has a name.
	session := known(timing.Place{Runner: "local"}).Session(1)
	for file, cost := range sharedCosts {
		predicted := plan(1, 1, file).Shards[0].Wall - session
		check(file+" by its source", predicted, time.Duration(cost.ms)*time.Millisecond, cost.sleeps)
		folder := results(filepath.Base(file))
		call("run", "--shard", "pool-1", "--results", folder)
		check(file, predicted, testsTook(resultsIn(t, filepath.Join(dir, folder), "pool-1")), cost.sleeps)
	}
	if len(faults) > 0 {
		return faults
	}

	// Jobs as they run: their own set-ups and tests, without the session's start.
	// With two workers only what leaves nothing to chance: on a busy machine tests
	// are not done in the order in which they are expected to be; and what takes so
	// long that one worker, whose start is shorter, is not done sooner.
	for k, c := range []struct {
		shards, workers int
		files           []string
	}{
		{3, 1, nil}, {1, 2, []string{"test_session.py"}}, {1, 2, []string{"test_backend_a.py", "test_backend_b.py"}},
		{1, 2, []string{"test_auto.py", "test_unit.py"}}, {1, 2, []string{"test_parameters.py", "test_dynamic.py"}},
		{1, 2, []string{"test_server_a.py", "test_server_b.py"}},
	} {
		plan := plan(c.shards, c.workers, c.files...)
		session := known(timing.Place{Runner: "local", Workers: c.workers, CPUs: 2}).Session(c.workers)
		for i := range plan.Shards {
			s := &plan.Shards[i]
			if s.Workers != c.workers {
				// On a machine so busy that xdist's start seems to cost more than it saves.
				faults = append(faults, fmt.Sprintf("%s has %d workers, want %d", strings.Join(filesOf(s), ", "), s.Workers, c.workers))
			}
			folder := results(fmt.Sprintf("%d-%d-%d", k, c.shards, i))
			call("run", "--shard", s.Name, "--results", folder)
			r := resultsIn(t, filepath.Join(dir, folder), s.Name)
			if h := r.Header; h.CPUs < 1 || h.Tests != s.Len() || h.Predicted != s.Wall {
				t.Errorf("the results of %s say %d cores, %d tests and %v predicted, want %d and %v", s.Name, h.CPUs, h.Tests, h.Predicted, s.Len(), s.Wall)
			}
			check(fmt.Sprintf("%s with %d workers", strings.Join(filesOf(s), ", "), c.workers), s.Wall-session, testsTook(r), 20)
		}
	}

	// All of them in one process here, from a plan for three machines: the plan has what
	// they share, and pytest the order in which it sets up each of that once.
	plan(3, 1)
	out := call("run", "--all", "--workers", "1", "--schedule", "phases", "--results", results("together"))
	var about float64
	if found := regexp.MustCompile(`pool \(1 of 1\): .* about ([0-9.]+) s, with`).FindStringSubmatch(out); found != nil {
		about, _ = strconv.ParseFloat(found[1], 64)
	}
	check("all in one process", time.Duration(about*float64(time.Second))-session, testsTook(resultsIn(t, filepath.Join(dir, results("together")), "pool")), 50)
	return faults
}

// runPredicted runs each shard of a plan, and says which of them took another time than was
// predicted, without their session's.
func runPredicted(t *testing.T, dir, results string, plan *shard.Plan, session time.Duration, call func(args ...string) string) (faults []string) {
	t.Helper()
	for i := range plan.Shards {
		s := &plan.Shards[i]
		call("run", "--shard", s.Name, "--results", results)
		predicted, real := s.Wall-session, testsTook(resultsIn(t, filepath.Join(dir, results), s.Name))
		t.Logf("%s: predicted %v, real %v", strings.Join(filesOf(s), ", "), predicted, real)
		if off := (predicted - real).Abs(); off > real/20+100*time.Millisecond {
			faults = append(faults, fmt.Sprintf("%s: predicted %v, real %v", strings.Join(filesOf(s), ", "), predicted, real))
		}
	}
	return faults
}

// What tests import while they run, each job pays for: a few recorded jobs are enough
// to know that most tests need it, and that others do not.
func TestPredictedLateImports(t *testing.T) {
	venv := testVenv(t)
	t.Parallel() // it sleeps most of its time
	files := map[string]string{
		"pytest.ini":   "[pytest]\npythonpath = lib\n",
		"lib/all.py":   "import time\ntime.sleep(0.6)\n",
		"lib/few.py":   "import time\ntime.sleep(0.9)\n",
		"test_last.py": "def test_few():\n    import all, few\n",
	}
	for k := range 9 {
		files[fmt.Sprintf("test_%d.py", k)] = "import time\nimport pytest\n\n@pytest.mark.parametrize('n', range(4))\ndef test_all(n):\n    import all\n    time.sleep(0.05)\n"
	}
	dir, call := writeSuite(t, venv, files)
	matrix := func(shards int) *shard.Plan {
		call("matrix", "--shards", fmt.Sprint(shards), "--workers", "1", "--runner", "local", "--", "-p", "no:cacheprovider")
		return testPlan(t, filepath.Join(dir, defaultPlan))
	}
	var faults []string
	for round := range 6 { // a busy machine adds to a sleep and never takes away
		faults = nil
		all := fmt.Sprintf("results-%d", round)
		for _, s := range matrix(3).Shards {
			call("run", "--shard", s.Name, "--results", all)
		}
		if err := os.Remove(filepath.Join(dir, defaultTimings)); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		call("merge", all)
		plan := matrix(3)
		session := historyIn(t, dir).EstimatorAt(timing.Place{Runner: "local"}).Session(1)
		faults = runPredicted(t, dir, fmt.Sprintf("results-%d-again", round), plan, session, call)
		if len(faults) == 0 {
			return
		}
	}
	for _, fault := range faults {
		t.Error(fault)
	}
}

// testsTook is how long the busiest worker was at its tests: from the start of
// its first to the end of its last.
func testsTook(r *timing.Results) time.Duration {
	first, last := map[string]time.Duration{}, map[string]time.Duration{}
	for _, test := range r.Tests {
		if at, ok := first[test.Worker]; !ok || test.Start < at {
			first[test.Worker] = test.Start
		}
		last[test.Worker] = max(last[test.Worker], test.Start+test.Wall)
	}
	longest := time.Duration(0)
	for worker := range first {
		longest = max(longest, last[worker]-first[worker])
	}
	return longest
}

func filesOf(s *shard.Shard) []string {
	var files []string
	for _, p := range s.Pieces {
		files = append(files, p.File)
	}
	return files
}

func testPlan(t *testing.T, name string) *shard.Plan {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	plan, err := shard.ReadPlan(f, name)
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

// Whichever test of a job is the first to use a pool of processes waits for them: the tests
// that do are planned for one job, and where they are not, each job pays.
func TestPredictedPools(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells of a process's children")
	}
	venv := testVenv(t)
	t.Parallel() // it sleeps most of its time
	files := map[string]string{
		"pytest.ini": "[pytest]\npythonpath = lib\n",
		"lib/pools.py": `import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor

kept = []


def start():
    end = time.process_time() + 0.6
    while time.process_time() < end:
        pass


def work():
    end = time.process_time() + 0.01
    while time.process_time() < end:
        pass


def shared():
    if not kept:
        kept.append(ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), start))
    return kept[0]
`,
	}
	for k := range 4 {
		files[fmt.Sprintf("test_%d.py", k)] = "import time\nimport pytest\nimport pools\n\n@pytest.mark.parametrize('n', range(4))\ndef test_plain(n):\n    time.sleep(0.2)\n\ndef test_pool():\n    pools.shared().submit(pools.work).result()\n"
	}
	dir, call := writeSuite(t, venv, files)
	matrix := func(shards int, files ...string) *shard.Plan {
		call(append([]string{"matrix", "--shards", fmt.Sprint(shards), "--workers", "1", "--runner", "local", "--", "-p", "no:cacheprovider"}, files...)...)
		return testPlan(t, filepath.Join(dir, defaultPlan))
	}
	// A round more brings what is known nearer to what it takes on a quiet machine.
	var faults []string
	for round := range 4 {
		if faults = poolsRound(t, dir, fmt.Sprintf("results-%d", round), matrix, call); len(faults) == 0 {
			return
		}
		t.Logf("round %d: %q", round, faults)
	}
	for _, fault := range faults {
		t.Error(fault)
	}
}

// poolsRound records the suite into a folder, plans and runs it from all that was
// recorded, and says what of the pool was planned or predicted wrongly.
func poolsRound(t *testing.T, dir, results string, matrix func(shards int, files ...string) *shard.Plan, call func(args ...string) string) (faults []string) {
	t.Helper()
	fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	matrix(1)
	call("run", "--shard", "pool-1", "--results", results)
	call("merge", results)
	known := historyIn(t, dir).EstimatorAt(timing.Place{Runner: "local"})
	pools := known.Pools()
	if len(pools) != 1 || pools[0].Cost < 600*time.Millisecond || len(pools[0].Tests) != 4 {
		t.Fatalf("pools of processes: %+v, want one of 4 tests that takes at least 600ms", pools)
	}
	for k, c := range []struct {
		shards int
		file   string
	}{{2, "."}, {1, "test_2.py"}} {
		plan := matrix(c.shards, c.file)
		jobs := 0 // that have tests which use the pool
		for i := range plan.Shards {
			s := &plan.Shards[i]
			uses := slices.ContainsFunc(s.Pieces, func(p shard.Piece) bool { return slices.Contains(p.Tests, "::test_pool") })
			folder := fmt.Sprintf("%s-%d-%d", results, k, i)
			call("run", "--shard", s.Name, "--results", folder)
			// A busy machine takes longer for all of it: what each part took is the measure.
			rest, starts, want := s.Wall-known.Session(1), 0, time.Duration(0)
			for _, file := range filesOf(s) {
				rest -= known.File(file)
			}
			for _, test := range resultsIn(t, filepath.Join(dir, folder), s.Name).Tests {
				rest -= known.Tests([]timing.NodeID{test.ID})[0].Wall
				if slices.ContainsFunc(test.Fixtures, func(f timing.FixtureResult) bool { return f.ID.Pool() && f.Setup > 0 }) {
					starts++
				}
			}
			if uses {
				jobs++
				want = pools[0].Cost
			}
			// Libraries, such as lib/pools.py, are in the rest as well.
			if (starts == 1) != uses || (rest-want).Abs() > pools[0].Cost/2 {
				fault("%s: %d starts, and %v predicted for that, want %v", strings.Join(filesOf(s), ", "), starts, rest, want)
			}
		}
		if jobs != 1 {
			fault("tests that use the pool are in %d jobs of %d, want 1", jobs, c.shards)
		}
	}
	return faults
}
