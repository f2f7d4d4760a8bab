package shard

import (
	"cmp"
	"math"
	"slices"
)

// Suites of so few blocks are small enough to try every division of them, but
// for a limit on the steps. So many steps are taken for one look at a block, in a
// balance's work: that is no measurement, only so little that a search leaves work
// for the divisions after it.
const (
	exactBlocks  = 12
	exactSteps   = 1_000_000
	stepsOfALook = 16
)

// An exact search divides blocks over bins in all ways that could be better
// than what is known.
type exact struct {
	*balance
	order []int32   // blocks, longest first
	needs [][]int32 // block → set-ups
	load  []int64
	count []map[int32]int // bin → set-up → blocks that need it
	items [][]int         // bin → item → blocks
	held  []int           // item → bins with some of it
	at    []int           // place in order → bin
	cuts  int
	most  int // fewer cuts than that
	steps int

	best     []int // as at; nil until something better is found
	longest  int64
	bestCuts int
}

// search replaces the division of a small suite by the best one there is, if
// that is better by more than coarse. Where set-ups are known, so that each cut
// has its price, or the bins are workers of one job, as many cuts as there are
// bins or more are made for more than pays.
func (b *balance) search() {
	if b.blocks > exactBlocks {
		return
	}
	b.searchWithin(len(b.bins), coarse)
	if len(b.setup) > 0 || b.workers {
		b.searchWithin(math.MaxInt, pays)
	}
}

// pays is what more cuts than bins must save, in thousandths.
const pays = 15

// searchWithin is search with fewer cuts than most, for more than so many
// thousandths.
func (b *balance) searchWithin(most int, thousandths int64) {
	top := b.longest()
	if b.within(top, thousandths) {
		return
	}
	x := &exact{
		balance: b, load: make([]int64, len(b.bins)), count: make([]map[int32]int, len(b.bins)),
		items: make([][]int, len(b.bins)), held: make([]int, len(b.list)), most: most,
		longest: top - top/1000*thousandths, bestCuts: most, at: make([]int, b.blocks),
	}
	for k := range b.bins {
		x.count[k], x.items[k] = map[int32]int{}, make([]int, len(b.list))
	}
	for k := range b.blocks {
		x.order = append(x.order, k)
		var needs []int32
		b.eachSetup(k, k+1, func(s int32) { needs = append(needs, s) })
		x.needs = append(x.needs, needs)
	}
	slices.SortFunc(x.order, func(p, q int32) int { return cmp.Or(cmp.Compare(b.cost[q], b.cost[p]), cmp.Compare(p, q)) })
	x.step(0)
	b.work -= x.steps / stepsOfALook
	if x.best != nil {
		x.adopt()
	}
}

// longest returns the longest load.
func (b *balance) longest() int64 {
	top := int64(0)
	for k := range b.bins {
		top = max(top, b.bins[k].load)
	}
	return top
}

// step places the blocks from order[i] on.
func (x *exact) step(i int) {
	if x.steps++; x.steps > exactSteps || x.cuts >= x.most {
		return
	}
	top, empty := int64(0), 0
	for _, l := range x.load {
		top = max(top, l)
		if l == 0 {
			empty++
		}
	}
	if top > x.longest || top == x.longest && x.cuts >= x.bestCuts || empty > len(x.order)-i {
		return
	}
	if i == len(x.order) {
		x.best, x.longest, x.bestCuts = slices.Clone(x.at), top, x.cuts
		return
	}
	for k := range x.load {
		x.put(i, k, 1)
		x.step(i + 1)
		x.put(i, k, -1)
		if x.load[k] == 0 {
			break // all empty bins are alike
		}
	}
}

// put adds the block at order[i] to bin k, or takes it out again.
func (x *exact) put(i, k, sign int) {
	block := x.order[i]
	x.at[i] = k
	x.load[k] += int64(sign) * x.cost[block]
	for _, s := range x.needs[block] {
		x.count[k][s] += sign
		if n := x.count[k][s]; n == 0 || n == 1 && sign > 0 {
			x.load[k] += int64(sign) * x.setup[s]
		}
	}
	item := x.itemOf(block)
	x.items[k][item] += sign
	if n := x.items[k][item]; n == 0 || n == 1 && sign > 0 {
		was := x.held[item]
		x.held[item] += sign
		if was == 1 && sign > 0 {
			x.cuts++
		}
		if was == 2 && sign < 0 {
			x.cuts--
		}
	}
}

// adopt makes the best division the balance's.
func (x *exact) adopt() {
	b := x.balance
	clear(b.in)
	for k := range b.bins {
		b.bins[k] = bin{}
		mine := map[int32][]int32{}
		for i, block := range x.order {
			if x.best[i] == k {
				mine[b.itemOf(block)] = append(mine[b.itemOf(block)], block)
			}
		}
		for i := range b.list {
			if blocks := mine[int32(i)]; len(blocks) > 0 {
				slices.Sort(blocks)
				b.put(k, b.some(int32(i), blocks))
			}
		}
	}
	b.cuts = x.bestCuts
}
