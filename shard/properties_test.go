package shard

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/wcshard/wcshard/timing"
)

// drawSuite draws a small suite with all that packing knows.
func drawSuite(t *rapid.T) Suite {
	s := Suite{
		Base:  time.Duration(rapid.IntRange(0, 5).Draw(t, "base")) * time.Millisecond,
		Bases: time.Duration(rapid.IntRange(0, 9).Draw(t, "bases")) * time.Millisecond,
		Floor: int64(rapid.IntRange(0, 300).Draw(t, "floor")) << 20, Controller: int64(rapid.IntRange(0, 200).Draw(t, "controller")) << 20,
	}
	for k := range rapid.IntRange(0, 6).Draw(t, "setups") {
		id := rapid.SampledFrom([]string{
			fmt.Sprintf("s%d", k), fmt.Sprintf("session ::f%d[%d]", k%2, k), fmt.Sprintf("module d%d/Test_%d.py::s%d", k%2, k/2, k),
		}).Draw(t, "set-up")
		s.Setups = append(s.Setups, Setup{ID: timing.SetupID(id), Cost: time.Duration(rapid.IntRange(0, 30_000).Draw(t, "cost")) * time.Microsecond})
	}
	measured := rapid.Bool().Draw(t, "measured") // otherwise little is, mostly
	one := rapid.IntRange(0, 3).Draw(t, "one instance a test") > 0
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
		if measured {
			x.Estimate.Rung = timing.Measured
		}
		if g := rapid.IntRange(0, 20).Draw(t, "group"); g < 3 {
			x.Group = fmt.Sprintf("g%d", g)
		}
		has := map[string]bool{} // fixtures with parameters
		for i := range s.Setups {
			if rapid.IntRange(0, 3).Draw(t, "needs") == 0 {
				if f := family(s.Setups[i].ID); f == "" || !one || !has[f] {
					has[f] = true
					x.Setups = append(x.Setups, i)
				}
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
		Shards: rapid.IntRange(1, 12).Draw(t, "shards"), CPUs: rapid.IntRange(1, 4).Draw(t, "cpus"), Workers: rapid.IntRange(0, 4).Draw(t, "workers"),
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
	out := Suite{Base: s.Base, Bases: s.Bases, Floor: s.Floor, Controller: s.Controller, Setups: make([]Setup, len(s.Setups)), Tests: slices.Clone(s.Tests)}
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
		checkOrder(t, s, p)
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
	across := map[timing.NodeID]bool{} // of groups over files, which cut none
	q := newSequence(&s)
	spans := q.spanning()
	for at, root := range q.root {
		across[q.test(int32(at)).ID] = spans[root]
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
				if slices.ContainsFunc(piece.Tests, func(rest string) bool { return !across[timing.NodeID(piece.File+rest)] }) {
					parts[piece.File]++
				}
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

// checkOrder checks that what one worker runs as a whole of a file is in the order of its
// definition: in another one pytest may set fixtures up more often.
func checkOrder(t *rapid.T, s Suite, p *Plan) {
	q, place := newSequence(&s), map[timing.NodeID]int{}
	for at := range q.at {
		place[q.test(int32(at)).ID] = at
	}
	for i := range p.Shards {
		for _, piece := range p.Shards[i].Pieces {
			if piece.Cut || piece.Units != nil {
				continue
			}
			var places []int
			for _, rest := range piece.Tests {
				places = append(places, place[timing.NodeID(piece.File+rest)])
			}
			if !slices.IsSorted(places) {
				t.Errorf("%s in %s is not in the order of its definition: %q", piece.File, p.Shards[i].Name, piece.Tests)
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
