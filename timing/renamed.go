package timing

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

// findRenamed says for files of which nothing is known, and for their folders, which one
// half of their tests or more were in that are gone from there: what that took to import
// and to set up, they take. Files whose paths have most in common from the end come
// first, then any of whose tests that are gone half or more are in the file.
func (r *relatives) findRenamed() map[string]string {
	tests := map[string][]NodeID{} // of files of which nothing is known
	for _, id := range r.ids {
		file := id.File()
		if from, to := r.fileRange(file); from == to && len(file) < len(id) {
			tests[file] = append(tests[file], id)
		}
	}
	if len(tests) == 0 {
		return nil
	}
	r.findGone()
	if len(r.gone) == 0 {
		return nil
	}
	bySuffix, byRest := r.origins()
	renamed := map[string]string{}
	for file, ids := range tests {
		if origin := r.origin(file, ids, bySuffix, byRest); origin != "" {
			renamed[file] = origin
		}
	}
	for _, file := range slices.Sorted(maps.Keys(renamed)) { // and its folders
		for i, c := range file {
			folder, rest := file[:i+1], file[i+1:]
			if old := renamed[file]; c == '/' && renamed[folder] == "" && strings.HasSuffix(old, "/"+rest) {
				renamed[folder] = strings.TrimSuffix(old, rest)
			}
		}
	}
	return renamed
}

// origins returns the files that tests are gone from, by each end of their paths, and by
// what follows the file in the IDs of these tests.
func (r *relatives) origins() (bySuffix, byRest map[string][]string) {
	bySuffix, byRest = map[string][]string{}, map[string][]string{}
	last := ""
	for i, gone := range r.isGone {
		if !gone {
			continue
		}
		id := NodeID(r.tests[i].id)
		file := id.File()
		byRest[id.Rest()] = append(byRest[id.Rest()], file)
		if file == last {
			continue
		}
		last = file
		for _, suffix := range suffixes(file) {
			bySuffix[suffix] = append(bySuffix[suffix], file)
		}
	}
	return bySuffix, byRest
}

// suffixes returns the ends of a path, the longest first.
func suffixes(file string) []string {
	list := []string{file}
	for i, c := range file {
		if c == '/' {
			list = append(list, file[i+1:])
		}
	}
	return list
}

// origin returns the file that most of a file's tests were in, half of them at least; ""
// where there is none.
func (r *relatives) origin(file string, ids []NodeID, bySuffix, byRest map[string][]string) string {
	for _, suffix := range suffixes(file) {
		if files := bySuffix[suffix]; 0 < len(files) && len(files) <= mostOrigins {
			votes := map[string]int{}
			for _, origin := range files {
				for _, id := range ids {
					if i, ok := r.find(NodeID(origin + id.Rest())); ok && r.isGone[i] {
						votes[origin]++
					}
				}
			}
			if best := elected(file, votes); 2*votes[best] >= len(ids) {
				return best
			}
		}
	}
	votes := map[string]int{}
	for _, id := range ids {
		if files := byRest[id.Rest()]; len(files) <= mostOrigins {
			for _, origin := range files {
				votes[origin]++
			}
		}
	}
	if best := elected(file, votes); 2*votes[best] >= max(len(ids), r.goneFrom(best)) {
		return best
	}
	return ""
}

// goneFrom returns how many tests are gone from a file.
func (r *relatives) goneFrom(file string) int {
	n := 0
	from, to := r.fileRange(file)
	for _, gone := range r.isGone[from:to] {
		if gone {
			n++
		}
	}
	return n
}

// elected returns the file with most votes; of several the one whose path has most in
// common with a file's from the start; "" where that is not one.
func elected(file string, votes map[string]int) string {
	best, most, start := "", 0, -1
	for origin, n := range votes {
		_, s := common(file, origin)
		switch c := cmp.Or(cmp.Compare(n, most), cmp.Compare(s, start)); {
		case c > 0:
			best, most, start = origin, n, s
		case c == 0:
			best = ""
		}
	}
	return best
}

// formerly returns what an ID of a file or folder, or of a fixture of a module or class,
// was before its file was renamed; the ID itself where that is not known.
func (e *Estimator) formerly(k kind, id string) string {
	if k != fixtureKind {
		return cmp.Or(e.renamed[id], id)
	}
	if fixture := SetupID(id); fixture.OfFile() {
		place, _, _ := fixture.Parts()
		if old := e.renamed[place.File()]; old != "" {
			return string(fixture.In(old))
		}
	}
	return id
}

// renamedFrom returns the files that a file that is gone has become, sorted.
func (e *Estimator) renamedFrom(old string) []string {
	if len(e.renamed) == 0 {
		return nil
	}
	if e.became == nil {
		e.became = map[string][]string{}
		for _, file := range slices.Sorted(maps.Keys(e.renamed)) {
			e.became[e.renamed[file]] = append(e.became[e.renamed[file]], file)
		}
	}
	return e.became[old]
}
