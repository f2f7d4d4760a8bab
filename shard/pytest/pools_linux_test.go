package pytest

import (
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wcshard/wcshard/timing"
)

// What a test waits for processes that other tests use after it is told apart from it,
// and the others are known; of processes that a fixture starts, that end with their test
// or that never wait for work, nothing is told.
func TestPools(t *testing.T) {
	const start = 300 * time.Millisecond // of CPU time, for each process
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
		"test_a.py": `import pools


def test_plain():
    pass


def test_starts():
    pools.shared().submit(pools.work, 0.01).result()


def test_uses():
    pools.shared().submit(pools.work, 0.01).result()


def test_does_not():
    pools.work(0.05)
`,
		"test_b.py": `import subprocess
import sys
import unittest
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


@pytest.mark.parametrize("n", range(9))
def test_beside(n):
    if n == 0:
        pools.kept["busy"] = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    pools.work(0.03)


def test_over():
    pools.kept["busy"].kill()
    pools.kept["busy"].wait()
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
				starts := map[string]map[timing.SetupID]timing.NodeID{} // starters, by worker
				var users []string
				beside := 0 // tests that seem to use what is always busy
				for _, test := range p.shard(t, c, plan, s).results.Tests {
					if test.Outcome != timing.Passed {
						t.Fatalf("%s %s: %s", test.ID, test.Outcome, test.Message)
					}
					for _, f := range test.Fixtures {
						if !f.ID.Pool() {
							continue
						}
						if strings.HasPrefix(string(test.ID), "test_b.py::test_beside") {
							beside++
							continue
						}
						if f.Setup == 0 {
							if starts[test.Worker][f.ID] == "" {
								t.Errorf("%s uses %s, which its worker has not started", test.ID, f.ID)
							}
						} else {
							if starts[test.Worker] == nil {
								starts[test.Worker] = map[timing.SetupID]timing.NodeID{}
							}
							starts[test.Worker][f.ID] = test.ID
							if f.Setup < start || test.Call > f.Setup+start {
								t.Errorf("%s took %v, and waited %v for %s, want at least %v", test.ID, test.Call, f.Setup, f.ID, start)
							}
						}
						users = append(users, string(test.ID))
					}
				}
				slices.Sort(users)
				users = slices.Compact(users)
				if beside > 6*workers {
					t.Errorf("%d tests seem to use a process that is always busy", beside)
				}
				if want := []string{"test_a.py::test_starts", "test_a.py::test_uses", "test_b.py::TestCase::test_uses"}; !reflect.DeepEqual(users, want) {
					t.Errorf("tests that use a pool: %q, want %q", users, want)
				}
			})
		}
	}
}
