package shard

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// The best division of a small suite is one as any other.
func TestExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s Suite
		for k := range rapid.IntRange(5, exactBlocks).Draw(t, "tests") {
			s.Tests = append(s.Tests, test(fmt.Sprintf("f%d.py::t%d", rapid.IntRange(0, 9).Draw(t, "file"), k), rapid.IntRange(10, 60).Draw(t, "ms")))
		}
		it := newItems(newSequence(&s), func(int32) bool { return true })
		checkBalance(t, it, newBalance(it, rapid.IntRange(2, 5).Draw(t, "bins"), effort, true))
	})
}

// No bin is empty in the best division either, though one could be, with no bin longer.
func TestSearchLeavesNoBinEmpty(t *testing.T) {
	s := Suite{Tests: slices.Concat(tests("a.py", 1, 60), tests("b.py", 1, 20), tests("c.py", 1, 20), tests("d.py", 1, 20))}
	it := newItems(newSequence(&s), func(int32) bool { return true })
	b := it.balanceOf([][]int32{{0, 1}, {2}, {3}})
	b.search()
	for k := range b.bins {
		if len(b.bins[k].parts) == 0 || b.longest() != 60_000 {
			t.Errorf("bin %d has %d parts, the longest takes %v, want some, and 60ms", k, len(b.bins[k].parts), duration(b.longest()))
		}
	}
}
