package main

import (
	"context"
	"fmt"
	"runtime"
	"strconv"

	"github.com/wcshard/wcshard/shard"
	"github.com/wcshard/wcshard/shard/pytest"
	"github.com/wcshard/wcshard/timing"
)

// runAll is the two phases of wcshard's origin on one machine: the pool in
// parallel, then the memory modules.
func runAll(ctx context.Context, sys *system, o runOptions, plan *shard.Plan) error {
	history, err := readHistory(sys, o.timings, false)
	if err != nil {
		return err
	}
	sessions, err := phases(o, plan, history)
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
	job, err := newJob(sys, o, plan)
	if err != nil {
		return err
	}
	ctx, stop := job.interrupts(ctx)
	defer stop()
	worst := exitOK
	for i, s := range sessions {
		if job.stopped.Load() {
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
	sys.say("to run this again: %s", reproduce(o))
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

// phases turns a plan for many machines into sessions for one: the pool shards
// as one, then one for each memory shard, or all of them with several workers.
func phases(o runOptions, plan *shard.Plan, history *timing.History) ([]session, error) {
	workers := runtime.NumCPU()
	if o.workers != "auto" {
		workers, _ = strconv.Atoi(o.workers)
	}
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
	if len(pool) > 0 {
		s, err := together("pool", pool, workers, history, plan.Fleet)
		if err != nil {
			return nil, err
		}
		sessions = append(sessions, s)
	}
	if o.memoryWorkers > 1 && len(memory) > 1 {
		s, err := together("memory", memory, o.memoryWorkers, history, plan.Fleet)
		return append(sessions, s), err
	}
	for _, s := range memory {
		alone := *s
		alone.Workers = o.memoryWorkers
		sessions = append(sessions, session{name: s.Name, shards: []*shard.Shard{s}, run: &alone})
	}
	return sessions, nil
}

// together packs the tests of several shards into one, slowest groups first.
func together(name string, shards []*shard.Shard, workers int, history *timing.History, fleet shard.Fleet) (session, error) {
	c := new(pytest.Collection)
	for _, s := range shards {
		for _, id := range s.IDs() {
			c.Tests = append(c.Tests, pytest.CollectedTest{ID: id})
		}
	}
	// One shard of all of them: what made some of them memory shards was the
	// plan's to say, for the plan's runners.
	fleet.Shards, fleet.Workers = 1, workers
	fleet.MemoryShare, fleet.Memory, fleet.MemoryRunnerMemory = 0, 0, 0
	plan, err := shard.Pack(makeSuite(c, history, fleet, nil), fleet)
	if err != nil {
		return session{}, fmt.Errorf("packing %s for this machine: %w", count(len(c.Tests), "test"), err)
	}
	return session{name: name, shards: shards, run: &plan.Shards[0]}, nil
}
