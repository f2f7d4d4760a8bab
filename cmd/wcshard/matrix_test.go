package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/wcshard/wcshard/shard"
	"github.com/wcshard/wcshard/timing"
)

// With its marks ignored and two recorded runs, weathercop's heavy files are
// found on a runner of 4 GiB: the two that its authors marked and the one that
// they did not; test_vine is light, though it held 1,919 MiB in the one run
// and 1,059 in the other, after tests that needed them.
func TestMatrixWeathercop(t *testing.T) {
	dir := t.TempDir()
	files, err := filepath.Glob("../../timing/testdata/weathercop/*.jsonl")
	if err != nil || len(files) == 0 {
		t.Fatal("no recorded runs", err)
	}
	plan, timings, ids := filepath.Join(dir, "plan.json"), filepath.Join(dir, "timings.jsonl"), filepath.Join(dir, "ids.txt")
	var stdout, stderr bytes.Buffer
	sys := &system{stdout: &stdout, stderr: &stderr}
	if status := run(t.Context(), sys, append([]string{"merge", "--timings", timings}, files...)); status != exitOK {
		t.Fatalf("merge ended with %d: %s", status, &stderr)
	}
	h, err := readHistory(sys, timings, true)
	if err != nil {
		t.Fatal(err)
	}
	var list strings.Builder
	for _, id := range h.Tests() {
		list.WriteString(string(id) + "\n")
	}
	if err := os.WriteFile(ids, []byte(list.String()), 0o666); err != nil {
		t.Fatal(err)
	}
	if status := run(t.Context(), sys, []string{"matrix", "--ids", ids, "--timings", timings, "--plan", plan, "--memory-marker", "none", "--runner-memory", "4GiB", "--runner", "local"}); status != exitOK {
		t.Fatalf("matrix ended with %d: %s", status, &stderr)
	}
	p, err := readPlan(sys, plan)
	if err != nil {
		t.Fatal(err)
	}
	heavy := map[string][]string{}
	for i := range p.Shards {
		s := &p.Shards[i]
		if s.Peak > s.Budget {
			t.Errorf("%s is expected to take %d of %d bytes", s.Name, s.Peak, s.Budget)
		}
		if s.Kind != shard.Memory {
			continue
		}
		if s.Why != shard.MeasuredNeed {
			t.Errorf("%s is a memory job for it was %q", s.Name, s.Why)
		}
		for _, id := range s.IDs() {
			heavy[id.File()] = append(heavy[id.File()], string(id))
		}
	}
	want := []string{"tests/test_ensemble.py", "tests/test_memory_optimization.py", "tests/test_multisite.py"}
	var got []string
	for file := range heavy {
		got = append(got, file)
	}
	if slices.Sort(got); !slices.Equal(got, want) {
		t.Errorf("the heavy files are %q, want %q\n%s", got, want, &stderr)
	}
	if one := timing.NodeID("tests/test_memory_optimization.py::test_simulate_ensemble_with_memory_optimization"); !slices.Equal(heavy[one.File()], []string{string(one)}) {
		t.Errorf("of %s, %q are heavy, want %q", one.File(), heavy[one.File()], one)
	}
	t.Log(&stderr)
}

// run --all packs again what the plan's shards have, of which it knows no
// fixtures: what the plan says of needs holds, but for what rose higher since.
func TestKeepNeeds(t *testing.T) {
	estimate := func(low, high int64) timing.Estimate {
		return timing.Estimate{Need: timing.Need{Low: low << 20, High: high << 20, Kept: high << 20}}
	}
	suite := shard.Suite{Tests: []shard.Test{
		{ID: "a.py::light", Estimate: estimate(0, 900)}, {ID: "a.py::planned", Estimate: estimate(0, 900)}, {ID: "a.py::rose", Estimate: estimate(700, 900)}, {ID: "a.py::less", Estimate: estimate(10, 20)},
		{ID: "b.py::unknown", Estimate: estimate(0, 900)},
	}}
	keepNeeds(&suite, []*shard.Shard{
		{Floor: 1, Pieces: []shard.Piece{{File: "a.py", Tests: []string{"::light", "::planned", "::rose", "::less"}, Needs: []shard.TestNeed{{Test: 1, Need: 500 << 20}, {Test: 3, Need: 40 << 20}}}}},
		{Pieces: []shard.Piece{{File: "b.py", Tests: []string{"::unknown"}}}},
	})
	var got []int64
	for _, x := range suite.Tests {
		got = append(got, x.Estimate.Need.High>>20)
	}
	if want := []int64{31, 500, 700, 20, 900}; !slices.Equal(got, want) {
		t.Errorf("upper bounds of %d MiB, want %d", got, want)
	}
}
