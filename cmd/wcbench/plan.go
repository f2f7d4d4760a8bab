package main

import (
	"cmp"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/wcshard/wcshard/shard"
	"github.com/wcshard/wcshard/timing"
)

// shardCounts are the numbers of jobs that plans are compared at.
var shardCounts = []int{2, 4, 8, 16, 32, 64}

func newPlan() *cobra.Command {
	o := planOptions{data: filepath.Join("..", "shared", "data", "durations"), tests: 100_000, files: 2_000, shards: 32}
	verb := &cobra.Command{
		Use:   "plan",
		Short: "Compare the quality of plans on recorded durations",
		Long: `Compare the quality of plans on recorded durations (pytest-split's files, .json
or .json.gz). For each number of jobs: the planned makespan over
max(total/N, longest test), below which nothing can come, and how many files are
cut over several jobs. gotestsum packs packages: each file is one here.

Then a large made-up suite: also the CPU seconds and the peak memory of the
process that plans. For wcshard that is the whole of wcshard matrix, from a list
of tests and a history; for plugins their algorithm alone, which each job calls
after it has collected the whole suite; for gotestsum its command. Where there are
no recorded durations only that is shown.`,
		Args: cobra.NoArgs,
		RunE: func(verb *cobra.Command, _ []string) error {
			o.given = verb.Flags().Changed("data")
			return doPlan(verb.Context(), verb.OutOrStdout(), o)
		},
	}
	f := verb.Flags()
	f.StringVar(&o.data, "data", o.data, "folder of recorded durations")
	f.IntVar(&o.tests, "tests", o.tests, "tests of the large suite; 0 for none")
	f.IntVar(&o.files, "files", o.files, "files of the large suite")
	f.IntVar(&o.shards, "shards", o.shards, "jobs of the large suite")
	f.BoolVar(&o.json, "json", false, "print JSON")
	return verb
}

type planOptions struct {
	data                 string
	tests, files, shards int
	given                bool // the folder of durations
	json                 bool
}

// A recording is one file of durations.
type recording struct {
	name  string
	tests []measured // sorted by ID
}

type measured struct {
	id   timing.NodeID
	wall time.Duration // unknown: the test is new to whoever plans it
}

const unknown time.Duration = -1

// A planRow is the quality of one planner's plan, and what it cost.
type planRow struct {
	Data    string  `json:"data"`
	Shards  int     `json:"shards"`
	Planner string  `json:"planner"`
	Ratio   float64 `json:"ratio"`     // makespan over the ideal
	Cut     int     `json:"files_cut"` // files in several jobs
	Empty   int     `json:"empty"`     // jobs without a test
	planCost
}

// planCost is what planning took: zeros where it was not measured.
type planCost struct {
	CPU  float64 `json:"cpu_seconds,omitempty"`
	Peak int64   `json:"peak_bytes,omitempty"`
}

func (c *planCost) add(more planCost) {
	c.CPU += more.CPU
	c.Peak = max(c.Peak, more.Peak)
}

// A planner divides a recording's tests over n jobs: it returns the job of
// each test, for each n, and what all of that cost.
type planner struct {
	name  string
	split func(ctx context.Context, rec recording, counts []int) ([][]int, planCost, error)
}

func doPlan(ctx context.Context, w io.Writer, o planOptions) error {
	recordings, err := readRecordings(o.data)
	if err != nil && (o.tests == 0 || o.given || !errors.Is(err, os.ErrNotExist)) {
		return err
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "wcbench: only a made-up suite is planned: %v\n", err)
	}
	rivals, err := rivalPlanners(ctx)
	if err != nil {
		return fmt.Errorf("installing rivals: %w", err)
	}
	var rows []planRow
	for _, rec := range recordings {
		more, err := planAll(ctx, rec, shardCounts, append([]planner{{"wcshard", splitByPack}}, rivals...))
		if err != nil {
			return err
		}
		for i := range more {
			more[i].planCost = planCost{} // of all numbers of jobs together, and wcshard's unknown
		}
		rows = append(rows, more...)
	}
	var large []planRow
	if o.tests > 0 {
		if large, err = planLarge(ctx, o, rivals); err != nil {
			return fmt.Errorf("planning a large suite: %w", err)
		}
	}
	if o.json {
		return writeJSON(w, append(rows, large...))
	}
	if len(rows) > 0 {
		if err := printRows(w, rows); err != nil {
			return err
		}
	}
	if len(large) == 0 {
		return nil
	}
	return printLarge(w, o, large)
}

// planAll has each planner plan a recording for each number of jobs.
func planAll(ctx context.Context, rec recording, counts []int, planners []planner) ([]planRow, error) {
	var rows []planRow
	for _, p := range planners {
		jobs, cost, err := p.split(ctx, rec, counts)
		if err != nil {
			return nil, fmt.Errorf("planning %s with %s: %w", rec.name, p.name, err)
		}
		for i, n := range counts {
			row := judge(rec, n, p.name, jobs[i])
			row.planCost = cost
			rows = append(rows, row)
		}
	}
	return rows, nil
}

// planLarge plans a made-up suite, and measures what that costs.
func planLarge(ctx context.Context, o planOptions, rivals []planner) ([]planRow, error) {
	if o.files < 1 || o.shards < 1 {
		return nil, fmt.Errorf("--files and --shards want at least 1")
	}
	place, err := newWorkplace(ctx, "", "")
	if err != nil {
		return nil, err
	}
	defer place.clean()
	s := place.scaleFiles(false)
	if err := s.write(o.tests, o.files, 0); err != nil {
		return nil, err
	}
	_, results := synthetic(o.tests, o.files)
	rec := recording{name: "large"}
	for i := range results.Tests {
		rec.tests = append(rec.tests, measured{results.Tests[i].ID, results.Tests[i].Wall})
	}
	ours := planner{"wcshard", func(ctx context.Context, rec recording, counts []int) ([][]int, planCost, error) {
		return splitByMatrix(ctx, place.wcshard, s, rec, counts)
	}}
	return planAll(ctx, rec, []int{o.shards}, append([]planner{ours}, rivals...))
}

// splitByMatrix calls wcshard matrix.
func splitByMatrix(ctx context.Context, wcshard string, s scaleFiles, rec recording, counts []int) (out [][]int, cost planCost, err error) {
	index := map[timing.NodeID]int{}
	for i, t := range rec.tests {
		index[t.id] = i
	}
	for _, n := range counts {
		row, err := s.plan(ctx, wcshard, n)
		if err != nil {
			return nil, cost, err
		}
		cost.add(planCost{row.CPUSeconds, row.PeakBytes})
		plan, err := readPlanFile(s.out)
		if err != nil {
			return nil, cost, err
		}
		job, err := jobsOf(plan, index)
		if err != nil {
			return nil, cost, err
		}
		out = append(out, job)
	}
	return out, cost, nil
}

// jobsOf returns the job of each test, by the number in its name and from 0.
func jobsOf(plan *shard.Plan, index map[timing.NodeID]int) ([]int, error) {
	job := make([]int, len(index))
	for k := range plan.Shards {
		number, err := strconv.Atoi(strings.TrimPrefix(plan.Shards[k].Name, "pool-"))
		if err != nil {
			return nil, fmt.Errorf("a pool shard is named %s: %w", plan.Shards[k].Name, err)
		}
		for _, id := range plan.Shards[k].IDs() {
			job[index[id]] = number - 1
		}
	}
	return job, nil
}

func printLarge(w io.Writer, o planOptions, rows []planRow) error {
	fmt.Fprintf(w, "\n%d tests in %d files over %d jobs\n", o.tests, o.files, o.shards)
	tw := newTable(w)
	fmt.Fprintln(tw, "planner\tmakespan / ideal\tfiles cut\tCPU s\tpeak MiB\t")
	for _, r := range rows {
		fmt.Fprintf(tw, "%s\t%.4f\t%d\t%.2f\t%d\t\n", r.Planner, r.Ratio, r.Cut, r.CPU, r.Peak>>20)
	}
	return tw.Flush()
}

func readRecordings(dir string) (out []recording, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("reading recorded durations: %w (name a folder of files that pytest-split has stored: --data FOLDER)", err)
		}
	}()
	var names []string
	err = filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if strings.HasSuffix(path, ".json") || strings.HasSuffix(path, ".json.gz") {
			names = append(names, path)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("no .json or .json.gz in %q", dir)
	}
	for _, name := range names {
		rec, err := readRecording(name)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if rec.name, err = filepath.Rel(dir, name); err != nil {
			return nil, err
		}
		out = append(out, rec)
	}
	return out, nil
}

func readRecording(name string) (recording, error) {
	f, err := os.Open(name)
	if err != nil {
		return recording{}, err
	}
	defer f.Close()
	r := io.Reader(f)
	if strings.HasSuffix(name, ".gz") {
		if r, err = gzip.NewReader(f); err != nil {
			return recording{}, err
		}
	}
	seconds := map[timing.NodeID]float64{}
	if err := json.NewDecoder(r).Decode(&seconds); err != nil {
		return recording{}, err
	}
	var rec recording
	for id, s := range seconds {
		rec.tests = append(rec.tests, measured{id, time.Duration(s*1e6) * time.Microsecond})
	}
	slices.SortFunc(rec.tests, func(a, b measured) int { return cmp.Compare(a.id, b.id) })
	return rec, nil
}

// splitByPack is wcshard's own planner.
func splitByPack(_ context.Context, rec recording, counts []int) ([][]int, planCost, error) {
	var suite shard.Suite
	for i, t := range rec.tests {
		suite.Tests = append(suite.Tests, shard.Test{ID: t.id, Order: i, Estimate: timing.Estimate{Wall: t.wall}})
	}
	jobs, err := packSuite(suite, counts, nil)
	return jobs, planCost{}, err
}

// packSuite returns the job of each test, by the number in its name and from 0,
// for each number of jobs. before has the jobs of the plans before, or is nil.
func packSuite(suite shard.Suite, counts []int, before []map[timing.NodeID]int) ([][]int, error) {
	index := map[timing.NodeID]int{}
	for i, t := range suite.Tests {
		index[t.ID] = i
	}
	var out [][]int
	for c, n := range counts {
		for i := range suite.Tests {
			suite.Tests[i].Before = 0
			if before != nil {
				if job, ok := before[c][suite.Tests[i].ID]; ok {
					suite.Tests[i].Before = job + 1
				}
			}
		}
		plan, err := shard.Pack(suite, shard.Fleet{Shards: n, CPUs: 1})
		if err != nil {
			return nil, err
		}
		job, err := jobsOf(plan, index)
		if err != nil {
			return nil, err
		}
		out = append(out, job)
	}
	return out, nil
}

// judge prices a division of tests over n jobs.
func judge(rec recording, n int, planner string, job []int) planRow {
	row := planRow{Data: rec.name, Shards: n, Planner: planner}
	load := make([]time.Duration, n)
	tests := make([]int, n)
	in := map[string]int{} // file → its first test's job
	cut := map[string]bool{}
	total, longest := time.Duration(0), time.Duration(0)
	for i, t := range rec.tests {
		load[job[i]] += t.wall
		tests[job[i]]++
		total += t.wall
		longest = max(longest, t.wall)
		file := t.id.File()
		if first, ok := in[file]; !ok {
			in[file] = job[i]
		} else if first != job[i] {
			cut[file] = true
		}
	}
	for _, n := range tests {
		if n == 0 {
			row.Empty++
		}
	}
	row.Ratio = float64(slices.Max(load)) / float64(max(total/time.Duration(n), longest))
	row.Cut = len(cut)
	return row
}

// printRows prints a line for each recording and number of jobs, a column for
// each planner.
func printRows(w io.Writer, rows []planRow) error {
	var planners []string
	for _, r := range rows {
		if !slices.Contains(planners, r.Planner) {
			planners = append(planners, r.Planner)
		}
	}
	type place struct {
		data string
		n    int
	}
	cells := map[place]map[string]planRow{}
	var order []place
	for _, r := range rows {
		p := place{r.Data, r.Shards}
		if cells[p] == nil {
			cells[p] = map[string]planRow{}
			order = append(order, p)
		}
		cells[p][r.Planner] = r
	}
	fmt.Fprintln(w, "makespan / max(total/N, longest test); in brackets: files cut")
	tw := newTable(w)
	fmt.Fprintf(tw, "data\tN\t%s\t\n", strings.Join(planners, "\t"))
	for _, p := range order {
		fmt.Fprintf(tw, "%s\t%d\t", p.data, p.n)
		for _, name := range planners {
			r := cells[p][name]
			fmt.Fprintf(tw, "%.4f (%d", r.Ratio, r.Cut)
			if r.Empty > 0 {
				fmt.Fprintf(tw, ", %d empty", r.Empty)
			}
			fmt.Fprint(tw, ")\t")
		}
		fmt.Fprintln(tw)
	}
	return tw.Flush()
}
