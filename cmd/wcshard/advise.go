package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
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
	overhead time.Duration
	given    bool          // --job-overhead
	from     string        // where overhead comes from
	late     time.Duration // in nine of ten runs no job took more than this above overhead
	margin   int           // how much longer than predicted the longest job may take within the target, per cent
	accuracy timing.Accuracy
}

// room is what the target leaves if a job's overhead is as long as in nine of ten
// runs at most.
func (o *targetOptions) room() time.Duration { return o.target - o.late }

// kept says how much worse than predicted it may come within the target.
func (o *targetOptions) kept() string {
	text := fmt.Sprintf("%d %% more for pytest", o.margin)
	if o.late > 0 {
		text += fmt.Sprintf(" and %s s more beside it", seconds(o.late))
	}
	if !o.accuracy.KnowsRuns() {
		return text + " would still keep it; how far predictions are off is not known yet"
	}
	return text + " would still keep it, as nine of ten earlier runs did"
}

func (o *targetOptions) flags(f *pflag.FlagSet) {
	f.DurationVar(&o.target, "target", 0, "keep the longest job, overhead included, within a `DURATION` such as 5m: matrix takes the fewest pool jobs that do, advise marks the cheapest number; 0 is no target")
	f.IntVar(&o.least, "min-shards", 1, "at least `N` pool jobs, with --target and in advise")
	f.IntVar(&o.most, "max-shards", 64, "at most `N` pool jobs, with --target and in advise")
	f.DurationVar(&o.overhead, "job-overhead", 25*time.Second, "what a job takes beside pytest (checkout, installation, upload), a `DURATION`; without it counts what earlier runs measured, if they did; a long one widens the time limits")
}

func (o *targetOptions) validate() error {
	switch {
	case o.target < 0:
		return usagef("pass a duration such as 5m", "--target is %v", o.target)
	case o.overhead < 0:
		return usagef("pass a duration such as 25s", "--job-overhead is %v", o.overhead)
	case o.least < 1 || o.most < o.least || o.most > shard.MaxRows:
		return usagef(fmt.Sprintf("a matrix has at most %d jobs", shard.MaxRows), "--min-shards is %d and --max-shards %d", o.least, o.most)
	}
	return nil
}

// learn takes from the history what a job takes beside pytest, where the user
// does not say, and how far predictions were off.
func (o *targetOptions) learn(history *timing.History, runner string) error {
	known := history.Estimator(runner)
	o.accuracy = known.Accuracy()
	o.margin = o.accuracy.Margin(shard.TargetMargin)
	measured := known.Overhead(o.overhead)
	switch {
	case o.given:
		o.from = "--job-overhead"
		if o.target > 0 && o.target <= o.overhead {
			return usagef("pass a longer --target", "--target is %v, and --job-overhead alone %v", o.target, o.overhead)
		}
	case measured.Jobs > 0:
		o.from = "measured: the median of " + count(measured.Jobs, "job")
		if usual := o.overhead; measured.Jobs < timing.FewJobs {
			o.from = fmt.Sprintf("measured on %s, with the usual %s s as one more", count(measured.Jobs, "job"), seconds(usual))
		}
		o.overhead, o.late = measured.Took, measured.Late-measured.Took
		if measured.Queued > 0 {
			o.from += "; before it, jobs waited " + seconds(measured.Queued) + " s for a runner"
		}
	default:
		o.from = "assumed; --job-overhead says otherwise"
	}
	return nil
}

// beside says so where the target is missed by what jobs take beside pytest alone.
func (o *targetOptions) beside() string {
	if o.overhead < o.room() {
		return ""
	}
	text := fmt.Sprintf("; what a job takes beside pytest is %s s alone", seconds(o.overhead))
	if o.late > 0 {
		text += fmt.Sprintf(", and up to %s s in nine of ten runs", seconds(o.overhead+o.late))
	}
	return text
}

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

Marked are the knee, after which a further job brings less than the ones before;
the floor, from which on no job more makes a run faster, and what sets it; and
with --target the cheapest number that keeps the longest job within it, even if
it takes as much longer than predicted as that of nine of ten earlier runs did at
most; where those are not known, ` + fmt.Sprint(shard.TargetMargin) + ` %. Beyond 16 jobs not every number is planned, but
the fewest for --target are always among them.

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
	f.StringVar(&o.prices, "prices", "", "prices of runners by label, a JSON `FILE` (default: GitHub's, built in)")
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
	tests    int
	offers   []offer
	knee     int // indexes into offers
	floor    int
	cheapest int // within the target; -1 where none is, or there is no target
	options  targetOptions
	prices   prices
	unpriced []string // labels without a price
	reason   string   // what sets the floor
	cuts     []string // what would help to get below it
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
	if o.target > 0 && measured(suite) == 0 {
		sys.warn("--target %s cannot be judged, since no test has been measured", short(o.target))
		o.target = 0
	}
	stop := sys.progress("planning for each number of jobs")
	all, err := shard.Choices(suite, o.fleet, o.least, o.most, o.overhead)
	if err == nil {
		all, err = o.addFewest(suite, all)
	}
	stop()
	if err != nil {
		return fmt.Errorf("packing %s: %w", count(len(suite.Tests), "test"), err)
	}
	a := advice{tests: len(suite.Tests), knee: shard.Knee(all), floor: shard.Floor(all), cheapest: -1, options: o.targetOptions, prices: rates}
	a.knee = min(a.knee, a.floor) // what the last per cent looks like is no knee
	for _, c := range all {
		a.offers = append(a.offers, a.offer(c, o.fleet, suite.Base))
	}
	for i := range a.offers {
		if a.offers[i].within && (a.cheapest < 0 || a.cheaper(a.offers[i], a.offers[a.cheapest])) {
			a.cheapest = i
		}
	}
	a.reason, a.cuts = floorReason(suite, all[a.floor], o.most)
	if text := memoryGain(suite, all[a.floor].Plan); text != "" {
		a.cuts = append(a.cuts, text)
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
	meets := func(c shard.Choice) bool {
		return shard.Within(c.Longest-o.overhead, o.overhead, o.room(), o.margin)
	}
	i := slices.IndexFunc(all, meets)
	if o.target == 0 || i < 1 || all[i].Shards == all[i-1].Shards+1 {
		return all, nil
	}
	c, ok, err := shard.FewestWithin(suite, o.fleet, all[i-1].Shards+1, all[i].Shards, o.overhead, o.room())
	if err != nil || !ok || c.Shards == all[i].Shards {
		return all, err
	}
	return slices.Insert(all, i, c), nil
}

// offer prices a choice. The job that makes the matrix collects, and the gate
// takes no more than its overhead.
func (a *advice) offer(c shard.Choice, fleet shard.Fleet, base time.Duration) offer {
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
	bill(fleet.Runner, a.options.overhead+base)
	bill(fleet.Runner, a.options.overhead)
	for i := range c.Plan.Shards {
		bill(c.Plan.Shards[i].Runner, a.options.overhead+c.Plan.Shards[i].Wall)
	}
	of.within = a.options.target > 0 && shard.Within(c.Longest-a.options.overhead, a.options.overhead, a.options.room(), a.options.margin)
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
		sys.say("up to %s it gets no faster (--json has all)", count(rest[len(rest)-1].Shards, "pool job"))
	}
	sys.say("%s; each job takes %s s beside pytest (%s)", count(a.tests, "test"), seconds(a.options.overhead), a.options.from)
	if text := a.options.expected(); text != "" {
		sys.say("%s", text)
	}
	if len(a.unpriced) > 0 {
		sys.say("no price is known for %s: pass --prices FILE", strings.Join(a.unpriced, ", "))
	} else {
		sys.say("prices of %s%s", a.prices.Source, after("; ", a.prices.Free))
	}
	if a.reason != "" {
		sys.say("%s", a.reason)
	}
	for _, cut := range a.cuts {
		sys.say("to get below it: %s", cut)
	}
	if a.options.target > 0 && a.cheapest >= 0 {
		sys.say("%s for --target %s: %s", count(a.offers[a.cheapest].Shards, "pool job"), short(a.options.target), a.options.kept())
	}
	if a.options.target > 0 && a.cheapest < 0 {
		sys.say("no number of pool jobs from %d to %d keeps the longest within %s: the shortest is %s s, with %s%s", a.options.least, a.options.most, short(a.options.target), seconds(a.offers[a.floor].Longest), count(a.offers[a.floor].Shards, "pool job"), a.options.beside())
	}
}

// mark says what is special about an offer.
func (a *advice) mark(i int) string {
	var marks []string
	if i == a.cheapest {
		marks = append(marks, fmt.Sprintf("cheapest within %s", short(a.options.target)))
	}
	if i == a.knee && len(a.offers) > 2 {
		marks = append(marks, "knee")
	}
	if i == a.floor {
		marks = append(marks, "floor")
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
		Within  bool     `json:"within_target"`
	}
	shards := func(i int) *int {
		if i < 0 {
			return nil
		}
		return &a.offers[i].Shards
	}
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
		Overhead float64  `json:"overhead_seconds"`
		From     string   `json:"overhead_from"`
		Error    *errors  `json:"expected_error"`
		Margin   int      `json:"target_margin_percent"`
		Choices  []row    `json:"choices"`
		Knee     *int     `json:"knee_shards"`
		Floor    *int     `json:"floor_shards"`
		Cheapest *int     `json:"cheapest_within_target_shards"`
		Reason   string   `json:"floor_reason"`
		Cuts     []string `json:"cuts"`
	}{Tests: a.tests, Currency: a.prices.Currency, Knee: shards(a.knee), Floor: shards(a.floor), Cheapest: shards(a.cheapest), Reason: a.reason, Cuts: slices.Concat([]string{}, a.cuts),
		Overhead: a.options.overhead.Seconds(), From: a.options.from, Margin: a.options.margin}
	out.Prices, out.Unpriced = a.prices.Source, slices.Concat([]string{}, a.unpriced)
	if a.options.target > 0 {
		seconds := a.options.target.Seconds()
		out.Target = &seconds
	}
	if known := a.options.accuracy; known.Known() {
		out.Error = &errors{known.Jobs, known.Median, known.Ninth}
	}
	for _, of := range a.offers {
		r := row{of.Shards, of.Jobs, of.Longest.Seconds(), of.Sum.Seconds(), of.billed, nil, of.within}
		if len(a.unpriced) == 0 {
			r.Cost = &of.cost
		}
		out.Choices = append(out.Choices, r)
	}
	encoder := json.NewEncoder(sys.stdout)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(out)
}

// reach chooses the number of pool jobs for --target.
func (o *matrixOptions) reach(sys *system, suite shard.Suite) error {
	if o.targetOptions.target == 0 {
		return nil
	}
	if measured(suite) == 0 {
		sys.warn("--target %s cannot be judged, since no test has been measured: %s", short(o.target), count(o.fleet.Shards, "pool job"))
		return nil
	}
	c, ok, err := shard.FewestWithin(suite, o.fleet, o.least, o.most, o.overhead, o.room())
	if err != nil {
		return fmt.Errorf("packing %s: %w", count(len(suite.Tests), "test"), err)
	}
	o.fleet.Shards = c.Shards
	if ok {
		sys.say("%s for --target %s: the longest takes %s s, %s s of it beside pytest; %s", count(c.Shards, "pool job"), short(o.target), seconds(c.Longest), seconds(o.overhead), o.kept())
		return nil
	}
	reason, _ := floorReason(suite, c, o.most)
	sys.warn("no number of pool jobs from %d to %d keeps the longest job within %s: the shortest is %s s, with %s%s", o.least, o.most, short(o.target), seconds(c.Longest), count(c.Shards, "pool job"), o.beside())
	sys.say("%s", reason)
	return nil
}

// short writes a duration as people type it: 5m, not 5m0s.
func short(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	return text
}
