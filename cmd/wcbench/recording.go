package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/wcshard/wcshard/shard/pytest"
)

// recordingPackages are what recording is measured with, predictions, and made-up suites
// that are run.
var recordingPackages = []string{"pytest==9.2.0", "pytest-xdist==3.8.0"}

type recordingOptions struct {
	tests, rounds int
	took, sampled time.Duration
	suites        suiteChoice
	json          bool
}

func newRecording() *cobra.Command {
	o := recordingOptions{tests: 10_000, rounds: 3, took: time.Millisecond, sampled: time.Minute}
	verb := &cobra.Command{
		Use:   "recording",
		Short: "Measure what selecting and recording tests costs",
		Long: `Run a suite of empty tests with plain pytest and with wcshard run, in turn, in
one process and with two workers, and show the difference in CPU seconds of all
processes, as microseconds a test; what each takes for a suite of one test a
worker is subtracted, and shown. Then run tests that sleep with two workers: the wall times
show what our scheduler costs beside xdist's own, which is called load. Last,
run tests that start processes, and show what sampling memory costs of a core, on
Linux. Each figure is the least of the rounds; sampling is one.

With --suites, run those suites instead, whole, in one process, and show what
wcshard run takes more than plain pytest, start-ups included; --tests, --took and
--sampled are of the other runs.

SUITES
`,
		RunE: func(verb *cobra.Command, args []string) error {
			specs, err := o.suites.specs(verb, args)
			if err != nil {
				return err
			}
			return doRecording(verb.Context(), verb.OutOrStdout(), specs, o)
		},
	}
	o.suites.bind(verb)
	f := verb.Flags()
	f.IntVar(&o.tests, "tests", o.tests, "tests of the suite")
	f.IntVar(&o.rounds, "rounds", o.rounds, "how often each is run")
	f.DurationVar(&o.took, "took", o.took, "how long each test of the last run sleeps")
	f.DurationVar(&o.sampled, "sampled", o.sampled, "how long about to sample; 0 for not")
	f.BoolVar(&o.json, "json", false, "print JSON")
	return verb
}

// A recordingRow is the cost with so many workers.
type recordingRow struct {
	Workers int     `json:"workers"`
	Tests   int     `json:"tests"`
	TookUS  int64   `json:"took_us"` // each test sleeps
	Plain   session `json:"plain"`
	Ours    session `json:"wcshard"`
	ByTest  float64 `json:"us_by_test"` // CPU time, without start-ups
}

// A session is the least that running a suite took, and a suite of one test a
// worker.
type session struct {
	CPU   float64 `json:"cpu_seconds"`
	Wall  float64 `json:"wall_seconds"`
	Start float64 `json:"start_cpu_seconds,omitempty"`
}

func (s session) byTests() float64 { return s.CPU - s.Start }

func doRecording(ctx context.Context, w io.Writer, specs []suiteSpec, o recordingOptions) error {
	if o.tests < 1 || o.rounds < 1 {
		return fmt.Errorf("--tests and --rounds want at least 1")
	}
	place, err := newWorkplace(ctx, "", "")
	if err != nil {
		return err
	}
	defer place.clean()
	if len(specs) > 0 {
		return recordingOfSuites(ctx, w, place, specs, o)
	}
	r := emptySuite{dir: filepath.Join(place.dir, "suite"), wcshard: place.wcshard}
	cache, err := cacheDir()
	if err != nil {
		return err
	}
	venv := filepath.Join(cache, "recording")
	if r.python, err = pytest.Venv(ctx, pytest.VenvOptions{Dir: venv, Requirements: recordingPackages}); err != nil {
		return fmt.Errorf("making a virtual environment: %w", err)
	}
	rows, err := r.rows(ctx, o)
	if err != nil {
		return err
	}
	share := 0.0
	if o.sampled > 0 && runtime.GOOS == "linux" {
		if share, err = r.sampling(ctx, o.sampled); err != nil {
			return err
		}
	}
	if o.json {
		return json.NewEncoder(w).Encode(map[string]any{"rows": rows, "sampling_share_of_core": share})
	}
	for _, row := range rows {
		fmt.Fprintf(w, "%d tests of %v, workers %d: pytest %.2f CPU seconds after %.2f of start-up, wcshard run %.2f after %.2f: %.0f µs a test; wall %.2f s, %.2f s: %+.1f %%\n",
			row.Tests, time.Duration(row.TookUS)*time.Microsecond, row.Workers, row.Plain.byTests(), row.Plain.Start, row.Ours.byTests(), row.Ours.Start,
			row.ByTest, row.Plain.Wall, row.Ours.Wall, 100*(row.Ours.Wall/row.Plain.Wall-1))
	}
	if share > 0 {
		fmt.Fprintf(w, "wcshard run itself, sampling tests with children: %.2f %% of a core\n", 100*share)
	}
	return nil
}

func (r emptySuite) rows(ctx context.Context, o recordingOptions) ([]recordingRow, error) {
	var rows []recordingRow
	for _, test := range []struct {
		workers int
		took    time.Duration
	}{{1, 0}, {2, 0}, {2, o.took}} {
		row, err := r.measure(ctx, test.workers, test.took, o)
		if err != nil {
			return nil, err
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// A recordedSuite is the cost of recording on a real suite: the least of the
// rounds.
type recordedSuite struct {
	Suite string  `json:"suite"`
	Tests int     `json:"tests"`
	Plain session `json:"plain"`
	Ours  session `json:"wcshard"`
	Share float64 `json:"more_cpu_share"` // of what plain pytest takes
}

func recordingOfSuites(ctx context.Context, w io.Writer, place workplace, specs []suiteSpec, o recordingOptions) error {
	var rows []recordedSuite
	for _, spec := range specs {
		s, err := place.suite(ctx, spec, "recording", o.suites.python, recordingPackages)
		if err != nil {
			return err
		}
		row, err := s.recording(ctx, o.rounds)
		if err != nil {
			return fmt.Errorf("recording %s: %w", spec.name, err)
		}
		rows = append(rows, row)
		if !o.json {
			fmt.Fprintf(w, "%s, %d tests: pytest %.2f CPU seconds, wcshard run %.2f: %+.2f %%; wall %.2f s, %.2f s\n",
				spec.name, row.Tests, row.Plain.CPU, row.Ours.CPU, 100*row.Share, row.Plain.Wall, row.Ours.Wall)
		}
	}
	if o.json {
		return writeJSON(w, rows)
	}
	return nil
}

// recording runs the whole suite by plain pytest and by wcshard, in turns.
func (s *benchSuite) recording(ctx context.Context, rounds int) (recordedSuite, error) {
	row := recordedSuite{Suite: s.spec.name}
	plan := s.file("plan.json")
	if _, err := s.matrix(ctx, s.file("timings.jsonl"), plan, "--shards", "1", "--workers", "1"); err != nil {
		return row, err
	}
	plain := slices.Concat([]string{s.python, "-m", "pytest", "-q", "-p", "no:cacheprovider"}, s.spec.args)
	for i := range rounds {
		for _, side := range []struct {
			args  []string
			least *session
		}{{plain, &row.Plain}, {s.run(plan, s.file("results"), "pool-1"), &row.Ours}} {
			done, err := s.once(ctx, side.args)
			if err := cmp.Or(err, done.wrong); err != nil {
				return row, err
			}
			row.Tests = len(done.tests)
			if cpu := done.cpu.Seconds(); i == 0 || cpu < side.least.CPU {
				side.least.CPU = cpu
			}
			if wall := done.wall.Seconds(); i == 0 || wall < side.least.Wall {
				side.least.Wall = wall
			}
		}
	}
	row.Share = row.Ours.CPU/row.Plain.CPU - 1
	return row, nil
}

// emptySuite is a suite of empty tests, and the programs that run it.
type emptySuite struct {
	dir, wcshard, python string
}

// write makes a suite of tests that sleep, or do nothing, so many a file.
func (r emptySuite) write(tests, perFile int, took time.Duration) error {
	if err := os.MkdirAll(r.dir, 0o777); err != nil {
		return err
	}
	for first := 0; first < tests; first += perFile {
		var text strings.Builder
		body := "pass"
		if took > 0 {
			text.WriteString("import time\n\n\n")
			body = fmt.Sprintf("time.sleep(%v)", took.Seconds())
		}
		for k := first; k < min(first+perFile, tests); k++ {
			fmt.Fprintf(&text, "def test_%d():\n    %s\n\n\n", k, body)
		}
		if err := os.WriteFile(filepath.Join(r.dir, fmt.Sprintf("test_%d.py", first)), []byte(text.String()), 0o666); err != nil {
			return err
		}
	}
	return nil
}

func (r emptySuite) measure(ctx context.Context, workers int, took time.Duration, o recordingOptions) (recordingRow, error) {
	row := recordingRow{Workers: workers, Tests: o.tests, TookUS: took.Microseconds()}
	all, one := r, r
	all.dir = filepath.Join(r.dir, fmt.Sprint("all-", workers, took))
	one.dir = filepath.Join(r.dir, fmt.Sprint("one-", workers, took))
	for _, s := range []struct {
		suite          emptySuite
		tests, perFile int
	}{{all, o.tests, 100}, {one, workers, 1}} {
		if err := s.suite.write(s.tests, s.perFile, took); err != nil {
			return row, fmt.Errorf("writing the suite: %w", err)
		}
		if err := s.suite.plan(ctx, workers); err != nil {
			return row, err
		}
	}
	for i := range o.rounds {
		for _, s := range []struct {
			suite emptySuite
			ours  bool
			cpu   *float64
			wall  *float64
		}{
			{all, false, &row.Plain.CPU, &row.Plain.Wall},
			{all, true, &row.Ours.CPU, &row.Ours.Wall},
			{one, false, &row.Plain.Start, new(float64)},
			{one, true, &row.Ours.Start, new(float64)},
		} {
			cpu, wall, err := s.suite.session(ctx, workers, s.ours)
			if err != nil {
				return row, err
			}
			if i == 0 || cpu.Seconds() < *s.cpu {
				*s.cpu = cpu.Seconds()
			}
			if i == 0 || wall.Seconds() < *s.wall {
				*s.wall = wall.Seconds()
			}
		}
	}
	row.ByTest = 1e6 * (row.Ours.byTests() - row.Plain.byTests()) / float64(max(1, o.tests-workers))
	return row, nil
}

func (r emptySuite) plan(ctx context.Context, workers int) error {
	_, _, err := r.run(ctx, r.wcshard, "matrix", "--pytest", r.python+" -m pytest", "--plan", "plan.json", "--shards", "1", "--workers", strconv.Itoa(workers))
	return err
}

// session runs the suite by plain pytest or by wcshard.
func (r emptySuite) session(ctx context.Context, workers int, ours bool) (cpu, wall time.Duration, err error) {
	if ours {
		return r.run(ctx, r.wcshard, r.runArgs()...)
	}
	n := "0"
	if workers > 1 {
		n = strconv.Itoa(workers)
	}
	return r.run(ctx, r.python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", n)
}

func (r emptySuite) runArgs() []string {
	return []string{"run", "--pytest", r.python + " -m pytest", "--plan", "plan.json", "--shard", "pool-1", "--", "-q", "-p", "no:cacheprovider"}
}

// sampling runs tests that start processes, with two workers, and returns what
// wcshard itself takes of a core: it samples, and does nothing else meanwhile.
func (r emptySuite) sampling(ctx context.Context, about time.Duration) (share float64, err error) {
	r.dir = filepath.Join(r.dir, "children")
	if err := os.MkdirAll(r.dir, 0o777); err != nil {
		return 0, err
	}
	text := fmt.Sprintf(childrenSuite, max(1, int(2*about.Seconds()/0.7)))
	if err := os.WriteFile(filepath.Join(r.dir, "test_children.py"), []byte(text), 0o666); err != nil {
		return 0, err
	}
	if err := r.plan(ctx, 2); err != nil {
		return 0, err
	}
	cmd := exec.CommandContext(ctx, r.wcshard, r.runArgs()...)
	cmd.Dir = r.dir
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		select {
		case err := <-ended:
			if err != nil {
				err = fmt.Errorf("running %s: %w", strings.Join(cmd.Args, " "), err)
			}
			return share, err
		case <-time.After(time.Second / 4):
			if took := ownTime(cmd.Process.Pid); took > 0 {
				share = took.Seconds() / time.Since(began).Seconds()
			}
		}
	}
}

const childrenSuite = `import subprocess
import sys

import pytest


@pytest.mark.parametrize("n", range(%d))
def test_child(n):
    subprocess.run([sys.executable, "-c", "import time; block = b'x' * (100 << 20); time.sleep(0.6)"], check=True)
`

// ownTime returns the CPU time of a process's threads, without that of its
// children; 0 where that is not told.
func ownTime(pid int) time.Duration {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	total := time.Duration(0)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		var ns int64
		if _, err := fmt.Sscan(string(text), &ns); err == nil {
			total += time.Duration(ns)
		}
	}
	return total
}

// run runs a program in the suite and returns the CPU time of it and of all
// that it waited for, and its wall time.
func (r emptySuite) run(ctx context.Context, name string, args ...string) (cpu, wall time.Duration, err error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = r.dir
	began := time.Now()
	if out, err := cmd.CombinedOutput(); err != nil {
		return 0, 0, fmt.Errorf("running %s: %w: %s", strings.Join(cmd.Args, " "), err, bytes.TrimSpace(out))
	}
	return cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), time.Since(began), nil
}
