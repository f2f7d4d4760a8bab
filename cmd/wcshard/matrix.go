package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/wcshard/wcshard/shard"
	"github.com/wcshard/wcshard/shard/pytest"
	"github.com/wcshard/wcshard/timing"
)

const (
	defaultPlan    = "wcshard-plan.json"
	defaultTimings = "wcshard-timings.jsonl"
	defaultResults = "wcshard-results"
	defaultMarker  = "memory_intensive"

	maxWorkers = 4096 // as shard.Pack takes them; no machine has more cores
)

// matrixOptions are the flags of wcshard matrix.
type matrixOptions struct {
	pytest       string
	ids          string
	timings      historySources
	saveTimings  string
	maxParallel  int
	plan         string
	lastPlan     string
	output       string
	self         string // SHA-256 of this program, for GitHub
	pipeline     string
	workers      string
	memory       string // --runner-memory
	memoryMemory string // --memory-runner-memory
	reserve      string // --memory-reserve
	memWorkers   string // --memory-workers
	memJobs      string // --memory-jobs
	markers      []string
	noTests      bool // --allow-empty
	fleet        shard.Fleet
	timingsGiven bool
	remote       remoteOptions
	runnerGiven  bool
	pytestArgs   string
	args         []string // pytest's
	targetOptions
}

func newMatrix(sys *system) *cobra.Command {
	var o matrixOptions
	verb := &cobra.Command{
		Use:   "matrix [flags] [-- pytest arguments]",
		Short: "Collect the tests, pack them, write the plan and print the job matrix",
		Long: `Collect the tests with your own pytest, pack them over jobs from measured
durations, write the plan file, and print the matrix as one line of JSON for
fromJSON. Everything else goes to standard error.

A memory test has the marker, or is known to need more than --memory-share of
the runner's memory, without the reserve and what its workers hold before any
test. Each file with memory tests gets a job of its own for those tests; the
rest of the file stays in the pool. A job gets as many workers as its cores and
its memory have room for. pytest is looked for in this order: --pytest, the
active virtual environment, .venv, uv run (where there is a uv.lock), python3 -m
pytest.

timeout is in whole minutes: ` + timeoutRule() + `.`,
		Example: `  wcshard matrix --shards 4 -- tests
  wcshard matrix --shards 8 --workers 4 --pytest "uv run pytest" --output github
  ` + listIDs + ` | wcshard matrix --shards 3 --ids -`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.prepare(cmd, args); err != nil {
				return err
			}
			return doMatrix(cmd.Context(), sys, o)
		},
	}
	f := verb.Flags()
	o.fleetFlags(f)
	o.sourceFlags(f)
	o.targetOptions.flags(f)
	f.StringVar(&o.saveTimings, "save-timings", "", "write the history that the plan rests on to a `FILE`; .gz compresses")
	f.StringVar(&o.plan, "plan", defaultPlan, "plan `FILE` to write; .gz compresses")
	f.StringVar(&o.lastPlan, "last-plan", "", "earlier plan `FILE` to stay close to: few tests change jobs")
	f.StringVar(&o.output, "output", "json", "`json|github|gitlab`: github also appends matrix, count, plan-digest and max-parallel to $GITHUB_OUTPUT, gitlab writes --pipeline")
	f.StringVar(&o.pipeline, "pipeline", defaultPipeline, "with --output gitlab: child pipeline to write, a `FILE`")
	f.IntVar(&o.maxParallel, "max-parallel", 0, "with --output github: at most `N` jobs at a time, for strategy: max-parallel; 0 is no limit")
	f.BoolVar(&o.noTests, "allow-empty", false, "accept a suite without tests: count is 0")
	return verb
}

// prepare reads the command line of a verb that collects.
func (o *matrixOptions) prepare(cmd *cobra.Command, args []string) error {
	own, rest := split(cmd, args)
	err := noArguments(cmd, own)
	if err != nil {
		return err
	}
	if o.args, err = pytestArgs(o.pytestArgs, rest); err != nil {
		return err
	}
	o.timingsGiven = cmd.Flags().Changed("timings")
	o.runnerGiven = cmd.Flags().Changed("runner")
	o.targetOptions.given = cmd.Flags().Changed("job-overhead")
	for _, flag := range []string{"min-shards", "max-shards"} {
		if cmd.Flags().Changed(flag) {
			o.bounded = append(o.bounded, "--"+flag)
		}
	}
	return o.validate()
}

// sourceFlags are the flags about the tests and what is known of them.
func (o *matrixOptions) sourceFlags(f *pflag.FlagSet) {
	f.StringArrayVar((*[]string)(&o.timings), "timings", []string{defaultTimings}, "history of durations: a `FILE`, github (that of the newest good run of the default branch) or cache:FILE (what a CI restored, if anything); repeatable, the first one with a history is used; without any, tests are divided by number")
	o.remote.where(f, "--timings github")
	f.StringVar(&o.ids, "ids", "", "plan the node IDs in `FILE`, one a line, instead of collecting (- is standard input)")
	f.StringVar(&o.pytest, "pytest", "", "`COMMAND` that calls pytest, such as \"uv run pytest\"")
	f.StringVar(&o.pytestArgs, "pytest-args", "", "`ARGUMENTS` for pytest in one string, quoted as in a shell; those after -- follow")
}

// fleetFlags are the flags about the runners and their memory.
func (o *matrixOptions) fleetFlags(f *pflag.FlagSet) {
	f.IntVar(&o.fleet.Shards, "shards", 4, "`N` pool jobs; with --target only while no test has been measured")
	f.StringVar(&o.workers, "workers", "auto", "xdist workers of a pool job, `auto|N`; auto is one for each core of the runner")
	f.StringArrayVar(&o.markers, "memory-marker", []string{defaultMarker}, "`MARKER` of memory tests; repeatable; none ignores markers")
	f.Float64Var(&o.fleet.MemoryShare, "memory-share", 0.35, "a test that needs more than this `SHARE` of the runner's memory is a memory test; 0 goes by markers alone")
	f.StringVar(&o.memWorkers, "memory-workers", "auto", "xdist workers of a memory job, `auto|N`; auto is as many as memory and cores have room for, 1 where a test was never measured")
	f.StringVar(&o.memJobs, "memory-jobs", moduleJobs, "jobs of a memory module, `module|auto|K`: one; as many as pay; as many as pay, but at most K")
	f.IntVar(&o.fleet.MaxMemoryJobs, "max-memory-jobs", 0, "at most `N` memory jobs, as even as whole modules make them; 0 is one for each module")
	f.StringVar(&o.fleet.Runner, "runner", defaultRunner, "`LABEL` of the runner; for GitLab its tags, with commas between them")
	f.StringVar(&o.fleet.MemoryRunner, "memory-runner", "", "`LABEL` of the memory jobs' runner (default: --runner)")
	f.IntVar(&o.fleet.CPUs, "runner-cpus", 4, "`N` cores of the runner")
	f.StringVar(&o.memory, "runner-memory", "16GiB", "memory of the runner, a `SIZE`")
	f.StringVar(&o.memoryMemory, "memory-runner-memory", "", "memory of the memory jobs' runner, a `SIZE` (default: --runner-memory)")
	f.StringVar(&o.reserve, "memory-reserve", "auto", "memory of a runner to keep free, a `SIZE`; auto is a sixteenth of it, from 64 MiB to 2 GiB")
}

// timeoutRule says how a job's time limit follows from its estimate.
func timeoutRule() string {
	return fmt.Sprintf("%d times the estimate, plus %.0f minutes or twice the\njob's overhead, whichever is more; at least %.0f minutes, or %.0f to %.0f where a test\nwas never measured",
		shard.TimeoutFactor, shard.TimeoutMargin.Minutes(), shard.TimeoutFloor.Minutes(), shard.TimeoutNew.Minutes(), shard.TimeoutUnknown.Minutes())
}

func (o *matrixOptions) validate() error {
	if o.fleet.Shards < 1 {
		return usagef("pass how many jobs the pool tests may take", "--shards is %d, want at least 1", o.fleet.Shards)
	}
	if o.fleet.Shards > shard.MaxJobs {
		return usagef(fmt.Sprintf("a matrix has at most %d jobs", shard.MaxRows), "--shards is %d, want at most %d", o.fleet.Shards, shard.MaxJobs)
	}
	if o.fleet.CPUs < 1 || o.fleet.CPUs > maxWorkers {
		return usagef("pass the runner's cores, 4 for ubuntu-latest in a public repository", "--runner-cpus is %d, want 1 to %d", o.fleet.CPUs, maxWorkers)
	}
	if o.fleet.MaxMemoryJobs < 0 || o.fleet.MaxMemoryJobs > shard.MaxJobs {
		return usagef("0 is one job for each memory module", "--max-memory-jobs is %d, want 0 to %d", o.fleet.MaxMemoryJobs, shard.MaxJobs)
	}
	if !slices.Contains([]string{"json", "github", "gitlab"}, o.output) {
		return usagef("pass json, github or gitlab", "--output is %q", o.output)
	}
	for _, n := range []struct {
		flag, value string
		to          *int
	}{{"--workers", o.workers, &o.fleet.Workers}, {"--memory-workers", o.memWorkers, &o.fleet.MemoryWorkers}} {
		var err error
		if *n.to, err = autoWorkers(n.flag, n.value); err != nil {
			return err
		}
	}
	if err := o.sizes(); err != nil {
		return err
	}
	var err error
	if o.fleet.MemoryJobs, err = memoryJobs(o.memJobs); err != nil {
		return err
	}
	if o.fleet.MemoryRunner == "" {
		o.fleet.MemoryRunner = o.fleet.Runner
	}
	if err := o.targetOptions.validate(); err != nil {
		return err
	}
	if o.maxParallel < 0 {
		return usagef("0 is all jobs at once", "--max-parallel is %d, want at least 0", o.maxParallel)
	}
	if o.ids != "" && o.pytest != "" {
		return usagef("--ids needs no pytest: leave one of them out", "--ids and --pytest exclude each other")
	}
	if user := pytest.UserOptions(o.args); user.LastFailed || user.Stepwise {
		return usagef("leave it out here: a plan has all tests", "pytest's --lf and --sw select tests by an earlier run")
	}
	if o.plan == "-" {
		return usagef("name a file; the matrix goes to standard output", "--plan is -")
	}
	if slices.Equal(o.markers, []string{"none"}) {
		o.markers = nil
	}
	return nil
}

// autoWorkers reads a number of workers; auto is 0.
func autoWorkers(flag, value string) (int, error) {
	if value == "auto" {
		return 0, nil
	}
	n, err := strconv.Atoi(value)
	if err != nil || n < 1 || n > maxWorkers {
		return 0, usagef(fmt.Sprintf("pass auto, or a number of workers from 1 to %d", maxWorkers), "%s is %q", flag, value)
	}
	return n, nil
}

// moduleJobs as --memory-jobs is one job for each memory module.
const moduleJobs = "module"

// memoryJobs reads how many jobs a memory module may have.
func memoryJobs(value string) (int, error) {
	switch value {
	case moduleJobs:
		return 0, nil
	case "auto":
		return shard.AutoMemoryJobs, nil
	}
	n, err := strconv.Atoi(value)
	if err != nil || n < 1 || n > shard.MaxRows {
		return 0, usagef(fmt.Sprintf("pass module for one job a module, auto, or a number of jobs from 1 to %d", shard.MaxRows), "--memory-jobs is %q", value)
	}
	return n, nil
}

// sizes reads the flags about memory.
func (o *matrixOptions) sizes() error {
	for _, size := range []struct {
		flag, value, unset string
		to                 *int64
	}{
		{"--runner-memory", o.memory, "", &o.fleet.Memory},
		{"--memory-runner-memory", o.memoryMemory, "", &o.fleet.MemoryRunnerMemory},
		{"--memory-reserve", o.reserve, "auto", &o.fleet.Reserve},
	} {
		if size.value == size.unset && size.flag != "--runner-memory" {
			continue
		}
		n, err := parseSize(size.flag, size.value)
		if err != nil {
			return err
		}
		*size.to = n
	}
	if o.fleet.Reserve >= o.fleet.Memory {
		return usagef("leave it out, or pass less than --runner-memory", "--memory-reserve %s leaves nothing of a runner's %s", o.reserve, o.memory)
	}
	if other := o.fleet.MemoryRunnerMemory; other > 0 && other != o.fleet.Memory {
		if o.fleet.Reserve >= other {
			return usagef("leave it out, or pass less than --memory-runner-memory", "--memory-reserve %s leaves nothing of a memory runner's %s", o.reserve, o.memoryMemory)
		}
		if o.fleet.MemoryRunner == "" || o.fleet.MemoryRunner == o.fleet.Runner {
			return usagef("pass its label as well: --memory-runner LABEL", "--memory-runner-memory is %s, and %s, which memory jobs would run on, has %s", o.memoryMemory, o.fleet.Runner, o.memory)
		}
	}
	if !(0 <= o.fleet.MemoryShare && o.fleet.MemoryShare <= 1) {
		return usagef("0.35 is the default, 0 goes by markers alone", "--memory-share is %v, want 0 to 1", o.fleet.MemoryShare)
	}
	return nil
}

func doMatrix(ctx context.Context, sys *system, o matrixOptions) error {
	if err := o.checkOutput(sys); err != nil {
		return err
	}
	m, err := o.load(ctx, sys)
	if errors.Is(err, shard.ErrNoTests) {
		return o.empty(sys)
	}
	if err != nil {
		return err
	}
	if err := saveHistory(o.saveTimings, m.history); err != nil {
		return err
	}
	if o.lastPlan != "" {
		follow(sys, &m.suite, o.lastPlan)
	}
	if err := o.reach(sys, m.suite); err != nil {
		return err
	}
	plan, err := shard.Pack(m.suite, o.fleet)
	if err != nil {
		return fmt.Errorf("packing %s: %w", count(len(m.suite.Tests), "test"), err)
	}
	plan.Collector = m.collector
	plan.Error = shard.Error{Jobs: o.accuracy.Jobs, Median: o.accuracy.Median, Ninth: o.accuracy.Ninth}
	if err := writeFile(o.plan, plan.Write); err != nil {
		return fmt.Errorf("writing the plan: %w", err)
	}
	if err := o.emit(sys, plan); err != nil {
		return err
	}
	for _, warning := range plan.Warnings {
		sys.warn("%s", warning)
	}
	if o.ids != "" {
		warnRepeats(sys, plan, o.ids)
	}
	warnHistory(sys, m.suite, m.source)
	printPlan(sys, plan, o.plan)
	o.printLearned(sys)
	printMemory(sys, &m.suite, plan)
	if text := memoryGain(m.suite, plan); text != "" {
		sys.say("%s", text)
	}
	if text := o.fewerJobs(m.suite, plan); text != "" {
		sys.say("%s", text)
	}
	sys.publishPlan(plan, m.source, measured(m.suite))
	return nil
}

// follow tells the suite where an earlier plan had its tests. It is a wish: a
// plan is also made where that one is gone.
func follow(sys *system, suite *shard.Suite, name string) {
	file, err := sys.open(name)
	if absent(err) {
		sys.warn("there is no earlier plan %s", name)
		return
	}
	var plan *shard.Plan
	if err == nil {
		defer file.Close()
		plan, err = shard.ReadPlan(file, name)
	}
	if err != nil {
		sys.warn("the earlier plan is left out: %v", err)
		return
	}
	if suite.Follow(plan) == 0 {
		sys.warn("the earlier plan %s has none of the tests in its pool", name)
	}
}

// material is what a plan is made of.
type material struct {
	collector shard.Collector
	history   *timing.History
	source    historySources // of the history
	suite     shard.Suite
}

// load collects the tests and joins them with what the history knows, which it
// reads meanwhile. Where there are none, the error is shard.ErrNoTests.
func (o *matrixOptions) load(ctx context.Context, sys *system) (*material, error) {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	known := o.timings.readAside(ctx, sys, &o.remote, o.timingsGiven)
	tests, err := collect(ctx, sys, *o)
	if ctx.Err() != nil {
		return nil, &failure{status: exitInterrupted, err: errors.New("collecting tests: interrupted"), hint: "no plan was written; start again when you like"}
	}
	if err != nil {
		return nil, fmt.Errorf("collecting tests: %w", err)
	}
	if len(tests.Tests) == 0 {
		return nil, o.noneFound("")
	}
	if in := sys.inRepository("", "."); in != "." {
		tests.Collector.Folder = in
	}
	history, source, err := known()
	if err != nil {
		return nil, err
	}
	suite := makeSuite(tests, history, o.fleet, o.markers)
	if err := o.targetOptions.learn(history, o.fleet); err != nil {
		return nil, err
	}
	suite.Overhead, suite.Margin = o.jobs, o.margin
	return &material{tests.Collector, history, source, suite}, nil
}

// checkOutput finds out before any work whether this is the CI that --output
// names.
func (o *matrixOptions) checkOutput(sys *system) error {
	if o.output == "github" && sys.getenv("GITHUB_OUTPUT") == "" {
		return usagef("leave out --output outside of GitHub Actions", "--output is github and GITHUB_OUTPUT is not set")
	}
	if o.output == "github" {
		var err error
		if o.self, err = ownDigest(); err != nil {
			return fmt.Errorf("taking this program's own digest: %w", err)
		}
	}
	if o.output == "gitlab" {
		return o.checkGitLab(sys)
	}
	return nil
}

// emit prints the matrix and hands it to GitHub Actions or GitLab.
func (o *matrixOptions) emit(sys *system, plan *shard.Plan) error {
	matrix := string(plan.Matrix(o.rowKeys(plan)...))
	if err := o.outputs(sys, matrix, len(plan.Shards), plan.Digest); err != nil {
		return err
	}
	if err := o.writePipeline(sys, plan); err != nil {
		return err
	}
	_, err := fmt.Fprintln(sys.stdout, matrix)
	return err
}

// empty ends a matrix without tests: an empty matrix makes GitHub fail with a
// message that nobody understands.
func (o *matrixOptions) empty(sys *system) error {
	if !o.noTests {
		return o.noneFound(", or pass --allow-empty where a suite may be empty")
	}
	matrix := `{"include":[]}`
	if o.output == "github" {
		matrix = emptyMatrix
	}
	if err := o.outputs(sys, matrix, 0, ""); err != nil {
		return err
	}
	if err := o.writePipeline(sys, nil); err != nil {
		return err
	}
	older := ""
	if _, err := os.Stat(o.plan); err == nil {
		older = "; " + o.plan + " is an older one"
	}
	sys.warn("there are no tests; the matrix is empty and no plan was written%s", older)
	_, err := fmt.Fprintln(sys.stdout, matrix)
	return err
}

// noneFound is the error for a suite without tests.
func (o *matrixOptions) noneFound(or string) error {
	if o.ids != "" {
		return &failure{status: exitNoTests, err: noTestsError(idsName(o.ids) + " holds no node IDs"), hint: "make the list with " + listIDs + " >FILE" + or}
	}
	where := "the arguments after --"
	if o.output == "github" {
		where = "the inputs pytest-args and working-directory"
	}
	return &failure{status: exitNoTests, err: noTestsError("pytest collected no tests"), hint: "check " + where + or}
}

// A noTestsError is shard.ErrNoTests in the words of who looked for them.
type noTestsError string

func (e noTestsError) Error() string { return string(e) }
func (e noTestsError) Unwrap() error { return shard.ErrNoTests }

// collect gets the tests from pytest, or from a list.
func collect(ctx context.Context, sys *system, o matrixOptions) (*pytest.Collection, error) {
	if o.ids != "" {
		return readIDs(sys, o.ids, o.args)
	}
	command, err := findPytest(sys, o.pytest)
	if err != nil {
		return nil, err
	}
	sys.say("collecting with %s (%s)", command, command.Source)
	here, err := dir()
	if err != nil {
		return nil, err
	}
	stop := sys.progress("collecting")
	c, err := pytest.Collect(ctx, command, pytest.CollectOptions{Dir: here, Args: o.args, Env: sys.pytestEnviron()})
	stop()
	if err != nil {
		sys.showOutput(err)
		return nil, err
	}
	for _, note := range c.Notes {
		sys.say("%s", note)
	}
	if pytest.UserOptions(o.args).Workers {
		sys.say("-n is left out: a job has a worker for each core of its runner, or as many as --workers says")
	}
	return c, nil
}

// warnHistory says how little the plan rests on, where it does.
func warnHistory(sys *system, suite shard.Suite, source historySources) {
	known := 0
	for _, test := range suite.Tests {
		if test.Estimate.Rung != timing.Guess {
			known++
		}
	}
	first, newer := "merge the results of a run (wcshard merge) and it learns", "merge the results of newer runs"
	if slices.ContainsFunc(source, func(name string) bool { return strings.HasPrefix(name, fromCache) }) {
		first = "the next run learns from this one"
		if sys.getenv("GITHUB_ACTIONS") == "true" {
			first = "runs of the default branch are learned from"
		}
		newer = first
	}
	measured := measured(suite)
	switch {
	case known == 0:
		sys.warn("no durations in %s: the split is even by test count; %s", source, first)
	case measured == 0:
		sys.warn("%s knows none of these %s: was it made with another root directory or other arguments?", source, count(len(suite.Tests), "test"))
	case 2*measured < len(suite.Tests):
		sys.warn("%s knows only %d of %s: %s", source, measured, count(len(suite.Tests), "test"), newer)
	}
}

// measured counts the tests that the history itself has samples of.
func measured(suite shard.Suite) int {
	n := 0
	for _, test := range suite.Tests {
		if test.Estimate.Rung == timing.Measured {
			n++
		}
	}
	return n
}

// count writes a number with its noun.
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	if strings.HasSuffix(noun, "s") {
		noun += "e" // processes
	}
	return humanize.Comma(int64(n)) + " " + noun + "s"
}
