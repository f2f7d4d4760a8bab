package timing

import (
	"math"
	"strings"
)

// A LateImport is a library that tests imported while they ran.
type LateImport struct {
	Library    string
	Files      []string // whose tests did, sorted
	Everywhere bool     // a job is more likely than not to import it, whichever tests it has
}

// severalFiles is of how many files tests have imported a library before those of
// others are taken to need it.
const severalFiles = 2

// LateImports returns the libraries that tests imported while they ran, sorted, for
// jobs of so many tests.
//
// Only the first test of a process to need a library is seen to: which of the others
// do is not. So what tests of several files imported, early, many are taken to need.
// Each test is the first with the same probability, which is estimated as the number
// of jobs that imported the library over the tests that they had begun by then, those
// of jobs that did not included: the likeliest rate of events of which some are
// censored (Lawless, Statistical Models and Methods for Lifetime Data, 2003, section
// 4.1). One file says too little: its tests may need what no others do, in job after
// job. Jobs whose files import it say nothing of their tests.
func (e *Estimator) LateImports(tests int) []LateImport {
	files := map[string][]string{} // by ID of the library
	for _, s := range e.h.series[fixtureKind] {
		if rest, is := strings.CutPrefix(s.id, usePrefix); is {
			if file, id, _ := strings.Cut(rest, "::"); strings.HasPrefix(id, LibraryPrefix) {
				files[id] = append(files[id], file)
			}
		}
	}
	var list []LateImport
	for _, s := range e.h.series[fixtureKind] {
		name, is := strings.CutPrefix(s.id, LibraryPrefix)
		if !is || len(files[s.id]) == 0 {
			continue
		}
		jobs, begun := e.exposure(s.samples)
		likely := len(files[s.id]) >= severalFiles && begun > 0 && -math.Expm1(-float64(jobs)/float64(begun)*float64(tests)) > 0.5
		list = append(list, LateImport{Library: name, Files: files[s.id], Everywhere: likely})
	}
	return list
}

// exposure returns how many jobs' tests imported a library, and how many tests they
// and those that did not had begun by then: of the jobs whose sessions are known.
func (e *Estimator) exposure(samples []sample) (jobs, begun int64) {
	for _, sessions := range e.h.series[sessionKind] {
		for i := range sessions.samples {
			session := &sessions.samples[i]
			tests, imported := session.rise, int64(0)
			for j := range samples {
				if s := &samples[j]; s.source == session.source {
					tests, imported = s.rise, min(s.rise, 1)
					if s.rise == 0 {
						break // its files did
					}
				}
			}
			jobs, begun = jobs+imported, begun+tests
		}
	}
	return jobs, begun
}
