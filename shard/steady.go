package shard

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/wcshard/wcshard/timing"
)

// allowance is how much more all bins of a steady division may come to than those of
// another one, in thousandths.
const allowance = 50

// steadyItems is how many items a bin must have on average for a division that
// begins with an order of them: with fewer, that begins too far from the best.
const steadyItems = 8

// Follow notes where an earlier plan had the tests, so that a plan for the suite
// moves few of them to other pool shards, and keeps the shards' names. It says
// for how many tests that is known.
func (s *Suite) Follow(last *Plan) int {
	in := map[timing.NodeID]int{}
	for i := range last.Shards {
		x := &last.Shards[i]
		number, err := strconv.Atoi(strings.TrimPrefix(x.Name, "pool-"))
		if x.Kind != Pool || err != nil || number < 1 || number > MaxRows {
			continue
		}
		for _, id := range x.IDs() {
			in[id] = number
		}
	}
	known := 0
	for i := range s.Tests {
		s.Tests[i].Before = in[s.Tests[i].ID]
		if s.Tests[i].Before > 0 {
			known++
		}
	}
	return known
}

// steady divides the items in a way that a small change of the tests or their
// times changes little: it begins where the tests were before, or, where that is
// not known, with consecutive files for each bin, and mends only what is more
// than coarse above the goal. LPT, whose every step depends on all those before
// it, moves most tests from one week to the next, for the noise in their times.
//
// It returns nil where there are too few items. Where bins come to much more in sum than
// the least that they have to, so that set-ups may repeat that other companies of items
// would share, it is dear. Only jobs have what they had before, not the workers of one.
func steady(it *items, n int, goal, least int64, work int, jobs bool) *balance {
	b := &balance{items: it, bins: make([]bin, n), goal: goal, room: goal, in: make([]int, len(it.list)), work: work, enough: coarse, steady: true}
	switch before := it.bins(); {
	case jobs && 0 < before && before <= n:
		b.follows = true
		b.asBefore()
	case len(it.list) < steadyItems*n:
		return nil
	default:
		b.inOrder()
	}
	for _, n := range b.in {
		if n > 1 {
			b.cuts++
		}
	}
	spare := 0
	if b.dear = b.sum()-least > least/1000*allowance; b.dear {
		spare = b.work / 2 // for another division
		b.work -= spare
	}
	b.fillEmpty()
	b.refine()
	b.work += spare
	return b
}

// numbers returns the number that each pool shard is to have, from 1: that of
// its bin where that means something, else that of the shard of the plan before
// which has most of its tests, those with most in common first. It is nil where
// neither is known.
func (q *sequence) numbers(pool [][]int32, byBin bool) []int {
	numbers := make([]int, len(pool))
	if byBin {
		for k := range numbers {
			numbers[k] = k + 1
		}
		return numbers
	}
	type pair struct{ shard, before, tests int }
	var pairs []pair
	for k, tests := range pool {
		from := map[int]int{}
		for _, p := range tests {
			from[q.test(p).Before]++
		}
		for before, n := range from {
			if 0 < before && before <= len(pool) {
				pairs = append(pairs, pair{k, before, n})
			}
		}
	}
	if len(pairs) == 0 {
		return nil
	}
	slices.SortFunc(pairs, func(x, y pair) int {
		return cmp.Or(cmp.Compare(y.tests, x.tests), cmp.Compare(x.before, y.before), cmp.Compare(pool[x.shard][0], pool[y.shard][0]))
	})
	taken := make([]bool, len(pool)+1)
	for _, p := range pairs {
		if numbers[p.shard] == 0 && !taken[p.before] {
			numbers[p.shard], taken[p.before] = p.before, true
		}
	}
	next := 1
	for k := range numbers {
		for numbers[k] == 0 {
			if !taken[next] {
				numbers[k] = next
			}
			next++
		}
	}
	return numbers
}

// bins returns the highest bin that the tests were in before, from 1; 0 where
// that is not known.
func (it *items) bins() int {
	most := 0
	for _, p := range it.tests {
		most = max(most, it.test(p).Before)
	}
	return most
}

// asBefore puts each item where it was, in parts where it was cut. What is new
// of an item goes to where most of that is, and new items to where there is
// room.
func (b *balance) asBefore() {
	var fresh []part
	for i := range b.list {
		x := &b.list[i]
		in := map[int][]int32{} // bin → blocks
		for k := x.lo; k < x.hi; k++ {
			at := b.test(b.tests[b.start[k]]).Before - 1
			in[at] = append(in[at], k)
		}
		most, parts := -1, 0
		for k := range b.bins {
			if len(in[k]) > 0 {
				parts++
			}
			if len(in[k]) > 0 && (most < 0 || len(in[k]) > len(in[most])) {
				most = k
			}
		}
		if most < 0 {
			fresh = append(fresh, b.whole(int32(i)))
			continue
		}
		for at, blocks := range in {
			if at < 0 || at >= len(b.bins) {
				in[most] = append(in[most], blocks...)
			}
		}
		// More than two parts of what fits one bin are of a file that was new, and dealt.
		if p := b.whole(int32(i)); b.alone(&p) <= b.goal/2 || parts > 2 && b.alone(&p) <= b.goal {
			b.put(most, p)
			continue
		}
		for k := range b.bins {
			if blocks := in[k]; len(blocks) > 0 {
				slices.Sort(blocks)
				b.put(k, b.some(int32(i), blocks))
			}
		}
	}
	slices.SortStableFunc(fresh, func(p, q part) int { return cmp.Compare(b.alone(&q), b.alone(&p)) })
	b.place(fresh)
}

// inOrder gives consecutive items to each bin, as much as the goal. Each item counts with
// all that it shares, which comes to more than an int64 holds where many share much.
func (b *balance) inOrder() {
	total := float64(0)
	for i := range b.list {
		p := b.whole(int32(i))
		total += float64(b.alone(&p))
	}
	sum, n := float64(0), float64(len(b.bins))
	for i := range b.list {
		p := b.whole(int32(i))
		w := float64(b.alone(&p))
		k := min(n-1, (2*sum+w)*n/(2*total))
		sum += w
		b.put(int(k), p)
	}
}
