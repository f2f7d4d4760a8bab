package shard

import (
	"testing"
	"time"
)

func TestHeaviest(t *testing.T) {
	suite := timed(10, 10, 10, 25, 40)
	for i := range 3 {
		suite.Tests[i].Group = "db"
	}
	suite.Setups = []Setup{{ID: "session ::db", Cost: 4 * time.Second}, {ID: "test_000.py", Cost: time.Second, Import: true}}
	suite.Tests[0].Setups = []int{0, 1}
	suite.Tests[1].Setups = []int{0}
	all := mustPack(t, suite, Fleet{Shards: 1, Workers: 1})
	if u := suite.Heaviest(&all.Shards[0]); u.Group != "" || len(u.Tests) != 1 || u.Tests[0] != "test_004.py::test" || u.Whole != 40*time.Second {
		t.Errorf("of all the heaviest is %+v, want the last test", u)
	}
	if got := suite.SetUpOnce(&all.Shards[0]); got != 5*time.Second {
		t.Errorf("all set-ups take %v, want 5s", got)
	}
	suite.Tests[4].Estimate.Wall = 20 * time.Second
	if u := suite.Heaviest(&all.Shards[0]); u.Group != "db" || len(u.Tests) != 3 || u.Took != 30*time.Second || u.Whole != 35*time.Second || len(u.Setups) != 2 {
		t.Errorf("the heaviest is %+v, want the group with its set-ups", u)
	}
	// Tests of other shards do not count.
	plan := mustPack(t, suite, Fleet{Shards: 3, Workers: 1})
	for i := range plan.Shards {
		if s := &plan.Shards[i]; suite.Heaviest(s).Whole > s.Wall {
			t.Errorf("%s takes %v, and %+v", s.Name, s.Wall, suite.Heaviest(s))
		}
	}
	if u := (&Suite{}).Heaviest(&all.Shards[0]); u.Whole != 0 {
		t.Errorf("of no test: %+v", u)
	}
}
