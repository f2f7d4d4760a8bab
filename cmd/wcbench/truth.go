package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/wcshard/wcshard/shard"
	"github.com/wcshard/wcshard/timing"
)

type truthOptions struct {
	cases int
	seed  uint64
	json  bool
	worst int
	real  int // suites to run, none to plan
	keep  string
}

func newTruth() *cobra.Command {
	o := truthOptions{cases: 1000, seed: 1, worst: 3}
	verb := &cobra.Command{
		Use:   "truth",
		Short: "Compare plans with the best ones there are, where those are known",
		Long: `Plan made-up suites whose costs are all known: imports, and fixtures of the
session, of packages, modules and classes, some with parameters. The shortest
makespan there is comes from trying every division (up to 12 tests), or from the
way the suite was made: so that every worker is full, and no shorter time leaves
room for the set-ups. The figures are makespans over that optimum, where a
makespan is reckoned here from what the plan gives each job, and how a session
hands that out to its workers. An import is paid here, as a fixture is, by the
workers whose tests need it. pytest's workers import all files of a job, so with
several workers the optimum is a little low.

With --real pytest runs such plans, and what they predict is compared with what
their jobs take.`,
		Args: cobra.NoArgs,
		RunE: func(verb *cobra.Command, _ []string) error {
			if o.real > 0 {
				return doRealTruth(verb.Context(), verb.OutOrStdout(), o)
			}
			return doTruth(verb.Context(), verb.OutOrStdout(), o)
		},
	}
	f := verb.Flags()
	f.IntVar(&o.cases, "cases", o.cases, "suites to plan, half of them with several workers a job")
	f.Uint64Var(&o.seed, "seed", o.seed, "seed of the first suite; the next ones follow")
	f.IntVar(&o.worst, "worst", o.worst, "show so many of the worst cases, by their seeds")
	f.IntVar(&o.real, "real", 0, "write so many of the suites to disk, which sleep for what they cost, record them, and really run the plans")
	f.StringVar(&o.keep, "keep", "", "with --real: leave suites, plans and results in a `FOLDER`")
	f.BoolVar(&o.json, "json", false, "print JSON")
	return verb
}

// A truth is a suite and the shortest makespan that any plan for it can have.
type truth struct {
	Seed    uint64 `json:"seed"`
	Kind    string `json:"kind"`
	suite   shard.Suite
	fleet   shard.Fleet
	optimum time.Duration
}

// A truthRow is a plan beside the truth.
type truthRow struct {
	truth
	Jobs    int     `json:"jobs"`
	Workers int     `json:"workers"`
	Tests   int     `json:"tests"`
	Ratio   float64 `json:"ratio"` // makespan over the optimum
}

// A truthSum is what the rows of one kind come to.
type truthSum struct {
	Kind   string  `json:"kind"`
	Cases  int     `json:"cases"`
	Within float64 `json:"within_1_02"` // share of the cases
	P95    float64 `json:"p95"`
	Worst  float64 `json:"worst"`
}

func doTruth(ctx context.Context, w io.Writer, o truthOptions) error {
	if o.cases < 1 || o.worst < 0 {
		return fmt.Errorf("--cases wants at least 1, --worst at least 0")
	}
	var rows []truthRow
	for k := range o.cases {
		if err := ctx.Err(); err != nil {
			return err
		}
		row, err := compareTruth(newTruthCase(o.seed + uint64(k)))
		if err != nil {
			return fmt.Errorf("planning the suite of seed %d: %w", o.seed+uint64(k), err)
		}
		rows = append(rows, row)
	}
	sums := sumTruth(rows)
	slices.SortStableFunc(rows, func(a, b truthRow) int { return cmp.Compare(b.Ratio, a.Ratio) })
	worst := rows[:min(o.worst, len(rows))]
	if o.json {
		return json.NewEncoder(w).Encode(map[string]any{"sums": sums, "worst": worst})
	}
	tw := newTable(w)
	fmt.Fprintln(tw, "optimum by\tcases\t≤ 1.02\t95 % within\tworst\t")
	for _, s := range sums {
		fmt.Fprintf(tw, "%s\t%d\t%.1f %%\t%.4f\t%.4f\t\n", s.Kind, s.Cases, 100*s.Within, s.P95, s.Worst)
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	for _, r := range worst {
		fmt.Fprintf(w, "seed %d: %.4f of the optimum, %d tests over %d jobs of %d workers (%s)\n", r.Seed, r.Ratio, r.Tests, r.Jobs, r.Workers, r.Kind)
	}
	return nil
}

// sumTruth sums up the rows of each kind and all of them.
func sumTruth(rows []truthRow) []truthSum {
	ratios := map[string][]float64{}
	for _, r := range rows {
		ratios[r.Kind] = append(ratios[r.Kind], r.Ratio)
		ratios["all"] = append(ratios["all"], r.Ratio)
	}
	var sums []truthSum
	for _, kind := range truthKinds {
		list := ratios[kind]
		if len(list) == 0 {
			continue
		}
		slices.Sort(list)
		within, _ := slices.BinarySearch(list, 1.02)
		sums = append(sums, truthSum{kind, len(list), float64(within) / float64(len(list)), list[(len(list)*95-1)/100], list[len(list)-1]})
	}
	return sums
}

func compareTruth(c truth) (truthRow, error) {
	row := truthRow{truth: c, Jobs: c.fleet.Shards, Workers: c.fleet.Workers, Tests: len(c.suite.Tests)}
	plan, err := shard.Pack(c.suite, c.fleet)
	if err != nil {
		return row, err
	}
	longest, err := longestJob(c.suite, plan)
	if err != nil {
		return row, err
	}
	if longest != plan.Makespan {
		return row, fmt.Errorf("the plan says %v, its jobs come to %v", plan.Makespan, longest)
	}
	if plan.Bound > c.optimum {
		return row, fmt.Errorf("the plan's lower bound %v is above the optimum %v", plan.Bound, c.optimum)
	}
	if longest < c.optimum {
		return row, fmt.Errorf("the plan's %v is below the optimum %v", longest, c.optimum)
	}
	row.Ratio = float64(longest) / float64(c.optimum)
	return row, nil
}

// longestJob reckons the time of the longest job from what the plan gives it.
func longestJob(suite shard.Suite, plan *shard.Plan) (time.Duration, error) {
	index := map[timing.NodeID]int{}
	for i, t := range suite.Tests {
		index[t.ID] = i
	}
	longest, ran := time.Duration(0), 0
	for k := range plan.Shards {
		var units [][]int
		for _, ids := range plan.Shards[k].Units() {
			unit := make([]int, len(ids))
			for i, id := range ids {
				unit[i] = index[id]
			}
			units = append(units, unit)
			ran += len(ids)
		}
		longest = max(longest, suite.Base+sessionTime(suite, units, plan.Shards[k].Workers))
	}
	if ran != len(suite.Tests) {
		return 0, fmt.Errorf("the plan has %d tests of %d", ran, len(suite.Tests))
	}
	return longest, nil
}

// sessionTime is what a session of so many workers takes: each has a queue of
// tests, and gets the next unit when one test or none is left in it, as xdist's
// workers start no test before they know what comes next. Everybody gets one
// unit first, and the last worker is the first to get a second one.
func sessionTime(suite shard.Suite, units [][]int, workers int) time.Duration {
	queues := make([][]int, workers)
	for w := range queues {
		if len(units) > 0 {
			queues[w], units = units[0], units[1:]
		}
	}
	now := make([]time.Duration, workers) // when the worker comes to its next test
	seen := make([]map[int]bool, workers)
	files := make([]string, workers)
	for w := range seen {
		seen[w] = map[int]bool{}
	}
	end := time.Duration(0)
	for {
		w := -1 // the next one to start a test, of several the last
		for k := range queues {
			if len(queues[k]) > 0 && (w < 0 || now[k] <= now[w]) {
				w = k
			}
		}
		if w < 0 {
			return end
		}
		if len(queues[w]) == 1 && len(units) > 0 {
			queues[w], units = append(slices.Clone(queues[w]), units[0]...), units[1:]
		}
		if file := suite.Tests[queues[w][0]].ID.File(); workers > 1 && file != files[w] {
			files[w] = file
			leaveFile(suite, seen[w])
		}
		now[w] += truthCost(suite, queues[w][0], seen[w])
		queues[w] = queues[w][1:]
		end = max(end, now[w])
	}
}

// leaveFile takes from a worker what modules and classes have set up: pytest tears that
// down when a test of another file is next. One worker keeps pytest's own order.
func leaveFile(suite shard.Suite, seen map[int]bool) {
	for s := range seen {
		if suite.Setups[s].ID.OfFile() {
			delete(seen, s)
		}
	}
}

// truthCost is what a test takes on a worker that has seen some set-ups.
func truthCost(suite shard.Suite, i int, seen map[int]bool) time.Duration {
	cost := suite.Tests[i].Estimate.Wall
	for _, s := range suite.Tests[i].Setups {
		if !seen[s] {
			seen[s] = true
			cost += suite.Setups[s].Cost
		}
	}
	return cost
}

// truthLoad is what one worker takes for some tests.
func truthLoad(suite shard.Suite, tests []int) time.Duration {
	load, seen := time.Duration(0), map[int]bool{}
	for _, i := range tests {
		load += truthCost(suite, i, seen)
	}
	return load
}

// The kinds of truths, as they are reported.
const (
	byTrial        = "trial"
	byMaking       = "making"
	byTrialWorkers = "trial, 2 or 3 workers a job"

	byMakingWorkers = "making, 2 to 4 workers a job"
)

var truthKinds = []string{byTrial, byMaking, byTrialWorkers, byMakingWorkers, "all"}

func newTruthCase(seed uint64) truth {
	r := rand.New(rand.NewPCG(seed, 6))
	switch seed % 4 {
	case 0:
		return truthByMaking(seed, r, byMaking, 2+r.IntN(7), 1)
	case 1:
		return truthByMaking(seed, r, byMakingWorkers, 1+r.IntN(4), 2+r.IntN(3))
	case 2:
		return truthByTrial(seed, r, byTrial, 2+r.IntN(3), 1)
	}
	return truthByTrial(seed, r, byTrialWorkers, 1+r.IntN(2), 2+r.IntN(2))
}

// truthByTrial makes a suite of up to 12 tests, with set-ups of every scope,
// and tries every division of it over the workers of all jobs.
func truthByTrial(seed uint64, r *rand.Rand, kind string, jobs, workers int) truth {
	m := truthSuite{r: r, dear: []int{5, 20, 80}[r.IntN(3)], ids: map[string]int{}}
	files := 1 + r.IntN(5)
	for f := range files {
		m.file(f, r.IntN(2) == 0)
	}
	session := []int{m.setup("session ::a", 3*m.dear), m.setup("session ::b", 3*m.dear)}
	for k := range 4 + r.IntN(9) {
		f := r.IntN(files)
		m.test(f, k, session)
	}
	c := truth{Seed: seed, Kind: kind, suite: m.suite, fleet: shard.Fleet{Shards: jobs, Workers: workers, CPUs: workers}}
	c.suite.Base = ms(r.IntN(30))
	c.optimum = c.suite.Base + newTrial(c.suite, jobs*workers).best
	return c
}

func ms(n int) time.Duration { return time.Duration(n) * time.Millisecond }

// truthSuite is a suite in the making. dear is the usual price of a set-up
// in milliseconds.
type truthSuite struct {
	suite shard.Suite
	r     *rand.Rand
	dear  int
	files []truthFile
	ids   map[string]int
}

type truthFile struct {
	name     string
	imports  int   // set-up
	module   []int // module fixtures: none, one, or one for each of two parameters
	class    []int // a fixture for each class
	packages int
}

// setup adds a set-up of up to so many milliseconds and returns its index.
func (m *truthSuite) setup(id string, most int) int {
	return m.exactly(id, m.r.IntN(most+1))
}

func (m *truthSuite) exactly(id string, cost int) int {
	if i, ok := m.ids[id]; ok {
		return i
	}
	m.ids[id] = len(m.suite.Setups)
	m.suite.Setups = append(m.suite.Setups, shard.Setup{ID: timing.SetupID(id), Cost: ms(cost)})
	return m.ids[id]
}

// file adds a file in one of two packages.
func (m *truthSuite) file(f int, costly bool) {
	folder := fmt.Sprintf("p%d", f%2)
	x := truthFile{name: fmt.Sprintf("%s/test_%d.py", folder, f)}
	x.imports = m.setup(x.name, m.dear)
	x.packages = m.setup("package "+folder+"::p", 2*m.dear)
	if costly {
		for k := range 1 + m.r.IntN(2) {
			x.module = append(x.module, m.setup(fmt.Sprintf("module %s::m[%d]", x.name, k), 2*m.dear))
		}
	}
	for k := range 2 {
		x.class = append(x.class, m.setup(fmt.Sprintf("class %s::Test%d::c", x.name, k), m.dear))
	}
	m.files = append(m.files, x)
}

// test adds test k to a file, needing some of what it may.
func (m *truthSuite) test(f, k int, session []int) {
	x := m.files[f]
	class := m.r.IntN(2)
	needs := []int{x.imports}
	for _, s := range session {
		if m.r.IntN(4) == 0 {
			needs = append(needs, s)
		}
	}
	if m.r.IntN(3) == 0 {
		needs = append(needs, x.packages)
	}
	if len(x.module) > 0 && m.r.IntN(3) > 0 {
		needs = append(needs, x.module[m.r.IntN(len(x.module))])
	}
	if m.r.IntN(3) == 0 {
		needs = append(needs, x.class[class])
	}
	m.add(fmt.Sprintf("%s::Test%d::test_%d", x.name, class, k), 1+int(30*m.r.ExpFloat64()), needs)
}

func (m *truthSuite) add(id string, cost int, needs []int) {
	slices.Sort(needs)
	m.suite.Tests = append(m.suite.Tests, shard.Test{
		ID: timing.NodeID(id), Order: len(m.suite.Tests), Setups: needs,
		Estimate: timing.Estimate{Wall: ms(cost), Rung: timing.Measured},
	})
}

// truthByMaking makes a suite of some hundred tests by filling workers. A part
// of them has a file each; a file of several workers has tests for just so
// many, so that no shorter makespan lets fewer of them import it.
//
// Let T be the time of each worker, and a file with import i have so many tests
// that they take k·(T − i) together. In T' < T it needs more than
// k·(T − i)/(T' − i) > k workers. So all jobs together take at least their
// tests and each import as often as here: more than there is time in T'.
func truthByMaking(seed uint64, r *rand.Rand, kind string, jobs, workers int) truth {
	m := truthSuite{r: r, ids: map[string]int{}}
	full := 1000 + r.IntN(4000)
	for left, f := jobs*workers, 0; left > 0; f++ {
		k := 1 + r.IntN(min(3, left))
		left -= k
		if k == 1 {
			f = m.fillOne(f, full)
		} else {
			m.fillSeveral(f, k, full)
		}
	}
	c := truth{Seed: seed, Kind: kind, suite: m.suite, fleet: shard.Fleet{Shards: jobs, Workers: workers, CPUs: workers}}
	c.suite.Base = ms(r.IntN(300))
	c.optimum = c.suite.Base + ms(full)
	return c
}

// fillOne fills a worker with some files that share a session fixture, and
// returns the number of the last one.
func (m *truthSuite) fillOne(f, full int) int {
	shared := m.r.IntN(full / 3)
	files := 1 + m.r.IntN(4)
	left := full - shared
	session := m.exactly(fmt.Sprintf("session ::s%d", f), shared)
	for k := range files {
		most := left
		if k < files-1 {
			most = left / 2
		}
		left -= most
		name := fmt.Sprintf("test_%d.py", f+k)
		imports, module := m.r.IntN(most/4), m.r.IntN(most/4)
		needs := []int{session, m.exactly(name, imports), m.exactly("module "+name+"::m", module)}
		m.tests(name, most-imports-module, needs)
	}
	return f + files - 1
}

// fillSeveral fills k workers with one file.
func (m *truthSuite) fillSeveral(f, k, full int) {
	name := fmt.Sprintf("test_%d.py", f)
	imports := m.r.IntN(full / 3)
	needs := []int{m.exactly(name, imports)}
	first := len(m.suite.Tests)
	for range k {
		m.tests(name, full-imports, needs)
	}
	// Cut in definition order, the file's parts are not of equal length.
	tests := m.suite.Tests[first:]
	m.r.Shuffle(len(tests), func(i, j int) {
		tests[i].Estimate, tests[j].Estimate = tests[j].Estimate, tests[i].Estimate
	})
}

// tests adds tests to a file that take so long together.
func (m *truthSuite) tests(name string, left int, needs []int) {
	for left > 0 {
		cost := min(left, 1+int(100*m.r.ExpFloat64()))
		m.add(fmt.Sprintf("%s::test_%d", name, len(m.suite.Tests)), cost, slices.Clone(needs))
		left -= cost
	}
}

// A trial tries every division of tests over so many machines that could be
// better than what it knows.
type trial struct {
	suite shard.Suite
	order []int // longest first
	rest  []time.Duration
	load  []time.Duration
	count [][]int // machine → set-up → tests that need it
	best  time.Duration
}

func newTrial(suite shard.Suite, machines int) *trial {
	x := &trial{suite: suite, load: make([]time.Duration, machines)}
	for range machines {
		x.count = append(x.count, make([]int, len(suite.Setups)))
	}
	for i := range suite.Tests {
		x.order = append(x.order, i)
	}
	x.best = truthLoad(suite, x.order) + 1
	slices.SortStableFunc(x.order, func(i, j int) int {
		return int(truthLoad(suite, []int{j}) - truthLoad(suite, []int{i}))
	})
	x.rest = make([]time.Duration, len(x.order)+1)
	for k := len(x.order) - 1; k >= 0; k-- {
		x.rest[k] = x.rest[k+1] + suite.Tests[x.order[k]].Estimate.Wall
	}
	x.step(0)
	return x
}

// step places the tests from order[k] on.
func (x *trial) step(k int) {
	longest, sum := time.Duration(0), x.rest[k]
	for _, l := range x.load {
		longest = max(longest, l)
		sum += l
	}
	if longest >= x.best || sum >= x.best*time.Duration(len(x.load)) {
		return
	}
	if k == len(x.order) {
		x.best = longest
		return
	}
	for m := range x.load {
		empty := x.load[m] == 0
		x.put(k, m, 1)
		x.step(k + 1)
		x.put(k, m, -1)
		if empty {
			return // all empty machines are alike
		}
	}
}

// put adds the test at order[k] to machine m, or with -1 takes it out again.
func (x *trial) put(k, m, sign int) {
	t := &x.suite.Tests[x.order[k]]
	x.load[m] += time.Duration(sign) * t.Estimate.Wall
	for _, s := range t.Setups {
		x.count[m][s] += sign
		if n := x.count[m][s]; n == 0 || n == 1 && sign > 0 {
			x.load[m] += time.Duration(sign) * x.suite.Setups[s].Cost
		}
	}
}
