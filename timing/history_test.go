package timing

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// bytesOf returns the history as a file.
func bytesOf(t interface{ Fatal(...any) }, h *History) string {
	var b bytes.Buffer
	if err := h.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func reread(t interface{ Fatal(...any) }, file string) *History {
	h, err := ReadHistory(strings.NewReader(file), "h")
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// run makes one results file of tests with the given wall times in
// milliseconds.
func run(name string, started int64, tests ...TestResult) *Results {
	return &Results{
		Header: ResultsHeader{Run: name, Runner: "linux", Started: time.UnixMilli(started).UTC()},
		Tests:  tests,
	}
}

func passed(id NodeID, ms int) TestResult {
	return TestResult{ID: id, Worker: "main", Outcome: Passed, Call: time.Duration(ms) * time.Millisecond, Wall: time.Duration(ms) * time.Millisecond}
}

func TestHistoryFile(t *testing.T) {
	us := time.Microsecond
	r := run("gh-1", 1700000000000,
		TestResult{ID: "a.py::t", Worker: "main", Outcome: Passed, Start: 400 * us, Setup: 10 * us, Call: 20 * us, Teardown: 30 * us, Wall: 100 * us,
			Fixtures: []FixtureResult{{"session ::db", 5 * us, 0}}, Before: 1000, Peak: 1700, After: 1100},
		TestResult{ID: "a.py::s", Worker: "main", Outcome: Skipped, Wall: 7 * us, Fixtures: []FixtureResult{{"session ::db", 0, 2 * us}}},
	)
	r.Workers = []WorkerResult{{Worker: "main", Startup: 100 * us, Collect: 90 * us, Imports: map[string]time.Duration{"a.py": 80 * us}, Floor: 900, Tail: 3 * us}}
	r.Ended, r.Elapsed = true, 600*us
	h := FromResults(r)
	want := `{"wcshard":"timings","version":1,"columns":["source","outcome","setup_us","call_us","teardown_us","other_us","floor","peak","rise","kept"],` +
		`"outcomes":["passed","skipped","xfailed","xpassed","failed","error","crashed"],"runs":[["gh-1",1700000000000]],"sources":[[1700000000000,"gh-1","linux"]],"lines":5}
{"id":"a.py::s","s":[[0,1,0,0,0,5,900]]}
{"id":"a.py::t","s":[[0,0,10,20,30,35,900,1700,700,100]]}
{"kind":"file","id":"a.py","s":[[0,0,80]]}
{"kind":"fixture","id":"session ::db","s":[[0,0,5,0,2]]}
{"kind":"session","id":"main","s":[[0,0,100,10,3,100,900,0,2]]}
`
	got := bytesOf(t, h)
	if got != want {
		t.Errorf("Write() =\n%s, want\n%s", got, want)
	}
	if again := bytesOf(t, reread(t, got)); again != want {
		t.Errorf("Write(ReadHistory()) =\n%s, want\n%s", again, want)
	}
	e := h.Estimator("linux")
	if got, want := e.Session(1), 210*us; got != want {
		t.Errorf("Session() = %v, want %v", got, want)
	}
	if got, want := e.File("a.py"), 80*us; got != want {
		t.Errorf("File() = %v, want %v", got, want)
	}
	if got, want := e.Fixture("session ::db"), 7*us; got != want {
		t.Errorf("Fixture() = %v, want %v", got, want)
	}
}

func TestReadHistoryErrors(t *testing.T) {
	newer := run("r2", 2000, passed("b.py::b", 3))
	newer.Workers = []WorkerResult{{Worker: "main", Imports: map[string]time.Duration{"a.py": 1000, "b.py": 2000}}}
	good := bytesOf(t, FromResults(run("r1", 1000, passed("a.py::a", 1), passed("b.py::b", 2)), newer))
	for _, c := range []struct{ name, old, new, want string }{
		{"empty", good, "", `h: empty file, want a timings header`},
		{"newer", `"version":1`, `"version":9`, `h:1: written by a newer wcshard (version 9, this one reads 1)`},
		{"columns", `"floor",`, ``, `h:1: column 131: columns are`},
		{"cut between lines", good[strings.Index(good, `{"id":"b`):], "", `h:2: 1 lines after the header, want 5: the file is cut or was edited`},
		{"more lines than there should be", `"lines":5`, `"lines":4`, `h:6: 5 lines after the header, want 4: the file is cut or was edited`},
		{"cut in a line", good[strings.Index(good, `000],[0,0,0,2000]]}`):], "", `h:3: column 30: want ',', got the end of the line`},
		{"line twice", `{"id":"a.py::a"`, `{"id":"b.py::b"`, `h:3: line is out of order`},
		{"source", `[[1,0,0,3000]`, `[[2,0,0,3000]`, `h:3: column 34: source 2 of 2`},
		{"outcome", `[[1,0,0,3000]`, `[[1,7,0,3000]`, `h:3: column 34: outcome 7 of 7`},
		{"huge", `[[0,0,0,1000]]}`, `[[0,0,0,9999999999999999]]}`, `h:2: column 45: number beyond 1000000000000000`},
		{"sample order", `[[1,0,0,3000]`, `[[0,0,0,3000]`, `h:3: column 47: sample 2 is out of order`},
		{"a sample twice", `[[1,0,0,3000]`, `[[1,0,0,3000],[1,0,0,3000]`, `h:3: column 47: sample 2 is out of order`},
		{"no samples", `[[0,0,0,1000]]`, `[]`, `h:2: column 23: no samples`},
		{"short", `[[0,0,0,1000]]`, `[[0]]`, `h:2: column 25: a sample of 1 numbers, want at least 2`},
		{"long", `[[0,0,0,1000]]`, `[[0,0,1,1,1,1,1,1,1,1,1]]`, `h:2: column 43: a sample of more than 10 numbers`},
		{"zero at the end", `[[0,0,0,1000]]`, `[[0,0,0]]`, `h:2: column 29: a zero at the end of a sample`},
		{"two values", `[[0,0,0,1000]]}`, `[[0,0,0,1000]]}{}`, `h:2: column 36: unexpected '{' after the value`},
		{"a line without an end", `[[0,0,0,1000]]}`, strings.Repeat(" ", 4*maxHistoryLine), `h:2: line longer than 8388608 bytes`},
		{"kind", `{"id":"a.py`, `{"kind":"moon","id":"a.py`, `h:2: column 15: unknown kind "moon"`},
		{"kind order", `{"id":"a.py`, `{"kind":"file","id":"a.py`, `h:3: column 49: line is out of order`},
		{"order of files", `"kind":"file","id":"b.py"`, `"kind":"file","id":"a.py"`, `h:5: line is out of order`},
		{"runs order", `["r2",2000],["r1",1000]`, `["r1",1000],["r2",2000]`, `h:1: column 250: run "r2" is out of order`},
		{"a run twice", `["r2",2000],["r1",1000]`, `["r2",2000],["r2",1000]`, `h:1: column 250: run "r2" is out of order`},
		{"sources order", `[1000,"r1","linux"],`, `[3000,"r1","linux"],`, `h:1: column 302: source 1 is out of order`},
		{"a source twice", `[2000,"r2","linux"]]`, `[2000,"r2","linux"],[2000,"r2","linux"]]`, `h:1: column 322: source 2 is out of order`},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := strings.Replace(good, c.old, c.new, 1)
			if in == good {
				t.Fatal("nothing replaced")
			}
			_, err := ReadHistory(strings.NewReader(in), "h")
			var syntax *SyntaxError
			if !errors.As(err, &syntax) || !strings.HasPrefix(syntax.Error(), c.want) {
				t.Errorf("ReadHistory() = %v, want a syntax error %q", err, c.want)
			}
		})
	}
}

// Several blocks: lines longer and shorter than a block, IDs in every one.
func TestHistoryBlocks(t *testing.T) {
	var tests []TestResult
	for i := range 30000 {
		tests = append(tests, passed(NodeID(fmt.Sprintf("tests/test_%03d.py::test[%s%d]", i%200, strings.Repeat("ä", i%90), i)), i))
	}
	// The last one, since the buffer that grows for it takes all that comes after.
	tests = append(tests, passed(NodeID("zz/long.py::t["+strings.Repeat("x", 3*blockSize)+"]"), 5))
	file := bytesOf(t, FromResults(run("r", 1, tests...)))
	if len(file) < 5*blockSize {
		t.Fatalf("a file of %d bytes is not several blocks", len(file))
	}
	if bytesOf(t, reread(t, file)) != file {
		t.Error("Write(ReadHistory()) is not what was read")
	}
	// An error far in has its true line number.
	lines := strings.SplitAfter(file, "\n")
	lines[20000] = strings.Replace(lines[20000], "{", "[", 1)
	_, err := ReadHistory(strings.NewReader(strings.Join(lines, "")), "h")
	if want := "h:20001: column 1: want '{', got '['"; err == nil || !strings.HasSuffix(err.Error(), want) {
		t.Errorf("ReadHistory() = %v, want %q", err, want)
	}
	lines = strings.SplitAfter(file, "\n")
	lines[20000], lines[20001] = lines[20001], lines[20000]
	_, err = ReadHistory(strings.NewReader(strings.Join(lines, "")), "h")
	if want := "h:20002: line is out of order"; err == nil || !strings.HasSuffix(err.Error(), want) {
		t.Errorf("ReadHistory() = %v, want %q", err, want)
	}
}

// Blocks that are in order each need not be so together.
func TestHistoryBlocksOrder(t *testing.T) {
	blocks := make(chan *block, 2)
	for _, id := range []string{"b.py::t", "a.py::t"} {
		b := &block{done: make(chan struct{})}
		b.kinds[testKind] = []series{{id: id, samples: []sample{{}}}}
		close(b.done)
		blocks <- b
	}
	close(blocks)
	if err := new(History).join(blocks, "h", 2); err == nil || err.Error() != "h:3: line is out of order" {
		t.Errorf("join() = %v, want a line out of order", err)
	}
}

// drawResults draws results files from few runs, runners, times and tests, so
// that they meet.
func drawResults(t *rapid.T) []*Results {
	var list []*Results
	for range rapid.IntRange(0, 12).Draw(t, "files") {
		r := &Results{Header: ResultsHeader{
			Run:     rapid.SampledFrom([]string{"r1", "r2", "r3", "r4", "r5"}).Draw(t, "run"),
			Runner:  rapid.SampledFrom([]string{"linux", "linux", "linux", "mac", "mac", "a", "b", "c", "d"}).Draw(t, "runner"),
			Started: time.UnixMilli(rapid.Int64Range(0, 6).Draw(t, "started") + leastAge/2*rapid.Int64Range(0, 4).Draw(t, "season")).UTC(),
			Workers: rapid.IntRange(0, 2).Draw(t, "workers"),
			CPUs:    rapid.IntRange(0, 2).Draw(t, "cpus"),
			SetUp:   time.Duration(rapid.IntRange(0, 2).Draw(t, "set-up")) * time.Microsecond,
		}}
		if rapid.Bool().Draw(t, "ended") {
			r.Ended, r.Elapsed = true, time.Duration(rapid.IntRange(0, 9).Draw(t, "elapsed"))*time.Microsecond
			r.Header.Predicted, r.Header.Tests = 5*time.Microsecond, 1
		}
		for range rapid.IntRange(0, 5).Draw(t, "tests") {
			test := TestResult{
				ID:      rapid.SampledFrom([]NodeID{"a.py::a", "a.py::b", "b.py::a"}).Draw(t, "id"),
				Outcome: rapid.SampledFrom(Outcomes()).Draw(t, "outcome"),
				Call:    time.Duration(rapid.IntRange(0, 3).Draw(t, "call")) * time.Microsecond,
				Peak:    rapid.Int64Range(0, 2).Draw(t, "peak"),
				After:   rapid.Int64Range(0, 2).Draw(t, "after"),
			}
			if rapid.Bool().Draw(t, "starts") {
				test.Fixtures = append(test.Fixtures, FixtureResult{ID: SetupID("processes " + test.ID), Setup: 2 * time.Microsecond})
			}
			if rapid.Bool().Draw(t, "uses") {
				test.Fixtures = append(test.Fixtures, FixtureResult{ID: rapid.SampledFrom([]SetupID{"processes a.py::a", "processes b.py::a"}).Draw(t, "pool")})
			}
			r.Tests = append(r.Tests, test)
		}
		if rapid.Bool().Draw(t, "worker") {
			r.Workers = []WorkerResult{{Worker: "main", Startup: 3, Imports: map[string]time.Duration{"a.py": time.Millisecond}}}
		}
		list = append(list, r)
	}
	return list
}

// The same results give the same bytes in any order, partition and
// repetition, whether they are pruned at every step or once at the end.
func TestMergeIsSemilattice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limits := Limits{Keep: rapid.IntRange(1, 4).Draw(t, "keep"), MaxAge: rapid.IntRange(1, 4).Draw(t, "maxAge")}
		results := drawResults(t)
		whole := FromResults(results...)
		whole.Prune(limits)
		want := bytesOf(t, whole)

		shuffled := rapid.Permutation(results).Draw(t, "order")
		if len(results) > 0 {
			shuffled = append(shuffled, rapid.SliceOfN(rapid.SampledFrom(results), 0, 3).Draw(t, "again")...)
		}
		parts := make([]*History, rapid.IntRange(1, 4).Draw(t, "parts"))
		for i := range parts {
			parts[i] = &History{}
		}
		for _, r := range shuffled {
			part := parts[rapid.IntRange(0, len(parts)-1).Draw(t, "part")]
			part.Merge(FromResults(r))
			if rapid.Bool().Draw(t, "prune") {
				part.Prune(limits)
			}
		}
		got := &History{}
		for _, part := range parts {
			if rapid.Bool().Draw(t, "store") {
				part = reread(t, bytesOf(t, part))
			}
			before := bytesOf(t, part)
			got.Merge(part)
			if after := bytesOf(t, part); after != before {
				t.Fatalf("Merge changed its argument:\n%s\nwas\n%s", after, before)
			}
		}
		got.Prune(limits)
		if got := bytesOf(t, got); got != want {
			t.Fatalf("merged in parts:\n%s\nat once:\n%s", got, want)
		}
		got.Merge(got)
		got.Prune(limits)
		if got := bytesOf(t, got); got != want {
			t.Fatalf("merged with itself:\n%s\nwant\n%s", got, want)
		}
	})
}

// Tests of one ID that differ in no more than what they left in memory are two, in a fixed
// order.
func TestHistoryNamesakes(t *testing.T) {
	test := func(after int64) TestResult {
		return TestResult{ID: "a.py::t", Outcome: Passed, Before: 1, Peak: 9, After: after}
	}
	h := FromResults(run("r", 1, test(3), test(5)))
	file := bytesOf(t, h)
	if other := bytesOf(t, FromResults(run("r", 1, test(5), test(3)))); len(h.Samples("a.py::t")) != 2 || other != file {
		t.Errorf("samples %+v, want two; the file is\n%s, in the other order\n%s", h.Samples("a.py::t"), file, other)
	}
	if again := bytesOf(t, reread(t, file)); again != file {
		t.Errorf("read again it is\n%s, was\n%s", again, file)
	}
}

// The start of a file's name is no file.
func TestKnowsFile(t *testing.T) {
	h := FromResults(run("r", 1, passed("a.py::t", 1)))
	for file, want := range map[string]bool{"a.py": true, "a": false, "b.py": false} {
		if got := h.KnowsFile(file); got != want {
			t.Errorf("KnowsFile(%q) = %v, want %v", file, got, want)
		}
	}
}

// Tests that run once a week are known whatever runs meanwhile, and those that are gone are
// forgotten in the end.
func TestPruneWeekly(t *testing.T) {
	h := &History{}
	for k := range 400 { // four runs a day
		r := run(fmt.Sprint(k), int64(k)*leastAge/360, TestResult{ID: "a.py::quick", Worker: "main", Outcome: Passed, Wall: time.Millisecond})
		if k%28 == 0 {
			r.Tests = append(r.Tests, TestResult{ID: "a.py::weekly", Worker: "main", Outcome: Passed, Wall: time.Minute})
		}
		if k < 30 {
			r.Tests = append(r.Tests, TestResult{ID: "a.py::gone", Worker: "main", Outcome: Passed, Wall: time.Minute})
		}
		h.Merge(FromResults(r))
		h.Prune(Limits{})
		if n := len(h.Samples("a.py::weekly")); n != min(k/28+1, DefaultKeep) {
			t.Fatalf("after run %d, %d samples of the weekly test", k, n)
		}
	}
	if want := []NodeID{"a.py::quick", "a.py::weekly"}; !slices.Equal(h.Tests(), want) {
		t.Errorf("known are %q, want %q", h.Tests(), want)
	}
}

// What a developer's machine runs pushes nothing out of what CI goes by.
func TestPruneByClass(t *testing.T) {
	at := func(runner string, k int, ms time.Duration) *Results {
		r := run(fmt.Sprint(runner, k), int64(1000*k), TestResult{ID: "a.py::t", Worker: "main", Outcome: Passed, Wall: ms * time.Millisecond,
			Fixtures: []FixtureResult{{ID: "session ::db", Setup: ms / 10 * time.Millisecond}, {ID: "processes a.py::t", Setup: ms / 10 * time.Millisecond}}})
		r.Header.Runner = runner
		r.Workers = []WorkerResult{{Worker: "main", Startup: ms * time.Millisecond, Imports: map[string]time.Duration{"a.py": ms * time.Millisecond}}}
		return r
	}
	h := &History{}
	for k := range 3 * DefaultKeep {
		if k < DefaultKeep {
			h.Merge(FromResults(at("linux", k, 1000)))
		} else {
			h.Merge(FromResults(at("local", k, 100)))
		}
		h.Prune(Limits{})
	}
	if n := len(h.Samples("a.py::t")); n != 2*DefaultKeep {
		t.Errorf("%d samples are kept, want %d of each class", n, DefaultKeep)
	}
	for runner, ms := range map[string]time.Duration{"linux": 1000, "local": 100} {
		e := h.Estimator(runner)
		pools := e.Pools()
		if len(pools) != 1 {
			t.Fatalf("%s: pools %v, want one", runner, pools)
		}
		for what, got := range map[string]time.Duration{"a test": e.Tests([]NodeID{"a.py::t"})[0].Wall * 10 / 8, "an import": e.File("a.py"), "a session": e.Session(1), "a fixture": 10 * e.Fixture("session ::db"), "a pool": 10 * pools[0].Cost} {
			if got != ms*time.Millisecond {
				t.Errorf("%s: %s takes %v, want %v", runner, what, got, ms*time.Millisecond)
			}
		}
	}
}

// Of what each job has one of, as many runs are kept as of a test, whole, and one sample
// more.
func TestPruneByRun(t *testing.T) {
	var all []*Results
	for k := range 4 {
		for job := range 3 {
			r := run(fmt.Sprint("r", k), int64(10*k+job+1), passed("a.py::t", 1))
			r.Tests[0].Fixtures = []FixtureResult{{ID: "session ::db", Setup: time.Second}}
			all = append(all, r)
		}
	}
	h := FromResults(all...)
	h.Prune(Limits{Keep: 2})
	if n := len(h.series[fixtureKind][0].samples); n != 2*3+1 {
		t.Errorf("%d samples are kept of a fixture, want those of two runs and one more", n)
	}
}

// Who keeps all keeps jobs, too.
func TestPruneNothing(t *testing.T) {
	h := FromResults(jobRun("j", 1, 1, 1000, 1000, 100))
	want := bytesOf(t, h)
	h.Prune(Limits{Keep: math.MaxInt, MaxAge: math.MaxInt})
	if got := bytesOf(t, h); got != want {
		t.Errorf("after a Prune() without limits the history is\n%s, was\n%s", got, want)
	}
}

// The start of a pool of processes goes with the samples of its test, though in a newer
// run another test started them.
func TestPrunePools(t *testing.T) {
	first, second := run("r1", 1, passed("a.py::t", 1)), run("r2", 2, passed("a.py::t", 1))
	first.Tests[0].Fixtures = []FixtureResult{{ID: "processes a.py::t", Setup: time.Second}}
	h := FromResults(first, second)
	h.Prune(Limits{})
	if len(h.series[fixtureKind]) == 0 {
		t.Error("the start of a pool is gone, though its run is kept of the test")
	}
}

// Histories may share their samples: what one drops, the other has as before.
func TestFilter(t *testing.T) {
	shared := []sample{{setup: 1}, {setup: 2}, {setup: 3}, {setup: 4}}
	want := slices.Clone(shared)
	kept := filter(shared, func(s *sample) bool { return s.setup%2 == 1 })
	if !slices.Equal(shared, want) || len(kept) != 2 {
		t.Errorf("filter() keeps %v and leaves %v, want two of %v", kept, shared, want)
	}
}

// Prune against the definition: a sample survives iff fewer than MaxAge known
// runs have a mark newer than its start, or it is no older than 90 days before the newest,
// and its job is among the Keep newest of its class of runner that have one.
func TestPruneByDefinition(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limits := Limits{Keep: rapid.IntRange(1, 4).Draw(t, "keep"), MaxAge: rapid.IntRange(1, 4).Draw(t, "maxAge")}
		h := FromResults(drawResults(t)...)
		want := map[NodeID][]Sample{}
		for _, id := range h.Tests() {
			type job struct {
				started time.Time
				run     string
			}
			seen := map[string]map[job]bool{} // by class of runner
			for _, s := range h.Samples(id) {
				newer := 0
				for _, r := range h.runs {
					if r.mark > s.Started.UnixMilli() {
						newer++
					}
				}
				if newer < limits.MaxAge || h.runs[0].mark-s.Started.UnixMilli() <= leastAge {
					if seen[s.Runner] == nil {
						seen[s.Runner] = map[job]bool{}
					}
					seen[s.Runner][job{s.Started, s.Run}] = true
					if len(seen[s.Runner]) <= limits.Keep {
						want[id] = append(want[id], s)
					}
				}
			}
		}
		h.Prune(limits)
		if got := h.Tests(); len(got) != len(want) {
			t.Fatalf("tests left: %q, want %v", got, want)
		}
		for _, id := range h.Tests() {
			if got := h.Samples(id); !slices.Equal(got, want[id]) {
				t.Fatalf("samples of %q: %v, want %v", id, got, want[id])
			}
		}
		if len(h.Runs()) > limits.MaxAge {
			t.Fatalf("%d runs are left, want at most %d", len(h.Runs()), limits.MaxAge)
		}
	})
}
