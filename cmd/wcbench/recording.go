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
	json          bool
}

func newRecording() *cobra.Command {
	o := recordingOptions{tests: 10_000, rounds: 3}
	verb := &cobra.Command{
		Use:   "recording",
		Short: "Measure what selecting and recording tests costs",
		Long: `Run a suite of empty tests with plain pytest and with wcshard run, in turn, in
one process and with two workers, and show the difference in CPU seconds of all
processes, as microseconds a test. Each figure is the least of the rounds.`,
		Args: cobra.NoArgs,
		RunE: func(verb *cobra.Command, _ []string) error {
			return doRecording(verb.Context(), verb.OutOrStdout(), o)
		},
	}
	f := verb.Flags()
	f.IntVar(&o.tests, "tests", o.tests, "tests of the suite")
	f.IntVar(&o.rounds, "rounds", o.rounds, "how often each is run")
	f.BoolVar(&o.json, "json", false, "print JSON")
	return verb
}

// A recordingRow is the cost with so many workers.
type recordingRow struct {
	Workers      int     `json:"workers"`
	Tests        int     `json:"tests"`
	PlainSeconds float64 `json:"plain_cpu_seconds"`
	Seconds      float64 `json:"cpu_seconds"`
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
	if err := r.write(o.tests); err != nil {
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
		fmt.Fprintf(w, "%d empty tests, workers %d: pytest %.2f CPU seconds, wcshard run %.2f: %.0f µs a test\n",
			row.Tests, row.Workers, row.PlainSeconds, row.Seconds, row.ByTest)
	}
	return nil
}

// emptySuite is a suite of empty tests, and the programs that run it.
type emptySuite struct {
	dir, wcshard, python string
}

// write makes a suite of empty tests, a hundred a file.
func (r emptySuite) write(tests int) error {
	if err := os.MkdirAll(r.dir, 0o777); err != nil {
		return err
	}
	for first := 0; first < tests; first += 100 {
		var text strings.Builder
		for k := first; k < min(first+100, tests); k++ {
			fmt.Fprintf(&text, "def test_%d():\n    pass\n\n\n", k)
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
	if _, err := r.run(ctx, r.wcshard, "matrix", "--pytest", call, "--plan", plan, "--shards", "1", "--workers", strconv.Itoa(workers)); err != nil {
		return recordingRow{}, err
	}
	row := recordingRow{Workers: workers, Tests: o.tests}
	n := "0"
	if workers > 1 {
		n = strconv.Itoa(workers)
	}
	for i := range o.rounds {
		plain, err := r.run(ctx, r.python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", n)
		if err != nil {
			return row, err
		}
		ours, err := r.run(ctx, r.wcshard, "run", "--pytest", call, "--plan", plan, "--shard", "pool-1", "--", "-q", "-p", "no:cacheprovider")
		if err != nil {
			return row, err
		}
		if i == 0 || plain.Seconds() < row.PlainSeconds {
			row.PlainSeconds = plain.Seconds()
		}
		if i == 0 || ours.Seconds() < row.Seconds {
			row.Seconds = ours.Seconds()
		}
	}
	row.ByTest = 1e6 * (row.Seconds - row.PlainSeconds) / float64(o.tests)
	return row, nil
}

// run runs a program in the suite and returns the CPU time of it and of all
// that it waited for.
func (r emptySuite) run(ctx context.Context, name string, args ...string) (time.Duration, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = r.dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("running %s: %w: %s", strings.Join(cmd.Args, " "), err, bytes.TrimSpace(out))
	}
	return cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), nil
}
