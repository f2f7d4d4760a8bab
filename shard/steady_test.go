package shard

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/wcshard/wcshard/timing"
)

// laterWeek is a suite a week later: times have changed by up to a tenth, one
// test of a hundred is gone, and one file of a hundred is new.
func laterWeek(s Suite, seed uint64) Suite {
	r := rand.New(rand.NewPCG(seed, 7))
	out := s
	out.Tests = nil
	for _, x := range s.Tests {
		if r.IntN(100) == 0 {
			continue
		}
		x.Estimate.Wall = time.Duration(float64(x.Estimate.Wall) * (0.9 + 0.2*r.Float64())).Truncate(time.Microsecond)
		out.Tests = append(out.Tests, x)
	}
	for f := range 3 {
		out.Tests = append(out.Tests, tests(fmt.Sprintf("test_%03d_new_%d.py", r.IntN(300), f), 8, 100)...)
	}
	return out
}

func jobsOf(p *Plan) map[timing.NodeID]string {
	in := map[timing.NodeID]string{}
	for i := range p.Shards {
		for _, id := range p.Shards[i].IDs() {
			in[id] = p.Shards[i].Name
		}
	}
	return in
}

// moved returns the share of the tests of both plans that have another job.
func moved(before, now *Plan) float64 {
	was, both, n := jobsOf(before), 0, 0
	for id, job := range jobsOf(now) {
		if old, ok := was[id]; ok {
			both++
			if old != job {
				n++
			}
		}
	}
	return float64(n) / float64(both)
}

// From week to week few tests change jobs, fewer yet with the plan before, and
// no job is much longer for that.
func TestSteady(t *testing.T) {
	first := Suite{}
	r := rand.New(rand.NewPCG(1, 7))
	for f := range 300 {
		first.Tests = append(first.Tests, tests(fmt.Sprintf("test_%03d.py", f), 1+r.IntN(15), 1+int(200*r.ExpFloat64()))...)
	}
	for _, c := range []struct {
		shards     int
		alone, led float64 // moved at most, on average
	}{{2, 0.03, 0.02}, {4, 0.08, 0.03}, {8, 0.15, 0.05}, {16, 0.30, 0.08}} {
		const weeks = 6
		suite, fleet := first, Fleet{Shards: c.shards}
		last := mustPack(t, suite, fleet)
		lastLed := last
		alone, led := 0.0, 0.0
		for week := range uint64(weeks) {
			suite = laterWeek(suite, week)
			p := mustPack(t, suite, fleet)
			following := suite
			following.Tests = slices.Clone(suite.Tests)
			if n := following.Follow(lastLed); n < len(suite.Tests)*9/10 {
				t.Errorf("the earlier plan knows %d of %d tests", n, len(suite.Tests))
			}
			pLed := mustPack(t, following, fleet)
			alone += moved(last, p) / weeks
			led += moved(lastLed, pLed) / weeks
			for _, p := range []*Plan{p, pLed} {
				if most := p.Bound + p.Bound/100; p.Makespan > most || cutFiles(p) >= c.shards {
					t.Errorf("%d shards: makespan %v, bound %v, %d files cut", c.shards, p.Makespan, p.Bound, cutFiles(p))
				}
			}
			last, lastLed = p, pLed
		}
		t.Logf("%d shards: %.3f of the tests move, %.3f with the plan before", c.shards, alone, led)
		if alone > c.alone || led > c.led {
			t.Errorf("%d shards: %.3f of the tests move, %.3f with the plan before, want at most %v and %v", c.shards, alone, led, c.alone, c.led)
		}
	}
}

// The names of jobs stay with their tests, though they may swap their places.
func TestSteadyNames(t *testing.T) {
	at := func(x Test, before int) Test { x.Before = before; return x }
	for _, c := range []struct {
		name  string
		tests []Test
		want  string
	}{
		{
			"as before",
			[]Test{at(test("a.py::x", 10), 2), at(test("b.py::x", 10), 1), at(test("c.py::x", 9), 2), at(test("d.py::x", 10), 1)},
			"pool-1 w1 20ms: b.py[x] d.py[x]\npool-2 w1 19ms: a.py[x] c.py[x]\n",
		},
		{
			"mended, and a new file where there is room",
			[]Test{at(test("a.py::x", 10), 2), at(test("b.py::x", 10), 2), at(test("c.py::x", 12), 2), test("d.py::x", 20), at(test("e.py::x", 1), 1)},
			"pool-1 w1 30ms: a.py[x] d.py[x]\npool-2 w1 23ms: b.py[x] c.py[x] e.py[x]\n",
		},
		{
			"a job that there is no more",
			[]Test{at(test("a.py::x", 10), 7), at(test("b.py::x", 10), 7), at(test("c.py::x", 9), 1)},
			"pool-1 w1 19ms: a.py[x] c.py[x]\npool-2 w1 10ms: b.py[x]\n",
		},
	} {
		p := mustPack(t, Suite{Tests: c.tests}, Fleet{Shards: 2})
		if got := show(p); got != c.want {
			t.Errorf("%s: the plan is\n%swant\n%s", c.name, got, c.want)
		}
	}
}

// Where tests were before says something of jobs, and nothing of the workers that a
// job is divided over.
func TestFollowWithWorkers(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 7))
	for range 20 {
		suite := Suite{}
		for f := range 12 {
			for _, x := range tests(fmt.Sprintf("test_%02d.py", f), 1+r.IntN(6), 0) {
				x.Estimate.Wall = time.Duration(1+r.IntN(4000)) * time.Millisecond
				x.Order = len(suite.Tests)
				suite.Tests = append(suite.Tests, x)
			}
		}
		fleet := Fleet{Shards: 3, Workers: 4, CPUs: 4}
		first := mustPack(t, suite, fleet)
		suite.Follow(first)
		if again := mustPack(t, suite, fleet); again.Makespan > first.Makespan+first.Makespan/100 {
			t.Errorf("following a plan of %v takes %v", first.Makespan, again.Makespan)
		}
	}
}

// With fewer jobs than before, each keeps the name of the one that it has most of.
func TestSteadyNamesOfFewer(t *testing.T) {
	var suite Suite
	for f := range 64 {
		suite.Tests = append(suite.Tests, test(fmt.Sprintf("test_%02d.py::x", f), 1000))
	}
	before := mustPack(t, suite, Fleet{Shards: 8})
	suite.Follow(before)
	now := mustPack(t, suite, Fleet{Shards: 6})
	was, common := jobsOf(before), map[[2]string]int{}
	for id, name := range jobsOf(now) {
		common[[2]string{name, was[id]}]++
	}
	// None would have more in common with its old name if two changed theirs.
	for i := range 6 {
		for k := range i {
			a, b := fmt.Sprintf("pool-%d", i+1), fmt.Sprintf("pool-%d", k+1)
			if kept, other := common[[2]string{a, a}]+common[[2]string{b, b}], common[[2]string{a, b}]+common[[2]string{b, a}]; kept < other {
				t.Errorf("%s and %s have %d tests of theirs, with each other's names they had %d", a, b, kept, other)
			}
		}
	}
}

// Each file counts with all that it shares: in all that is more than an int64 holds.
func TestInOrderOfMuchThatIsShared(t *testing.T) {
	suite := Suite{Setups: []Setup{{ID: "session ::years", Cost: maxTotal / 2}}}
	for f := range 256 * steadyItems {
		x := test(fmt.Sprintf("test_%d.py::x", f), 10)
		x.Order, x.Setups = f, []int{0}
		suite.Tests = append(suite.Tests, x)
	}
	p := mustPack(t, suite, Fleet{Shards: 256})
	for i := range p.Shards {
		if n := p.Shards[i].Len(); n != steadyItems {
			t.Errorf("%s has %d tests, want %d", p.Shards[i].Name, n, steadyItems)
		}
	}
}
