package main

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/wcshard/wcshard/shard"
	"github.com/wcshard/wcshard/timing"
)

// expected says how far predictions were off, and so are expected to be; "" where
// that is not known.
func (o *targetOptions) expected() string {
	if !o.accuracy.Known() {
		return ""
	}
	return expectedError(o.accuracy)
}

func expectedError(a timing.Accuracy) string {
	return fmt.Sprintf("expected error ±%s %% from %s (nine of ten within %s %%)", perCent(a.Median), count(a.Jobs, "earlier job"), perCent(a.Ninth))
}

// perCent writes so many per mille as per cent, at least 1.
func perCent(mille int) string { return strconv.Itoa(max(1, (mille+5)/10)) }

// adviseOptions are the flags of wcshard advise.
type adviseOptions struct {
	matrixOptions
	prices string
	json   bool
}

func newAdvise(sys *system) *cobra.Command {
	var o adviseOptions
	verb := &cobra.Command{
		Use:   "advise [flags] [-- pytest arguments]",
		Short: "Say what each number of jobs comes to, in time and in money",
		Long: `Plan the suite for each number of pool jobs, and show how long the longest job
is, what all of them take, the minutes that are billed (each job rounded up, with
one for the job that makes the matrix and one for the gate) and what a run costs.

Marked are the knee, after which a further job brings less than the ones before
(the first line, where all of them bring less than a tenth);
the floor, from which on no job more makes a run faster by 1 %, and what
sets it; and with --target the fewest, which wcshard matrix takes, and the
cheapest that keep the longest job within it, even if pytest takes as much longer
than predicted as in nine of ten earlier runs; where those are not known,
` + fmt.Sprint(shard.TargetMargin) + ` %. Beyond 16 jobs not every number is planned, but the fewest for --target are
always among them.

The built-in prices are those of private repositories, where ubuntu-latest has
fewer cores than in public ones, whose runs cost nothing: pass --runner-cpus to
plan for the machine that you pay for.`,
		Example: `  wcshard advise -- tests
  wcshard advise --target 5m --job-overhead 40s
  wcshard advise --timings github --json`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.prepare(cmd, args); err != nil {
				return err
			}
			return doAdvise(cmd.Context(), sys, o)
		},
	}
	f := verb.Flags()
	o.fleetFlags(f)
	o.sourceFlags(f)
	o.targetOptions.flags(f)
	f.StringVar(&o.prices, "prices", "", "prices of runners by label, a JSON `FILE`, on top of GitHub's, which are built in, or in place of them in another currency")
	f.BoolVar(&o.json, "json", false, "print the advice as JSON")
	f.MarkHidden("shards")
	o.output, o.plan = "json", defaultPlan
	return verb
}

// offer is one choice with what it costs.
type offer struct {
	shard.Choice
	billed int     // minutes
	cost   float64 // in the currency of the prices
	within bool    // the target
}

// cheaper compares what two offers cost, in thousandths of a cent: sums of the
// same prices in another order differ in the last digit. Where a price is not known,
// minutes are compared.
func (a *advice) cheaper(o, other offer) bool {
	if len(a.unpriced) > 0 {
		return o.billed < other.billed
	}
	return math.Round(o.cost*1e5) < math.Round(other.cost*1e5)
}

// advice is what doAdvise prints.
type advice struct {
	suite    shard.Suite
	offers   []offer
	knee     int // indexes into offers
	floor    int
	fewest   int // within the target; -1 where none is, or there is no target
	cheapest int
	guessed  bool // no test has been measured
	options  targetOptions
	prices   prices
	file     string   // that the prices are from; "" for those that are built in
	unpriced []string // labels without a price
	why      floor    // what sets the floor
}

func doAdvise(ctx context.Context, sys *system, o adviseOptions) error {
	rates, err := readPrices(sys, o.prices)
	if err != nil {
		return err
	}
	m, err := o.load(ctx, sys)
	if err != nil {
		return err
	}
	suite := m.suite
	warnHistory(sys, suite, m.source)
	guessed := measured(suite) == 0
	if guessed {
		sys.warn("no test has been measured: the times are guesses, and say nothing of how many jobs pay")
		if o.target > 0 {
			sys.warn("--target %s cannot be judged", short(o.target))
		}
		o.target = 0
	}
	stop := sys.progress("planning for each number of jobs")
	all, err := shard.Choices(suite, o.fleet, o.least, o.most, o.jobs)
	if err == nil {
		all, err = o.addFewest(suite, all)
	}
	stop()
	if err != nil {
		return fmt.Errorf("packing %s: %w", count(len(suite.Tests), "test"), err)
	}
	a := advice{suite: suite, knee: shard.Knee(all), floor: shard.Floor(all), fewest: -1, cheapest: -1, guessed: guessed, options: o.targetOptions, prices: rates, file: o.prices}
	a.knee = min(a.knee, a.floor) // what the last per cent looks like is no knee
	collecting := suite.Base      // and collecting imports all files
	for _, s := range suite.Setups {
		if s.Import {
			collecting += s.Cost
		}
	}
	for _, c := range all {
		a.offers = append(a.offers, a.offer(c, o.fleet, collecting))
	}
	for i := range a.offers {
		if a.offers[i].within && a.fewest < 0 {
			a.fewest = i
		}
		if a.offers[i].within && (a.cheapest < 0 || a.cheaper(a.offers[i], a.offers[a.cheapest])) {
			a.cheapest = i
		}
	}
	if !guessed {
		a.why = findFloor(suite, all[a.floor], o.most)
		if best := all[a.floor]; best.Last.Kind == shard.Memory {
			if text := memoryGain(suite, best.Plan); text != "" {
				a.why.cuts = append(a.why.cuts, text)
			}
		}
	}
	if o.json {
		return a.writeJSON(sys)
	}
	a.print(sys)
	return nil
}

// addFewest adds the fewest jobs that keep the target, where they are not among
// the choices: beyond some not every number is.
func (o *adviseOptions) addFewest(suite shard.Suite, all []shard.Choice) ([]shard.Choice, error) {
	i := slices.IndexFunc(all, func(c shard.Choice) bool { return o.worst(c) <= o.target })
	if o.target == 0 || i < 1 || all[i].Shards == all[i-1].Shards+1 {
		return all, nil
	}
	c, ok, err := shard.FewestWithin(suite, o.fleet, all[i-1].Shards+1, all[i].Shards, o.jobs, o.target)
	if err != nil || !ok || c.Shards == all[i].Shards {
		return all, err
	}
	return slices.Insert(all, i, c), nil
}

// offer prices a choice. The job that makes the matrix collects, and the gate
// takes no more than its overhead; README's workflow has both on ubuntu-latest.
func (a *advice) offer(c shard.Choice, fleet shard.Fleet, collecting time.Duration) offer {
	of := offer{Choice: c}
	bill := func(label string, job time.Duration) {
		n := minutes(job)
		of.billed += n
		price, ok := a.prices.PerMinute[label]
		if !ok && !slices.Contains(a.unpriced, label) {
			a.unpriced = append(a.unpriced, label)
		}
		of.cost += float64(n) * price
	}
	ours := fleet.Runner
	if standard(ours) {
		ours = defaultRunner
	}
	bill(ours, a.options.jobs.Pool.Took+collecting)
	bill(ours, a.options.jobs.Pool.Took)
	for i := range c.Plan.Shards {
		x := &c.Plan.Shards[i]
		bill(x.Runner, a.options.jobs.Of(x.Kind).Took+x.Wall)
	}
	of.within = a.options.target > 0 && a.options.worst(c) <= a.options.target
	return of
}

// barWidth is how many characters the longest bar of the chart has.
const barWidth = 24

// beyondFloor is how many choices are shown above the floor: enough to see that
// they bring nothing.
const beyondFloor = 3

// print shows the advice on standard output as a table with a chart.
func (a *advice) print(sys *system) {
	table := tabwriter.NewWriter(sys.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "shards\tjobs\tlongest s\tsum of jobs s\tbilled min\t%s\t\t\n", cmp.Or(a.prices.Currency, "cost"))
	longest := time.Duration(1)
	for _, of := range a.offers {
		longest = max(longest, of.Longest)
	}
	shown := min(len(a.offers), max(a.floor, a.cheapest)+1+beyondFloor)
	for i, of := range a.offers[:shown] {
		bar := strings.Repeat("#", max(1, int(of.Longest*barWidth/longest)))
		cost := fmt.Sprintf("%.3f", of.cost)
		if len(a.unpriced) > 0 {
			cost = "-"
		}
		fmt.Fprintf(table, "%d\t%d\t%s\t%s\t%d\t%s\t%s\t%s\n", of.Shards, of.Jobs, seconds(of.Longest), seconds(of.Sum), of.billed, cost, bar, a.mark(i))
	}
	table.Flush()
	if rest := a.offers[shown:]; len(rest) > 0 {
		sys.say("more pool jobs, up to %d, would shorten the run by less than 1 %% (--json has all)", rest[len(rest)-1].Shards)
	}
	sys.say("%s; each job takes %s s outside pytest (%s)", count(len(a.suite.Tests), "test"), seconds(a.options.jobs.Pool.Took), a.options.from)
	if text := a.options.expected(); text != "" {
		sys.say("%s", text)
	}
	if len(a.unpriced) > 0 {
		next := "pass --prices FILE"
		if a.file != "" {
			next = "add it to per_minute in " + a.file
		}
		sys.say("no price is known for %s: %s", strings.Join(a.unpriced, ", "), next)
	} else {
		sys.say("prices of %s%s", a.prices.Source, after("; ", a.prices.Free))
	}
	a.why.print(sys)
	if a.options.target > 0 {
		a.printTarget(sys)
	}
}

// printTarget says what keeps the target.
func (a *advice) printTarget(sys *system) {
	target := short(a.options.target)
	switch {
	case a.fewest < 0:
		best := a.offers[a.floor].Choice
		sys.say("%s", a.options.missed(best))
		sys.say("hint: %s", a.options.hintMissed(best))
	case a.fewest == a.cheapest:
		sys.say("%s for --target %s: %s", count(a.offers[a.fewest].Shards, "pool job"), target, a.options.kept(a.suite, a.offers[a.fewest].Choice))
	default:
		cheapest := a.offers[a.cheapest].Shards
		sys.say("%s are the fewest for --target %s, which wcshard matrix takes, and %d the cheapest: %s", count(a.offers[a.fewest].Shards, "pool job"), target, cheapest, a.options.kept(a.suite, a.offers[a.fewest].Choice))
		sys.say("hint: for the cheapest, wcshard matrix --shards %d", cheapest)
	}
}

// mark says what is special about an offer.
func (a *advice) mark(i int) string {
	var marks []string
	target := short(a.options.target)
	switch {
	case i == a.fewest && i == a.cheapest:
		marks = append(marks, "fewest and cheapest within "+target)
	case i == a.fewest:
		marks = append(marks, "fewest within "+target)
	case i == a.cheapest:
		marks = append(marks, "cheapest within "+target)
	}
	if i == a.knee && len(a.offers) > 2 && !a.guessed {
		marks = append(marks, "knee")
	}
	if i == a.floor && !a.guessed {
		if a.why.limit {
			marks = append(marks, "as far as --max-shards goes")
		} else {
			marks = append(marks, "floor")
		}
	}
	if len(marks) == 0 {
		return ""
	}
	return "<- " + strings.Join(marks, ", ")
}

// writeJSON prints the advice for machines: seconds, minutes, and money.
func (a *advice) writeJSON(sys *system) error {
	type row struct {
		Shards  int      `json:"shards"`
		Jobs    int      `json:"jobs"`
		Longest float64  `json:"longest_seconds"`
		Sum     float64  `json:"sum_seconds"`
		Billed  int      `json:"billed_minutes"`
		Cost    *float64 `json:"cost"`
		Worst   *float64 `json:"worst_seconds"` // of the longest, which the target has to allow for
		Within  *bool    `json:"within_target"`
	}
	shards := func(i int) *int {
		if i < 0 || a.guessed {
			return nil
		}
		return &a.offers[i].Shards
	}
	jobs := a.options.jobs
	type errors struct {
		Jobs   int `json:"jobs"`
		Median int `json:"median_permille"`
		Ninth  int `json:"ninth_permille"`
	}
	out := struct {
		Tests    int      `json:"tests"`
		Currency string   `json:"currency"`
		Prices   string   `json:"prices"`   // where they are from
		Unpriced []string `json:"unpriced"` // labels without one
		Target   *float64 `json:"target_seconds"`
		Best     *float64 `json:"reachable_target_seconds"` // where no number keeps the target: one that the floor's keeps
		Overhead float64  `json:"overhead_seconds"`
		From     string   `json:"overhead_from"`
		Late     float64  `json:"late_seconds"` // that it may take longer, as in nine of ten runs
		Memory   float64  `json:"memory_overhead_seconds"`
		Later    float64  `json:"memory_late_seconds"`
		Queued   float64  `json:"queued_seconds"` // for a runner, which is no part of a job
		Error    *errors  `json:"expected_error"`
		Margin   int      `json:"target_margin_percent"`
		Choices  []row    `json:"choices"`
		Knee     *int     `json:"knee_shards"`
		Floor    *int     `json:"floor_shards"`
		Fewest   *int     `json:"fewest_within_target_shards"`
		Cheapest *int     `json:"cheapest_within_target_shards"`
		Reason   string   `json:"floor_reason"`
		Limit    bool     `json:"floor_is_max_shards"` // more jobs may be faster
		Cuts     []string `json:"cuts"`
	}{Tests: len(a.suite.Tests), Currency: a.prices.Currency, Knee: shards(a.knee), Floor: shards(a.floor), Fewest: shards(a.fewest), Cheapest: shards(a.cheapest), Reason: a.why.reason, Limit: a.why.limit, Cuts: append([]string{}, a.why.cuts...),
		Overhead: jobs.Pool.Took.Seconds(), Late: jobs.Pool.Late.Seconds(), Memory: jobs.Memory.Took.Seconds(), Later: jobs.Memory.Late.Seconds(), Queued: a.options.queued.Seconds(), From: a.options.from, Margin: a.options.margin}
	out.Prices, out.Unpriced = a.prices.Source, append([]string{}, a.unpriced...)
	if a.options.target > 0 {
		seconds := a.options.target.Seconds()
		out.Target = &seconds
		if a.fewest < 0 {
			best := a.options.reachable(a.offers[a.floor].Choice).Seconds()
			out.Best = &best
		}
	}
	if known := a.options.accuracy; known.Known() {
		out.Error = &errors{known.Jobs, known.Median, known.Ninth}
	}
	for _, of := range a.offers {
		r := row{of.Shards, of.Jobs, of.Longest.Seconds(), of.Sum.Seconds(), of.billed, nil, nil, nil}
		if len(a.unpriced) == 0 {
			cost := math.Round(of.cost*1e6) / 1e6 // sums of prices have digits that nobody asked for
			r.Cost = &cost
		}
		if a.options.target > 0 {
			worst := a.options.worst(of.Choice).Seconds()
			r.Worst, r.Within = &worst, &of.within
		}
		out.Choices = append(out.Choices, r)
	}
	return sys.writeJSON(out)
}
