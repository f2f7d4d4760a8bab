package main

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/wcshard/wcshard/shard"
	"github.com/wcshard/wcshard/timing"
)

// With one worker a job, plans are within 2 % of the best ones there are in 95
// of 100 cases, and never above 10 %.
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
	if len(sums) != len(truthKinds) || sums[0].Cases+sums[1].Cases+sums[2].Cases != 300 {
		t.Fatalf("sums are %+v", sums)
	}
	for _, s := range sums[:2] {
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
