package shard

import (
	"cmp"
	"slices"

	"github.com/wcshard/wcshard/timing"
)

// pytest has one instance of a fixture with parameters at a time: when a test needs
// another one, it tears down the one that is there (FixtureDef.execute). In one
// process it sorts the tests of all files by such a parameter, so that there is one
// change for each (reorder_items). Workers take file after file, where each may have
// tests for all parameters. What is built on such an instance goes with it, and has its
// parameters in its ID as well.

// family returns what the IDs of all instances of a fixture have in common, where it
// has parameters and tests of several files may need it; else "".
func family(id timing.SetupID) string {
	_, _, parameters := id.Parts()
	if parameters == "" || !id.OfFiles() {
		return ""
	}
	return string(id)[:len(id)-len(parameters)]
}

// families numbers the families from 1, and returns that of each set-up: 0 is none.
// Where a test needs several instances of one, it is no family.
func families(suite *Suite) (of []int32, count int) {
	of = make([]int32, len(suite.Setups))
	numbers := map[string]int32{}
	for s := range suite.Setups {
		name := family(suite.Setups[s].ID)
		if name == "" {
			continue
		}
		if numbers[name] == 0 {
			numbers[name] = int32(len(numbers) + 1)
		}
		of[s] = numbers[name]
	}
	if len(numbers) == 0 {
		return of, 0
	}
	last, several := make([]int, len(numbers)+1), map[int32]bool{} // test that needed one last
	for i := range suite.Tests {
		for _, s := range suite.Tests[i].Setups {
			if f := of[s]; f > 0 {
				several[f] = several[f] || last[f] == i+1
				last[f] = i + 1
			}
		}
	}
	for s, f := range of {
		if several[f] {
			of[s] = 0
		}
	}
	return of, len(numbers)
}

// quick is what takes so little that a worker may be sent more at once (AHEAD in
// shard/pytest/schedule.py), microseconds.
const quick = 50_000

// A cohort is tests of one file that need the same instance of a fixture, or none.
type cohort struct {
	instance int32 // set-up, from 1; 0: none
	tests    []int32
	load     int64 // of the tests
	inFile   int64 // what their module and classes set up
}

// byParameter offers orders in which all tests that need one instance of a fixture
// come before those that need the next one, whichever their files are; or each worker
// has one instance. It goes by the fixture whose instances cost most.
func (r *simulator) byParameter(pieces []draftPiece, workers int) [][]draftPiece {
	if r.families == 0 || r.unitWork <= 0 {
		return nil
	}
	tests := testsOf(pieces)
	if len(tests) > maxUnitTests {
		return nil
	}
	r.unitWork -= len(tests)
	instance := r.instances(tests)
	if instance == nil {
		return nil
	}
	r.unitWork -= 3 * len(tests)
	order := r.cohortsBy(pieces, instance)
	numbered := func(units [][]cohort) []draftPiece {
		numbers := make([]int32, len(tests))
		for n, list := range units {
			for _, c := range list {
				for _, p := range c.tests {
					at, _ := slices.BinarySearch(tests, p)
					numbers[at] = int32(n + 1)
				}
			}
		}
		return r.bundle(pieces, tests, numbers)
	}
	var some, none [][]cohort
	for _, c := range order {
		to := &some
		if c.instance == 0 {
			to = &none
		}
		// Quick ones are sent several at a time, and the first of the next instance is
		// not to be among them.
		if n := len(*to); n > 0 && (*to)[n-1][0].instance == c.instance && loadOf((*to)[n-1]) < quick {
			(*to)[n-1] = append((*to)[n-1], c)
		} else {
			*to = append(*to, []cohort{c})
		}
	}
	out := [][]draftPiece{numbered(slices.Concat(some, none))}
	if len(none) > 0 {
		out = append(out, numbered(slices.Concat(none, some)))
	}
	if units := r.specialize(order, workers); units != nil && r.known(tests) {
		out = append(out, numbered(slices.Concat(units, none)))
	}
	return out
}

func loadOf(list []cohort) int64 {
	sum := int64(0)
	for _, c := range list {
		sum += c.load + c.inFile
	}
	return sum
}

// cohortsBy divides pieces into cohorts, by the instance that each root needs: first
// those of the instance whose tests take longest, and of each instance the longest first.
func (r *simulator) cohortsBy(pieces []draftPiece, instance map[int32]int32) []cohort {
	type key struct{ instance, part int32 }
	index := map[key]int{}
	var order []cohort
	loads, first := map[int32]int64{}, map[int32]int32{} // of all tests of an instance, and the first of them
	for i := range pieces {
		x := &pieces[i]
		for _, p := range x.tests {
			k := key{instance[r.root[p]], -1 - x.file}
			if x.cut || r.spans[r.root[p]] {
				k.part = r.root[p]
			}
			at, ok := index[k]
			if !ok {
				at = len(order)
				index[k] = at
				order = append(order, cohort{instance: k.instance})
			}
			order[at].tests = append(order[at].tests, p)
			order[at].load += r.cost[p]
			loads[k.instance] += r.cost[p]
			if other, ok := first[k.instance]; !ok || p < other {
				first[k.instance] = p
			}
		}
	}
	for i := range order {
		order[i].inFile = r.once(r.inFile, order[i].tests)
	}
	slices.SortFunc(order, func(a, b cohort) int {
		return cmp.Or(
			cmp.Compare(loads[b.instance], loads[a.instance]), cmp.Compare(first[a.instance], first[b.instance]),
			cmp.Compare(b.load, a.load), cmp.Compare(a.tests[0], b.tests[0]))
	})
	return order
}

// specialize gives each worker one instance: as many workers to each as its tests
// take. It is nil where there are fewer workers than instances.
func (r *simulator) specialize(order []cohort, workers int) [][]cohort {
	var groups [][]cohort
	var loads []int64
	for i, c := range order {
		if c.instance == 0 {
			continue
		}
		if len(groups) == 0 || c.instance != order[i-1].instance {
			groups, loads = append(groups, nil), append(loads, 0)
		}
		groups[len(groups)-1] = append(groups[len(groups)-1], c)
		loads[len(loads)-1] += c.load
	}
	if len(groups) > workers {
		return nil
	}
	staff := slices.Repeat([]int{1}, len(groups))
	for range workers - len(groups) {
		slowest, most := 0, int64(-1)
		for g := range groups {
			if w := r.setup[groups[g][0].instance-1] + loads[g]/int64(staff[g]); w > most && staff[g] < len(groups[g]) {
				slowest, most = g, w
			}
		}
		if most < 0 {
			break
		}
		staff[slowest]++
	}
	var units [][]cohort
	for g, list := range groups { // the longest first, to whoever has least
		own, took := make([][]cohort, staff[g]), make([]int64, staff[g])
		for _, c := range list {
			w := 0
			for k := range took {
				if took[k] < took[w] {
					w = k
				}
			}
			own[w] = append(own[w], c)
			took[w] += c.load
		}
		units = append(units, own...)
	}
	return units
}

// instances returns which instance of the dearest family the tests of each root need:
// set-ups from 1; 0 is none. It is nil where there is no choice.
func (r *simulator) instances(tests []int32) map[int32]int32 {
	count, cost := make([]int, r.families+1), make([]int64, r.families+1)
	first := make([]int32, r.families+1) // instance of each family, by name
	seen := map[int]bool{}
	for _, p := range tests {
		for _, s := range r.test(p).Setups {
			if f := r.family[s]; f > 0 && !seen[s] {
				seen[s] = true
				cost[f] += r.setup[s]
				if count[f]++; count[f] == 1 || r.compareSetups(int32(s), first[f]) < 0 {
					first[f] = int32(s)
				}
			}
		}
	}
	dearest := int32(0)
	for f := range int32(r.families + 1) {
		if count[f] > 1 && (cost[f] > cost[dearest] || dearest > 0 && cost[f] == cost[dearest] && r.compareSetups(first[f], first[dearest]) < 0) {
			dearest = f
		}
	}
	if dearest == 0 {
		return nil
	}
	of := map[int32]int32{}
	for _, p := range tests {
		for _, s := range r.test(p).Setups {
			if r.family[s] == dearest && of[r.root[p]] == 0 {
				of[r.root[p]] = int32(s) + 1
			}
		}
	}
	return of
}
