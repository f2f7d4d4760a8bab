package shard

import (
	"cmp"
	"fmt"
	"maps"
	"path"
	"slices"
	"time"

	"github.com/wcshard/wcshard/timing"
)

// Verify compares what ran with what was planned.
//
// Only the newest run counts: plans are deterministic, so two commits may have
// the same one, and what one of them ran says nothing of the other. Of each shard
// the results of the run's newest attempt count. One file may hold several
// shards; what a later attempt ran again of them no longer counts in it. The
// verdict does not depend on the order of results.
func Verify(plan *Plan, results []*timing.Results) *Verdict {
	c := newTally(plan)
	c.openShards()
	c.choose(results)
	c.count()
	c.listFailures()
	c.listKilled()
	c.listMissing()
	c.listDoubled()
	c.listUnplanned()
	c.closeShards()
	return c.verdict
}

// A tally is a verdict in the making.
type tally struct {
	plan    *Plan
	verdict *Verdict
	shards  map[string]int

	tests []planned // in the plan's order
	files map[string]int32
	homes [][]int32 // file → shards that have some of it
	index map[testKey]int32

	counted []*timing.Results // files that count for some shard, in the plan's order
	which   [][]int32         // counted file, test in it → planned test, or -1
	chosen  []*timing.Results // by shard; nil where there are none
	strange []Unplanned       // as they come
	failed  []failed
	failing map[*timing.Results]bool // a planned test failed in it
	excused map[*timing.Results]bool // a test failed in it whose shard a later attempt ran again
	again   map[int32][]string       // doubled test → shards of its runs
}

type planned struct {
	file, rest string
	shard      int32
	want, got  int32
}

func (p *planned) id() timing.NodeID { return timing.NodeID(p.file + p.rest) }

// A testKey is a node ID in two parts, as the plan has it, so that a million
// tests need no strings of their own.
type testKey struct {
	file int32
	rest string
}

type failed struct {
	test   int32
	result *timing.TestResult
}

func newTally(plan *Plan) *tally {
	n := 0
	for i := range plan.Shards {
		n += plan.Shards[i].Len()
	}
	c := &tally{
		plan:    plan,
		verdict: &Verdict{Plan: plan.Digest, Planned: n, Outcomes: map[timing.Outcome]int{}},
		shards:  map[string]int{},
		tests:   make([]planned, 0, n),
		files:   map[string]int32{},
		index:   make(map[testKey]int32, n),
		chosen:  make([]*timing.Results, len(plan.Shards)),
		again:   map[int32][]string{},
		excused: map[*timing.Results]bool{},
		failing: map[*timing.Results]bool{},
	}
	for i := range plan.Shards {
		s := &plan.Shards[i]
		c.shards[s.Name] = i
		for _, p := range s.Pieces {
			f, ok := c.files[p.File]
			if !ok {
				f = int32(len(c.files))
				c.files[p.File] = f
				c.homes = append(c.homes, nil)
			}
			c.homes[f] = append(c.homes[f], int32(i))
			for _, rest := range p.Tests {
				key := testKey{f, rest}
				if t, ok := c.index[key]; ok {
					c.tests[t].want++
					continue
				}
				c.index[key] = int32(len(c.tests))
				c.tests = append(c.tests, planned{file: p.File, rest: rest, shard: int32(i), want: 1})
			}
		}
	}
	return c
}

// find returns the planned test with this ID, or -1.
func (c *tally) find(id timing.NodeID) int32 {
	if f, ok := c.files[id.File()]; ok {
		if t, ok := c.index[testKey{f, id.Rest()}]; ok {
			return t
		}
	}
	return -1
}

func (c *tally) refuse(r *timing.Results, format string, args ...any) {
	c.verdict.Refused = append(c.verdict.Refused, RefusedFile{r.Name, fmt.Sprintf(format, args...)})
}

// choose finds the results that count for each shard.
func (c *tally) choose(results []*timing.Results) {
	sorted := slices.Clone(results)
	slices.SortStableFunc(sorted, compareResults)
	var fit []*timing.Results
	for _, r := range sorted {
		for _, w := range r.Warnings {
			c.verdict.Torn = append(c.verdict.Torn, w.Error())
		}
		if r.Header.Plan != c.plan.Digest {
			c.refuse(r, "it is of plan %s, want %s", r.Header.Plan, c.plan.Digest)
			continue
		}
		if k := slices.IndexFunc(r.Header.Shards, func(name string) bool { _, ok := c.shards[name]; return !ok }); k >= 0 {
			c.refuse(r, "the plan has no shard %q", r.Header.Shards[k])
			continue
		}
		fit = append(fit, r)
	}
	c.verdict.Run = NewestRun(c.plan, fit)
	// The newest attempts first: what they take the place of need not agree.
	for _, r := range fit {
		if r.Header.Run == c.verdict.Run {
			c.consider(r)
		} else {
			c.verdict.Earlier = append(c.verdict.Earlier, EarlierFile{r.Name, r.Header.Run, r.Header.Shards})
		}
	}
	for _, r := range c.chosen {
		if r != nil && !slices.Contains(c.counted, r) {
			c.counted = append(c.counted, r)
		}
	}
}

// NewestRun returns the run of those results of the plan that were started last, which
// are the ones that count; "" where there are none.
func NewestRun(plan *Plan, results []*timing.Results) string {
	run, started := "", time.Time{}
	for _, r := range results {
		if r.Header.Plan == plan.Digest && cmp.Or(r.Header.Started.Compare(started), cmp.Compare(r.Header.Run, run)) >= 0 {
			run, started = r.Header.Run, r.Header.Started
		}
	}
	return run
}

// consider chooses r for the shards of which it is the newest attempt, unless
// another file says something else of that attempt of one of them.
func (c *tally) consider(r *timing.Results) {
	for _, name := range r.Header.Shards {
		at := c.chosen[c.shards[name]]
		if at != nil && r.Header.Attempt == at.Header.Attempt && !same(r, at) {
			c.refuse(r, "attempt %d of shard %s is also in %s, with other results", r.Header.Attempt, name, at.Name)
			return
		}
	}
	for _, name := range r.Header.Shards {
		if at := &c.chosen[c.shards[name]]; *at == nil {
			*at = r
		}
	}
}

// compareResults orders results by attempt, newest first, then by name and by what
// tells them apart, so that of two files with the same claim always the same one
// counts.
func compareResults(a, b *timing.Results) int {
	return cmp.Or(
		cmp.Compare(b.Header.Attempt, a.Header.Attempt),
		cmp.Compare(a.Name, b.Name),
		a.Header.Started.Compare(b.Header.Started),
		cmp.Compare(len(b.Tests), len(a.Tests)),
	)
}

// same reports whether two results are one file read twice.
func same(a, b *timing.Results) bool {
	return a.Header.Run == b.Header.Run && a.Header.Started.Equal(b.Header.Started) &&
		slices.Equal(a.Header.Shards, b.Header.Shards) &&
		a.Ended == b.Ended && a.Exit == b.Exit && a.Elapsed == b.Elapsed &&
		slices.Equal(a.Running, b.Running) && slices.Equal(a.Missing, b.Missing) && slices.Equal(a.Extra, b.Extra) &&
		slices.EqualFunc(a.Tests, b.Tests, func(x, y timing.TestResult) bool {
			return x.ID == y.ID && x.Outcome == y.Outcome && x.Worker == y.Worker && x.Start == y.Start && x.Wall == y.Wall
		})
}

// place returns the name of the shard for which r ran test t, which has this ID, or
// false where a later attempt took its place. A test that is not planned, where t is
// -1, belongs to a shard that has some of its file.
func (c *tally) place(r *timing.Results, id timing.NodeID, t int32) (string, bool) {
	var homes []int32
	if t >= 0 {
		homes = []int32{c.tests[t].shard}
	} else if f, ok := c.files[id.File()]; ok {
		homes = c.homes[f]
	}
	taken := false
	for _, s := range homes {
		if name := c.plan.Shards[s].Name; slices.Contains(r.Header.Shards, name) {
			if c.chosen[s] == r {
				return name, true
			}
			taken = true
		}
	}
	if taken {
		return "", false
	}
	for _, name := range r.Header.Shards {
		if c.chosen[c.shards[name]] == r {
			return name, true
		}
	}
	return "", false
}

// count counts how often each planned test finished.
func (c *tally) count() {
	for k, r := range c.counted {
		c.which = append(c.which, make([]int32, len(r.Tests)))
		for i := range r.Tests {
			x := &r.Tests[i]
			t := c.find(x.ID)
			c.which[k][i] = t
			name, ok := c.place(r, x.ID, t)
			if !ok {
				c.excused[r] = c.excused[r] || x.Outcome.Bad()
				continue
			}
			if t < 0 {
				c.strange = append(c.strange, Unplanned{ID: x.ID, Shard: name, Ran: true})
				continue
			}
			test := &c.tests[t]
			test.got++
			c.record(x, t)
			c.failing[r] = c.failing[r] || x.Outcome.Bad()
			if test.got > test.want {
				c.again[t] = nil
			}
		}
	}
	if len(c.again) == 0 {
		return
	}
	for k, r := range c.counted {
		for i, t := range c.which[k] {
			if _, twice := c.again[t]; twice {
				if name, ok := c.place(r, r.Tests[i].ID, t); ok && !slices.Contains(c.again[t], name) {
					c.again[t] = append(c.again[t], name)
				}
			}
		}
	}
}

// record takes one result of planned test t into account.
func (c *tally) record(x *timing.TestResult, t int32) {
	c.verdict.Outcomes[x.Outcome]++
	c.verdict.Shards[c.tests[t].shard].Outcomes[x.Outcome]++
	if x.Outcome.Bad() {
		c.failed = append(c.failed, failed{t, x})
	}
}

func (c *tally) openShards() {
	for i := range c.plan.Shards {
		s := &c.plan.Shards[i]
		c.verdict.Shards = append(c.verdict.Shards, ShardVerdict{
			Name: s.Name, Kind: s.Kind, Planned: s.Len(), Predicted: s.Wall, Outcomes: map[timing.Outcome]int{},
		})
	}
}

func (c *tally) listFailures() {
	slices.SortStableFunc(c.failed, func(a, b failed) int { return cmp.Compare(a.test, b.test) })
	for _, f := range c.failed {
		x, t := f.result, &c.tests[f.test]
		c.verdict.Failures = append(c.verdict.Failures, Failure{
			ID: x.ID, Shard: c.plan.Shards[t.shard].Name, Outcome: x.Outcome, Message: x.Message, Path: x.Path, Line: x.Line,
		})
	}
}

// listKilled lists the tries that do not count, in files that do.
func (c *tally) listKilled() {
	type place struct {
		test   int32
		killed Killed
	}
	var all []place
	for k, r := range c.counted {
		if len(r.Killed) == 0 {
			continue
		}
		outcomes := map[int32]timing.Outcome{}
		for i, t := range c.which[k] {
			outcomes[t] = r.Tests[i].Outcome
		}
		for _, x := range r.Killed {
			t := c.find(x.ID)
			if name, ok := c.place(r, x.ID, t); ok && t >= 0 {
				all = append(all, place{t, Killed{ID: x.ID, Shard: name, Held: x.Held, Culprit: x.Culprit, Outcome: outcomes[t]}})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b place) int { return cmp.Compare(a.test, b.test) })
	for _, p := range all {
		c.verdict.Killed = append(c.verdict.Killed, p.killed)
	}
}

// fileOf reports whether a test's file, or a folder of it, is among some.
func fileOf(some map[string]bool, id timing.NodeID) bool {
	for at := id.File(); at != "." && at != "/"; at = path.Dir(at) {
		if some[at] {
			return true
		}
	}
	return false
}

// listMissing lists the tests that did not finish, and counts those that did.
func (c *tally) listMissing() {
	notFound, running := map[timing.NodeID]bool{}, map[timing.NodeID]bool{}
	broken := map[string]bool{}
	for _, r := range c.counted {
		for _, file := range r.Broken {
			broken[string(file)] = true
		}
		for _, id := range r.Missing {
			notFound[id] = true
		}
		for _, s := range r.Running {
			running[s.ID] = true
		}
		for _, k := range r.Killed { // and not run again
			running[k.ID] = true
		}
	}
	for i := range c.tests {
		t := &c.tests[i]
		ran := int(min(t.got, t.want))
		c.verdict.Ran += ran
		if t.got <= t.want {
			c.verdict.Once += ran
		}
		c.verdict.Shards[t.shard].Ran += ran
		if ran == int(t.want) {
			continue
		}
		id, reason := t.id(), NotRun
		switch r := c.chosen[t.shard]; {
		case r == nil:
			reason = NotReported
		case notFound[id] && fileOf(broken, id):
			reason = NotImported
		case notFound[id]:
			reason = NotFound
		case running[id]:
			reason = WasRunning
		case !r.Whole():
			reason = NotReached
		}
		for range int(t.want) - ran {
			c.verdict.Missing = append(c.verdict.Missing, Missing{ID: id, Shard: c.plan.Shards[t.shard].Name, Reason: reason})
		}
	}
}

func (c *tally) listDoubled() {
	for _, i := range slices.Sorted(maps.Keys(c.again)) {
		c.verdict.Doubled = append(c.verdict.Doubled, Doubled{ID: c.tests[i].id(), Times: int(c.tests[i].got), Shards: c.again[i]})
	}
}

// listUnplanned lists each test once: every shard that has some of a file
// collects what nobody planned of it.
func (c *tally) listUnplanned() {
	for _, r := range c.counted {
		for _, id := range r.Extra {
			if name, ok := c.place(r, id, -1); ok && c.find(id) < 0 {
				c.strange = append(c.strange, Unplanned{ID: id, Shard: name})
			}
		}
	}
	slices.SortStableFunc(c.strange, func(a, b Unplanned) int {
		return cmp.Or(cmp.Compare(a.ID, b.ID), -compareBool(a.Ran, b.Ran), cmp.Compare(c.shards[a.Shard], c.shards[b.Shard]))
	})
	c.verdict.Unplanned = slices.CompactFunc(c.strange, func(a, b Unplanned) bool { return a.ID == b.ID })
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// closeShards says how the session of each shard went.
func (c *tally) closeShards() {
	for i, r := range c.chosen {
		if r == nil {
			continue
		}
		s := &c.verdict.Shards[i]
		s.Reported, s.Attempt, s.File = true, r.Header.Attempt, r.Name
		s.Ended, s.Exit, s.Real = r.Ended, r.Exit, r.Elapsed
		s.Together = len(r.Header.Shards) > 1
		bad := func(o timing.Outcome) bool { return o.Bad() && s.Outcomes[o] > 0 }
		elsewhere := s.Together && c.failing[r] && !slices.ContainsFunc(timing.Outcomes(), bad)
		if s.Exit == 1 && (c.excused[r] || elsewhere) {
			s.Exit = 0
		}
		s.Runner, s.Workers = r.Header.Runner, r.Header.Workers
		if !r.Ended {
			for _, x := range r.Running {
				if name, ok := c.place(r, x.ID, c.find(x.ID)); ok && name == s.Name {
					s.Running = append(s.Running, x.ID)
					s.Held = append(s.Held, x.Peak+x.Children)
				}
			}
		}
	}
	for k := range c.counted {
		c.addPeaks(k)
	}
}

// addPeaks adds the highest peak of each worker to the shards that a counted
// file ran. A worker that takes another one's place has a name of its own: as
// many count as there were at once, those with the highest peaks.
func (c *tally) addPeaks(k int) {
	type place struct{ shard, worker string }
	peaks := map[place]int64{}
	r := c.counted[k]
	for i := range r.Tests {
		x := &r.Tests[i]
		if x.Peak == 0 {
			continue
		}
		if name, ok := c.place(r, x.ID, c.which[k][i]); ok {
			at := place{name, x.Worker}
			peaks[at] = max(peaks[at], x.Peak)
		}
	}
	byShard := map[string][]int64{}
	for at, peak := range peaks {
		byShard[at.shard] = append(byShard[at.shard], peak)
	}
	for name, all := range byShard {
		slices.Sort(all)
		if n := r.Header.Workers; n > 0 && n < len(all) {
			all = all[len(all)-n:]
		}
		for _, peak := range all {
			c.verdict.Shards[c.shards[name]].Peak += peak
		}
	}
}
