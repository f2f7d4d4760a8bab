package pytest

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wcshard/wcshard/timing"
)

// What a test waits for processes that other tests use after it is told apart from it,
// and the others are known; of processes that a fixture starts, or that end with their
// test, nothing is told.
func TestPools(t *testing.T) {
	const start, work = 300 * time.Millisecond, 3 * time.Second // of CPU time, for each process and for one
	files := map[string]string{
		"pytest.ini": "[pytest]\npythonpath = .\n",
		"pools.py": fmt.Sprintf(`import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor

kept = {}


def work(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def make():
    return ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), work, [%v])


def shared():
    if "pool" not in kept:
        kept["pool"] = make()
    return kept["pool"]


def alone():
    if "alone" not in kept:
        kept["alone"] = make()
    return kept["alone"]
`, start.Seconds()),
		"test_a.py": strings.NewReplacer("START", fmt.Sprint(start.Seconds()), "WORK", fmt.Sprint(work.Seconds())).Replace(`import multiprocessing
import pytest
import pools


def test_plain():
    pass


def test_starts():
    pools.shared().submit(pools.work, 0.01).result()


@pytest.mark.parametrize("n", range(20))
def test_uses(n):
    pools.shared().submit(pools.work, 0.005).result()


def test_works():
    pool = pools.kept["two"] = multiprocessing.get_context("spawn").Pool(2, pools.work, [START])
    pool.map(pools.work, [WORK, 0])


def test_does_not():
    pools.work(0.05)
`),
		"test_b.py": `import unittest
import pytest
import pools


@pytest.fixture(scope="module")
def wide():
    with pools.make() as pool:
        pool.submit(pools.work, 0).result()
        yield pool


@pytest.fixture
def narrow():
    pool = pools.alone()
    pool.submit(pools.work, 0).result()
    return pool


@pytest.fixture(scope="session")
def late():
    with pools.make() as pool:
        pool.submit(pools.work, 0).result()
        yield pool


@pytest.fixture
def factory():
    made = []
    yield lambda: made.append(pools.make()) or made[0]
    made[0].shutdown()


def test_late(request):
    request.getfixturevalue("late").submit(pools.work, 0.01).result()


def test_factory(factory):
    factory().submit(pools.work, 0.01).result()


def test_fixture(wide):
    wide.submit(pools.work, 0.01).result()


def test_fixture_again(wide):
    wide.submit(pools.work, 0.01).result()


def test_own_fixture(narrow):
    narrow.submit(pools.work, 0.01).result()


def test_ends():
    with pools.make() as pool:
        pool.submit(pools.work, 0.01).result()


class TestCase(unittest.TestCase):
    def test_uses(self):
        pools.shared().submit(pools.work, 0.01).result()
`,
	}
	for _, env := range []string{"old", "new"} {
		for _, workers := range []int{1, 2} {
			t.Run(fmt.Sprint(env, workers), func(t *testing.T) {
				oneOfFew(t)
				p := proof{command: pytestIn(t, env), dir: filepath.Join(t.TempDir(), "tests")}
				writeAll(t, p.dir, files)
				c := p.collect(t)
				plan, s := one(c, workers, false)
				// On a busy machine a test may wait long for processes that a fixture has started.
				var faults []string
				for range 4 {
					if faults = poolFaults(t, p.shard(t, c, plan, s).results, start, work); len(faults) == 0 {
						break
					}
				}
				for _, fault := range faults {
					t.Error(fault)
				}
			})
		}
	}
}

// poolFaults says what is wrong with what was told of pools in a run of TestPools.
func poolFaults(t *testing.T, r *timing.Results, start, work time.Duration) (faults []string) {
	t.Helper()
	fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	starts := map[string]map[timing.SetupID]timing.NodeID{} // starters, by worker
	var users []string
	for _, test := range r.Tests {
		if test.Outcome != timing.Passed {
			t.Fatalf("%s %s: %s", test.ID, test.Outcome, test.Message)
		}
		for _, f := range test.Fixtures {
			if !f.ID.Pool() {
				continue
			}
			if f.Setup == 0 {
				if starts[test.Worker][f.ID] == "" {
					fault("%s uses %s, which its worker has not started", test.ID, f.ID)
				}
			} else {
				if starts[test.Worker] == nil {
					starts[test.Worker] = map[timing.SetupID]timing.NodeID{}
				}
				starts[test.Worker][f.ID] = test.ID
				if f.Setup < start || test.ID == "test_a.py::test_works" && f.Setup > work {
					fault("%s waited %v for %s, want at least %v and less than it had it do", test.ID, f.Setup, f.ID, start)
				}
				if own := test.Setup + test.Call + test.Teardown; own+f.Setup > test.Wall {
					fault("%s took %v by itself, and waited %v for %s, in %v", test.ID, own, f.Setup, f.ID, test.Wall)
				}
			}
			users = append(users, string(test.ID))
		}
	}
	slices.Sort(users)
	users = slices.Compact(users)
	want := []string{"test_a.py::test_starts", "test_a.py::test_works", "test_b.py::TestCase::test_uses"}
	for n := range 20 {
		want = append(want, fmt.Sprintf("test_a.py::test_uses[%d]", n))
	}
	slices.Sort(want)
	if !slices.Equal(users, want) {
		fault("tests that use a pool: %q, want %q", users, want)
	}
	return faults
}
