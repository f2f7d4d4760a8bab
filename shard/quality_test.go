package shard

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/wcshard/wcshard/timing"
)

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
			s.Setups = append(s.Setups, Setup{ID: timing.SetupID(fmt.Sprintf("f%d.py", f)), Cost: time.Duration(r.IntN(20)) * time.Millisecond})
		}
		for k := range 2 {
			s.Setups = append(s.Setups, Setup{ID: timing.SetupID(fmt.Sprintf("session ::s%d", k)), Cost: time.Duration(r.IntN(60)) * time.Millisecond})
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
	// Beside a set-up of 4 s, 8 s leave room for 2 s of another one and two of
	// these tests: who pays for the one pays for the other.
	s = Suite{Setups: []Setup{{ID: "session ::s", Cost: 4 * time.Second}, {ID: "session ::t", Cost: 2 * time.Second}}}
	crowd(&s, "a.py", 4, 1000, 0, 1)
	p = mustPack(t, s, Fleet{Shards: 2})
	if want := 8 * time.Second; p.Bound != want || p.Makespan != want {
		t.Errorf("company: makespan %v, bound %v, want %v for both", p.Makespan, p.Bound, want)
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
