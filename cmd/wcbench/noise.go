package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/wcshard/wcshard/shard"
	"github.com/wcshard/wcshard/timing"
)

type noiseOptions struct {
	data   string
	shards []int
	draws  int
	json   bool
}

func newNoise() *cobra.Command {
	o := noiseOptions{data: filepath.Join("..", "shared", "data", "durations", "onegov-weekly"), shards: []int{4, 8, 16}, draws: 10}
	verb := &cobra.Command{
		Use:   "noise",
		Short: "Plan from a noisy history, and see what the next week makes of it",
		Long: `Replay recorded durations, one file a run. Before each run but the first three
there is a plan from what the runs before it left, put out of order in one of these ways:

  clean     as recorded
  outliers  in each run, one test of a hundred took 50 times as long
  zeros     the last run recorded nothing but zeros
  renamed   a folder with a fifth of the tests has a new name
  new       a tenth of the tests is new, a sixth of them in new files, as 45 of the
            274 were that OneGov got between its recordings
  all       all of these

What is random is drawn again and again, as --draws says: one new test may take a
minute, which nobody can know before.

The figures are the plan's makespan on the durations of the run itself, over
that of wcshard's plan from those very durations: the mean and the worst. What
is noise of the run itself nobody can know before: oracle is wcshard's plan from
the mean of each test over all other runs as recorded, the later ones included.
pytest-split keeps each test's last duration; where all of them are zero, one
of its algorithms ends with an error, and there is no plan.

Churn is the share of tests that are on another job than in the plan before:
by the job's name, and by company, where jobs may swap names.`,
		Args: cobra.NoArgs,
		RunE: func(verb *cobra.Command, _ []string) error {
			return doNoise(verb.Context(), verb.OutOrStdout(), o)
		},
	}
	f := verb.Flags()
	f.StringVar(&o.data, "data", o.data, "folder of recorded durations, by date")
	f.IntSliceVar(&o.shards, "shards", o.shards, "numbers of jobs")
	f.IntVar(&o.draws, "draws", o.draws, "how often outliers and new tests are drawn")
	f.BoolVar(&o.json, "json", false, "print JSON")
	return verb
}

// A noiseRow is how one planner fares under one kind of noise.
type noiseRow struct {
	Noise   string  `json:"noise"`
	Shards  int     `json:"shards"`
	Planner string  `json:"planner"`
	Runs    int     `json:"runs"`
	Failed  int     `json:"failed"` // runs that it made no plan for
	Mean    float64 `json:"mean"`   // makespan over that of the plan from the run's own durations
	Worst   float64 `json:"worst"`
	Churn   float64 `json:"churn"`         // share of tests on a job of another name than before
	Moved   float64 `json:"churn_company"` // the same where jobs may swap names
	pairs   int     // runs that have one before
}

// The planners that are wcshard, before those of others.
const (
	onItsOwn = iota
	withLastPlan
	byOracle
	ours
)

// warmUp is how many runs there are before the first one that is planned.
const warmUp = 3

var noises = []struct {
	name   string
	random bool // has something that is drawn
}{{"clean", false}, {"outliers", true}, {"zeros", false}, {"renamed", false}, {"new", true}, {"all", true}}

func doNoise(ctx context.Context, w io.Writer, o noiseOptions) error {
	if o.draws < 1 {
		return fmt.Errorf("--draws is %d, want at least 1", o.draws)
	}
	weeks, err := readRecordings(o.data)
	if err != nil {
		return err
	}
	if len(weeks) < warmUp+2 {
		return fmt.Errorf("%d recordings, want at least %d: runs to learn from, and some to plan", len(weeks), warmUp+2)
	}
	rivals, err := rivalPlanners(ctx)
	if err != nil {
		return fmt.Errorf("installing rivals: %w", err)
	}
	rivals = slices.DeleteFunc(rivals, func(p planner) bool { return !strings.HasPrefix(p.name, "pytest-split") })
	var rows []noiseRow
	for _, noise := range noises {
		draws := 1
		if noise.random {
			draws = o.draws
		}
		more, err := replayAll(ctx, weeks, noise.name, o.shards, draws, rivals)
		if err != nil {
			return fmt.Errorf("replaying with noise %s: %w", noise.name, err)
		}
		rows = append(rows, more...)
	}
	if o.json {
		return writeJSON(w, rows)
	}
	return printNoise(w, rows)
}

// A replayed run: what there is to plan, what it will really take, and what
// each kind of planner knows.
type replayed struct {
	real    recording
	oracle  recording // the same tests, with their means over all other runs
	history *timing.History
	last    map[timing.NodeID]time.Duration
}

// A replay plans recorded runs with each planner, with one kind of noise.
type replay struct {
	weeks  []recording
	noise  string
	counts []int // of jobs
	rivals []planner
	names  []string   // of all planners
	rows   []noiseRow // by number of jobs, then planner
}

// replayAll plans each run after the first few, for each draw.
func replayAll(ctx context.Context, weeks []recording, noise string, counts []int, draws int, rivals []planner) ([]noiseRow, error) {
	r := replay{weeks: weeks, noise: noise, counts: counts, rivals: rivals}
	r.names = []string{onItsOwn: "wcshard", withLastPlan: "wcshard --last-plan", byOracle: "oracle"}
	for _, p := range rivals {
		r.names = append(r.names, p.name)
	}
	for _, n := range counts {
		for _, name := range r.names {
			r.rows = append(r.rows, noiseRow{Noise: noise, Shards: n, Planner: name})
		}
	}
	for draw := range draws {
		if err := r.once(ctx, uint64(draw)); err != nil {
			return nil, err
		}
	}
	for i := range r.rows {
		row := &r.rows[i]
		row.Mean /= float64(max(1, row.Runs))
		row.Churn /= float64(max(1, row.pairs))
		row.Moved /= float64(max(1, row.pairs))
	}
	return r.rows, nil
}

// once plans each run after the first few, with what one draw gives, and adds that
// to the rows.
func (r *replay) once(ctx context.Context, draw uint64) error {
	before := make([]map[timing.NodeID]int, len(r.rows))
	for k := warmUp; k < len(r.weeks); k++ {
		run := newReplayed(r.weeks, k, r.noise, draw)
		best, _, err := splitByPack(ctx, run.real, r.counts)
		if err != nil {
			return err
		}
		for i, name := range r.names {
			var last []map[timing.NodeID]int // with their last plans
			for c := range r.counts {
				last = append(last, before[c*len(r.names)+i])
			}
			jobs, err := run.plan(ctx, i, r.rivals, r.counts, last)
			if err != nil && (i < ours || ctx.Err() != nil) {
				return fmt.Errorf("planning %s with %s: %w", run.real.name, name, err)
			}
			for c, n := range r.counts {
				at := c*len(r.names) + i
				row := &r.rows[at]
				if err != nil {
					row.Failed++
					before[at] = nil
					continue
				}
				ratio := judge(run.real, n, name, jobs[c]).Ratio / judge(run.real, n, name, best[c]).Ratio
				row.Mean += ratio
				row.Worst = max(row.Worst, ratio)
				now := byTest(run.real, jobs[c])
				if before[at] != nil {
					byName, byCompany := churn(before[at], now, n)
					row.Churn += byName
					row.Moved += byCompany
					row.pairs++
				}
				before[at] = now
				row.Runs++
			}
		}
	}
	return nil
}

// newReplayed makes run k, and what planners know from the runs before it.
func newReplayed(weeks []recording, k int, noise string, draw uint64) replayed {
	has := func(what string) bool { return noise == what || noise == "all" }
	run := replayed{real: weeks[k], oracle: oracle(weeks, k), history: &timing.History{}, last: map[timing.NodeID]time.Duration{}}
	fresh := map[timing.NodeID]bool{}
	if has("new") {
		fresh = newTests(weeks[k], draw)
	}
	for j, week := range weeks[:k] {
		r := rand.New(rand.NewPCG(uint64(j), 50+draw))
		results := &timing.Results{Header: timing.ResultsHeader{
			Plan: "sha256:0", Run: fmt.Sprint(j), Shards: []string{"pool-1"}, Attempt: 1, Runner: "ci", Workers: 1,
			Started: time.Date(2026, 1, 1+7*j, 0, 0, 0, 0, time.UTC),
		}}
		for _, t := range week.tests {
			wall := t.wall
			if odd := r.IntN(100) == 0; odd && has("outliers") {
				wall *= 50
			}
			if has("zeros") && j == k-1 {
				wall = 0
			}
			if fresh[t.id] {
				continue
			}
			results.Tests = append(results.Tests, timing.TestResult{ID: t.id, Worker: "main", Outcome: timing.Passed, Call: wall, Wall: wall})
			run.last[t.id] = wall
		}
		run.history.Merge(timing.FromResults(results))
		run.history.Prune(timing.Limits{})
	}
	if has("renamed") {
		run.real, run.oracle = renamed(run.real), renamed(run.oracle)
	}
	return run
}

// oracle returns run k with the means of each test over all other runs; of a test
// that none of those has, what it took.
func oracle(weeks []recording, k int) recording {
	sums, runs := map[timing.NodeID]time.Duration{}, map[timing.NodeID]time.Duration{}
	for j, week := range weeks {
		if j == k {
			continue
		}
		for _, t := range week.tests {
			sums[t.id] += t.wall
			runs[t.id]++
		}
	}
	out := recording{name: weeks[k].name, tests: slices.Clone(weeks[k].tests)}
	for i := range out.tests {
		t := &out.tests[i]
		if n := runs[t.id]; n > 0 {
			t.wall = sums[t.id] / n
		}
	}
	return out
}

// newTests chooses a tenth of a run's tests: a sixth of them by file.
func newTests(rec recording, draw uint64) map[timing.NodeID]bool {
	r := rand.New(rand.NewPCG(10, 10+draw))
	byFile := map[string][]timing.NodeID{}
	var files []string
	for _, t := range rec.tests {
		if byFile[t.id.File()] == nil {
			files = append(files, t.id.File())
		}
		byFile[t.id.File()] = append(byFile[t.id.File()], t.id)
	}
	fresh := map[timing.NodeID]bool{}
	for _, f := range r.Perm(len(files)) {
		if len(fresh) >= len(rec.tests)/60 {
			break
		}
		for _, id := range byFile[files[f]] {
			fresh[id] = true
		}
	}
	for _, i := range r.Perm(len(rec.tests)) {
		if len(fresh) >= len(rec.tests)/10 {
			break
		}
		fresh[rec.tests[i].id] = true
	}
	return fresh
}

// renamed gives a new name to the folder whose share of the tests is nearest to
// a fifth.
func renamed(rec recording) recording {
	folders := map[string]int{}
	for _, t := range rec.tests {
		parts := strings.Split(t.id.File(), "/")
		for k := 1; k < len(parts); k++ {
			folders[strings.Join(parts[:k], "/")+"/"]++
		}
	}
	best, off := "", len(rec.tests)
	for folder, n := range folders {
		d := 5*n - len(rec.tests)
		if d = max(d, -d); d < off || d == off && folder < best {
			best, off = folder, d
		}
	}
	out := recording{name: rec.name, tests: slices.Clone(rec.tests)}
	for i := range out.tests {
		t := &out.tests[i]
		if rest, ok := strings.CutPrefix(string(t.id), best); ok && best != "" {
			t.id = timing.NodeID(strings.TrimSuffix(best, "/") + "_renamed/" + rest)
		}
	}
	slices.SortFunc(out.tests, func(a, b measured) int { return cmp.Compare(a.id, b.id) })
	return out
}

// plan divides the run with planner i: wcshard from the history, the others
// from the last durations.
func (run *replayed) plan(ctx context.Context, i int, rivals []planner, counts []int, last []map[timing.NodeID]int) ([][]int, error) {
	if i == byOracle {
		jobs, _, err := splitByPack(ctx, run.oracle, counts)
		return jobs, err
	}
	known := recording{name: run.real.name}
	if i >= ours {
		for _, t := range run.real.tests {
			wall, ok := run.last[t.id]
			if !ok {
				wall = unknown
			}
			known.tests = append(known.tests, measured{t.id, wall})
		}
		jobs, _, err := rivals[i-ours].split(ctx, known, counts)
		return jobs, err
	}
	ids := make([]timing.NodeID, len(run.real.tests))
	for i, t := range run.real.tests {
		ids[i] = t.id
	}
	estimates := run.history.Estimator("ci").Tests(ids)
	var suite shard.Suite
	for i, id := range ids {
		suite.Tests = append(suite.Tests, shard.Test{ID: id, Order: i, Estimate: estimates[i]})
	}
	if i == onItsOwn {
		last = nil
	}
	return packSuite(suite, counts, last)
}

func byTest(rec recording, job []int) map[timing.NodeID]int {
	out := make(map[timing.NodeID]int, len(job))
	for i, t := range rec.tests {
		out[t.id] = job[i]
	}
	return out
}

// churn returns the share of the tests of both plans that are on a job of
// another number, and the share where each job is matched with the one before
// that has most of its tests, those with most in common first.
func churn(before, now map[timing.NodeID]int, n int) (byName, byCompany float64) {
	type pair struct{ from, to, tests int }
	pairs := make([]pair, n*n)
	both := 0
	for id, to := range now {
		if from, ok := before[id]; ok {
			p := &pairs[from*n+to]
			p.from, p.to = from, to
			p.tests++
			both++
		}
	}
	if both == 0 {
		return 0, 0
	}
	same := 0
	for k := range n {
		same += pairs[k*n+k].tests
	}
	slices.SortFunc(pairs, func(a, b pair) int {
		return cmp.Or(cmp.Compare(b.tests, a.tests), cmp.Compare(a.from, b.from), cmp.Compare(a.to, b.to))
	})
	taken, given := make([]bool, n), make([]bool, n)
	matched := 0
	for _, p := range pairs {
		if p.tests > 0 && !taken[p.to] && !given[p.from] {
			taken[p.to], given[p.from] = true, true
			matched += p.tests
		}
	}
	return 1 - float64(same)/float64(both), 1 - float64(matched)/float64(both)
}

func printNoise(w io.Writer, rows []noiseRow) error {
	tw := newTable(w)
	fmt.Fprintln(tw, "noise\tN\tplanner\tmean\tworst\tchurn\tby company\tno plan\t")
	for _, r := range rows {
		fmt.Fprintf(tw, "%s\t%d\t%s\t%.3f\t%.3f\t%.0f %%\t%.0f %%\t%d\t\n", r.Noise, r.Shards, r.Planner, r.Mean, r.Worst, 100*r.Churn, 100*r.Moved, r.Failed)
	}
	return tw.Flush()
}
