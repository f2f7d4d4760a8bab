package timing

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// From three values on, one of them, however wild, moves what is typical no
// further than to the nearest of the others.
func TestTypical(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.Int64Range(1, 1<<50)
		values := rapid.SliceOfN(value, 2, 20).Draw(t, "values")
		low, high := slices.Min(values), slices.Max(values)
		got := typical(append(slices.Clone(values), value.Draw(t, "wild")))
		if float64(got) < float64(low)*(1-1e-9) || float64(got) > float64(high)*(1+1e-9) {
			t.Errorf("typical() = %d, want %d to %d", got, low, high)
		}
	})
}

// What is more than twice the median is noise, though half of the values are.
func TestTypicalNoise(t *testing.T) {
	if got := typical([]int64{10, 25, 10, 25}); got != 10 {
		t.Errorf("typical() of two 10 and two 25 = %d, want 10", got)
	}
}

// Tests that share an ID take together what they took, however unlike they are.
func TestEstimateNamesakes(t *testing.T) {
	var all []*Results
	for k := range 5 {
		all = append(all, run(fmt.Sprint("r", k), int64(k+1), passed("a.py::t", 2), passed("a.py::t", 10_000), passed("a.py::t", 1)))
		if got, want := FromResults(all...).Estimator("linux").Tests([]NodeID{"a.py::t"})[0].Wall, 3334333*time.Microsecond; got != want {
			t.Errorf("after %d runs each takes %v, want %v", k+1, got, want)
		}
	}
	// However many they are, those of a job are kept together.
	h := &History{}
	for k := range 3 * DefaultKeep {
		r := run(fmt.Sprint("r", k), int64(k+1))
		for i := range 11 {
			r.Tests = append(r.Tests, passed("a.py::t", 1+i+989*(i/10)))
		}
		h.Merge(FromResults(r))
		h.Prune(Limits{})
	}
	if got, want := h.Estimator("linux").Tests([]NodeID{"a.py::t"})[0].Wall, 1055*time.Millisecond/11; got.Round(time.Millisecond) != want.Round(time.Millisecond) {
		t.Errorf("eleven tests of one ID take %v each, want %v", got, want)
	}
}

// One outlier among the samples, however large or small, leaves the estimate
// within what the others say.
func TestEstimateOutlier(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		times := rapid.SliceOfN(rapid.IntRange(10, 1000), 2, 9).Draw(t, "times")
		lowest, highest := times[0], times[0]
		var samples []TestResult
		for _, ms := range times {
			lowest, highest = min(lowest, ms), max(highest, ms)
			samples = append(samples, took(Passed, ms))
		}
		outlier := took(Passed, rapid.OneOf(rapid.IntRange(1, 9), rapid.IntRange(1001, 1e6)).Draw(t, "outlier"))
		at := rapid.IntRange(0, len(samples)).Draw(t, "at")
		samples = append(samples[:at], append([]TestResult{outlier}, samples[at:]...)...)
		got := sampled("a.py::t", samples...).Estimator("linux").Tests([]NodeID{"a.py::t"})[0].Wall.Milliseconds()
		if got < int64(lowest) || got > int64(highest) {
			t.Fatalf("estimate %d ms of %v and an outlier of %v, want %d to %d", got, times, outlier.Call, lowest, highest)
		}
	})
}
