package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strconv"

	"github.com/wcshard/wcshard/shard"
	"github.com/wcshard/wcshard/shard/pytest"
	"github.com/wcshard/wcshard/timing"
)

// runAll runs all shards of a plan on this machine.
func runAll(ctx context.Context, sys *system, o runOptions, plan *shard.Plan) error {
	history, err := readHistory(sys, o.timings, false)
	if err != nil {
		return err
	}
	budget, err := newBudget(sys, o, plan, nil)
	if err != nil {
		return err
	}
	sessions, err := sessions(sys, o, plan, history, budget)
	if err != nil {
		return err
	}
	if o.list {
		for _, s := range sessions {
			if err := listTests(sys, s.run, o.null); err != nil {
				return err
			}
		}
		return nil
	}
	job, release, err := newJob(sys, o, plan, budget)
	if err != nil {
		return err
	}
	defer release()
	ctx, stop := job.interrupts(ctx)
	defer stop()
	ctx, cancel, err := job.within(ctx, 0)
	if err != nil {
		return err
	}
	defer cancel()
	sys.say("%s", budget)
	worst := exitOK
	for i, s := range sessions {
		if job.stopped.Load() || ctx.Err() != nil {
			worst = worse(worst, exitInterrupted)
			sys.say("%s: not started, the run was interrupted", s.name)
			continue
		}
		sys.say("%s (%d of %d): %s, %s, about %s s, with %s (%s)", s.name, i+1, len(sessions), count(s.run.Len(), "test"), count(s.run.Workers, "worker"), seconds(s.run.Wall), job.command, job.command.Source)
		status, err := job.session(ctx, s)
		if err != nil {
			return err
		}
		worst = worse(worst, status)
	}
	if worst == exitOK {
		sys.say("all %s ran exactly once", count(planned(plan), "test"))
		return nil
	}
	sys.say("to run this again: %s", reproduce(fromHere(sys, o)))
	return &failure{status: worst}
}

func planned(plan *shard.Plan) int {
	n := 0
	for i := range plan.Shards {
		n += plan.Shards[i].Len()
	}
	return n
}

// worse returns the status that says more about what went wrong: a session
// that could not be finished, then lost tests, then failed ones.
func worse(a, b int) int {
	rank := func(status int) int {
		switch status {
		case exitOK:
			return 0
		case exitTestsFailed:
			return 1
		case exitIncomplete:
			return 2
		}
		return 3
	}
	if rank(b) > rank(a) {
		return b
	}
	return a
}

// The schedules of run --all.
const (
	memorySchedule = "memory"
	phaseSchedule  = "phases"
)

// allSession is the name of the session that runs all shards, and of the artifact of mode
// all, whatever its sessions are.
const allSession = "all"

// sessions turns a plan for many machines into sessions for one.
func sessions(sys *system, o runOptions, plan *shard.Plan, history *timing.History, b budget) ([]session, error) {
	workers := runtime.NumCPU()
	if o.workers != "auto" {
		workers, _ = strconv.Atoi(o.workers)
	}
	if o.schedule == phaseSchedule || o.schedule == "auto" && !admits(o, plan, workers, b) {
		return phases(o, plan, history, workers)
	}
	if o.memoryWorkers > 1 {
		sys.say("--memory-workers %d changes nothing: tests wait for memory, not for each other; --schedule phases obeys it", o.memoryWorkers)
	}
	s, err := oneSession(sys, plan, history, workers, o.workers == "auto", b)
	return []session{s}, err
}

// admits reports whether one session can keep tests from starting before their
// memory is there: that takes our scheduler, which takes xdist and two workers,
// and a budget. In one process all that tests leave behind adds up, so memory
// modules get processes of their own.
func admits(o runOptions, plan *shard.Plan, workers int, b budget) bool {
	given := pytest.UserOptions(o.args)
	return workers > 1 && b.use() > 0 && plan.Collector.Xdist != "" && !given.Dist && !given.Workers
}

// oneSession packs all tests into one session. No test is a memory test here:
// each starts when there is room for it.
func oneSession(sys *system, plan *shard.Plan, history *timing.History, workers int, auto bool, b budget) (session, error) {
	all := make([]*shard.Shard, len(plan.Shards))
	for i := range plan.Shards {
		all[i] = &plan.Shards[i]
	}
	fleet := plan.Fleet
	fleet.Memory, fleet.Reserve = b.memory, b.reserve
	fleet.CPUs = workers
	s, err := together(allSession, plan, all, workers, history, fleet)
	var large *shard.TooLargeError
	if errors.As(err, &large) {
		// It may be gone in a moment, what others hold on this machine.
		sys.warn("%v: it runs alone, and may be killed", err)
		fleet.Memory = 0
		s, err = together(allSession, plan, all, workers, history, fleet)
	}
	if err != nil {
		return s, err
	}
	if s.run.Floor == 0 {
		s.run.Floor = floorOf(all)
	}
	if !auto {
		s.run.Workers = workers // otherwise as many as are fastest within the memory
	}
	return s, nil
}

// floorOf is the highest floor of the shards' workers, where the history here
// knows none.
func floorOf(shards []*shard.Shard) int64 {
	floor := int64(0)
	for _, s := range shards {
		floor = max(floor, s.Floor)
	}
	return floor
}

// phases are those of wcshard's origin: the pool shards as one session, then
// one for each memory shard, or all of them with several workers.
func phases(o runOptions, plan *shard.Plan, history *timing.History, workers int) ([]session, error) {
	var pool, memory []*shard.Shard
	for i := range plan.Shards {
		s := &plan.Shards[i]
		if s.Kind == shard.Memory {
			memory = append(memory, s)
		} else {
			pool = append(pool, s)
		}
	}
	var sessions []session
	fleet := plan.Fleet
	fleet.Memory = 0 // the workers are as many as was said
	if len(pool) > 0 {
		s, err := together("pool", plan, pool, workers, history, fleet)
		if err != nil {
			return nil, err
		}
		sessions = append(sessions, s)
	}
	if o.memoryWorkers > 1 && len(memory) > 1 {
		s, err := together("memory", plan, memory, o.memoryWorkers, history, fleet)
		return append(sessions, s), err
	}
	for _, s := range memory {
		alone := *s
		alone.Workers = 1
		sessions = append(sessions, session{name: s.Name, shards: []*shard.Shard{s}, run: &alone})
	}
	return sessions, nil
}

// keepNeeds lowers what tests may need to what the plan says of it: the plan
// knew their fixtures. What was seen since is not lowered.
func keepNeeds(suite *shard.Suite, shards []*shard.Shard) {
	i := 0 // the tests are in the order of the shards
	eachTest(shards, func(s *shard.Shard, _ timing.NodeID, need int64) {
		n := &suite.Tests[i].Estimate.Need
		i++
		if s.Floor > 0 {
			*n = n.Lower(cmp.Or(need, shard.MinNeed-1))
		}
	})
}

// eachTest calls f for each test of shards, with what the plan says that it may need,
// bytes; 0 where that is too little to be mentioned.
func eachTest(shards []*shard.Shard, f func(s *shard.Shard, id timing.NodeID, need int64)) {
	for _, s := range shards {
		for _, piece := range s.Pieces {
			needs := piece.Needs
			for k, rest := range piece.Tests {
				need := int64(0)
				if len(needs) > 0 && needs[0].Test == k {
					need, needs = needs[0].Need, needs[1:]
				}
				f(s, timing.NodeID(piece.File+rest), need)
			}
		}
	}
}

// joinSetups gives the tests of shards what the plan says that they share: it knew
// what each of them asks for.
func joinSetups(suite *shard.Suite, plan *shard.Plan, shards []*shard.Shard) {
	index := map[timing.SetupID]int{} // in the suite
	for i, s := range suite.Setups {
		index[s.ID] = i
	}
	number := make([]int, len(plan.Setups))
	for i, s := range plan.Setups {
		at, ok := index[s.ID]
		if !ok {
			at = len(suite.Setups)
			index[s.ID] = at
			suite.Setups = append(suite.Setups, s)
		}
		number[i] = at
	}
	pool := func(s shard.Setup) bool { return s.ID.Pool() }
	planned := slices.ContainsFunc(plan.Setups, pool) // those that the history knows by now may have other tests
	k := 0                                            // the tests are in the order of the shards
	for _, s := range shards {
		for _, piece := range s.Pieces {
			runs := piece.Setups
			if runs == nil {
				runs = []shard.SetupRun{{Tests: len(piece.Tests)}}
			}
			for _, run := range runs {
				for range run.Tests {
					test := &suite.Tests[k]
					list := slices.DeleteFunc(slices.Clone(test.Setups), func(i int) bool { return planned && pool(suite.Setups[i]) })
					for _, n := range run.Setups {
						list = append(list, number[n])
					}
					slices.Sort(list)
					test.Setups = slices.Compact(list)
					k++
				}
			}
		}
	}
}

// together packs the tests of several shards into one, slowest groups first.
func together(name string, plan *shard.Plan, shards []*shard.Shard, workers int, history *timing.History, fleet shard.Fleet) (session, error) {
	c := new(pytest.Collection)
	eachTest(shards, func(s *shard.Shard, id timing.NodeID, need int64) {
		test := pytest.CollectedTest{ID: id}
		// What a plan knew without a sample is that the test is skipped.
		if s.Basis.Relatives+s.Basis.Guessed == 0 && need == 0 && history.KnowsFile(id.File()) && !history.Knows(id) {
			test.Markers = []string{skipMarker}
		}
		c.Tests = append(c.Tests, test)
	})
	// One shard of all of them: what made some of them memory shards was the
	// plan's to say, for the plan's runners.
	fleet.Shards, fleet.Workers = 1, workers
	fleet.MemoryShare, fleet.MemoryRunnerMemory = 0, 0
	suite := makeSuite(c, history, fleet, nil)
	keepNeeds(&suite, shards)
	joinSetups(&suite, plan, shards)
	fleet.Runner, fleet.MemoryRunner = "this machine", "" // the history was asked for the plan's
	packed, err := shard.Pack(suite, fleet)
	if err != nil {
		return session{}, fmt.Errorf("packing %s for this machine: %w", count(len(c.Tests), "test"), err)
	}
	return session{name: name, shards: shards, run: &packed.Shards[0]}, nil
}
