package shard

import (
	"cmp"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/wcshard/wcshard/timing"
)

// maxTotal bounds the time of a whole suite, so that no sum of it overflows.
const maxTotal = 100 * 365 * 24 * time.Hour

// A sequence is a suite's tests in running order, with what packing asks of
// each of them. A test is named by its position in that order, so that nothing
// after this point can depend on the order in which the tests arrived.
type sequence struct {
	suite *Suite
	files []string // all costs are in microseconds
	from  []int32  // tests of file f: positions from[f] to from[f+1]
	at    []int32  // position → index in suite.Tests
	file  []int32  // position → file
	cost  []int64  // position → own time, at least 1: a test without time still takes part in the balance
	setup []int64  // set-up → time
	// root is the first test of those that must stay on one worker with this
	// one: its group, and tests with the same node ID.
	root []int32
}

// newSequence orders the tests of a suite that has been checked: files by their first
// test's Order, then by name; the tests of a file by Order, then by ID.
//
// Definition order matters inside a file: pytest puts tests that share a
// parametrized module or class fixture next to each other, so any other order
// sets it up more often. Where no order is known, a natural order of IDs ([2]
// before [10]) comes nearest to it and needs nothing but the IDs.
func newSequence(suite *Suite) *sequence {
	n := len(suite.Tests)
	q := &sequence{
		suite: suite,
		at:    make([]int32, n),
		file:  make([]int32, n),
		cost:  make([]int64, n),
		setup: make([]int64, len(suite.Setups)),
		root:  make([]int32, n),
	}
	for i, s := range suite.Setups {
		q.setup[i] = micros(s.Cost)
	}
	q.sortFiles()
	q.sortTests()
	for p := range q.at {
		t := q.test(int32(p))
		q.cost[p] = max(1, micros(t.Estimate.Wall))
	}
	q.bind()
	return q
}

func micros(d time.Duration) int64 { return int64(d / time.Microsecond) }

func duration(us int64) time.Duration { return time.Duration(us) * time.Microsecond }

// check finds what no suite has.
func check(suite *Suite) error {
	if base := min(suite.Base, suite.Bases); base < 0 {
		return fmt.Errorf("a job's base is %v, want at least 0", base)
	}
	if suite.Floor < 0 || suite.Floor > maxBytes {
		return fmt.Errorf("a worker's floor is %d bytes, want 0 to %d", suite.Floor, int64(maxBytes))
	}
	total := max(suite.Base, suite.Bases)
	for i := range suite.Setups {
		s := &suite.Setups[i]
		if s.Cost < 0 || s.Cost > maxTotal {
			return fmt.Errorf("set-up %q takes %v, want 0 to %v", s.ID, s.Cost, maxTotal)
		}
		if total += s.Cost; total > maxTotal {
			return fmt.Errorf("the suite takes more than %v", maxTotal)
		}
	}
	for _, late := range suite.Late {
		if late.Setup < 0 || late.Setup >= len(suite.Setups) || !(late.Every > 0) {
			return fmt.Errorf("set-up %d of %d is late for one of %v tests, want more than 0", late.Setup, len(suite.Setups), late.Every)
		}
	}
	for i := range suite.Tests {
		t := &suite.Tests[i]
		if t.ID == "" || !utf8.ValidString(string(t.ID)) {
			return fmt.Errorf("node ID %q is empty or not UTF-8", t.ID)
		}
		if t.Estimate.Wall < 0 || t.Estimate.Wall > maxTotal {
			return fmt.Errorf("%q takes %v, want 0 to %v", t.ID, t.Estimate.Wall, maxTotal)
		}
		if n := t.Estimate.Need; min(n.Low, n.High, n.Kept) < 0 || max(n.Low, n.High, n.Kept) > maxBytes {
			return fmt.Errorf("%q needs %d to %d and keeps %d bytes, want 0 to %d", t.ID, n.Low, n.High, n.Kept, int64(maxBytes))
		}
		if total += t.Estimate.Wall; total > maxTotal {
			return fmt.Errorf("the suite takes more than %v", maxTotal)
		}
		for _, s := range t.Setups {
			if s < 0 || s >= len(suite.Setups) {
				return fmt.Errorf("%q needs set-up %d of %d", t.ID, s, len(suite.Setups))
			}
		}
	}
	return nil
}

func (q *sequence) test(p int32) *Test { return &q.suite.Tests[q.at[p]] }

// sortFiles fills files, and file by index in suite.Tests for now.
func (q *sequence) sortFiles() {
	type place struct {
		name  string
		first int
		old   int32
	}
	var places []place
	index := map[string]int32{}
	last, lastName := int32(-1), ""
	for i := range q.suite.Tests {
		t := &q.suite.Tests[i]
		name := t.ID.File()
		if last < 0 || name != lastName {
			f, ok := index[name]
			if !ok {
				f = int32(len(places))
				index[name] = f
				places = append(places, place{name, t.Order, f})
			}
			last, lastName = f, name
		}
		places[last].first = min(places[last].first, t.Order)
		q.file[i] = last
	}
	slices.SortFunc(places, func(a, b place) int {
		return cmp.Or(cmp.Compare(a.first, b.first), compareNatural(a.name, b.name))
	})
	rank := make([]int32, len(places))
	q.files = make([]string, len(places))
	for f, p := range places {
		rank[p.old] = int32(f)
		q.files[f] = p.name
	}
	for i, f := range q.file {
		q.file[i] = rank[f]
	}
}

// sortTests fills from and at, and turns file to positions.
func (q *sequence) sortTests() {
	q.from = make([]int32, len(q.files)+1)
	for _, f := range q.file {
		q.from[f+1]++
	}
	for f := range q.files {
		q.from[f+1] += q.from[f]
	}
	next := slices.Clone(q.from)
	for i, f := range q.file {
		q.at[next[f]] = int32(i)
		next[f]++
	}
	for f := range q.files {
		own := q.at[q.from[f]:q.from[f+1]]
		if !slices.IsSortedFunc(own, q.compare) {
			slices.SortFunc(own, q.compare)
		}
		for p := q.from[f]; p < q.from[f+1]; p++ {
			q.file[p] = int32(f)
		}
	}
}

// compare orders two tests of one file. It reads everything that a plan can
// depend on, so that tests it calls equal can change places unseen: not their groups, as
// tests with one node ID stay together with the groups of both.
func (q *sequence) compare(i, j int32) int {
	a, b := &q.suite.Tests[i], &q.suite.Tests[j]
	if c := cmp.Compare(a.Order, b.Order); c != 0 {
		return c
	}
	if a.ID != b.ID {
		return compareNatural(string(a.ID), string(b.ID))
	}
	if c := cmp.Or(
		cmp.Compare(a.Estimate.Wall, b.Estimate.Wall),
		cmp.Compare(a.Estimate.Peak, b.Estimate.Peak),
		cmp.Compare(a.Estimate.Rung, b.Estimate.Rung),
		cmp.Compare(a.Estimate.Need.High, b.Estimate.Need.High),
		cmp.Compare(a.Estimate.Need.Low, b.Estimate.Need.Low),
		cmp.Compare(a.Estimate.Need.Kept, b.Estimate.Need.Kept),
		cmp.Compare(a.Before, b.Before),
	); c != 0 {
		return c
	}
	return slices.CompareFunc(a.Setups, b.Setups, func(x, y int) int {
		return cmp.Compare(q.suite.Setups[x].ID, q.suite.Setups[y].ID)
	})
}

// bind finds the tests that must stay together: a group shares a
// worker, and of two tests with one node ID no shard could tell which is its.
func (q *sequence) bind() {
	for p := range q.root {
		q.root[p] = int32(p)
	}
	groups := map[string]int32{}
	ids := map[timing.NodeID]int32{}
	for f := range q.files {
		clear(ids)
		for p := q.from[f]; p < q.from[f+1]; p++ {
			t := q.test(p)
			if first, ok := ids[t.ID]; ok {
				q.union(first, p)
			} else {
				ids[t.ID] = p
			}
			if t.Group == "" {
				continue
			}
			if first, ok := groups[t.Group]; ok {
				q.union(first, p)
			} else {
				groups[t.Group] = p
			}
		}
	}
	for p := range q.root {
		q.root[p] = find(q.root, int32(p))
	}
}

// setupLists lists what some tests need, without lists that are empty or the same slice
// as the one before: most tests of a file share it.
func (q *sequence) setupLists(tests []int32) iter.Seq[[]int] {
	return func(yield func([]int) bool) {
		var last []int
		for _, p := range tests {
			needs := q.test(p).Setups
			if len(needs) == 0 || len(last) == len(needs) && &last[0] == &needs[0] {
				continue
			}
			if last = needs; !yield(needs) {
				return
			}
		}
	}
}

// countBlocks counts what some tests can be parted into, up to a limit.
func (q *sequence) countBlocks(tests []int32, limit int) int {
	roots := map[int32]bool{}
	for _, p := range tests {
		if len(roots) >= limit {
			return limit
		}
		roots[q.root[p]] = true
	}
	return len(roots)
}

func (q *sequence) union(a, b int32) { union(q.root, a, b) }

// find and union keep the smallest member of a set as its root.
func find(parent []int32, p int32) int32 {
	for parent[p] != p {
		parent[p] = parent[parent[p]]
		p = parent[p]
	}
	return p
}

func union(parent []int32, a, b int32) {
	a, b = find(parent, a), find(parent, b)
	parent[max(a, b)] = min(a, b)
}

// compareNatural compares runs of digits by their value and everything else by
// its bytes. It is a strict total order: 0 means equal strings.
func compareNatural(a, b string) int {
	i, j := 0, 0
	for i < len(a) && j < len(b) {
		if !isDigit(a[i]) || !isDigit(b[j]) {
			if a[i] != b[j] {
				return cmp.Compare(a[i], b[j])
			}
			i++
			j++
			continue
		}
		x, y := digits(a[i:]), digits(b[j:])
		i += len(x)
		j += len(y)
		x, y = strings.TrimLeft(x, "0"), strings.TrimLeft(y, "0")
		if c := cmp.Or(cmp.Compare(len(x), len(y)), strings.Compare(x, y)); c != 0 {
			return c
		}
	}
	return cmp.Or(cmp.Compare(len(a)-i, len(b)-j), strings.Compare(a, b))
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func digits(s string) string {
	n := 0
	for n < len(s) && isDigit(s[n]) {
		n++
	}
	return s[:n]
}
