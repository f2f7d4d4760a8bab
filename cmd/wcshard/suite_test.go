package main

import (
	"reflect"
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
			got[file][s.ID] = s.Cost
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
