package shard

import (
	"slices"
	"time"

	"github.com/wcshard/wcshard/timing"
)

// A Unit is tests that no plan parts: those of one xdist_group, or one test.
type Unit struct {
	Group  string          // "" for a single test
	Tests  []timing.NodeID // in the order of the suite
	Took   time.Duration   // by the tests themselves
	Setups []int           // what they need, by index into Suite.Setups, ascending
	Whole  time.Duration   // Took, and each of Setups once
}

// Heaviest returns the unit of a shard that takes longest, with what it sets up;
// the zero Unit where the suite has none of the shard's tests.
func (s *Suite) Heaviest(shard *Shard) Unit {
	in := map[timing.NodeID]bool{}
	for _, id := range shard.IDs() {
		in[id] = true
	}
	type key struct {
		group string
		id    timing.NodeID
	}
	units := map[key]*Unit{}
	var order []*Unit
	for i := range s.Tests {
		t := &s.Tests[i]
		if !in[t.ID] {
			continue
		}
		k := key{group: t.Group}
		if t.Group == "" {
			k.id = t.ID
		}
		u := units[k]
		if u == nil {
			u = &Unit{Group: t.Group}
			units[k] = u
			order = append(order, u)
		}
		u.Tests = append(u.Tests, t.ID)
		u.Took += t.Estimate.Wall
		u.Setups = append(u.Setups, t.Setups...)
	}
	top := Unit{}
	for _, u := range order {
		u.Whole = u.Took + s.setUp(u)
		if u.Whole > top.Whole {
			top = *u
		}
	}
	return top
}

// setUp sorts a unit's set-ups, and returns what they cost once.
func (s *Suite) setUp(u *Unit) time.Duration {
	slices.Sort(u.Setups)
	u.Setups = slices.Compact(u.Setups)
	sum := time.Duration(0)
	for _, k := range u.Setups {
		sum += s.Setups[k].Cost
	}
	return sum
}

// SetUpOnce returns what all set-ups that a shard's tests need cost once.
func (s *Suite) SetUpOnce(shard *Shard) time.Duration {
	in := map[timing.NodeID]bool{}
	for _, id := range shard.IDs() {
		in[id] = true
	}
	var all Unit
	for i := range s.Tests {
		if in[s.Tests[i].ID] {
			all.Setups = append(all.Setups, s.Tests[i].Setups...)
		}
	}
	return s.setUp(&all)
}
