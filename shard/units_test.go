package shard

import (
	"cmp"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/wcshard/wcshard/timing"
)

func unitsOf(p *Plan) string {
	var out []string
	for i := range p.Shards {
		for _, piece := range p.Shards[i].Pieces {
			if piece.Units != nil {
				out = append(out, fmt.Sprintf("%s %s %v", p.Shards[i].Name, piece.File, piece.Units))
			}
		}
	}
	return strings.Join(out, "; ")
}

// A worker has one instance of a session's fixture with parameters at a time: tests
// that need the same one follow each other, whichever their files are.
func TestParameters(t *testing.T) {
	const tests, set = 2400 * time.Millisecond, 500 * time.Millisecond
	for workers, want := range map[int]struct{ least, most time.Duration }{
		1: {tests + 2*set, tests + 2*set},
		2: {tests/2 + set, tests/2 + set}, // each takes one of them
		3: {tests/3 + set, tests/3 + 2*set},
	} {
		s := Suite{Setups: []Setup{{ID: "session ::db[0]", Cost: 500 * time.Millisecond}, {ID: "session ::db[1]", Cost: 500 * time.Millisecond}}}
		for p := range 2 { // pytest's order
			for f := range 12 {
				x := test(fmt.Sprintf("test_%02d.py::t[%d]", f, p), 100)
				x.Order, x.Setups = len(s.Tests), []int{p}
				s.Tests = append(s.Tests, x)
			}
		}
		plan := mustPack(t, s, Fleet{Shards: 1, CPUs: workers})
		if plan.Makespan < want.least || plan.Makespan > want.most {
			t.Errorf("%d workers take %v, want %v to %v\n%s", workers, plan.Makespan, want.least, want.most, show(plan))
		}
	}
}

// Which tests meet on a worker is the plan's to say where set-ups are dear, and
// the session's where that costs next to nothing.
func TestUnits(t *testing.T) {
	needs := func(x Test, setups ...int) Test { x.Setups = setups; return x }
	guess := func(x Test) Test { x.Estimate.Rung = timing.Guess; return x }
	for _, c := range []struct {
		name  string
		suite Suite
		fleet Fleet
		wall  time.Duration
		units string
	}{
		{
			"a session fixture of two files is made once, not on both workers",
			Suite{
				Setups: []Setup{{ID: "session ::db", Cost: 60 * time.Millisecond}},
				Tests:  []Test{needs(test("a.py::x", 10), 0), needs(test("b.py::x", 10), 0), test("c.py::x", 50), test("d.py::x", 30)},
			},
			Fleet{Shards: 1, CPUs: 2},
			80 * time.Millisecond,
			"pool-1 a.py [{1 1}]; pool-1 b.py [{1 1}]; pool-1 c.py [{2 1}]; pool-1 d.py [{3 1}]",
		},
		{
			"a file is parted by its class fixtures, not test by test",
			Suite{
				Setups: []Setup{{ID: "class a.py::A::f", Cost: 40 * time.Millisecond}, {ID: "class a.py::B::f", Cost: 40 * time.Millisecond}},
				Tests: []Test{
					needs(test("a.py::A::1", 10), 0), needs(test("a.py::A::2", 5), 0), needs(test("a.py::A::3", 5), 0),
					needs(test("a.py::B::1", 10), 1), needs(test("a.py::B::2", 5), 1), needs(test("a.py::B::3", 5), 1),
				},
			},
			Fleet{Shards: 1, CPUs: 2},
			60 * time.Millisecond,
			"pool-1 a.py [{1 3} {2 3}]",
		},
		{
			"no test is parked behind a long one",
			Suite{Tests: []Test{test("a.py::x", 100), test("b.py::x", 40), test("c.py::x", 40), test("d.py::x", 38)}},
			Fleet{Shards: 1, CPUs: 2},
			118 * time.Millisecond,
			"pool-1 a.py [{1 1}]; pool-1 b.py [{2 1}]; pool-1 c.py [{2 1}]; pool-1 d.py [{2 1}]",
		},
		{
			"whoever is free takes what was never measured",
			Suite{Tests: []Test{test("a.py::x", 100), guess(test("b.py::x", 40)), guess(test("c.py::x", 40)), guess(test("d.py::x", 38))}},
			Fleet{Shards: 1, CPUs: 2},
			138 * time.Millisecond,
			"",
		},
		{
			"many tests, whose set-ups cost little, go where there is room",
			Suite{
				Setups: []Setup{{ID: "a.py", Cost: time.Millisecond}},
				Tests:  needingAll(tests("a.py", 100, 10), 0),
			},
			Fleet{Shards: 1, CPUs: 4},
			251 * time.Millisecond,
			"",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := mustPack(t, c.suite, c.fleet)
			if got := unitsOf(p); p.Makespan != c.wall || got != c.units {
				t.Errorf("%v with units %q, want %v and %q\n%s", p.Makespan, got, c.wall, c.units, show(p))
			}
		})
	}
}

// Of no units there is nothing to write: a reader refuses runs of none.
func TestUnitRuns(t *testing.T) {
	for _, c := range []struct {
		units []int32
		want  []UnitRun
	}{
		{[]int32{0, 0}, nil},
		{[]int32{0, 0, 1, 1, 2}, []UnitRun{{0, 2}, {1, 2}, {2, 1}}},
	} {
		if got := unitRuns(c.units); !reflect.DeepEqual(got, c.want) {
			t.Errorf("unitRuns(%v) = %v, want %v", c.units, got, c.want)
		}
	}
}

func needingAll(tests []Test, setups ...int) []Test {
	for i := range tests {
		tests[i].Setups = setups
	}
	return tests
}

// A session fixture of a minute that ten tests of ten files need is paid for by
// one job. With more workers it alone sets the makespan: then by so many jobs as
// it takes to run those tests within the bound.
func TestDearSession(t *testing.T) {
	for workers, jobs := range map[int]int{1: 1, 2: 2, 4: 3} {
		s := Suite{Setups: []Setup{{ID: "session ::model", Cost: time.Minute}}}
		for f := range 60 {
			list := tests(fmt.Sprintf("test_%02d.py", f), 10, 500)
			if f%6 == 0 {
				list[3].Setups = []int{0}
			}
			s.Tests = append(s.Tests, list...)
		}
		p := mustPack(t, s, Fleet{Shards: 4, CPUs: workers})
		need := map[timing.NodeID]bool{}
		for i := range s.Tests {
			need[s.Tests[i].ID] = len(s.Tests[i].Setups) > 0
		}
		in := map[string]bool{}
		for i := range p.Shards {
			for _, id := range p.Shards[i].IDs() {
				if need[id] {
					in[p.Shards[i].Name] = true
				}
			}
		}
		if most := p.Bound + p.Bound/50; len(in) != jobs || p.Makespan > most {
			t.Errorf("%d workers: the fixture is in %d jobs, want %d; makespan %v, bound %v", workers, len(in), jobs, p.Makespan, p.Bound)
		}
	}
}

// The bound holds with several workers a job too: no division of the tests over
// all workers, each of which pays for its set-ups, is shorter.
func TestBoundWithWorkers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := Suite{Base: time.Duration(rapid.IntRange(0, 20).Draw(t, "base")) * time.Millisecond}
		for k := range rapid.IntRange(0, 4).Draw(t, "setups") {
			s.Setups = append(s.Setups, Setup{ID: timing.SetupID(fmt.Sprintf("s%d", k)), Cost: time.Duration(rapid.IntRange(0, 60).Draw(t, "cost")) * time.Millisecond})
		}
		n := rapid.IntRange(1, 7).Draw(t, "tests")
		for k := range n {
			x := test(fmt.Sprintf("f%d.py::t%d", rapid.IntRange(0, 3).Draw(t, "file"), k), rapid.IntRange(1, 60).Draw(t, "ms"))
			for i := range s.Setups {
				if rapid.Bool().Draw(t, "needs") {
					x.Setups = append(x.Setups, i)
				}
			}
			s.Tests = append(s.Tests, x)
		}
		jobs, workers := rapid.IntRange(1, 2).Draw(t, "jobs"), rapid.IntRange(1, 3).Draw(t, "workers")
		p, err := Pack(s, Fleet{Shards: jobs, CPUs: workers})
		if err != nil {
			t.Fatalf("Pack: %v", err)
		}
		best := s.Base + cheapest(s, make([][]int, jobs*workers), 0, 1<<62)
		if p.Bound > best || p.Makespan < best {
			t.Errorf("bound %v, optimum %v, makespan %v", p.Bound, best, p.Makespan)
		}
		if len(s.Setups) == 0 { // fewer files are cut than there are jobs
			best = s.Base + fewCuts(s, make([]int, n), 0, jobs, workers)
		}
		if p.Makespan > best+best/10 {
			t.Errorf("makespan %v, optimum %v, bound %v:\n%s%s", p.Makespan, best, p.Bound, show(p), unitsOf(p))
		}
	})
}

// fewCuts returns the least makespan, without the base, of all ways to give the tests from
// number i on to jobs that cut fewer files than there are jobs.
func fewCuts(s Suite, in []int, i, jobs, workers int) time.Duration {
	if i < len(in) {
		best := time.Duration(math.MaxInt64)
		for k := range jobs {
			in[i] = k
			best = min(best, fewCuts(s, in, i+1, jobs, workers))
		}
		return best
	}
	parts, files := make([]Suite, jobs), map[string]map[int]bool{}
	for k, x := range s.Tests {
		parts[in[k]].Tests = append(parts[in[k]].Tests, x)
		if file := x.ID.File(); files[file] == nil {
			files[file] = map[int]bool{in[k]: true}
		} else {
			files[file][in[k]] = true
		}
	}
	cut, makespan := 0, time.Duration(0)
	for _, jobs := range files {
		if len(jobs) > 1 {
			cut++
		}
	}
	if jobs > 1 && cut >= jobs {
		return math.MaxInt64
	}
	for _, part := range parts {
		makespan = max(makespan, cheapest(part, make([][]int, workers), 0, 1<<62))
	}
	return makespan
}

// What stays together is whole: bound tests have the same unit, and a job's
// units are numbered from 1.
func TestUnitsAreWhole(t *testing.T) {
	divided := 0
	rapid.Check(t, func(t *rapid.T) {
		s, f := drawSuite(t), drawFleet(t)
		for i := range s.Tests { // otherwise no job is divided
			s.Tests[i].Estimate.Rung = timing.Measured
		}
		f.Memory, f.Workers, f.CPUs = 0, 0, max(2, f.CPUs)
		p, err := Pack(s, f)
		if err != nil {
			return
		}
		group := map[timing.NodeID]string{}
		for i := range s.Tests {
			group[s.Tests[i].ID] = cmp.Or(s.Tests[i].Group, string(s.Tests[i].ID))
		}
		for i := range p.Shards {
			unit := map[string]int{}
			var numbers []int
			for _, piece := range p.Shards[i].Pieces {
				k := 0
				for _, run := range piece.Units {
					numbers = append(numbers, run.Unit)
					for range run.Tests {
						g := group[timing.NodeID(piece.File+piece.Tests[k])]
						k++
						if before, ok := unit[g]; ok && before != run.Unit {
							t.Errorf("%s is in units %d and %d of %s", g, before, run.Unit, p.Shards[i].Name)
						}
						unit[g] = run.Unit
					}
				}
			}
			slices.Sort(numbers)
			numbers = slices.DeleteFunc(slices.Compact(numbers), func(n int) bool { return n == 0 })
			for k, n := range numbers {
				if n != k+1 {
					t.Errorf("the units of %s are numbered %v", p.Shards[i].Name, numbers)
				}
			}
			if len(numbers) > 1 {
				divided++
			}
		}
	})
	if divided == 0 {
		t.Error("no job was divided")
	}
}

// Each worker imports the files of its job before the first test, whichever it
// will run: no division of the tests saves that.
func TestImportsOfWorkers(t *testing.T) {
	s := Suite{Base: 100 * time.Millisecond, Setups: []Setup{
		{ID: "a.py", Cost: 20 * time.Millisecond, Import: true},
		{ID: "import numpy", Cost: 300 * time.Millisecond, Import: true},
		{ID: "module b.py::model", Cost: 40 * time.Millisecond},
	}}
	for _, x := range []struct {
		id     string
		setups []int
	}{{"a.py::x", []int{0, 1}}, {"a.py::y", []int{0, 1}}, {"b.py::x", []int{2}}, {"b.py::y", []int{2}}} {
		s.Tests = append(s.Tests, Test{ID: timing.NodeID(x.id), Setups: x.setups, Estimate: timing.Estimate{Wall: 50 * time.Millisecond}})
	}
	for workers, want := range map[int]time.Duration{1: 660 * time.Millisecond, 2: 560 * time.Millisecond} {
		p := mustPack(t, s, Fleet{Shards: 1, Workers: workers, CPUs: workers})
		if p.Makespan != want {
			t.Errorf("with %d workers the job takes %v, want %v", workers, p.Makespan, want)
		}
	}
}

// Tests that stay together are priced on one worker, also where they need different
// set-ups and others would run between them.
func TestBoundTestsOfSeveralSetups(t *testing.T) {
	s := Suite{Setups: []Setup{{ID: "class a.py::A::x", Cost: 20 * time.Millisecond}, {ID: "module a.py::y", Cost: 30 * time.Millisecond}}}
	add := func(ms int, group string, setups ...int) {
		s.Tests = append(s.Tests, Test{ID: timing.NodeID(fmt.Sprintf("a.py::t%d", len(s.Tests))), Order: len(s.Tests), Group: group, Setups: setups,
			Estimate: timing.Estimate{Wall: time.Duration(ms) * time.Millisecond, Rung: timing.Measured}})
	}
	add(3, "g", 0)
	add(1, "", 1)
	add(2, "", 0)
	add(3, "g", 1)
	q := newSequence(&s)
	r := newSimulator(q)
	pieces := r.draftPieces([]int32{0, 1, 2, 3}, []bool{true})
	if wall := r.settle(pieces, crew{workers: 2, limit: unlimited}).wall; wall < micros(56*time.Millisecond) {
		t.Errorf("two workers take %v, want at least the 56 ms of the group with what it needs", duration(wall))
	}
}

// What dividing jobs may take is used up by what it took, not by what it might have:
// the last jobs of a plan are divided over their workers as the first are.
func TestUnitsOfManyJobs(t *testing.T) {
	const jobs = 32
	var s Suite
	for i := range jobs {
		s.Setups = append(s.Setups, Setup{ID: timing.SetupID(fmt.Sprintf("package p%02d::db", i)), Cost: time.Minute})
		for _, x := range []struct {
			file    string
			seconds int
			needs   bool
		}{{"a", 10, true}, {"b", 10, true}, {"c", 50, false}, {"d", 30, false}} {
			one := test(fmt.Sprintf("p%02d/%s.py::x", i, x.file), 1000*x.seconds)
			if x.needs {
				one.Setups = []int{i}
			}
			s.Tests = append(s.Tests, one)
		}
	}
	p := mustPack(t, s, Fleet{Shards: jobs, CPUs: 2})
	if most := p.Bound + p.Bound/100; p.Makespan > most {
		t.Errorf("makespan %v, bound %v", p.Makespan, p.Bound)
	}
}

// Tests of a group run on one worker, also where the plan says nothing of them, and
// are priced so.
func TestUnitsKeepGroups(t *testing.T) {
	s := Suite{Setups: []Setup{{ID: "session ::db", Cost: time.Minute}}}
	for _, file := range []string{"a.py", "b.py", "e.py"} {
		x := test(file+"::x", 5000)
		x.Setups = []int{0}
		s.Tests = append(s.Tests, x)
	}
	for k, ms := range []int{50_000, 40_000, 45_000} {
		x := test(fmt.Sprintf("c.py::t%d", k), ms)
		x.Order = k
		if k < 2 {
			x.Group = "g"
		}
		s.Tests = append(s.Tests, x)
	}
	p := mustPack(t, s, Fleet{Shards: 1, CPUs: 3})
	if p.Makespan != 90*time.Second || p.Bound != 90*time.Second {
		t.Errorf("makespan %v, bound %v, want the 90 s of the group: %s\n%s", p.Makespan, p.Bound, unitsOf(p), show(p))
	}
}

// Tests of a class whose fixture costs less than one of them, but more than that for
// all of them together, are next to each other: pytest takes it apart whenever a test
// of another class is next.
func TestOrderKeepsClasses(t *testing.T) {
	var s Suite
	for class := range 4 {
		s.Setups = append(s.Setups, Setup{ID: timing.SetupID(fmt.Sprintf("class a.py::C%d::f", class)), Cost: 20 * time.Millisecond})
		for k := range 400 {
			x := test(fmt.Sprintf("a.py::C%d::t%d", class, k), 5+(k*7+class*3)%36)
			x.Order, x.Setups = len(s.Tests), []int{class}
			s.Tests = append(s.Tests, x)
		}
	}
	p := mustPack(t, s, Fleet{Shards: 1, CPUs: 2})
	changes, last := 0, ""
	for _, id := range p.Shards[0].IDs() {
		if class := id.Class(); class != last {
			changes++
			last = class
		}
	}
	if changes > 4 {
		t.Errorf("%d times a test of another class is next, want 4", changes)
	}
}

// What a session has set up stays: tests that do not need it need not wait for those
// that do.
func TestOrderSlowestFirst(t *testing.T) {
	s := Suite{Setups: []Setup{{ID: "session ::f", Cost: 10 * time.Millisecond}}}
	for k := range 400 {
		x := test(fmt.Sprintf("a.py::t%03d", k), 20+k%4)
		if x.Order = k; k%4 != 2 {
			x.Setups = []int{0}
		}
		s.Tests = append(s.Tests, x)
	}
	p := mustPack(t, s, Fleet{Shards: 1, CPUs: 2})
	took := map[timing.NodeID]time.Duration{}
	for i := range s.Tests {
		took[s.Tests[i].ID] = s.Tests[i].Estimate.Wall
	}
	ids := p.Shards[0].IDs()
	if !slices.IsSortedFunc(ids, func(a, b timing.NodeID) int { return cmp.Compare(took[b], took[a]) }) {
		t.Errorf("not slowest first: %v", ids)
	}
}
