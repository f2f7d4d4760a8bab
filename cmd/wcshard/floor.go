package main

import (
	"fmt"
	"time"

	"github.com/wcshard/wcshard/shard"
)

// A floor is what keeps the longest job from being shorter.
type floor struct {
	reason string
	cuts   []string // what would help
	limit  bool     // it is --max-shards: more jobs may be faster
}

// findFloor says what keeps the longest job of a choice, of up to most pool jobs, from
// being shorter, and what would help.
func findFloor(suite shard.Suite, c shard.Choice, most int) (f floor) {
	if len(c.Plan.Shards) == 0 {
		return f
	}
	suite = suite.Foresee(c.Plan.Fleet)
	longest, block, paid := suite.Heaviest(c.Plan, c.Last)
	// Nine tenths of the job without its start, and half of it with that.
	alone := len(block.Tests) > 0 && 10*block.Whole >= 9*(longest.Wall-suite.BaseOf(longest.Workers)) && 2*block.Whole >= longest.Wall
	what := "one test"
	if len(block.Tests) > 0 {
		what = printable(string(block.Tests[0]))
	}
	if n := len(block.Tests); n > 1 {
		what = fmt.Sprintf("the group of %s and %s more", what, count(n-1, "test"))
	}
	switch {
	case alone && len(block.Tests) > 1:
		f.reason = fmt.Sprintf("%s, which stay together, sets the floor: %s s with what they set up", what, seconds(block.Whole))
	case alone:
		f.reason = fmt.Sprintf("%s alone sets the floor: %s s with what it sets up", what, seconds(block.Whole))
	case longest.Kind == shard.Memory && 2*paid < longest.Wall:
		f.reason, f.limit = memoryFloor(longest, c.Plan, c.Shards == most)
	case 2*paid >= longest.Wall && (c.Shards < most || longest.Kind == shard.Memory):
		f.reason = fmt.Sprintf("what jobs pay beside their tests sets the floor: start-up, imports and fixtures are %s of the %s s of %s", seconds(paid), seconds(longest.Wall), longest.Name)
	case longest.Kind == shard.Pool && (c.Shards == most || 2*block.Took >= longest.Wall-paid && suite.Blocks() > most):
		// The job has no more than two such blocks, and they could part.
		f.reason = fmt.Sprintf("--max-shards %d sets the floor: more jobs may be faster", most)
		f.limit = true
	default:
		f.reason = fmt.Sprintf("no plan with up to %s was shorter by 1 %%", count(most, "pool job"))
	}
	if alone {
		f.cuts = cutsOf(suite, block, what)
	}
	return f
}

// print says it, where there is something to say.
func (f floor) print(sys *system) {
	if f.reason != "" {
		sys.say("%s", f.reason)
	}
	for _, cut := range f.cuts {
		sys.say("to get below it: %s", cut)
	}
}

// memoryFloor says why a memory job is as long as it is, where the plan has as many pool
// jobs as there may be, or not. limit says that it is --max-shards.
func memoryFloor(longest *shard.Shard, plan *shard.Plan, last bool) (reason string, limit bool) {
	fleet, jobs := plan.Fleet, 0 // jobs of its module
	for i := range plan.Shards {
		if x := &plan.Shards[i]; x.Kind == shard.Memory && x.Pieces[0].File == longest.Pieces[0].File {
			jobs++
		}
	}
	why := "the memory tests of a file are one job"
	switch {
	case fleet.MemoryJobs > 0 && jobs >= fleet.MemoryJobs:
		why = fmt.Sprintf("--memory-jobs %d is what its memory module may have", fleet.MemoryJobs)
	case fleet.MemoryJobs != 0:
		why = "more jobs for its memory module do not pay"
	case last && len(longest.Pieces) > 1 && longest.Why == shard.MeasuredNeed && fleet.MaxMemoryJobs == 0:
		return fmt.Sprintf("%s sets the floor: files whose tests may need much memory have no more jobs than the pool, %s s: more pool jobs may be faster", longest.Name, seconds(longest.Wall)), true
	case fleet.MaxMemoryJobs > 0 && len(longest.Pieces) > 1:
		why = fmt.Sprintf("--max-memory-jobs %d joins the memory tests of %s", fleet.MaxMemoryJobs, count(len(longest.Pieces), "file"))
	}
	return fmt.Sprintf("%s sets the floor: %s, %s s whatever the number of pool jobs", longest.Name, why, seconds(longest.Wall)), false
}

// cutsOf says what would make tests shorter that stay together.
func cutsOf(suite shard.Suite, block shard.Block, what string) (cuts []string) {
	const matters = 5 // what is more than one part in so many of all
	if matters*block.Took > block.Whole {
		verb := "split"
		if len(block.Tests) > 1 {
			verb = "divide"
		}
		cuts = append(cuts, fmt.Sprintf("%s %s: %s s", verb, what, seconds(block.Took)))
	}
	for _, k := range block.Setups {
		if s := suite.Setups[k]; s.Cost*time.Duration(matters) > block.Whole {
			cuts = append(cuts, fmt.Sprintf("make its set-up %s cheaper: %s s", printable(string(s.ID)), seconds(s.Cost)))
		}
	}
	return cuts
}
