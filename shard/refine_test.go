package shard

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// An exchange of two parts comes to what it was reckoned to come to.
func TestExchanged(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawSuite(t)
		it := newItems(newSequence(&s), func(int32) bool { return true })
		b := newBalance(it, 4, effort, false)
		for from := range b.bins {
			for to := range b.bins {
				x, y := &b.bins[from], &b.bins[to]
				for i := range x.parts {
					for k := range y.parts {
						p, q := &x.parts[i], &y.parts[k]
						if from == to || x.find(q.item) >= 0 || y.find(p.item) >= 0 {
							continue
						}
						rest := bin{parts: append(slices.Delete(slices.Clone(x.parts), i, i+1), *q)}
						if got, want := x.exchanged(it, p, q), it.load(it.testsOf([]bin{rest})); got != want {
							t.Fatalf("an exchange comes to %d, want %d", got, want)
						}
					}
				}
			}
		}
	})
}

// Parts of an item that meet are one, in order, and the item is no longer cut; an
// exchange of whole parts does not make them meet.
func TestPartsMeet(t *testing.T) {
	s := Suite{Tests: append(tests("a.py", 3, 10), tests("b.py", 1, 10)...)}
	it := newItems(newSequence(&s), func(int32) bool { return true })
	b := it.balanceOf([][]int32{{1, 3}, {0, 2}})
	c := change{from: 0, to: 1, give: b.bins[0].find(1), take: 0}
	if b.after(&c); c.longest != math.MaxInt64 {
		t.Errorf("b.py for a part of a.py, whose other part is there, comes to %d, want too much", c.longest)
	}
	b.apply(change{from: 0, to: 1, item: 0, blocks: []int32{1}})
	if got := b.bins[1].parts[0].blocks; b.cuts != 0 || got != nil {
		t.Errorf("%d items are cut, and a.py has blocks %v, want none, and all", b.cuts, got)
	}
	var x bin
	x.put(it, 0, []int32{2})
	x.put(it, 0, []int32{0})
	if got := x.parts[0].blocks; len(x.parts) != 1 || !slices.Equal(got, []int32{0, 2}) {
		t.Errorf("a bin has %d parts, the first of blocks %v, want one of 0 and 2", len(x.parts), got)
	}
}
