package shard

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// Whatever balancing does, each test is in one bin and no bin is empty, and it knows the
// load of each and what is cut.
func TestBalance(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawSuite(t)
		it := newItems(newSequence(&s), func(int32) bool { return true })
		checkBalance(t, it, newBalance(it, rapid.IntRange(1, 8).Draw(t, "bins"), effort, rapid.Bool().Draw(t, "jobs")))
	})
}

func checkBalance(t *rapid.T, it *items, b *balance) {
	var all []int32
	in, cuts := make([]int, len(it.list)), 0
	for k := range b.bins {
		mine := it.testsOf(b.bins[k : k+1])
		if load := it.load(mine); load != b.bins[k].load || len(mine) == 0 {
			t.Errorf("bin %d of %d tests has a load of %d, want %d", k, len(mine), b.bins[k].load, load)
		}
		all = append(all, mine...)
		for _, p := range b.bins[k].parts {
			in[p.item]++
			if !slices.IsSorted(p.blocks) {
				t.Errorf("bin %d has blocks %v of an item, want them in order", k, p.blocks)
			}
		}
	}
	for _, n := range in {
		if n > 1 {
			cuts++
		}
	}
	slices.Sort(all)
	if !slices.Equal(all, slices.Sorted(slices.Values(it.tests))) {
		t.Errorf("the bins have tests %v, want each of %d once", all, len(it.tests))
	}
	if !slices.Equal(in, b.in) || cuts != b.cuts {
		t.Errorf("items are in %v bins and %d are cut, want %v and %d", b.in, b.cuts, in, cuts)
	}
}
