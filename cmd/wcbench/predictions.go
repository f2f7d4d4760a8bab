package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/exp/stats"

	"github.com/wcshard/wcshard/shard"
	"github.com/wcshard/wcshard/timing"
	"github.com/wcshard/wcshard/timing/artifact"
)

type predictionOptions struct {
	suites  suiteChoice
	workers []int
	shards  int
	rounds  int
	scale   float64
	noise   bool
	json    bool
	keep    string
}

func newPredictions() *cobra.Command {
	o := predictionOptions{suites: suiteChoice{names: []string{"sleeping", "fixtures"}}, workers: []int{1, 2}, shards: 4, rounds: 4}
	verb := &cobra.Command{
		Use:   "predictions",
		Short: "Compare what plans predict with what their jobs take",
		Long: `Go round as CI does: wcshard matrix, wcshard run for each shard, wcshard merge,
and the same again with what was learned. After each round: how far the predicted
wall times of the jobs were from the real ones, |predicted - real| / real, with
the history of the rounds before. The first round predicts from nothing and only
records.

SUITES
On a machine that is busy jobs take longer than their work. stretch is wall time
over CPU time, a fixed figure where nothing else runs and work is only computed;
load is that of the machine. slower says how its pace differed from that of the
rounds that the plan is made from, as a little work tells that is done over and
over beside the jobs, most exactly on one core (taskset -c 1 wcbench predictions
..., on Linux); the made-up suites take what they take at any pace. What they are
off by is said as it was, and as it would have been at that one pace. --noise runs
each job twice: as it was, no prediction can be nearer than the two are to each
other.`,
		RunE: func(verb *cobra.Command, args []string) error {
			specs, err := o.suites.specs(verb, args)
			if err != nil {
				return err
			}
			return doPredictions(verb.Context(), verb.OutOrStdout(), specs, o)
		},
	}
	o.suites.bind(verb)
	f := verb.Flags()
	f.IntSliceVar(&o.workers, "workers", o.workers, "workers of a job; each number begins with an empty history")
	f.IntVar(&o.shards, "shards", o.shards, "jobs of a round")
	f.IntVar(&o.rounds, "rounds", o.rounds, "rounds, the first included")
	f.Float64Var(&o.scale, "scale", o.scale, "cost of a made-up suite: with 1, 80 s of tests and set-ups (default: the suite's own)")
	f.BoolVar(&o.noise, "noise", false, "run each job twice, and show how far the two are apart")
	f.BoolVar(&o.json, "json", false, "print JSON")
	f.StringVar(&o.keep, "keep", "", "leave suites, plans and results in a `FOLDER`")
	return verb
}

// A predictionRow is one round of one suite.
type predictionRow struct {
	Suite     string    `json:"suite"`
	Workers   int       `json:"workers"`
	Round     int       `json:"round"` // from 0, which predicts from nothing
	Predicted []float64 `json:"predicted_seconds"`
	Real      []float64 `json:"real_seconds"`
	CPU       []float64 `json:"cpu_seconds"`
	Again     []float64 `json:"real_again_seconds,omitempty"`
	Slower    []float64 `json:"job_slower"`                        // times that the machine was slower than in the rounds before; 1 where that is not known
	Expected  int       `json:"expected_error_permille,omitempty"` // by the plan itself
	Load      string    `json:"load,omitempty"`
}

// errors returns |predicted - real| / real of each job.
func (r *predictionRow) errors() []float64 { return apart(r.Predicted, r.Real) }

// pacedErrors returns the errors that would be left if the machine had its pace of
// the rounds before. What a job waits for takes as long at any.
func (r *predictionRow) pacedErrors() []float64 {
	walls := slices.Clone(r.Real)
	for i := range walls {
		busy := min(1, r.CPU[i]/(r.Real[i]*float64(max(r.Workers, 1))))
		walls[i] *= 1 - busy + busy/r.Slower[i]
	}
	return apart(r.Predicted, walls)
}

// noise returns how far the two runs of each job are apart.
func (r *predictionRow) noise() []float64 { return apart(r.Again, r.Real) }

func apart(a, b []float64) []float64 {
	var list []float64
	for i := range a {
		list = append(list, math.Abs(a[i]-b[i])/max(b[i], 1e-9))
	}
	return list
}

func doPredictions(ctx context.Context, w io.Writer, specs []suiteSpec, o predictionOptions) error {
	if o.rounds < 2 || o.shards < 1 {
		return errors.New("--rounds wants at least 2, and --shards 1")
	}
	place, err := newWorkplace(ctx, o.keep, "")
	if err != nil {
		return err
	}
	defer place.clean()
	var rows []predictionRow
	for _, spec := range specs {
		s, err := predictionSuite(ctx, o, spec, place)
		if err != nil {
			return fmt.Errorf("making the suite %s: %w", spec.name, err)
		}
		for _, workers := range o.workers {
			more, err := s.rounds(ctx, workers, o)
			if err != nil {
				return fmt.Errorf("running %s with %d workers: %w", spec.name, workers, err)
			}
			rows = append(rows, more...)
			if !o.json {
				if err := printPredictions(w, more); err != nil {
					return err
				}
			}
		}
	}
	if o.json {
		return writeJSON(w, rows)
	}
	return nil
}

// predictionSuite puts a suite and what runs it on disk.
func predictionSuite(ctx context.Context, o predictionOptions, spec suiteSpec, place workplace) (*loopSuite, error) {
	s, err := place.suite(ctx, spec, "predictions", o.suites.python, recordingPackages)
	if err != nil {
		return nil, err
	}
	if spec.module == "" && o.scale != 0 {
		_, err = s.call(ctx, place.dir, s.python, "-c", fixtureSuite, s.dir, strconv.FormatFloat(o.scale, 'g', -1, 64), spec.clock)
	}
	return &loopSuite{benchSuite: s}, err
}

// A loopSuite goes round: plan, run, learn.
type loopSuite struct {
	*benchSuite
	beats []float64 // CPU seconds, of the pacer, during each job so far
}

func (s *loopSuite) rounds(ctx context.Context, workers int, o predictionOptions) ([]predictionRow, error) {
	pace, err := s.startPacer(ctx)
	if err != nil {
		return nil, err
	}
	defer pace.stop()
	s.pace, s.beats = pace, nil
	timings := s.file(fmt.Sprintf("timings-%d.jsonl", workers))
	if err := os.Remove(timings); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	var rows []predictionRow
	for round := range o.rounds {
		row := predictionRow{Suite: s.spec.name, Workers: workers, Round: round}
		s.beat = 0
		if round > 0 {
			s.beat = total(s.beats) / float64(len(s.beats))
		}
		name := s.file(fmt.Sprintf("plan-%d-%d.json", workers, round))
		_, err := s.matrix(ctx, timings, name, "--shards", strconv.Itoa(o.shards), "--workers", strconv.Itoa(workers), "--runner", "local")
		if err != nil {
			return nil, err
		}
		plan, err := readPlanFile(name)
		if err != nil {
			return nil, err
		}
		row.Expected = plan.Error.Median
		results := s.file(fmt.Sprintf("results-%d-%d", workers, round))
		for _, folder := range []string{results, again(results)} { // of an earlier call, with --keep
			if err := os.RemoveAll(folder); err != nil {
				return nil, err
			}
		}
		for i := range plan.Shards {
			if err := s.job(ctx, &row, name, results, &plan.Shards[i], o.noise); err != nil {
				return nil, err
			}
		}
		row.Load = load()
		if _, err := s.call(ctx, s.dir, s.wcshard, "merge", "--timings", timings, results); err != nil {
			return nil, err
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// again names the folder of what the same jobs leave when they run a second time.
func again(results string) string { return results + "-again" }

// job runs one job, or the same job twice; only the first is learned from.
func (s *loopSuite) job(ctx context.Context, row *predictionRow, plan, results string, one *shard.Shard, twice bool) error {
	began := time.Now()
	run := func(folder string) (time.Duration, time.Duration, error) {
		call := s.run(plan, folder, one.Name)
		used, err := s.call(ctx, s.dir, call[0], call[1:]...)
		if err != nil {
			return 0, 0, err
		}
		wall, err := sessionWall(folder, one.Name)
		return wall, used.cpu, err
	}
	wall, cpu, err := run(results)
	if err != nil {
		return err
	}
	beat, err := s.pace.since(began)
	if err != nil {
		return err
	}
	s.beats, row.Slower = append(s.beats, beat), append(row.Slower, slower(beat, s.beat))
	row.Predicted, row.Real, row.CPU = append(row.Predicted, one.Wall.Seconds()), append(row.Real, wall.Seconds()), append(row.CPU, cpu.Seconds())
	if !twice {
		return nil
	}
	wall, _, err = run(again(results))
	row.Again = append(row.Again, wall.Seconds())
	return err
}

// sessionWall reads how long the session of a shard took.
func sessionWall(folder, name string) (time.Duration, error) {
	f, err := os.Open(filepath.Join(folder, artifact.ResultsName(name, 1)+".jsonl"))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	results, err := timing.ReadResults(f, f.Name())
	if err != nil {
		return 0, err
	}
	return results.Elapsed, nil
}

func readPlanFile(name string) (*shard.Plan, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	plan, err := shard.ReadPlan(f, name)
	return plan, errors.Join(err, f.Close())
}

// load is the machine's load of the last minute, where the system says so.
func load() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return ""
	}
	first, _, _ := strings.Cut(string(text), " ")
	return first
}

// printPredictions prints the rounds of one suite and number of workers, and the
// error over all rounds after the third, as that of a history of three runs.
func printPredictions(w io.Writer, rows []predictionRow) error {
	fmt.Fprintf(w, "%s with %d workers, %d jobs, wall seconds\n", rows[0].Suite, rows[0].Workers, len(rows[0].Real))
	tw := newTable(w)
	fmt.Fprintln(tw, "runs known\tpredicted\treal\toff by, median\t90th percentile\tat one pace\t90th, too\tslower\tsum\texpected\tstretch\tnoise\tload\t")
	var after, pacedAfter []float64
	for i := range rows {
		r := &rows[i]
		off, ninth, paced, pacedNinth, slow, sum, noise, expected := "-", "-", "-", "-", "-", "-", "-", "-"
		if r.Round > 0 {
			q, p := stats.Quantiles(r.errors(), 0.5, 0.9), stats.Quantiles(r.pacedErrors(), 0.5, 0.9)
			off, ninth, paced, pacedNinth = percentOf(q[0]), percentOf(q[1]), percentOf(p[0]), percentOf(p[1])
			slow = fmt.Sprintf("%.2f", stats.Mean(r.Slower))
			sum = fmt.Sprintf("%+.1f %%", 100*(total(r.Predicted)/total(r.Real)-1))
		}
		if r.Round >= 3 {
			after, pacedAfter = append(after, r.errors()...), append(pacedAfter, r.pacedErrors()...)
		}
		if r.Expected > 0 {
			expected = percentOf(float64(r.Expected) / 1000)
		}
		if len(r.Again) > 0 {
			noise = percentOf(stats.Quantiles(r.noise(), 0.5)[0])
		}
		fmt.Fprintf(tw, "%d\t%.1f\t%.1f\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%.2f\t%s\t%s\t\n", r.Round, total(r.Predicted), total(r.Real), off, ninth, paced, pacedNinth, slow, sum, expected,
			total(r.Real)/max(total(r.CPU), 1e-9), noise, r.Load)
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	if len(after) > 0 {
		q, p := stats.Quantiles(after, 0.5, 0.9), stats.Quantiles(pacedAfter, 0.5, 0.9)
		fmt.Fprintf(w, "from three known runs on: off by %s (median of %d jobs), %s (90th percentile); at one pace %s, %s\n",
			percentOf(q[0]), len(after), percentOf(q[1]), percentOf(p[0]), percentOf(p[1]))
	}
	fmt.Fprintln(w)
	return nil
}

func percentOf(part float64) string { return fmt.Sprintf("%.1f %%", 100*part) }

func total(values []float64) float64 {
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	return sum
}
