package shard

import (
	"cmp"
	"math"
	"slices"
	"sort"
)

// A change moves something from bin from to bin to, and perhaps something
// back: whole parts, or blocks of items.
type change struct {
	from, to   int
	give, take int // parts, or -1

	item   int32 // with blocks: they go from from to to
	blocks []int32
	back   int32 // with backs: they go from to to from
	backs  []int32

	longest, sum int64 // of the two loads afterwards
}

// refine shortens the longest bin while it can.
func (b *balance) refine() {
	for b.work > 0 {
		from := 0
		for k := range b.bins {
			if b.bins[k].load > b.bins[from].load {
				from = k
			}
		}
		if b.within(b.bins[from].load, b.enough) {
			return
		}
		c, ok := b.improve(from)
		if !ok {
			return
		}
		b.apply(c)
	}
}

// within reports whether a load is at most so many thousandths over the goal.
func (b *balance) within(load, thousandths int64) bool {
	return load-b.goal <= b.goal/1000*thousandths
}

// tries is how many of the shortest bins are tried as partners of the longest.
const tries = 12

// improve finds a change that shortens the longest bin: the best with one of
// the shortest bins, or the first that comes near to levelling the two. One that pays for
// set-ups more than it will ever save is taken only where there is no other.
func (b *balance) improve(from int) (change, bool) {
	if len(b.setup) > 0 && !b.thrifty { // what is cheap repays
		b.repaying = true
		c, ok := b.shorten(from)
		b.repaying = false
		if ok {
			return c, ok
		}
	}
	return b.shorten(from)
}

// shorten is improve with changes as better takes them.
func (b *balance) shorten(from int) (change, bool) {
	order := make([]int, 0, len(b.bins))
	for k := range b.bins {
		if k != from {
			order = append(order, k)
		}
	}
	slices.SortFunc(order, func(x, y int) int {
		return cmp.Or(cmp.Compare(b.bins[x].load, b.bins[y].load), cmp.Compare(x, y))
	})
	b.work -= len(order)
	for _, cut := range []bool{false, true} {
		if cut && (b.within(b.bins[from].load, coarse) || b.thrifty && len(b.setup) == 0) {
			break // that a cut is cheap is known where set-ups are
		}
		best := change{longest: b.bins[from].load}
		for _, to := range order[:min(tries, len(order))] {
			c := b.pair(from, to, cut)
			if c.longest < best.longest {
				best = c
			}
			if level := (b.bins[from].load + b.bins[to].load) / 2; b.within(best.longest, fine) || best.longest-level <= (b.bins[from].load-level)/8 {
				break
			}
		}
		if best.longest < b.bins[from].load {
			return best, true
		}
	}
	return change{}, false
}

// pair finds the best change between two bins that cuts no further item, or
// the best that does.
func (b *balance) pair(from, to int, cut bool) change {
	best := change{longest: b.bins[from].load}
	if cut {
		if b.cuts < len(b.bins)-1 {
			b.tryRuns(&best, from, to, true)
			b.tryBlocks(&best, from, to, true)
		}
		return best
	}
	b.tryParts(&best, from, to)
	if level := (b.bins[from].load + b.bins[to].load) / 2; best.longest-level > (b.bins[from].load-level)/16 {
		b.tryRuns(&best, from, to, false)
		b.tryBlocks(&best, from, to, false)
	}
	return best
}

// better reports whether a change shortens the longer of the two bins more than
// another one, at a price that may be paid.
func (b *balance) better(c, other *change) bool {
	return c.longest < other.longest && (!b.thrifty || b.isCheap(c)) && (!b.repaying || b.repays(c))
}

// repays reports whether all bins together take longer by no more than what the change
// takes off each, were it off each of them: more than that makes the least that the
// longest can come to higher by more than the longest gets shorter.
func (b *balance) repays(c *change) bool {
	costs := c.sum - b.bins[c.from].load - b.bins[c.to].load
	return costs <= (b.bins[c.from].load-c.longest)*int64(len(b.bins))
}

// tryParts considers giving one part away, for nothing or for another one.
func (b *balance) tryParts(best *change, from, to int) {
	give := b.byWeight(from)
	take := append([]choice{{-1, 0}}, b.byWeight(to)...)
	b.work -= len(give) + len(take)
	b.nearest(from, to, give, take, func(x, y int) {
		c := change{from: from, to: to, give: give[x].index, take: take[y].index}
		if b.after(&c); b.better(&c, best) {
			*best = c
		}
	})
}

// A choice is something to move, by its weight.
type choice struct {
	index  int
	weight int64
}

// byWeight returns the parts of a bin, lightest first.
func (b *balance) byWeight(k int) []choice {
	return b.sorted(k, wholeParts, func() []choice { return b.partsByWeight(k) })
}

// What there is to choose from in a bin: its parts, the blocks of items that are
// cut, and all blocks.
const (
	wholeParts = iota
	cutBlocks
	allBlocks
	kindsOfChoice
)

// sorted returns what list makes, kept until the bin changes: the longest bin
// is compared with several, and most bins stay as they are.
func (b *balance) sorted(k, kind int, list func() []choice) []choice {
	if b.choices == nil {
		b.choices = make([][kindsOfChoice][]choice, len(b.bins))
	}
	kept := &b.choices[k][kind]
	if *kept == nil {
		*kept = list()
	}
	return *kept
}

// forget drops what sorted keeps of a bin.
func (b *balance) forget(k int) {
	if b.choices != nil {
		b.choices[k] = [kindsOfChoice][]choice{}
	}
}

func (b *balance) partsByWeight(k int) []choice {
	parts := b.bins[k].parts
	out := make([]choice, len(parts))
	for i := range parts {
		out[i] = choice{i, parts[i].weight}
	}
	slices.SortFunc(out, func(x, y choice) int {
		return cmp.Or(cmp.Compare(x.weight, y.weight), cmp.Compare(parts[x.index].item, parts[y.index].item))
	})
	return out
}

// nearest calls f for the few pairs whose exchange comes nearest to levelling
// the two bins. Both lists are sorted by weight.
func (b *balance) nearest(from, to int, give, take []choice, f func(x, y int)) {
	const keep = 4
	type pair struct {
		x, y int
		off  int64
	}
	var found [keep + 1]pair
	n := 0
	half := (b.bins[from].load - b.bins[to].load) / 2
	y := 0
	for x := range give {
		for y+1 < len(take) && abs(give[x].weight-take[y+1].weight-half) <= abs(give[x].weight-take[y].weight-half) {
			y++
		}
		p := pair{x, y, abs(give[x].weight - take[y].weight - half)}
		k := n
		for k > 0 && found[k-1].off > p.off {
			found[k] = found[k-1]
			k--
		}
		found[k] = p
		n = min(n+1, keep)
	}
	for _, p := range found[:n] {
		f(p.x, p.y)
	}
}

// after works out the two loads after a change of whole parts. They are too much
// where it would bring two parts of one item together (the runs see to those).
func (b *balance) after(c *change) {
	x, y := &b.bins[c.from], &b.bins[c.to]
	p := &x.parts[c.give]
	if p.blocks != nil && y.find(p.item) >= 0 {
		c.loads(math.MaxInt64, 0)
		return
	}
	if c.take < 0 {
		c.loads(x.load-x.relief(b.items, p), y.load+y.gain(b.items, p))
		return
	}
	q := &y.parts[c.take]
	if q.blocks != nil && x.find(q.item) >= 0 {
		c.loads(math.MaxInt64, 0)
		return
	}
	c.loads(x.exchanged(b.items, p, q), y.exchanged(b.items, q, p))
}

func (c *change) loads(from, to int64) { c.longest, c.sum = max(from, to), from+to }

// tryRuns considers moving the first or last blocks of an item: of one that is
// cut already, or of one that is whole.
func (b *balance) tryRuns(best *change, from, to int, cut bool) {
	half := (b.bins[from].load - b.bins[to].load) / 2
	for k := range b.bins[from].parts {
		p := &b.bins[from].parts[k]
		if x := &b.list[p.item]; (b.in[p.item] == 1) != cut || x.hi-x.lo == 1 || cut && p.weight < half/4 {
			continue
		}
		blocks := b.blocksOf(p)
		b.work -= len(blocks)
		b.tryRun(best, from, to, p, blocks[:b.prefix(blocks, half, false)])
		b.tryRun(best, from, to, p, blocks[len(blocks)-b.suffix(blocks, half, false):])
		if x := &b.list[p.item]; x.own > 0 || len(x.shared) > 0 {
			b.work -= len(blocks)
			b.tryRun(best, from, to, p, blocks[:b.prefix(blocks, half, true)])
			b.tryRun(best, from, to, p, blocks[len(blocks)-b.suffix(blocks, half, true):])
		}
	}
}

// prefix returns how many of the first blocks level two bins best when half
// their difference is wanted, preferring the end of a class, then of a function,
// where it is about as good. Set-ups go with the tests that need them, or with stay are paid for
// in both bins: the truth is between.
func (b *balance) prefix(blocks []int32, half int64, stay bool) int {
	return b.levelling(len(blocks), half, stay, func(n int) int32 { return blocks[n] })
}

// suffix is prefix for the last blocks.
func (b *balance) suffix(blocks []int32, half int64, stay bool) int {
	return b.levelling(len(blocks), half, stay, func(n int) int32 { return blocks[len(blocks)-1-n] })
}

func (b *balance) levelling(blocks int, half int64, stay bool, block func(n int) int32) int {
	leaves, arrives := int64(0), int64(0) // what moves, without and with set-ups
	best, off := 0, 2*half
	b.epoch++
	for n := 1; n < blocks && leaves <= 2*half; n++ {
		last := block(n - 1)
		leaves += b.cost[last]
		arrives += b.cost[last]
		b.addSetups(last, last+1, func(s int32) { arrives += b.setup[s] })
		moved := 2 * arrives
		if stay {
			moved = leaves + arrives
		}
		if d := abs(2*half-moved) - 2*b.favour(last, block(n)); d < off {
			best, off = n, d
		}
	}
	return best
}

// favour is the imbalance that a cut between two classes is worth, and the half
// of that which one between two functions is: not among the parametrizations of
// one.
func (b *balance) favour(x, y int32) int64 {
	most := b.goal / 1000 * fine
	if b.thrifty {
		most = b.goal / 1000 * uneven
	}
	switch p, r := b.owners(x), b.owners(y); {
	case p.class != r.class:
		return most
	case p.function != r.function:
		return most / 2
	}
	return 0
}

func (b *balance) tryRun(best *change, from, to int, p *part, blocks []int32) {
	if len(blocks) == 0 {
		return
	}
	c := change{from: from, to: to, give: -1, take: -1, item: p.item, blocks: blocks}
	if b.afterBlocks(&c); b.better(&c, best) {
		c.blocks = slices.Clone(blocks)
		*best = c
	}
}

// tryBlocks considers giving one block away, for nothing or for another one:
// blocks of items that are cut already, or of any with cut.
func (b *balance) tryBlocks(best *change, from, to int, cut bool) {
	give := b.loose(from, cut)
	take := append([]choice{{-1, 0}}, b.loose(to, cut)...)
	b.work -= 8 * (len(give) + len(take))
	b.nearest(from, to, give, take, func(x, y int) {
		g := int32(give[x].index)
		c := change{from: from, to: to, give: -1, take: -1, item: b.itemOf(g), blocks: []int32{g}}
		if t := int32(take[y].index); t >= 0 {
			c.back, c.backs = b.itemOf(t), []int32{t}
		}
		if cut && b.cuts+b.newCuts(c) >= len(b.bins) {
			return
		}
		if b.afterBlocks(&c); b.better(&c, best) {
			*best = c
		}
	})
}

// newCuts counts the whole items that a change of blocks cuts.
func (b *balance) newCuts(c change) int {
	n := 0
	if b.cuttable(c.item) {
		n++
	}
	if len(c.backs) > 0 && c.back != c.item && b.cuttable(c.back) {
		n++
	}
	return n
}

// cuttable reports whether an item is whole and of several blocks.
func (b *balance) cuttable(i int32) bool {
	return b.in[i] == 1 && b.list[i].hi-b.list[i].lo > 1
}

// loose returns the blocks of a bin's cut items, or of all of them, shortest
// first.
func (b *balance) loose(k int, all bool) []choice {
	kind := cutBlocks
	if all {
		kind = allBlocks
	}
	return b.sorted(k, kind, func() []choice { return b.looseBlocks(k, all) })
}

func (b *balance) looseBlocks(k int, all bool) []choice {
	out := []choice{}
	for i := range b.bins[k].parts {
		p := &b.bins[k].parts[i]
		if b.in[p.item] == 1 && !all {
			continue
		}
		for _, x := range b.blocksOf(p) {
			out = append(out, choice{int(x), b.cost[x]})
		}
	}
	slices.SortFunc(out, func(x, y choice) int {
		return cmp.Or(cmp.Compare(x.weight, y.weight), cmp.Compare(x.index, y.index))
	})
	return out
}

// itemOf returns the item that a block is of.
func (b *balance) itemOf(block int32) int32 {
	return int32(sort.Search(len(b.list), func(i int) bool { return b.list[i].hi > block }))
}

// afterBlocks works out the two loads after a change of blocks.
func (b *balance) afterBlocks(c *change) {
	if len(c.backs) > 0 && c.back == c.item {
		c.loads(b.edited(c.from, edit{c.item, c.blocks, c.backs}), b.edited(c.to, edit{c.item, c.backs, c.blocks}))
		return
	}
	from, to := []edit{{c.item, c.blocks, nil}}, []edit{{c.item, nil, c.blocks}}
	if len(c.backs) > 0 {
		from, to = append(from, edit{c.back, nil, c.backs}), append(to, edit{c.back, c.backs, nil})
	}
	c.loads(b.edited(c.from, from...), b.edited(c.to, to...))
}

// An edit takes blocks of an item out of a bin, and others in.
type edit struct {
	item    int32
	out, in []int32 // ascending
}

// edited returns the load of a bin after edits of different items. Copying the
// bin to try them on would cost as much as all that it has.
func (b *balance) edited(k int, edits ...edit) int64 {
	x := &b.bins[k]
	load := x.load
	if b.change == nil {
		b.change = make([]int32, len(b.setup))
	}
	var touched []int32
	count := func(shared []int32, sign int32) {
		for _, s := range shared {
			touched = append(touched, s)
			b.change[s] += sign
		}
	}
	for _, e := range edits {
		var blocks []int32
		if i := x.find(e.item); i >= 0 {
			p := &x.parts[i]
			load -= p.weight
			count(p.shared, -1)
			for _, block := range b.blocksOf(p) {
				if _, gone := slices.BinarySearch(e.out, block); !gone {
					blocks = append(blocks, block)
				}
			}
		}
		if len(e.in) > 0 {
			blocks = append(blocks, e.in...)
			slices.Sort(blocks)
		}
		if len(blocks) > 0 {
			p := b.some(e.item, blocks)
			load += p.weight
			count(p.shared, 1)
		}
	}
	for _, s := range touched {
		if d := b.change[s]; d != 0 {
			b.change[s] = 0
			before := x.needing(b.items, s)
			switch after := before + d; {
			case before == 0 && after > 0:
				load += b.setup[s]
			case before > 0 && after == 0:
				load -= b.setup[s]
			}
		}
	}
	return load
}

// move makes a change of blocks.
func (b *balance) move(from, to *bin, c change) {
	from.take(b.items, c.item, c.blocks)
	if len(c.backs) > 0 {
		to.take(b.items, c.back, c.backs)
		from.put(b.items, c.back, c.backs)
	}
	to.put(b.items, c.item, c.blocks)
}

// apply makes a change and counts the cuts again.
func (b *balance) apply(c change) {
	from, to := &b.bins[c.from], &b.bins[c.to]
	b.forget(c.from)
	b.forget(c.to)
	if len(c.blocks) == 0 {
		p := from.remove(b.items, c.give)
		if c.take >= 0 {
			from.add(b.items, to.remove(b.items, c.take))
		}
		to.add(b.items, p)
		return
	}
	before := b.count(from, to, c)
	b.move(from, to, c)
	after := b.count(from, to, c)
	for k, i := range []int32{c.item, c.back} {
		if k == 1 && (len(c.backs) == 0 || c.back == c.item) {
			break
		}
		old := b.in[i]
		b.in[i] += after[k] - before[k]
		if old == 1 && b.in[i] > 1 {
			b.cuts++
		}
		if old > 1 && b.in[i] == 1 {
			b.cuts--
		}
	}
}

// count returns how many of two bins have some of a change's two items.
func (b *balance) count(from, to *bin, c change) (n [2]int) {
	for k, i := range []int32{c.item, c.back} {
		for _, x := range []*bin{from, to} {
			if x.find(i) >= 0 {
				n[k]++
			}
		}
	}
	return n
}
