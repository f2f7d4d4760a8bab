package shard

import "slices"

// A job is what a crew is to be found for.
type job struct {
	room
	tests  []int32
	loaded int64 // what a worker of it takes for imports
}

// A staffing is a job's workers, and how they run its pieces.
type staffing struct {
	outlook
	pieces  []draftPiece
	workers int
	spare   int // workers that it goes without for the sake of memory
}

// staff finds the workers of a job, up to so many: all of them where whatever
// they run at the same time fits, else as many as are fastest when tests wait
// for memory. More workers take more floors, fewer have fewer cores. One takes over
// where it is done as soon, since it starts sooner: a suite that takes seconds to
// start does so twice with xdist, before there is a worker. The wall time is with
// start-up and imports. The pieces are the staffing's, then.
func (r *simulator) staff(pieces []draftPiece, workers int, j job) staffing {
	most := r.countBlocks(j.tests, workers)
	var unsettled []draftPiece
	if r.suite.BaseOf(1) < r.suite.BaseOf(most) {
		unsettled = duplicate(pieces)
	}
	best := r.staffWithin(pieces, most, j)
	if best.workers == 1 || unsettled == nil {
		return best
	}
	if alone := micros(r.suite.BaseOf(1)) + j.loaded + r.load(j.tests); alone-best.wall <= best.wall/1000*fine {
		return r.employ(unsettled, 1, j)
	}
	return best
}

// staffWithin finds the workers of a job for the memory that it has.
func (r *simulator) staffWithin(pieces []draftPiece, most int, j job) staffing {
	numbers := r.candidates(most, j)
	if len(numbers) == 1 {
		return r.employ(pieces, numbers[0], j)
	}
	var best staffing
	for _, n := range numbers {
		trial := r.employ(duplicate(pieces), n, j)
		trial.spare = most - n
		// Workers that save next to nothing are not worth their memory.
		if best.workers == 0 || trial.wall < best.wall || trial.wall-best.wall <= best.wall/1000*fine {
			best = trial
		}
	}
	return best
}

// duplicate returns pieces that can be settled without those.
func duplicate(pieces []draftPiece) []draftPiece {
	out := slices.Clone(pieces)
	for i := range out {
		out[i].tests = slices.Clone(out[i].tests)
	}
	return out
}

// maxCrews bounds the numbers of workers that are priced for one job.
const maxCrews = 8

// candidates returns the numbers of workers to price, falling: from the most
// that there may be down to the most for which all fits.
func (r *simulator) candidates(most int, j job) []int {
	if j.budget == 0 {
		return []int{most}
	}
	least := most
	for least > 1 && r.meeting(j.tests, least) > j.of(least) {
		least--
	}
	var list []int
	step := max(1, (most-least+maxCrews-1)/maxCrews)
	for w := most; w > least; w -= step {
		list = append(list, w)
	}
	return append(list, least)
}

// employ settles the pieces for so many workers, or for fewer where some would
// have nothing to do.
func (r *simulator) employ(pieces []draftPiece, workers int, j job) staffing {
	for {
		c := crew{workers: workers, paid: micros(r.suite.BaseOf(workers)) + j.loaded, limit: unlimited}
		need := r.meeting(j.tests, workers)
		if have := j.of(workers); j.budget > 0 && workers > 1 && need > have {
			if c.limit = have; have < 0 { // not even the workers themselves fit
				return staffing{outlook: outlook{wall: never}, pieces: pieces, workers: workers}
			}
		}
		out := r.settle(pieces, c)
		switch {
		case workers == 1:
			out.peak = r.inTurn(pieces)
		case c.limit == unlimited:
			out.peak = need
		}
		n := r.countUnits(pieces, workers)
		if n == workers {
			if out.wall < never { // else not even a worker that starts afresh has room
				out.wall += c.paid
			}
			return staffing{outlook: out, pieces: pieces, workers: workers}
		}
		workers = n
	}
}

// inTurn returns the most that one worker comes to over its floor.
func (r *simulator) inTurn(pieces []draftPiece) int64 {
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
func (r *simulator) expect(tests []int32, workers int, use int64) int64 {
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
