package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/exp/stats"
)

// A jobCall is one job's command line, without the report file.
type jobCall struct {
	Name      string        `json:"name"`
	Args      []string      `json:"args"`
	Predicted time.Duration `json:"predicted_ns,omitempty"`
}

// A suitePlanner divides a suite: wcshard, or a rival. Its record run measures
// durations; jobs says how to run each of n jobs, in definition order.
type suitePlanner struct {
	name   string
	record func(ctx context.Context, s *benchSuite) error
	jobs   func(ctx context.Context, s *benchSuite, n int) (suiteRow, []jobCall, error)
}

// together is the planner in whose recorded runs those after it record as well.
const together = "pytest-split duration_based_chunks"

// suitePlanners are all that divide suites, wcshard the first, each in the mode that its
// own documentation shows.
var suitePlanners = []suitePlanner{
	{"wcshard", recordWcshard, wcshardJobs},
	{together, recordTogether, pytestSplitJobs("duration_based_chunks")},
	{"pytest-split least_duration", recordedIn("durations"), pytestSplitJobs("least_duration")},
	{"pytest-balance", recordedIn("balance"), pytestBalanceJobs},
	{"pytest-fsplit", recordedIn("fsplit.json"), pytestFsplitJobs},
	{"gotestsum ci-matrix", recordGotestsum, nil},
}

// planJobs plans n jobs of one worker, from what recordWcshard has recorded.
func (s *benchSuite) planJobs(ctx context.Context, plan string, n int) (u usage, err error) {
	return s.matrix(ctx, s.file("timings.jsonl"), plan, "--shards", strconv.Itoa(n), "--workers", "1")
}

func recordWcshard(ctx context.Context, s *benchSuite) error {
	plan := s.file("plan-record.json")
	if _, err := s.planJobs(ctx, plan, 1); err != nil {
		return err
	}
	results := s.file(fmt.Sprintf("recorded-%d", s.runs+1))
	// The jobs write such a report too, which takes its time at the end.
	call := append(s.run(plan, results, "pool-1"), "--junitxml="+s.file("recorded.xml"))
	began := time.Now()
	used, err := s.call(ctx, s.dir, call[0], call[1:]...)
	if err != nil {
		return err
	}
	beat, err := s.pace.since(began)
	if err != nil {
		return err
	}
	s.recordedShares, s.recordedBeats = append(s.recordedShares, used.alone(1)/used.wall.Seconds()), append(s.recordedBeats, beat)
	// Of three runs wcshard goes by the median of what a test took: one that was slow
	// does not count.
	s.share, s.beat = stats.Median(s.recordedShares), stats.Median(s.recordedBeats)
	_, err = s.call(ctx, s.dir, s.wcshard, "merge", "--timings", s.file("timings.jsonl"), results)
	return err
}

func wcshardJobs(ctx context.Context, s *benchSuite, n int) (row suiteRow, calls []jobCall, err error) {
	name := s.file(fmt.Sprintf("plan-%d.json", n))
	began := time.Now()
	used, err := s.planJobs(ctx, name, n)
	if err != nil {
		return row, nil, err
	}
	beat, err := s.pace.since(began)
	if err != nil {
		return row, nil, err
	}
	row.Plan = used.alone(slower(beat, s.beat))
	plan, err := readPlanFile(name)
	if err != nil {
		return row, nil, err
	}
	row.Bound = s.share * plan.Bound.Seconds()
	for i := range plan.Shards {
		x := &plan.Shards[i]
		calls = append(calls, jobCall{x.Name, s.run(name, s.file("results"), x.Name), x.Wall})
	}
	return row, calls, nil
}

// recordTogether has the plugins of the rivals record one run, each in its own
// way: they listen to the same reports, and take microseconds for each.
func recordTogether(ctx context.Context, s *benchSuite) error {
	return s.pytest(ctx, "rivals", "--store-durations", "--durations-path="+s.file("durations"),
		"--balance-store", "--balance-path="+s.file("balance"), "--balance-no-report",
		"--fsplit-store-durations", "--fsplit-durations-path="+s.file("fsplit.json"))
}

// recordedIn says that recordTogether has recorded for a rival.
func recordedIn(name string) func(context.Context, *benchSuite) error {
	return func(_ context.Context, s *benchSuite) error {
		if err := s.recorded[together]; err != nil {
			return err
		}
		if _, err := os.Stat(s.file(name)); err != nil {
			return fmt.Errorf("finding what it recorded: %w", err)
		}
		return nil
	}
}

func pytestSplitJobs(algorithm string) func(context.Context, *benchSuite, int) (suiteRow, []jobCall, error) {
	return func(_ context.Context, s *benchSuite, n int) (suiteRow, []jobCall, error) {
		return s.each(n, 1, "--splits", strconv.Itoa(n), "--splitting-algorithm", algorithm, "--durations-path="+s.file("durations"), "--group")
	}
}

// each makes n jobs whose last option is their number, from first.
func (s *benchSuite) each(n, first int, options ...string) (suiteRow, []jobCall, error) {
	return s.eachOf(s.spec.args, n, first, options...)
}

// eachOf is each, with these arguments in place of the suite's.
func (s *benchSuite) eachOf(tests []string, n, first int, options ...string) (row suiteRow, calls []jobCall, err error) {
	for k := range n {
		number := strconv.Itoa(first + k)
		args := slices.Concat([]string{s.python, "-m", "pytest", "-q", "-p", "no:cacheprovider"}, options, []string{number}, tests)
		calls = append(calls, jobCall{Name: "job " + number, Args: args})
	}
	return row, calls, nil
}

func pytestBalanceJobs(_ context.Context, s *benchSuite, n int) (suiteRow, []jobCall, error) {
	return s.each(n, 0, "--balance", "--balance-no-report", "--balance-path="+s.file("balance"), "--balance-node-total", strconv.Itoa(n), "--balance-node-index")
}

func pytestFsplitJobs(_ context.Context, s *benchSuite, n int) (row suiteRow, calls []jobCall, err error) {
	args, err := inFolders(s.dir, s.spec.args)
	if err != nil {
		return row, nil, err
	}
	return s.eachOf(args, n, 1, "--fsplits", strconv.Itoa(n), "--fsplit-durations-path="+s.file("fsplit.json"), "--fgroup")
}

// inFolders names folders, in full, where pytest's arguments name files in dir, and
// has pytest ignore what else is in them. pytest-fsplit never leaves out a file that
// is named (its should_ignore_collection_path), and takes relative paths from pytest's
// root, which is not the working directory where a package brings a pyproject.toml.
func inFolders(dir string, args []string) ([]string, error) {
	takesValue := func(option string) bool {
		return strings.HasPrefix(option, "-") && !strings.Contains(option, "=") && !slices.Contains([]string{"-x", "-v", "-q", "-s", "-l"}, option)
	}
	var out, named, folders []string // named are files
	for i, arg := range args {
		path := filepath.Join(dir, arg)
		info, err := os.Stat(path)
		switch {
		case err != nil || i > 0 && takesValue(args[i-1]):
			out = append(out, arg) // an option, or what belongs to it
		case info.IsDir():
			out, folders = append(out, path), append(folders, path)
		default:
			named = append(named, path)
			if folder := filepath.Dir(path); !slices.Contains(out, folder) {
				out = append(out, folder)
			}
		}
	}
	wanted := func(path string) bool { // or some of what is in it
		holds := func(other string) bool {
			return other == path || strings.HasPrefix(other, path+string(filepath.Separator))
		}
		within := func(folder string) bool { return strings.HasPrefix(path, folder+string(filepath.Separator)) }
		return slices.ContainsFunc(slices.Concat(named, folders), holds) || slices.ContainsFunc(folders, within)
	}
	var ignored []string
	for _, path := range named {
		entries, err := os.ReadDir(filepath.Dir(path))
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			other := filepath.Join(filepath.Dir(path), e.Name())
			if (e.IsDir() || filepath.Ext(other) == ".py") && e.Name() != "__init__.py" && e.Name() != "conftest.py" && !wanted(other) {
				ignored = append(ignored, "--ignore="+other)
			}
		}
	}
	slices.Sort(ignored)
	return append(out, slices.Compact(ignored)...), nil
}

func recordGotestsum(context.Context, *benchSuite) error {
	return errors.New("it divides Go packages, from what go test -json prints, and knows no pytest; wcbench plan compares its plans")
}
