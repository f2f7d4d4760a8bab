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

// What is said of a doctest that failed is what was expected and what came, and
// where, not the first line of its source.
func TestDoctestFailures(t *testing.T) {
	want := map[timing.NodeID]struct {
		message string
		line    int
	}{
		"docs.py::docs.value":     {"Expected: [1, 3] Got: [1, 2]", 6},
		"docs.py::docs.exception": {"UNEXPECTED EXCEPTION: ZeroDivisionError('division by zero')", 13},
		"docs.py::docs.nothing":   {"Expected nothing Got: 1", 20},
	}
	for _, env := range []string{"old", "new"} {
		for _, workers := range []int{1, 2} {
			t.Run(fmt.Sprint(env, workers), func(t *testing.T) {
				oneOfFew(t)
				p := proof{command: pytestIn(t, env), dir: t.TempDir(), args: []string{"--doctest-modules", "docs.py"}}
				write(t, filepath.Join(p.dir, "docs.py"), wrongDocs)
				c := p.collect(t)
				plan, _ := one(c, workers, false)
				o := p.shard(t, c, plan, plan.Shards[0])
				if len(o.results.Tests) != len(want) {
					t.Fatalf("%d tests, want %d\n%s", len(o.results.Tests), len(want), o.output)
				}
				for _, test := range o.results.Tests {
					expect := want[test.ID]
					if test.Outcome != timing.Failed || test.Message != expect.message || test.Line != expect.line || filepath.Base(test.Path) != "docs.py" {
						t.Errorf("%s %s: %q at %s:%d, want %q at line %d", test.ID, test.Outcome, test.Message, test.Path, test.Line, expect.message, expect.line)
					}
				}
			})
		}
	}
}
