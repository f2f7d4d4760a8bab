package main

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/wcshard/wcshard/shard"
	"github.com/wcshard/wcshard/timing"
)

// maxTableRows is how many shards the table shows: one screen.
const maxTableRows = 40

// printPlan prints the plan as a table on standard error.
func printPlan(sys *system, plan *shard.Plan, name string) {
	tests := 0
	for i := range plan.Shards {
		tests += plan.Shards[i].Len()
	}
	sys.say("%s on %s; %s written", count(tests, "test"), count(len(plan.Shards), "job"), name)
	table := tabwriter.NewWriter(sys.stderr, 0, 0, 2, ' ', tabwriter.AlignRight)
	memory := slices.ContainsFunc(plan.Shards, func(s shard.Shard) bool { return s.Floor > 0 })
	head := "shard\tkind\ttests\tseconds\tworkers\tmeasured\trelatives\tguessed\t"
	if memory {
		head += "peak\tof\t"
	}
	fmt.Fprintln(table, head)
	for i := range plan.Shards {
		if i == maxTableRows {
			break
		}
		s := &plan.Shards[i]
		fmt.Fprintf(table, "%s\t%s\t%d\t%s\t%d\t%s\t%s\t%s\t", s.Name, s.Kind, s.Len(), seconds(s.Wall), s.Workers,
			percent(s.Basis.Measured, s.Len()), percent(s.Basis.Relatives, s.Len()), percent(s.Basis.Guessed, s.Len()))
		if memory {
			fmt.Fprintf(table, "%s\t%s\t", bytesOf(s.Peak), bytesOf(s.Budget))
		}
		fmt.Fprintln(table)
	}
	table.Flush()
	if more := len(plan.Shards) - maxTableRows; more > 0 {
		fmt.Fprintf(sys.stderr, "  … and %s\n", count(more, "shorter job"))
	}
	gap := 0.0
	if plan.Bound > 0 {
		gap = 100 * (float64(plan.Makespan)/float64(plan.Bound) - 1)
	}
	sys.say("longest job %s s, lower bound %s s (%+.1f %%)", seconds(plan.Makespan), seconds(plan.Bound), gap)
}

// printLearned says what earlier runs tell of this plan's predictions.
func (o *targetOptions) printLearned(sys *system) {
	if text := o.expected(); text != "" {
		sys.say("%s", text)
	}
	if o.learned {
		sys.say("each job takes %s s outside pytest (%s)", seconds(o.jobs.Pool.Took), o.from)
	}
}

// fewerJobs says with how many pool jobs a plan would be done as soon, and what that
// saves; "" where all are needed, or too little has been measured to say so. The
// number of jobs is the user's: a CI may have started them already.
func (o *matrixOptions) fewerJobs(suite shard.Suite, plan *shard.Plan) string {
	if o.target > 0 || measured(suite)*2 < len(suite.Tests) {
		return ""
	}
	other, ok, err := shard.Fewer(suite, plan)
	if err != nil || !ok {
		return ""
	}
	saved := o.costOf(plan) - o.costOf(other)
	if saved <= 0 {
		return ""
	}
	return fmt.Sprintf("with --shards %d it would be done as soon, and save %s s of jobs", other.Fleet.Shards, seconds(saved))
}

// costOf is what all jobs of a plan take, their overhead included.
func (o *targetOptions) costOf(plan *shard.Plan) time.Duration {
	sum := sumOf(plan)
	for i := range plan.Shards {
		sum += o.jobs.Of(plan.Shards[i].Kind).Took
	}
	return sum
}

// substantial is the least part of the longest job, in per cent, for which a word
// on more jobs for a memory module is worth its line.
const substantial = 10

// memoryGain says what --memory-jobs auto would make of a plan whose longest job
// is a memory module's; "" where that is little.
func memoryGain(suite shard.Suite, plan *shard.Plan) string {
	fleet, longest := plan.Fleet, &plan.Shards[0]
	if longest.Kind != shard.Memory || fleet.MemoryJobs == shard.AutoMemoryJobs {
		return ""
	}
	fleet.MemoryJobs = shard.AutoMemoryJobs
	other, err := shard.Pack(suite, fleet)
	if err != nil || (plan.Makespan-other.Makespan)*100 < plan.Makespan*substantial {
		return ""
	}
	return fmt.Sprintf("--memory-jobs auto would cut %s, and bring the longest session from %s s to %s s with %s more, %s s of sessions in all instead of %s s",
		longest.Name, seconds(plan.Makespan), seconds(other.Makespan), count(len(other.Shards)-len(plan.Shards), "job"), seconds(sumOf(other)), seconds(sumOf(plan)))
}

// sumOf is the wall time of all jobs of a plan.
func sumOf(plan *shard.Plan) time.Duration {
	sum := time.Duration(0)
	for i := range plan.Shards {
		sum += plan.Shards[i].Wall
	}
	return sum
}

// maxReasons is how many memory jobs are explained, each in a line.
const maxReasons = 10

// printMemory says what is known of the tests' memory, and which jobs are
// there because of it.
func printMemory(sys *system, suite *shard.Suite, plan *shard.Plan) {
	measured, known := 0, false
	tests := map[timing.NodeID]*shard.Test{}
	for i := range suite.Tests {
		t := &suite.Tests[i]
		need := t.Estimate.Need
		known = known || need.High > 0
		if need.High > 0 && t.Estimate.Rung == timing.Measured {
			measured++
		}
		if need.High >= shard.MinNeed {
			tests[t.ID] = t
		}
	}
	if !known {
		return
	}
	sys.say("memory: needs of %s of the tests measured, beside the %s that a worker holds before any test", percent(measured, len(suite.Tests)), bytesOf(suite.Floor))
	if list := uncertain(suite); len(list) > 0 {
		sys.say("memory: %s not certain yet, and planned for with the upper bound, such as %s: %s", count(len(list), "need"), printable(string(list[0].ID)), bounds(list[0].Estimate.Need))
	}
	printReasons(sys, suite, plan, tests)
}

// printReasons says which test makes a memory job one, where no marker does.
func printReasons(sys *system, suite *shard.Suite, plan *shard.Plan, tests map[timing.NodeID]*shard.Test) {
	limit, said := plan.Fleet.Threshold(suite), 0
	for i := range plan.Shards {
		s := &plan.Shards[i]
		if s.Why == shard.Marked {
			continue
		}
		var top *shard.Test
		for _, id := range s.IDs() {
			if t := tests[id]; t != nil && !t.Memory && (top == nil || t.Estimate.Need.High > top.Estimate.Need.High) {
				top = t
			}
		}
		if said++; said > maxReasons || top == nil { // nil: the runner is so small that any need is too much
			continue
		}
		sys.say("%s is a memory job as %s needs %s, above %s (--memory-share)", s.Name, printable(string(top.ID)), bounds(top.Estimate.Need), bytesOf(limit))
	}
	if said > maxReasons {
		sys.say("… and %s", count(said-maxReasons, "memory job")+" more for the same reason")
	}
}

// uncertain returns the tests whose need is not certain yet and matters, the
// widest apart bounds first.
func uncertain(suite *shard.Suite) []*shard.Test {
	var list []*shard.Test
	for i := range suite.Tests {
		if n := suite.Tests[i].Estimate.Need; n.High >= shard.MinNeed && !n.Certain() {
			list = append(list, &suite.Tests[i])
		}
	}
	slices.SortFunc(list, func(a, b *shard.Test) int {
		return cmp.Or(cmp.Compare(spread(b), spread(a)), strings.Compare(string(a.ID), string(b.ID)))
	})
	return list
}

func spread(t *shard.Test) int64 { return t.Estimate.Need.High - t.Estimate.Need.Low }

// bounds writes a need with both bounds, or as one number where they are near
// each other.
func bounds(n timing.Need) string {
	if n.Certain() {
		return bytesOf(n.High)
	}
	if n.Low < 1<<20 {
		return "up to " + bytesOf(n.High)
	}
	return fmt.Sprintf("%s to %s", bytesOf(n.Low), bytesOf(n.High))
}

// seconds writes a duration in seconds, as pytest does.
func seconds(d time.Duration) string {
	return strconv.FormatFloat(d.Seconds(), 'f', 1, 64)
}

func percent(part, whole int) string {
	if part == 0 || whole == 0 {
		return "-"
	}
	p := 100 * float64(part) / float64(whole)
	if p > 99 && part < whole {
		return "99 %"
	}
	return fmt.Sprintf("%.0f %%", max(p, 1))
}

func bytesOf(n int64) string {
	if n <= 0 {
		return "-"
	}
	return humanize.IBytes(uint64(n))
}

// progress shows on a terminal that something long is going on, and how long
// already; in a log it is silent. The function that it returns ends it.
func (sys *system) progress(what string) (stop func()) {
	if !sys.terminal() {
		return func() {}
	}
	done := make(chan struct{})
	var wait sync.WaitGroup
	start := time.Now()
	line := func() string { return fmt.Sprintf("wcshard: %s … %.0f s", what, time.Since(start).Seconds()) }
	wait.Go(func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-done:
				fmt.Fprintf(sys.stderr, "\r%s\r", strings.Repeat(" ", len(line())))
				return
			case <-tick.C:
				fmt.Fprintf(sys.stderr, "\r%s", line())
			}
		}
	})
	var once sync.Once
	return func() { once.Do(func() { close(done); wait.Wait() }) }
}
