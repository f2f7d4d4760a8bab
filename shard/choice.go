package shard

import (
	"cmp"
	"errors"
	"slices"
	"time"

	"github.com/wcshard/wcshard/timing"
)

// Outside is what a job takes outside pytest: checkout, installation, upload.
type Outside struct {
	Took time.Duration // typically
	Late time.Duration // in nine of ten runs no job took more than this above it
}

// Overhead is what jobs of each kind take outside pytest: memory jobs may have a
// runner of their own.
type Overhead struct{ Pool, Memory Outside }

// Of returns what a job takes outside pytest.
func (o Overhead) Of(kind Kind) Outside {
	if kind == Memory {
		return o.Memory
	}
	return o.Pool
}

// worst is what a job comes to where pytest takes so many per cent longer, and the
// rest as long as in nine of ten runs.
func (o Outside) worst(wall time.Duration, margin int) time.Duration {
	return o.Took + o.Late + wall*time.Duration(100+margin)/100
}

// Choice is what one number of pool jobs comes to.
type Choice struct {
	Shards  int           // pool jobs asked for
	Jobs    int           // jobs of the plan, memory jobs included
	Longest time.Duration // the longest job, its overhead included
	Last    *Shard        // that job's
	Sum     time.Duration // of all jobs, each with its overhead
	Plan    *Plan

	overhead Overhead
}

// Worst returns the job that is longest, and what it comes to, where pytest takes so
// many per cent longer in each job, and the rest as long as in nine of ten runs.
func (c *Choice) Worst(margin int) (last *Shard, took time.Duration) {
	for i := range c.Plan.Shards {
		x := &c.Plan.Shards[i]
		if t := c.overhead.Of(x.Kind).worst(x.Wall, margin); t > took || last == nil {
			last, took = x, t
		}
	}
	return last, took
}

// Extremes returns the kind of job that takes most outside pytest, as in nine of ten
// runs, and the kind that takes least.
func (c *Choice) Extremes() (most, least Kind) {
	took := func(k Kind) time.Duration { return c.overhead.Of(k).worst(0, 0) }
	for i := range c.Plan.Shards {
		k := c.Plan.Shards[i].Kind
		if i == 0 || took(k) > took(most) {
			most = k
		}
		if i == 0 || took(k) < took(least) {
			least = k
		}
	}
	return most, least
}

// A chooser packs a suite for numbers of pool jobs, for each of them once.
type chooser struct {
	suite    Suite
	fleet    Fleet
	overhead Overhead
	made     map[int]made // by number of pool jobs
}

type made struct {
	choice Choice
	err    error
}

func newChooser(suite Suite, fleet Fleet, overhead Overhead) *chooser {
	return &chooser{suite, fleet, overhead, map[int]made{}}
}

func (x *chooser) choose(n int) (Choice, error) {
	m, ok := x.made[n]
	if !ok {
		m.choice, m.err = x.pack(n)
		x.made[n] = m
	}
	return m.choice, m.err
}

func (x *chooser) pack(n int) (Choice, error) {
	fleet := x.fleet
	fleet.Shards = n
	plan, err := Pack(x.suite, fleet)
	if err != nil {
		return Choice{}, err
	}
	c := Choice{Shards: n, Jobs: len(plan.Shards), Plan: plan, overhead: x.overhead}
	for i := range plan.Shards {
		s := &plan.Shards[i]
		job := x.overhead.Of(s.Kind).Took + s.Wall
		if job > c.Longest || c.Last == nil {
			c.Longest, c.Last = job, s
		}
		c.Sum += job
	}
	return c, nil
}

// Choices packs a suite for each number of pool jobs from least to most: all of
// them up to 16, then ever wider apart, and most. It ends early where there are no
// more tests to part or no more rows in a matrix.
//
// Errors: those of Pack for the first number.
func Choices(suite Suite, fleet Fleet, least, most int, overhead Overhead) ([]Choice, error) {
	return newChooser(suite, fleet, overhead).choices(least, most)
}

func (x *chooser) choices(least, most int) ([]Choice, error) {
	var all []Choice
	for n := least; ; {
		c, err := x.choose(n)
		if rows, too := tooManyRows(err); too && len(all) > 0 {
			if most = min(n-1, rows); all[len(all)-1].Shards >= most {
				return all, nil
			}
			n = most
			continue
		}
		if err != nil {
			return nil, err
		}
		if len(all) > 0 && c.Jobs == all[len(all)-1].Jobs {
			return all, nil
		}
		all = append(all, c)
		if n == most {
			return all, nil
		}
		n = min(n+max(1, n/8), most)
	}
}

// tooManyRows returns how many pool jobs a matrix has room for, where an error says that
// there would be more.
func tooManyRows(err error) (int, bool) {
	var rows *TooManyRowsError
	if !errors.As(err, &rows) {
		return 0, false
	}
	return MaxRows - rows.Memory, true
}

// TargetMargin is how much longer than predicted the longest job may take and
// still be within its target, in per cent, where nothing is known of earlier runs:
// nine of ten predictions of measured jobs are to be closer than that.
const TargetMargin = 12

// FewestWithin returns the choice with the fewest pool jobs, from least to most, none
// of whose jobs takes longer than the target, with the suite's margin added to pytest
// and overhead as late as in nine of ten runs (Choice.Worst); where there is none, the
// Floor of those that were tried and of Choices, and false.
//
// Numbers of jobs are passed over for which the tests' own time, shared evenly, is
// above the target already. All are where the bound for the most jobs is, as of a test
// that takes longer than the target alone, or what a kind of job takes outside pytest.
//
// Errors: those of Pack.
func FewestWithin(suite Suite, fleet Fleet, least, most int, overhead Overhead, target time.Duration) (Choice, bool, error) {
	margin := cmp.Or(suite.Margin, TargetMargin)
	meets := func(wall time.Duration, kind Kind) bool { return overhead.Of(kind).worst(wall, margin) <= target }
	x := newChooser(suite, fleet, overhead)
	var tried []Choice
	work := time.Duration(0)
	for n := least; n <= most; n++ {
		c, err := x.choose(n)
		if _, too := tooManyRows(err); too && len(tried) > 0 {
			break
		}
		if err != nil {
			return Choice{}, false, err
		}
		if _, took := c.Worst(margin); took <= target {
			return c, true, nil
		}
		if len(tried) > 0 && c.Jobs == tried[len(tried)-1].Jobs {
			break // there are no more tests to part
		}
		if tried = append(tried, c); len(tried) == 1 {
			slowest, fastest := c.Extremes()
			if !meets(0, slowest) {
				break // such jobs there are, whatever their number
			}
			work = poolWork(suite, c.Plan)
			c, err := x.choose(most)
			if rows, too := tooManyRows(err); too && rows > n {
				most = rows
				c, err = x.choose(most)
			}
			if err == nil && !meets(c.Plan.Bound, fastest) {
				tried = append(tried, c)
				break
			}
		}
		for work > 0 && n+1 < most && !meets(suite.LeastBase(workers(fleet))+work/time.Duration((n+1)*workers(fleet)), Pool) {
			n++
		}
	}
	all, err := x.choices(least, most)
	if err != nil {
		return Choice{}, false, err
	}
	all = append(all, tried...)
	slices.SortStableFunc(all, func(x, y Choice) int { return cmp.Compare(x.Shards, y.Shards) })
	return all[Floor(all)], false, nil
}

// Fewer looks for a plan of fewer pool jobs whose longest job is as long as that of
// the plan that the suite has, or shorter, but for a thousandth; false where it finds
// none. It tries the two numbers of jobs that would do if all tests could be parted,
// and no number for suites that take long to pack.
//
// Errors: those of Pack.
func Fewer(suite Suite, plan *Plan) (*Plan, bool, error) {
	const tries, mostTests = 2, 50_000
	foreseen := suite.Foresee(plan.Fleet)
	base, jobs, work := foreseen.LeastBase(workers(plan.Fleet)), 0, time.Duration(0)
	longest := func(p *Plan) time.Duration { // with what jobs take outside pytest
		most := time.Duration(0)
		for i := range p.Shards {
			most = max(most, suite.Overhead.Of(p.Shards[i].Kind).Took+p.Shards[i].Wall)
		}
		return most
	}
	for i := range plan.Shards {
		if x := &plan.Shards[i]; x.Kind == Pool {
			jobs++
			work += x.Wall - base
		}
	}
	most := longest(plan) + plan.Makespan/1000*fine
	room := most - suite.Overhead.Pool.Took - base
	if jobs == 0 || room <= 0 || len(suite.Tests) > mostTests {
		return nil, false, nil
	}
	fleet := plan.Fleet
	first := max(1, int((work+room-1)/room))
	for fleet.Shards = first; fleet.Shards < min(first+tries, jobs); fleet.Shards++ {
		other, err := Pack(suite, fleet)
		if err != nil {
			return nil, false, err
		}
		if longest(other) <= most {
			return other, true, nil
		}
	}
	return nil, false, nil
}

// poolWork is the own time of the tests that a plan has in its pool.
func poolWork(suite Suite, plan *Plan) time.Duration {
	memory := map[timing.NodeID]bool{}
	for i := range plan.Shards {
		if plan.Shards[i].Kind == Memory {
			for _, id := range plan.Shards[i].IDs() {
				memory[id] = true
			}
		}
	}
	sum := time.Duration(0)
	for i := range suite.Tests {
		if t := &suite.Tests[i]; !memory[t.ID] {
			sum += t.Estimate.Wall
		}
	}
	return sum
}

func workers(fleet Fleet) int { return max(1, cmp.Or(fleet.Workers, fleet.CPUs)) }

// Knee returns the index of the choice after which further jobs bring the least
// for what they cost: the point of the curve farthest from the line between its
// ends, both axes scaled to 1 (Satopää et al., Finding a "Kneedle" in a
// Haystack, 2011). Where all of them together bring less than a tenth, it is the first.
func Knee(all []Choice) int {
	knee, farthest := 0, 0.0
	first, last := all[0], all[len(all)-1]
	if last.Shards == first.Shards || last.Longest > first.Longest-first.Longest/10 {
		return 0
	}
	for i, c := range all {
		x := float64(c.Shards-first.Shards) / float64(last.Shards-first.Shards)
		y := float64(first.Longest-c.Longest) / float64(first.Longest-last.Longest)
		if y-x > farthest {
			knee, farthest = i, y-x
		}
	}
	return knee
}

// Floor returns the index of the first choice whose longest job is within a
// hundredth of the shortest there is: more jobs than that help nobody.
func Floor(all []Choice) int {
	least := all[0].Longest
	for _, c := range all {
		least = min(least, c.Longest)
	}
	for i, c := range all {
		if c.Longest <= least+least/100 {
			return i
		}
	}
	return 0
}
