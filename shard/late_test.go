package shard

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/wcshard/wcshard/timing"
)

// What is late costs each job as much as it is likely to need it with a worker's mean
// number of tests, and the tests that are known to need it the rest.
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
		tests           float64       // of a worker
		base            time.Duration // without anything late
	}{{8, 1, 50, 10 * ms}, {4, 1, 100, 10 * ms}, {1, 1, 400, 10 * ms}, {8, 50, 1, 20 * ms}, {1, 4, 100, 20 * ms}} {
		likely := func(cost time.Duration, every float64) time.Duration {
			return time.Duration((1 - math.Exp(-c.tests/every)) * float64(cost))
		}
		late := likely(100*ms, 80) + likely(300*ms, 290)
		base, own := c.base+late, 400*ms-late
		plan, err := Pack(suite, Fleet{Shards: c.shards, Workers: c.workers, CPUs: c.workers, Runner: "local"})
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range plan.Shards {
			want := base + time.Duration((s.Len()+s.Workers-1)/s.Workers)*ms
			if slices.Contains(s.IDs(), suite.Tests[7].ID) {
				want = max(want, base+own+ms)
				if s.Workers == 1 {
					want = base + own + time.Duration(s.Len())*ms
				}
			}
			if s.Workers == 1 && c.workers > 1 {
				want -= suite.Bases - suite.Base
			}
			if s.Wall < want-ms/100 || s.Wall > want+2*ms {
				t.Errorf("%d jobs of %d workers: %s of %d takes %v with %d tests, want %v", c.shards, c.workers, s.Name, s.Workers, s.Wall, s.Len(), want)
			}
		}
		if plan.Bound > plan.Shards[0].Wall {
			t.Errorf("%d jobs of %d workers: the longest takes %v, below the bound of %v", c.shards, c.workers, plan.Shards[0].Wall, plan.Bound)
		}
	}
	if suite.Setups[0].Cost != 100*ms {
		t.Errorf("Pack has changed the suite: %v", suite.Setups)
	}
}
