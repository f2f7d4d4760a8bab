package main

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/wcshard/wcshard/shard"
	"github.com/wcshard/wcshard/shard/pytest"
	"github.com/wcshard/wcshard/timing"
)

// Libraries that the same files need are one set-up, what is not known or takes
// next to nothing is none, and each file pays for itself besides.
func TestSharedLibraries(t *testing.T) {
	const ms = time.Millisecond
	results := &timing.Results{
		Header: timing.ResultsHeader{Run: "1", Shards: []string{"a"}, Attempt: 1, Runner: "local", Workers: 1, Started: time.Unix(1_800_000_000, 0).UTC(), CPUs: 1},
		Workers: []timing.WorkerResult{{Worker: "main", Collect: time.Second, Imports: map[string]time.Duration{
			"import numpy": 70 * ms, "import numpy.linalg": 30 * ms, "import scipy.stats": 200 * ms, "import tiny": ms, "import gone": 300 * ms, "a.py": 10 * ms,
		}}},
	}
	history := timing.FromResults(results)
	array, stats := []string{"numpy", "numpy.linalg", "tiny", "unknown"}, []string{"numpy", "numpy.linalg", "scipy.stats"}
	c := &pytest.Collection{Libraries: map[string][]string{"a.py": array, "b.py": stats, "c.py": stats, "d.py": nil}}
	for _, file := range []string{"a.py", "b.py", "c.py", "d.py"} {
		c.Tests = append(c.Tests, pytest.CollectedTest{ID: timing.NodeID(file + "::x")})
	}
	suite := makeSuite(c, history, shard.Fleet{Shards: 2, Workers: 1, CPUs: 1, Runner: "local"}, nil)
	got := map[string]map[string]time.Duration{}
	for _, test := range suite.Tests {
		file := test.ID.File()
		got[file] = map[string]time.Duration{}
		for _, k := range test.Setups {
			s := suite.Setups[k]
			got[file][string(s.ID)] = s.Cost
			if !s.Import {
				t.Errorf("%s is no import", s.ID)
			}
		}
	}
	want := map[string]map[string]time.Duration{
		"a.py": {"a.py": 10 * ms, "import numpy": 100 * ms},
		"b.py": {"b.py": 10 * ms, "import numpy": 100 * ms, "import scipy.stats": 200 * ms},
		"c.py": {"c.py": 10 * ms, "import numpy": 100 * ms, "import scipy.stats": 200 * ms},
		"d.py": {"d.py": 10 * ms},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("set-ups are %v, want %v", got, want)
	}
}

// A library that tests import while they run is a set-up of the files whose tests
// are known to, and of those that import it themselves; others may need it where
// tests of several files do.
func TestLateLibraries(t *testing.T) {
	const ms = time.Millisecond
	results := &timing.Results{
		Header:  timing.ResultsHeader{Run: "1", Shards: []string{"a"}, Attempt: 1, Runner: "local", Workers: 1, Started: time.Unix(1_800_000_000, 0).UTC(), CPUs: 1},
		Workers: []timing.WorkerResult{{Worker: "main", Collect: time.Second, Startup: time.Second}},
	}
	importing := map[int]string{2: "early", 11: "early", 30: "both", 35: "lone"}
	c := &pytest.Collection{Libraries: map[string][]string{"c.py": {"both", "other"}}}
	for n := range 40 {
		id := timing.NodeID(fmt.Sprintf("%c.py::x[%d]", 'a'+n/10, n))
		c.Tests = append(c.Tests, pytest.CollectedTest{ID: id})
		test := timing.TestResult{ID: id, Outcome: timing.Passed, Wall: time.Second, Call: 10 * ms}
		if name, is := importing[n]; is {
			test.Fixtures = []timing.FixtureResult{{ID: timing.LibraryID(name), Setup: 100 * ms}}
			if n < 20 { // one of two parts
				test.Fixtures[0].Setup = 50 * ms
			}
		}
		results.Tests = append(results.Tests, test)
	}
	suite := makeSuite(c, timing.FromResults(results), shard.Fleet{Shards: 4, Workers: 1, CPUs: 1, Runner: "local"}, nil)
	late := map[string]float64{}
	for _, l := range suite.Late {
		late[string(suite.Setups[l.Setup].ID)] = l.Every
	}
	if want := map[string]float64{"import early": 3}; !reflect.DeepEqual(late, want) {
		t.Errorf("others need %v, want %v", late, want)
	}
	for _, test := range suite.Tests {
		got := map[string]bool{} // whether each worker of a job pays it
		for _, k := range test.Setups {
			if s := suite.Setups[k]; s.Cost != 100*ms {
				t.Errorf("%s takes %v, want 100ms", s.ID, s.Cost)
			}
			got[string(suite.Setups[k].ID)] = suite.Setups[k].Import
		}
		want := map[string]map[string]bool{
			"a.py": {"import early": false}, "b.py": {"import early": false}, "c.py": {"import both": true},
			"d.py": {"import both": true, "import lone": false},
		}[test.ID.File()]
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s needs %v, want %v", test.ID, got, want)
		}
	}
}

// Tests that are marked to be skipped take no time, no fixtures and no memory job, but
// for those that run all the same; in a session of several shards the plan is believed.
func TestSkipMarkers(t *testing.T) {
	const file = "test_a.py"
	results := &timing.Results{
		Header:  timing.ResultsHeader{Run: "1", Shards: []string{"a"}, Attempt: 1, Runner: "local", Workers: 1, Started: time.Unix(1_800_000_000, 0).UTC(), CPUs: 1},
		Workers: []timing.WorkerResult{{Worker: "main", Startup: time.Second, Imports: map[string]time.Duration{file: time.Second}}},
	}
	for _, name := range []string{"runs", "runs_all_the_same"} {
		results.Tests = append(results.Tests, timing.TestResult{ID: timing.NodeID(file + "::" + name), Worker: "main", Outcome: timing.Passed, Call: time.Minute, Wall: 2 * time.Minute,
			Fixtures: []timing.FixtureResult{{ID: "session ::db", Setup: time.Minute}}})
	}
	results.Tests = append(results.Tests, timing.TestResult{ID: file + "::skipped", Worker: "main", Outcome: timing.Skipped, Marked: true, Wall: time.Millisecond})
	history := timing.FromResults(results)
	c := &pytest.Collection{Collector: shard.Collector{Pytest: "9.2.0"}}
	for name, markers := range map[string][]string{"runs": nil, "runs_all_the_same": {"heavy", "skip"}, "skipped": {"heavy", "skip"}, "new": {"heavy", "skip"}} {
		c.Tests = append(c.Tests, pytest.CollectedTest{ID: timing.NodeID(file + "::" + name), Markers: markers, Fixtures: []string{"session ::db"}})
	}
	fleet := shard.Fleet{Shards: 1, Workers: 1, CPUs: 1, Runner: "local"}
	suite := makeSuite(c, history, fleet, []string{"heavy"})
	for _, test := range suite.Tests {
		runs := strings.Contains(string(test.ID), "runs")
		if short := test.Estimate.Wall < time.Second; short == runs || test.Estimate.Rung != timing.Measured {
			t.Errorf("%s: %+v", test.ID, test.Estimate)
		}
		if len(test.Setups) != map[bool]int{true: 2, false: 1}[runs] {
			t.Errorf("%s needs %d set-ups", test.ID, len(test.Setups))
		}
		if test.Memory != strings.Contains(string(test.ID), "all_the_same") {
			t.Errorf("%s is a memory test: %v", test.ID, test.Memory)
		}
	}
	plan, err := shard.Pack(suite, fleet)
	if err != nil {
		t.Fatal(err)
	}
	var all []*shard.Shard
	for i := range plan.Shards {
		all = append(all, &plan.Shards[i])
	}
	s, err := together("all", plan, all, 1, history, fleet)
	if err != nil || s.run.Wall > 5*time.Minute || s.run.Wall < 2*time.Minute {
		t.Errorf("together they take %v, %v", s.run.Wall, err)
	}
}
