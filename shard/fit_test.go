package shard

import (
	"errors"
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

const mebibyte = 1 << 20

// needing is a test of so many milliseconds that surely needs so many MiB, and
// leaves them or not.
func needing(id string, ms int, low, high, kept int64) Test {
	x := test(id, ms)
	x.Estimate.Need = timing.Need{Low: low * mebibyte, High: high * mebibyte, Kept: kept * mebibyte}
	return x
}

// A runner of 4 GiB with four cores: 3,840 MiB may be used, 2,590 of that is
// not the floor of a worker or the controller, and 0.35 of those are 906.
func fourGiB() (Suite, Fleet) {
	return Suite{Floor: 250 * mebibyte, Controller: 250 * mebibyte}, Fleet{Shards: 2, CPUs: 4, Memory: 4 << 30, MemoryShare: 0.35}
}

// reasons is what a plan says of memory: a line for each shard.
func reasons(p *Plan) string {
	var b strings.Builder
	for i := range p.Shards {
		s := &p.Shards[i]
		fmt.Fprintf(&b, "%s w%d %v %dM", s.Name, s.Workers, s.Wall, s.Peak>>20)
		if s.Why != "" {
			fmt.Fprintf(&b, " %s", s.Why)
		}
		for _, piece := range s.Pieces {
			fmt.Fprintf(&b, " %s%v", piece.File, shown(piece.Needs))
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func TestBudget(t *testing.T) {
	for _, c := range []struct {
		name      string
		got, want int64
	}{
		{"the reserve of a tiny runner", Reserve(100 << 20), 50 << 20},
		{"what a runner smaller than its reserve has", Fleet{Reserve: 8 << 30}.Budget(4 << 30), 0},
		{"the runner of which pytest may use 10 GiB", Fleet{}.enough(10 << 30), 11 << 30},
	} {
		if c.got != c.want {
			t.Errorf("%s: %d bytes, want %d", c.name, c.got, c.want)
		}
	}
}

// Where there is one kind of runner, memory jobs are on that too; as long as its memory
// is unknown, their tests run one at a time.
func TestRunnerOfUnknownMemory(t *testing.T) {
	s := Suite{Tests: []Test{needing("m.py::1", 10, 100, 100, 0), needing("m.py::2", 10, 100, 100, 0)}}
	s.Tests[0].Memory, s.Tests[1].Memory = true, true
	x := &mustPack(t, s, Fleet{Shards: 1, CPUs: 4, Runner: "ubuntu"}).Shards[0]
	if x.Kind != Memory || x.Runner != "ubuntu" || x.Workers != 1 {
		t.Errorf("the %s job has %d workers on %q, want a memory job of one worker on \"ubuntu\"", x.Kind, x.Workers, x.Runner)
	}
}

func TestPackByMemory(t *testing.T) {
	marked := func(x Test) Test { x.Memory = true; return x }
	for _, c := range []struct {
		name  string
		tests []Test
		fleet func(*Fleet)
		want  string
	}{
		{
			"by need, the rest of the file stays in the pool",
			[]Test{needing("a.py::big", 50, 1000, 1000, 0), needing("a.py::small", 20, 900, 900, 0), test("b.py::x", 10)},
			nil,
			"mem-a w1 50ms 1250M measured a.py[{0 1048576000 0}]\npool-1 w1 20ms 1150M a.py[{0 943718400 0}]\npool-2 w1 10ms 250M b.py[]\n",
		},
		{
			"the upper bound counts",
			[]Test{needing("a.py::x", 50, 10, 1000, 0), test("b.py::x", 10)},
			func(f *Fleet) { f.Shards = 1 },
			"mem-a w1 50ms 1250M measured a.py[{0 1048576000 0 10485760}]\npool-1 w1 10ms 250M b.py[]\n",
		},
		{
			"by marker, by need and by both",
			[]Test{marked(needing("a.py::x", 50, 10, 10, 0)), marked(test("b.py::x", 40)), needing("b.py::y", 30, 2000, 2000, 0), needing("c.py::x", 20, 2000, 2000, 0), test("d.py::x", 1)},
			func(f *Fleet) { f.Shards = 1 },
			"mem-b w1 70ms 2250M marked and measured b.py[{1 2097152000 0}]\nmem-a w1 50ms 250M a.py[]\nmem-c w1 20ms 2250M measured c.py[{0 2097152000 0}]\npool-1 w1 1ms 250M d.py[]\n",
		},
		{
			"share 0 leaves it to the markers",
			[]Test{needing("a.py::x", 50, 3000, 3000, 0), test("b.py::x", 10)},
			func(f *Fleet) { f.Shards, f.MemoryShare = 1, 0 },
			"pool-1 w2 50ms 3750M a.py[{0 3145728000 0}] b.py[]\n",
		},
		{
			"a memory job takes the workers that fit",
			[]Test{needing("a.py::1", 50, 1000, 1000, 0), needing("a.py::2", 50, 1000, 1000, 0), needing("a.py::3", 50, 1000, 1000, 0), needing("a.py::4", 50, 1000, 1000, 0)},
			nil,
			"mem-a w2 100ms 2750M measured a.py[{0 1048576000 0} {1 1048576000 0} {2 1048576000 0} {3 1048576000 0}]\n",
		},
		{
			"and one where one need is unknown",
			[]Test{needing("a.py::1", 50, 1000, 1000, 0), marked(test("a.py::2", 50))},
			nil,
			"mem-a w1 100ms 1250M marked and measured a.py[{0 1048576000 0}]\n",
		},
		{
			"a larger runner for memory jobs",
			[]Test{needing("a.py::1", 50, 5000, 5000, 0), needing("a.py::2", 50, 5000, 5000, 0), test("b.py::x", 1)},
			func(f *Fleet) { f.Shards, f.MemoryRunnerMemory = 1, 16<<30 },
			"mem-a w2 50ms 10750M measured a.py[{0 5242880000 0} {1 5242880000 0}]\npool-1 w1 1ms 250M b.py[]\n",
		},
		{
			"many that only may be heavy do not get a job each",
			[]Test{
				needing("a.py::x", 50, 1, 1000, 0), needing("b.py::x", 40, 1, 1000, 0), needing("c.py::x", 30, 1, 1000, 0), needing("d.py::x", 20, 1, 1000, 0),
				needing("e.py::x", 10, 1000, 1000, 0), test("f.py::x", 1),
			},
			func(f *Fleet) { f.MemoryWorkers = 1 },
			"mem-a-and-1 w1 70ms 1250M measured a.py[{0 1048576000 0 1048576}] d.py[{0 1048576000 0 1048576}]\n" +
				"mem-b-and-1 w1 70ms 1250M measured b.py[{0 1048576000 0 1048576}] c.py[{0 1048576000 0 1048576}]\n" +
				"mem-e w1 10ms 1250M measured e.py[{0 1048576000 0}]\npool-1 w1 1ms 250M f.py[]\n",
		},
		{
			"what a test leaves is a cost to those after it on its worker",
			[]Test{marked(needing("a.py::1", 50, 1000, 1000, 900)), marked(needing("a.py::2", 50, 1000, 1000, 0))},
			func(f *Fleet) { f.MemoryWorkers = 1 },
			"mem-a w1 100ms 2150M a.py[{0 1048576000 943718400} {1 1048576000 0}]\n",
		},
		{
			"but not where it was counted already",
			[]Test{marked(needing("a.py::1", 50, 1000, 1000, 900)), marked(needing("a.py::2", 50, 100, 1000, 0))},
			func(f *Fleet) { f.MemoryWorkers = 1 },
			"mem-a w1 100ms 1250M a.py[{0 1048576000 943718400} {1 1048576000 0 104857600}]\n",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, f := fourGiB()
			s.Tests = c.tests
			if c.fleet != nil {
				c.fleet(&f)
			}
			if got := reasons(mustPack(t, s, f)); got != c.want {
				t.Errorf("the plan is\n%swant\n%s", got, c.want)
			}
		})
	}
}

// shown are needs in bytes: test, upper bound, what it keeps, and the lower
// bound where that is another.
func shown(needs []TestNeed) []string {
	var list []string
	for _, n := range needs {
		if n.Low == n.Need {
			list = append(list, fmt.Sprintf("{%d %d %d}", n.Test, n.Need, n.Kept))
		} else {
			list = append(list, fmt.Sprint(n))
		}
	}
	return list
}

// A job with one large test has all cores where the small ones are many, and
// lets it wait; it has fewer where that is as fast.
func TestStaff(t *testing.T) {
	small := func(n int) []Test { return tests("small.py", n, 10) }
	for _, c := range []struct {
		name  string
		tests []Test
		want  string
	}{
		{"small tests: all cores", small(40), "w4 101ms"},
		{"and needs that fit together", append(small(40), needing("a.py::1", 10, 600, 600, 0), needing("a.py::2", 10, 600, 600, 0), needing("a.py::3", 10, 600, 600, 0), needing("a.py::4", 10, 600, 600, 0)), "w4 111ms"},
		{"one large test beside them", append(small(40), needing("a.py::1", 50, 2500, 2500, 0)), "w4 121ms"},
		{"too large for four floors: three", append(small(40), needing("a.py::1", 50, 2800, 2800, 0)), "w3 151ms"},
		{"nothing but large tests: one at a time", []Test{needing("a.py::1", 50, 2000, 2000, 0), needing("b.py::1", 50, 2000, 2000, 0), needing("c.py::1", 50, 2000, 2000, 0)}, "w1 151ms"},
		{"two at a time", []Test{needing("a.py::1", 50, 1200, 1200, 0), needing("b.py::1", 50, 1200, 1200, 0), needing("c.py::1", 50, 1200, 1200, 0), needing("d.py::1", 50, 1200, 1200, 0)}, "w2 101ms"},
		{"what stays keeps others out: a fresh start", append(small(4), needing("a.py::1", 50, 1500, 1500, 1500), needing("b.py::1", 50, 1500, 1500, 1500), needing("c.py::1", 20, 1500, 1500, 1500)), "w2 92ms"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, f := fourGiB()
			s.Tests, s.Base, f.Shards, f.MemoryShare = c.tests, time.Millisecond, 1, 0
			p := mustPack(t, s, f)
			s0 := &p.Shards[0]
			if got := fmt.Sprintf("w%d %v", s0.Workers, s0.Wall); got != c.want {
				t.Errorf("the job is %s, want %s", got, c.want)
			}
			most := min(4, len(c.tests))
			warned := slices.Contains(p.Warnings, fmt.Sprintf("memory has room for fewer workers than there are cores: pool-1 %d of %d", s0.Workers, most))
			if warned != (s0.Workers < most) {
				t.Errorf("%d workers of %d, and the warnings are %q", s0.Workers, most, p.Warnings)
			}
		})
	}
}

// Tests that cannot meet are shared out by their memory, not only by their time,
// and the lower bound knows that they cannot.
func TestPackSpreadsMemory(t *testing.T) {
	s, f := fourGiB()
	f.MemoryShare = 0
	s.Tests = append(tests("light.py", 4, 50), needing("a.py::x", 100, 2000, 2000, 0), needing("b.py::x", 100, 2000, 2000, 0))
	p := mustPack(t, s, f)
	if want := 100 * time.Millisecond; p.Makespan != want { // by time alone, both large tests share a job and take 200
		t.Errorf("the makespan is %v, want %v:\n%s", p.Makespan, want, reasons(p))
	}
	s.Tests = nil
	for k := range 6 {
		s.Tests = append(s.Tests, needing(fmt.Sprintf("a%d.py::x", k), 50, 2000, 2000, 0))
	}
	// 6 × 50 ms of 2,000 of 3,590 MiB, over two jobs.
	if p, want := mustPack(t, s, f), 83565*time.Microsecond; p.Bound != want || p.Makespan != 150*time.Millisecond {
		t.Errorf("the bound is %v and the makespan %v, want %v and 150ms", p.Bound, p.Makespan, want)
	}
}

// What a test had no time to fill is not its need, unless it rose so high; the
// time of its fixtures counts, whoever set them up.
func TestLimitNeeds(t *testing.T) {
	s := Suite{
		Setups: []Setup{{ID: "module a.py::model", Cost: 50 * time.Millisecond}, {ID: "import numpy", Cost: time.Minute, Import: true}},
		Tests:  []Test{needing("a.py::quick", 1, 0, 2000, 500), needing("a.py::model", 1, 0, 2000, 500), needing("a.py::rose", 1, 900, 2000, 500), needing("a.py::slow", 100, 0, 2000, 500), needing("a.py::unknown", 1, 0, 2000, 0), needing("b.py::x", 1, 0, 2000, 0)},
	}
	s.Tests[0].Setups, s.Tests[1].Setups = []int{1}, []int{0}
	s.Tests[4].Estimate.Rung = timing.Sibling
	s.LimitNeeds(func(file string) time.Duration {
		if file == "b.py" {
			return time.Hour
		}
		return 0
	})
	var got []int64
	for _, x := range s.Tests {
		got = append(got, x.Estimate.Need.High/mebibyte, x.Estimate.Need.Kept/mebibyte)
	}
	if want := []int64{32, 32, 1671, 500, 900, 500, 2000, 500, 2000, 0, 2000, 0}; !slices.Equal(got, want) {
		t.Errorf("needs and what is kept, in MiB: %d, want %d", got, want)
	}
}

func TestTooLarge(t *testing.T) {
	s, f := fourGiB()
	f.MemoryRunner = "large"
	s.Tests = []Test{needing("a.py::x", 1, 3600, 3600, 0), needing("a.py::y", 1, 9000, 20000, 0), needing("a.py::z", 1, 4000, 4000, 0)}
	_, err := Pack(s, f)
	var large *TooLargeError
	if !errors.As(err, &large) {
		t.Fatalf("Pack() = %v, want a *TooLargeError", err)
	}
	if want := `"a.py::y" (and 2 more) needs 9250 MiB, and pytest may use 3840 MiB of runner "large"`; err.Error() != want || large.Memory != 10<<30 {
		t.Errorf("Pack() = %v and a runner of %d GiB, want %s and 10", err, large.Memory>>30, want)
	}
	if large.Kind != Memory {
		t.Errorf("it would run in a job of kind %v, want %v", large.Kind, Memory)
	}
	alone := f
	alone.MemoryShare = 0
	if _, err := Pack(s, alone); !errors.As(err, &large) || large.Kind != Pool {
		t.Errorf("by markers alone: Pack() = %v, want a *TooLargeError of the pool", err)
	}
	// On a runner of the size that the error names, all is well.
	f.MemoryRunnerMemory = large.Memory
	p := mustPack(t, s, f)
	if want := `1 tests may need more memory than their runner has, such as "a.py::y": 9000 MiB to 20000 MiB over the floor of a worker; they run alone, and what they need will be known then`; !slices.Contains(p.Warnings, want) {
		t.Errorf("warnings are %q, want %q", p.Warnings, want)
	}
}

func needsMuch(x Test, s Suite, f Fleet) bool {
	f.CPUs = max(f.CPUs, 1)
	limit := f.Threshold(&s)
	return limit > 0 && x.Estimate.Need.High > limit
}

// checkTooLarge reports whether a plan was refused for memory, which is right
// only where a test surely does not fit its runner.
func checkTooLarge(t *rapid.T, s Suite, f Fleet, err error) bool {
	fits := func(memory, need int64) bool { return memory == 0 || s.Floor+need <= f.Budget(memory) }
	var large *TooLargeError
	if errors.As(err, &large) {
		i := slices.IndexFunc(s.Tests, func(x Test) bool { return x.ID == large.ID })
		if need := s.Tests[i].Estimate.Need.Low; fits(f.Memory, need) && fits(max(f.Memory, f.MemoryRunnerMemory), need) && fits(f.runnerMemory(Memory), need) {
			t.Fatalf("%v, but it fits", err)
		}
		return true
	}
	if err == nil {
		for _, x := range s.Tests {
			if n := x.Estimate.Need.Low; !fits(f.Memory, n) && !fits(f.runnerMemory(Memory), n) {
				t.Fatalf("%s needs %d, which no runner has, and nothing was said", x.ID, n)
			}
		}
	}
	return false
}

// checkFits checks that no job of several workers is expected to use more than
// it may, and that each says its memory.
func checkFits(t *rapid.T, s Suite, f Fleet, p *Plan) {
	for i := range p.Shards {
		x := &p.Shards[i]
		if x.Floor != s.Floor || x.Budget != f.budget(x.Kind) {
			t.Errorf("shard %s has a floor of %d and a budget of %d, want %d and %d", x.Name, x.Floor, x.Budget, s.Floor, f.budget(x.Kind))
		}
		if s.Floor > 0 && x.Budget > 0 && x.Workers > 1 && x.Peak > x.Budget {
			t.Errorf("shard %s with %d workers comes to %d of %d bytes", x.Name, x.Workers, x.Peak, x.Budget)
		}
		if s.Floor > 0 && x.Peak < s.Floor {
			t.Errorf("shard %s comes to %d bytes, less than one worker's floor", x.Name, x.Peak)
		}
	}
}

// A job pays for the workers that it has: a memory job for other ones than the
// pool's, one whose tests stay together for a single process, and one that is done
// as soon with that for no more.
func TestBases(t *testing.T) {
	s := Suite{Base: time.Second}
	for k, file := range []string{"a.py", "b.py", "mem.py", "mem.py"} {
		x := needing(fmt.Sprintf("%s::t%d", file, k), 1000, 1, 1, 0)
		x.Memory = file == "mem.py"
		s.Tests = append(s.Tests, x)
	}
	one := needing("group.py::t", 1000, 1, 1, 0)
	for _, c := range []struct {
		name  string
		bases time.Duration
		fleet Fleet
		group string
		pool  time.Duration
		mem   time.Duration
	}{
		{"pool of one, memory job of two", 1500 * time.Millisecond, Fleet{Shards: 1, Workers: 1, MemoryWorkers: 2}, "", 4 * time.Second, 2500 * time.Millisecond},
		{"pool of two, memory job of one", 1500 * time.Millisecond, Fleet{Shards: 1, Workers: 2, MemoryWorkers: 1}, "", 3500 * time.Millisecond, 3 * time.Second},
		{"a pool whose tests stay together", 1500 * time.Millisecond, Fleet{Shards: 1, Workers: 2, MemoryWorkers: 1}, "g", 4 * time.Second, 3 * time.Second},
		{"done sooner by one worker each", 3 * time.Second, Fleet{Shards: 1, Workers: 2, MemoryWorkers: 2}, "", 4 * time.Second, 3 * time.Second},
		{"as soon by one worker, the pool", 2 * time.Second, Fleet{Shards: 1, Workers: 2, MemoryWorkers: 2}, "", 4 * time.Second, 3 * time.Second},
	} {
		suite := s
		suite.Bases = c.bases
		suite.Tests = append(slices.Clone(s.Tests), one)
		for i := range suite.Tests {
			if !suite.Tests[i].Memory {
				suite.Tests[i].Group = c.group
			}
		}
		plan, err := Pack(suite, c.fleet)
		if err != nil {
			t.Fatal(err)
		}
		pool, mem := plan.longest(Pool), plan.longest(Memory)
		if pool != c.pool || mem != c.mem || plan.Bound > plan.Makespan {
			t.Errorf("%s: the jobs take %v and %v, want %v and %v; bound %v", c.name, pool, mem, c.pool, c.mem, plan.Bound)
		}
	}
}

// More workers start later, and share what tests take, but each imports all.
func TestBasesAndImports(t *testing.T) {
	s := Suite{
		Base: time.Second, Bases: 2 * time.Second,
		Setups: []Setup{{ID: "import lib", Cost: 3 * time.Second, Import: true}},
		Tests:  needingAll([]Test{test("a.py::x", 2000), test("b.py::x", 2000)}, 0),
	}
	if x := mustPack(t, s, Fleet{Shards: 1, CPUs: 2}).Shards[0]; x.Workers != 2 || x.Wall != 7*time.Second {
		t.Errorf("the job takes %v with %d workers, want 7s with 2", x.Wall, x.Workers)
	}
}

// In a job that is short of memory each test starts once, on a worker that is
// free, and all that is in use at any time keeps within the limit; no schedule
// is refused that has a way.
func TestWithin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := int64(rapid.IntRange(100, 2000).Draw(t, "limit")) * mebibyte
		s := Suite{Base: time.Millisecond}
		total, impossible := int64(0), false
		for k := range rapid.IntRange(1, 40).Draw(t, "tests") {
			need := rapid.OneOf(rapid.Int64Range(0, 40), rapid.Int64Range(0, 1000), rapid.Int64Range(0, 2100)).Draw(t, "need")
			x := needing(fmt.Sprintf("f%d.py::t%d", rapid.IntRange(0, 8).Draw(t, "file"), k), rapid.IntRange(1, 50).Draw(t, "ms"), rapid.Int64Range(0, need).Draw(t, "low"), need, rapid.Int64Range(0, need).Draw(t, "kept"))
			total += micros(x.Estimate.Wall)
			impossible = impossible || need*mebibyte > limit && need >= 32
			s.Tests = append(s.Tests, x)
		}
		q := newSequence(&s)
		r := newSimulator(q)
		all := make([]int32, len(s.Tests))
		for p := range all {
			all[p] = int32(p)
		}
		pieces := r.draftPieces(all, make([]bool, len(q.files)))
		for i := range pieces {
			pieces[i].cut = rapid.Bool().Draw(t, "cut")
		}
		workers := rapid.IntRange(1, 6).Draw(t, "workers")
		c := crew{workers: workers, paid: micros(s.Base), limit: limit}
		got := r.within(pieces, c)
		if impossible {
			if got.wall != math.MaxInt64 {
				t.Fatalf("a test larger than the limit of %d was scheduled", limit)
			}
			return
		}
		if got.wall == math.MaxInt64 || got.last < 0 || got.last >= len(pieces) {
			t.Fatalf("no schedule: %+v", got)
		}
		if got.peak > limit {
			t.Fatalf("%d bytes in use, the limit is %d", got.peak, limit)
		}
		// Where no schedule is made any more, it is within what is possible.
		r.work = 0
		least := (total + int64(workers) - 1) / int64(workers)
		if rough := r.within(pieces, c); rough.wall > total || rough.wall < least || rough.peak > limit {
			t.Fatalf("estimated %+v, by schedule %+v", rough, got)
		}
		restarts := c.paid * int64(len(s.Tests))
		if got.wall > total+restarts || got.wall < least {
			t.Fatalf("wall %d of %d on %d workers", got.wall, total, workers)
		}
		// Where all fits, it is the plain schedule.
		if r.meeting(all, workers) <= limit {
			if plain := r.plain(pieces, workers); plain.wall != got.wall {
				t.Fatalf("wall %d, without a limit %d", got.wall, plain.wall)
			}
		}
	})
}

// The peak of a job is that of the order it has, not of one that was tried.
func TestPeakOfWhatIsKept(t *testing.T) {
	s := Suite{Floor: mebibyte, Tests: []Test{
		test("a.py::1", 5000), test("a.py::2", 5000), test("b.py::1", 4500), test("b.py::2", 4500),
		needing("p.py::1", 1000, 3072, 3072, 0), needing("p.py::2", 1000, 3072, 3072, 0), needing("p.py::3", 4, 922, 922, 0),
	}}
	p := mustPack(t, s, Fleet{Shards: 1, CPUs: 2, Memory: 4 << 30, Reserve: 1})
	x := &p.Shards[0]
	cut := slices.ContainsFunc(x.Pieces, func(piece Piece) bool { return piece.Cut && piece.File == "p.py" })
	if cut || x.Peak != 3074*mebibyte { // with the floors of two workers
		t.Errorf("%d MiB are expected, want 3074: %s", x.Peak/mebibyte, show(p))
	}
}

// Where no floor of a worker is known, a job comes to the highest peaks that its workers
// can have at once.
func TestPeakWithoutFloor(t *testing.T) {
	s := Suite{Tests: tests("a.py", 3, 10)}
	for k := range s.Tests {
		s.Tests[k].Estimate.Peak = int64(100 * (k + 1))
	}
	for workers, want := range map[int]int64{1: 300, 2: 500} {
		if x := &mustPack(t, s, Fleet{Shards: 1, Workers: workers}).Shards[0]; x.Workers != workers || x.Peak != want {
			t.Errorf("%d workers come to %d bytes, want %d of %d", x.Workers, x.Peak, want, workers)
		}
	}
}

// A test that waits for memory starts when that is there, on whichever worker.
func TestWithinWaits(t *testing.T) {
	s := Suite{Tests: []Test{needing("a.py::big", 50, 80, 80, 0), test("b.py::1", 5), needing("b.py::2", 10, 80, 80, 0)}}
	r := newSimulator(newSequence(&s))
	got := r.within(r.draftPieces([]int32{0, 1, 2}, make([]bool, 2)), crew{workers: 2, limit: 100 * mebibyte})
	if got.wall != 60_000 || got.peak != 80*mebibyte {
		t.Errorf("%v with %d MiB, want 60ms with 80: the second large test after the first", duration(got.wall), got.peak/mebibyte)
	}
}

// A worker that starts afresh, for what its tests left, sets up anew.
func TestWithinStartsAfresh(t *testing.T) {
	s := Suite{Setups: []Setup{{ID: "session ::db", Cost: 100 * time.Millisecond}}}
	for k := range 3 {
		s.Tests = append(s.Tests, needing(fmt.Sprintf("f%d.py::x", k), 50, 80, 80, 80))
	}
	s.Tests = needingAll(s.Tests, 0)
	r := newSimulator(newSequence(&s))
	got := r.within(r.draftPieces([]int32{0, 1, 2}, make([]bool, 3)), crew{workers: 2, paid: 1000, limit: 100 * mebibyte})
	if want := 452 * time.Millisecond; duration(got.wall) != want { // three tests, three set-ups and two starts
		t.Errorf("three tests of two workers take %v, want %v", duration(got.wall), want)
	}
}

// What a job runs is as its own number of workers has it, not another one that was tried.
func TestStaffKeepsPieces(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := Suite{Base: time.Millisecond, Floor: mebibyte}
		for k := range rapid.IntRange(8, 40).Draw(t, "tests") {
			need := rapid.OneOf(rapid.Just(int64(0)), rapid.Int64Range(100, 900)).Draw(t, "need")
			s.Tests = append(s.Tests, needing(fmt.Sprintf("f%d.py::t%d", k%3, k), rapid.IntRange(1, 50).Draw(t, "ms"), need, need, 0))
		}
		q := newSequence(&s)
		j := job{room: room{budget: 1000 * mebibyte, floor: s.Floor}}
		for p := range s.Tests {
			j.tests = append(j.tests, int32(p))
		}
		pieces := func(r *simulator) []draftPiece { return r.draftPieces(j.tests, make([]bool, len(q.files))) }
		r := newSimulator(q)
		got := r.staffWithin(pieces(r), 4, j)
		r = newSimulator(q)
		if want := r.employ(pieces(r), got.workers, j); !reflect.DeepEqual(got.pieces, want.pieces) {
			t.Errorf("%d workers have %+v, want %+v", got.workers, got.pieces, want.pieces)
		}
	})
}
