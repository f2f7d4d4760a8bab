package timing

import (
	"slices"
	"time"
)

// What it takes to say what a full collection of garbage takes: so many tests that one
// fell on, and of each so many others of its file.
const (
	enoughPauses    = 5
	enoughRelatives = 5
)

// garbage returns for each test by how much longer it took for a full collection of
// garbage that was due while it ran; nil where that is not known.
//
// Such a collection looks at all that the process holds, 0.3 s and more with 15,000
// tests, and when it comes hangs on all tests before: it is no cost of the one that it
// falls on, though it does in each run of the same order. The plugin counts them. Most
// of the tests with one are longer than nine of ten of their files without, else it is
// no matter; by how much, in the median, is what one takes, and no more than what the
// quickest quarter of these tests took in all. That is taken from them, as far as they
// are longer than those nine of ten.
func garbage(r *Results) []time.Duration {
	if !r.Ended {
		return nil
	}
	own := func(t *TestResult) time.Duration { return t.Setup + t.Call + t.Teardown }
	relatives := map[string][]time.Duration{} // own times of tests without, by file
	for i := range r.Tests {
		if t := &r.Tests[i]; t.Garbage > 0 {
			relatives[t.ID.File()] = nil
		}
	}
	for i := range r.Tests {
		t := &r.Tests[i]
		if list, ok := relatives[t.ID.File()]; ok && t.Garbage == 0 && t.Outcome == Passed {
			relatives[t.ID.File()] = append(list, own(t))
		}
	}
	most := map[string]time.Duration{} // that nine of ten take, by file
	for file, list := range relatives {
		if len(list) >= enoughRelatives {
			most[file] = ninth(list)
		}
	}
	longer := make([]time.Duration, len(r.Tests))
	var pauses, whole []time.Duration // of one collection: by how much a test was longer, and what it took
	for i := range r.Tests {
		t := &r.Tests[i]
		if most, ok := most[t.ID.File()]; ok && t.Garbage > 0 && t.Outcome == Passed {
			longer[i] = own(t) - most
			pauses = append(pauses, longer[i]/time.Duration(t.Garbage))
			whole = append(whole, own(t)/time.Duration(t.Garbage))
		}
	}
	if len(pauses) < enoughPauses {
		return nil
	}
	slices.Sort(pauses)
	slices.Sort(whole)
	one := min(pauses[(len(pauses)-1)/2], whole[len(whole)/4])
	if one <= 0 {
		return nil
	}
	for i := range longer {
		if longer[i] <= 0 {
			longer[i] = 0
		} else if n := time.Duration(r.Tests[i].Garbage); longer[i]/n > one {
			longer[i] = one * n
		}
	}
	return longer
}

// without returns the test as it would have been without so much of garbage.
func (t TestResult) without(garbage time.Duration) TestResult {
	for _, phase := range []*time.Duration{&t.Call, &t.Setup, &t.Teardown} {
		cut := min(*phase, garbage)
		*phase -= cut
		t.Wall -= cut
		garbage -= cut
	}
	return t
}
