package shard

import (
	"slices"
	"time"

	"github.com/wcshard/wcshard/timing"
)

// A Unit is tests that no plan parts: those of one group, or one test.
type Unit struct {
	Tests  []timing.NodeID // in the order of the suite
	Took   time.Duration   // by the tests themselves
	Setups []int           // what they need, by index into Suite.Setups, ascending
	Whole  time.Duration   // Took, and each of Setups once
}

// Heaviest finds, among the shards of a plan that are within a hundredth of the
// longest, the one with the unit that takes longest with what it sets up. It
// returns that unit, and what each worker of the shard pays beside its tests: the
// base, all imports, and its share of the other set-ups, each taken once.
func (s *Suite) Heaviest(plan *Plan) (shard *Shard, unit Unit, paid time.Duration) {
	shard = &plan.Shards[0]
	in := map[timing.NodeID]int{} // test → its shard, of those that are as long
	for i := range plan.Shards {
		if x := &plan.Shards[i]; x.Wall >= shard.Wall-shard.Wall/100 && x.Kind == shard.Kind {
			for _, id := range x.IDs() {
				in[id] = i
			}
		}
	}
	type key struct {
		group string
		id    timing.NodeID
	}
	units := map[key]*Unit{}
	var order []*Unit
	for i := range s.Tests {
		t := &s.Tests[i]
		if _, ok := in[t.ID]; !ok {
			continue
		}
		k := key{group: t.Group}
		if t.Group == "" {
			k.id = t.ID
		}
		u := units[k]
		if u == nil {
			u = &Unit{}
			units[k] = u
			order = append(order, u)
		}
		u.Tests = append(u.Tests, t.ID)
		u.Took += t.Estimate.Wall
		u.Setups = append(u.Setups, t.Setups...)
	}
	for _, u := range order {
		u.Whole = u.Took + s.once(&u.Setups)
		if u.Whole > unit.Whole {
			unit = *u
		}
	}
	if len(unit.Tests) > 0 {
		shard = &plan.Shards[in[unit.Tests[0]]]
	}
	var all []int
	for _, u := range order {
		if &plan.Shards[in[u.Tests[0]]] == shard {
			all = append(all, u.Setups...)
		}
	}
	s.once(&all)
	imports, others := time.Duration(0), time.Duration(0)
	for _, k := range all {
		if s.Setups[k].Import {
			imports += s.Setups[k].Cost
		} else {
			others += s.Setups[k].Cost
		}
	}
	return shard, unit, s.BaseOf(shard.Workers) + imports + others/time.Duration(max(1, shard.Workers))
}

// Units counts what the tests can be parted into.
func (s *Suite) Units() int {
	groups, n := map[string]bool{}, 0
	for i := range s.Tests {
		if g := s.Tests[i].Group; g != "" {
			groups[g] = true
		} else {
			n++
		}
	}
	return n + len(groups)
}

// once sorts set-ups, and returns what each of them costs once.
func (s *Suite) once(setups *[]int) time.Duration {
	slices.Sort(*setups)
	*setups = slices.Compact(*setups)
	sum := time.Duration(0)
	for _, k := range *setups {
		sum += s.Setups[k].Cost
	}
	return sum
}
