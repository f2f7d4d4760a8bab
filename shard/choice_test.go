package shard

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/wcshard/wcshard/timing"
)

// timed is a suite of tests that take so many seconds, each in a file of its
// own, after a base of one second.
func timed(seconds ...int) Suite {
	suite := Suite{Base: time.Second}
	for i, s := range seconds {
		suite.Tests = append(suite.Tests, Test{
			ID: timing.NodeID(fmt.Sprintf("test_%03d.py::test", i)), Order: i,
			Estimate: timing.Estimate{Wall: time.Duration(s) * time.Second, Rung: timing.Measured},
		})
	}
	return suite
}

func everywhere(d time.Duration) Overhead {
	return Overhead{Pool: Outside{Took: d}, Memory: Outside{Took: d}}
}

func TestChoices(t *testing.T) {
	all, err := Choices(timed(60, 30, 30, 30, 30), Fleet{Workers: 1}, 1, 64, everywhere(20*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	want := []struct {
		jobs         int
		longest, sum time.Duration
	}{{1, 201, 201}, {2, 111, 222}, {3, 81, 243}, {4, 81, 264}, {5, 81, 285}}
	if len(all) != len(want) {
		t.Fatalf("there are %d choices, want %d: %+v", len(all), len(want), all)
	}
	for i, w := range want {
		c := all[i]
		if c.Shards != i+1 || c.Jobs != w.jobs || c.Longest != w.longest*time.Second || c.Sum != w.sum*time.Second {
			t.Errorf("%d jobs: %d, longest %v, sum %v; want %+v", i+1, c.Jobs, c.Longest, c.Sum, w)
		}
	}
	if k := all[Knee(all)].Shards; k != 2 {
		t.Errorf("the knee is at %d jobs, want 2", k)
	}
	for longest, want := range map[time.Duration]int{91: 0, 90: 2} { // from 100, most of it by the second of three steps
		few := []Choice{{Shards: 1, Longest: 100}, {Shards: 2, Longest: (100 + longest) / 2}, {Shards: 3, Longest: longest + 1}, {Shards: 4, Longest: longest}}
		if got := Knee(few); got != want {
			t.Errorf("where all jobs bring it from 100 to %d, the knee is choice %d, want %d", longest, got, want)
		}
	}
	if f := all[Floor(all)].Shards; f != 3 {
		t.Errorf("the floor is at %d jobs, want 3", f)
	}
	if f := Floor([]Choice{{Longest: 1005}, {Longest: 1000}}); f != 0 {
		t.Errorf("the floor is choice %d, want the first that is within a hundredth", f)
	}
	if _, err := Choices(Suite{}, Fleet{}, 1, 4, Overhead{}); err != ErrNoTests {
		t.Errorf("an empty suite: %v, want ErrNoTests", err)
	}
}

// No number of jobs is packed for twice, whoever asks.
func TestChooserPacksOnce(t *testing.T) {
	x := newChooser(timed(60, 30, 30, 30, 30), Fleet{Workers: 1}, everywhere(20*time.Second))
	before, err := x.choose(3)
	if err != nil {
		t.Fatal(err)
	}
	all, err := x.choices(1, 4)
	if err != nil {
		t.Fatal(err)
	}
	if all[2].Plan != before.Plan {
		t.Error("the plan for 3 jobs was made twice")
	}
}

func TestFewer(t *testing.T) {
	marked := timed(60, 30, 30, 30)
	marked.Tests[0].Memory = true
	slow := timed(60, 30, 30, 30) // to start, outside the pool
	slow.Tests[0].Memory = true
	slow.Overhead = Overhead{Pool: Outside{Took: 60 * time.Second}, Memory: Outside{Took: 20 * time.Second}}
	for _, c := range []struct {
		name       string
		suite      Suite
		jobs, want int // 0: none
	}{
		{"a long test", timed(60, 30, 30, 30, 30), 5, 3},
		{"as many as it takes", timed(60, 30, 30, 30, 30), 3, 0},
		{"one job", timed(60, 30), 1, 0},
		{"even", timed(30, 30, 30, 30), 4, 0},
		{"halves", timed(30, 30, 30, 30), 3, 2},
		{"room for three that no three fill", timed(60, 40, 40, 40), 4, 0},
		{"a memory job is longest", marked, 3, 2},
		{"it would not be, with what jobs take outside pytest", slow, 3, 0},
	} {
		plan, err := Pack(c.suite, Fleet{Shards: c.jobs, Workers: 1})
		if err != nil {
			t.Fatal(err)
		}
		other, ok, err := Fewer(c.suite, plan)
		if err != nil || ok != (c.want > 0) {
			t.Errorf("%s: Fewer() is %v, %v", c.name, ok, err)
			continue
		}
		if ok && (other.Fleet.Shards != c.want || other.Makespan > plan.Makespan) {
			t.Errorf("%s: %d jobs, the longest %v, want %d and at most %v", c.name, other.Fleet.Shards, other.Makespan, c.want, plan.Makespan)
		}
	}
}

func TestChoicesEnds(t *testing.T) {
	one, err := Choices(timed(5), Fleet{Workers: 1}, 1, 1, Overhead{})
	if err != nil || len(one) != 1 || Knee(one) != 0 || Floor(one) != 0 {
		t.Errorf("one choice: %+v, %v", one, err)
	}
	many := make([]int, 300)
	for i := range many {
		many[i] = 1
	}
	all, err := Choices(timed(many...), Fleet{Workers: 1}, 1, 400, Overhead{})
	if err != nil {
		t.Fatal(err)
	}
	if last := all[len(all)-1]; last.Jobs != MaxRows {
		t.Errorf("the last choice has %d jobs, want %d", last.Jobs, MaxRows)
	}
	suite := timed(many...) // with a memory job, as many pool jobs as there are rows are too many
	suite.Tests[0].Memory = true
	all, err = Choices(suite, Fleet{Workers: 1}, 1, MaxRows, Overhead{})
	if err != nil {
		t.Fatal(err)
	}
	if last := all[len(all)-1]; last.Jobs != MaxRows || last.Shards != MaxRows-1 {
		t.Errorf("beside a memory job, the last choice has %d pool jobs of %d, want %d", last.Shards, last.Jobs, MaxRows-1)
	}
}

func TestFewestWithin(t *testing.T) {
	suite := timed(60, 30, 30, 30, 30)
	for _, test := range []struct {
		target time.Duration
		jobs   int
		ok     bool
	}{
		{300 * time.Second, 1, true},
		{125 * time.Second, 2, true}, // 20 s + 91 s · 1.12 = 121.9 s
		{120 * time.Second, 3, true}, // of two, the margin is above
		{89 * time.Second, 3, true},  // 20 s + 61 s · 1.12 = 88.3 s
		{88 * time.Second, 3, false}, // the best there is
	} {
		c, ok, err := FewestWithin(suite, Fleet{Workers: 1}, 1, 64, everywhere(20*time.Second), test.target)
		if err != nil || ok != test.ok || c.Shards != test.jobs {
			t.Errorf("within %v: %d jobs, %v, %v; want %d, %v", test.target, c.Shards, ok, err, test.jobs, test.ok)
		}
	}
	if c, ok, err := FewestWithin(suite, Fleet{Workers: 1}, 1, 64, everywhere(20*time.Second), 15*time.Second); ok || err != nil || c.Shards != 3 {
		t.Errorf("below the overhead: %d jobs, %v, %v; want the best there is", c.Shards, ok, err)
	}
	suite = timed(10, 10, 10, 10)
	suite.Margin = 100
	if c, ok, err := FewestWithin(suite, Fleet{Workers: 1}, 1, 4, Overhead{}, 50*time.Second); !ok || err != nil || c.Shards != 2 {
		t.Errorf("with a margin of 100 %%: %d jobs, %v, %v; want 2", c.Shards, ok, err)
	}
}

// What a memory job takes outside pytest is its own runner's, in its time limit, too.
func TestChoiceOfOverheads(t *testing.T) {
	s := func(seconds int) time.Duration { return time.Duration(seconds) * time.Second }
	for _, c := range []struct {
		name                    string
		memory                  []int // which of the tests, of 60, 30 and 30 s, are memory tests
		pool, big               Outside
		target                  time.Duration
		ok                      bool
		longest                 time.Duration
		worst                   time.Duration
		poolMinutes, bigMinutes int // time limits, minutes
	}{
		{"the memory job is longest", []int{1}, Outside{s(20), 0}, Outside{s(200), 0}, s(240), true, s(231), 234720 * time.Millisecond, 10, 10},
		{"its overhead is too long", []int{1}, Outside{s(20), 0}, Outside{s(900), 0}, s(240), false, s(931), 934720 * time.Millisecond, 10, 32},
		{"it is late at times", []int{1}, Outside{s(20), 0}, Outside{s(40), s(150)}, s(240), true, s(111), 224720 * time.Millisecond, 10, 10},
		{"no job has the pool's", []int{0, 1, 2}, Outside{s(500), 0}, Outside{s(20), 0}, s(120), true, s(81), 88320 * time.Millisecond, 0, 10},
		{"no job has the other runner's", nil, Outside{s(20), 0}, Outside{s(900), s(900)}, s(300), true, s(141), 155520 * time.Millisecond, 10, 0},
	} {
		suite, overhead := timed(60, 30, 30), Overhead{Pool: c.pool, Memory: c.big}
		suite.Overhead = overhead
		for _, i := range c.memory {
			suite.Tests[i].Memory = true
		}
		got, ok, err := FewestWithin(suite, Fleet{Workers: 1}, 1, 4, overhead, c.target)
		if err != nil {
			t.Fatal(err)
		}
		_, worst := got.Worst(12)
		if ok != c.ok || got.Longest != c.longest || worst != c.worst {
			t.Errorf("%s: %v, the longest takes %v and at worst %v, want %v, %v and %v", c.name, ok, got.Longest, worst, c.ok, c.longest, c.worst)
		}
		for i := range got.Plan.Shards {
			x := &got.Plan.Shards[i]
			if want := map[Kind]int{Pool: c.poolMinutes, Memory: c.bigMinutes}[x.Kind]; x.Timeout != want {
				t.Errorf("%s: %s may take %d minutes, want %d", c.name, x.Name, x.Timeout, want)
			}
		}
	}
}

// Each kind of job is told by what it takes outside pytest, and there is a longest job
// though none takes any time.
func TestExtremes(t *testing.T) {
	c := Choice{Plan: &Plan{Shards: []Shard{{Kind: Pool}, {Kind: Memory}}}, overhead: Overhead{Pool: Outside{Took: 2}, Memory: Outside{Took: 9}}}
	if most, least := c.Extremes(); most != Memory || least != Pool {
		t.Errorf("Extremes() = %s, %s, want memory and pool", most, least)
	}
	c.overhead = Overhead{}
	if last, took := c.Worst(0); last != &c.Plan.Shards[0] || took != 0 {
		t.Errorf("Worst() = %v, %v, want the first job, which takes no time", last, took)
	}
}

// What fewer jobs have to do is the pool's: memory tests have jobs of their own.
func TestPoolWork(t *testing.T) {
	s := timed(10, 10, 30)
	s.Tests[2].Memory = true
	if got := poolWork(s, mustPack(t, s, Fleet{Shards: 1})); got != 20*time.Second {
		t.Errorf("the pool has %v of work, want 20s", got)
	}
}

// The most jobs that there may be are among the choices, and so among what is best
// where the target cannot be kept.
func TestChoicesToTheLast(t *testing.T) {
	seconds := make([]int, 120)
	for i := range seconds {
		seconds[i] = 10
	}
	suite := timed(seconds...)
	all, err := Choices(suite, Fleet{Workers: 1}, 17, 60, Overhead{})
	if err != nil || all[len(all)-1].Shards != 60 {
		t.Errorf("the last choice is %d jobs, %v; want 60", all[len(all)-1].Shards, err)
	}
	if c, ok, err := FewestWithin(suite, Fleet{Workers: 1}, 1, 60, Overhead{}, 12*time.Second); ok || err != nil || c.Shards != 60 {
		t.Errorf("FewestWithin() = %d jobs, %v, %v; want 60, false", c.Shards, ok, err)
	}
}

// TestFewestWithinProperty compares with a look at every number of jobs.
func TestFewestWithinProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		suite := timed(rapid.SliceOfN(rapid.IntRange(1, 90), 1, 40).Draw(t, "seconds")...)
		draw := func(name string) Outside {
			return Outside{time.Duration(rapid.IntRange(0, 60).Draw(t, name)) * time.Second, time.Duration(rapid.IntRange(0, 30).Draw(t, "late")) * time.Second}
		}
		overhead := Overhead{draw("pool"), draw("memory")}
		for i := range suite.Tests {
			suite.Tests[i].Memory = rapid.IntRange(0, 9).Draw(t, "memory") == 0
		}
		target := overhead.Pool.Took + time.Duration(rapid.IntRange(1, 900).Draw(t, "target"))*time.Second
		fleet := Fleet{Workers: rapid.IntRange(1, 4).Draw(t, "workers")}
		const most = 12
		got, ok, err := FewestWithin(suite, fleet, 1, most, overhead, target)
		if err != nil {
			t.Fatal(err)
		}
		for n := 1; n <= most; n++ {
			c, err := newChooser(suite, fleet, overhead).pack(n)
			if err != nil {
				t.Fatal(err)
			}
			if _, took := c.Worst(TargetMargin); took <= target {
				if !ok || got.Shards > n {
					t.Fatalf("FewestWithin(%v) = %d jobs, %v; %d jobs do it with %v", target, got.Shards, ok, n, c.Longest)
				}
				return
			}
		}
		if ok {
			t.Fatalf("FewestWithin(%v) = %d jobs, and no number up to %d does it", target, got.Shards, most)
		}
	})
}
