package timing

import "slices"

// Uses returns the fixtures of packages and the session that tests have asked for
// while they ran (getfixturevalue), in the newest run of their file, as far as that
// came: sorted IDs by file.
func (e *Estimator) Uses() map[string][]SetupID {
	uses := map[string][]SetupID{}
	for _, s := range e.h.series[fixtureKind] {
		user, id, is := useIn(s.id)
		if file := string(user); is && id.Scope() != "" && e.ofNewestRun(file, s) {
			for _, file := range append(e.renamedFrom(file), file) {
				uses[file] = append(uses[file], id)
			}
		}
	}
	return uses
}

// ofNewestRun reports whether the run that ran tests of a file last, one of ours if any
// did, has a sample of a series. A job that was stopped may have imported the file,
// and run none of them.
func (e *Estimator) ofNewestRun(file string, s series) bool {
	if e.newest == nil {
		e.newest = map[string]int32{}
		for _, t := range e.h.series[testKind] {
			f := NodeID(t.id).File()
			if source, ok := e.lastRan(t); ok {
				if of, ok := e.newest[f]; !ok || e.nearer(source, of) {
					e.newest[f] = source
				}
			}
		}
	}
	newest, ok := e.newest[file]
	return ok && e.sameRun(s, newest)
}

// lastRan returns the source in which a test ran last, in one of our runs if it did.
func (e *Estimator) lastRan(test series) (source int32, ok bool) {
	for _, s := range test.samples { // newest first; those of a test that died, or of another tool, tell of no fixtures
		if outcomes[s.outcome] != Crashed && !e.foreign[s.source] && (!ok || e.nearer(s.source, source)) {
			source, ok = s.source, true
		}
	}
	return source, ok
}

// nearer reports whether a source tells more of our runs than another: it is of one, or as
// much of one and newer.
func (e *Estimator) nearer(a, b int32) bool {
	if e.ours(a) != e.ours(b) {
		return e.ours(a)
	}
	return a > b
}

// sameRun reports whether a series has a sample of the run of a source.
func (e *Estimator) sameRun(s series, source int32) bool {
	run := e.h.sources[source].run
	return slices.ContainsFunc(s.samples, func(a sample) bool { return e.h.sources[a.source].run == run })
}

// Uncollected returns the fixtures of modules and classes that the newest run of
// their file set up, and that no test names when it is collected: those that
// tests ask for while they run (getfixturevalue). Where that run had tests of the file
// that are not collected now, as with -k, they may have been those. They are sorted;
// named says of an ID that a test names it.
func (e *Estimator) Uncollected(tests []NodeID, named func(id SetupID) bool) []SetupID {
	var ids []SetupID
	all := map[NodeID]bool{}
	whole := map[string]bool{} // files whose tests are all collected
	for _, s := range e.h.series[fixtureKind] {
		id := SetupID(s.id)
		if !id.OfFile() || named(id) {
			continue
		}
		place, _, _ := id.Parts()
		if !e.ofNewestRun(place.File(), s) {
			continue
		}
		if len(all) == 0 {
			for _, test := range tests {
				all[test] = true
			}
		}
		file := place.File()
		if _, seen := whole[file]; !seen {
			whole[file] = e.allCollected(file, all)
		}
		if !whole[file] {
			continue
		}
		ids = append(ids, id)
		for _, file := range e.renamedFrom(place.File()) {
			if renamed := id.In(file); !named(renamed) {
				ids = append(ids, renamed)
			}
		}
	}
	slices.Sort(ids)
	return ids
}

// allCollected reports whether all tests of a file that its newest run ran are
// collected, under the names that the file has now.
func (e *Estimator) allCollected(file string, collected map[NodeID]bool) bool {
	names := append(e.renamedFrom(file), file)
	for _, t := range e.h.testsOf(file) {
		here := func(name string) bool { return collected[NodeID(name+NodeID(t.id).Rest())] }
		if e.ofNewestRun(file, t) && !slices.ContainsFunc(names, here) {
			return false
		}
	}
	return true
}
