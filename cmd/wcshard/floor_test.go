package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/wcshard/wcshard/shard"
	"github.com/wcshard/wcshard/timing"
)

// What sets the floor is what most of the longest job is, its start-up apart.
func TestFindFloor(t *testing.T) {
	tests := func(n int, took time.Duration) (all []shard.Test) {
		for k := range n {
			id := timing.NodeID(fmt.Sprintf("test_%d.py::test", k))
			all = append(all, shard.Test{ID: id, Order: k, Estimate: timing.Estimate{Wall: took, Rung: timing.Measured}})
		}
		return all
	}
	giant := tests(40, 100*time.Millisecond)
	giant[7].Estimate.Wall = time.Minute
	heavy := append(tests(1, time.Minute), tests(3, time.Second)...)
	for k := range heavy {
		heavy[k].ID, heavy[k].Memory = timing.NodeID(fmt.Sprintf("test_memory.py::test_%d", k)), true
	}
	mixed := tests(340, 100*time.Millisecond)
	for k := range mixed[:40] {
		mixed[k].Estimate.Wall = 600 * time.Millisecond
	}
	late := tests(1000, 100*time.Millisecond)
	late[7].Estimate.Wall = time.Minute
	late[0].Setups = []int{0}
	for _, c := range []struct {
		name  string
		suite shard.Suite
		fleet shard.Fleet
		want  string
		cuts  int
	}{
		{"start-up", shard.Suite{Base: 10 * time.Second, Tests: tests(300, 100*time.Millisecond)}, shard.Fleet{CPUs: 1}, "what jobs pay beside their tests sets the floor: start-up, imports and fixtures are 10.0 of the", 0},
		{"start-up, and one test of each job", shard.Suite{Base: 30 * time.Second, Tests: tests(12, 3*time.Second)}, shard.Fleet{CPUs: 1}, "what jobs pay beside their tests sets the floor: start-up, imports and fixtures are 30.0 of the 33.0 s", 0},
		{"start-up, with tests that more jobs could part", shard.Suite{Base: 28 * time.Second, Tests: mixed}, shard.Fleet{CPUs: 1}, "what jobs pay beside their tests sets the floor: start-up, imports and fixtures are 28.0 of the", 0},
		{"one test", shard.Suite{Base: 10 * time.Second, Tests: giant}, shard.Fleet{CPUs: 1}, "test_7.py::test alone sets the floor: 60.0 s", 1},
		{"one test, where jobs import much", shard.Suite{Base: time.Second, Tests: late, Setups: []shard.Setup{{ID: "import much", Cost: 10 * time.Second}}, Late: []shard.Late{{Every: 2}}}, shard.Fleet{CPUs: 1}, "test_7.py::test alone sets the floor: 60.0 s", 1},
		{"one test of a memory job", shard.Suite{Tests: heavy}, shard.Fleet{CPUs: 1, MemoryJobs: 4}, "test_memory.py::test_0 alone sets the floor: 60.0 s", 1},
		{"a memory job", shard.Suite{Tests: heavy[1:]}, shard.Fleet{CPUs: 1}, "mem-test_memory sets the floor: the memory tests of a file are one job, 3.0 s", 0},
		{"a memory job of as many as may be", shard.Suite{Tests: heavy[1:]}, shard.Fleet{CPUs: 1, MemoryJobs: 2}, "sets the floor: --memory-jobs 2 is what its memory module may have", 0},
	} {
		all, err := shard.Choices(c.suite, c.fleet, 1, 64, shard.Overhead{})
		if err != nil {
			t.Fatal(err)
		}
		got := findFloor(c.suite, all[shard.Floor(all)], 64)
		if !strings.Contains(got.reason, c.want) || len(got.cuts) != c.cuts || got.limit {
			t.Errorf("%s: findFloor() = %+v, want %q and %d cuts", c.name, got, c.want, c.cuts)
		}
	}
}

// Files whose tests may need much memory are joined until they have no more jobs than
// the pool: then the number of pool jobs is in the way.
func TestFloorOfDoubt(t *testing.T) {
	var suite shard.Suite
	for k := range 12 {
		suite.Tests = append(suite.Tests, shard.Test{
			ID: timing.NodeID(fmt.Sprintf("test_%02d.py::test", k)), Order: k,
			Estimate: timing.Estimate{Wall: 100 * time.Second, Rung: timing.Measured, Need: timing.Need{High: 12 << 30}},
		})
	}
	const most = 4
	all, err := shard.Choices(suite, shard.Fleet{CPUs: 1, Memory: 16 << 30, MemoryShare: 0.35}, 1, most, shard.Overhead{})
	if err != nil {
		t.Fatal(err)
	}
	got := findFloor(suite, all[shard.Floor(all)], most)
	if want := "files whose tests may need much memory have no more jobs than the pool, 300.0 s: more pool jobs may be faster"; !strings.Contains(got.reason, want) || !got.limit {
		t.Errorf("findFloor() = %+v, want %q", got, want)
	}
}
