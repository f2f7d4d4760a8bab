package main

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"github.com/wcshard/wcshard/shard/pytest"
)

//go:embed rival_plan.py
var rivalPlan string

// pluginPlanners are the pytest plugins that split tests by durations, as
// rival_plan.py names them.
var pluginPlanners = []string{"pytest-split duration_based_chunks", "pytest-split least_duration", "pytest-balance", "pytest-fsplit"}

// rivalPlanners installs the rivals that split tests from durations.
func rivalPlanners(ctx context.Context) ([]planner, error) {
	cache, err := cacheDir()
	if err != nil {
		return nil, err
	}
	rivals, err := installPlugins(ctx, cache)
	if err != nil {
		return nil, err
	}
	sum, err := installGotestsum(ctx, cache)
	if err != nil {
		return nil, err
	}
	return append(rivals, planner{"gotestsum ci-matrix", func(ctx context.Context, rec recording, counts []int) ([][]int, planCost, error) {
		return splitByGotestsum(ctx, sum, rec, counts)
	}}), nil
}

// installPlugins installs the rivals that are plugins of pytest into the cache, once.
func installPlugins(ctx context.Context, cache string) ([]planner, error) {
	python, err := pytest.Venv(ctx, pytest.VenvOptions{
		Dir: filepath.Join(cache, "plan"), Requirements: suitePackages, Log: os.Stderr,
	})
	if err != nil {
		return nil, err
	}
	var rivals []planner
	for _, name := range pluginPlanners {
		rivals = append(rivals, planner{name: name, split: func(ctx context.Context, rec recording, counts []int) ([][]int, planCost, error) {
			return splitByPlugin(ctx, python, name, rec, counts)
		}})
	}
	return rivals, nil
}

// splitByPlugin calls the algorithm of a pytest plugin. Its cost is the algorithm's CPU
// time, as in a job the process and the tests are there anyway, and that process's peak.
func splitByPlugin(ctx context.Context, python, name string, rec recording, counts []int) ([][]int, planCost, error) {
	input := struct {
		Planner string             `json:"planner"`
		Counts  []int              `json:"counts"`
		Tests   []string           `json:"tests"`
		Seconds map[string]float64 `json:"seconds"` // of those that it has recorded
	}{Planner: name, Counts: counts, Seconds: map[string]float64{}}
	for _, t := range rec.tests {
		input.Tests = append(input.Tests, string(t.id))
		if t.wall != unknown {
			input.Seconds[string(t.id)] = t.wall.Seconds()
		}
	}
	text, err := json.Marshal(input)
	if err != nil {
		return nil, planCost{}, err
	}
	var out, said bytes.Buffer
	cmd := exec.CommandContext(ctx, python, "-c", rivalPlan)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(text), &out, &said
	m, err := measure(cmd)
	if err != nil {
		return nil, planCost{}, fmt.Errorf("running its algorithm: %w: %s", err, bytes.TrimSpace(said.Bytes()))
	}
	var answer struct {
		Groups [][]int `json:"groups"`
		CPU    float64 `json:"cpu_seconds"`
	}
	if err := json.Unmarshal(out.Bytes(), &answer); err != nil {
		return nil, planCost{}, fmt.Errorf("reading its answer: %w", err)
	}
	return answer.Groups, planCost{answer.CPU, m.Peak}, nil
}

// installGotestsum builds gotestsum into the cache, once.
func installGotestsum(ctx context.Context, cache string) (string, error) {
	bin := filepath.Join(cache, "gotestsum-"+gotestsum)
	name := filepath.Join(bin, "gotestsum")
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	if _, err := os.Stat(name); err == nil {
		return name, nil
	}
	cmd := exec.CommandContext(ctx, "go", "install", "gotest.tools/gotestsum@"+gotestsum)
	cmd.Env = append(os.Environ(), "GOBIN="+bin)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("installing gotestsum: %w: %s", err, bytes.TrimSpace(out))
	}
	return name, nil
}

// splitByGotestsum runs gotestsum tool ci-matrix on the recording as go test
// -json would have reported it, each file being a package. Packages are
// numbered, as its answer lists them with spaces between.
func splitByGotestsum(ctx context.Context, sum string, rec recording, counts []int) ([][]int, planCost, error) {
	var cost planCost
	dir, err := os.MkdirTemp("", "wcbench-")
	if err != nil {
		return nil, cost, err
	}
	defer os.RemoveAll(dir)
	pkg := map[string]int{}
	seconds := []float64{}
	var events, list bytes.Buffer
	for _, t := range rec.tests {
		file := t.id.File()
		k, ok := pkg[file]
		if !ok {
			k = len(seconds)
			pkg[file] = k
			seconds = append(seconds, 0)
			fmt.Fprintf(&list, "p%d\n", k)
		}
		seconds[k] += t.wall.Seconds()
	}
	for k, s := range seconds {
		fmt.Fprintf(&events, "{\"Action\":\"run\",\"Package\":\"p%d\",\"Test\":\"TestAll\"}\n", k)
		fmt.Fprintf(&events, "{\"Action\":\"pass\",\"Package\":\"p%d\",\"Test\":\"TestAll\",\"Elapsed\":%f}\n", k, s)
		fmt.Fprintf(&events, "{\"Action\":\"pass\",\"Package\":\"p%d\",\"Elapsed\":%f}\n", k, s)
	}
	report := filepath.Join(dir, "report.log")
	if err := os.WriteFile(report, events.Bytes(), 0o644); err != nil {
		return nil, cost, err
	}
	var out [][]int
	for _, n := range counts {
		cmd := exec.CommandContext(ctx, sum, "tool", "ci-matrix", "--timing-files", report, "--partitions", strconv.Itoa(n))
		var answer, said bytes.Buffer
		cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(list.Bytes()), &answer, &said
		m, err := measure(cmd)
		if err != nil {
			return nil, cost, fmt.Errorf("running ci-matrix: %w: %s", err, bytes.TrimSpace(said.Bytes()))
		}
		cost.add(planCost{m.CPU, m.Peak})
		job, err := readCIMatrix(answer.Bytes(), len(seconds))
		if err != nil {
			return nil, cost, fmt.Errorf("reading the matrix for %d: %w", n, err)
		}
		jobs := make([]int, len(rec.tests))
		for i, t := range rec.tests {
			jobs[i] = job[pkg[t.id.File()]]
		}
		out = append(out, jobs)
	}
	return out, cost, nil
}

// readCIMatrix returns the job of each numbered package.
func readCIMatrix(answer []byte, packages int) ([]int, error) {
	var matrix struct {
		Include []struct {
			ID       int    `json:"id"`
			Packages string `json:"packages"`
		} `json:"include"`
	}
	if err := json.Unmarshal(answer, &matrix); err != nil {
		return nil, err
	}
	job := make([]int, packages)
	found := 0
	for _, row := range matrix.Include {
		for _, name := range strings.Fields(row.Packages) {
			k, err := strconv.Atoi(strings.TrimPrefix(name, "p"))
			if err != nil || k < 0 || k >= packages {
				return nil, fmt.Errorf("unknown package %q", name)
			}
			job[k] = row.ID
			found++
		}
	}
	if found != packages {
		return nil, fmt.Errorf("%d packages of %d", found, packages)
	}
	return job, nil
}
