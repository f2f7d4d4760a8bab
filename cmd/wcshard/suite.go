package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/wcshard/wcshard/shard"
	"github.com/wcshard/wcshard/shard/pytest"
	"github.com/wcshard/wcshard/timing"
)

// skipMarker is pytest's, which skips a test whatever happens. A condition (skipif) is
// only looked at where the test runs. A conftest.py may put the marker on tests by what
// the machine has, so one that runs all the same is not believed.
const skipMarker = "skip"

// makeSuite joins what was collected with what the history knows of its cost.
// What this very collection measured (imports, start-up) stays out of it: the
// same tests, history and flags have to give the same plan on every machine.
func makeSuite(c *pytest.Collection, history *timing.History, fleet shard.Fleet, markers []string) shard.Suite {
	ids := make([]timing.NodeID, len(c.Tests))
	for i, test := range c.Tests {
		ids[i] = test.ID
	}
	known := history.EstimatorAt(timing.Place{Runner: fleet.Runner, Workers: cmp.Or(fleet.Workers, fleet.CPUs), CPUs: fleet.CPUs})
	estimates := known.Tests(ids)
	setups := newSetups(known)
	for _, folder := range c.Collector.Conftests {
		setups.conftests = append(setups.conftests, folder+"/")
	}
	if c.Collector.Pytest != "" {
		setups.dynamic = dynamicFixtures(c, ids, known)
	}
	setups.pools = poolsOf(known)
	late := known.LateImports()
	setups.libraries = sharedLibraries(c, known, late)
	workers := cmp.Or(fleet.Workers, fleet.CPUs)
	if workers == 1 { // of the pool: those of memory jobs are more
		workers = max(2, cmp.Or(fleet.MemoryWorkers, fleet.CPUs))
	}
	suite := shard.Suite{
		Tests: make([]shard.Test, len(ids)),
		Base:  known.Session(1),
		Bases: known.Session(workers),
		Floor: known.Floor(), Controller: known.Controller(),
	}
	for i, test := range c.Tests {
		skipped := slices.Contains(test.Markers, skipMarker) && !known.Runs(test.ID)
		if skipped {
			estimates[i] = known.Skip()
		}
		order := i
		if c.Collector.Order == naturalOrder {
			order = 0
		}
		suite.Tests[i] = shard.Test{
			ID:       test.ID,
			Order:    order,
			Group:    test.Group,
			Memory:   !skipped && slices.ContainsFunc(markers, func(m string) bool { return slices.Contains(test.Markers, m) }),
			Setups:   setups.of(test, skipped),
			Estimate: estimates[i],
		}
	}
	if known.Corrects() || fleet.MemoryRunner != "" && fleet.MemoryRunner != fleet.Runner {
		asMeasured(&suite, history, fleet)
	}
	suite.Late = setups.late(late)
	suite.Setups = setups.all
	more := func(string) time.Duration { return 0 }
	if c.Collector.Pytest == "" {
		more = known.FixturesOf // a bare list does not say which of them a test needs
	}
	suite.LimitNeeds(more)
	return suite
}

// asMeasured takes back the correction of the memory tests' times: it is for the
// workers of the pool, and they ran among other workers than the pool's before, on
// runners of another class where they have their own.
func asMeasured(suite *shard.Suite, history *timing.History, fleet shard.Fleet) {
	limit := fleet.Threshold(suite)
	var ids []timing.NodeID
	var at []int
	for i := range suite.Tests {
		if t := &suite.Tests[i]; t.Memory || limit > 0 && t.Estimate.Need.High > limit {
			ids, at = append(ids, t.ID), append(at, i)
		}
	}
	if len(ids) == 0 {
		return
	}
	for k, estimate := range history.Estimator(cmp.Or(fleet.MemoryRunner, fleet.Runner)).Tests(ids) {
		if estimate.Rung == timing.Measured {
			suite.Tests[at[k]].Estimate.Wall = estimate.Wall
		}
	}
}

// setups numbers the shared set-ups that are known to cost something. Tests of
// one file with the same fixtures share one list: a million tests have few
// different ones.
type setups struct {
	known *timing.Estimator
	all   []shard.Setup
	index map[timing.SetupID]int // -1 where the cost is nothing
	lists map[string][]int       // by file, fixtures and pool
	files map[string]bool        // that have tests

	// Fixtures that tests ask for while they run, by file or class. Which of the
	// tests do is not known: all of them are taken to.
	dynamic map[string][]timing.SetupID

	libraries map[string][]shard.Setup // by file
	pools     map[timing.NodeID]shard.Setup
	conftests []string // folders whose conftest.py each job loads, with a slash at the end
}

// leastImport is what libraries must take together that the same files need, to
// be a set-up.
const leastImport = 2 * time.Millisecond

// sharedLibraries returns what the imports of each file's libraries take. Those
// that the same files need are one set-up, under the name of the dearest; one that
// tests import while they run, beside files or not, is a set-up by itself.
func sharedLibraries(c *pytest.Collection, known *timing.Estimator, late []timing.LateImport) map[string][]shard.Setup {
	number := map[*string]int{} // of lists, by their first element: files share them
	var files [][]string        // by list
	users := map[string][]int{} // lists by library
	for _, file := range slices.Sorted(maps.Keys(c.Libraries)) {
		list := c.Libraries[file]
		if len(list) == 0 {
			continue
		}
		n, ok := number[&list[0]]
		if !ok {
			n = len(files)
			number[&list[0]] = n
			files = append(files, nil)
			for _, name := range list {
				users[name] = append(users[name], n)
			}
		}
		files[n] = append(files[n], file)
	}
	byFile := map[string][]shard.Setup{}
	for _, l := range late {
		setup := shard.Setup{ID: timing.LibraryID(l.Library), Cost: known.Library(l.Library), Import: len(users[l.Library]) > 0}
		if setup.Cost < leastImport {
			continue
		}
		need := map[string]bool{} // which of a file's tests do is not known: all of them are taken to
		for _, file := range l.Files {
			need[file] = true
		}
		for _, n := range users[l.Library] {
			for _, file := range files[n] {
				need[file] = true
			}
		}
		delete(users, l.Library)
		for file := range need {
			byFile[file] = append(byFile[file], setup)
		}
	}
	type group struct {
		users   []int
		setup   shard.Setup
		dearest time.Duration // of its libraries
	}
	groups := map[string]*group{}
	for _, name := range slices.Sorted(maps.Keys(users)) {
		cost := known.Library(name)
		if cost <= 0 {
			continue
		}
		key := fmt.Sprint(users[name])
		g := groups[key]
		if g == nil {
			g = &group{users: users[name], setup: shard.Setup{Import: true}}
			groups[key] = g
		}
		if cost > g.dearest {
			g.setup.ID, g.dearest = timing.LibraryID(name), cost
		}
		g.setup.Cost += cost
	}
	for _, key := range slices.Sorted(maps.Keys(groups)) {
		g := groups[key]
		if g.setup.Cost < leastImport {
			continue
		}
		for _, n := range g.users {
			for _, file := range files[n] {
				byFile[file] = append(byFile[file], g.setup)
			}
		}
	}
	return byFile
}

// severalFiles is of how many files tests must have imported a library before those
// of others are taken to need it: those of one file may need what no others do.
const severalFiles = 2

// late returns the set-ups that tests import while they run, and that those of
// several files are known to.
func (s *setups) late(imports []timing.LateImport) []shard.Late {
	var list []shard.Late
	for _, l := range imports {
		files := 0
		for _, file := range l.Files {
			if s.files[file] {
				files++
			}
		}
		if i, ok := s.index[timing.LibraryID(l.Library)]; ok && i >= 0 && files >= severalFiles && l.Every > 0 {
			list = append(list, shard.Late{Setup: i, Every: l.Every})
		}
	}
	return list
}

// dynamicFixtures finds the fixtures of a file or class that no test names, and
// those of packages and the session that a file's tests have asked for.
func dynamicFixtures(c *pytest.Collection, tests []timing.NodeID, known *timing.Estimator) map[string][]timing.SetupID {
	named := map[timing.SetupID]bool{}
	var last []string
	for _, test := range c.Tests {
		if len(test.Fixtures) == 0 || len(test.Fixtures) == len(last) && &test.Fixtures[0] == &last[0] {
			continue
		}
		last = test.Fixtures
		for _, f := range last {
			named[timing.SetupID(f)] = true
		}
	}
	byPlace := known.Uses()
	for _, id := range known.Uncollected(tests, func(id timing.SetupID) bool { return named[id] }) {
		place, _, _ := id.Parts()
		byPlace[string(place)] = append(byPlace[string(place)], id)
	}
	return byPlace
}

// poolsOf returns the pool of processes that each test shares with others.
func poolsOf(known *timing.Estimator) map[timing.NodeID]shard.Setup {
	byTest := map[timing.NodeID]shard.Setup{}
	for _, pool := range known.Pools() {
		for _, test := range pool.Tests {
			byTest[test] = shard.Setup{ID: pool.ID, Cost: pool.Cost}
		}
	}
	return byTest
}

func newSetups(known *timing.Estimator) *setups {
	return &setups{known: known, index: map[timing.SetupID]int{}, lists: map[string][]int{}, files: map[string]bool{}}
}

// of returns the set-ups that a test needs: the import of its file, and unless it is
// skipped its scoped fixtures.
func (s *setups) of(test pytest.CollectedTest, skipped bool) []int {
	file := test.ID.File()
	key := file
	class := ""
	pool := s.pools[test.ID]
	if skipped {
		key, test.Fixtures, pool = file+"\x00", nil, shard.Setup{}
	} else if len(s.dynamic) > 0 {
		if class = test.ID.Class(); len(s.dynamic[class]) > 0 {
			key += "\x00" + class
		}
	}
	if len(test.Fixtures) > 0 {
		key += "\x00" + strings.Join(test.Fixtures, "\x00")
	}
	if pool.ID != "" {
		key += "\x00" + string(pool.ID)
	}
	list, ok := s.lists[key]
	if !ok {
		s.files[file] = true
		list = s.add(list, shard.Setup{ID: timing.SetupID(file), Import: true})
		for _, folder := range append(s.conftests, file) { // whose conftest.py is imported with its first file
			for i, c := range folder {
				if c == '/' {
					list = s.add(list, shard.Setup{ID: timing.SetupID(folder[:i+1]), Import: true})
				}
			}
		}
		for _, library := range s.libraries[file] {
			if library.Import || !skipped {
				list = s.add(list, library)
			}
		}
		for _, fixture := range test.Fixtures {
			list = s.add(list, shard.Setup{ID: timing.SetupID(fixture)})
		}
		if !skipped {
			for _, fixture := range slices.Concat(s.dynamic[file], s.dynamic[class]) {
				list = s.add(list, shard.Setup{ID: fixture})
			}
		}
		if pool.ID != "" {
			list = s.add(list, pool)
		}
		slices.Sort(list)
		list = slices.Compact(list)
		s.lists[key] = list
	}
	return list
}

func (s *setups) add(list []int, setup shard.Setup) []int {
	i, ok := s.index[setup.ID]
	if !ok {
		i = -1
		if setup.Cost == 0 {
			setup.Cost = s.known.Setup(setup.ID)
		}
		if setup.Cost > 0 {
			i = len(s.all)
			s.all = append(s.all, setup)
		}
		s.index[setup.ID] = i
	}
	if i < 0 {
		return list
	}
	return append(list, i)
}
