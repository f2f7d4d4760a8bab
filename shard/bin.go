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
	needed map[int32]int // shared set-up → parts that need it
}

// gain returns by how much the load grows when p comes in.
func (b *bin) gain(it *items, p *part) int64 {
	w := p.weight
	for _, s := range p.shared {
		if b.needed[s] == 0 {
			w += it.setup[s]
		}
	}
	return w
}

// relief returns by how much the load falls when p goes.
func (b *bin) relief(it *items, p *part) int64 {
	w := p.weight
	for _, s := range p.shared {
		if b.needed[s] == 1 {
			w += it.setup[s]
		}
	}
	return w
}

func (b *bin) add(it *items, p part) {
	b.load += b.gain(it, &p)
	if len(p.shared) > 0 && b.needed == nil {
		b.needed = map[int32]int{}
	}
	for _, s := range p.shared {
		b.needed[s]++
	}
	b.parts = append(b.parts, p)
}

// remove takes out part k.
func (b *bin) remove(it *items, k int) part {
	p := b.parts[k]
	b.load -= b.relief(it, &p)
	for _, s := range p.shared {
		b.needed[s]--
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
