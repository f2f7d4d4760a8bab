package pytest

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/wcshard/wcshard/timing"
)

const wrongDocs = `
def value():
    """
    >>> 1 + 1
    2
    >>> [1,
    ...  2]
    [1, 3]
    """

def exception():
    """
    >>> 1 / 0
    0
    """

def nothing():
    """
    >>> x = 1
    >>> x
    >>> "Expected:"
    """
`

const wrongFixtures = `
import pytest

@pytest.fixture
def needs(missing):
    pass

def test_itself(
    missing,
):
    pass

def test_through(needs):
    pass
`

// What is said of a doctest that failed is what was expected and what came, and
// where, not the first line of its source; of a fixture that is missing, that.
func TestExplained(t *testing.T) {
	want := map[timing.NodeID]struct {
		outcome timing.Outcome
		message string
		line    int
	}{
		"docs.py::docs.value":            {timing.Failed, "Expected: [1, 3] Got: [1, 2]", 6},
		"docs.py::docs.exception":        {timing.Failed, "UNEXPECTED EXCEPTION: ZeroDivisionError('division by zero')", 13},
		"docs.py::docs.nothing":          {timing.Failed, "Expected nothing Got: 1", 20},
		"test_fixtures.py::test_itself":  {timing.Error, "fixture 'missing' not found", 8},
		"test_fixtures.py::test_through": {timing.Error, "fixture 'missing' not found", 4},
	}
	for _, env := range []string{"old", "new"} {
		for _, workers := range []int{1, 2} {
			t.Run(fmt.Sprint(env, workers), func(t *testing.T) {
				oneOfFew(t)
				p := proof{command: pytestIn(t, env), dir: t.TempDir(), args: []string{"--doctest-modules", "docs.py", "test_fixtures.py"}}
				write(t, filepath.Join(p.dir, "docs.py"), wrongDocs)
				write(t, filepath.Join(p.dir, "test_fixtures.py"), wrongFixtures)
				c := p.collect(t)
				plan, _ := one(c, workers, false)
				o := p.shard(t, c, plan, plan.Shards[0])
				if len(o.results.Tests) != len(want) {
					t.Fatalf("%d tests, want %d\n%s", len(o.results.Tests), len(want), o.output)
				}
				for _, test := range o.results.Tests {
					expect := want[test.ID]
					if test.Outcome != expect.outcome || test.Message != expect.message || test.Line != expect.line || filepath.Base(test.Path) != test.ID.File() {
						t.Errorf("%s %s: %q at %s:%d, want %s: %q at line %d", test.ID, test.Outcome, test.Message, test.Path, test.Line, expect.outcome, expect.message, expect.line)
					}
				}
			})
		}
	}
}
