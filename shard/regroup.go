package shard

import (
	"cmp"
	"slices"
)

// manyBlocks bounds the blocks of suites on which more than LPT is tried: with more of
// them no shard has few long ones, and trying would take seconds.
const manyBlocks = 100_000

// A division is the positions of each pool shard's tests, ascending, and the
// shards' numbers: nil where they follow from their wall times.
type division struct {
	pool    [][]int32
	numbers []int
}

// byLoad divides the pool tests over n shards by load alone; with follow, it
// begins where they were before. With several workers a shard that is balanced so
// can still be too long, where it has more long tests than workers.
func (it *items) byLoad(n int, follow bool) division {
	b := newBalance(it, n, effort, follow)
	pool := b.pool()
	return division{pool, it.numbers(pool, b.steady && (b.follows || it.bins() == 0))}
}

// pool returns the tests of each bin.
func (b *balance) pool() [][]int32 {
	pool := make([][]int32, len(b.bins))
	for k := range b.bins {
		pool[k] = b.testsOf(b.bins[k : k+1])
	}
	return pool
}

// byImports returns the sequence with imports that cost as much as all workers of
// a job take for them: each pays for all that the job's files import, while its
// tests are shared among them. It is nil where that is the same.
func (q *sequence) byImports(fleet Fleet) *sequence {
	if fleet.Workers == 1 || fleet.Shards == 1 {
		return nil
	}
	var weighed *sequence
	for s, setup := range q.suite.Setups {
		if !setup.Import || q.setup[s] == 0 {
			continue
		}
		if weighed == nil {
			other := *q
			other.setup = slices.Clone(q.setup)
			weighed = &other
		}
		weighed.setup[s] *= int64(min(fleet.Workers, 256)) // keeps all sums in range
	}
	return weighed
}

// byWorker divides the pool tests over the workers of n shards, each a bin of
// its own, and then the bins over the shards, parts of one item together.
// It answers for each worker, but cuts more files than byLoad.
func (it *items) byWorker(n, workers int) division {
	b := newBalance(it, n*workers, effort, false)
	n = min(n, len(b.bins))
	order := make([]int, len(b.bins))
	for k := range order {
		order[k] = k
	}
	slices.SortStableFunc(order, func(x, y int) int { return cmp.Compare(b.bins[y].load, b.bins[x].load) })
	groups := make([][]bin, n)
	load := make([]int64, n)
	var dear []int32 // set-ups that several items share and that matter
	for s, cost := range b.setup {
		if b.owner[s] == several && cost > b.goal/100 {
			dear = append(dear, int32(s))
		}
	}
	for i, k := range order {
		empty := 0
		for _, g := range groups {
			if len(g) == 0 {
				empty++
			}
		}
		best, shared := -1, int64(0)
		for g := range groups {
			if len(groups[g]) == workers || len(order)-i == empty && len(groups[g]) > 0 {
				continue
			}
			s := b.inCommon(groups[g], &b.bins[k], dear)
			if best < 0 || cmp.Or(cmp.Compare(s, shared), cmp.Compare(load[best], load[g])) > 0 {
				best, shared = g, s
			}
		}
		groups[best] = append(groups[best], b.bins[k])
		load[best] += b.bins[k].load
	}
	pool := make([][]int32, n)
	for g := range groups {
		pool[g] = it.testsOf(groups[g])
	}
	return division{pool, it.numbers(pool, false)}
}

// inCommon returns the cut items that a group of bins and one more have in
// common, and what they both pay for dear set-ups that fewer jobs would, then.
func (b *balance) inCommon(group []bin, x *bin, dear []int32) int64 {
	n := int64(0)
	for i := range x.parts {
		if x.parts[i].blocks == nil {
			continue
		}
		for k := range group {
			if group[k].find(x.parts[i].item) >= 0 {
				n++
			}
		}
	}
	for _, s := range dear {
		if x.needing(b.items, s) > 0 && slices.ContainsFunc(group, func(y bin) bool { return y.needing(b.items, s) > 0 }) {
			n += b.setup[s]
		}
	}
	return n
}

// testsOf returns the positions of some bins' tests, ascending.
func (it *items) testsOf(bins []bin) []int32 {
	var tests []int32
	for b := range bins {
		for k := range bins[b].parts {
			for _, x := range it.blocksOf(&bins[b].parts[k]) {
				tests = append(tests, it.tests[it.start[x]:it.start[x+1]]...)
			}
		}
	}
	slices.Sort(tests)
	return tests
}
