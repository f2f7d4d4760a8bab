package shard

import (
	"cmp"
	"slices"
	"time"
)

// How far bins below the longest one are levelled, in thousandths of their mean; and
// what that may cost: all bins together may take longer by no more than one part in
// cheap of what it takes off the longer bin.
const (
	uneven = 20
	cheap  = 8
)

// levelled divides evenly what is left over the jobs below the longest one, where
// that cannot be shortened, such as for one test that takes as long as all of it; it
// returns false where nothing is to be moved.
//
// To balance and to gather, a job may be as long as the longest: the plan is not
// longer for it. But times are estimates. Where several jobs are as long as the
// longest, what is planned is exceeded by the worst of their estimates; where one
// is, by its own.
func (it *items) levelled(d division) (division, bool) {
	sum, longest := int64(0), int64(0)
	for _, tests := range d.pool {
		load := it.load(tests)
		sum += load
		longest = max(longest, load)
	}
	if mean := sum / int64(max(1, len(d.pool))); longest-mean <= mean/1000*uneven {
		return d, false
	}
	b := it.balanceOf(d.pool)
	if !b.level() {
		return d, false
	}
	return division{b.pool(), d.numbers}, true
}

// balanceOf returns the balance that has so divided the items.
func (it *items) balanceOf(pool [][]int32) *balance {
	b := &balance{items: it, bins: make([]bin, len(pool)), in: make([]int, len(it.list))}
	job := make([]int, len(it.root))
	for k, tests := range pool {
		for _, p := range tests {
			job[p] = k
		}
	}
	for i := range it.list {
		x := &it.list[i]
		parts := map[int][]int32{}
		for block := x.lo; block < x.hi; block++ {
			k := job[it.tests[it.start[block]]]
			parts[k] = append(parts[k], block)
		}
		for k := range pool {
			switch blocks := parts[k]; {
			case len(blocks) == 0:
			case len(parts) == 1:
				b.put(k, b.whole(int32(i)))
			default:
				b.put(k, b.some(int32(i), blocks))
			}
		}
		if b.in[i] > 1 {
			b.cuts++
		}
	}
	return b
}

// level makes bins more even, from the longest one down, by changes that cost little,
// and reports whether there were any. A bin that none shortens stays as it is.
func (b *balance) level() bool {
	b.thrifty, b.work = true, effort/4
	done := make([]bool, len(b.bins))
	changed := false
	for b.work > 0 {
		from, sum, n := -1, int64(0), int64(0)
		for k := range b.bins {
			if done[k] {
				continue
			}
			sum += b.bins[k].load
			n++
			if from < 0 || b.bins[k].load > b.bins[from].load {
				from = k
			}
		}
		if n < 2 {
			break
		}
		b.goal = sum / n
		if b.within(b.bins[from].load, uneven) {
			break
		}
		if c, ok := b.improve(from); ok {
			b.apply(c)
			changed = true
		} else {
			done[from] = true
		}
	}
	return changed
}

// isCheap reports whether a change costs little for what it takes off the longer
// bin.
func (b *balance) isCheap(c *change) bool {
	costs := c.sum - b.bins[c.from].load - b.bins[c.to].load
	return costs*cheap <= b.bins[c.from].load-c.longest
}

// evener reports whether a plan's pool is more even than another one's: its longest
// job shorter, or as long and the next one shorter, and so on.
func (p *Plan) evener(other *Plan) bool {
	return slices.Compare(p.poolWalls(), other.poolWalls()) < 0
}

// costsLittle reports whether making a pool even was worth it: all jobs together take
// longer by no more than one part in cheap of what it takes off the longer ones. The
// bins do not tell with several workers, each of which pays for what a job imports.
func (p *Plan) costsLittle(other *Plan) bool {
	walls, before := p.poolWalls(), other.poolWalls()
	off := time.Duration(0)
	for k := range min(len(walls), len(before)) {
		off += max(0, before[k]-walls[k])
	}
	return (p.sum(Pool)-other.sum(Pool))*cheap <= off
}

// poolWalls returns the wall times of the pool's jobs, the longest first.
func (p *Plan) poolWalls() []time.Duration {
	var list []time.Duration
	for i := range p.Shards {
		if p.Shards[i].Kind == Pool {
			list = append(list, p.Shards[i].Wall)
		}
	}
	slices.SortFunc(list, func(x, y time.Duration) int { return cmp.Compare(y, x) })
	return list
}
