package pytest

import (
	"path/filepath"
	"testing"
	"time"
)

// A full collection of garbage that is due during a test is told apart from it, one
// that the test asks for is its own.
func TestGarbage(t *testing.T) {
	for _, env := range []string{"old", "new"} {
		for _, workers := range []int{1, 2} {
			t.Run(env, func(t *testing.T) {
				oneOfFew(t)
				p := proof{command: pytestIn(t, env), dir: t.TempDir()}
				write(t, filepath.Join(p.dir, "test_garbage.py"), `
import gc
import pytest

full = []

@pytest.fixture(autouse=True)
def no_callbacks_of_ours():
    full.clear()
    watch = lambda phase, info: full.append(info) if phase == "stop" and info["generation"] == 2 else None
    gc.callbacks.append(watch)
    yield
    gc.callbacks.remove(watch)

def test_makes():
    kept = []
    while not full:
        kept.append([kept])

def test_asks():
    kept = [[] for _ in range(500_000)]
    full.clear()
    gc.collect()
    assert full

def test_quiet():
    pass
`)
				c := p.collect(t)
				plan, s := one(c, workers, true)
				o := p.shard(t, c, plan, s)
				took := map[string]time.Duration{}
				for _, test := range o.results.Tests {
					for _, f := range test.Fixtures {
						if f.ID == "garbage" {
							took[test.ID.Rest()] += f.Setup
						}
					}
					if test.Setup+test.Call+test.Teardown+took[test.ID.Rest()] > test.Wall+time.Millisecond {
						t.Errorf("%s: %v, %v, %v and garbage for %v, %v in all", test.ID, test.Setup, test.Call, test.Teardown, took[test.ID.Rest()], test.Wall)
					}
				}
				if o.status != ExitOK || took["::test_makes"] == 0 || took["::test_quiet"] > 0 {
					t.Errorf("status %d, garbage %v\n%s", o.status, took, o.output)
				}
				asked := o.results.Tests[1]
				for _, test := range o.results.Tests {
					if test.ID.Rest() == "::test_asks" {
						asked = test
					}
				}
				if g := took["::test_asks"]; asked.Call <= g/10 {
					t.Errorf("what the test asked for is not its own: call %v, garbage %v", asked.Call, g)
				}
			})
		}
	}
}
