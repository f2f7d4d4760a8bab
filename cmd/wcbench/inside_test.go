package main

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// Every scheduler really runs a suite that costs next to nothing.
func TestInside(t *testing.T) {
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("no go command to build wcshard with")
	}
	var b strings.Builder
	if err := doInside(t.Context(), &b, []suiteSpec{tiny}, insideOptions{workers: []int{2}, rounds: 1, json: true}); err != nil {
		t.Fatal(err)
	}
	var rows []insideRow
	if err := json.Unmarshal([]byte(b.String()), &rows); err != nil {
		t.Fatal(err)
	}
	for i, row := range rows {
		if row.Scheduler != schedulers[i].name || row.Tests < 400 || row.Lost+row.Doubled+len(row.Wrong) > 0 || row.CPU <= 0 || row.Wall <= 0 {
			t.Errorf("row %d: %+v", i, row)
		}
	}
	if len(rows) != len(schedulers) {
		t.Errorf("%d rows of %d", len(rows), len(schedulers))
	}
}

// What is stopped shows the rounds that it had run.
func TestInsideStopped(t *testing.T) {
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("no go command to build wcshard with")
	}
	all := schedulers
	defer func() { schedulers = all }()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	calls := 0 // the first one is for bistra to learn from
	schedulers = []scheduler{{"stops", func(s *benchSuite, workers int) []string {
		if calls++; calls == 3 {
			cancel()
		}
		return xdist("load")(s, workers)
	}}}
	var b strings.Builder
	err := doInside(ctx, &b, []suiteSpec{tiny}, insideOptions{workers: []int{2}, rounds: 3})
	if !errors.Is(err, context.Canceled) || !strings.Contains(b.String(), "medians of 1\n") || !strings.Contains(b.String(), "stops") {
		t.Errorf("doInside() = %v, printed\n%s", err, b.String())
	}
}

func TestAddRound(t *testing.T) {
	want := map[string]int{"a": 1, "b": 1}
	var row insideRow
	for _, o := range []outcome{
		{usage: usage{cpu: 3 * time.Second, wall: time.Second}, tests: want},
		{usage: usage{cpu: time.Second, wall: 2 * time.Second}, tests: map[string]int{"a": 2}, wrong: errors.New("exit status 1")},
		{usage: usage{cpu: 5 * time.Second, wall: 9 * time.Second}, tests: want},
	} {
		row.add(want, o)
	}
	if row.Wall != 2 || row.CPU != 3 || row.Tests != 2 || row.Lost != 1 || row.Doubled != 1 || len(row.Wrong) != 1 {
		t.Errorf("row is %+v", row)
	}
	row.Scheduler = schedulers[0].name
	if insideFaults([]insideRow{row}) == nil || insideFaults([]insideRow{{Scheduler: "xdist load", Lost: 1}}) != nil {
		t.Error("faults are wcshard's, and only those")
	}
}

// Every planner plans what was recorded, and a large suite.
func TestPlanners(t *testing.T) {
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("no go command to build wcshard with")
	}
	dir := t.TempDir()
	text := `{"a.py::t1": 4, "a.py::t2": 2, "b.py::t1": 3, "c.py::t1": 1}`
	if err := os.WriteFile(filepath.Join(dir, "x.json"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := doPlan(t.Context(), &b, planOptions{data: dir, tests: 200, files: 20, shards: 4, json: true}); err != nil {
		t.Fatal(err)
	}
	var rows []planRow
	if err := json.Unmarshal([]byte(b.String()), &rows); err != nil {
		t.Fatal(err)
	}
	names := append(slices.Clone(pluginPlanners), "wcshard", "gotestsum ci-matrix")
	if want := len(names) * (len(shardCounts) + 1); len(rows) != want {
		t.Errorf("%d rows, want %d", len(rows), want)
	}
	for _, row := range rows {
		if !slices.Contains(names, row.Planner) || row.Ratio < 1 || row.Ratio > 4 {
			t.Errorf("%+v", row)
		}
		if row.Data == "large" && row.CPU <= 0 {
			t.Errorf("%s plans at no cost: %+v", row.Planner, row)
		}
	}
	b.Reset()
	if err := printLarge(&b, planOptions{tests: 200, files: 20, shards: 4}, rows[len(rows)-len(names):]); err != nil || strings.Count(b.String(), "\n") != len(names)+3 {
		t.Errorf("%v, printed\n%s", err, b.String())
	}
}

// A Python that is too old is an error that says what there is to do.
func TestFindPython(t *testing.T) {
	if _, err := findPython(t.Context(), "", 99); err == nil || !strings.Contains(err.Error(), "--python") {
		t.Errorf("findPython(99) = %v", err)
	}
}

// What an earlier run kept is not measured again.
func TestKept(t *testing.T) {
	s := &benchSuite{spec: suiteSpecs["quick"], out: t.TempDir(), recorded: map[string]error{}}
	if err := keepJSON(s.file("record.json"), suiteRecord{Tests: map[string]int{"a": 1}, Failed: map[string]string{"rival": "no"}, Share: 0.5}); err != nil {
		t.Fatal(err)
	}
	if err := keepJSON(s.file("rows-2.json"), []suiteRow{{Suite: "quick", Planner: "wcshard", Longest: 3}}); err != nil {
		t.Fatal(err)
	}
	if err := s.recordAll(t.Context(), 1); err != nil || s.tests["a"] != 1 || s.share != 0.5 || s.recorded["rival"] == nil {
		t.Errorf("recordAll() = %v, suite %+v", err, s)
	}
	rows, err := s.measure(t.Context(), 2, 1)
	if err != nil || len(rows) != 1 || rows[0].Longest != 3 {
		t.Errorf("measure() = %+v, %v", rows, err)
	}
	if err := os.WriteFile(s.file("record.json"), []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := s.recordAll(t.Context(), 1); err == nil {
		t.Error("a torn record is no error")
	}
}
