package timing

import (
	"cmp"
	"path"
	"slices"
	"strings"
	"time"
)

// relatives finds tests in the history, and what stands in for those without
// samples. The tests of a file, class or function are neighbours in the sorted
// history but for a function's own unparametrized test, so looking at the
// file's range needs no index of a million IDs, and is faster than building
// one.
type relatives struct {
	e      *Estimator
	tests  []series
	groups map[groupKey]*Estimate // nil: nothing known
	files  map[string]span
	last   span             // of the file looked up last
	gone   map[string][]int // tests that were not collected, by what they look like; nil: not built
	isGone []bool           // by test
	ids    []NodeID
}

func newRelatives(e *Estimator, ids []NodeID) *relatives {
	return &relatives{e: e, tests: e.h.series[testKind], groups: map[groupKey]*Estimate{}, files: map[string]span{}, ids: ids}
}

// find returns the index of a test in the history.
func (r *relatives) find(id NodeID) (int, bool) {
	file := id.File()
	if len(file) == len(id) { // not a test of a file
		return slices.BinarySearchFunc(r.tests, string(id), compareID)
	}
	from, to := r.fileRange(file)
	i, ok := slices.BinarySearchFunc(r.tests[from:to], string(id), compareID)
	return from + i, ok
}

func (r *relatives) estimate(id NodeID) Estimate {
	was := id // in the file that its own was before
	if origin := r.e.renamed[id.File()]; origin != "" {
		was = NodeID(origin + id.Rest())
	}
	for _, rung := range [...]struct {
		rung Rung
		of   func(NodeID) *Estimate
		id   NodeID
	}{
		{Sibling, r.siblings, id}, {Moved, r.moved, id}, {Sibling, r.siblings, was}, {Class, r.class, was}, {File, r.file, was}, {Suite, r.suite, id},
	} {
		if found := rung.of(rung.id); found != nil {
			return Estimate{Wall: found.Wall, Peak: found.Peak, Rung: rung.rung, Need: found.Need}
		}
	}
	return Estimate{Wall: guessWall, Rung: Guess}
}

// span is the tests of one file, a range of the history.
type span struct {
	file     string
	from, to int
}

// fileRange returns the tests of a file as a range of the history. Tests come
// by file, so most ask for the same as the one before.
func (r *relatives) fileRange(file string) (from, to int) {
	if r.last.file == file && r.last.to > 0 {
		return r.last.from, r.last.to
	}
	s, ok := r.files[file]
	if !ok {
		s.file = file
		s.from, s.to = r.prefixRange(0, len(r.tests), file+"::")
		r.files[file] = s
	}
	r.last = s
	return s.from, s.to
}

func (r *relatives) prefixRange(from, to int, prefix string) (int, int) {
	start, end := withPrefix(r.tests[from:to], prefix)
	return from + start, from + end
}

// groupKey names tests that stand in together for an unknown one.
type groupKey struct {
	rung Rung
	name string
}

// group returns the mean wall, the highest peak and what stands in for the
// need of the tests, which are asked for only once.
func (r *relatives) group(rung Rung, name string, members func() []int) *Estimate {
	key := groupKey{rung, name}
	if found, ok := r.groups[key]; ok {
		return found
	}
	var walls []int64
	var peak int64
	var needs []Need
	for _, i := range members() {
		if w := r.e.wall(i); w != unknown {
			walls = append(walls, w)
			if rung == Suite {
				continue // the memory of a whole suite says nothing of one test
			}
			peak = max(peak, r.e.peak(i))
			needs = append(needs, r.e.need(i))
		}
	}
	var found *Estimate
	if len(walls) > 0 {
		found = &Estimate{Wall: time.Duration(mean(walls)) * time.Microsecond, Peak: peak, Need: standIn(rung, needs)}
	}
	r.groups[key] = found
	return found
}

func indexes(from, to int) []int {
	list := make([]int, 0, to-from)
	for i := from; i < to; i++ {
		list = append(list, i)
	}
	return list
}

func (r *relatives) siblings(id NodeID) *Estimate {
	function := id.Function()
	from, to := r.fileRange(id.File())
	if from == to {
		return nil
	}
	return r.group(Sibling, function, func() []int {
		list := indexes(r.prefixRange(from, to, function+"["))
		if i, ok := slices.BinarySearchFunc(r.tests[from:to], function, compareID); ok {
			list = append(list, from+i)
		}
		return list
	})
}

func (r *relatives) class(id NodeID) *Estimate {
	class := id.Class()
	from, to := r.fileRange(id.File())
	if from == to || class == id.File() {
		return nil
	}
	return r.group(Class, class, func() []int { return indexes(r.prefixRange(from, to, class+"::")) })
}

func (r *relatives) file(id NodeID) *Estimate {
	from, to := r.fileRange(id.File())
	if from == to {
		return nil
	}
	return r.group(File, id.File(), func() []int { return indexes(from, to) })
}

// suite takes the tests of the nearest folder that has some in the history: what
// tests take differs more between the parts of a suite than within them.
func (r *relatives) suite(id NodeID) *Estimate {
	for dir := path.Dir(id.File()); dir != "." && dir != "/"; dir = path.Dir(dir) {
		found := r.group(Suite, dir+"/", func() []int { return indexes(r.prefixRange(0, len(r.tests), dir+"/")) })
		if found != nil {
			return found
		}
	}
	return r.group(Suite, "", func() []int { return indexes(0, len(r.tests)) })
}

// moved finds the test under its old name: its file was moved to another
// folder, or renamed, or the test was moved to another file.
func (r *relatives) moved(id NodeID) *Estimate {
	r.findGone()
	if len(r.gone) == 0 {
		return nil
	}
	if origin := r.e.renamed[id.File()]; origin != "" {
		for _, old := range [...]string{origin + id.Rest(), origin + string(id.Function())[len(id.File()):]} {
			if i, ok := slices.BinarySearchFunc(r.tests, old, compareID); ok && r.isGone[i] {
				return r.group(Moved, " "+old, func() []int { return []int{i} })
			}
		}
	}
	for _, like := range looks(id) {
		switch list := r.gone[like]; {
		case len(list) > mostOrigins:
			return r.group(Moved, like, func() []int { return list })
		case len(list) > 0:
			return r.group(Moved, id.File()+" "+like, func() []int { return r.nearest(id.File(), list) })
		}
	}
	return nil
}

// mostOrigins bounds the tests that nearest looks at for each one, and the files that
// findRenamed does: a suite may have the same test in thousands of folders that are all
// gone.
const mostOrigins = 50

// nearest returns those of the tests whose files' paths have most in common with a
// file's, from the end, then from the start: where a folder has a new name, its
// files are told from those of the same name in other folders that are gone.
func (r *relatives) nearest(file string, tests []int) []int {
	var best []int
	end, start := -1, -1
	for _, i := range tests {
		e, s := common(file, NodeID(r.tests[i].id).File())
		c := cmp.Or(cmp.Compare(e, end), cmp.Compare(s, start))
		if c > 0 {
			best, end, start = nil, e, s
		}
		if c >= 0 {
			best = append(best, i)
		}
	}
	return best
}

// common returns how many names two paths share at their ends and at their starts.
func common(a, b string) (end, start int) {
	from, to := strings.Split(a, "/"), strings.Split(b, "/")
	n := min(len(from), len(to))
	for end < n && from[len(from)-1-end] == to[len(to)-1-end] {
		end++
	}
	for start < n && from[start] == to[start] {
		start++
	}
	return end, start
}

// looks returns what two tests share that are one before and after a move,
// the surest first: the file's base name and everything after it, the same
// without parameters.
func looks(id NodeID) [2]string {
	base, file := path.Base(id.File()), len(id.File())
	return [2]string{base + id.Rest(), base + id.Function()[file:]}
}

// findGone finds the tests that were not collected, once.
func (r *relatives) findGone() {
	if r.gone != nil {
		return
	}
	r.gone = map[string][]int{}
	r.isGone = slices.Repeat([]bool{true}, len(r.tests))
	for _, id := range r.ids {
		if i, ok := r.find(id); ok {
			r.isGone[i] = false
		}
	}
	for i, gone := range r.isGone {
		if !gone {
			continue
		}
		like := looks(NodeID(r.tests[i].id))
		r.gone[like[0]] = append(r.gone[like[0]], i)
		if like[1] != like[0] {
			r.gone[like[1]] = append(r.gone[like[1]], i)
		}
	}
}
