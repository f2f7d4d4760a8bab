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
	ID    SetupID       // by the first of its tests
	Cost  time.Duration // of the start
	Tests []NodeID      // that have used it, also in what their files have become; sorted, at least one
}

// Pools returns the pools of processes that tests used in their newest runs, sorted by
// ID. Tests that have ever used the same processes share a pool, and so do those that
// share one with the same test: which of them starts it hangs on their order. (Two
// kinds of processes that one test uses count as one pool, at the price of one.) Which
// files were renamed is known after Tests.
func (e *Estimator) Pools() []Pool {
	joined := map[SetupID]SetupID{} // a pool by another one, up to one of each group
	group := func(id SetupID) SetupID {
		for joined[id] != "" {
			id = joined[id]
		}
		return id
	}
	of := map[NodeID][]SetupID{} // by test
	current := map[NodeID]bool{}
	type run struct {
		test   NodeID
		source int32
	}
	grew := map[run]bool{} // where a test has used a pool that another one had started
	for _, s := range e.h.series[fixtureKind] {
		test, id, is := useIn(s.id)
		if !is || !id.Pool() {
			continue
		}
		if of[test] != nil {
			if a, b := group(of[test][0]), group(id); a != b {
				joined[max(a, b)] = min(a, b)
			}
		}
		of[test] = append(of[test], id)
		if starter := id.starter(); starter != test {
			for i := range s.samples {
				grew[run{test, s.samples[i].source}] = true
			}
		}
		current[test] = current[test] || e.newestOf(test, s)
	}
	whole, grown := map[SetupID][]int64{}, map[SetupID][]int64{} // costs by group: of new pools, and of those that only got larger
	for i, s := range e.h.series[fixtureKind] {
		id := SetupID(s.id)
		if !id.Pool() {
			continue
		}
		cost := func(grows bool) int64 {
			return e.sharedAt(fixtureKind, i, func(s *sample) int64 {
				if grew[run{id.starter(), s.source}] != grows {
					return 0 // which does not count
				}
				return s.setup
			})
		}
		if us := cost(false); us > 0 {
			whole[group(id)] = append(whole[group(id)], us)
		} else {
			grown[group(id)] = append(grown[group(id)], cost(true))
		}
	}
	tests := map[SetupID][]NodeID{} // by group
	for test, ids := range of {
		if current[test] {
			for _, file := range append(e.renamedFrom(test.File()), test.File()) {
				tests[group(ids[0])] = append(tests[group(ids[0])], NodeID(file+test.Rest()))
			}
		}
	}
	var list []Pool
	for id, users := range tests {
		slices.Sort(users)
		costs := whole[id]
		if len(costs) == 0 {
			costs = grown[id]
		}
		if cost := median(costs); cost > 0 {
			list = append(list, Pool{ID: SetupID(poolPrefix + string(users[0])), Cost: time.Duration(cost) * time.Microsecond, Tests: users})
		}
	}
	slices.SortFunc(list, func(a, b Pool) int { return cmp.Compare(a.ID, b.ID) })
	return list
}

// newestOf reports whether the run that ran a test last on runners like these has a
// sample of a series.
func (e *Estimator) newestOf(test NodeID, s series) bool {
	i, ok := slices.BinarySearchFunc(e.h.series[testKind], string(test), compareID)
	if !ok {
		return false
	}
	source, ok := e.lastRan(e.h.series[testKind][i])
	return ok && e.sameRun(s, source)
}
