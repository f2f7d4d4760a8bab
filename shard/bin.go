package shard

import (
	"slices"
)

// A part is what one shard has of an item.
type part struct {
	item   int32
	blocks []int32 // ascending; nil for the whole item
	weight int64   // its tests, and the set-ups that only its item needs
	shared []int32 // the set-ups that other items need too
}

// A bin is a pool shard in the making.
type bin struct {
	load   int64
	parts  []part
	needed []int32 // shared set-up, by items.shares → parts that need it; nil where none does
}

// needing returns how many parts need a shared set-up.
func (b *bin) needing(it *items, s int32) int32 {
	if b.needed == nil {
		return 0
	}
	return b.needed[it.shares[s]]
}

// gain returns by how much the load grows when p comes in.
func (b *bin) gain(it *items, p *part) int64 {
	w := p.weight
	for _, s := range p.shared {
		if b.needing(it, s) == 0 {
			w += it.setup[s]
		}
	}
	return w
}

// relief returns by how much the load falls when p goes.
func (b *bin) relief(it *items, p *part) int64 {
	w := p.weight
	for _, s := range p.shared {
		if b.needing(it, s) == 1 {
			w += it.setup[s]
		}
	}
	return w
}

// exchanged returns the load after p, which the bin has, has gone and q has come.
func (b *bin) exchanged(it *items, p, q *part) int64 {
	load := b.load - p.weight + q.weight
	for _, s := range p.shared {
		if _, stays := slices.BinarySearch(q.shared, s); !stays && b.needing(it, s) == 1 {
			load -= it.setup[s]
		}
	}
	for _, s := range q.shared {
		if b.needing(it, s) == 0 {
			load += it.setup[s]
		}
	}
	return load
}

func (b *bin) add(it *items, p part) {
	b.load += b.gain(it, &p)
	if len(p.shared) > 0 && b.needed == nil {
		b.needed = make([]int32, it.several)
	}
	for _, s := range p.shared {
		b.needed[it.shares[s]]++
	}
	b.parts = append(b.parts, p)
}

// remove takes out part k.
func (b *bin) remove(it *items, k int) part {
	p := b.parts[k]
	b.load -= b.relief(it, &p)
	for _, s := range p.shared {
		b.needed[it.shares[s]]--
	}
	b.parts[k] = b.parts[len(b.parts)-1]
	b.parts = b.parts[:len(b.parts)-1]
	return p
}

// find returns the index of the part of item i, or -1.
func (b *bin) find(i int32) int {
	return slices.IndexFunc(b.parts, func(p part) bool { return p.item == i })
}

// put adds blocks of item i, joining them with what the bin has of it.
func (b *bin) put(it *items, i int32, blocks []int32) {
	if k := b.find(i); k >= 0 {
		old := b.remove(it, k)
		blocks = append(slices.Clone(old.blocks), blocks...)
		slices.Sort(blocks)
	}
	b.add(it, it.some(i, blocks))
}

// take removes blocks of item i: some of those that the bin has.
func (b *bin) take(it *items, i int32, blocks []int32) {
	old := b.remove(it, b.find(i))
	var rest []int32
	for _, x := range it.blocksOf(&old) {
		if _, gone := slices.BinarySearch(blocks, x); !gone {
			rest = append(rest, x)
		}
	}
	if len(rest) > 0 {
		b.add(it, it.some(i, rest))
	}
}

// blocksOf returns a part's blocks, ascending.
func (it *items) blocksOf(p *part) []int32 {
	if p.blocks != nil {
		return p.blocks
	}
	x := &it.list[p.item]
	blocks := make([]int32, 0, x.hi-x.lo)
	for b := x.lo; b < x.hi; b++ {
		blocks = append(blocks, b)
	}
	return blocks
}
