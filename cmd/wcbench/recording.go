package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/wcshard/wcshard/shard/pytest"
)

// recorded is the pytest that the cost of recording is measured with.
var recorded = []string{"pytest==9.2.0", "pytest-xdist==3.8.0"}

type recordingOptions struct {
	tests, rounds int
	took          time.Duration
	json          bool
}

func newRecording() *cobra.Command {
	o := recordingOptions{tests: 10_000, rounds: 3}
	verb := &cobra.Command{
		Use:   "recording",
		Short: "Measure what selecting and recording tests costs",
		Long: `Run a suite of empty tests with plain pytest and with wcshard run, in turn, in
one process and with two workers, and show the difference in CPU seconds of all
processes, as microseconds a test, and both wall times: that with workers shows
what our scheduler costs beside xdist's own, which is called load. Each figure is
the least of the rounds.`,
		Args: cobra.NoArgs,
		RunE: func(verb *cobra.Command, _ []string) error {
			return doRecording(verb.Context(), verb.OutOrStdout(), o)
		},
	}
	f := verb.Flags()
	f.IntVar(&o.tests, "tests", o.tests, "tests of the suite")
	f.IntVar(&o.rounds, "rounds", o.rounds, "how often each is run")
	f.DurationVar(&o.took, "took", 0, "how long each test sleeps")
	f.BoolVar(&o.json, "json", false, "print JSON")
	return verb
}

// A recordingRow is the cost with so many workers.
type recordingRow struct {
	Workers      int     `json:"workers"`
	Tests        int     `json:"tests"`
	PlainSeconds float64 `json:"plain_cpu_seconds"`
	Seconds      float64 `json:"cpu_seconds"`
	PlainWall    float64 `json:"plain_wall_seconds"`
	Wall         float64 `json:"wall_seconds"`
	ByTest       float64 `json:"us_by_test"`
}

func doRecording(ctx context.Context, w io.Writer, o recordingOptions) error {
	if o.tests < 1 || o.rounds < 1 {
		return fmt.Errorf("--tests and --rounds want at least 1")
	}
	dir, err := os.MkdirTemp("", "wcbench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	r := emptySuite{dir: filepath.Join(dir, "suite")}
	if r.wcshard, err = buildWcshard(ctx, dir); err != nil {
		return err
	}
	cache, err := cacheDir()
	if err != nil {
		return err
	}
	venv := filepath.Join(cache, "recording")
	if r.python, err = pytest.Venv(ctx, pytest.VenvOptions{Dir: venv, Requirements: recorded}); err != nil {
		return fmt.Errorf("making a virtual environment: %w", err)
	}
	if err := r.write(o.tests, o.took); err != nil {
		return fmt.Errorf("writing the suite: %w", err)
	}
	var rows []recordingRow
	for _, workers := range []int{1, 2} {
		row, err := r.measure(ctx, workers, o)
		if err != nil {
			return err
		}
		rows = append(rows, row)
	}
	if o.json {
		return json.NewEncoder(w).Encode(rows)
	}
	for _, row := range rows {
		fmt.Fprintf(w, "%d tests of %v, workers %d: pytest %.2f CPU seconds, wcshard run %.2f: %.0f µs a test; wall %.2f s, %.2f s: %+.1f %%\n",
			row.Tests, o.took, row.Workers, row.PlainSeconds, row.Seconds, row.ByTest, row.PlainWall, row.Wall, 100*(row.Wall/row.PlainWall-1))
	}
	return nil
}

// emptySuite is a suite of empty tests, and the programs that run it.
type emptySuite struct {
	dir, wcshard, python string
}

// write makes a suite of tests that sleep, or do nothing, a hundred a file.
func (r emptySuite) write(tests int, took time.Duration) error {
	if err := os.MkdirAll(r.dir, 0o777); err != nil {
		return err
	}
	for first := 0; first < tests; first += 100 {
		var text strings.Builder
		body := "pass"
		if took > 0 {
			text.WriteString("import time\n\n\n")
			body = fmt.Sprintf("time.sleep(%v)", took.Seconds())
		}
		for k := first; k < min(first+100, tests); k++ {
			fmt.Fprintf(&text, "def test_%d():\n    %s\n\n\n", k, body)
		}
		if err := os.WriteFile(filepath.Join(r.dir, fmt.Sprintf("test_%d.py", first)), []byte(text.String()), 0o666); err != nil {
			return err
		}
	}
	return nil
}

func (r emptySuite) measure(ctx context.Context, workers int, o recordingOptions) (recordingRow, error) {
	call := r.python + " -m pytest"
	plan := fmt.Sprintf("plan-%d.json", workers)
	if _, _, err := r.run(ctx, r.wcshard, "matrix", "--pytest", call, "--plan", plan, "--shards", "1", "--workers", strconv.Itoa(workers)); err != nil {
		return recordingRow{}, err
	}
	row := recordingRow{Workers: workers, Tests: o.tests}
	n := "0"
	if workers > 1 {
		n = strconv.Itoa(workers)
	}
	for i := range o.rounds {
		plain, plainWall, err := r.run(ctx, r.python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", n)
		if err != nil {
			return row, err
		}
		ours, wall, err := r.run(ctx, r.wcshard, "run", "--pytest", call, "--plan", plan, "--shard", "pool-1", "--", "-q", "-p", "no:cacheprovider")
		if err != nil {
			return row, err
		}
		for _, least := range []struct {
			so   *float64
			took time.Duration
		}{{&row.PlainSeconds, plain}, {&row.Seconds, ours}, {&row.PlainWall, plainWall}, {&row.Wall, wall}} {
			if i == 0 || least.took.Seconds() < *least.so {
				*least.so = least.took.Seconds()
			}
		}
	}
	row.ByTest = 1e6 * (row.Seconds - row.PlainSeconds) / float64(o.tests)
	return row, nil
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
