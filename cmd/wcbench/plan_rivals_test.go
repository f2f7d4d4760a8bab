package main

import (
	"strings"
	"testing"
)

// A rival knows nothing of new tests: pytest-split takes each for the mean of those that
// it has recorded, and so spreads them over the jobs.
func TestSplitByPluginNewTests(t *testing.T) {
	cache, err := cacheDir()
	if err != nil {
		t.Fatal(err)
	}
	rivals, err := installPlugins(t.Context(), cache)
	if err != nil {
		t.Fatal(err)
	}
	known := recording{"x.json", []measured{
		{"a.py::1", 4e9}, {"a.py::2", 4e9}, {"a.py::3", unknown}, {"a.py::4", unknown}, {"a.py::5", unknown}, {"a.py::6", unknown},
	}}
	tried := 0
	for _, p := range rivals {
		if !strings.HasPrefix(p.name, "pytest-split") {
			continue
		}
		tried++
		jobs, cost, err := p.split(t.Context(), known, []int{2, 3})
		if err != nil {
			t.Fatal(err)
		}
		for i, n := range []int{2, 3} {
			tests := make([]int, n)
			for _, job := range jobs[i] {
				tests[job]++
			}
			for _, have := range tests {
				if have != 6/n {
					t.Errorf("%s over %d jobs: %v tests, want as many in each", p.name, n, tests)
				}
			}
		}
		if cost.CPU <= 0 || cost.CPU > 1 {
			t.Errorf("%s took %v CPU seconds for six tests", p.name, cost.CPU)
		}
	}
	if tried != 2 {
		t.Errorf("%d algorithms of pytest-split, want 2", tried)
	}
}
