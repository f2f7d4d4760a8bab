package shard

import (
	"errors"
	"fmt"
	"go/parser"
	"go/token"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

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
			"also of files",
			Suite{Tests: []Test{test("test_10.py::x", 1), test("test_9.py::x", 1)}},
			Fleet{Shards: 1, Workers: 1},
			"pool-1 w1 2ms: test_9.py[x] test_10.py[x]\n",
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
			"pool-1 w1 20ms: a.py[x] b.py[x]\npool-2 w1 10ms: a.py[y] b.py[y]\n",
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

// A group with a test of each file cuts none of them: their others stay whole, for one
// worker each.
func TestGroupOverFilesCutsNone(t *testing.T) {
	var suite Suite
	for f := range 40 {
		list := tests(fmt.Sprintf("test_%d.py", f), 30, 10)
		list[0].Group = "db"
		suite.Tests = append(suite.Tests, list...)
	}
	p := mustPack(t, suite, Fleet{Shards: 2, CPUs: 4})
	cut := 0
	for i := range p.Shards {
		s := &p.Shards[i]
		grouped := 0
		for _, piece := range s.Pieces {
			if slices.Contains(piece.Tests, "::1") {
				grouped++
			}
			if piece.Cut {
				cut++
			}
		}
		if grouped > 0 && grouped < 40 {
			t.Errorf("%s has %d tests of the group of 40", s.Name, grouped)
		}
	}
	if cut > 4 {
		t.Errorf("%d pieces are cut: want no more than one file between the shards, and one of each for its workers", cut)
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
	keeps := Test{ID: "a.py::x", Estimate: timing.Estimate{Need: timing.Need{Kept: -1}}}
	for _, c := range []struct {
		name  string
		suite Suite
		fleet Fleet
		want  string
	}{
		{"no shards", Suite{Tests: one}, Fleet{}, "shards is 0, want at least 1"},
		{"more shards than can be counted", Suite{Tests: one}, Fleet{Shards: MaxJobs + 1}, "100001 pool jobs and at most 0 memory jobs: want at most 100000 of each"},
		{"more memory jobs than can be counted", Suite{Tests: []Test{{ID: "a.py::x", Memory: true}}}, Fleet{Shards: 1, CPUs: 4, MaxMemoryJobs: 1 << 62}, "1 pool jobs and at most 4611686018427387904 memory jobs: want at most 100000 of each"},
		{"workers", Suite{Tests: one}, Fleet{Shards: 1, Workers: -1}, "workers is -1, want 0 to 4096"},
		{"a negative time", Suite{Tests: []Test{test("a.py::x", -1)}}, Fleet{Shards: 1}, `"a.py::x" takes -1ms, want 0 to 876000h0m0s`},
		{"times that would overflow", Suite{Tests: []Test{long, long}}, Fleet{Shards: 1}, "the suite takes more than 876000h0m0s"},
		{"a negative base of several workers", Suite{Tests: one, Base: 1, Bases: -1}, Fleet{Shards: 1}, "a job's base is -1ns, want at least 0"},
		{"less than nothing that is kept", Suite{Tests: []Test{keeps}}, Fleet{Shards: 1}, `"a.py::x" needs 0 to 0 and keeps -1 bytes, want 0 to 1125899906842624`},
		{"a set-up out of range", Suite{Tests: []Test{{ID: "a.py::x", Setups: []int{3}}}}, Fleet{Shards: 1}, `"a.py::x" needs set-up 3 of 0`},
		{"the set-up behind the last", Suite{Tests: []Test{{ID: "a.py::x", Setups: []int{1}}}, Setups: make([]Setup, 1)}, Fleet{Shards: 1}, `"a.py::x" needs set-up 1 of 1`},
		{"a late set-up out of range", Suite{Tests: one, Setups: make([]Setup, 2), Late: []Late{{Setup: 9, Every: 5}}}, Fleet{Shards: 1}, `set-up 9 of 2 is late for one of 5 tests, want more than 0`},
		{"a set-up that is late for all", Suite{Tests: one, Setups: make([]Setup, 2), Late: []Late{{Setup: 1}}}, Fleet{Shards: 1}, `set-up 1 of 2 is late for one of 0 tests, want more than 0`},
		{"no ID", Suite{Tests: []Test{{}}}, Fleet{Shards: 1}, `node ID "" is empty or not UTF-8`},
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
	if _, err := Pack(Suite{Tests: one}, Fleet{Shards: 1, MemoryShare: math.NaN()}); err == nil {
		t.Error("Pack takes a share of the memory that is no number")
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
	want := []string{"pool shards: 3 instead of 8, as there are no more tests to divide"}
	if len(p.Shards) != 3 || !slices.Equal(p.Warnings, want) {
		t.Errorf("%d shards and warnings %q, want 3 and %q", len(p.Shards), p.Warnings, want)
	}
	if p := mustPack(t, Suite{Tests: module("m.py", nil, 1)}, Fleet{Shards: 8}); len(p.Warnings) > 0 {
		t.Errorf("warnings %q of a suite that has nothing for a pool", p.Warnings)
	}
}

func TestListed(t *testing.T) {
	for names, want := range map[string]string{"a": "a", "a b c d e": "a, b, c, d, e", "a b c d e f": "a, b, c, d, e, and 1 more"} {
		if got := listed(strings.Fields(names)); got != want {
			t.Errorf("listed(%s) = %s, want %s", names, got, want)
		}
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
		{time.Second, Basis{Relatives: 10}, 45},
		{time.Second, Basis{Measured: 8, Relatives: 1, Guessed: 1}, 35},
		{time.Second, Basis{Measured: 1000, Relatives: 1}, 31},
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

// Each worker of a job pays for its imports, so a job that has dear ones gets fewer
// tests than its share of all times would be.
func TestPackByImports(t *testing.T) {
	suite := Suite{Setups: []Setup{{ID: "dear.py", Cost: 100 * time.Second, Import: true}}}
	for f := range 40 {
		suite.Tests = append(suite.Tests, tests(fmt.Sprintf("test_%02d.py", f), 20, 1000)...)
	}
	for _, x := range tests("dear.py", 100, 1000) {
		x.Setups = []int{0}
		suite.Tests = append(suite.Tests, x)
	}
	for i := range suite.Tests {
		suite.Tests[i].Order = i
	}
	// The first job: 100 s of imports and t of tests on four workers, the other one the rest of 900 s.
	if p := mustPack(t, suite, Fleet{Shards: 2, Workers: 4, CPUs: 4}); p.Makespan > 170*time.Second {
		t.Errorf("the longest job takes %v, want 162.5 s or a little more\n%s", p.Makespan, show(p))
	}
}

// A file is cut between two functions where that is as good as among the
// parametrizations of one.
func TestPackBetweenFunctions(t *testing.T) {
	suite := Suite{}
	for f, n := range []int{3998, 4000} {
		for k := range n {
			x := test(fmt.Sprintf("a.py::test_%d[%d]", f, k), 10)
			x.Order = len(suite.Tests)
			suite.Tests = append(suite.Tests, x)
		}
	}
	p := mustPack(t, suite, Fleet{Shards: 2, Workers: 1})
	for i := range p.Shards {
		functions := map[string]bool{}
		for _, id := range p.Shards[i].IDs() {
			functions[id.Function()] = true
		}
		if len(functions) != 1 {
			t.Errorf("%s has %d tests of %d functions", p.Shards[i].Name, p.Shards[i].Len(), len(functions))
		}
	}
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

// A few short tests of each file that share something expensive are one job's, which the
// packer sees only if it does not take the way of shortening the longest job a little by
// setting that up twice.
func TestPackShortTestsThatShare(t *testing.T) {
	const files, plain = 4, 4
	s := Suite{Setups: []Setup{{ID: "processes test_0.py::test_pool", Cost: 700 * time.Millisecond}}}
	for f := range files {
		file := fmt.Sprintf("test_%d.py", f)
		s.Setups = append(s.Setups, Setup{ID: timing.SetupID(file), Cost: time.Millisecond, Import: true})
		for k := range plain + 1 {
			test := Test{ID: timing.NodeID(fmt.Sprintf("%s::test_plain[%d]", file, k)), Order: len(s.Tests), Setups: []int{f + 1}}
			test.Estimate.Wall = 200 * time.Millisecond
			if k == plain {
				test.ID, test.Setups, test.Estimate.Wall = timing.NodeID(file+"::test_pool"), []int{0, f + 1}, 10*time.Millisecond
			}
			s.Tests = append(s.Tests, test)
		}
	}
	plan, err := Pack(s, Fleet{Shards: 2, Workers: 1, CPUs: 1, Runner: "local"})
	if err != nil {
		t.Fatal(err)
	}
	jobs := 0
	for _, job := range plan.Shards {
		if slices.ContainsFunc(job.Pieces, func(p Piece) bool { return slices.Contains(p.Tests, "::test_pool") }) {
			jobs++
		}
	}
	longest := plan.longest(Pool)
	// 16 of 200 ms and what is set up once are 1.97 s a job; nobody can halve a test.
	if most := 2020 * time.Millisecond; jobs != 1 || longest > most {
		t.Errorf("what the tests share is set up in %d jobs, the longest of %v, want 1 and at most %v", jobs, longest, most)
	}
}

// A file above what jobs have on average, whose tests all need its fixture, is cut: that
// average counts the fixture twice.
func TestPackCutsDearFile(t *testing.T) {
	s := Suite{Setups: []Setup{{ID: "module a.py::data", Cost: 30 * time.Second}}}
	for k := range 48 {
		x := test(fmt.Sprintf("f%02d.py::t", k), 5000)
		if k < 12 {
			x = test(fmt.Sprintf("a.py::t%02d", k), 5000)
			x.Setups = []int{0}
		}
		x.Estimate.Rung = timing.Measured
		s.Tests = append(s.Tests, x)
	}
	for n, want := range map[int]time.Duration{2: 135 * time.Second, 4: 75 * time.Second, 8: 60 * time.Second, 16: 50 * time.Second} {
		if p := mustPack(t, s, Fleet{Shards: n, Workers: 1}); p.Makespan > want {
			t.Errorf("%d jobs: the longest takes %v, want at most %v", n, p.Makespan, want)
		}
	}
	if p := mustPack(t, s, Fleet{Shards: 1, CPUs: 4}); p.Makespan > 75*time.Second {
		t.Errorf("one job of four workers takes %v, want at most 1m15s", p.Makespan)
	}
}

// Beside a giant test, those that need a dear fixture share a job, though they would
// not make the longest one longer anywhere, and though the earlier plan had them apart.
func TestPackGathersBesideGiant(t *testing.T) {
	s := Suite{Setups: []Setup{{ID: "session ::db", Cost: time.Minute}}}
	for k := range 130 {
		x := test(fmt.Sprintf("f%03d.py::t", k), 5000)
		x.Estimate.Rung = timing.Measured
		switch {
		case k == 0:
			x.Estimate.Wall = 600 * time.Second
		case k%13 == 0:
			x.Setups = []int{0}
		}
		x.Before = 1 + k%16
		s.Tests = append(s.Tests, x)
	}
	for _, follow := range []bool{true, false} {
		p := mustPack(t, s, Fleet{Shards: 16, Workers: 1})
		if sum := p.sum(Pool); p.Makespan != 600*time.Second || sum > 1400*time.Second {
			t.Errorf("with an earlier plan (%v), the longest job takes %v and all take %v, want 10m and at most 23m20s", follow, p.Makespan, sum)
		}
		for i := range s.Tests {
			s.Tests[i].Before = 0
		}
	}
}

// Where set-ups have to repeat, tests stay where the earlier plan had them.
func TestPackFollowsWhereSetupsRepeat(t *testing.T) {
	var s Suite
	for k := range 5 {
		s.Setups = append(s.Setups, Setup{ID: timing.SetupID(fmt.Sprintf("session ::s%d", k)), Cost: 10 * time.Second})
	}
	for k := range 40 {
		x := test(fmt.Sprintf("f%02d.py::t", k), 5000)
		x.Estimate.Rung = timing.Measured
		x.Setups = [][]int{{0, 1}, {0, 2}, {0, 3}, {0, 4}, {1, 2}, {1, 3}, {1, 4}, {2, 3}, {2, 4}, {3, 4}}[k%10]
		s.Tests = append(s.Tests, x)
	}
	fleet := Fleet{Shards: 4, Workers: 1}
	before := mustPack(t, s, fleet)
	s.Follow(before)
	s.Tests[7].Estimate.Wall += 300 * time.Millisecond
	if now := mustPack(t, s, fleet); moved(before, now) > 0.1 {
		t.Errorf("%.0f %% of the tests moved", 100*moved(before, now))
	}
}
