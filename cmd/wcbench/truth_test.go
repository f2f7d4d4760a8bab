package main

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/wcshard/wcshard/shard"
	"github.com/wcshard/wcshard/timing"
)

// Plans are within 2 % of the best ones there are in 95 of 100 cases, and never
// above 10 %, with one worker a job and with several.
func TestTruth(t *testing.T) {
	var rows []truthRow
	for seed := range uint64(300) {
		row, err := compareTruth(newTruthCase(seed))
		if err != nil {
			t.Fatalf("suite of seed %d: %v", seed, err)
		}
		rows = append(rows, row)
	}
	sums := sumTruth(rows)
	if len(sums) != len(truthKinds) || sums[len(sums)-1].Cases != 300 {
		t.Fatalf("sums are %+v", sums)
	}
	for _, s := range sums {
		if s.Within < 0.95 || s.Worst > 1.10 {
			t.Errorf("optimum by %s: %.3f of the cases within 1.02, the worst %.4f", s.Kind, s.Within, s.Worst)
		}
	}
}

func TestDoTruth(t *testing.T) {
	var b strings.Builder
	if err := doTruth(context.Background(), &b, truthOptions{cases: 6, seed: 1, worst: 1}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"95 % within", byMaking, "\nseed "} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is not in\n%s", want, b.String())
		}
	}
	if err := doTruth(context.Background(), &b, truthOptions{}); err == nil {
		t.Error("no cases are no error")
	}
}

// A session starts no test before its worker knows the next one: the second
// unit of a worker is parked behind its first.
func TestSessionTime(t *testing.T) {
	suite := shard.Suite{Setups: []shard.Setup{{ID: "s", Cost: ms(7)}}}
	for i, cost := range []int{100, 40, 40, 38} {
		suite.Tests = append(suite.Tests, shard.Test{Order: i, Estimate: timing.Estimate{Wall: ms(cost)}})
	}
	suite.Tests[1].Setups, suite.Tests[2].Setups = []int{0}, []int{0}
	for _, c := range []struct {
		units   [][]int
		workers int
		want    int
	}{
		{[][]int{{0}, {1}, {2}, {3}}, 1, 225},
		{[][]int{{0}, {1}, {2}, {3}}, 2, 138},
		{[][]int{{0}, {1, 2, 3}}, 2, 125},
		{[][]int{{0, 1}, {2, 3}}, 2, 147},
		{[][]int{{3}, {0}}, 4, 100},
		{nil, 2, 0},
	} {
		if got := sessionTime(suite, c.units, c.workers); got != ms(c.want) {
			t.Errorf("%v on %d workers: %v, want %d ms", c.units, c.workers, got, c.want)
		}
	}
}

// The trial finds that two tests which share a fixture belong together.
func TestTrial(t *testing.T) {
	test := func(id string, cost int, setups ...int) shard.Test {
		return shard.Test{ID: timing.NodeID(id), Setups: setups, Estimate: timing.Estimate{Wall: ms(cost)}}
	}
	suite := shard.Suite{
		Tests:  []shard.Test{test("a.py::1", 10, 0), test("a.py::2", 10, 0), test("b.py::1", 30), test("b.py::2", 40)},
		Setups: []shard.Setup{{ID: "session ::s", Cost: 50 * time.Millisecond}},
	}
	for _, c := range []struct{ machines, want int }{{1, 140}, {2, 70}, {3, 70}, {4, 60}} {
		if got := newTrial(suite, c.machines).best; got != ms(c.want) {
			t.Errorf("over %d machines: %v, want %d ms", c.machines, got, c.want)
		}
	}
	if got := truthLoad(suite, []int{0, 1, 2}); got != ms(100) {
		t.Errorf("truthLoad() = %v, want 100 ms", got)
	}
}
