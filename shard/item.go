package shard

import (
	"cmp"
	"slices"
)

// A block is what can never be divided: one test, or tests bound together. An
// item is what preferably shares a shard: the blocks of one file in running
// order, or one block over several files.
type item struct {
	lo, hi int32   // blocks
	cost   int64   // of its tests
	own    int64   // set-ups that no other item needs
	shared []int32 // set-ups that other items need too, ascending
}

// items are some of a sequence's tests, divided: those of the pool, the memory
// tests, or those of one job.
type items struct {
	*sequence
	list    []item
	blocks  int32
	tests   []int32 // positions by block: block b has tests[start[b]:start[b+1]]
	start   []int32
	cost    []int64 // of a block's tests
	owner   []int32 // set-up → the only item that needs it; nobody or several
	shares  []int32 // set-up → index among the shared ones
	several int     // shared ones

	owning  []owners // by block; nil until somebody asks
	workers bool     // they are divided over the workers of one job

	seen  []uint32 // set-up → the last count that saw it
	epoch uint32
}

const (
	nobody  = -1
	several = -2
)

// newItems divides the tests for which take is true. take is the same for
// all tests of a block.
func newItems(q *sequence, take func(p int32) bool) *items {
	return newItemsBy(q, take, nil)
}

// newItemsBy is newItems with an item for each of several keys of a file's
// blocks: keys has them by root; nil is one key.
func newItemsBy(q *sequence, take func(p int32) bool, keys []int32) *items {
	it := &items{sequence: q, seen: make([]uint32, len(q.setup)), owner: make([]int32, len(q.setup))}
	block := make([]int32, len(q.root)) // by root
	spans := q.spanning()
	var across []int32
	for f := range q.files {
		var roots []int32
		for p := q.from[f]; p < q.from[f+1]; p++ {
			switch {
			case q.root[p] != p || !take(p):
			case spans[p]:
				across = append(across, p)
			default:
				roots = append(roots, p)
			}
		}
		if keys != nil {
			slices.SortStableFunc(roots, func(p, r int32) int { return cmp.Compare(keys[p], keys[r]) })
		}
		for i, p := range roots {
			if i == 0 || keys != nil && keys[p] != keys[roots[i-1]] {
				it.list = append(it.list, item{lo: it.blocks, hi: it.blocks})
			}
			block[p] = it.blocks
			it.blocks++
			it.list[len(it.list)-1].hi = it.blocks
		}
	}
	for _, p := range across {
		block[p] = it.blocks
		it.list = append(it.list, item{lo: it.blocks, hi: it.blocks + 1})
		it.blocks++
	}
	it.fill(block, take)
	it.findSetups()
	return it
}

// has tells the tests that were divided from the others of the sequence.
func (it *items) has() func(p int32) bool {
	taken := make([]bool, len(it.root))
	for _, p := range it.tests {
		taken[p] = true
	}
	return func(p int32) bool { return taken[p] }
}

// carve divides the items further, for n bins: in each file, tests that need a
// costly set-up which others of the file don't need are an item of their own,
// so that they can be where others are that need it. It returns nil where
// there are none, and for more tests than can be divided twice in a few seconds.
func (it *items) carve(n int) *items {
	if it.blocks > manyBlocks {
		return nil
	}
	keys := make([]int32, len(it.root))
	some := false
	t, _ := it.evenly(int64(n))
	least := t / 100
	for i := range it.list {
		x := &it.list[i]
		for s, n := range it.blocksNeeding(x.lo, x.hi, least) {
			if n == x.hi-x.lo {
				continue
			}
			some = true
			for b := x.lo; b < x.hi; b++ {
				root := it.root[it.tests[it.start[b]]]
				if k := keys[root] - 1; (k < 0 || it.dearer(s, k)) && it.needs(b, s) {
					keys[root] = s + 1
				}
			}
		}
	}
	if !some {
		return nil
	}
	return newItemsBy(it.sequence, it.has(), it.ranks(keys))
}

// ranks replaces the set-ups in keys, from 1, by numbers that follow from what
// a plan may depend on: where the set-up is needed first.
func (it *items) ranks(keys []int32) []int32 {
	rank, next := map[int32]int32{0: 0}, int32(1)
	out := make([]int32, len(keys))
	for p, k := range keys {
		if _, ok := rank[k]; !ok {
			rank[k] = next
			next++
		}
		out[p] = rank[k]
	}
	return out
}

// dearer orders set-ups by their cost, and those that cost the same.
func (q *sequence) dearer(s, t int32) bool {
	return cmp.Or(cmp.Compare(q.setup[s], q.setup[t]), q.compareSetups(t, s)) > 0
}

// blocksNeeding counts the blocks from lo to hi that need each set-up dearer
// than so much.
func (it *items) blocksNeeding(lo, hi int32, least int64) map[int32]int32 {
	count := map[int32]int32{}
	for b := lo; b < hi; b++ {
		it.eachSetup(b, b+1, func(s int32) {
			if it.setup[s] > least {
				count[s]++
			}
		})
	}
	return count
}

// needs reports whether a block needs a set-up.
func (it *items) needs(b, s int32) bool {
	for _, p := range it.tests[it.start[b]:it.start[b+1]] {
		if _, found := slices.BinarySearch(it.test(p).Setups, int(s)); found {
			return true
		}
	}
	return false
}

// spanning marks the roots whose tests are of several files.
func (q *sequence) spanning() []bool {
	spans := make([]bool, len(q.root))
	for p, r := range q.root {
		if q.file[p] != q.file[r] {
			spans[r] = true
		}
	}
	return spans
}

// fill sets tests, start and cost.
func (it *items) fill(block []int32, take func(p int32) bool) {
	it.start = make([]int32, it.blocks+1)
	it.cost = make([]int64, it.blocks)
	for p, r := range it.root {
		if take(int32(p)) {
			it.start[block[r]+1]++
			it.cost[block[r]] += it.sequence.cost[p]
		}
	}
	for b := range it.blocks {
		it.start[b+1] += it.start[b]
	}
	it.tests = make([]int32, it.start[it.blocks])
	next := slices.Clone(it.start)
	for p, r := range it.root {
		if take(int32(p)) {
			b := block[r]
			it.tests[next[b]] = int32(p)
			next[b]++
		}
	}
	for i := range it.list {
		for b := it.list[i].lo; b < it.list[i].hi; b++ {
			it.list[i].cost += it.cost[b]
		}
	}
}

// findSetups tells the set-ups of one item from those that items share.
func (it *items) findSetups() {
	for s := range it.owner {
		it.owner[s] = nobody
	}
	for i := range it.list {
		it.eachSetup(it.list[i].lo, it.list[i].hi, func(s int32) {
			if it.owner[s] == nobody {
				it.owner[s] = int32(i)
			} else {
				it.owner[s] = several
			}
		})
	}
	it.shares = make([]int32, len(it.owner))
	it.several = 0
	for s, o := range it.owner {
		if o == several {
			it.shares[s] = int32(it.several)
			it.several++
		}
	}
	for i := range it.list {
		x := &it.list[i]
		x.own, x.shared = it.setups(x.lo, x.hi)
	}
}

// eachSetup calls f once for each set-up that blocks lo to hi need.
func (it *items) eachSetup(lo, hi int32, f func(s int32)) {
	it.epoch++
	it.addSetups(lo, hi, f)
}

// addSetups is eachSetup for set-ups not seen since the last one.
func (it *items) addSetups(lo, hi int32, f func(s int32)) {
	if len(it.seen) == 0 {
		return
	}
	for needs := range it.setupLists(it.tests[it.start[lo]:it.start[hi]]) {
		for _, s := range needs {
			if it.seen[s] != it.epoch {
				it.seen[s] = it.epoch
				f(int32(s))
			}
		}
	}
}

// setups returns what blocks lo to hi pay for set-ups that are their item's
// alone, and the set-ups that they share with other items.
func (it *items) setups(lo, hi int32) (own int64, shared []int32) {
	it.eachSetup(lo, hi, func(s int32) {
		if it.owner[s] == several {
			shared = append(shared, s)
		} else {
			own += it.setup[s]
		}
	})
	slices.Sort(shared)
	return own, shared
}

// total returns the time that one worker takes for blocks lo to hi.
func (it *items) total(lo, hi int32) int64 {
	sum := int64(0)
	for b := lo; b < hi; b++ {
		sum += it.cost[b]
	}
	it.eachSetup(lo, hi, func(s int32) { sum += it.setup[s] })
	return sum
}

// whole returns the whole item as a part.
func (it *items) whole(i int32) part {
	x := &it.list[i]
	return part{item: i, weight: x.cost + x.own, shared: x.shared}
}

// some returns the given blocks of item i, ascending, as a part.
func (it *items) some(i int32, blocks []int32) part {
	x := &it.list[i]
	if len(blocks) == int(x.hi-x.lo) {
		return it.whole(i)
	}
	p := part{item: i, blocks: blocks}
	it.epoch++
	for _, b := range blocks {
		p.weight += it.cost[b]
		it.addSetups(b, b+1, func(s int32) {
			if it.owner[s] == several {
				p.shared = append(p.shared, s)
			} else {
				p.weight += it.setup[s]
			}
		})
	}
	slices.Sort(p.shared)
	return p
}

// owners number the class of a block's first test, or its file, and its function:
// neighbours of the same one have the same number.
type owners struct{ class, function int32 }

func (it *items) owners(b int32) owners {
	if it.owning == nil {
		it.owning = make([]owners, it.blocks)
		class, function := "", ""
		var o owners
		for k := range it.blocks {
			id := it.test(it.tests[it.start[k]]).ID
			if f := id.Function(); f != function {
				function = f
				o.function++
			}
			if c := id.Class(); c != class {
				class = c
				o.class++
			}
			it.owning[k] = o
		}
	}
	return it.owning[b]
}

// heaviest returns all items, heaviest first.
func (it *items) heaviest() []int32 {
	weight := make([]int64, len(it.list))
	order := make([]int32, len(it.list))
	for i := range it.list {
		x := &it.list[i]
		weight[i] = x.cost + x.own
		for _, s := range x.shared {
			weight[i] += it.setup[s]
		}
		order[i] = int32(i)
	}
	slices.SortFunc(order, func(a, b int32) int {
		return cmp.Or(cmp.Compare(weight[b], weight[a]), cmp.Compare(a, b))
	})
	return order
}
