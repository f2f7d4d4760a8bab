package shard

import (
	"cmp"
	"slices"
)

// How far from the goal balancing goes on, in thousandths: whole items are
// moved until the longest shard is within fine of the goal; a further file is
// cut only while it is not within coarse, since a cut costs imports and
// fixtures that may not be known.
const (
	fine   = 1
	coarse = 5
)

// effort bounds the refinement: so many parts and blocks are looked at. A
// budget of work, not of time, makes the same plan on every machine.
const effort = 8_000_000

// A balance is the division of items over bins.
type balance struct {
	*items
	bins []bin
	goal int64 // no division has a lower longest load
	room int64 // what a bin is filled up to by what shares set-ups
	cuts int   // items in more than one bin
	in   []int // item → bins that have some of it
	work int   // so many parts and blocks may still be looked at

	choices [][kindsOfChoice][]choice // see sorted
	change  []int32                   // see edited

	dear     bool // what bins have before they are mended comes to much more in all than it might
	uncut    bool // an item above the room is whole, as its runs cost more than they save
	thrifty  bool // changes must be cheap, see level
	repaying bool // changes must not cost more than they can save, see repays

	steady  bool  // bins have numbers that mean something: the order of files, or what they had before
	follows bool  // what they had before
	enough  int64 // the longest bin is refined until it is within so many thousandths of the goal
}

// newBalance divides items over n bins, at most one for each block, so that no
// bin is empty and the longest load is small.
//
// Items above the goal are first cut into runs that are not, where that pays
// (fewer than n items are). Then LPT: each item, heaviest first, to where the load ends up
// lowest. What is left of imbalance is repaired between the longest bin and a
// short one: by moving or exchanging whole items, then tests of items that are
// cut already, at last by cutting one more.
//
// Where items share costly set-ups, this is done twice: plain LPT, which
// spreads them, since a bin that has the set-up is also a fuller one; and with
// items that share one put together first. Where there are such items, or some
// above the goal, it is tried again with somewhat more room than the goal if that
// is missed: what does not quite fit pays for its set-ups in another bin. Items above
// the goal that are whole are cut in another try, as the goal may have room for that, and
// that counts where it saves more than it costs. The best division counts.
//
// Where the bins are the pool's jobs, it begins with what these had before, and keeps
// to that where another division is not much better, in its longest bin or in all.
func newBalance(it *items, n, work int, jobs bool) *balance {
	n = min(n, int(it.blocks))
	if n == 0 {
		return &balance{items: it}
	}
	goal, least := it.evenly(int64(n))
	budget := work
	stay := steady(it, n, goal, least, work, jobs)
	if stay != nil {
		if stay.within(stay.longest(), coarse) && !stay.dear {
			return stay
		}
		work = stay.work
	}
	best := divideAnew(it, n, goal, work, budget)
	if stay != nil && stay.longest()-best.longest() <= best.longest()/1000*coarse && stay.sum()-best.sum() <= best.sum()/1000*allowance {
		stay.work = best.work
		return stay
	}
	return best
}

// divideAnew is newBalance that looks at nothing but tests and times. What it
// leaves of its work is the balance's.
func divideAnew(it *items, n int, goal int64, work, budget int) *balance {
	ways := [][]int64{nil}
	if costly := it.costlyShared(n, goal); costly != nil {
		ways = append(ways, costly)
	}
	var best *balance
	for _, room := range rooms {
		for way, costly := range ways {
			if best != nil && room > 0 && (work < budget/4 || best.within(best.longest(), coarse) || it.blocks > manyBlocks) {
				best.work = work
				return best
			}
			uncut := false
			for _, cut := range []bool{false, true} {
				if cut && (!uncut || best.within(best.longest(), coarse)) {
					break
				}
				most := work
				if way == 0 && room == 0 {
					most = work / len(ways) // the other way has what this one leaves
				}
				b := divide(it, n, goal, goal+goal/1000*room, costly, cut, most)
				work -= most - b.work
				uncut = b.uncut
				if best == nil || b.beats(best) && (!cut || b.worth(best)) {
					best = b
				}
			}
		}
		if len(ways) == 1 && !it.giant(goal) {
			break // room is for what shares set-ups, and for the runs of what is above the goal
		}
	}
	best.work = work
	return best
}

// giant reports whether an item takes longer than the goal, so that it may be cut
// before anything is placed.
func (it *items) giant(goal int64) bool {
	return slices.ContainsFunc(it.list, func(x item) bool { return it.total(x.lo, x.hi) > goal })
}

// rooms is how much room above the goal there is for what is put together, in
// thousandths.
var rooms = [...]int64{0, 5, 10, 20, 40, 80}

// divide is divideAnew in one way; with cut, items above the room are cut whatever that
// costs.
func divide(it *items, n int, goal, room int64, costly []int64, cut bool, work int) *balance {
	b := &balance{items: it, bins: make([]bin, n), goal: goal, room: room, in: make([]int, len(it.list)), work: work, enough: fine}
	b.spread(costly, cut)
	b.fillEmpty()
	b.refine()
	b.search()
	return b
}

// beats reports whether a division is better: its longest bin is shorter, or
// both are as good as it gets and it costs less in all.
func (b *balance) beats(other *balance) bool {
	mine, others := b.longest(), other.longest()
	if b.within(mine, fine) && b.within(others, fine) {
		return cmp.Or(cmp.Compare(b.sum(), other.sum()), cmp.Compare(mine, others)) < 0
	}
	return cmp.Or(cmp.Compare(mine, others), cmp.Compare(b.sum(), other.sum())) < 0
}

// worth reports whether a division's bins together take no more than if each of those of
// another one were as much longer as the longest one of that is.
func (b *balance) worth(other *balance) bool {
	return b.sum()-other.sum() <= (other.longest()-b.longest())*int64(len(b.bins))
}

// sum returns the sum of all loads.
func (b *balance) sum() int64 {
	sum := int64(0)
	for k := range b.bins {
		sum += b.bins[k].load
	}
	return sum
}

// costlyShared returns for each set-up the time of the items that it draws
// together, or 0. It draws where it costs more than a hundredth of the goal,
// unless half of the bins need it anyway. It returns nil where none does.
func (it *items) costlyShared(n int, goal int64) []int64 {
	var drawn []int64
	for i := range it.list {
		x := &it.list[i]
		for _, s := range x.shared {
			if it.setup[s] <= goal/100 {
				continue
			}
			if drawn == nil {
				drawn = make([]int64, len(it.setup))
			}
			drawn[s] += x.cost + x.own
		}
	}
	some := false
	for s := range drawn {
		if drawn[s] > goal*int64(n)/2 {
			drawn[s] = 0
		}
		some = some || drawn[s] > 0
	}
	if !some {
		return nil
	}
	return drawn
}

// spread is LPT over whole items and the runs of those above the goal, after
// the ones that costly set-ups draw together.
func (b *balance) spread(costly []int64, cut bool) {
	var parts []part
	giants := 0
	for _, i := range b.heaviest() {
		x := &b.list[i]
		over := b.total(x.lo, x.hi) - b.room
		if giants < len(b.bins)-1 && x.hi-x.lo > 1 && over > b.goal/1000*coarse {
			if runs := b.runs(i); cut || over > b.repeated(runs) {
				giants++
				parts = append(parts, runs...)
				continue
			}
			b.uncut = true
		}
		parts = append(parts, b.whole(i))
	}
	slices.SortStableFunc(parts, func(p, q part) int {
		return cmp.Compare(b.alone(&q), b.alone(&p))
	})
	if costly != nil {
		parts = b.gather(parts, costly)
	}
	b.place(parts)
	for _, n := range b.in {
		if n > 1 {
			b.cuts++
		}
	}
}

// gather places the parts that need a costly set-up, the heaviest such company
// first, and returns the others. A part goes to a bin that has the set-up, the
// fullest that keeps within the goal, or else to where the load ends up lowest.
func (b *balance) gather(parts []part, costly []int64) (rest []part) {
	type member struct {
		draw int32
		part part
	}
	var company []member
	for _, p := range parts {
		draw := int32(-1)
		for _, s := range p.shared {
			if costly[s] > 0 && (draw < 0 || b.dearer(s, draw)) {
				draw = s
			}
		}
		if draw < 0 {
			rest = append(rest, p)
		} else {
			company = append(company, member{draw, p})
		}
	}
	slices.SortStableFunc(company, func(x, y member) int {
		return cmp.Or(
			cmp.Compare(costly[y.draw]+b.setup[y.draw], costly[x.draw]+b.setup[x.draw]),
			b.compareSetups(x.draw, y.draw))
	})
	for _, m := range company {
		to, most := -1, int64(-1)
		for k := range b.bins {
			x := &b.bins[k]
			if x.needing(b.items, m.draw) > 0 && x.load > most && x.load+x.gain(b.items, &m.part) <= b.room {
				to, most = k, x.load
			}
		}
		if to < 0 {
			to = b.lowest(&m.part)
		}
		b.put(to, m.part)
	}
	return rest
}

// compareSetups orders set-ups by what a plan may depend on: not their index.
func (q *sequence) compareSetups(s, t int32) int {
	return cmp.Compare(q.suite.Setups[s].ID, q.suite.Setups[t].ID)
}

// lowest returns the bin whose load ends up lowest with p.
func (b *balance) lowest(p *part) int {
	best, to := -1, int64(0)
	for k := range b.bins {
		if load := b.bins[k].load + b.bins[k].gain(b.items, p); best < 0 || load < to {
			best, to = k, load
		}
	}
	return best
}

// repeated returns what the set-ups of an item's runs cost more than those of
// the whole item. Where that is more than the run saves, cutting the item does
// not pay by itself; refinement, which knows the loads, may still do it.
func (b *balance) repeated(runs []part) int64 {
	x := &b.list[runs[0].item]
	sum := -b.total(x.lo, x.hi)
	for k := range runs {
		sum += b.alone(&runs[k])
	}
	return sum
}

// alone returns the load of a bin with nothing but p.
func (b *balance) alone(p *part) int64 {
	w := p.weight
	for _, s := range p.shared {
		w += b.setup[s]
	}
	return w
}

// runs cuts an item into runs of blocks within the goal, at the end of a class
// where that leaves a run at least nine tenths full, else at the end of a
// function where that does.
func (b *balance) runs(i int32) []part {
	x := &b.list[i]
	var parts []part
	type mark struct {
		end int32
		sum int64
	}
	lo, sum := x.lo, int64(0)
	room := b.room + b.goal/1000*fine // what is within that is done
	var class, function mark          // after the last ones that are whole in the run
	b.epoch++
	for k := x.lo; k < x.hi; k++ {
		if k > lo {
			before, here := b.owners(k-1), b.owners(k)
			if here.function != before.function {
				function = mark{k, sum}
			}
			if here.class != before.class {
				class = mark{k, sum}
			}
		}
		w := b.cost[k]
		b.addSetups(k, k+1, func(s int32) { w += b.setup[s] })
		if k > lo && sum+w > room {
			end := k
			for _, m := range []mark{class, function} {
				if m.end > lo && m.sum >= b.room/10*9 {
					end = m.end
					break
				}
			}
			parts = append(parts, b.run(i, lo, end))
			lo, sum = end, 0
			k = end - 1
			b.epoch++
			continue
		}
		sum += w
	}
	return append(parts, b.run(i, lo, x.hi))
}

func (b *balance) run(i, lo, hi int32) part {
	blocks := make([]int32, 0, hi-lo)
	for k := lo; k < hi; k++ {
		blocks = append(blocks, k)
	}
	return b.some(i, blocks)
}

// place puts each part where the load ends up lowest.
func (b *balance) place(parts []part) {
	heap := newLoads(len(b.bins))
	for k := range b.bins {
		heap.set(k, b.bins[k].load)
	}
	for _, p := range parts {
		k := heap.least()
		if len(p.shared) > 0 {
			k = b.lowest(&p)
		}
		b.put(k, p)
		heap.set(k, b.bins[k].load)
	}
}

// put adds a part to a bin that may have another one of the same item.
func (b *balance) put(k int, p part) {
	if p.blocks == nil {
		b.in[p.item]++
		b.bins[k].add(b.items, p)
		return
	}
	if b.bins[k].find(p.item) < 0 {
		b.in[p.item]++
	}
	b.bins[k].put(b.items, p.item, p.blocks)
}

// fillEmpty gives each empty bin part of the longest one that can be divided:
// so many jobs were asked for.
func (b *balance) fillEmpty() {
	for e := range b.bins {
		if len(b.bins[e].parts) > 0 {
			continue
		}
		from, load := -1, int64(-1)
		for k := range b.bins {
			if x := &b.bins[k]; x.load > load && (len(x.parts) > 1 || len(x.parts) == 1 && len(b.blocksOf(&x.parts[0])) > 1) {
				from, load = k, x.load
			}
		}
		b.half(from, e)
	}
}

// half moves about half of bin from to the empty bin e.
func (b *balance) half(from, e int) {
	x := &b.bins[from]
	if len(x.parts) > 1 {
		best, off := 0, int64(-1)
		for k := range x.parts {
			if d := abs(x.load - 2*x.parts[k].weight); off < 0 || d < off {
				best, off = k, d
			}
		}
		b.bins[e].add(b.items, x.remove(b.items, best))
		return
	}
	p := x.parts[0]
	blocks := b.blocksOf(&p)
	sum, end := int64(0), 0
	for end < len(blocks)-1 && (end == 0 || 2*(sum+b.cost[blocks[end]]) <= p.weight) {
		sum += b.cost[blocks[end]]
		end++
	}
	b.apply(change{from: from, to: e, item: p.item, blocks: slices.Clone(blocks[:end])})
}

func abs(x int64) int64 { return max(x, -x) }

// loads is a heap of bins by load, then index.
type loads struct {
	load []int64
	heap []int32
	at   []int32
}

func newLoads(n int) *loads {
	l := &loads{load: make([]int64, n), heap: make([]int32, n), at: make([]int32, n)}
	for k := range n {
		l.heap[k], l.at[k] = int32(k), int32(k)
	}
	return l
}

func (l *loads) least() int { return int(l.heap[0]) }

func (l *loads) less(i, j int32) bool {
	a, b := l.heap[i], l.heap[j]
	return l.load[a] < l.load[b] || l.load[a] == l.load[b] && a < b
}

func (l *loads) swap(i, j int32) {
	l.heap[i], l.heap[j] = l.heap[j], l.heap[i]
	l.at[l.heap[i]], l.at[l.heap[j]] = i, j
}

// set raises the load of bin k.
func (l *loads) set(k int, load int64) {
	l.load[k] = load
	i, n := l.at[k], int32(len(l.heap))
	for {
		c := 2*i + 1
		if c >= n {
			return
		}
		if c+1 < n && l.less(c+1, c) {
			c++
		}
		if !l.less(c, i) {
			return
		}
		l.swap(i, c)
		i = c
	}
}
