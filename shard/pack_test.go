package shard

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"go/parser"
	"go/token"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/wcshard/wcshard/timing"
)

// test is a measured test of so many milliseconds.
func test(id string, ms int) Test {
	return Test{ID: timing.NodeID(id), Estimate: timing.Estimate{Wall: time.Duration(ms) * time.Millisecond, Rung: timing.Measured}}
}

func mustPack(t testing.TB, s Suite, f Fleet) *Plan {
	t.Helper()
	p, err := Pack(s, f)
	if err != nil {
		t.Fatalf("Pack: %v", err)
	}
	return p
}

// show is a plan in short: a line for each shard, with "!" behind cut files.
func show(p *Plan) string {
	var b strings.Builder
	for i := range p.Shards {
		s := &p.Shards[i]
		fmt.Fprintf(&b, "%s w%d %v:", s.Name, s.Workers, s.Wall)
		for _, piece := range s.Pieces {
			mark := ""
			if piece.Cut {
				mark = "!"
			}
			fmt.Fprintf(&b, " %s%s[%s]", piece.File, mark, strings.ReplaceAll(strings.Join(piece.Tests, " "), "::", ""))
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func TestPack(t *testing.T) {
	group := func(name string, x Test) Test { x.Group = name; return x }
	memory := func(x Test) Test { x.Memory = true; return x }
	at := func(order int, x Test) Test { x.Order = order; return x }
	needs := func(x Test, setups ...int) Test { x.Setups = setups; return x }
	for _, c := range []struct {
		name  string
		suite Suite
		fleet Fleet
		want  string
	}{
		{
			"modules stay whole where that costs nothing",
			Suite{Tests: []Test{test("a.py::x", 10), test("a.py::y", 10), test("b.py::x", 15), test("c.py::x", 5)}},
			Fleet{Shards: 2},
			"pool-1 w1 20ms: a.py[x y]\npool-2 w1 20ms: b.py[x] c.py[x]\n",
		},
		{
			"one file over two shards, cut at a class",
			Suite{Tests: []Test{test("a.py::A::1", 10), test("a.py::A::2", 10), test("a.py::B::1", 10), test("a.py::B::2", 10)}},
			Fleet{Shards: 2},
			"pool-1 w1 20ms: a.py![A1 A2]\npool-2 w1 20ms: a.py![B1 B2]\n",
		},
		{
			"five equal modules on four shards: one of them cut",
			Suite{Tests: slices.Concat(tests("a.py", 8, 10), tests("b.py", 8, 10), tests("c.py", 8, 10), tests("d.py", 8, 10), tests("e.py", 8, 10))},
			Fleet{Shards: 4},
			"pool-1 w1 100ms: a.py![1 2] d.py[1 2 3 4 5 6 7 8]\npool-2 w1 100ms: a.py![3 4] b.py[1 2 3 4 5 6 7 8]\npool-3 w1 100ms: a.py![5 6] c.py[1 2 3 4 5 6 7 8]\npool-4 w1 100ms: a.py![7 8] e.py[1 2 3 4 5 6 7 8]\n",
		},
		{
			"definition order in a shard of one worker, not that of arrival or name",
			Suite{Tests: []Test{at(2, test("b.py::x", 1)), at(4, test("a.py::x", 5)), at(3, test("a.py::y", 1)), at(1, test("b.py::z", 2))}},
			Fleet{Shards: 1},
			"pool-1 w1 9ms: b.py[z x] a.py[y x]\n",
		},
		{
			"natural order where no order is known",
			Suite{Tests: []Test{test("a.py::x[10]", 1), test("a.py::x[2]", 1), test("a.py::x[02]", 1)}},
			Fleet{Shards: 1},
			"pool-1 w1 3ms: a.py[x[02] x[2] x[10]]\n",
		},
		{
			"memory tests of a file get a job, the rest of it stays in the pool and is not cut",
			Suite{Tests: []Test{test("a.py::x", 10), memory(test("a.py::big", 50)), memory(test("a.py::big2", 5)), test("b.py::x", 5), memory(test("d/b.py::big", 7))}},
			Fleet{Shards: 1},
			"mem-a w1 55ms: a.py[big big2]\npool-1 w1 15ms: a.py[x] b.py[x]\nmem-b w1 7ms: d/b.py[big]\n",
		},
		{
			"the lightest memory modules together",
			Suite{Tests: []Test{memory(test("a.py::x", 50)), memory(test("b.py::x", 5)), memory(test("c.py::x", 6)), memory(test("d.py::x", 20))}},
			Fleet{Shards: 1, MaxMemoryJobs: 2},
			"mem-a w1 50ms: a.py[x]\nmem-b-and-2 w1 31ms: b.py[x] c.py[x] d.py[x]\n",
		},
		{
			"memory workers spread a module",
			Suite{Tests: []Test{memory(test("a.py::x", 50)), memory(test("a.py::y", 30)), memory(test("a.py::z", 20))}},
			Fleet{Shards: 1, MemoryWorkers: 2},
			"mem-a w2 50ms: a.py![x y z]\n",
		},
		{
			"a group over files stays in one shard",
			Suite{Tests: []Test{group("db", test("a.py::x", 10)), test("a.py::y", 5), group("db", test("b.py::x", 10)), test("b.py::y", 5)}},
			Fleet{Shards: 2},
			"pool-1 w1 20ms: a.py![x] b.py![x]\npool-2 w1 10ms: a.py![y] b.py![y]\n",
		},
		{
			"a group with a memory test goes to its shard",
			Suite{Tests: []Test{group("db", test("a.py::x", 10)), test("a.py::y", 5), group("db", memory(test("b.py::x", 10)))}},
			Fleet{Shards: 2},
			"mem-a-and-1 w1 20ms: a.py[x] b.py[x]\npool-1 w1 5ms: a.py[y]\n",
		},
		{
			"tests with one node ID stay together, however long",
			Suite{Tests: []Test{at(1, test("a.py::x", 10)), at(2, test("a.py::y", 10)), at(3, test("a.py::x", 10))}},
			Fleet{Shards: 3},
			"pool-1 w1 20ms: a.py![x x]\npool-2 w1 10ms: a.py![y]\n",
		},
		{
			"several workers: slowest first, a long piece spread, a short one whole",
			Suite{Tests: []Test{test("a.py::x", 10), test("a.py::y", 40), test("a.py::z", 30), test("b.py::x", 5), test("b.py::y", 6), test("c.py::x", 2)}},
			Fleet{Shards: 1, CPUs: 2},
			"pool-1 w2 47ms: a.py![y z x] b.py![y x] c.py[x]\n",
		},
		{
			"several equally long pieces are spread, not only the first",
			Suite{Tests: slices.Concat(tests("a.py", 4, 25), tests("b.py", 4, 25), tests("c.py", 1, 1))},
			Fleet{Shards: 1, CPUs: 4},
			"pool-1 w4 51ms: a.py![1 2 3 4] b.py![1 2 3 4] c.py[1]\n",
		},
		{
			"no more workers than tests",
			Suite{Tests: []Test{test("a.py::x", 10), test("b.py::x", 10)}},
			Fleet{Shards: 1, CPUs: 8},
			"pool-1 w2 10ms: a.py[x] b.py[x]\n",
		},
		{
			"set-ups count once a shard, and keep a file whole that costs more cut",
			Suite{
				Base:   time.Second,
				Setups: []Setup{{ID: "a.py", Cost: 100 * time.Millisecond}},
				Tests:  []Test{needs(test("a.py::x", 10), 0), needs(test("a.py::y", 10), 0), test("b.py::x", 30), test("b.py::y", 20)},
			},
			Fleet{Shards: 2},
			"pool-1 w1 1.12s: a.py[x y]\npool-2 w1 1.05s: b.py[x y]\n",
		},
		{
			"a file a little too long is not cut through a fixture that costs more",
			Suite{
				Setups: []Setup{{ID: "module a.py::model", Cost: 80 * time.Millisecond}},
				Tests: slices.Concat(
					[]Test{needs(test("a.py::1", 1), 0), needs(test("a.py::2", 1), 0), needs(test("a.py::3", 1), 0)},
					tests("b.py", 10, 8), tests("c.py", 10, 8)),
			},
			Fleet{Shards: 3},
			"pool-1 w1 83ms: a.py[1 2 3]\npool-2 w1 80ms: b.py[1 2 3 4 5 6 7 8 9 10]\npool-3 w1 80ms: c.py[1 2 3 4 5 6 7 8 9 10]\n",
		},
		{
			"a file with a fixture for each class is cut between classes",
			Suite{
				Setups: []Setup{{ID: "class a.py::A::f", Cost: 30 * time.Millisecond}, {ID: "class a.py::B::f", Cost: 30 * time.Millisecond}},
				Tests:  []Test{needs(test("a.py::A::1", 5), 0), needs(test("a.py::A::2", 5), 0), needs(test("a.py::A::3", 5), 0), needs(test("a.py::B::1", 5), 1), needs(test("a.py::B::2", 5), 1), needs(test("a.py::B::3", 5), 1)},
			},
			Fleet{Shards: 2},
			"pool-1 w1 45ms: a.py![A1 A2 A3]\npool-2 w1 45ms: a.py![B1 B2 B3]\n",
		},
		{
			"tests that share a costly session fixture meet in one shard",
			Suite{
				Setups: []Setup{{ID: "session ::model", Cost: 60 * time.Millisecond}},
				Tests: slices.Concat(
					[]Test{needs(test("a.py::x", 5), 0), needs(test("b.py::x", 5), 0), needs(test("c.py::x", 5), 0), needs(test("d.py::x", 5), 0)},
					tests("e.py", 1, 75), tests("f.py", 1, 70), tests("g.py", 2, 3)),
			},
			Fleet{Shards: 3},
			"pool-1 w1 80ms: a.py[x] b.py[x] c.py[x] d.py[x]\npool-2 w1 76ms: f.py[1] g.py[1 2]\npool-3 w1 75ms: e.py[1]\n",
		},
		{
			"tests of no known time are still shared out",
			Suite{Tests: []Test{test("a.py::x", 0), test("b.py::x", 0), test("c.py::x", 0), test("d.py::x", 0)}},
			Fleet{Shards: 2},
			"pool-1 w1 2µs: a.py[x] c.py[x]\npool-2 w1 2µs: b.py[x] d.py[x]\n",
		},
		{
			"as many shards as asked for, though the longest test alone sets the makespan",
			Suite{Tests: slices.Concat(tests("a.py", 1, 100), tests("b.py", 3, 1))},
			Fleet{Shards: 3},
			"pool-1 w1 100ms: a.py[1]\npool-2 w1 2ms: b.py![2 3]\npool-3 w1 1ms: b.py![1]\n",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := show(mustPack(t, c.suite, c.fleet)); got != c.want {
				t.Errorf("the plan is\n%swant\n%s", got, c.want)
			}
		})
	}
}

// tests are n tests of a file, of ms milliseconds each.
func tests(file string, n, ms int) []Test {
	var out []Test
	for k := range n {
		out = append(out, test(fmt.Sprintf("%s::%d", file, k+1), ms))
	}
	return out
}

func TestPackRefuses(t *testing.T) {
	one := []Test{test("a.py::x", 1)}
	long := Test{ID: "a.py::x", Estimate: timing.Estimate{Wall: maxTotal}}
	for _, c := range []struct {
		name  string
		suite Suite
		fleet Fleet
		want  string
	}{
		{"no shards", Suite{Tests: one}, Fleet{}, "shards is 0, want at least 1"},
		{"workers", Suite{Tests: one}, Fleet{Shards: 1, Workers: -1}, "workers is -1, want 0 to 4096"},
		{"a negative time", Suite{Tests: []Test{test("a.py::x", -1)}}, Fleet{Shards: 1}, `"a.py::x" takes -1ms, want 0 to 876000h0m0s`},
		{"times that would overflow", Suite{Tests: []Test{long, long}}, Fleet{Shards: 1}, "the suite takes more than 876000h0m0s"},
		{"a set-up out of range", Suite{Tests: []Test{{ID: "a.py::x", Setups: []int{3}}}}, Fleet{Shards: 1}, `"a.py::x" needs set-up 3 of 0`},
		{"an ID that is not UTF-8", Suite{Tests: []Test{{ID: "a.py::\xff"}}}, Fleet{Shards: 1}, `node ID "a.py::\xff" is empty or not UTF-8`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := Pack(c.suite, c.fleet); err == nil || err.Error() != c.want {
				t.Errorf("Pack() = %v, want %s", err, c.want)
			}
		})
	}
	if _, err := Pack(Suite{}, Fleet{Shards: 1}); !errors.Is(err, ErrNoTests) {
		t.Errorf("Pack of no tests = %v, want %v", err, ErrNoTests)
	}
}

func TestTooManyRows(t *testing.T) {
	s := Suite{Tests: tests("pool.py", 10, 1)}
	for k := range 250 {
		x := test(fmt.Sprintf("m%d.py::x", k), k+1)
		x.Memory = true
		s.Tests = append(s.Tests, x)
	}
	_, err := Pack(s, Fleet{Shards: 7})
	var rows *TooManyRowsError
	if !errors.As(err, &rows) || rows.Rows != 257 || rows.Memory != 250 {
		t.Fatalf("Pack() = %v, want 257 rows, 250 of them for memory", err)
	}
	if p := mustPack(t, s, Fleet{Shards: 6}); len(p.Shards) != MaxRows {
		t.Errorf("%d rows, want %d", len(p.Shards), MaxRows)
	}
	if p := mustPack(t, s, Fleet{Shards: 7, MaxMemoryJobs: 3}); len(p.Shards) != 10 {
		t.Errorf("%d rows with three memory jobs, want 10", len(p.Shards))
	}
}

func TestFewerRows(t *testing.T) {
	p := mustPack(t, Suite{Tests: tests("a.py", 3, 5)}, Fleet{Shards: 8})
	want := []string{"3 pool shards instead of 8: there are no more tests to part"}
	if len(p.Shards) != 3 || !slices.Equal(p.Warnings, want) {
		t.Errorf("%d shards and warnings %q, want 3 and %q", len(p.Shards), p.Warnings, want)
	}
}

func TestMemoryNames(t *testing.T) {
	long := strings.Repeat("long_", 20)
	for _, c := range []struct {
		name  string
		files []string
		want  []string // in order of the files
	}{
		{"stems", []string{"tests/test_a.py", "tests/test_b.py"}, []string{"mem-test_a", "mem-test_b"}},
		{"equal stems take folders", []string{"x/u/test_a.py", "y/u/test_a.py", "test_b.py"}, []string{"mem-x-u-test_a", "mem-y-u-test_a", "mem-test_b"}},
		{"case alone is no difference", []string{"a/Test.py", "b/test.py"}, []string{"mem-a-Test", "mem-b-test"}},
		{"strange characters", []string{"täst é.py"}, []string{"mem-t_st__"}},
		{"no way to tell but a hash", []string{"t?.py", "t*.py"}, []string{"mem-t_-169fdac2", "mem-t_-1ebb2515"}},
		{"a folder's name in the stem", []string{"a/b.py", "c/b.py", "a-b.py"}, []string{"mem-a-b-d9584a80", "mem-c-b", "mem-a-b-cd94630e"}},
		{"too long", []string{long + "1.py", long + "2.py"}, []string{"mem-long_long_long_long_long_long_long_long_long_lo-8516742a", "mem-long_long_long_long_long_long_long_long_long_lo-c0da8473"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var s Suite
			for k, f := range c.files {
				x := test(f+"::x", len(c.files)-k)
				x.Memory = true
				s.Tests = append(s.Tests, x)
			}
			var got []string
			p := mustPack(t, s, Fleet{Shards: 1})
			for i := range p.Shards {
				got = append(got, p.Shards[i].Name)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("names are %q, want %q", got, c.want)
			}
		})
	}
}

func TestTimeout(t *testing.T) {
	for _, c := range []struct {
		wall  time.Duration
		basis Basis
		want  int
	}{
		{time.Second, Basis{Measured: 10}, 10},
		{20 * time.Minute, Basis{Measured: 10}, 45},
		{20*time.Minute + 1, Basis{Measured: 10}, 46},
		{time.Second, Basis{Guessed: 10}, 60},
		{time.Second, Basis{Relatives: 10}, 35},
		{time.Second, Basis{Measured: 8, Relatives: 1, Guessed: 1}, 18},
		{time.Hour, Basis{Guessed: 1}, 125},
	} {
		if got := timeout(c.wall, 0, c.basis); got != c.want {
			t.Errorf("timeout(%v, %v) = %d, want %d", c.wall, c.basis, got, c.want)
		}
	}
	if got := timeout(10*time.Minute, 9*time.Minute, Basis{Measured: 1}); got != 38 {
		t.Errorf("with 9 minutes of overhead: %d minutes, want 38", got)
	}
}

func TestBound(t *testing.T) {
	memory := test("m.py::x", 500)
	memory.Memory = true
	for _, c := range []struct {
		name  string
		suite Suite
		fleet Fleet
		want  time.Duration
	}{
		{"a fair share", Suite{Base: time.Second, Tests: tests("a.py", 12, 10)}, Fleet{Shards: 2, CPUs: 2}, 1030 * time.Millisecond},
		{"the longest test with its set-ups", Suite{Setups: []Setup{{ID: "a.py", Cost: 7 * time.Millisecond}}, Tests: []Test{{ID: "a.py::x", Setups: []int{0}, Estimate: timing.Estimate{Wall: 30 * time.Millisecond}}, test("b.py::x", 1)}}, Fleet{Shards: 2}, 37 * time.Millisecond},
		{"three equal tests on two machines", Suite{Tests: tests("a.py", 3, 10)}, Fleet{Shards: 2}, 20 * time.Millisecond},
		{"a memory module is one piece", Suite{Tests: append(tests("a.py", 3, 10), memory)}, Fleet{Shards: 2}, 500 * time.Millisecond},
	} {
		if p := mustPack(t, c.suite, c.fleet); p.Bound != c.want {
			t.Errorf("%s: the bound is %v, want %v", c.name, p.Bound, c.want)
		}
	}
}

// drawSuite draws a small suite with all that packing knows.
func drawSuite(t *rapid.T) Suite {
	s := Suite{
		Base:  time.Duration(rapid.IntRange(0, 5).Draw(t, "base")) * time.Millisecond,
		Floor: int64(rapid.IntRange(0, 300).Draw(t, "floor")) << 20, Controller: int64(rapid.IntRange(0, 200).Draw(t, "controller")) << 20,
	}
	for k := range rapid.IntRange(0, 6).Draw(t, "setups") {
		s.Setups = append(s.Setups, Setup{ID: fmt.Sprintf("s%d", k), Cost: time.Duration(rapid.IntRange(0, 30_000).Draw(t, "cost")) * time.Microsecond})
	}
	before := rapid.OneOf(rapid.Just(0), rapid.IntRange(0, 6))
	for k := range rapid.IntRange(1, 60).Draw(t, "tests") {
		file := rapid.IntRange(0, 9).Draw(t, "file")
		x := Test{
			ID:    timing.NodeID(fmt.Sprintf("d%d/Test_%d.py::C%d::t%d", file%2, file/2, rapid.IntRange(0, 2).Draw(t, "class"), k)),
			Order: rapid.IntRange(0, 9).Draw(t, "order"),
			Estimate: timing.Estimate{
				Wall: time.Duration(rapid.OneOf(rapid.IntRange(0, 10), rapid.IntRange(0, 50_000)).Draw(t, "wall")) * time.Microsecond,
				Peak: int64(rapid.IntRange(0, 3).Draw(t, "peak")) << 20,
				Rung: timing.Rung(rapid.IntRange(0, int(timing.Guess)).Draw(t, "rung")),
				Need: drawNeed(t),
			},
			Memory: rapid.IntRange(0, 9).Draw(t, "memory") == 0,
			Before: before.Draw(t, "before"),
		}
		if g := rapid.IntRange(0, 20).Draw(t, "group"); g < 3 {
			x.Group = fmt.Sprintf("g%d", g)
		}
		for i := range s.Setups {
			if rapid.IntRange(0, 3).Draw(t, "needs") == 0 {
				x.Setups = append(x.Setups, i)
			}
		}
		s.Tests = append(s.Tests, x)
		if rapid.IntRange(0, 20).Draw(t, "again") == 0 {
			s.Tests = append(s.Tests, x)
		}
	}
	return s
}

// drawNeed draws a need: for most tests none that is worth mentioning.
func drawNeed(t *rapid.T) timing.Need {
	size := rapid.OneOf(rapid.Just(0), rapid.IntRange(0, 40), rapid.IntRange(0, 4000))
	low := int64(size.Draw(t, "low")) << 20
	return timing.Need{Low: low, High: low + int64(size.Draw(t, "more"))<<20, Kept: int64(size.Draw(t, "kept")) << 20}
}

func drawFleet(t *rapid.T) Fleet {
	return Fleet{
		Shards: rapid.IntRange(1, 12).Draw(t, "shards"), CPUs: rapid.IntRange(1, 4).Draw(t, "cpus"),
		Memory: int64(rapid.OneOf(rapid.Just(0), rapid.IntRange(500, 64_000)).Draw(t, "memory")) << 20, MemoryShare: rapid.Float64Range(0, 1).Draw(t, "share"),
		MemoryRunnerMemory: int64(rapid.OneOf(rapid.Just(0), rapid.IntRange(500, 64_000)).Draw(t, "memory runner")) << 20,
		MemoryWorkers:      rapid.IntRange(0, 2).Draw(t, "memory workers"), MaxMemoryJobs: rapid.IntRange(0, 3).Draw(t, "memory jobs"),
		MemoryJobs: rapid.IntRange(AutoMemoryJobs, 4).Draw(t, "jobs of a module"),
		Runner:     "ubuntu-latest",
	}
}

// shuffled is the same suite with tests and set-ups in another order.
func shuffled(s Suite, seed uint64) Suite {
	r := rand.New(rand.NewPCG(seed, 7))
	out := Suite{Base: s.Base, Floor: s.Floor, Controller: s.Controller, Setups: make([]Setup, len(s.Setups)), Tests: slices.Clone(s.Tests)}
	to := r.Perm(len(s.Setups))
	for i, j := range to {
		out.Setups[j] = s.Setups[i]
	}
	for i := range out.Tests {
		needs := make([]int, 0, len(out.Tests[i].Setups))
		for _, s := range out.Tests[i].Setups {
			needs = append(needs, to[s])
		}
		slices.Sort(needs)
		out.Tests[i].Setups = needs
	}
	r.Shuffle(len(out.Tests), func(i, j int) { out.Tests[i], out.Tests[j] = out.Tests[j], out.Tests[i] })
	return out
}

func planBytes(t interface{ Fatalf(string, ...any) }, p *Plan) []byte {
	var b bytes.Buffer
	if err := p.Write(&b); err != nil {
		t.Fatalf("Write: %v", err)
	}
	return b.Bytes()
}

// What holds for every plan.
func TestPackProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, f := drawSuite(t), drawFleet(t)
		before := fmt.Sprint(s)
		p, err := Pack(s, f)
		if checkTooLarge(t, s, f, err) {
			return
		}
		if err != nil {
			t.Fatalf("Pack: %v", err)
		}
		checkFits(t, s, f, p)
		if after := fmt.Sprint(s); after != before {
			t.Errorf("Pack changed the suite to %s from %s", after, before)
		}
		checkPlaced(t, s, f, p)
		checkTogether(t, s, f, p)
		if p.Bound > p.Makespan {
			t.Errorf("the bound %v is above the makespan %v", p.Bound, p.Makespan)
		}
		checkNames(t, p)
		text := planBytes(t, p)
		q, err := Pack(shuffled(s, rapid.Uint64().Draw(t, "seed")), f)
		if err != nil {
			t.Fatalf("Pack of the shuffled suite: %v", err)
		}
		if other := planBytes(t, q); !bytes.Equal(text, other) {
			t.Errorf("the shuffled suite has another plan:\n%s\n%s", text, other)
		}
		back, err := ReadPlan(bytes.NewReader(text), "plan")
		if err != nil {
			t.Fatalf("ReadPlan: %v", err)
		}
		back.Warnings = p.Warnings
		if !reflect.DeepEqual(back, p) {
			t.Errorf("what was read back is %+v, want %+v", back, p)
		}
		if v := Verify(p, completeResults(p)); !v.Complete() || !v.Green() {
			t.Errorf("a run of the whole plan is not complete: %+v", v)
		}
	})
}

func checkPlaced(t *rapid.T, s Suite, f Fleet, p *Plan) {
	want, got := map[timing.NodeID]int{}, map[timing.NodeID]int{}
	for _, x := range s.Tests {
		want[x.ID]++
	}
	pool, longest := 0, time.Duration(0)
	parts := map[string]int{}
	for i := range p.Shards {
		x := &p.Shards[i]
		if x.Len() == 0 {
			t.Errorf("shard %s is empty", x.Name)
		}
		for _, id := range x.IDs() {
			got[id]++
		}
		longest = max(longest, x.Wall)
		if x.Kind == Pool {
			pool++
			for _, piece := range x.Pieces {
				parts[piece.File]++
			}
		}
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("planned %v, want %v", got, want)
	}
	if pool > f.Shards || longest != p.Makespan || p.Shards[0].Wall != longest {
		t.Errorf("%d pool shards of %d, makespan %v, longest %v", pool, f.Shards, p.Makespan, longest)
	}
	for i := range p.Shards {
		for _, piece := range p.Shards[i].Pieces {
			if p.Shards[i].Kind == Pool && parts[piece.File] > 1 && !piece.Cut {
				t.Errorf("%s is in %d shards and not marked as cut", piece.File, parts[piece.File])
			}
		}
	}
}

func checkTogether(t *rapid.T, s Suite, f Fleet, p *Plan) {
	heavy := func(x Test) bool { return x.Memory || needsMuch(x, s, f) }
	shard := map[timing.NodeID]*Shard{}
	for i := range p.Shards {
		for _, id := range p.Shards[i].IDs() {
			shard[id] = &p.Shards[i]
		}
	}
	groups := map[string]*Shard{}
	for _, x := range s.Tests {
		at := shard[x.ID]
		if heavy(x) && at.Kind != Memory {
			t.Errorf("memory test %s is in %s", x.ID, at.Name)
		}
		if x.Group != "" && groups[x.Group] != nil && groups[x.Group] != at {
			t.Errorf("group %s is in %s and %s", x.Group, at.Name, groups[x.Group].Name)
		}
		if x.Group != "" {
			groups[x.Group] = at
		}
		if !heavy(x) && x.Group == "" && at.Kind == Memory {
			again := slices.ContainsFunc(s.Tests, func(y Test) bool { return y.ID == x.ID && (heavy(y) || y.Group != "") })
			if !again {
				t.Errorf("%s is in %s without reason", x.ID, at.Name)
			}
		}
	}
}

func checkNames(t *rapid.T, p *Plan) {
	seen := map[string]bool{}
	for i := range p.Shards {
		name := p.Shards[i].Name
		if seen[strings.ToLower(name)] || len(name) > 60 || clean(name) != name {
			t.Errorf("bad or repeated name %q", name)
		}
		seen[strings.ToLower(name)] = true
	}
}

// Without set-ups and bound tests, the makespan is within Graham's guarantee
// for list scheduling, and fewer files are cut than there are shards.
func TestPackGuarantee(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 16).Draw(t, "shards")
		var s Suite
		total, longest := time.Duration(0), time.Duration(0)
		for k := range rapid.IntRange(n, 150).Draw(t, "tests") {
			x := test(fmt.Sprintf("f%d.py::t%d", rapid.IntRange(0, 20).Draw(t, "file"), k), rapid.IntRange(1, 1000).Draw(t, "ms"))
			total += x.Estimate.Wall
			longest = max(longest, x.Estimate.Wall)
			s.Tests = append(s.Tests, x)
		}
		p, err := Pack(s, Fleet{Shards: n})
		if err != nil {
			t.Fatalf("Pack: %v", err)
		}
		if len(p.Shards) != n {
			t.Errorf("%d shards, want %d", len(p.Shards), n)
		}
		if most := total/time.Duration(n) + longest; p.Makespan > most {
			t.Errorf("the makespan is %v, want at most %v", p.Makespan, most)
		}
		if cut := cutFiles(p); cut >= n && n > 1 {
			t.Errorf("%d files cut over %d shards", cut, n)
		}
	})
}

func cutFiles(p *Plan) int {
	cut := map[string]bool{}
	for i := range p.Shards {
		for _, piece := range p.Shards[i].Pieces {
			if piece.Cut {
				cut[piece.File] = true
			}
		}
	}
	return len(cut)
}

// On small suites the makespan is that of the best division with fewer cut
// files than shards, but for what is not worth a cut.
func TestPackAgainstBruteForce(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for range 300 {
		n := 2 + r.IntN(2)
		var s Suite
		x := brute{load: make([]int, n), held: make([][4]int, n), best: math.MaxInt}
		for k := range 6 + r.IntN(4) {
			file, ms := r.IntN(4), 1+int(30*r.ExpFloat64())
			x.cost, x.file = append(x.cost, ms), append(x.file, file)
			s.Tests = append(s.Tests, test(fmt.Sprintf("f%d.py::t%d", file, k), ms))
		}
		p := mustPack(t, s, Fleet{Shards: n})
		x.step(0)
		ratio := float64(p.Makespan) / float64(time.Duration(x.best)*time.Millisecond)
		if ratio < 1 || ratio > 1.006 {
			t.Errorf("%v of files %v over %d: makespan %v, the optimum is %d ms", x.cost, x.file, n, p.Makespan, x.best)
		}
	}
}

// brute tries every division of tests over machines.
type brute struct {
	cost, file, load []int
	held             [][4]int // machine → file → tests
	best             int
}

func (x *brute) step(i int) {
	if i < len(x.cost) {
		for k := range x.load {
			x.load[k] += x.cost[i]
			x.held[k][x.file[i]]++
			x.step(i + 1)
			x.load[k] -= x.cost[i]
			x.held[k][x.file[i]]--
		}
		return
	}
	cut := 0
	for f := range 4 {
		in := 0
		for k := range x.held {
			in += min(1, x.held[k][f])
		}
		cut += min(1, max(0, in-1))
	}
	if cut < len(x.load) {
		x.best = min(x.best, slices.Max(x.load))
	}
}

// With set-ups of files and sessions too, where the best division, which may
// cut every file, is known by trying all of them.
func TestPackSetupsAgainstBruteForce(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 12))
	var ratios []float64
	for range 500 {
		files, n := 1+r.IntN(5), 2+r.IntN(3)
		var s Suite
		for f := range files {
			s.Setups = append(s.Setups, Setup{ID: fmt.Sprintf("f%d.py", f), Cost: time.Duration(r.IntN(20)) * time.Millisecond})
		}
		for k := range 2 {
			s.Setups = append(s.Setups, Setup{ID: fmt.Sprintf("session ::s%d", k), Cost: time.Duration(r.IntN(60)) * time.Millisecond})
		}
		for k := range 4 + r.IntN(7) {
			f := r.IntN(files)
			x := test(fmt.Sprintf("f%d.py::t%d", f, k), 1+int(30*r.ExpFloat64()))
			x.Setups = append(x.Setups, f)
			for k := range 2 {
				if r.IntN(3) == 0 {
					x.Setups = append(x.Setups, files+k)
				}
			}
			s.Tests = append(s.Tests, x)
		}
		p := mustPack(t, s, Fleet{Shards: n})
		best := cheapest(s, make([][]int, min(n, len(s.Tests))), 0, math.MaxInt64)
		ratios = append(ratios, float64(p.Makespan)/float64(best))
		if p.Bound > best {
			t.Errorf("%+v over %d: the bound %v is above the optimum %v", s, n, p.Bound, best)
		}
	}
	slices.Sort(ratios)
	t.Logf("makespan over the optimum: 95 %% of cases within %.3f, worst %.3f", ratios[474], ratios[499])
	if ratios[0] < 1 || ratios[474] > 1.005 || ratios[499] > 1.02 {
		t.Errorf("makespan over the optimum: best %.3f, 95 %% within %.3f, worst %.3f; want 1, 1.005 and 1.02", ratios[0], ratios[474], ratios[499])
	}
}

// A file whose tests no one job has room for is imported by several, and a
// session fixture set up: the bound knows how often at least, and a plan comes
// near to it.
func TestPackCrowds(t *testing.T) {
	crowd := func(s *Suite, file string, tests, ms int, needs ...int) {
		for k := range tests {
			x := test(fmt.Sprintf("%s::t%d", file, k), ms)
			x.Setups = needs
			s.Tests = append(s.Tests, x)
		}
	}
	// Three jobs are full with 400 ms of a.py's import and 600 of its tests each,
	// a fourth with two files that share a fixture.
	s := Suite{Setups: []Setup{{ID: "a.py", Cost: 400 * time.Millisecond}, {ID: "session ::s", Cost: 500 * time.Millisecond}}}
	crowd(&s, "a.py", 90, 20, 0)
	crowd(&s, "b.py", 5, 50, 1)
	crowd(&s, "c.py", 5, 50, 1)
	p := mustPack(t, s, Fleet{Shards: 4})
	if want := time.Second; p.Bound != want || p.Makespan != want {
		t.Errorf("makespan %v, bound %v, want %v for both", p.Makespan, p.Bound, want)
	}
	// Where all fits into one job, nothing is paid for twice.
	if p = mustPack(t, s, Fleet{Shards: 1}); p.Bound != p.Makespan || p.Bound != 3200*time.Millisecond {
		t.Errorf("one job: makespan %v, bound %v, want 3.2s for both", p.Makespan, p.Bound)
	}
}

// cheapest is the shortest makespan of tests from i on over jobs.
func cheapest(s Suite, jobs [][]int, i int, best time.Duration) time.Duration {
	if i == len(s.Tests) {
		top := time.Duration(0)
		for _, tests := range jobs {
			load, seen := time.Duration(0), map[int]bool{}
			for _, k := range tests {
				load += s.Tests[k].Estimate.Wall
				for _, x := range s.Tests[k].Setups {
					if !seen[x] {
						seen[x] = true
						load += s.Setups[x].Cost
					}
				}
			}
			top = max(top, load)
		}
		return min(best, top)
	}
	for k := range jobs {
		jobs[k] = append(jobs[k], i)
		best = cheapest(s, jobs, i+1, best)
		jobs[k] = jobs[k][:len(jobs[k])-1]
		if len(jobs[k]) == 0 {
			break // all empty jobs are alike
		}
	}
	return best
}

// heavyTailed is a suite like the recorded ones: many short tests, few long
// ones, one module with a tenth of all time.
func heavyTailed() Suite {
	r := rand.New(rand.NewPCG(8, 9))
	var s Suite
	for f := range 400 {
		scale := math.Exp(1.5 * r.NormFloat64())
		if f == 7 {
			scale = 60
		}
		for k := range 1 + r.IntN(20) {
			ms := 50 * scale * math.Exp(1.2*r.NormFloat64())
			s.Tests = append(s.Tests, test(fmt.Sprintf("tests/test_%d.py::Test%d::test_%d", f, k/5, k), 1+int(ms)))
		}
	}
	return s
}

// recorded are the suites under ../../shared/data/durations, where that is.
func recorded(t *testing.T) map[string]Suite {
	out := map[string]Suite{"synthetic": heavyTailed()}
	root := filepath.Join("..", "..", "shared", "data", "durations")
	for _, pattern := range []string{"*.json", "onegov-weekly/*.json.gz"} {
		names, _ := filepath.Glob(filepath.Join(root, pattern))
		for _, name := range names {
			f, err := os.Open(name)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			r := io.Reader(f)
			if strings.HasSuffix(name, ".gz") {
				if r, err = gzip.NewReader(f); err != nil {
					t.Fatal(err)
				}
			}
			seconds := map[string]float64{}
			if err := json.NewDecoder(r).Decode(&seconds); err != nil {
				t.Fatalf("reading %s: %v", name, err)
			}
			var s Suite
			for id, x := range seconds {
				s.Tests = append(s.Tests, Test{ID: timing.NodeID(id), Estimate: timing.Estimate{Wall: duration(int64(x * 1e6))}})
			}
			out[filepath.Base(name)] = s
		}
	}
	return out
}

// On suites like real ones, and on the recorded ones where they are at hand:
// within 1 % of max(total/N, longest test), with fewer than N files cut.
func TestPackQuality(t *testing.T) {
	for name, s := range recorded(t) {
		total, longest := time.Duration(0), time.Duration(0)
		for _, x := range s.Tests {
			total += x.Estimate.Wall
			longest = max(longest, x.Estimate.Wall)
		}
		worst, at := 0.0, 0
		for n := 2; n <= 64; n++ {
			p := mustPack(t, s, Fleet{Shards: n})
			ratio := float64(p.Makespan) / float64(max(total/time.Duration(n), longest))
			if ratio > worst {
				worst, at = ratio, n
			}
			if ratio > 1.01 || cutFiles(p) >= n {
				t.Errorf("%s, %d shards: makespan %.4f of the ideal, %d files cut", name, n, ratio, cutFiles(p))
			}
		}
		t.Logf("%s: at worst %.4f, over %d shards", name, worst, at)
	}
}

// With several workers too: within 1 % of the bound.
func TestPackQualityWorkers(t *testing.T) {
	for name, s := range recorded(t) {
		if strings.HasPrefix(name, "2026") {
			continue // weeks of the same suite
		}
		for _, w := range []int{2, 4} {
			for _, n := range []int{1, 2, 4, 8, 16, 32, 64} {
				p := mustPack(t, s, Fleet{Shards: n, CPUs: w})
				if ratio := float64(p.Makespan) / float64(p.Bound); ratio > 1.01 {
					t.Errorf("%s, %d shards of %d workers: makespan %.4f of the bound", name, n, w, ratio)
				}
			}
		}
	}
}

func TestCompareNatural(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := rapid.StringMatching(`[ab0-2]{0,5}`)
		a, b, c := draw.Draw(t, "a"), draw.Draw(t, "b"), draw.Draw(t, "c")
		if compareNatural(a, b) != -compareNatural(b, a) || (compareNatural(a, b) == 0) != (a == b) {
			t.Errorf("%q and %q are not ordered strictly", a, b)
		}
		if compareNatural(a, b) < 0 && compareNatural(b, c) < 0 && compareNatural(a, c) >= 0 {
			t.Errorf("%q < %q < %q is not transitive", a, b, c)
		}
	})
}

// The package is pure: what it does can depend on nothing but its arguments.
func TestImports(t *testing.T) {
	names, err := filepath.Glob("*.go")
	if err != nil || len(names) == 0 {
		t.Fatalf("finding sources: %q, %v", names, err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, spec := range f.Imports {
			path := strings.Trim(spec.Path.Value, `"`)
			if root, _, _ := strings.Cut(path, "/"); root == "os" || root == "net" || root == "syscall" || strings.HasPrefix(path, "math/rand") {
				t.Errorf("%s imports %s", name, path)
			}
		}
	}
}
