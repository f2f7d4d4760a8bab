package timing

import (
	"slices"
	"time"
)

// What is taken for sessions where they do not tell.
const (
	// What the end of a session in one process takes beside what grows with its
	// tests, and that for each of them at most: Python takes all of them apart.
	// Measured with pytest 9.2 on scipy, statsmodels, xarray and pandas: 0.02 to 0.35 s
	// and 0.05 to 0.2 ms.
	shortEnd  = 100 * time.Millisecond
	endByTest = 250 * time.Microsecond

	// The same of collection, without imports: pytest makes an item of each test.
	// Measured there: 0.03 to 0.12 s and 0.03 to 0.1 ms.
	shortCollect  = 50 * time.Millisecond
	collectByTest = 250 * time.Microsecond

	// What xdist takes beside its controller's start, which is as long as a
	// worker's: until the workers have their first tests, and until they have
	// ended. Measured with two workers, pytest 9.2 and xdist 3.8: 0.15 to 0.25 s.
	xdistTook = 200 * time.Millisecond
)

// Session returns what a job with so many workers pays besides its tests and
// imports: the interpreter, plugins, conftest and collection of a worker, and
// the session's end. What each test adds to collection and that end is left out where
// the tests' own times have it: for an estimator of one-worker jobs. Where no job is known
// that had several workers, or one, as this one has, it is of those that had not,
// with or without what xdist takes. It is 0 where nothing is known.
func (e *Estimator) Session(workers int) time.Duration {
	for _, xdist := range [...]bool{workers > 1, workers <= 1} {
		samples := e.sessions(sessionID(xdist), workers)
		process := e.typicalOf(samples, func(s *sample) int64 { return s.setup })
		start := e.typicalOf(samples, func(s *sample) int64 {
			if xdist || e.byTest == 0 {
				return s.setup + s.call
			}
			return s.setup + without(s.call, e.collect, s.rise, shortCollect)
		})
		rest := e.typicalOf(samples, func(s *sample) int64 {
			if xdist || e.byTest == 0 {
				return s.other
			}
			if s.rise == 0 {
				return 0 // of an earlier version, which did not count the tests
			}
			return without(s.other, e.end, s.rise, shortEnd)
		})
		if start+rest == 0 {
			continue
		}
		switch more := process + xdistTook.Microseconds(); {
		case workers > 1 && !xdist:
			rest += more
		case workers <= 1 && xdist:
			rest = max(0, rest-more)
		}
		return time.Duration(start+rest) * time.Microsecond
	}
	return 0
}

// grown returns what each test adds to a part of a session in one process,
// microseconds: to what that takes above what is short, most at most; 0 where that is
// not known.
func (e *Estimator) grown(part func(*sample) int64, short, most time.Duration) int64 {
	var values []int64
	for _, s := range e.sessions(sessionID(false), 1) {
		if took := part(&s); took > 0 && s.rise > 0 {
			values = append(values, min(max(0, took-short.Microseconds())/s.rise, most.Microseconds()))
		}
	}
	return typical(values)
}

// without returns what is left of a part of a session when each of its tests has taken
// what it adds.
func without(took, byTest, tests int64, short time.Duration) int64 {
	return max(min(took, short.Microseconds()), took-byTest*tests)
}

// sessions returns the samples of sessions of the class of runner: those with so
// many workers where there are any, since workers that start at the same time
// are in each other's way.
func (e *Estimator) sessions(id string, workers int) []sample {
	i, ok := slices.BinarySearchFunc(e.h.series[sessionKind], id, compareID)
	if !ok {
		return nil
	}
	all := e.recent(e.h.series[sessionKind][i].samples)
	if e.workers == nil {
		return all
	}
	var alike []sample
	for _, s := range all {
		if e.workers[s.source] == workers {
			alike = append(alike, s)
		}
	}
	if len(alike) == 0 {
		return all
	}
	return alike
}
