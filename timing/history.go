package timing

import (
	"cmp"
	"slices"
	"sort"
	"strings"
	"time"
)

// History is what is known of the cost of tests and of what they share: a set
// of samples by test, file import, fixture instance and session, and when each
// run was. Merging histories is the union of these sets, so it is idempotent,
// commutative and associative, and Prune keeps it so: the same results give
// the same bytes in any order and however often they are merged.
//
// The zero History is empty and ready to use.
type History struct {
	runs    []runMark // newest first, then by ID; no ID twice
	sources []source  // ascending, no two alike
	series  [kinds][]series
}

// kind is what a series of samples is about.
type kind uint8

// The kinds, in the order in which they stand in the file.
const (
	testKind     kind = iota
	fileKind          // import of a file, by its path, or of a folder's conftest.py, by the folder's with a slash at the end; Setup is the time
	fixtureKind       // instance of a fixture of a scope above function, by its ID, or a library that files or tests import, after libraryPrefix (see lateSample); self times. Or a pool of processes (see Pool). After usePrefix what tests of a file asked for or imported, or one test used; no times
	sessionKind       // what a job pays; see sessionID
	jobKind           // whole jobs; see jobID
	overheadKind      // what jobs take outside pytest, by class of runner; see FromJobs
	kinds        = iota
)

var kindNames = [kinds]string{"test", "file", "fixture", "session", "job", "overhead"}

// sessionID names the samples of what a job pays before and after its tests:
// Setup is the start of a worker process, Call its collection without imports,
// Teardown the mean time a test goes on after its teardown report, and Other
// the rest of the job outside its busiest worker's tests. Floor is the resident
// memory of a worker after collection, Peak that of xdist's controller. Rise is how
// many tests the job ran. Workers of xdist and a session in the main process differ in
// all of these.
func sessionID(xdist bool) string {
	if xdist {
		return "xdist"
	}
	return "main"
}

// runMark is a run with the newest start of any of its results files, in
// milliseconds since 1970.
type runMark struct {
	id   string
	mark int64
}

func (a runMark) compare(b runMark) int {
	return cmp.Or(cmp.Compare(b.mark, a.mark), strings.Compare(a.id, b.id))
}

// source is one results file, or several alike: jobs of a run that start in the same
// millisecond on the same class of runner, of which a few of 256 do, count as one that had
// the samples of both. To tell them apart the format would have to name the shards.
type source struct {
	started int64 // milliseconds since 1970
	run     string
	runner  string
}

func (a source) compare(b source) int {
	return cmp.Or(cmp.Compare(a.started, b.started), strings.Compare(a.run, b.run), strings.Compare(a.runner, b.runner))
}

// series is all samples of one test, file, fixture or session.
type series struct {
	id      string
	samples []sample // newest first, by sample.compare; no two alike
}

// sample is one observation. It refers to History.sources, since a million
// tests' samples come from a few thousand results files.
type sample struct {
	setup, call, teardown, other int64 // microseconds
	floor, peak, rise, kept      int64 // bytes; rise of a session is a number of tests, for those of a library see lateSample
	source                       int32
	outcome                      int8 // index into outcomes
}

// compare puts samples of newer sources first, and is a strict order over all
// fields.
func (a *sample) compare(b *sample) int {
	if c := cmp.Compare(b.source, a.source); c != 0 {
		return c
	}
	return cmp.Or(
		cmp.Compare(a.outcome, b.outcome),
		cmp.Compare(a.setup, b.setup),
		cmp.Compare(a.call, b.call),
		cmp.Compare(a.teardown, b.teardown),
		cmp.Compare(a.other, b.other),
		cmp.Compare(a.floor, b.floor),
		cmp.Compare(a.peak, b.peak),
		cmp.Compare(a.rise, b.rise),
		cmp.Compare(a.kept, b.kept),
	)
}

func (a *sample) wall() int64 { return a.setup + a.call + a.teardown + a.other }

// Sample is one observation of one test.
type Sample struct {
	Started time.Time // of its results file, to the millisecond
	Run     string
	Runner  string
	Outcome Outcome

	// Own times, without shared fixtures. Other is what pytest's protocol took
	// around the phases.
	Setup, Call, Teardown, Other time.Duration

	// Resident memory in bytes, 0 where unknown: of the worker after
	// collection, its peak during the test, how far that rose above the level
	// before the test, and how much of that stayed afterwards. The test's child
	// processes are in Peak and Rise.
	Floor, Peak, Rise, Kept int64
}

// Samples returns the samples of a test, newest first.
func (h *History) Samples(id NodeID) []Sample {
	i, ok := slices.BinarySearchFunc(h.series[testKind], string(id), compareID)
	if !ok {
		return nil
	}
	us := func(n int64) time.Duration { return time.Duration(n) * time.Microsecond }
	var list []Sample
	for _, s := range h.series[testKind][i].samples {
		src := h.sources[s.source]
		list = append(list, Sample{
			Started: time.UnixMilli(src.started).UTC(), Run: src.run, Runner: src.runner, Outcome: outcomes[s.outcome],
			Setup: us(s.setup), Call: us(s.call), Teardown: us(s.teardown), Other: us(s.other),
			Floor: s.floor, Peak: s.peak, Rise: s.rise, Kept: s.kept,
		})
	}
	return list
}

// Knows reports whether a test has samples.
func (h *History) Knows(id NodeID) bool {
	_, ok := slices.BinarySearchFunc(h.series[testKind], string(id), compareID)
	return ok
}

// KnowsFile reports whether tests of a file have samples.
func (h *History) KnowsFile(file string) bool { return len(h.testsOf(file)) > 0 }

// testsOf returns the tests of a file.
func (h *History) testsOf(file string) []series {
	from, to := withPrefix(h.series[testKind], file+"::")
	return h.series[testKind][from:to]
}

// withPrefix returns which of a sorted list are those whose IDs begin so.
func withPrefix(list []series, prefix string) (from, to int) {
	from = sort.Search(len(list), func(i int) bool { return list[i].id >= prefix })
	n := sort.Search(len(list)-from, func(i int) bool { return !strings.HasPrefix(list[from+i].id, prefix) })
	return from, from + n
}

// outcomes are those of one try, as results and histories write them, best
// first.
var outcomes = slices.DeleteFunc(Outcomes(), func(o Outcome) bool { return o == PassedAlone })

func compareID(s series, id string) int { return strings.Compare(s.id, id) }

// Tests returns the IDs of the tests that have samples, sorted.
func (h *History) Tests() []NodeID {
	ids := make([]NodeID, len(h.series[testKind]))
	for i, s := range h.series[testKind] {
		ids[i] = NodeID(s.id)
	}
	return ids
}

// Len returns the number of tests that have samples.
func (h *History) Len() int { return len(h.series[testKind]) }

// Runs returns the IDs of the runs it knows, newest first.
func (h *History) Runs() []string {
	ids := make([]string, len(h.runs))
	for i, r := range h.runs {
		ids[i] = r.id
	}
	return ids
}

// Merge adds what another history knows. It leaves other as it is; slices of
// samples may be shared afterwards, and neither history writes to them.
func (h *History) Merge(other *History) {
	h.runs = mergeRuns(h.runs, other.runs)
	sources := slices.Concat(h.sources, other.sources)
	slices.SortFunc(sources, source.compare)
	sources = slices.Compact(sources)
	mine, theirs := renumber(h.sources, sources), renumber(other.sources, sources)
	for k := range h.series {
		h.series[k] = mergeSeries(mine.series(h.series[k]), theirs.series(other.series[k]))
	}
	h.sources = sources
}

func mergeRuns(a, b []runMark) []runMark {
	all := slices.Concat(a, b)
	slices.SortFunc(all, func(a, b runMark) int {
		return cmp.Or(strings.Compare(a.id, b.id), a.compare(b))
	})
	all = slices.CompactFunc(all, func(a, b runMark) bool { return a.id == b.id })
	slices.SortFunc(all, runMark.compare)
	return all
}

// numbering maps indexes into one sorted list of sources to those into a list
// that holds them all; nil is the identity. Since it ascends, it keeps the
// order of samples.
type numbering []int32

func renumber(from, to []source) numbering {
	if len(from) == len(to) {
		return nil
	}
	n := make(numbering, len(from))
	j := 0
	for i, s := range from {
		for to[j] != s {
			j++
		}
		n[i] = int32(j)
	}
	return n
}

// series returns the list with the samples renumbered, in one new array.
func (n numbering) series(list []series) []series {
	if n == nil {
		return list
	}
	total := 0
	for _, s := range list {
		total += len(s.samples)
	}
	all := make([]sample, 0, total)
	renumbered := make([]series, len(list))
	for i, s := range list {
		start := len(all)
		all = append(all, s.samples...)
		own := all[start:len(all):len(all)]
		for j := range own {
			own[j].source = n[own[j].source]
		}
		renumbered[i] = series{s.id, own}
	}
	return renumbered
}

func mergeSeries(a, b []series) []series {
	switch {
	case len(a) == 0:
		return b
	case len(b) == 0:
		return a
	}
	merged := make([]series, 0, max(len(a), len(b)))
	for len(a) > 0 && len(b) > 0 {
		switch c := strings.Compare(a[0].id, b[0].id); {
		case c < 0:
			merged, a = append(merged, a[0]), a[1:]
		case c > 0:
			merged, b = append(merged, b[0]), b[1:]
		default:
			merged = append(merged, series{a[0].id, mergeSamples(a[0].samples, b[0].samples)})
			a, b = a[1:], b[1:]
		}
	}
	merged = append(merged, a...)
	return append(merged, b...)
}

func mergeSamples(a, b []sample) []sample {
	if slices.Equal(a, b) {
		return a
	}
	merged := make([]sample, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		c := a[0].compare(&b[0])
		if c <= 0 {
			merged = append(merged, a[0])
			a = a[1:]
		} else {
			merged = append(merged, b[0])
		}
		if c >= 0 {
			b = b[1:]
		}
	}
	merged = append(merged, a...)
	return append(merged, b...)
}

// Limits says how much of a history is kept.
type Limits struct {
	Keep   int // newest jobs on each class of runner whose samples of a test are kept; at most 0: DefaultKeep
	MaxAge int // newest runs: samples older than all of these, and than leastAge, are dropped; at most 0: DefaultMaxAge
}

// The limits where none are given.
const (
	DefaultKeep   = 10
	DefaultMaxAge = 50
)

// leastAge is how long a sample is kept, in milliseconds before the newest run: fifty runs
// may be of one day, and some tests run once a week, or before a release.
const leastAge = 90 * 24 * int64(time.Hour/time.Millisecond)

// sharedKept is how many samples are kept of a run, of what each of its jobs has one of.
// Of those there are as many runs as there are samples of a test, or the newest run of
// many jobs alone would decide.
const sharedKept = 16

// perJob reports whether each job of a run may have a sample of a series: of sessions,
// and of what tests share, since a file may be cut over many jobs. Of uses the newest run
// tells, and pools of processes go by their tests; see usesKept.
func perJob(k kind, id string) bool {
	switch k {
	case sessionKind, fileKind:
		return true
	case fixtureKind:
		_, _, use := useIn(id)
		return !use && !SetupID(id).Pool()
	}
	return false
}

// jobsKept is how many times as many samples are kept of jobs as of a test: each
// job of a run has one, of its overhead two, and 256 jobs of 20 runs are to be there
// still.
const jobsKept = 1024

// Prune drops what is beyond the limits: samples of results files started before each of
// the MaxAge newest runs and 90 days before the newest, and of the rest all but those of
// the Keep newest jobs of each test, and of what each job has one of some of each of the
// Keep newest runs. Each class of runner has that many, since estimates go by those of their
// own; but runs age with those of any class. Tests left without samples are forgotten.
//
// All thresholds only ever rise when histories are merged, so pruning early
// loses nothing that would have been kept: prune(a ∪ b) = prune(prune(a) ∪ b).
func (h *History) Prune(l Limits) {
	keep, maxAge := cmp.Or(max(0, l.Keep), DefaultKeep), cmp.Or(max(0, l.MaxAge), DefaultMaxAge)
	oldest := int32(0) // first source that is young enough
	if len(h.runs) > maxAge {
		h.runs = slices.Clone(h.runs[:maxAge])
	}
	if len(h.runs) == maxAge {
		mark := min(h.runs[maxAge-1].mark, h.runs[0].mark-leastAge)
		oldest = int32(sort.Search(len(h.sources), func(i int) bool { return h.sources[i].started >= mark }))
	}
	used := make([]bool, len(h.sources))
	for k, list := range h.series {
		kept := make([]series, 0, len(list))
		for _, s := range list {
			n := sort.Search(len(s.samples), func(i int) bool { return s.samples[i].source < oldest })
			s.samples = s.samples[:n]
			if kind(k) == fixtureKind {
				s.samples = h.usesKept(s)
			}
			if kind(k) >= jobKind { // each series is of one class
				s.samples = s.samples[:min(n, jobsKept*min(keep, 1<<20))]
			} else {
				s.samples = h.newest(s.samples, keep, perJob(kind(k), s.id))
			}
			for i := range s.samples {
				used[s.samples[i].source] = true
			}
			if len(s.samples) > 0 {
				kept = append(kept, s)
			}
		}
		h.series[k] = kept
	}
	h.dropUnused(used)
}

// newest returns of each class of runner the samples of the newest jobs, so many or, of a
// series of which each job may have one, of so many runs, sharedKept of each run at most;
// and of the next older run one more: newer samples only ever make the age and the places
// of a run harder to reach, whichever histories have them. Of tests that share an ID a job
// has several.
func (h *History) newest(samples []sample, keep int, perJob bool) []sample {
	type quota struct {
		runner string
		jobs   int
		last   int32          // the source of the last sample
		runs   map[string]int // samples, by run
	}
	var quotas []quota
	return filter(samples, func(s *sample) bool {
		from := &h.sources[s.source]
		i := slices.IndexFunc(quotas, func(q quota) bool { return q.runner == from.runner })
		if i < 0 {
			i = len(quotas)
			quotas = append(quotas, quota{runner: from.runner, last: -1, runs: map[string]int{}})
		}
		q := &quotas[i]
		if !perJob {
			if q.last != s.source {
				q.jobs, q.last = q.jobs+1, s.source
			}
			return q.jobs <= keep
		}
		if len(q.runs) > keep {
			return false
		}
		q.runs[from.run]++
		return q.runs[from.run] <= sharedKept
	})
}

// filter returns the samples that are to be kept, and leaves the slice as it is: another
// history may share it.
func filter(samples []sample, keep func(*sample) bool) []sample {
	n := 0
	for n < len(samples) && keep(&samples[n]) {
		n++
	}
	kept := samples[:n:n]
	for i := n + 1; i < len(samples); i++ {
		if keep(&samples[i]) {
			kept = append(kept, samples[i])
		}
	}
	return kept
}

// usesKept returns those samples of a start or use of a pool of processes that are as young
// as those of their class of runner that are kept of its test: with several workers other
// tests start pools in each run. Of everything else it is all. A sample that is older than
// what one history keeps of the test has as many newer ones of the test in any history that
// this one is merged into, since each run that has one of a use has one of its test.
func (h *History) usesKept(s series) []sample {
	test, id, is := useIn(s.id)
	if !is {
		id = SetupID(s.id)
		test = id.starter()
	}
	if !id.Pool() {
		return s.samples
	}
	oldest := map[string]int32{} // by class
	if i, ok := slices.BinarySearchFunc(h.series[testKind], string(test), compareID); ok {
		for _, t := range h.series[testKind][i].samples {
			oldest[h.sources[t.source].runner] = t.source
		}
	}
	return filter(s.samples, func(s *sample) bool {
		of, ok := oldest[h.sources[s.source].runner]
		return ok && s.source >= of
	})
}

// dropUnused drops the sources that no sample refers to.
func (h *History) dropUnused(used []bool) {
	n := make(numbering, len(used))
	var sources []source
	for i, u := range used {
		if u {
			n[i] = int32(len(sources))
			sources = append(sources, h.sources[i])
		}
	}
	if len(sources) == len(h.sources) {
		return
	}
	for k := range h.series {
		h.series[k] = n.series(h.series[k])
	}
	h.sources = sources
}
