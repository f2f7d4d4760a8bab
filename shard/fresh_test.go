package shard

import (
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/wcshard/wcshard/timing"
)

// The tests of a new file are dealt over the jobs, but for what is dear to set up, and for
// what belongs together; where all is new nothing tells of what.
func TestPackNewFile(t *testing.T) {
	const jobs, each = 4, 16
	base := func() Suite {
		var s Suite
		for f := range 12 {
			s.Tests = append(s.Tests, tests(fmt.Sprintf("test_%02d.py", f), 20, 100)...)
		}
		for _, x := range tests("test_new.py", each, 100) {
			x.Estimate.Rung = timing.Suite
			s.Tests = append(s.Tests, x)
		}
		return s
	}
	ofFile := func(s *Suite, file string, change func(x *Test)) {
		for i := range s.Tests {
			if s.Tests[i].ID.File() == file {
				change(&s.Tests[i])
			}
		}
	}
	for _, c := range []struct {
		name   string
		change func(s *Suite)
		want   []int // its tests in each job, most first
	}{
		{"dealt", func(*Suite) {}, []int{4, 4, 4, 4}},
		{"of which one is skipped", func(s *Suite) { s.Tests[len(s.Tests)-3].Estimate = timing.Estimate{Wall: 2 * time.Millisecond} }, []int{4, 4, 4, 4}},
		{"mostly known", func(s *Suite) {
			ofFile(s, "test_new.py", func(x *Test) { x.Estimate.Rung = timing.Moved })
			s.Tests[len(s.Tests)-3].Estimate.Rung = timing.Suite
		}, []int{16, 0, 0, 0}},
		{"a dear import", func(s *Suite) {
			s.Setups = []Setup{{ID: "test_new.py", Cost: time.Minute, Import: true}}
			ofFile(s, "test_new.py", func(x *Test) { x.Setups = []int{0} })
		}, []int{16, 0, 0, 0}},
		{"an import of 0.7 s", func(s *Suite) { // the third job takes 0.8 s off the others, the fourth 0.4 s
			s.Setups = []Setup{{ID: "test_new.py", Cost: 700 * time.Millisecond, Import: true}}
			ofFile(s, "test_new.py", func(x *Test) { x.Setups = []int{0} })
		}, []int{6, 5, 5, 0}},
		{"a dear fixture that all need", func(s *Suite) {
			s.Setups = []Setup{{ID: "session ::db", Cost: 10 * time.Second}}
			for i := range s.Tests {
				s.Tests[i].Setups = []int{0}
			}
		}, []int{4, 4, 4, 4}},
		{"in a group", func(s *Suite) { ofFile(s, "test_new.py", func(x *Test) { x.Group = "db" }) }, []int{16, 0, 0, 0}},
		{"of a file that is known", func(s *Suite) { ofFile(s, "test_new.py", func(x *Test) { x.Estimate.Rung = timing.File }) }, []int{16, 0, 0, 0}},
		{"where one test takes long", func(s *Suite) { s.Tests[0].Estimate.Wall = time.Minute }, []int{6, 5, 5, 0}},
		{"where much is new", func(s *Suite) { // more than a fifth
			for _, file := range []string{"test_00.py", "test_01.py", "test_02.py"} {
				ofFile(s, file, func(x *Test) { x.Estimate.Rung = timing.Suite })
			}
		}, []int{16, 0, 0, 0}},
		{"where all is new", func(s *Suite) {
			for i := range s.Tests {
				s.Tests[i].Estimate.Rung = timing.Guess
			}
		}, []int{16, 0, 0, 0}},
	} {
		s := base()
		c.change(&s)
		plan := mustPack(t, s, Fleet{Shards: jobs, Workers: 1})
		got := make([]int, len(plan.Shards))
		for k := range plan.Shards {
			for _, id := range plan.Shards[k].IDs() {
				if id.File() == "test_new.py" {
					got[k]++
				}
			}
		}
		slices.SortFunc(got, func(a, b int) int { return b - a })
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %d of the new tests, want %d", c.name, got, c.want)
		}
		if most := plan.Bound * 112 / 100; plan.Makespan > most { // the imports of more jobs
			t.Errorf("%s: the longest job takes %v, want at most %v", c.name, plan.Makespan, most)
		}
	}
	// Each worker of a job pays for its imports, and the workers share the tests.
	s := base()
	s.Setups = []Setup{{ID: "test_new.py", Cost: 400 * time.Millisecond, Import: true}}
	ofFile(&s, "test_new.py", func(x *Test) { x.Setups = []int{0} })
	for workers, want := range map[int]int{1: 4, 4: 2} {
		n := 0
		plan := mustPack(t, s, Fleet{Shards: jobs, Workers: workers, CPUs: workers})
		for k := range plan.Shards {
			if slices.ContainsFunc(plan.Shards[k].Pieces, func(x Piece) bool { return x.File == "test_new.py" }) {
				n++
			}
		}
		if n != want {
			t.Errorf("with %d workers %d jobs have some of the new file, want %d", workers, n, want)
		}
	}
}

// When it is known, a file that was dealt is one piece again, though it would stay where it
// was.
func TestPackNewFileAfterwards(t *testing.T) {
	const jobs = 8
	var s Suite
	for f := range 40 {
		s.Tests = append(s.Tests, tests(fmt.Sprintf("test_%02d.py", f), 20, 1000)...)
	}
	from := len(s.Tests)
	s.Tests = append(s.Tests, tests("test_new.py", 60, 1000)...)
	s.Setups = []Setup{{ID: "test_new.py", Cost: 100 * time.Millisecond, Import: true}}
	for i := range s.Tests[from:] {
		s.Tests[from+i].Estimate.Rung, s.Tests[from+i].Setups = timing.Suite, []int{0}
	}
	pieces := func(plan *Plan) (n int) {
		for k := range plan.Shards {
			for _, x := range plan.Shards[k].Pieces {
				if x.File == "test_new.py" {
					n++
				}
			}
		}
		return n
	}
	first := mustPack(t, s, Fleet{Shards: jobs, Workers: 1})
	for i := range s.Tests {
		s.Tests[i].Estimate.Rung = timing.Measured
	}
	s.Follow(first)
	second := mustPack(t, s, Fleet{Shards: jobs, Workers: 1})
	if pieces(first) != jobs || pieces(second) > 2 {
		t.Errorf("%d pieces while it is new and %d afterwards, want %d and one or two", pieces(first), pieces(second), jobs)
	}
}

// A new file goes to the job that has what it needs.
func TestPackNewFileOfFixture(t *testing.T) {
	var s Suite
	for f := range 8 {
		s.Tests = append(s.Tests, tests(fmt.Sprintf("test_%d.py", f), 100, 1000)...)
	}
	for _, x := range tests("test_new.py", 8, 100) {
		x.Estimate.Rung, x.Setups = timing.Suite, []int{0}
		s.Tests = append(s.Tests, x)
	}
	s.Setups = []Setup{{ID: "session ::db", Cost: time.Minute}}
	for i := range s.Tests[:100] {
		s.Tests[i].Setups = []int{0}
	}
	plan := mustPack(t, s, Fleet{Shards: 4, Workers: 1})
	for k := range plan.Shards {
		files := map[string]bool{}
		for _, piece := range plan.Shards[k].Pieces {
			files[piece.File] = true
		}
		if files["test_new.py"] != files["test_0.py"] {
			t.Errorf("%s has %v: the fixture is set up more often than it has to", plan.Shards[k].Name, files)
		}
	}
}

// Jobs to which new files are dealt have their tests in order, and what they were dealt to
// is as it was: it is dealt to again when memory jobs have changed.
func TestSpread(t *testing.T) {
	s := Suite{Tests: append(tests("a_new.py", 4, 10), tests("b.py", 4, 10)...)}
	q := newSequence(&s)
	dealt := newItems(q, func(p int32) bool { return q.file[p] == 0 })
	// With room behind them, where nothing may be written.
	pool := [][]int32{append(make([]int32, 0, 9), 4, 5), append(make([]int32, 0, 9), 6, 7)}
	for _, tests := range dealt.spread(pool) {
		if !slices.IsSorted(tests) {
			t.Errorf("a job has %v, want them in order", tests)
		}
	}
	if want := [][]int32{{4, 5}, {6, 7}}; !reflect.DeepEqual(pool, want) {
		t.Errorf("the pool is %v, was %v", pool, want)
	}
}
