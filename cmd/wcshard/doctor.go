package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/wcshard/wcshard/shard"
	"github.com/wcshard/wcshard/shard/pytest"
	"github.com/wcshard/wcshard/timing"
)

// doctorOptions are the flags of wcshard doctor: those of matrix that say what
// a memory test is and what it costs, and its own.
type doctorOptions struct {
	matrixOptions
	fix bool
}

func newDoctor(sys *system) *cobra.Command {
	var o doctorOptions
	verb := &cobra.Command{
		Use:   "doctor [flags] [-- pytest arguments]",
		Short: "Compare the tests' memory markers with what was measured",
		Long: `Compare the tests' memory markers with what was measured: tests that need much
memory and have no marker, markers that cost a job and are not needed, markers
that are misspelt or not registered; and see whether pytest-xdist is there, and
whether a second collection, which --fix does without, has the same tests, as
each shard collects anew.

--fix prints a patch on standard output that marks what surely needs so much and
registers the marker; git apply takes it. Nothing is changed by doctor itself.

The exit status is 1 when there is something to mend and --fix is not given.`,
		Example: `  wcshard doctor -- tests
  wcshard doctor --fix -- tests | git apply`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.prepare(cmd, args); err != nil {
				return err
			}
			if o.ids != "" {
				return usagef("leave it out", "--ids: markers are in the tests, not in their names")
			}
			return doDoctor(cmd.Context(), sys, o)
		},
	}
	f := verb.Flags()
	o.fleetFlags(f)
	o.sourceFlags(f)
	o.targetOptions.flags(f)
	f.BoolVar(&o.fix, "fix", false, "print a patch that adds marks and registers the marker")
	for _, name := range []string{"ids", "target", "min-shards", "max-shards"} { // what others plan by
		f.MarkHidden(name)
	}
	o.output, o.plan = "json", defaultPlan
	return verb
}

// An examination is all that the doctor looks at, and what it found.
type examination struct {
	sys     *system
	o       doctorOptions
	command pytest.Command
	here    string // the working directory
	tests   *pytest.Collection
	seen    *pytest.Inspection
	suite   shard.Suite
	limit   int64  // a test that needs more is a memory test
	marker  string // the one that new marks are of
	markers []string

	found int         // findings
	mark  []*function // what surely lacks the marker
}

// A function is a test function with its tests, one for each set of
// parameters, as far as they are memory tests without a marker.
type function struct {
	id    timing.NodeID // of its first test, without parameters
	tests int
	need  timing.Need // the most of any
}

func doDoctor(ctx context.Context, sys *system, o doctorOptions) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	history, source, err := o.timings.read(ctx, sys, &o.remote, o.timingsGiven)
	if err != nil {
		return err
	}
	x := &examination{sys: sys, o: o, markers: o.markers, marker: defaultMarker}
	if len(o.markers) > 0 {
		x.marker = o.markers[0]
	}
	if err := x.collect(ctx, history); err != nil {
		return fmt.Errorf("collecting tests: %w", err)
	}
	if err := x.o.targetOptions.learn(history, o.fleet); err != nil {
		return err
	}
	x.suite = makeSuite(x.tests, history, o.fleet, o.markers)
	x.suite.Overhead, x.suite.Margin = x.o.jobs, x.o.margin
	x.limit = o.fleet.Threshold(&x.suite)
	warnHistory(sys, x.suite, source)
	x.checkXdist()
	if !o.fix { // no patch mends what that finds
		if err := x.checkRepeatable(ctx); err != nil {
			return err
		}
	}
	x.checkUnmarked()
	if err := x.checkNeedless(); err != nil {
		return err
	}
	x.sayUncertain()
	x.checkSpelling()
	registration, err := x.checkRegistered()
	if err != nil {
		return err
	}
	if o.fix {
		return x.writePatch(sys.stdout, registration)
	}
	if x.found == 0 && measured(x.suite) == 0 {
		sys.say("no test was measured yet: of %s only their IDs and the names of markers were looked at, and are well", count(len(x.suite.Tests), "test"))
		return nil
	}
	if x.found == 0 {
		sys.say("nothing to mend in %s", count(len(x.suite.Tests), "test"))
		return nil
	}
	sys.say("%s; wcshard doctor --fix prints a patch for what a patch can mend", count(x.found, "finding"))
	return &failure{status: exitTestsFailed}
}

// find prints a finding.
func (x *examination) find(format string, args ...any) {
	x.found++
	x.sys.say(format, args...)
}

// collect collects with pytest, and looks at the source of the files that may
// lack a marker.
func (x *examination) collect(ctx context.Context, history *timing.History) error {
	var err error
	if x.command, err = findPytest(x.sys, x.o.pytest); err != nil {
		return err
	}
	if x.here, err = dir(); err != nil {
		return err
	}
	x.sys.say("collecting with %s (%s)", x.command, x.command.Source)
	x.tests, x.seen, err = x.inspect(ctx, "collecting", x.suspects(history))
	var died *pytest.ExitError
	if errors.As(err, &died) {
		return advise(err, x.unknownMarker(died.Output))
	}
	return err
}

// inspect collects, as often as it is called, and shows what pytest printed where that
// fails.
func (x *examination) inspect(ctx context.Context, doing string, files []string) (*pytest.Collection, *pytest.Inspection, error) {
	stop := x.sys.progress(doing)
	tests, seen, err := pytest.Inspect(ctx, x.command, pytest.CollectOptions{Dir: x.here, Args: x.o.args, Env: x.sys.pytestEnviron()},
		pytest.InspectOptions{Markers: append(slices.Clone(x.markers), x.marker), Files: files})
	stop()
	if ctx.Err() != nil {
		return nil, nil, &failure{status: exitInterrupted, err: errors.New("interrupted"), hint: "nothing was changed; start again when you like"}
	}
	x.sys.showOutput(err)
	return tests, seen, err
}

// suspects returns the files with a test that needs much, by the history.
func (x *examination) suspects(history *timing.History) []string {
	known := history.Estimator(x.o.fleet.Runner)
	limit := x.o.fleet.Threshold(&shard.Suite{Floor: known.Floor(), Controller: known.Controller()})
	files := []string{}
	ids := history.Tests()
	for i, e := range known.Tests(ids) {
		if e.Need.High > limit {
			files = append(files, ids[i].File())
		}
	}
	return slices.Compact(files) // the history is sorted
}

// strictMarker is how pytest refuses a marker under --strict-markers.
var strictMarker = regexp.MustCompile("'([^']+)' not found in `markers` configuration option")

// unknownMarker is the next step for a suite that cannot be collected.
func (x *examination) unknownMarker(output string) string {
	match := strictMarker.FindStringSubmatch(output)
	if match == nil {
		return "" // pytest.Collect has said what to try
	}
	for _, m := range append(slices.Clone(x.markers), x.marker) {
		if alike(match[1], m) {
			return fmt.Sprintf("the marker %s looks like a misspelt %s: mend it where it is used", match[1], m)
		}
	}
	return fmt.Sprintf("register the marker %s in pytest's configuration, or mend its spelling where it is used", match[1])
}

func (x *examination) checkXdist() {
	if x.tests.Collector.Xdist == "" && x.o.fleet.CPUs > 1 && x.o.fleet.Workers != 1 {
		x.find("pytest-xdist is not there: each job runs its tests one after another on one of %s; add it to the suite's requirements: pip install pytest-xdist", count(x.o.fleet.CPUs, "core"))
	}
}

// maxDoubtful is how many tests that only may need much are named.
const maxDoubtful = 5

// checkUnmarked finds tests without the marker that need much. Those that only
// may, as they ran after heavy ones so far, are named and no more.
func (x *examination) checkUnmarked() {
	var doubtful []*function
	for _, f := range x.unmarked() {
		if f.need.Low <= x.limit {
			doubtful = append(doubtful, f)
			continue
		}
		x.mark = append(x.mark, f)
		x.find("%s needs %s and is not marked %s (a memory test needs more than %s)", f.name(), bounds(f.need), x.marker, bytesOf(x.limit))
	}
	if use, memory := x.beside(), x.o.fleet.Budget(x.o.fleet.Memory); len(x.mark) > 0 && use > memory {
		x.sys.say("without a plan, on %s, the tests without the marker can come to %s of the %s that pytest may use on the runner", count(x.o.fleet.CPUs, "worker"), bytesOf(use), bytesOf(memory))
	}
	for i, f := range doubtful {
		if i == maxDoubtful {
			x.sys.say("… and %s more like it", count(len(doubtful)-i, "function"))
			break
		}
		x.sys.say("%s may need %s and is not marked %s: it ran after heavier tests so far, the next runs will tell", f.name(), bounds(f.need), x.marker)
	}
}

// sayUncertain lists the tests whose need the runs so far leave open. That is
// nothing to mend: further runs, in other orders, tell.
func (x *examination) sayUncertain() {
	list := uncertain(&x.suite)
	for i, t := range list {
		if i == maxListed {
			x.sys.say("… and %s more", count(len(list)-i, "test"))
			break
		}
		if i == 0 {
			x.sys.say("the memory of %s is not certain yet; plans count on the upper bound:", count(len(list), "test"))
		}
		fmt.Fprintf(x.sys.stderr, "    %s: %s\n", printable(string(t.ID)), bounds(t.Estimate.Need))
	}
}

// unmarked returns the functions that are, or may be, memory tests and have no
// marker, in running order.
func (x *examination) unmarked() []*function {
	var list []*function
	index := map[string]*function{}
	for i := range x.suite.Tests {
		t := &x.suite.Tests[i]
		n := t.Estimate.Need
		if t.Memory || t.Estimate.Rung != timing.Measured || x.limit <= 0 || n.High <= x.limit {
			continue
		}
		f := index[t.ID.Function()]
		if f == nil {
			f = &function{id: timing.NodeID(t.ID.Function())}
			index[t.ID.Function()] = f
			list = append(list, f)
		}
		f.tests++
		f.need.Low, f.need.High = max(f.need.Low, n.Low), max(f.need.High, n.High)
	}
	return list
}

func (f *function) name() string {
	name := printable(string(f.id))
	if f.tests > 1 {
		name += fmt.Sprintf(" (%d of its tests)", f.tests)
	}
	return name
}

// beside returns what the unmarked tests can come to on all cores at once.
func (x *examination) beside() int64 {
	var needs []int64
	for i := range x.suite.Tests {
		if t := &x.suite.Tests[i]; !t.Memory {
			needs = append(needs, t.Estimate.Need.High)
		}
	}
	slices.SortFunc(needs, func(a, b int64) int { return cmp.Compare(b, a) })
	workers := x.o.fleet.CPUs
	sum := x.suite.Controller + int64(workers)*x.suite.Floor
	for _, n := range needs[:min(workers, len(needs))] {
		sum += n
	}
	return sum
}

// checkNeedless finds files whose marked tests need little, and says what
// their own job costs.
func (x *examination) checkNeedless() error {
	type marked struct {
		file  string
		tests int
		high  int64
	}
	var files []*marked
	needed := map[string]bool{}
	index := map[string]*marked{}
	for i := range x.suite.Tests {
		t := &x.suite.Tests[i]
		if !t.Memory {
			continue
		}
		m := index[t.ID.File()]
		if m == nil {
			m = &marked{file: t.ID.File()}
			index[m.file] = m
			files = append(files, m)
		}
		m.tests++
		m.high = max(m.high, t.Estimate.Need.High)
		if t.Estimate.Rung != timing.Measured || t.Estimate.Need.High == 0 || t.Estimate.Need.High > x.limit {
			needed[m.file] = true
		}
	}
	files = slices.DeleteFunc(files, func(m *marked) bool { return needed[m.file] })
	if len(files) == 0 {
		return nil
	}
	with, err := shard.Pack(x.suite, x.o.fleet)
	if large := (*shard.TooLargeError)(nil); err != nil && !errors.As(err, &large) {
		return fmt.Errorf("packing %s: %w", count(len(x.suite.Tests), "test"), err)
	}
	for _, m := range files {
		cost, err := x.cost(with, m.file)
		if err != nil {
			return err
		}
		x.find("%s is marked (%s) and never needed more than %s, where a memory test needs %s: %s", printable(m.file), count(m.tests, "test"), bytesOf(m.high), bytesOf(x.limit), cost)
	}
	return nil
}

// cost says what the marks of a file cost in the plan with all marks: the time of all
// jobs, and of the longest one. It is unknown where no plan can be made, as there is no
// runner for another test.
func (x *examination) cost(with *shard.Plan, file string) (string, error) {
	if with == nil {
		return "its own job is not needed", nil
	}
	suite := x.suite
	suite.Tests = slices.Clone(suite.Tests)
	for i := range suite.Tests {
		t := &suite.Tests[i]
		t.Memory = t.Memory && t.ID.File() != file
	}
	without, err := shard.Pack(suite, x.o.fleet)
	if err != nil {
		return "", fmt.Errorf("packing without the marks of %s: %w", file, err)
	}
	var costs []string
	if all := x.o.costOf(with) - x.o.costOf(without); all > time.Second {
		costs = append(costs, roughly(all)+" of runner time")
	}
	if d := with.Makespan - without.Makespan; d > time.Second {
		costs = append(costs, roughly(d)+" of waiting")
	}
	if len(costs) == 0 {
		return "its own job is not needed", nil
	}
	return "its own job costs you " + strings.Join(costs, " and "), nil
}

// roughly writes a time as somebody would say it.
func roughly(d time.Duration) string {
	if d < 2*time.Minute {
		return fmt.Sprintf("%.0f s", d.Seconds())
	}
	return fmt.Sprintf("%.0f minutes", d.Minutes())
}

// checkSpelling finds markers that are not registered and look like the memory
// marker.
func (x *examination) checkSpelling() {
	first, tests := map[string]timing.NodeID{}, map[string]int{}
	var names []string
	for i := range x.tests.Tests {
		t := &x.tests.Tests[i]
		for _, m := range t.Markers {
			if tests[m]++; tests[m] == 1 {
				names, first[m] = append(names, m), t.ID
			}
		}
	}
	slices.Sort(names)
	known := append(slices.Clone(x.markers), x.marker)
	for _, m := range names {
		if slices.Contains(known, m) || slices.Contains(x.seen.Markers, m) {
			continue
		}
		if i := slices.IndexFunc(known, func(k string) bool { return alike(m, k) }); i >= 0 {
			x.find("%s (%s) is marked %s, which is not registered: a misspelt %s?", printable(string(first[m])), count(tests[m], "test"), printable(m), known[i])
		}
	}
}

// alike reports whether two names are the same but for case, separators and
// two slips of the pen.
func alike(a, b string) bool {
	plain := strings.NewReplacer("_", "", "-", "")
	return distance(plain.Replace(strings.ToLower(a)), plain.Replace(strings.ToLower(b))) <= 2
}

// distance is Levenshtein's.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		last := row[0]
		row[0] = i + 1
		for j := range len(b) {
			d := last
			if a[i] != b[j] {
				d = 1 + min(last, row[j], row[j+1])
			}
			last, row[j+1] = row[j+1], d
		}
	}
	return row[len(b)]
}

// checkRegistered finds memory markers that are used, or shall be, and are not
// registered, and shows the lines that register them. It returns what a patch
// has to change.
func (x *examination) checkRegistered() (*change, error) {
	used := map[string]int{}
	for i := range x.tests.Tests {
		for _, m := range x.tests.Tests[i].Markers {
			used[m]++
		}
	}
	var missing []string
	for _, m := range append(slices.Clone(x.markers), x.marker) {
		if (used[m] > 0 || m == x.marker && len(x.mark) > 0) && !slices.Contains(x.seen.Markers, m) && !slices.Contains(missing, m) {
			missing = append(missing, m)
		}
	}
	if len(missing) == 0 {
		return nil, nil
	}
	c, err := register(x.seen.Root, x.seen.Ini, missing)
	if err != nil {
		return nil, fmt.Errorf("looking at pytest's configuration: %w", err)
	}
	for _, m := range missing {
		use := "would be used"
		if used[m] > 0 {
			use = "is used by " + count(used[m], "test")
		}
		x.find("the marker %s %s and is not registered; %s needs:", m, use, printable(c.name))
	}
	for _, line := range c.show {
		fmt.Fprintln(x.sys.stderr, "    "+strings.TrimRight(line, "\r\n"))
	}
	if c.byHand {
		x.sys.say("hint: %s has its markers in a form that --fix does not change: add the line by hand", printable(c.name))
	}
	return c, nil
}

// writePatch prints the patch of all files.
func (x *examination) writePatch(w io.Writer, registration *change) error {
	changes, err := x.marks()
	if err != nil {
		return err
	}
	if registration != nil && !registration.byHand {
		changes = append(changes, *registration)
	}
	if len(changes) == 0 {
		x.sys.say("there is nothing that a patch can mend")
		return nil
	}
	above := false
	for _, c := range changes {
		diff, err := c.diff()
		if errors.Is(err, errOutside) {
			x.sys.say("hint: %s is left out of the patch, as %v: mend it by hand, or run wcshard doctor in the folder of the suite", printable(c.name), err)
			continue
		}
		if err != nil {
			return err
		}
		if _, err := w.Write(diff); err != nil {
			return err
		}
		above = above || c.above()
	}
	if above {
		x.sys.say("hint: it is for the repository's top: in a folder below, git apply leaves out without a word what is not there; pipe it to git -C \"$(git rev-parse --show-toplevel)\" apply")
	}
	return nil
}
