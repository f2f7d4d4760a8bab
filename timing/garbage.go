package timing

import (
	"slices"
	"time"
)

// fewRelatives is how many tests of a file without a full collection of garbage it
// takes to say how long they usually are.
const fewRelatives = 3

// garbage returns for each test by how much longer it took for a full collection of
// garbage that was due while it ran; nil where there was none.
//
// Such a collection looks at all that the process holds, 0.3 s and more with 15,000
// tests, and when it comes hangs on all tests before: it is no cost of the one that it
// falls on, though it does in each run of the same order. The plugin counts them. What
// one takes is the median of by how much tests with one were longer than those of their
// files without; that is taken from them, as far as they were longer at all. Where a
// whole file collects by itself, nothing is known, and it is its own.
func garbage(r *Results) []time.Duration {
	own := func(t *TestResult) time.Duration { return t.Setup + t.Call + t.Teardown }
	usual := map[string]time.Duration{}
	for i := range r.Tests {
		if t := &r.Tests[i]; t.Garbage > 0 {
			usual[t.ID.File()] = -1
		}
	}
	if len(usual) == 0 {
		return nil
	}
	others := map[string][]time.Duration{}
	for i := range r.Tests {
		t := &r.Tests[i]
		if _, ok := usual[t.ID.File()]; ok && t.Garbage == 0 {
			others[t.ID.File()] = append(others[t.ID.File()], own(t))
		}
	}
	for file, list := range others {
		if len(list) >= fewRelatives {
			usual[file] = median(list)
		}
	}
	longer := make([]time.Duration, len(r.Tests))
	var all []time.Duration
	for i := range r.Tests {
		t := &r.Tests[i]
		if file := t.ID.File(); t.Garbage > 0 && usual[file] >= 0 {
			d := (own(t) - usual[file]) / time.Duration(t.Garbage)
			all = append(all, d)
			longer[i] = max(0, own(t)-usual[file])
		}
	}
	if len(all) == 0 {
		return nil
	}
	slices.Sort(all)
	one := max(0, all[(len(all)-1)/2])
	for i := range longer {
		longer[i] = min(longer[i], one*time.Duration(r.Tests[i].Garbage))
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
