package main

import (
	"encoding/json"
	"os/exec"
	"strings"
	"testing"
)

// tiny is a suite that costs next to nothing.
var tiny = suiteSpec{name: "tiny", folder: "tiny", scale: "0.0001", clock: "sleep"}

// The loop really goes round, on a suite that costs next to nothing.
func TestPredictions(t *testing.T) {
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("no go command to build wcshard with")
	}
	var b strings.Builder
	o := predictionOptions{workers: []int{1}, shards: 2, rounds: 3, noise: true, json: true}
	if err := doPredictions(t.Context(), &b, []suiteSpec{tiny}, o); err != nil {
		t.Fatal(err)
	}
	var rows []predictionRow
	if err := json.Unmarshal([]byte(b.String()), &rows); err != nil {
		t.Fatal(err)
	}
	if len(rows) != 3 {
		t.Fatalf("%d rounds, want 3", len(rows))
	}
	for i, r := range rows {
		if r.Round != i || len(r.Predicted) != 2 || len(r.Real) != 2 || len(r.Again) != 2 || len(r.CPU) != 2 || len(r.Slower) != 2 || total(r.Real) <= 0 || total(r.CPU) <= 0 {
			t.Errorf("round %d: %+v", i, r)
		}
	}
	if first, second := total(rows[0].Predicted), total(rows[1].Predicted); second > first/2 {
		t.Errorf("nothing was learned: %.1f s are predicted after %.1f s from nothing", second, first)
	}
}

func TestPrintPredictions(t *testing.T) {
	var rows []predictionRow
	for round := range 5 {
		rows = append(rows, predictionRow{Suite: "x", Workers: 2, Round: round, Predicted: []float64{9, 11}, Real: []float64{10, 10}, CPU: []float64{5, 5}, Again: []float64{10, 10.5}, Slower: []float64{1, 1.1}, Expected: 41 * (round / 3), Load: "0.10"})
	}
	var b strings.Builder
	if err := printPredictions(&b, rows); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"x with 2 workers, 2 jobs, wall seconds",
		"0       20.0  20.0               -                -            -          -       -       -         -     2.00",
		"10.0 %           10.0 %       11.3 %     12.3 %    1.05  +0.0 %     4.1 %     2.00",
		"from three known runs on: off by 10.0 % (median of 4 jobs), 10.0 % (90th percentile); at one pace 11.3 %, 12.6 %",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("printed\n%swant %q in it", b.String(), want)
		}
	}
	if err := doPredictions(t.Context(), &b, nil, predictionOptions{rounds: 1, shards: 1}); err == nil {
		t.Error("one round has nothing to predict from, and is no error")
	}
}
