package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"

	"github.com/spf13/cobra"
	"golang.org/x/exp/stats"
)

// insidePackages are the schedulers inside a job.
var insidePackages = []string{"pytest==9.2.0", "pytest-xdist==3.8.0", "bistra==0.1.0"}

type insideOptions struct {
	suites  suiteChoice
	workers []int
	rounds  int
	quick   bool
	json    bool
}

func newInside() *cobra.Command {
	o := insideOptions{suites: suiteChoice{names: []string{"sleeping", "statsmodels"}}, workers: []int{2, 4}, rounds: 3}
	verb := &cobra.Command{
		Use:   "inside",
		Short: "Compare wcshard's order inside a job with xdist's modes and bistra",
		Long: `Run a suite in one job with several workers: as wcshard run orders it, as each
mode of pytest-xdist does, and as bistra does. The schedulers take turns; wall and
CPU seconds are medians of the rounds. wcshard knows one run with one worker,
bistra all of its own before, of which it takes the mean.

SUITES
On a machine with fewer cores than workers, or with other work on it, only the
wall time of a suite that sleeps says something.`,
		RunE: func(verb *cobra.Command, args []string) error {
			if o.quick {
				o.suites.names, o.workers, o.rounds = []string{"quick"}, []int{2}, 1
			}
			specs, err := o.suites.specs(verb, args)
			if err != nil {
				return err
			}
			return doInside(verb.Context(), verb.OutOrStdout(), specs, o)
		},
	}
	o.suites.bind(verb)
	f := verb.Flags()
	f.IntSliceVar(&o.workers, "workers", o.workers, "numbers of workers")
	f.IntVar(&o.rounds, "rounds", o.rounds, "how often each is run")
	f.BoolVar(&o.quick, "quick", false, "only the smallest suite, once, with 2 workers")
	f.BoolVar(&o.json, "json", false, "print JSON")
	return verb
}

// An insideRow is how one scheduler ran a suite.
type insideRow struct {
	Suite     string    `json:"suite"`
	Scheduler string    `json:"scheduler"`
	Workers   int       `json:"workers"`
	Wall      float64   `json:"wall_seconds"` // medians of the rounds
	CPU       float64   `json:"cpu_seconds"`
	Walls     []float64 `json:"walls"`
	CPUs      []float64 `json:"cpus"`
	Tests     int       `json:"tests"`
	Lost      int       `json:"lost"` // in the worst round
	Doubled   int       `json:"doubled"`
	Wrong     []string  `json:"wrong_exits,omitempty"`
}

// A scheduler says how to run the whole suite with so many workers.
type scheduler struct {
	name string
	argv func(s *benchSuite, workers int) []string
}

var schedulers = []scheduler{
	{"wcshard", func(s *benchSuite, workers int) []string {
		return s.run(s.workersPlan(workers), s.file("results"), "pool-1")
	}},
	{"xdist load", xdist("load")},
	{"xdist loadscope", xdist("loadscope")},
	{"xdist loadfile", xdist("loadfile")},
	{"xdist worksteal", xdist("worksteal")},
	{"bistra", func(s *benchSuite, workers int) []string {
		return append([]string{s.python, "-m", "bistra", "-j", strconv.Itoa(workers), "-q", "-p", "no:cacheprovider"}, s.spec.args...)
	}},
}

func xdist(mode string) func(*benchSuite, int) []string {
	return func(s *benchSuite, workers int) []string {
		return append([]string{s.python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", strconv.Itoa(workers), "--dist", mode}, s.spec.args...)
	}
}

func (s *benchSuite) workersPlan(workers int) string {
	return s.file(fmt.Sprintf("plan-workers-%d.json", workers))
}

func doInside(ctx context.Context, w io.Writer, specs []suiteSpec, o insideOptions) error {
	if o.rounds < 1 {
		return fmt.Errorf("--rounds wants at least 1")
	}
	rows, err := insideAll(ctx, w, specs, o)
	if o.json && len(rows) > 0 {
		err = errors.Join(err, writeJSON(w, rows))
	}
	return errors.Join(err, insideFaults(rows))
}

// insideAll measures all suites. With an error there are the rows before it: they
// take minutes.
func insideAll(ctx context.Context, w io.Writer, specs []suiteSpec, o insideOptions) (rows []insideRow, err error) {
	place, err := newWorkplace(ctx, "", "")
	if err != nil {
		return nil, err
	}
	defer place.clean()
	for _, spec := range specs {
		s, err := place.suite(ctx, spec, "inside", o.suites.python, insidePackages)
		if err != nil {
			return rows, err
		}
		if err := recordWcshard(ctx, s); err != nil {
			return rows, fmt.Errorf("recording %s: %w", spec.name, err)
		}
		if err := s.pytest(ctx, "whole"); err != nil {
			return rows, fmt.Errorf("running %s in one process: %w", spec.name, err)
		}
		for _, workers := range o.workers {
			more, stopped := s.inside(ctx, workers, o.rounds)
			rows = append(rows, more...)
			if !o.json && len(more) > 0 {
				if err := printInside(w, more); err != nil {
					return rows, err
				}
			}
			if stopped != nil {
				return rows, fmt.Errorf("running %s with %d workers: %w", spec.name, workers, stopped)
			}
		}
	}
	return rows, nil
}

// insideFaults says what wcshard got wrong.
func insideFaults(rows []insideRow) error {
	for _, r := range rows {
		if r.Scheduler == schedulers[0].name && r.Lost+r.Doubled+len(r.Wrong) > 0 {
			return fmt.Errorf("wcshard on %s with %d workers: %d tests lost, %d doubled, %d wrong exits %q", r.Suite, r.Workers, r.Lost, r.Doubled, len(r.Wrong), r.Wrong)
		}
	}
	return nil
}

// inside runs the suite with each scheduler in turn, after one run for bistra alone,
// which learns from each of its own. With an error there are the rows of the rounds before it.
func (s *benchSuite) inside(ctx context.Context, workers, rounds int) ([]insideRow, error) {
	if err := s.planWorkers(ctx, workers); err != nil {
		return nil, err
	}
	bistra := schedulers[len(schedulers)-1]
	first, err := s.once(ctx, bistra.argv(s, workers))
	if err == nil && first.wrong != nil {
		err = fmt.Errorf("%s, the run that it learns from: %w", bistra.name, first.wrong)
	}
	if err != nil {
		return nil, err
	}
	var rows []insideRow
	for round := range rounds {
		var outcomes []outcome
		for _, x := range schedulers {
			o, err := s.once(ctx, x.argv(s, workers))
			if err != nil {
				return rows, fmt.Errorf("%s, round %d: %w", x.name, round+1, err)
			}
			outcomes = append(outcomes, o)
		}
		for i, o := range outcomes {
			if round == 0 {
				rows = append(rows, insideRow{Suite: s.spec.name, Scheduler: schedulers[i].name, Workers: workers})
			}
			rows[i].add(s.tests, o)
		}
	}
	return rows, nil
}

// planWorkers plans the whole suite as one job.
func (s *benchSuite) planWorkers(ctx context.Context, workers int) error {
	n := strconv.Itoa(workers)
	_, err := s.matrix(ctx, s.file("timings.jsonl"), s.workersPlan(workers), "--shards", "1", "--workers", n, "--runner-cpus", n)
	return err
}

// add takes one round into the row.
func (row *insideRow) add(want map[string]int, o outcome) {
	row.Walls, row.CPUs = append(row.Walls, o.wall.Seconds()), append(row.CPUs, o.cpu.Seconds())
	row.Wall, row.CPU = stats.Median(row.Walls), stats.Median(row.CPUs)
	var lost, doubled int
	row.Tests, lost, doubled = countTests(want, o.tests)
	row.Lost, row.Doubled = max(row.Lost, lost), max(row.Doubled, doubled)
	if o.wrong != nil {
		row.Wrong = append(row.Wrong, o.wrong.Error())
	}
}

func printInside(w io.Writer, rows []insideRow) error {
	fmt.Fprintf(w, "%s in one job with %d workers, %d tests, medians of %d\n", rows[0].Suite, rows[0].Workers, rows[0].Tests, len(rows[0].Walls))
	tw := newTable(w)
	fmt.Fprintln(tw, "scheduler\twall s\tover the least\tCPU s\tlost\tdoubled\twrong exits\t")
	least := slices.MinFunc(rows, func(a, b insideRow) int { return cmp.Compare(a.Wall, b.Wall) }).Wall
	for _, r := range rows {
		fmt.Fprintf(tw, "%s\t%.2f\t%.2f\t%.2f\t%d\t%d\t%d\t\n", r.Scheduler, r.Wall, r.Wall/least, r.CPU, r.Lost, r.Doubled, len(r.Wrong))
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	for _, r := range rows {
		for _, wrong := range r.Wrong {
			fmt.Fprintf(w, "%s: %s\n", r.Scheduler, wrong)
		}
	}
	fmt.Fprintln(w)
	return nil
}
