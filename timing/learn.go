package timing

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Place is where jobs run: tests take longer where more workers share the
// cores of a machine.
type Place struct {
	Runner  string // class of the runner
	Workers int    // of a job; 0 where it does not matter
	CPUs    int    // cores of the runner; 0 where unknown
}

// jobID names the samples of whole jobs of a place: Setup is the wall time of
// the session and Other what the plan had predicted, both 0 where the
// prediction did not rest on measurements or the job did not run its tests.
// Call is how long the busiest worker was at its tests, without long waits, and
// Teardown what these took themselves: what is between is the time that workers
// wait for work, and garbage. Where one of these is known, so is the other. A sample
// without any of them says only how many workers the job had.
func jobID(p Place) string { return fmt.Sprintf("%d/%d %s", p.Workers, p.CPUs, p.Runner) }

// parseJobID is the inverse of jobID; ok is false for what is none.
func parseJobID(id string) (p Place, ok bool) {
	numbers, runner, ok := strings.Cut(id, " ")
	workers, cpus, both := strings.Cut(numbers, "/")
	w, err1 := strconv.Atoi(workers)
	c, err2 := strconv.Atoi(cpus)
	p = Place{Runner: runner, Workers: w, CPUs: c}
	return p, ok && both && err1 == nil && err2 == nil && w > 0 && jobID(p) == id
}

// job adds what a session as a whole tells. paused is by how much tests took longer for
// garbage.
func (b *builder) job(src int32, r *Results, paused []time.Duration) {
	h := &r.Header
	if h.CPUs < 1 || h.Workers < 1 {
		return
	}
	if h.Workers > 1 && len(r.Workers) > 0 && r.Workers[0].Worker == "main" {
		return // as with --pdb: they were not so many
	}
	s := sample{source: src}
	whole := r.Whole() && len(r.Killed)+len(r.Deaths)+len(r.Running)+len(r.Missing) == 0
	if whole {
		s.call, s.teardown = body(r, paused)
	}
	if whole && h.Predicted > 0 && h.Tests > 0 && len(r.Tests) >= h.Tests {
		s.setup, s.other = r.Elapsed.Microseconds(), h.Predicted.Microseconds()
	}
	b.add(jobKind, jobID(Place{h.Runner, h.Workers, h.CPUs}), s)
}

// longWait is from when on a worker that waits between two tests waits for
// something: for memory, or for a test that it has to follow. That is the plan's
// to foresee, and no overhead of a test.
const longWait = 100 * time.Millisecond

// body returns how long the busiest worker was at its tests, without long waits,
// and what they took without garbage, in microseconds.
func body(r *Results, paused []time.Duration) (took, tests int64) {
	lives, garbage := map[workerProcess][]*TestResult{}, map[workerProcess]time.Duration{}
	for i := range r.Tests {
		t := &r.Tests[i]
		by := workerProcess{t.Worker, t.PID}
		lives[by] = append(lives[by], t)
		if paused != nil {
			garbage[by] += paused[i]
		}
	}
	tails := map[workerProcess]time.Duration{}
	for _, w := range r.Workers {
		tails[workerProcess{w.Worker, w.PID}] = w.Tail
	}
	var longest, busiest time.Duration
	for by, list := range lives {
		slices.SortStableFunc(list, func(a, b *TestResult) int { return cmp.Compare(a.Start, b.Start) })
		var waits, busy time.Duration
		for i, t := range list {
			busy += t.Wall
			if i == 0 {
				continue
			}
			if gap := t.Start - list[i-1].Start - list[i-1].Wall; 0 < gap && gap < longWait {
				waits += gap
			}
		}
		longest = max(longest, busy+waits)
		busiest = max(busiest, busy-garbage[by]+tails[by]*time.Duration(len(list)-1)) // the last one's tail is after its end
	}
	return longest.Microseconds(), busiest.Microseconds()
}

// overhead adds what a job took before its session: all that is known of its
// overhead inside of it.
func (b *builder) overhead(src int32, r *Results) {
	if us := r.Header.SetUp.Microseconds(); us > 0 {
		b.add(overheadKind, r.Header.Runner, sample{source: src, setup: us})
	}
}

// A JobOverhead is what one job took beside its pytest session.
type JobOverhead struct {
	Results  *Results // what the job's session did
	Overhead time.Duration
	Queued   time.Duration // until a runner had the job; not part of Overhead
}

// FromJobs makes a history of what jobs took outside pytest, seen from outside. It
// belongs to their results, so that learning from them twice is learning once.
//
// Of a sample of overhead, Setup is the time from the start of the job to that of
// pytest, Call all that the job took outside pytest, as its CI says, and Teardown
// how long it queued.
func FromJobs(jobs ...JobOverhead) *History {
	b := newBuilder()
	for _, j := range jobs {
		h := &j.Results.Header
		if us := j.Overhead.Microseconds(); us > 0 {
			b.add(overheadKind, h.Runner, sample{source: b.source(h.Started, h.Run, h.Runner), call: us, teardown: j.Queued.Microseconds()})
		}
	}
	return b.history()
}

// Overhead is what jobs take outside pytest, as measured on the newest ones.
type Overhead struct {
	Jobs   int
	Took   time.Duration // typically: the median, of few jobs drawn towards what is usual
	Late   time.Duration // in nine of ten runs no job took more than this above Took; 0 where too few runs are known
	Runs   int           // the newest ones, which Late is of; 0 where they are too few
	Queued time.Duration // before that, for a runner: the median; 0 where most did not wait, or it is unknown
}

// FewJobs is how many jobs' overhead is too little for a median that one of them
// does not move.
const FewJobs = 3

// Overhead returns what a job on this class of runner takes outside pytest; the
// zero Overhead where no job was measured. Where nobody looked at a job from
// outside, it is what it took before pytest, and what others took after it. One job
// counts half beside what is usual, two count two thirds, as in shrink.
func (e *Estimator) Overhead(usual time.Duration) Overhead {
	i, ok := slices.BinarySearchFunc(e.h.series[overheadKind], e.place.Runner, compareID)
	if !ok {
		return Overhead{}
	}
	var known []sample // one of each job, newest first
	for _, s := range e.h.series[overheadKind][i].samples {
		if n := len(known); n == 0 || known[n-1].source != s.source {
			known = append(known, s)
			continue
		}
		whole := &known[len(known)-1]
		whole.setup, whole.call, whole.teardown = max(whole.setup, s.setup), max(whole.call, s.call), max(whole.teardown, s.teardown)
	}
	var after []int64 // pytest, where both are known
	for _, s := range known {
		if s.setup > 0 && s.call > s.setup {
			after = append(after, s.call-s.setup)
		}
	}
	rest := median(after)
	took := func(s sample) int64 { return cmp.Or(s.call, s.setup+rest) }
	jobs, whole := e.newestJobs(known)
	var all, queued []int64
	for _, s := range jobs {
		all = append(all, took(s))
		if s.call > 0 { // seen from outside: most do not wait at all
			queued = append(queued, s.teardown)
		}
	}
	n, typical := int64(len(all)), median(all)
	if n < FewJobs {
		typical = (n*typical + usual.Microseconds()) / (n + 1)
	}
	runs, late := 0, int64(0)
	if len(whole) >= leastRuns {
		var slowest []int64 // of each run
		for _, jobs := range whole {
			most := int64(0)
			for _, s := range jobs {
				most = max(most, took(s))
			}
			slowest = append(slowest, most)
		}
		runs = len(whole)
		late = max(0, ninth(slowest)-typical)
	}
	us := func(n int64) time.Duration { return time.Duration(n) * time.Microsecond }
	return Overhead{Jobs: len(all), Runs: runs, Took: us(typical), Late: us(late), Queued: us(median(queued))}
}

// KnowsJobs reports whether jobs of a run were seen from outside, of each class of runner
// that it had.
func (h *History) KnowsJobs(run string) bool {
	classes := map[string]bool{} // and whether they were
	for _, s := range h.sources {
		if s.run == run {
			classes[s.runner] = false
		}
	}
	for _, s := range h.series[overheadKind] {
		if slices.ContainsFunc(s.samples, func(a sample) bool { return a.call > 0 && h.sources[a.source].run == run }) {
			classes[s.id] = true
		}
	}
	for _, seen := range classes {
		if !seen {
			return false
		}
	}
	return len(classes) > 0
}

// Accuracy is how far earlier predictions of jobs were off: those of the newest
// jobs of a class of runner that were planned from measurements.
type Accuracy struct {
	Jobs   int
	Median int // |predicted - real| / real, per mille
	Ninth  int // of ten predictions, nine were this near or nearer; per mille
	Runs   int // the newest ones, which Over is of
	Over   int // in nine of ten runs the longest job took no more above the longest prediction than this; per mille of that
}

// Known reports whether enough predictions were made for a word on the next.
func (a Accuracy) Known() bool { return a.Jobs >= leastJobs }

// KnowsRuns reports whether enough runs were predicted for a word on the next.
func (a Accuracy) KnowsRuns() bool { return a.Runs >= leastRuns }

// Margin returns by how much the longest job may take longer than predicted, in
// per cent, if nine of ten runs are to keep a target: Over; where that is less than the
// given margin, it is drawn towards it as if that had been seen in five runs
// (Bühlmann's credibility, as in shrink).
func (a Accuracy) Margin(usual int) int {
	const weight = 5
	if !a.KnowsRuns() {
		return usual
	}
	over := min(a.Over, 10_000)
	mille := max(over, (a.Runs*over+weight*10*usual)/(a.Runs+weight))
	return max(1, (mille+9)/10)
}

// leastJobs is how many jobs have to have been predicted before the error is
// worth a word: one job's says nothing of the next.
const leastJobs = 3

// leastRuns is how many runs have to have been seen before they are worth a word.
const leastRuns = 3

// How far Accuracy and Overhead look back: for what holds of each job, and for
// what holds of whole runs.
const (
	learnedJobs = 40
	learnedRuns = 40
)

// newestJobs returns the newest of the jobs, no more than sharedKept of a run, or one of many
// jobs alone would decide; and the newest runs, all their jobs of each. The samples are one
// of each job, newest first.
func (e *Estimator) newestJobs(all []sample) (jobs []sample, runs [][]sample) {
	number := map[string]int{}
	for _, s := range all {
		run := e.h.sources[s.source].run
		n, ok := number[run]
		if !ok {
			n = len(runs)
			number[run] = n
			runs = append(runs, nil)
		}
		runs[n] = append(runs[n], s)
		if len(jobs) < learnedJobs && len(runs[n]) <= sharedKept {
			jobs = append(jobs, s)
		}
	}
	return jobs, runs[:min(len(runs), learnedRuns)]
}

// Accuracy returns the error of earlier predictions; zero where too few are
// known.
func (e *Estimator) Accuracy() Accuracy {
	var all []sample
	for _, s := range e.h.series[jobKind] {
		p, ok := parseJobID(s.id)
		for i := range s.samples {
			if ok && e.ownClass(p) && s.samples[i].setup > 0 && s.samples[i].other > 0 {
				all = append(all, s.samples[i])
			}
		}
	}
	if len(all) < leastJobs {
		return Accuracy{}
	}
	slices.SortFunc(all, func(a, b sample) int { return a.compare(&b) })
	jobs, runs := e.newestJobs(all)
	var off, over []int
	for _, s := range jobs {
		off = append(off, perMille(max(s.other-s.setup, s.setup-s.other), s.setup))
	}
	for _, jobs := range runs {
		real, predicted := int64(0), int64(0) // of the longest
		for _, s := range jobs {
			real, predicted = max(real, s.setup), max(predicted, s.other)
		}
		over = append(over, perMille(max(0, real-predicted), predicted))
	}
	return Accuracy{Jobs: len(off), Median: median(off), Ninth: ninth(off), Runs: len(runs), Over: ninth(over)}
}

// perMille is at most 1,000,000, so that nothing overflows what comes after.
func perMille(part, whole int64) int {
	return int(math.Round(min(1e6, 1000*float64(part)/float64(whole))))
}

// ninth returns the value that nine of ten do not exceed, by nearest rank. It
// sorts the values.
func ninth[T ~int | ~int64](values []T) T {
	slices.Sort(values)
	return values[(9*len(values)+9)/10-1]
}

// shrink draws a ratio from n observations towards 1, which is what holds where
// nothing is known: 1 + n/(n+1)·(ratio − 1). This is Bühlmann's credibility
// estimate, Z = n/(n+k), with k = 1: one run counts half, three count three
// quarters (H. Bühlmann, Experience rating and credibility, ASTIN Bulletin 4,
// 1967). Where ratio is a median, one wild run of three moves nothing.
func shrink(ratio float64, n int) float64 {
	return 1 + float64(n)/float64(n+1)*(ratio-1)
}

// Bounds on what is learned: beyond them something else is wrong, such as a
// clock.
const (
	mostPace       = 1.5
	mostContention = 8.0
)

// enoughOwn is from how many samples on a test's times with just so many workers
// are all that is looked at: they hold for that test what a factor says of all.
const enoughOwn = 3

// learn works out by which factor each sample is multiplied.
//
// A sample that was taken with another number of workers on the runner's cores
// is first made one of this number: by the median over the tests that have both,
// each with the weight of its time, of how many times longer it took here than
// there. Then comes the pace, of tests and of what they set up: what a worker waits
// between its tests, and for garbage, as the median over jobs of wall time by the
// tests' own. Both are shrunk by the number of runs they rest on.
//
// Nothing is learned without a number of workers, or from results that do not
// tell theirs.
func (e *Estimator) learn() {
	if e.place.Workers == 0 {
		return
	}
	e.workers = make([]int, len(e.h.sources))
	exact := make([]bool, len(e.h.sources)) // and the cores are as many
	same := false
	var paces []float64
	for _, s := range e.h.series[jobKind] {
		p, ok := parseJobID(s.id)
		if !ok {
			continue
		}
		for i := range s.samples {
			e.workers[s.samples[i].source] = p.Workers
			if p.Workers == e.place.Workers && p.CPUs == e.place.CPUs && e.ownClass(p) {
				exact[s.samples[i].source] = true
				same = true
			}
		}
	}
	runs := map[string]bool{}
	for _, s := range e.h.series[jobKind] {
		p, ok := parseJobID(s.id)
		if !ok || p.Workers != e.place.Workers || !e.ownClass(p) || same && p.CPUs != e.place.CPUs {
			continue
		}
		for _, sample := range s.samples {
			if sample.call > 0 && sample.teardown > 0 {
				paces = append(paces, float64(sample.call)/float64(sample.teardown))
				runs[e.h.sources[sample.source].run] = true
			}
		}
	}
	e.here, e.runsHere = make([]bool, len(e.workers)), map[string]bool{}
	for i, w := range e.workers {
		if e.here[i] = exact[i] || !same && w == e.place.Workers; e.here[i] {
			e.runsHere[e.h.sources[i].run] = true
		}
	}
	pace := 1.0
	if len(paces) > 0 {
		pace = shrink(min(max(median(paces), 1), mostPace), len(runs))
	}
	factors := map[int]float64{}
	e.scale, e.slowdown = make([]float64, len(e.workers)), make([]float64, len(e.workers))
	for i, w := range e.workers {
		e.scale[i], e.slowdown[i] = pace, 1
		if w == 0 || e.here[i] {
			continue
		}
		e.mixed = true
		f, ok := factors[w]
		if !ok {
			f = e.contention(w)
			factors[w] = f
		}
		e.scale[i], e.slowdown[i] = pace*f, f
	}
}

// contention returns by how much longer tests take here than with the given
// number of workers, as far as the tests tell that ran with both. It is shrunk by the
// number of runs that these have of the two.
func (e *Estimator) contention(there int) float64 {
	type ratio struct{ ratio, weight float64 }
	var all []ratio
	whole := 0.0
	runsHere, runsThere := map[string]bool{}, map[string]bool{}
	var ran []int32
	for _, s := range e.h.series[testKind] {
		var a, b []int64
		ran = ran[:0]
		samples := e.preferred(s.samples)
		for i := range samples {
			switch w := samples[i].wall(); {
			case w == 0 || !slices.Contains(good[:], outcomes[samples[i].outcome]):
			case e.here[samples[i].source]:
				a, ran = append(a, w), append(ran, samples[i].source)
			case e.workers[samples[i].source] == there:
				b, ran = append(b, w), append(ran, samples[i].source)
			}
		}
		if len(a) > 0 && len(b) > 0 {
			for _, source := range ran {
				if run := e.h.sources[source].run; e.here[source] {
					runsHere[run] = true
				} else {
					runsThere[run] = true
				}
			}
			before := float64(median(b))
			all = append(all, ratio{float64(median(a)) / before, before})
			whole += before
		}
	}
	if len(all) == 0 {
		return 1
	}
	slices.SortFunc(all, func(a, b ratio) int {
		return cmp.Or(cmp.Compare(a.ratio, b.ratio), cmp.Compare(a.weight, b.weight))
	})
	sum, middle := 0.0, all[len(all)-1].ratio
	for _, r := range all {
		if sum += r.weight; sum >= whole/2 {
			middle = r.ratio
			break
		}
	}
	middle = min(max(middle, 1/mostContention), mostContention)
	return shrink(middle, min(len(runsHere), len(runsThere)))
}

// Corrects reports whether some times are of other numbers of workers, and so
// corrected.
func (e *Estimator) Corrects() bool { return e.mixed }

// apart returns the samples of a test whose jobs have another number of workers than
// most: that of its newest three samples, all of runs in which other jobs had as many as
// asked for; else nil. Such is a job of one long test. It will have that again, and the
// test takes what it takes there.
func (e *Estimator) apart(samples []sample) []sample {
	if !e.mixed {
		return nil
	}
	samples = e.preferred(samples)
	if len(samples) < enoughOwn {
		return nil
	}
	workers := e.workers[samples[0].source]
	if workers == 0 || workers == e.place.Workers {
		return nil
	}
	var alike []sample
	for i, s := range samples {
		if e.workers[s.source] == workers {
			alike = append(alike, s)
		}
		if i < enoughOwn && (len(alike) <= i || !e.runsHere[e.h.sources[s.source].run]) {
			return nil
		}
	}
	return alike
}

// ownClass reports whether a place is of the estimator's class of runner; where
// the history has none of that class, all are.
func (e *Estimator) ownClass(p Place) bool {
	return p.Runner == e.place.Runner || e.alike
}

// timed returns the samples that count for times: those of the class of runner,
// and where enough of them were taken with so many workers, those alone.
func (e *Estimator) timed(samples []sample) []sample {
	samples = e.preferred(samples)
	if !e.mixed {
		return samples
	}
	var here []sample
	for _, s := range samples {
		if e.here[s.source] {
			here = append(here, s)
		}
	}
	if len(here) < enoughOwn {
		return samples
	}
	return here
}

// scaled returns the time of a sample as it would be here, in microseconds, where
// factors are known by source.
func scaled(factors []float64, source int32, us int64) int64 {
	if factors == nil {
		return us
	}
	return max(1, int64(math.Round(min(float64(us)*factors[source], maxNumber))))
}
