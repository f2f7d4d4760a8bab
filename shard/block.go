package shard

import (
	"slices"
	"time"

	"github.com/wcshard/wcshard/timing"
)

// A Block is tests that no plan parts: those of one group, those with one node ID, or
// one test.
type Block struct {
	Tests  []timing.NodeID // in running order
	Took   time.Duration   // by the tests themselves
	Setups []int           // what they need, by index into Suite.Setups, ascending
	Whole  time.Duration   // Took, and each of Setups once
}

// Heaviest finds, among the shards of a plan that are of like's kind, and as long but
// for a hundredth, the one with the block that takes longest with what it sets up. It
// returns that block, and what each worker of the shard pays beside its tests: the
// base, all imports, and its share of the other set-ups, each taken once.
func (s *Suite) Heaviest(plan *Plan, like *Shard) (shard *Shard, block Block, paid time.Duration) {
	shard = like
	in := map[timing.NodeID]int{} // test → its shard, of those that are as long
	for i := range plan.Shards {
		if x := &plan.Shards[i]; x.Wall >= shard.Wall-shard.Wall/100 && x.Kind == shard.Kind {
			for _, id := range x.IDs() {
				in[id] = i
			}
		}
	}
	q := newSequence(s)
	blocks := map[int32]*Block{} // by root
	var order []*Block
	for p, root := range q.root {
		t := q.test(int32(p))
		if _, ok := in[t.ID]; !ok {
			continue
		}
		b := blocks[root]
		if b == nil {
			b = &Block{}
			blocks[root] = b
			order = append(order, b)
		}
		b.Tests = append(b.Tests, t.ID)
		b.Took += t.Estimate.Wall
		b.Setups = append(b.Setups, t.Setups...)
	}
	for _, b := range order {
		b.Whole = b.Took + s.once(&b.Setups)
		if b.Whole > block.Whole {
			block = *b
		}
	}
	if len(block.Tests) > 0 {
		shard = &plan.Shards[in[block.Tests[0]]]
	}
	var all []int
	for _, b := range order {
		if &plan.Shards[in[b.Tests[0]]] == shard {
			all = append(all, b.Setups...)
		}
	}
	s.once(&all)
	imports, others := time.Duration(0), time.Duration(0)
	for _, k := range all {
		if s.Setups[k].Import {
			imports += s.Setups[k].Cost
		} else {
			others += s.Setups[k].Cost
		}
	}
	return shard, block, s.BaseOf(shard.Workers) + imports + others/time.Duration(max(1, shard.Workers))
}

// Blocks counts what the tests can be parted into.
func (s *Suite) Blocks() int {
	n := 0
	for p, root := range newSequence(s).root {
		if int32(p) == root {
			n++
		}
	}
	return n
}

// once sorts set-ups, and returns what each of them costs once.
func (s *Suite) once(setups *[]int) time.Duration {
	slices.Sort(*setups)
	*setups = slices.Compact(*setups)
	sum := time.Duration(0)
	for _, k := range *setups {
		sum += s.Setups[k].Cost
	}
	return sum
}
