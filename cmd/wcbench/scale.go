package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/wcshard/wcshard/timing"
)

func newScale() *cobra.Command {
	o := scaleOptions{tests: 1_000_000, files: 20_000, shards: 256, rounds: 3}
	verb := &cobra.Command{
		Use:   "scale",
		Short: "Plan a very large suite with the real command",
		Long: `Plan a very large suite from a list of IDs and a history, with the real wcshard
matrix, built on the spot: seconds, CPU seconds and peak memory, reading and
writing included. Shows the best of the rounds.`,
		Args: cobra.NoArgs,
		RunE: func(verb *cobra.Command, _ []string) error {
			return doScale(verb.Context(), verb.OutOrStdout(), o)
		},
	}
	f := verb.Flags()
	f.IntVar(&o.tests, "tests", o.tests, "tests of the suite")
	f.IntVar(&o.files, "files", o.files, "files they are in")
	f.IntVar(&o.shards, "shards", o.shards, "pool jobs")
	f.IntVar(&o.rounds, "rounds", o.rounds, "how often it is planned")
	f.BoolVar(&o.json, "json", false, "print JSON")
	f.StringVar(&o.wcshard, "wcshard", "", "a wcshard command to measure instead of building one")
	return verb
}

type scaleOptions struct {
	tests, files, shards, rounds int
	json                         bool
	wcshard                      string
}

// A scaleRow is what planning cost.
type scaleRow struct {
	Tests      int     `json:"tests"`
	Files      int     `json:"files"`
	Shards     int     `json:"shards"`
	Seconds    float64 `json:"seconds"`
	CPUSeconds float64 `json:"cpu_seconds"`
	PeakBytes  int64   `json:"peak_bytes"` // 0 where the system does not tell
	IDBytes    int64   `json:"id_bytes"`
	TimeBytes  int64   `json:"timings_bytes"`
	PlanBytes  int64   `json:"plan_bytes"`
}

func doScale(ctx context.Context, w io.Writer, o scaleOptions) error {
	if o.tests < 1 || o.files < 1 || o.shards < 1 || o.rounds < 1 {
		return fmt.Errorf("--tests, --files, --shards and --rounds want at least 1")
	}
	dir, err := os.MkdirTemp("", "wcbench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	command := o.wcshard
	if command == "" {
		if command, err = buildWcshard(ctx, dir); err != nil {
			return err
		}
	}
	s := scaleFiles{filepath.Join(dir, "ids.txt"), filepath.Join(dir, "timings.jsonl"), filepath.Join(dir, "plan.json")}
	if err := s.write(o.tests, o.files); err != nil {
		return fmt.Errorf("writing the suite: %w", err)
	}
	best := scaleRow{}
	for range o.rounds {
		row, err := s.plan(ctx, command, o.shards)
		if err != nil {
			return fmt.Errorf("planning: %w", err)
		}
		if best.Seconds == 0 || row.Seconds < best.Seconds {
			best = row
		}
	}
	best.Tests, best.Files, best.Shards = o.tests, o.files, o.shards
	best.IDBytes, best.TimeBytes, best.PlanBytes = size(s.ids), size(s.timings), size(s.out)
	if o.json {
		return json.NewEncoder(w).Encode(best)
	}
	const mib = 1 << 20
	fmt.Fprintf(w, "%d tests in %d files over %d shards: %.2f s, %.2f CPU seconds, peak %d MiB\n",
		o.tests, o.files, o.shards, best.Seconds, best.CPUSeconds, best.PeakBytes/mib)
	fmt.Fprintf(w, "list of IDs %d MiB, history %d MiB, plan %d MiB; best of %d rounds on %d cores\n",
		best.IDBytes/mib, best.TimeBytes/mib, best.PlanBytes/mib, o.rounds, runtime.NumCPU())
	return nil
}

// buildWcshard builds the command to measure in dir.
func buildWcshard(ctx context.Context, dir string) (string, error) {
	command := filepath.Join(dir, "wcshard")
	if runtime.GOOS == "windows" {
		command += ".exe"
	}
	build := exec.CommandContext(ctx, "go", "build", "-o", command, "github.com/wcshard/wcshard/cmd/wcshard")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building wcshard: %w: %s", err, bytes.TrimSpace(out))
	}
	return command, nil
}

type scaleFiles struct{ ids, timings, out string }

// write makes a suite with times over four powers of ten, and a history of one
// run of it.
func (s scaleFiles) write(tests, files int) error {
	ids, results := synthetic(tests, files)
	if err := os.WriteFile(s.ids, ids, 0o644); err != nil {
		return err
	}
	f, err := os.Create(s.timings)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := timing.FromResults(results).Write(f); err != nil {
		return err
	}
	return f.Close()
}

// synthetic is a suite, its node IDs one a line, and the results of one run.
func synthetic(tests, files int) ([]byte, *timing.Results) {
	r := rand.New(rand.NewPCG(1, 2))
	started := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	results := &timing.Results{
		Name:   "synthetic",
		Header: timing.ResultsHeader{Plan: "sha256:0", Run: "1", Shards: []string{"pool-1"}, Attempt: 1, Runner: "ubuntu-latest", Workers: 1, Started: started},
		Ended:  true, Elapsed: time.Hour,
	}
	var ids bytes.Buffer
	at := time.Duration(0)
	for k := range tests {
		file := int(int64(k) * int64(files) / int64(tests))
		id := timing.NodeID(fmt.Sprintf("tests/unit/package_%d/test_module_%d.py::TestClass%d::test_case[%d]", file%97, file, k/10, k))
		ids.WriteString(string(id) + "\n")
		call := time.Duration(200+2000*r.ExpFloat64()*r.ExpFloat64()*r.ExpFloat64()) * time.Microsecond
		results.Tests = append(results.Tests, timing.TestResult{
			ID: id, Worker: "main", Start: at, Outcome: timing.Passed,
			Setup: 100 * time.Microsecond, Call: call, Teardown: 50 * time.Microsecond, Wall: call + 400*time.Microsecond,
			Before: 100 << 20, Peak: 101 << 20, After: 100 << 20,
		})
		at += call
	}
	return ids.Bytes(), results
}

// plan runs wcshard matrix once.
func (s scaleFiles) plan(ctx context.Context, command string, shards int) (scaleRow, error) {
	cmd := exec.CommandContext(ctx, command, "matrix", "--ids", s.ids, "--timings", s.timings, "--shards", strconv.Itoa(shards), "--plan", s.out)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	m, err := measure(cmd)
	if err != nil {
		return scaleRow{}, fmt.Errorf("running wcshard matrix: %w: %s", err, bytes.TrimSpace(stderr.Bytes()))
	}
	return scaleRow{Seconds: m.Seconds, CPUSeconds: m.CPU, PeakBytes: m.Peak}, nil
}

func size(name string) int64 {
	info, err := os.Stat(name)
	if err != nil {
		return 0
	}
	return info.Size()
}
