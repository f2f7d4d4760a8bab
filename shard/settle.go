package shard

import (
	"cmp"
	"slices"

	"github.com/wcshard/wcshard/timing"
)

// settle orders the pieces for a crew, cuts those that are too long for one of its
// workers, and says how they run then.
//
// One worker keeps definition order. Several take the slowest first, so that
// no long test starts last: a whole piece counts by its load, a cut one by its
// longest test. A piece is cut for what is more than coarse of the time, as it
// may cost imports and fixtures that are not known.
func (r *simulator) settle(pieces []draftPiece, c crew) outlook {
	if c.workers <= 1 {
		slices.SortFunc(pieces, func(x, y draftPiece) int { return cmp.Compare(x.file, y.file) })
		var all []int32
		for i := range pieces {
			slices.Sort(pieces[i].tests)
			all = append(all, pieces[i].tests...)
		}
		return outlook{wall: r.load(all), last: -1}
	}
	for i := range pieces {
		pieces[i].units = nil
		r.order(&pieces[i])
	}
	whole := slices.Clone(pieces)
	sortPieces(pieces)
	best := r.run(pieces, c)
	// Each step spreads the piece that ends last. Several may be as long as each
	// other, so that only the last of these steps helps: as many as there are
	// workers may not.
	//
	// Within memory a test may end last that started late, as workers were at pieces that
	// could be cut.
	trial, last := pieces, best.last
	for idle := 0; idle < c.workers && last >= 0; idle++ {
		if !cuttable(&trial[last]) && c.limit != unlimited {
			last = slices.IndexFunc(trial, func(x draftPiece) bool { return cuttable(&x) }) // the longest of them
		}
		if last < 0 || !cuttable(&trial[last]) {
			break
		}
		trial = slices.Clone(trial)
		trial[last].cut = true
		trial[last].tests = slices.Clone(trial[last].tests)
		r.order(&trial[last])
		sortPieces(trial)
		now := r.run(trial, c)
		last = now.last
		if best.wall-now.wall > best.wall/1000*coarse {
			copy(pieces, trial)
			best, idle = now, -1
		}
	}
	if c.limit != unlimited {
		return best
	}
	for _, trial := range r.byParameter(pieces, c.workers) {
		if now := r.plain(trial, c.workers); best.wall-now.wall > best.wall/1000*unitPays {
			copy(pieces, trial)
			best = now
		}
	}
	if bundled, wall := r.divideUnits(whole, c.workers, best.wall); bundled != nil {
		copy(pieces, bundled)
		best.wall = wall
	}
	return best
}

// cuttable reports whether a piece is whole and of several tests.
func cuttable(x *draftPiece) bool { return !x.cut && len(x.tests) > 1 }

func sortPieces(pieces []draftPiece) {
	slices.SortFunc(pieces, func(x, y draftPiece) int {
		return cmp.Or(cmp.Compare(y.top, x.top), cmp.Compare(x.file, y.file))
	})
}

// order sorts the tests of a piece for several workers and sets its top.
//
// The tests of a whole piece keep definition order, as they all run on one
// worker. Those of a cut piece run slowest first, bound ones together; tests
// that share a set-up which may cost more than the longest of them stay next to
// each other, since a worker that leaves it for a moment pays for it again.
func (r *simulator) order(x *draftPiece) {
	slices.Sort(x.tests)
	x.top = x.load
	if !x.cut {
		return
	}
	type rank struct {
		cluster  int64 // longest block of the tests with the same costly set-up
		leader   int32 // first test of those
		block    int64
		root     int32
		position int32
	}
	block := map[int32]int64{}
	for _, p := range x.tests {
		block[r.root[p]] += r.cost[p]
	}
	costly := r.costly(x.tests)
	lead := map[int]rank{}
	ranks := make([]rank, len(x.tests))
	for i, p := range x.tests {
		root := r.root[p]
		ranks[i] = rank{cluster: block[root], leader: root, block: block[root], root: root, position: p}
		if s := costly[i]; s >= 0 {
			l, ok := lead[s]
			if !ok {
				l = ranks[i]
			}
			l.cluster = max(l.cluster, block[root])
			lead[s] = l
		}
	}
	x.top = 0
	for i := range ranks {
		if s := costly[i]; s >= 0 {
			ranks[i].cluster, ranks[i].leader = lead[s].cluster, lead[s].leader
		}
		x.top = max(x.top, ranks[i].block)
	}
	slices.SortFunc(ranks, func(a, b rank) int {
		return cmp.Or(
			cmp.Compare(b.cluster, a.cluster), cmp.Compare(a.leader, b.leader),
			cmp.Compare(b.block, a.block), cmp.Compare(a.root, b.root),
			cmp.Compare(a.position, b.position))
	})
	for i := range ranks {
		x.tests[i] = ranks[i].position
	}
}

// costly returns for each test the dearest of the set-ups that some but not all of
// the tests need and that may cost more than the longest of those, or -1. Of tests
// that stay together it is the dearest of all of them.
func (r *simulator) costly(tests []int32) []int {
	need, longest := map[int]int{}, map[int]int64{}
	for _, p := range tests {
		for _, s := range r.test(p).Setups {
			need[s]++
			longest[s] = max(longest[s], r.cost[p])
		}
	}
	out := make([]int, len(tests))
	for i, p := range tests {
		out[i] = -1
		for _, s := range r.test(p).Setups {
			if need[s] < 2 || need[s] == len(tests) || r.repeats(s, need[s]) <= longest[s] {
				continue
			}
			if o := out[i]; o < 0 || r.dearer(int32(s), int32(o)) {
				out[i] = s
			}
		}
	}
	byRoot := map[int32]int{}
	for i, p := range tests {
		if s, o := out[i], byRoot[r.root[p]]-1; s >= 0 && (o < 0 || r.dearer(int32(s), int32(o))) {
			byRoot[r.root[p]] = s + 1
		}
	}
	for i, p := range tests {
		out[i] = byRoot[r.root[p]] - 1
	}
	return out
}

// repeats returns what a set-up may cost where tests that need it are not next to
// each other. pytest tears down what a class has set up when a test of another class
// is next, and what has a parameter when one with another parameter is; everything
// else stays.
func (r *simulator) repeats(s, tests int) int64 {
	id := r.suite.Setups[s].ID
	if _, _, parameters := id.Parts(); parameters != "" || id.Scope() == timing.ClassScope {
		return r.setup[s] * int64(tests-1)
	}
	return r.setup[s]
}
