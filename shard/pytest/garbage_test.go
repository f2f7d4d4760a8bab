package pytest

import (
	"path/filepath"
	"testing"
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
