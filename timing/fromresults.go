package timing

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// builder gathers samples in any order and makes a History of them.
type builder struct {
	runs    []runMark
	sources map[source]int32
	series  [kinds]map[string][]sample
}

func newBuilder() *builder {
	b := &builder{sources: map[source]int32{}}
	for k := range b.series {
		b.series[k] = map[string][]sample{}
	}
	return b
}

// source notes a results file, and returns its number.
func (b *builder) source(started time.Time, run, runner string) int32 {
	s := source{started.UnixMilli(), run, runner}
	b.runs = append(b.runs, runMark{run, s.started})
	if _, ok := b.sources[s]; !ok {
		b.sources[s] = int32(len(b.sources))
	}
	return b.sources[s]
}

// add notes a sample. Sums and differences of what files may say are brought back to what a
// history may: it is read whole or not at all, and one number beyond would be the end of it.
func (b *builder) add(k kind, id string, s sample) {
	for _, v := range [...]*int64{&s.setup, &s.call, &s.teardown, &s.other, &s.floor, &s.peak, &s.rise, &s.kept} {
		*v = min(max(0, *v), maxNumber)
	}
	b.series[k][id] = append(b.series[k][id], s)
}

func (b *builder) history() *History {
	h := &History{runs: mergeRuns(b.runs, nil)}
	for s := range b.sources {
		h.sources = append(h.sources, s)
	}
	slices.SortFunc(h.sources, source.compare)
	order := make(numbering, len(h.sources))
	for i, s := range h.sources {
		order[b.sources[s]] = int32(i)
	}
	used := make([]bool, len(h.sources))
	for k, byID := range b.series {
		list := make([]series, 0, len(byID))
		for id, samples := range byID {
			for i := range samples {
				samples[i].source = order[samples[i].source]
				used[samples[i].source] = true
			}
			slices.SortFunc(samples, func(a, b sample) int { return a.compare(&b) })
			list = append(list, series{id, slices.Compact(samples)})
		}
		slices.SortFunc(list, func(a, b series) int { return strings.Compare(a.id, b.id) })
		h.series[k] = list
	}
	h.dropUnused(used)
	return h
}

// FromResults makes a history of results files. A file without its end still
// gives the tests that finished.
func FromResults(results ...*Results) *History {
	b := newBuilder()
	for _, r := range results {
		b.results(r)
	}
	return b.history()
}

func (b *builder) results(r *Results) {
	src := b.source(r.Header.Started, r.Header.Run, r.Header.Runner)
	floors := map[workerProcess]int64{}
	held := map[workerProcess]int64{} // after its last test
	for _, w := range r.Workers {
		floors[workerProcess{w.Worker, w.PID}] = w.Floor
		held[workerProcess{w.Worker, w.PID}] = w.Floor
	}
	type times struct{ setups, teardowns []int64 }
	fixtures := map[SetupID]*times{}
	late := map[SetupID]map[workerProcess]*loaded{} // by library
	ran := map[workerProcess]int64{}                // tests
	uses := map[string]bool{}
	killed := map[NodeID]bool{}
	for _, k := range r.Killed {
		killed[k.ID] = true
		b.add(testKind, string(k.ID), killedSample(src, k, floors[workerProcess{k.Worker, k.PID}]))
	}
	paused := garbage(r)
	for i, t := range r.Tests {
		if t.Outcome == Crashed && killed[t.ID] {
			continue // the killed try says more
		}
		if paused != nil {
			t = t.without(paused[i])
		}
		shared := time.Duration(0)
		by := workerProcess{t.Worker, t.PID}
		ran[by]++
		for _, f := range t.Fixtures {
			shared = min(shared+f.Setup+f.Teardown, mostTime)
			if _, library := f.ID.Library(); library {
				uses[useOf(NodeID(t.ID.File()), f.ID)] = true
				noteImport(late, f, by, ran[by])
				continue
			}
			if f.ID.Pool() {
				uses[useOf(t.ID, f.ID)] = true
			}
			if f.Setup+f.Teardown == 0 {
				if f.ID.OfFiles() {
					uses[useOf(NodeID(t.ID.File()), f.ID)] = true
				}
				continue
			}
			known := fixtures[f.ID]
			if known == nil {
				known = &times{}
				fixtures[f.ID] = known
			}
			// An instance is set up during one test and torn down during
			// another, so one of the two is 0 more often than not.
			if f.Setup > 0 {
				known.setups = append(known.setups, f.Setup.Microseconds())
			}
			if f.Teardown > 0 {
				known.teardowns = append(known.teardowns, f.Teardown.Microseconds())
			}
		}
		if t.Before == 0 {
			t.Before = held[by] // of a test that died, only samples of its peak are known
		}
		if floors[by] == 0 {
			floors[by] = t.Before // of its first test
		}
		held[by] = cmp.Or(t.After, held[by])
		if t.Outcome == Skipped && t.Marked {
			continue // a plan sees the marker, and without it this tells of nothing
		}
		b.add(testKind, string(t.ID), testSample(src, &t, shared, floors[by]))
	}
	for _, t := range r.Running {
		if t.Peak > 0 { // it was not done when it died with its job: a lower bound
			by := workerProcess{t.Worker, t.PID}
			died := TestResult{Outcome: Crashed, Before: cmp.Or(t.Before, held[by]), Peak: t.Peak, Children: t.Children}
			b.add(testKind, string(t.ID), testSample(src, &died, 0, floors[by]))
		}
	}
	for id, t := range fixtures {
		b.add(fixtureKind, string(id), sample{source: src, setup: median(t.setups), teardown: median(t.teardowns)})
	}
	for id, by := range late {
		b.add(fixtureKind, string(id), lateSample(src, by, ran))
	}
	for use := range uses {
		b.add(fixtureKind, use, sample{source: src})
	}
	b.workers(src, r)
	b.job(src, r, paused)
	b.overhead(src, r)
}

func testSample(src int32, t *TestResult, shared time.Duration, floor int64) sample {
	outcome := t.Outcome
	if outcome == PassedAlone {
		outcome = Passed
	}
	s := sample{
		source:   src,
		outcome:  int8(slices.Index(outcomes, outcome)),
		setup:    t.Setup.Microseconds(),
		call:     t.Call.Microseconds(),
		teardown: t.Teardown.Microseconds(),
		other:    max(0, t.Wall-t.Setup-t.Call-t.Teardown-shared).Microseconds(),
		floor:    floor,
	}
	if t.Peak > 0 {
		s.peak = t.Peak + t.Children
	}
	if t.Before > 0 && t.Peak > 0 {
		s.rise = max(0, t.Peak-t.Before) + t.Children
		s.kept = max(0, t.After-t.Before)
	}
	return s
}

// killedSample is what a killed try tells: no time, and of memory that it held
// so much and wanted more.
func killedSample(src int32, k KilledTest, floor int64) sample {
	s := sample{source: src, outcome: int8(slices.Index(outcomes, Crashed)), floor: floor, peak: k.Held}
	if k.Before > 0 {
		s.rise = max(0, k.Held-k.Before)
	}
	return s
}

// workers adds what the workers of one results file paid: one sample for each
// file and one for the session, the median over the workers, so that a job
// with many workers does not push out what other jobs saw.
func (b *builder) workers(src int32, r *Results) {
	if len(r.Workers) == 0 {
		return
	}
	var startup, collect, tail []int64
	floor, controller := int64(0), int64(0)
	imports := map[string][]int64{}
	xdist := r.Workers[0].Worker != "main"
	for _, w := range r.Workers {
		if xdist && w.Worker == "main" {
			continue // it ran a killed test again
		}
		own := w.Collect
		for file, cost := range w.Imports {
			imports[file] = append(imports[file], cost.Microseconds())
			own -= cost
		}
		if w.Startup > 0 || w.Collect > 0 {
			startup = append(startup, w.Startup.Microseconds())
			collect = append(collect, max(0, own).Microseconds())
		}
		if w.Tail > 0 {
			tail = append(tail, w.Tail.Microseconds())
		}
		floor = max(floor, w.Floor)
	}
	for name, costs := range imports {
		kind := fileKind
		if _, library := SetupID(name).Library(); library {
			kind = fixtureKind
		}
		b.add(kind, name, sample{source: src, setup: median(costs)})
	}
	for _, m := range r.Memory {
		if xdist && m.Worker == "main" && len(r.Killed) == 0 { // otherwise it may have run a killed test again
			controller = max(controller, m.Resident)
		}
	}
	b.add(sessionKind, sessionID(xdist), sample{
		source:   src,
		setup:    median(startup),
		call:     median(collect),
		teardown: median(tail),
		other:    outside(r).Microseconds(),
		floor:    floor,
		peak:     controller,
		rise:     int64(len(r.Tests)),
	})
}

// outside returns the wall time of the job that is outside its busiest
// worker's life up to the end of its last test: the controller's start and the
// end of the session; and how long workers that had collected waited for their
// first test. It is 0 where that is not known: where the session was stopped, where
// killed tests ran again in sessions of their own, and where a worker took the place
// of another one, as times count from a worker's own start.
func outside(r *Results) time.Duration {
	renewed := r.Header.CPUs > 0 && len(r.Workers) > r.Header.Workers // or their number is not known
	if !r.Whole() || len(r.Tests) == 0 || len(r.Killed)+len(r.Deaths)+len(r.Running) > 0 || renewed {
		return 0
	}
	last := time.Duration(0)
	for _, t := range r.Tests {
		last = max(last, t.Start+t.Wall)
	}
	return max(0, r.Elapsed-last) + firstWait(r)
}

// firstWait returns how long workers waited for their first test, the median.
func firstWait(r *Results) time.Duration {
	first := map[workerProcess]time.Duration{}
	for _, t := range r.Tests {
		by := workerProcess{t.Worker, t.PID}
		if at, ok := first[by]; !ok || t.Start < at {
			first[by] = t.Start
		}
	}
	var waits []time.Duration
	for _, w := range r.Workers {
		if at, ok := first[workerProcess{w.Worker, w.PID}]; ok && w.Startup+w.Collect > 0 {
			waits = append(waits, max(0, at-w.Startup-w.Collect))
		}
	}
	return median(waits)
}
