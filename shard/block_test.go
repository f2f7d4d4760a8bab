package shard

import (
	"slices"
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
	shard, block, paid := suite.Heaviest(all, &all.Shards[0])
	if shard != &all.Shards[0] || len(block.Tests) != 1 || block.Tests[0] != "test_004.py::test" || block.Whole != 40*time.Second || paid != 6*time.Second {
		t.Errorf("of all the heaviest is %+v of %s, paid %v, want the last test and 6s", block, shard.Name, paid)
	}
	if n := suite.Blocks(); n != 3 {
		t.Errorf("there are %d blocks, want 3", n)
	}
	suite.Tests[4].Estimate.Wall = 20 * time.Second
	if _, b, _ := suite.Heaviest(all, &all.Shards[0]); len(b.Tests) != 3 || b.Took != 30*time.Second || b.Whole != 35*time.Second || len(b.Setups) != 2 {
		t.Errorf("the heaviest is %+v, want the group with its set-ups", b)
	}
	// No shard can tell tests with one node ID apart, whatever group they are of.
	suite.Tests[3].ID, suite.Tests[3].Group = suite.Tests[0].ID, "x"
	all = mustPack(t, suite, Fleet{Shards: 1, Workers: 1})
	if _, b, _ := suite.Heaviest(all, &all.Shards[0]); len(b.Tests) != 4 || suite.Blocks() != 2 {
		t.Errorf("the heaviest of %d blocks is %+v, want the two groups that share a node ID, of 2 blocks", suite.Blocks(), b)
	}
	// One of two jobs that are as long has the test that cannot be parted.
	suite = timed(10, 10, 20)
	plan := mustPack(t, suite, Fleet{Shards: 2, Workers: 1})
	if shard, b, _ := suite.Heaviest(plan, &plan.Shards[0]); b.Whole != 20*time.Second || shard.Len() != 1 {
		t.Errorf("the heaviest is %+v of a job of %d tests", b, shard.Len())
	}
	if _, b, paid := (&Suite{}).Heaviest(plan, &plan.Shards[0]); b.Whole != 0 || paid != 0 {
		t.Errorf("of no test: %+v, %v", b, paid)
	}
}

// Each worker of a job pays for all of its imports and its share of the fixtures, and no
// job of the other kind is looked at.
func TestHeaviestOfSeveralWorkers(t *testing.T) {
	s := timed(10, 20, 90)
	s.Setups = []Setup{{ID: "session ::db", Cost: 4 * time.Second}, {ID: "import lib", Cost: time.Second, Import: true}}
	s.Tests[0].Setups, s.Tests[2].Memory = []int{0, 1}, true
	plan := mustPack(t, s, Fleet{Shards: 1, Workers: 2})
	pool := &plan.Shards[slices.IndexFunc(plan.Shards, func(x Shard) bool { return x.Kind == Pool })]
	if shard, block, paid := s.Heaviest(plan, pool); shard != pool || block.Whole != 20*time.Second || paid != 4*time.Second { // 1 s + 1 s + 4 s / 2
		t.Errorf("the heaviest is %+v of %s, and each worker pays %v, want 20s of the pool, and 4s", block, shard.Name, paid)
	}
}

// Of jobs that are as long but for a hundredth, the one with the longest test tells why.
func TestHeaviestOfNear(t *testing.T) {
	s := timed(20, 10, 9, 1)
	s.Tests[0].Estimate.Wall = 19900 * time.Millisecond
	plan := mustPack(t, s, Fleet{Shards: 2, Workers: 1})
	if _, block, _ := s.Heaviest(plan, &plan.Shards[0]); block.Whole != 19900*time.Millisecond {
		t.Errorf("the heaviest is %+v, want the test of 19.9s\n%s", block, show(plan))
	}
}
