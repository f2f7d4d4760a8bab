package timing

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"
)

// What is assumed where nothing is known.
const (
	guessWall = 100 * time.Millisecond // a test; without a history all tests are alike, so the split is by count

	// pytest's own time around a test's phases, which imported timings do not
	// hold. Measured on networkx with pytest 9.2: 2 ms.
	guessOther = 2 * time.Millisecond
)

// Estimator estimates costs from a history for one class of runner. Its
// methods keep what they worked out, so they must not be called at the same
// time.
type Estimator struct {
	h        *History
	runner   []bool                   // by source: of the runner class that is asked for
	alike    bool                     // all sources are of one class
	foreign  []bool                   // by source: imported, so Other is unknown
	clocked  []bool                   // by source: a test took time
	other    int64                    // microseconds, stands in for the Other of imported samples; -1: not worked out
	tail     int64                    // microseconds that each test goes on after its teardown report
	end      int64                    // microseconds that each test adds to the end of a session in one process
	collect  int64                    // the same of collection
	byTest   int64                    // both, where each test's own time has them: jobs of the estimator's place are of one process
	floor    int64                    // bytes; -1: not worked out
	walls    []int64                  // by test of the history, microseconds; -1: not worked out, -2: unknown
	places   map[string]time.Duration // of shared fixtures: what all of them take together; nil: not worked out
	medians  [kinds]map[string]int64  // of files and fixtures by what relatives share; nil: not worked out
	scratch  []int64
	of       []int32             // by value in scratch: its source
	alikes   int64               // values that the last in scratch is the mean of
	ourRuns  map[string]bool     // those with jobs on the class of runner; nil: not worked out
	newest   map[string]int32    // source in which a file's tests ran last; nil: not worked out
	fileRuns map[string][]string // by file, the newest runs of its tests, as far as somebody asked
	renamed  map[string]string   // file or folder that is gone, by the one that it has become, as far as Tests was asked
	became   map[string][]string // the inverse: files by the one that is gone; nil: not worked out

	place    Place
	workers  []int           // by source: of the job, 0 where unknown; nil: nothing is learned
	here     []bool          // by source: as many workers as asked for
	mixed    bool            // some sources had other numbers of workers
	runsHere map[string]bool // of which some jobs had as many workers as asked for
	slowdown []float64       // by source: what the difference in workers multiplies times with
	scale    []float64       // by source: and what they wait between tests
}

const (
	notYet  = -1
	unknown = -2
)

// Estimator returns an estimator for tests on runners of the given class.
// Samples of other classes count only where there are none of this one.
func (h *History) Estimator(runner string) *Estimator {
	return h.EstimatorAt(Place{Runner: runner})
}

// EstimatorAt is Estimator for jobs with a known number of workers: times that
// were measured with another number are corrected by what the history tells of
// the difference.
func (h *History) EstimatorAt(place Place) *Estimator {
	e := &Estimator{h: h, place: place, other: notYet, floor: notYet}
	for _, s := range h.sources {
		e.runner = append(e.runner, s.runner == place.Runner)
		e.foreign = append(e.foreign, strings.HasPrefix(s.run, importPrefix))
	}
	e.clocked = make([]bool, len(h.sources))
	for _, t := range h.series[testKind] {
		for i := range t.samples {
			if s := &t.samples[i]; !e.clocked[s.source] {
				e.clocked[s.source] = s.wall() > 0
			}
		}
	}
	e.alike = !slices.Contains(e.runner, true) || !slices.Contains(e.runner, false)
	e.learn()
	e.walls = slices.Repeat([]int64{notYet}, len(h.series[testKind]))
	for _, xdist := range []bool{place.Workers != 1, place.Workers == 1} {
		if e.tail == 0 {
			e.tail = e.shared(sessionKind, sessionID(xdist), func(s *sample) int64 { return s.teardown })
		}
	}
	e.end = e.grown(func(s *sample) int64 { return s.other }, shortEnd, endByTest)
	e.collect = e.grown(func(s *sample) int64 { return s.call }, shortCollect, collectByTest)
	if place.Workers == 1 {
		e.byTest = e.end + e.collect
	}
	return e
}

// preferred returns the samples of the estimator's runner class, or all where
// there are none.
func (e *Estimator) preferred(samples []sample) []sample {
	if e.alike {
		return samples
	}
	mine := func(s sample) bool { return e.runner[s.source] }
	n := 0
	for _, s := range samples {
		if mine(s) {
			n++
		}
	}
	if n == 0 || n == len(samples) {
		return samples
	}
	own := make([]sample, 0, n)
	for _, s := range samples {
		if mine(s) {
			own = append(own, s)
		}
	}
	return own
}

// ours reports whether a source is of a run that had jobs on the estimator's class of
// runner: its memory jobs may have had runners of their own.
func (e *Estimator) ours(source int32) bool {
	if e.alike {
		return true
	}
	if e.ourRuns == nil {
		e.ourRuns = map[string]bool{}
		for i, from := range e.h.sources {
			if e.runner[i] {
				e.ourRuns[from.run] = true
			}
		}
	}
	return e.ourRuns[e.h.sources[source].run]
}

// recent returns the samples of the estimator's runner class without those of the oldest
// run, where there are more than DefaultKeep: they need not be all that the run had (see
// History.newest).
func (e *Estimator) recent(samples []sample) []sample {
	samples = e.preferred(samples)
	runs := map[string]bool{}
	last := 0 // where the oldest run begins
	for i := range samples {
		if run := e.h.sources[samples[i].source].run; !runs[run] {
			runs[run], last = true, i
		}
	}
	if len(runs) > DefaultKeep {
		return samples[:last]
	}
	return samples
}

// shared returns what is typical of the samples of a file, fixture or session, 0
// where there are none. Zeros are left out: a session that was killed has no
// end, an instance of a fixture that outlived its worker no teardown.
func (e *Estimator) shared(k kind, id string, value func(*sample) int64) int64 {
	i, ok := slices.BinarySearchFunc(e.h.series[k], id, compareID)
	if !ok {
		return 0
	}
	return e.sharedAt(k, i, value)
}

func (e *Estimator) sharedAt(k kind, i int, value func(*sample) int64) int64 {
	samples, id := e.recent(e.h.series[k][i].samples), SetupID(e.h.series[k][i].id)
	if k == sessionKind {
		return e.typicalOf(samples, value)
	}
	_, library := id.Library()
	if apart := e.apart(samples); apart != nil && !library && !id.Folder() && !id.OfFiles() { // it is one file's
		return e.typicalOf(apart, value)
	}
	samples = e.timed(samples)
	e.forget()
	for i := range samples {
		s := &samples[i]
		if v := value(s); v > 0 {
			factors := e.scale
			if k == fileKind || library && s.rise == 0 {
				factors = e.slowdown // it was collected: no tests, and nothing between them
			}
			e.note(s, scaled(factors, s.source, v))
		}
	}
	return e.usual()
}

// typicalOf returns what is typical of a value that is not zero, as it was measured.
func (e *Estimator) typicalOf(samples []sample, value func(*sample) int64) int64 {
	e.forget()
	for i := range samples {
		if v := value(&samples[i]); v > 0 {
			e.note(&samples[i], v)
		}
	}
	return e.usual()
}

// forget, note and usual tell what is usual of values of samples, noted newest first. Those
// of one source count as their mean: tests that share an ID take together what they take.
func (e *Estimator) forget() { e.scratch, e.of = e.scratch[:0], e.of[:0] }

func (e *Estimator) note(s *sample, value int64) {
	if n := len(e.of); n > 0 && e.of[n-1] == s.source {
		e.alikes++
		e.scratch[n-1] += (value - e.scratch[n-1]) / e.alikes
		return
	}
	e.scratch, e.of, e.alikes = append(e.scratch, value), append(e.of, s.source), 1
}

// usual returns what is typical of the values; 0 where there are none. Where all those
// of the newest three runs are more than twice that, or less than half of it, they alone
// count: that is no outlier, it has changed for good.
func (e *Estimator) usual() int64 {
	newest := slices.Clone(e.scratch[:e.lately()])
	usual := typical(e.scratch)
	if len(newest) == 0 || slices.Min(newest)/2 <= usual && usual <= 2*slices.Max(newest) {
		return usual
	}
	return typical(newest)
}

// lasting is in how many runs something has to be other than before so that it will
// stay so.
const lasting = 3

// lately returns how many of the values are of the newest runs, of as many as lasting
// says or as there are.
func (e *Estimator) lately() int {
	var seen [lasting]string
	n := 0
	for i, source := range e.of {
		run := e.h.sources[source].run
		if slices.Contains(seen[:n], run) {
			continue
		}
		if n == lasting {
			return i
		}
		seen[n] = run
		n++
	}
	return len(e.of)
}

// wall returns the wall time of test number i of the history in microseconds,
// or unknown where it only ever crashed.
func (e *Estimator) wall(i int) int64 {
	if e.walls[i] == notYet {
		e.walls[i] = e.measure(e.h.series[testKind][i].samples)
	}
	return e.walls[i]
}

// measure judges the samples of one test. Skips do not count as fast unless
// the newest three are all skips: then the test is skipped for good. Failures
// do not count where there is a success, since a failing test ends early or
// waits for a timeout. Where the newest three all failed, it will fail once more, and
// may take as long; not less: what fails at once is mended soon. A crash never counts.
func (e *Estimator) measure(samples []sample) int64 {
	own, factors := e.timed(samples), e.scale
	if apart := e.apart(samples); apart != nil {
		own, factors = apart, nil
	}
	newest := own[:min(3, len(own))]
	if !slices.ContainsFunc(newest, func(s sample) bool { return outcomes[s.outcome] != Skipped }) {
		return e.robust(newest, factors, Skipped)
	}
	least := int64(unknown)
	if len(newest) == 3 && !slices.ContainsFunc(newest, func(s sample) bool { return !slices.Contains(bad[:], outcomes[s.outcome]) }) {
		least = e.robust(newest, factors, bad[:]...)
	}
	for _, try := range []struct {
		samples []sample
		factors []float64
		of      []Outcome
	}{
		{own, factors, good[:]}, {samples, e.scale, good[:]}, {own, factors, bad[:]}, {samples, e.scale, bad[:]},
	} {
		if w := e.robust(try.samples, try.factors, try.of...); w != unknown {
			return max(w, least)
		}
	}
	return unknown
}

var (
	good = [...]Outcome{Passed, XFailed, XPassed}
	bad  = [...]Outcome{Failed, Error}
)

// robust returns the typical wall time over the samples with one of the outcomes,
// each multiplied by the factor of its source, leaving out zeros where anything else
// is there, and always those of a run that has nothing but zeros: a clock or recorder
// that failed.
func (e *Estimator) robust(samples []sample, factors []float64, of ...Outcome) int64 {
	e.forget()
	zeros := false
	for i := range samples {
		s := &samples[i]
		if !slices.Contains(of, outcomes[s.outcome]) {
			continue
		}
		w := s.wall()
		if w == 0 {
			zeros = zeros || e.clocked[s.source]
			continue
		}
		if e.foreign[s.source] {
			w += e.usualOther()
		}
		e.note(s, scaled(factors, s.source, w))
	}
	switch {
	case len(e.scratch) > 0:
		return e.usual() + e.tail + e.byTest
	case zeros: // no test is free: pytest's protocol runs for each
		return e.usualOther() + e.tail + e.byTest
	}
	return unknown
}

// usualOther returns the median of what pytest's protocol took around the
// phases of the measured tests.
func (e *Estimator) usualOther() int64 {
	if e.other == notYet {
		var others []int64
		for _, s := range e.h.series[testKind] {
			if newest := &s.samples[0]; !e.foreign[newest.source] {
				others = append(others, newest.other)
			}
		}
		e.other = median(others)
		if e.other == 0 {
			e.other = guessOther.Microseconds()
		}
	}
	return e.other
}

// Skip returns the estimate of a test that is marked to be skipped: what pytest's
// protocol takes for it. Its results say nothing of what it takes when it runs, so they
// are not in the history.
func (e *Estimator) Skip() Estimate {
	skip := Estimate{Wall: time.Duration(e.usualOther()+e.tail+e.byTest) * time.Microsecond, Rung: Measured}
	if len(e.h.series[testKind]) == 0 {
		skip.Rung = Guess
	}
	return skip
}

// Runs reports whether a test ran in each of the newest runs of its file, of as many as
// lasting says or as are known: where a marker says that it is skipped, that may hold for
// the machine that collects alone.
func (e *Estimator) Runs(id NodeID) bool {
	tests := e.h.series[testKind]
	i, ok := slices.BinarySearchFunc(tests, string(id), compareID)
	if !ok {
		return false
	}
	ran := map[string]bool{}
	for _, s := range tests[i].samples {
		if outcomes[s.outcome] != Skipped {
			ran[e.h.sources[s.source].run] = true
		}
	}
	for _, run := range e.runsOf(id.File()) {
		if !ran[run] {
			return false
		}
	}
	return true
}

// runsOf returns the newest runs that had tests of a file, of ours if any had, of as many
// as lasting says.
func (e *Estimator) runsOf(file string) []string {
	if runs, ok := e.fileRuns[file]; ok {
		return runs
	}
	var all []sample
	for _, t := range e.h.testsOf(file) {
		all = append(all, t.samples...)
	}
	if i, ok := slices.BinarySearchFunc(e.h.series[fileKind], file, compareID); ok {
		all = append(all, e.h.series[fileKind][i].samples...) // of tests that are skipped for a marker nothing else is there
	}
	if mine := slices.DeleteFunc(slices.Clone(all), func(s sample) bool { return !e.ours(s.source) }); len(mine) > 0 {
		all = mine
	}
	newest := map[string]int32{}
	for _, s := range all {
		run := e.h.sources[s.source].run
		newest[run] = max(newest[run], s.source)
	}
	runs := slices.SortedFunc(maps.Keys(newest), func(a, b string) int { return cmp.Or(cmp.Compare(newest[b], newest[a]), cmp.Compare(a, b)) })
	runs = runs[:min(len(runs), lasting)]
	if e.fileRuns == nil {
		e.fileRuns = map[string][]string{}
	}
	e.fileRuns[file] = runs
	return runs
}

// peak returns the highest peak seen, in bytes, 0 where unknown.
func (e *Estimator) peak(i int) int64 {
	peak := int64(0)
	for _, s := range e.preferred(e.h.series[testKind][i].samples) {
		peak = max(peak, s.peak)
	}
	return peak
}

// Tests returns the estimate of each test, aligned with ids. A test without
// samples takes the cost of its nearest relatives: the mean over other
// parameters of its function, over the tests that look like it in other files and
// are gone from there, over its class, over its file, over the nearest folder with known
// tests, over all tests. It is the mean since what counts is the sum of a job's
// tests: most tests are short and a few long, so that their median is far below
// what a number of them takes. Which files were renamed it remembers, for what is asked
// of their imports and fixtures after that.
func (e *Estimator) Tests(ids []NodeID) []Estimate {
	estimates := make([]Estimate, len(ids))
	tests := e.h.series[testKind]
	r := newRelatives(e, ids)
	e.renamed, e.became = r.findRenamed(), nil
	for n, id := range ids {
		i, ok := r.find(id)
		if ok {
			if w := e.wall(i); w != unknown {
				estimates[n] = Estimate{Wall: time.Duration(w) * time.Microsecond, Peak: e.peak(i), Rung: Measured, Need: e.need(i)}
				continue
			}
		}
		estimates[n] = r.estimate(id)
		if ok { // crashed: what it took and held until then is a lower bound
			for _, s := range tests[i].samples {
				estimates[n].Wall = max(estimates[n].Wall, time.Duration(s.wall())*time.Microsecond)
			}
			estimates[n].Peak = max(estimates[n].Peak, e.peak(i))
			if need := e.need(i); need.High > 0 {
				need.High, need.Kept = max(need.High, estimates[n].Need.High), estimates[n].Need.Kept
				estimates[n].Need = need
			}
		}
	}
	return estimates
}

// File returns the time that the import of a file takes. For an unknown file
// it is what it was before its file was renamed, else the median over the known ones.
func (e *Estimator) File(file string) time.Duration {
	return e.orRelatives(fileKind, file, fileOrFolder, func(s *sample) int64 { return s.setup })
}

// Folder returns the time that the conftest.py of a folder takes, which pytest loads
// with the first file of it, by itself; 0 where that is not known. Its name ends with a
// slash.
func (e *Estimator) Folder(name string) time.Duration {
	took := func(s *sample) int64 { return s.setup }
	return time.Duration(cmp.Or(e.shared(fileKind, name, took), e.shared(fileKind, e.formerly(fileKind, name), took))) * time.Microsecond
}

// fileOrFolder tells the imports of files from those of folders.
func fileOrFolder(name string) string {
	if SetupID(name).Folder() {
		return "folder"
	}
	return "file"
}

// Library returns the time that the import of a library takes, without other
// libraries; 0 where it is not known.
func (e *Estimator) Library(name string) time.Duration {
	return time.Duration(e.shared(fixtureKind, libraryPrefix+name, func(s *sample) int64 { return s.setup })) * time.Microsecond
}

// Fixture returns the time that one instance of a fixture takes, set-up and
// teardown. An unknown instance takes the median over the fixtures of the same
// scope and name in other places or with other parameters, else 0.
func (e *Estimator) Fixture(id SetupID) time.Duration {
	return e.orRelatives(fixtureKind, string(id), fixtureName, func(s *sample) int64 { return s.setup + s.teardown })
}

// Setup returns the time that what tests share takes: File, Folder, Library or Fixture,
// as its ID says; 0 for a pool of processes, which Pools prices.
func (e *Estimator) Setup(id SetupID) time.Duration {
	if library, ok := id.Library(); ok {
		return e.Library(library)
	}
	switch {
	case id.Scope() != "":
		return e.Fixture(id)
	case id.Pool():
		return 0
	case id.Folder():
		return e.Folder(string(id))
	}
	return e.File(string(id))
}

// FixturesOf returns the most that shared fixtures can take for tests of a
// file: those of its modules and classes, and all of packages and the session.
func (e *Estimator) FixturesOf(file string) time.Duration {
	if e.places == nil {
		e.places = map[string]time.Duration{}
		for i, s := range e.h.series[fixtureKind] {
			id := SetupID(s.id)
			if id.Scope() == "" {
				continue
			}
			file := ""
			if id.OfFile() {
				place, _, _ := id.Parts()
				file = place.File()
			}
			took := e.sharedAt(fixtureKind, i, func(s *sample) int64 { return s.setup + s.teardown })
			e.places[file] = min(e.places[file]+time.Duration(took)*time.Microsecond, mostTime)
		}
	}
	return e.places[""] + e.places[file]
}

// orRelatives returns what is typical of the samples of id, or of what it was before
// its file was renamed; or else the median over all that have the same name.
func (e *Estimator) orRelatives(k kind, id string, name func(string) string, value func(*sample) int64) time.Duration {
	for _, name := range [...]string{id, e.formerly(k, id)} {
		if i, ok := slices.BinarySearchFunc(e.h.series[k], name, compareID); ok {
			return time.Duration(e.sharedAt(k, i, value)) * time.Microsecond
		}
	}
	if e.medians[k] == nil {
		all := map[string][]int64{}
		for i, s := range e.h.series[k] {
			all[name(s.id)] = append(all[name(s.id)], e.sharedAt(k, i, value))
		}
		e.medians[k] = map[string]int64{}
		for name, values := range all {
			e.medians[k][name] = median(values)
		}
	}
	return time.Duration(e.medians[k][name(id)]) * time.Microsecond
}

// fixtureName returns the scope and name of a fixture instance's ID.
func fixtureName(id string) string {
	_, name, _ := SetupID(id).Parts()
	return string(SetupID(id).Scope()) + " " + name
}
