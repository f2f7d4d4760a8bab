package shard

import (
	"math"
	"slices"
)

// staff finds the workers of a job, up to so many: all of them where whatever
// they run at the same time fits, else as many as are fastest when tests wait
// for memory. More workers take more floors, fewer have fewer cores. One takes over
// where it is done as soon, since it starts sooner: a suite that takes seconds to
// start does so twice with xdist, before there is a worker. It settles the pieces,
// and returns the wall time, start-up and imports included, and what the tests need
// together.
func (r *runner) staff(pieces []stretch, tests []int32, workers int, budget int64) (best int, wall, use int64) {
	most := r.units(pieces, true, workers)
	job := room{budget: budget, floor: r.suite.Floor, controller: r.suite.Controller}
	var unsettled []stretch
	if r.suite.BaseOf(1) < r.suite.BaseOf(most) {
		unsettled = duplicate(pieces)
	}
	best, wall, use = r.staffWithin(pieces, tests, most, job)
	if best == 1 || unsettled == nil {
		return best, wall, use
	}
	if alone := micros(r.suite.BaseOf(1)) + r.loaded + r.load(tests); alone-wall <= wall/1000*fine {
		copy(pieces, unsettled)
		best, wall = r.employ(pieces, tests, 1, job)
		r.spare, use = 0, r.peak
	}
	return best, wall, use
}

// staffWithin finds the workers of a job for the memory that it has.
func (r *runner) staffWithin(pieces []stretch, tests []int32, most int, job room) (best int, wall, use int64) {
	staffs := r.candidates(tests, most, job)
	if len(staffs) == 1 {
		best, wall = r.employ(pieces, tests, staffs[0], job)
		r.spare = 0
		return best, wall, r.peak
	}
	wall = math.MaxInt64
	for _, w := range staffs {
		trial := duplicate(pieces)
		n, t := r.employ(trial, tests, w, job)
		// Workers that save next to nothing are not worth their memory.
		if best == 0 || t < wall || t-wall <= wall/1000*fine {
			best, wall, use = n, t, r.peak
			r.spare = most - w
			copy(pieces, trial)
		}
	}
	return best, wall, use
}

// duplicate returns pieces that can be settled without those.
func duplicate(pieces []stretch) []stretch {
	out := slices.Clone(pieces)
	for i := range out {
		out[i].tests = slices.Clone(out[i].tests)
	}
	return out
}

// maxStaffs bounds the numbers of workers that are priced for one job.
const maxStaffs = 8

// candidates returns the numbers of workers to price, falling: from the most
// that there may be down to the most for which all fits.
func (r *runner) candidates(tests []int32, most int, job room) []int {
	if job.budget == 0 {
		return []int{most}
	}
	least := most
	for least > 1 && r.meeting(tests, least) > job.of(least) {
		least--
	}
	var list []int
	step := max(1, (most-least+maxStaffs-1)/maxStaffs)
	for w := most; w > least; w -= step {
		list = append(list, w)
	}
	return append(list, least)
}

// employ settles the pieces for so many workers, or for fewer where some would
// have nothing to do, sets r.peak, and returns the wall time, start-up and imports
// included.
func (r *runner) employ(pieces []stretch, tests []int32, workers int, job room) (int, int64) {
	for {
		r.paid = micros(r.suite.BaseOf(workers)) + r.loaded
		need := r.meeting(tests, workers)
		r.limit = job.of(workers)
		r.limited = job.budget > 0 && workers > 1 && need > r.limit
		if r.limited && r.limit < 0 {
			return workers, math.MaxInt64 // not even the workers themselves fit
		}
		wall := r.settle(pieces, workers)
		if !r.limited {
			r.peak = need
		}
		if workers == 1 {
			r.peak = r.inTurn(pieces)
		}
		r.limited = false
		n := r.units(pieces, false, workers)
		if n == workers && wall == math.MaxInt64 {
			return workers, wall // not even a worker that starts afresh has room
		}
		if n == workers {
			return workers, r.paid + wall
		}
		workers = n
	}
}

// inTurn returns the most that one worker comes to over its floor.
func (r *runner) inTurn(pieces []stretch) int64 {
	top, kept, use := int64(0), int64(0), int64(0)
	for i := range pieces {
		for _, p := range pieces[i].tests {
			use, kept = r.demand(p, kept)
			top = max(top, use)
		}
	}
	return top
}

// expect returns the expected peak of a job whose tests need so much together.
// Where no floor is known, it is the sum of the highest peaks.
func (r *runner) expect(tests []int32, workers int, use int64) int64 {
	if r.suite.Floor > 0 {
		return use - room{floor: r.suite.Floor, controller: r.suite.Controller}.of(workers)
	}
	peaks := make([]int64, 0, len(tests))
	for _, p := range tests {
		peaks = append(peaks, r.test(p).Estimate.Peak)
	}
	slices.Sort(peaks)
	sum := int64(0)
	for _, peak := range peaks[max(0, len(peaks)-workers):] {
		sum += peak
	}
	return sum
}
