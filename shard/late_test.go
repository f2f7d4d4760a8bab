package shard

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/wcshard/wcshard/timing"
)

// What a worker is more likely than not to need for one of its tests, each job pays
// for; else those alone that are known to need it.
func TestForesee(t *testing.T) {
	const ms = time.Millisecond
	suite := Suite{Base: 10 * ms, Bases: 20 * ms, Setups: []Setup{{ID: "import a", Cost: 100 * ms}, {ID: "import b", Cost: 300 * ms}}}
	for n := range 400 {
		test := Test{ID: timing.NodeID(fmt.Sprintf("test_%d.py::x", n)), Order: n, Estimate: timing.Estimate{Wall: ms, Rung: timing.Measured}}
		if n == 7 {
			test.Setups = []int{0, 1}
		}
		suite.Tests = append(suite.Tests, test)
	}
	suite.Late = []Late{{Setup: 0, Every: 80}, {Setup: 1, Every: 290}}
	for _, c := range []struct {
		shards, workers int
		base, own       time.Duration // of each job; of the job with the test that is known to need them
	}{
		{8, 1, 10 * ms, 400 * ms}, // 50 tests a worker: neither is likely
		{4, 1, 110 * ms, 300 * ms},
		{1, 1, 410 * ms, 0},
		{8, 50, 20 * ms, 400 * ms},
		{1, 4, 120 * ms, 300 * ms},
	} {
		plan, err := Pack(suite, Fleet{Shards: c.shards, Workers: c.workers, CPUs: c.workers, Runner: "local"})
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range plan.Shards {
			want := c.base + time.Duration((s.Len()+s.Workers-1)/s.Workers)*ms
			if slices.Contains(s.IDs(), suite.Tests[7].ID) {
				want = max(want, c.base+c.own+ms)
				if s.Workers == 1 {
					want = c.base + c.own + time.Duration(s.Len())*ms
				}
			}
			if s.Workers == 1 && c.workers > 1 {
				want -= suite.Bases - suite.Base
			}
			if s.Wall < want || s.Wall > want+2*ms {
				t.Errorf("%d jobs of %d workers: %s of %d takes %v with %d tests, want %v", c.shards, c.workers, s.Name, s.Workers, s.Wall, s.Len(), want)
			}
		}
		if plan.Bound > plan.Shards[0].Wall {
			t.Errorf("%d jobs of %d workers: the longest takes %v, below the bound of %v", c.shards, c.workers, plan.Shards[0].Wall, plan.Bound)
		}
	}
	if suite.Base != 10*ms || suite.Setups[0].Cost != 100*ms {
		t.Errorf("Pack has changed the suite: %v, %v", suite.Base, suite.Setups)
	}
}
