package main

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/wcshard/wcshard/timing"
)

// someWeeks are runs of 20 files that take the same time each week.
func someWeeks(n int) []recording {
	var weeks []recording
	for k := range n {
		rec := recording{name: fmt.Sprint(k)}
		for i := range 600 {
			rec.tests = append(rec.tests, measured{
				timing.NodeID(fmt.Sprintf("f%d/test_%03d.py::test_%03d", i/120, i/5, i)), time.Duration(1+i*i%97) * time.Millisecond,
			})
		}
		weeks = append(weeks, rec)
	}
	return weeks
}

// Where weeks are alike, neither outliers, a broken week nor a new name of a
// folder change the plan's makespan; unknown tests do, a little.
func TestReplay(t *testing.T) {
	const weeks, draws = 6, 2
	for noise, most := range map[string]float64{"clean": 1, "outliers": 1, "zeros": 1, "renamed": 1.01, "new": 1.1} {
		rows, err := replayAll(context.Background(), someWeeks(weeks), noise, []int{4}, draws, nil)
		if err != nil {
			t.Fatal(err)
		}
		if len(rows) != ours {
			t.Fatalf("%s: %d rows, want those of wcshard", noise, len(rows))
		}
		for _, r := range rows {
			if r.Runs != draws*(weeks-warmUp) || r.Worst > most || r.Mean < 0.99 {
				t.Errorf("%s: %+v, want at most %v", noise, r, most)
			}
			if r.Planner == "oracle" && r.Worst > 1 {
				t.Errorf("%s: an oracle of weeks that are alike is off by %v", noise, r.Worst)
			}
			if noise == "clean" && (r.Churn != 0 || r.Moved != 0) {
				t.Errorf("the same plan each week moves tests: %+v", r)
			}
		}
	}
}

func TestChurn(t *testing.T) {
	before := map[timing.NodeID]int{"a": 0, "b": 0, "c": 1, "d": 1, "gone": 0}
	for _, c := range []struct {
		now             map[timing.NodeID]int
		name, byCompany float64
	}{
		{map[timing.NodeID]int{"a": 0, "b": 0, "c": 1, "d": 1, "new": 1}, 0, 0},
		{map[timing.NodeID]int{"a": 1, "b": 1, "c": 0, "d": 0}, 1, 0},
		{map[timing.NodeID]int{"a": 0, "b": 0, "c": 0, "d": 1}, 0.25, 0.25},
		{map[timing.NodeID]int{"new": 1}, 0, 0},
	} {
		if name, company := churn(before, c.now, 2); name != c.name || company != c.byCompany {
			t.Errorf("churn to %v: %v and %v, want %v and %v", c.now, name, company, c.name, c.byCompany)
		}
	}
}

func TestNoises(t *testing.T) {
	week := someWeeks(1)[0]
	all, known, fresh := map[string]int{}, 0, newTests(week, 0)
	for _, x := range week.tests {
		all[x.id.File()]++
	}
	for id := range fresh {
		all[id.File()]--
	}
	for id := range fresh {
		if all[id.File()] > 0 {
			known++
		}
	}
	if n := len(fresh); n != 60 || known < 45 || known > 55 {
		t.Errorf("%d of 600 tests are new, %d of them in known files; want 60 and about 50", n, known)
	}
	if maps.Equal(newTests(week, 0), newTests(week, 1)) || !maps.Equal(newTests(week, 1), newTests(week, 1)) {
		t.Error("other draws want other tests, the same draw the same")
	}
	moved := 0
	for _, x := range renamed(week).tests {
		if strings.Contains(string(x.id), "_renamed/") {
			moved++
		}
	}
	if moved != 120 {
		t.Errorf("%d of 600 tests have a new name, want 120", moved)
	}
}

func TestPrintNoise(t *testing.T) {
	var b strings.Builder
	if err := printNoise(&b, []noiseRow{{Noise: "clean", Shards: 4, Planner: "wcshard", Mean: 1.02, Worst: 1.5, Churn: 0.25, Moved: 0.1}}); err != nil {
		t.Fatal(err)
	}
	want := "noise  N  planner   mean  worst  churn  by company  no plan\n  clean  4  wcshard  1.020  1.500   25 %        10 %        0\n"
	if b.String() != "  "+want {
		t.Errorf("printed\n%q", b.String())
	}
}
