package timing

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

// findRenamed says for files of which nothing is known, and for their folders, which one
// that is gone half of their tests or more were in: what that took to import and to set
// up, they take.
func (r *relatives) findRenamed() map[string]string {
	votes := map[string]map[string]int{} // files that are gone by file
	tests := map[string]int{}            // of the file
	for _, id := range r.ids {
		file := id.File()
		if from, to := r.fileRange(file); from < to || len(file) == len(id) {
			continue
		}
		if r.gone == nil {
			r.findGone()
		}
		if len(r.gone) == 0 {
			return nil
		}
		tests[file]++
		list := r.gone[looks(id)[0]]
		if len(list) == 0 || len(list) > mostOrigins {
			continue
		}
		if votes[file] == nil {
			votes[file] = map[string]int{}
		}
		origins := map[string]bool{}
		for _, i := range r.nearest(file, list) {
			origins[NodeID(r.tests[i].id).File()] = true
		}
		for origin := range origins {
			votes[file][origin]++
		}
	}
	renamed := map[string]string{}
	for file, origins := range votes {
		origin := slices.SortedFunc(maps.Keys(origins), func(a, b string) int {
			return cmp.Or(cmp.Compare(origins[b], origins[a]), cmp.Compare(a, b))
		})[0]
		if 2*origins[origin] >= tests[file] {
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
