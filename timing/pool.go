package timing

import (
	"cmp"
	"slices"
	"time"
)

// A Pool is processes that one test starts and others go on using, as joblib and
// concurrent.futures keep some: the first of them that runs in a process waits until
// they are there.
type Pool struct {
	ID    SetupID       // of one that was started
	Cost  time.Duration // of the start
	Tests []NodeID      // that have used it, sorted; at least one
}

// Pools returns the pools of processes that tests used in their newest runs, sorted by
// ID. Tests that have ever used the same processes share a pool, and so do those that
// share one with the same test: which of them starts it hangs on their order.
func (e *Estimator) Pools() []Pool {
	joined := map[SetupID]SetupID{} // a pool by another one, up to one of each group
	group := func(id SetupID) SetupID {
		for joined[id] != "" {
			id = joined[id]
		}
		return id
	}
	of := map[NodeID]SetupID{} // by test
	current := map[NodeID]bool{}
	var tests []NodeID
	for _, s := range e.h.series[fixtureKind] {
		test, id, is := useIn(s.id)
		if !is || !id.Pool() {
			continue
		}
		if of[test] == "" {
			of[test] = id
			tests = append(tests, test)
		} else if a, b := group(of[test]), group(id); a != b {
			joined[max(a, b)] = min(a, b)
		}
		current[test] = current[test] || e.newestOf(test, s)
	}
	costs := map[SetupID][]int64{} // some little ones are of pools that only grew
	for i, s := range e.h.series[fixtureKind] {
		if id := SetupID(s.id); id.Pool() {
			costs[group(id)] = append(costs[group(id)], e.sharedAt(fixtureKind, i, func(s *sample) int64 { return s.setup }))
		}
	}
	pools := map[SetupID]*Pool{}
	for _, test := range tests {
		id := group(of[test])
		cost := upperMedian(costs[id])
		if !current[test] || cost == 0 {
			continue
		}
		if pools[id] == nil {
			pools[id] = &Pool{ID: id, Cost: time.Duration(cost) * time.Microsecond}
		}
		pools[id].Tests = append(pools[id].Tests, test)
	}
	var list []Pool
	for _, p := range pools {
		slices.Sort(p.Tests)
		list = append(list, *p)
	}
	slices.SortFunc(list, func(a, b Pool) int { return cmp.Compare(a.ID, b.ID) })
	return list
}

// upperMedian returns the middle of values, of two the greater; 0 where there are none.
func upperMedian(values []int64) int64 {
	if len(values) == 0 {
		return 0
	}
	return slices.Sorted(slices.Values(values))[len(values)/2]
}

// newestOf reports whether the run that ran a test last has a sample of a series.
func (e *Estimator) newestOf(test NodeID, s series) bool {
	i, ok := slices.BinarySearchFunc(e.h.series[testKind], string(test), compareID)
	if !ok {
		return false
	}
	for _, t := range e.h.series[testKind][i].samples { // newest first
		if outcomes[t.outcome] != Crashed && !e.foreign[t.source] {
			return e.h.sources[t.source].run == e.h.sources[s.samples[0].source].run
		}
	}
	return false
}
