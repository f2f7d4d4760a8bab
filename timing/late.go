package timing

import (
	"math"
	"slices"
)

// A LateImport is a library that tests imported while they ran.
type LateImport struct {
	Library string
	Files   []string // whose tests did, sorted
	Every   float64  // one of so many tests is the first of its worker to import it, at random; 0 where that is not known
}

// LateImports returns the libraries that tests imported while they ran, sorted.
//
// Only the first test of a worker to need a library is seen to: which of the others
// do is not. Each is taken to be the first with the same probability, which is
// estimated as the number of workers that imported the library over the tests that
// they had begun by then, those of workers that did not included: the likeliest rate
// of events of which some are censored (Lawless, Statistical Models and Methods for
// Lifetime Data, 2003, section 4.1). Jobs whose files import it say nothing of their
// tests, nor do those that are older than what is kept of the library.
func (e *Estimator) LateImports() []LateImport {
	files := map[string][]string{} // by ID of the library
	last, oldest := "", int32(0)   // file, and the oldest sample that is kept of its tests
	for _, s := range e.h.series[fixtureKind] {
		user, id, is := useIn(s.id)
		if _, library := id.Library(); !is || !library {
			continue
		}
		file := string(user)
		if file != last {
			last, oldest = file, e.oldestOf(file)
		}
		if e.preferred(s.samples)[0].source >= oldest { // else the import may have been removed
			files[string(id)] = append(files[string(id)], append(e.renamedFrom(file), file)...)
		}
	}
	var list []LateImport
	for _, s := range e.h.series[fixtureKind] {
		name, is := SetupID(s.id).Library()
		if !is || len(files[s.id]) == 0 {
			continue
		}
		slices.Sort(files[s.id])
		late := LateImport{Library: name, Files: slices.Compact(files[s.id])}
		if workers, tests := e.exposure(s.samples); workers > 0 {
			late.Every = float64(tests) / float64(workers)
		}
		list = append(list, late)
	}
	return list
}

// oldestOf returns the source of the oldest sample that is kept of a file's tests, on
// runners like these if they ran there.
func (e *Estimator) oldestOf(file string) int32 {
	oldest := int32(math.MaxInt32)
	for _, t := range e.h.testsOf(file) {
		samples := e.preferred(t.samples)
		oldest = min(oldest, samples[len(samples)-1].source)
	}
	return oldest
}

// exposure returns how many workers' tests imported a library, and how many tests
// they had begun by then, and those that did not in all.
func (e *Estimator) exposure(samples []sample) (workers, tests int64) {
	samples = e.recent(samples)
	// Of the run of the oldest sample all jobs count; of one whose samples are not all
	// kept, those that are as young as these.
	oldest := samples[len(samples)-1].source
	own := !e.alike && e.runner[oldest] // class of runner
	for run := e.h.sources[oldest].run; oldest > 0 && e.h.sources[oldest-1].run == run; {
		oldest--
	}
	count, from := map[string]int{}, map[string]int32{}
	for i := range samples {
		run := e.h.sources[samples[i].source].run
		if count[run]++; count[run] >= sharedKept {
			from[run] = samples[i].source
		}
	}
	for _, sessions := range e.h.series[sessionKind] {
		for i := range sessions.samples {
			session := &sessions.samples[i]
			if session.source < oldest {
				break
			}
			if session.source < from[e.h.sources[session.source].run] || own && !e.runner[session.source] {
				continue
			}
			begun, imported := session.rise, int64(0)
			for j := range samples {
				if s := &samples[j]; s.source == session.source {
					if begun, imported = s.rise, s.kept; begun == 0 {
						break // its files did
					}
				}
			}
			workers, tests = workers+imported, tests+begun
		}
	}
	return workers, tests
}

// loaded is what the tests of one worker took to import a library, and how many of
// them had begun when the first of them did.
type loaded struct{ took, begun int64 }

// noteImport adds what a test imported: the parts of a library may be of several tests.
func noteImport(late map[SetupID]map[workerProcess]*loaded, f FixtureResult, in workerProcess, begun int64) {
	by := late[f.ID]
	if by == nil {
		by = map[workerProcess]*loaded{}
		late[f.ID] = by
	}
	if by[in] == nil {
		by[in] = &loaded{begun: begun}
	}
	by[in].took += f.Setup.Microseconds()
}

// lateSample is what a job tells of a library that its tests imported: Setup is what
// a worker took for it, the median, Kept how many workers did, and Rise how many tests
// they had begun by then, and the other workers in all.
func lateSample(src int32, by map[workerProcess]*loaded, ran map[workerProcess]int64) sample {
	s := sample{source: src, kept: int64(len(by))}
	var took []int64
	for in, tests := range ran {
		if w := by[in]; w != nil {
			took = append(took, w.took)
			tests = w.begun
		}
		s.rise += tests
	}
	s.setup = median(took)
	return s
}
