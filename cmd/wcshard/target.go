package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/wcshard/wcshard/shard"
	"github.com/wcshard/wcshard/timing"
)

// targetOptions say how long the longest job may take, and how many jobs may be
// had for it.
type targetOptions struct {
	target   time.Duration
	least    int
	most     int
	overhead time.Duration  // --job-overhead
	given    bool           // it was
	jobs     shard.Overhead // what they take outside pytest: given, measured, or assumed
	from     string         // where that is from
	learned  bool           // some of it was measured
	counted  int            // runs that Late of jobs is of; 0 where it is not known
	queued   time.Duration  // how long a pool job waits for a runner; 0 where that is not known
	bounded  []string       // of --min-shards and --max-shards those that were given
	margin   int            // how much longer than predicted the longest job may take within the target, per cent
	accuracy timing.Accuracy
}

// more says how much worse than predicted a job of a kind may come within the target.
func (o *targetOptions) more(kind shard.Kind) string {
	text := fmt.Sprintf("%d %% more for pytest", o.margin)
	if late := o.jobs.Of(kind).Late; late > 0 {
		text += fmt.Sprintf(" and %s s more outside it", seconds(late))
	}
	return text
}

// kept says that more would still keep the target, and what that rests on.
func (o *targetOptions) kept(suite shard.Suite, c shard.Choice) string {
	text := o.more(c.Last.Kind) + " would still keep it"
	known, runs := measured(suite), o.accuracy.Runs
	switch {
	case 2*known < len(suite.Tests):
		return text + fmt.Sprintf("; only %d of %s were measured, so that it may take far longer", known, count(len(suite.Tests), "test"))
	case !o.accuracy.KnowsRuns():
		return text + "; how much more whole runs take is known from the third on"
	case runs < 10 && o.counted < 10:
		return text + fmt.Sprintf("; none of the last %d runs took more", runs)
	}
	return text + "; nine of ten runs took no more"
}

// mostShards is how many pool jobs there may be where nobody says.
const mostShards = 64

func (o *targetOptions) flags(f *pflag.FlagSet) {
	f.DurationVar(&o.target, "target", 0, "keep the longest job, overhead included, within a `DURATION` such as 5m: matrix takes the fewest pool jobs that do, advise marks the cheapest number; 0 is no target")
	f.IntVar(&o.least, "min-shards", 1, "at least `N` pool jobs, with --target and in advise")
	f.IntVar(&o.most, "max-shards", mostShards, "at most `N` pool jobs, with --target and in advise")
	f.DurationVar(&o.overhead, "job-overhead", 25*time.Second, "what a job takes outside pytest (checkout, installation, upload), a `DURATION`; not given, it is what earlier runs measured, or else the default; time limits grow with it")
}

func (o *targetOptions) validate() error {
	switch {
	case o.target < 0:
		return usagef("pass a duration such as 5m", "--target is %s", short(o.target))
	case o.overhead < 0:
		return usagef("pass a duration such as 25s", "--job-overhead is %s", short(o.overhead))
	case o.least < 1 || o.least > shard.MaxRows:
		return usagef("1 is the default", "--min-shards is %d, want 1 to %d, the most jobs of a matrix", o.least, shard.MaxRows)
	case o.most < 1 || o.most > shard.MaxRows:
		return usagef(fmt.Sprintf("%d is the default", mostShards), "--max-shards is %d, want 1 to %d, the most jobs of a matrix", o.most, shard.MaxRows)
	case o.most < o.least:
		return usagef(fmt.Sprintf("pass --max-shards %d or more, or a smaller --min-shards", o.least), "--max-shards is %d, less than --min-shards %d", o.most, o.least)
	}
	return nil
}

// learn takes from the history what a job takes outside pytest, where the user
// does not say, and how far predictions were off.
func (o *targetOptions) learn(history *timing.History, fleet shard.Fleet) error {
	o.accuracy = history.Estimator(fleet.Runner).Accuracy()
	o.margin = o.accuracy.Margin(shard.TargetMargin)
	if o.given {
		if o.target > 0 && o.target <= o.overhead {
			return usagef("pass a longer --target", "--target is %s, and --job-overhead alone %s", short(o.target), short(o.overhead))
		}
		o.jobs.Pool.Took = o.overhead
		o.jobs.Memory, o.from = o.jobs.Pool, "--job-overhead"
		return nil
	}
	o.jobs.Pool, o.from = o.measured(history, fleet.Runner)
	o.queued = history.Estimator(fleet.Runner).Overhead(o.overhead).Queued
	o.jobs.Memory = o.jobs.Pool
	if o.from == "" {
		o.from = "assumed; --job-overhead says otherwise"
	}
	if of := fleet.MemoryRunner; of != "" && of != fleet.Runner {
		if outside, from := o.measured(history, of); from != "" {
			o.jobs.Memory = outside
			o.from += fmt.Sprintf("; on %s %s s, %s", of, seconds(outside.Took), from)
		}
	}
	return nil
}

// measured returns what jobs on a class of runner took outside pytest, and says so; ""
// where no job was measured.
func (o *targetOptions) measured(history *timing.History, runner string) (outside shard.Outside, from string) {
	known := history.Estimator(runner).Overhead(o.overhead)
	if known.Jobs == 0 {
		return shard.Outside{Took: o.overhead}, ""
	}
	o.learned, o.counted = true, max(o.counted, known.Runs)
	from = "measured: the median of " + count(known.Jobs, "job")
	if known.Jobs < timing.FewJobs {
		from = fmt.Sprintf("measured on %s, with the usual %s s as one more", count(known.Jobs, "job"), seconds(o.overhead))
	}
	if known.Queued > 0 {
		from += "; before it, jobs waited " + seconds(known.Queued) + " s for a runner"
	}
	return shard.Outside{Took: known.Took, Late: known.Late}, from
}

// missed says that no number of jobs keeps the target, and what the best one comes
// to: predicted, and if it is as much worse as the target has to allow for.
func (o *targetOptions) missed(best shard.Choice) string {
	numbers := fmt.Sprintf("no number of pool jobs from %d to %d keeps", o.least, o.most)
	if o.least == o.most {
		numbers = count(o.least, "pool job") + " do not keep"
		if o.least == 1 {
			numbers = "1 pool job does not keep"
		}
	}
	text := fmt.Sprintf("%s the longest within %s: the shortest is %s s, with %s", numbers, short(o.target), seconds(best.Longest), count(best.Shards, "pool job"))
	slowest, _ := best.Extremes()
	outside := o.jobs.Of(slowest)
	if outside.Took+outside.Late < o.target {
		last, took := best.Worst(o.margin)
		which := ""
		if last.Kind != best.Last.Kind {
			which = last.Name + " "
		}
		return text + fmt.Sprintf(", and %sup to %s s with %s", which, seconds(took), o.more(last.Kind))
	}
	job := "a job"
	if slowest == shard.Memory && o.jobs.Memory != o.jobs.Pool {
		job = "a memory job"
	}
	text += fmt.Sprintf("; what %s takes outside pytest is %s s alone (%s)", job, seconds(outside.Took), o.from)
	if outside.Late > 0 {
		text += fmt.Sprintf(", and up to %s s in nine of ten runs", seconds(outside.Took+outside.Late))
	}
	return text
}

// worst is what the longest job of a choice takes if it is as much worse than
// predicted as the target has to allow for.
func (o *targetOptions) worst(c shard.Choice) time.Duration {
	_, took := c.Worst(o.margin)
	return took
}

// reachable is a target that the best choice keeps, whole seconds.
func (o *targetOptions) reachable(best shard.Choice) time.Duration {
	return o.worst(best).Truncate(time.Second) + time.Second
}

// hintMissed is the next step after missed.
func (o *targetOptions) hintMissed(best shard.Choice) string {
	return fmt.Sprintf("pass --target %s, which %s would keep", short(o.reachable(best)), count(best.Shards, "pool job"))
}

// reach chooses the number of pool jobs for --target.
func (o *matrixOptions) reach(sys *system, suite shard.Suite) error {
	if o.target == 0 {
		if len(o.bounded) > 0 {
			sys.warn("%s without --target: no limit on --shards, which is %d", strings.Join(o.bounded, " and "), o.fleet.Shards)
		}
		return nil
	}
	if measured(suite) == 0 {
		o.fleet.Shards = min(max(o.fleet.Shards, o.least), o.most)
		sys.warn("--target %s cannot be judged, since no test has been measured: %s", short(o.target), count(o.fleet.Shards, "pool job"))
		return nil
	}
	c, ok, err := shard.FewestWithin(suite, o.fleet, o.least, o.most, o.jobs, o.target)
	if err != nil {
		return fmt.Errorf("packing %s: %w", count(len(suite.Tests), "test"), err)
	}
	o.fleet.Shards = c.Shards
	if ok {
		sys.say("%s for --target %s: the longest takes %s s, %s s of it outside pytest; %s", count(c.Shards, "pool job"), short(o.target), seconds(c.Longest), seconds(o.jobs.Of(c.Last.Kind).Took), o.kept(suite, c))
		return nil
	}
	sys.warn("%s", o.missed(c))
	findFloor(suite, c, o.most).print(sys)
	sys.say("hint: %s", o.hintMissed(c))
	return nil
}

// short writes a duration as people type it: 5m, not 5m0s.
func short(d time.Duration) string {
	text := d.String()
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(text, zero) {
			text = text[:len(text)-2]
		}
	}
	return text
}
