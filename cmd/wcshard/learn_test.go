package main

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/wcshard/wcshard/shard"
	"github.com/wcshard/wcshard/shard/pytest"
	"github.com/wcshard/wcshard/timing"
)

// A machineModel is a machine that takes a known time for each test, but for
// noise: of each test, and of a whole job, as runners differ from day to day.
type machineModel struct {
	r          *rand.Rand
	costs      map[timing.NodeID]time.Duration
	contention float64 // of a test with two workers
	wait       time.Duration
}

func (m *machineModel) noisy(d time.Duration, sigma float64) time.Duration {
	return time.Duration(float64(d) * math.Exp(sigma*m.r.NormFloat64())).Round(time.Microsecond)
}

// run is what a job of the plan comes to: its units in order, each to the worker
// that is first at the last test of what it has, as it wants to know the next one
// then.
func (m *machineModel) run(plan *shard.Plan, s *shard.Shard, run int) *timing.Results {
	day := math.Exp(0.03 * m.r.NormFloat64())
	r := &timing.Results{Header: timing.ResultsHeader{
		Plan: plan.Digest, Run: fmt.Sprint("run", run), Shards: []string{s.Name}, Attempt: 1, Runner: "local", Workers: s.Workers,
		Started: time.Unix(1_800_000_000+int64(run)*1000, 0).UTC(), CPUs: 2,
	}}
	if 2*s.Basis.Measured > s.Len() {
		r.Header.Tests, r.Header.Predicted = s.Len(), s.Wall
	}
	start := m.noisy(time.Duration(float64(800*time.Millisecond)*day), 0.05)
	free := make([]time.Duration, s.Workers)
	name := func(w int) string {
		if s.Workers == 1 {
			return "main"
		}
		return fmt.Sprint("gw", w)
	}
	for w := range free {
		free[w] = start
		r.Workers = append(r.Workers, timing.WorkerResult{Worker: name(w), Startup: start / 2, Collect: start / 2})
	}
	asks := slices.Clone(free)
	for _, unit := range s.Units() {
		w := slices.Index(asks, slices.Min(asks))
		for _, id := range unit {
			took := time.Duration(float64(m.noisy(m.costs[id], 0.1)) * day)
			if s.Workers > 1 {
				took = time.Duration(float64(took) * m.contention)
			}
			r.Tests = append(r.Tests, timing.TestResult{ID: id, Worker: name(w), Outcome: timing.Passed, Start: free[w], Call: took, Wall: took})
			asks[w] = free[w]
			free[w] += took + m.wait
		}
	}
	r.Ended, r.Elapsed = true, slices.Max(free)+200*time.Millisecond
	return r
}

// ciLoop is the loop of CI on a machine whose noise is known, 10 % of a test
// and 3 % of a job: it packs and runs a suite as often as there are numbers of
// workers, each time with all that earlier runs taught. It returns for each run
// how far each of its jobs was predicted off, in per cent, ascending.
func ciLoop(t *testing.T, seed uint64, jobs int, workers []int) [][]float64 {
	m := &machineModel{r: rand.New(rand.NewPCG(seed, 1)), costs: map[timing.NodeID]time.Duration{}, contention: 1.4, wait: 2 * time.Millisecond}
	c := &pytest.Collection{}
	for f := range 40 {
		for k := range 5 + m.r.IntN(40) {
			id := timing.NodeID(fmt.Sprintf("test_%02d.py::test_%02d", f, k))
			m.costs[id] = time.Duration(m.r.ExpFloat64() * float64(150*time.Millisecond)).Round(time.Microsecond)
			c.Tests = append(c.Tests, pytest.CollectedTest{ID: id})
		}
	}
	history := new(timing.History)
	var all [][]float64
	for run, n := range workers {
		fleet := shard.Fleet{Shards: jobs, Workers: n, CPUs: 2, Runner: "local"}
		plan, err := shard.Pack(makeSuite(c, history, fleet, nil), fleet)
		if err != nil {
			t.Fatal(err)
		}
		var off []float64
		for i := range plan.Shards {
			r := m.run(plan, &plan.Shards[i], run)
			off = append(off, 100*math.Abs(plan.Shards[i].Wall.Seconds()/r.Elapsed.Seconds()-1))
			history.Merge(timing.FromResults(r))
		}
		history.Prune(timing.Limits{})
		slices.Sort(off)
		all = append(all, off)
	}
	return all
}

// After one run predictions are within 15 % in the median, after three within
// 5 %, nine of ten within 12 %; and when jobs get another number of workers than
// they ever had, what is learned of it takes one run. That holds for one loop,
// and for the jobs of many.
func TestPredictionsLearn(t *testing.T) {
	t.Parallel()
	const seed, jobs, seeds = 6, 8, 20
	type limit struct{ median, ninth float64 } // per cent; 0: nothing is wanted
	none, once, thrice := limit{}, limit{15, 0}, limit{5, 12}
	workers := []int{1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 1}
	limits := []limit{none, once, once, thrice, thrice, thrice, none, once, once, thrice, thrice, thrice}
	check := func(what string, run int, off []float64) {
		n := len(off)
		median, ninth := (off[(n-1)/2]+off[n/2])/2, off[(9*n+9)/10-1]
		t.Logf("%s: run %d with %d workers: off by %.1f %%, nine of ten within %.1f %%", what, run, workers[run], median, ninth)
		if want := limits[run]; want.median > 0 && median > want.median || want.ninth > 0 && ninth > want.ninth {
			t.Errorf("%s: run %d with %d workers is off by %.1f %% (median), %.1f %% (90th percentile), want %v and %v", what, run, workers[run], median, ninth, want.median, want.ninth)
		}
	}
	for run, off := range ciLoop(t, seed, jobs, workers) {
		check("one loop", run, off)
	}
	all := make([][]float64, len(workers))
	for s := range uint64(seeds) {
		for run, off := range ciLoop(t, 1000+s, jobs, workers) {
			all[run] = append(all[run], off...)
		}
	}
	for run, off := range all {
		slices.Sort(off)
		check("many loops", run, off)
	}
}
