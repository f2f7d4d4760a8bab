package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/wcshard/wcshard/shard"
	"github.com/wcshard/wcshard/shard/pytest"
)

// runOptions are the flags of wcshard run.
type runOptions struct {
	plan          string
	shard         string
	index         int     // of the shard in the plan, or noIndex
	jobs          int     // how many the CI started; 0 where unknown
	ci            ciIndex // where index comes from, unless from --shard-index
	row           string  // --row: a job's row of the matrix, as JSON
	digest        string  // of the plan, where the row says it
	all           bool
	list, null    bool
	results       string
	attempt       int
	run           string
	pytest        string
	workers       string
	memoryModules string // --memory-workers
	memoryWorkers int
	timings       string
	schedule      string
	memory        string // SIZE
	enforce       bool
	noRecover     bool
	testTimeout   time.Duration
	noFreeze      bool
	timeLimit     string // a duration, or "plan"
	from          fromRunOptions
	pytestArgs    string
	args          []string // pytest's
}

func newRun(sys *system) *cobra.Command {
	var o runOptions
	verb := &cobra.Command{
		Use:   "run (--shard NAME | --shard-index I | --all) [flags] [-- more pytest arguments]",
		Short: "Run one shard of a plan, or all of them on this machine",
		Long: `Run exactly the tests of one shard, in planned order and with the planned number
of workers. pytest's output and exit status are passed through; each finished
test is written to the results folder at once. Planned tests that cannot be
found, and tests in the shard's files that no shard has, are listed and end in
exit status 75.

--all runs the whole plan on this machine as one session: a test starts only
when the memory it needs fits beside what the others hold, so memory tests wait
for their moment and all cores are busy. --schedule phases runs the pool in
parallel, then one memory module after another; so does a machine with one core,
and a plan made without pytest-xdist.

When the kernel kills a worker or pytest for lack of memory, the test that took
it and the one that died are named; what died runs again, alone, and what was
not reached goes on with fewer workers.

--from-run takes the plan from a run on GitHub, with a token from GITHUB_TOKEN,
GH_TOKEN or gh auth token, and runs the same tests in the same order here. It
checks nothing out.

--shard-index serves any CI that starts numbered jobs: as many as the plan has
shards. Where nothing is said of what to run, the number is read from the CI's
own variable, and counts as the CI counts:
` + indexVariables() + `.`,
		Example: `  wcshard run --shard pool-1
  wcshard run --shard pool-1 -- -v --durations=10
  wcshard run --shard mem-test_multisite --list
  wcshard run --all
  wcshard run --from-run 123456789 --shard pool-3 --failed`,
		RunE: func(cmd *cobra.Command, args []string) error {
			own, rest := split(cmd, args)
			err := noArguments(cmd, own)
			if err != nil {
				return err
			}
			if o.args, err = pytestArgs(o.pytestArgs, rest); err != nil {
				return err
			}
			if err := o.validate(sys); err != nil {
				return err
			}
			return doRun(cmd.Context(), sys, o)
		},
	}
	f := verb.Flags()
	f.StringVar(&o.plan, "plan", defaultPlan, "plan `FILE` of wcshard matrix, or a folder with its artifact")
	f.StringVar(&o.row, "row", "", "in a job of the matrix on GitHub: its row as `JSON`, instead of --shard")
	f.StringVar(&o.shard, "shard", "", "`NAME` of the shard to run")
	f.IntVar(&o.index, "shard-index", noIndex, "position `I` of the shard in the plan, from 0 (default: the CI's number of this job)")
	f.Lookup("shard-index").DefValue = "0" // keeps noIndex out of the help
	f.BoolVar(&o.all, "all", false, "run all shards on this machine")
	f.BoolVar(&o.list, "list", false, "print the shard's node IDs, one a line, and run nothing")
	f.BoolVarP(&o.null, "null", "0", false, "with --list: end each node ID with a NUL instead of a newline")
	f.StringVar(&o.results, "results", defaultResults, "`FOLDER` for the results")
	f.IntVar(&o.attempt, "attempt", 0, "`NUMBER` of this attempt (default: $GITHUB_RUN_ATTEMPT, or 1 above the attempts in --results)")
	f.StringVar(&o.run, "run-id", "", "`NAME` of the run that this shard belongs to, the same for all of its shards (default: $GITHUB_RUN_ID, or the plan's digest)")
	f.StringVar(&o.pytest, "pytest", "", "`COMMAND` that calls pytest, such as \"uv run pytest\"")
	f.StringVar(&o.pytestArgs, "pytest-args", "", "more `ARGUMENTS` for pytest in one string, quoted as in a shell; those after -- follow")
	f.StringVar(&o.workers, "workers", "auto", "with --all: workers of the pool, `auto|N`; auto is one for each core of this machine")
	f.StringVar(&o.memoryModules, "memory-workers", "1", "with --all: so many memory modules at a time, `auto|N`; auto is 1")
	f.StringVar(&o.timings, "timings", defaultTimings, "with --all: history that says what tests take, a `FILE`")
	f.StringVar(&o.schedule, "schedule", "auto", "with --all: `auto|memory|phases`; memory is one session in which tests wait for memory")
	f.StringVar(&o.memory, "memory", "", "`SIZE` that pytest and the system's reserve may take together (default: what can be had here)")
	f.BoolVar(&o.enforce, "enforce", false, "limit pytest to --memory, or to the memory of the plan's runner, with a cgroup (Linux)")
	f.BoolVar(&o.noRecover, "no-recover", false, "do not rerun tests that were killed for lack of memory")
	f.BoolVar(&o.noFreeze, "no-gc-freeze", false, "let Python's garbage collector look through what was there before the first test, as without wcshard: slower")
	f.DurationVar(&o.testTimeout, "test-timeout", 0, "fail a test that takes longer than a `DURATION` such as 5m (needs pytest-timeout, whose own limits go before); 0 is no limit")
	f.StringVar(&o.timeLimit, "time-limit", "", "stop pytest after a `DURATION` such as 55m, and say what was running; \"plan\" is a minute before the shard's timeout (on GitLab the job's, if that is less), from the start of the job on GitHub and GitLab, else of wcshard")
	o.from.flags(f)
	return verb
}

func (o *runOptions) validate(sys *system) error {
	if err := o.chooseShards(sys); err != nil {
		return err
	}
	if err := o.validateFrom(); err != nil {
		return err
	}
	if i := slices.IndexFunc(o.args, runsNothing); i >= 0 {
		return usagef("leave it out; --list prints the shard's tests", "pytest runs no test with %s", o.args[i])
	}
	if o.null && !o.list {
		return usagef("add --list", "-0 goes with --list")
	}
	if err := o.validateAll(); err != nil {
		return err
	}
	// A variable may be meant for the plan, as the action's input is.
	if o.all && o.memoryWorkers > 1 && o.schedule == memorySchedule && sys.getenv(variable("memory-workers")) == "" {
		return usagef("leave it out, or pass --schedule phases", "--memory-workers has no effect with --schedule memory, where tests wait for memory")
	}
	if !slices.Contains([]string{"auto", memorySchedule, phaseSchedule}, o.schedule) {
		return usagef("pass auto, memory or phases", "--schedule is %q", o.schedule)
	}
	if _, err := memorySize(*o); err != nil {
		return err
	}
	if o.testTimeout < 0 {
		return usagef("0 is no limit", "--test-timeout is %s", o.testTimeout)
	}
	if d, err := time.ParseDuration(o.timeLimit); o.timeLimit != "" && o.timeLimit != planLimit && (err != nil || d <= 0) {
		return usagef("pass a duration such as 55m, or plan", "--time-limit is %q", o.timeLimit)
	}
	if o.attempt < 0 {
		return usagef("attempts count from 1", "--attempt is %d", o.attempt)
	}
	if text := sys.getenv("GITHUB_RUN_ATTEMPT"); o.attempt == 0 && text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return usagef("unset it, or pass --attempt", "GITHUB_RUN_ATTEMPT is %q, want a number from 1", text)
		}
		o.attempt = n
	}
	return nil
}

// validateAll checks the flags that go with --all, which variables of a whole pipeline
// may set for every job.
func (o *runOptions) validateAll() (err error) {
	if !o.all {
		return nil
	}
	if o.timings, err = historyFile(o.timings); err != nil {
		return err
	}
	modules, err := autoWorkers("--memory-workers", o.memoryModules)
	if err != nil {
		return err
	}
	o.memoryWorkers = max(1, modules)
	_, err = autoWorkers("--workers", o.workers)
	return err
}

// runsNothing reports whether a pytest argument makes it do something else than
// run tests, which would look like a shard that lost all of its tests.
func runsNothing(arg string) bool {
	switch arg {
	case "--collect-only", "--co", "--collectonly", "--version", "-V", "--help", "-h", "--fixtures", "--funcargs", "--fixtures-per-test", "--markers", "--setup-plan", "--setup-only", "--cache-show", "-VV":
		return true
	}
	return false
}

func doRun(ctx context.Context, sys *system, o runOptions) error {
	plan, err := o.readPlan(ctx, sys)
	if err != nil {
		return err
	}
	if o.all {
		return runAll(ctx, sys, o, plan)
	}
	if o.surplus(plan) {
		sys.say("%s is %d of %d and the plan has %s: nothing to run in this job", o.ci.index, o.index+o.ci.first, o.jobs, count(len(plan.Shards), "shard"))
		return nil
	}
	if err := o.shardAt(plan); err != nil {
		return err
	}
	plan, s, err := o.chosen(ctx, plan)
	if err != nil {
		return err
	}
	if o.list {
		return listTests(sys, s, o.null)
	}
	budget, err := newBudget(sys, o, plan, s)
	if err != nil {
		return err
	}
	job, release, err := newJob(sys, o, plan, budget)
	if err != nil {
		return err
	}
	defer release()
	ctx, stop := job.interrupts(ctx)
	defer stop()
	ctx, cancel, err := job.within(ctx, s.Timeout)
	if err != nil {
		return err
	}
	defer cancel()
	about := fmt.Sprintf("about %s s, ", seconds(s.Wall))
	if o.from.failed { // what a part of the shard takes nobody has foreseen
		about = ""
	}
	workers := count(s.Workers, "worker")
	if pytest.UserOptions(o.args).Workers {
		workers, about = "workers as -n says", ""
	}
	sys.say("%s: %s, %s, %swith %s (%s)", s.Name, count(s.Len(), "test"), workers, about, job.command, job.command.Source)
	if cores := runtime.NumCPU(); crowded(plan, s, cores) && sys.inCI() {
		sys.warn("%s on %s are in each other's way: the plan takes its runner to have %d; pass --runner-cpus %d to wcshard matrix (in the action, the input runner-cpus of the first step)",
			count(s.Workers, "worker"), count(cores, "core"), plan.Fleet.CPUs, cores)
	}
	status, err := job.session(ctx, session{name: s.Name, shards: []*shard.Shard{s}, run: s})
	if err != nil {
		return err
	}
	if status == exitOK {
		return nil
	}
	sys.say("to run this shard again: %s", reproduce(fromHere(sys, o)))
	return &failure{status: status}
}

// crowded reports whether a shard has more workers than there are cores, since the plan
// takes its runner to have more, with a worker for each.
func crowded(plan *shard.Plan, s *shard.Shard, cores int) bool {
	asked := plan.Fleet.Workers
	if s.Kind == shard.Memory {
		asked = plan.Fleet.MemoryWorkers
	}
	return s.Workers > cores && plan.Fleet.CPUs > cores && (asked == 0 || asked == plan.Fleet.CPUs)
}

func readPlan(sys *system, name string) (*shard.Plan, error) {
	file, err := sys.open(name)
	if err != nil {
		hint := ""
		if absent(err) {
			hint = "make a plan with wcshard matrix, or pass --plan FILE"
		}
		return nil, &failure{err: fmt.Errorf("reading the plan: %w", err), hint: hint}
	}
	defer file.Close()
	plan, err := shard.ReadPlan(file, name)
	if err != nil {
		return nil, advise(fmt.Errorf("reading the plan: %w", err), "make a new one with wcshard matrix; in CI run all jobs again")
	}
	return plan, nil
}

func findShard(plan *shard.Plan, name string) (*shard.Shard, error) {
	names := make([]string, len(plan.Shards))
	for i := range plan.Shards {
		if plan.Shards[i].Name == name {
			return &plan.Shards[i], nil
		}
		names[i] = plan.Shards[i].Name
	}
	return nil, usagef("the plan has "+strings.Join(names, ", "), "the plan has no shard %q", name)
}

func listTests(sys *system, s *shard.Shard, null bool) error {
	end := "\n"
	if null {
		end = "\x00"
	}
	var text strings.Builder
	for _, id := range s.IDs() {
		text.WriteString(string(id) + end)
	}
	_, err := fmt.Fprint(sys.stdout, text.String())
	return err
}

// reproduce is the line that runs the same shard again.
func reproduce(o runOptions) string {
	words := []string{"wcshard", "run"}
	if o.plan != defaultPlan {
		words = append(words, "--plan", o.plan)
	}
	words = append(words, o.from.words()...)
	if o.results != "" && o.results != defaultResults {
		words = append(words, "--results", o.results)
	}
	if o.run != "" && o.from.run == "" { // else a run of its own, and verify would leave out the others
		words = append(words, "--run-id", o.run)
	}
	if o.pytest != "" {
		words = append(words, "--pytest", o.pytest)
	}
	if o.all {
		words = append(words, "--all")
		if o.workers != "auto" {
			words = append(words, "--workers", o.workers)
		}
		if o.memoryWorkers != 1 {
			words = append(words, "--memory-workers", strconv.Itoa(o.memoryWorkers))
		}
		if o.timings != defaultTimings {
			words = append(words, "--timings", o.timings)
		}
		if o.schedule != "auto" {
			words = append(words, "--schedule", o.schedule)
		}
	} else {
		words = append(words, "--shard", o.shard)
	}
	if o.memory != "" {
		words = append(words, "--memory", o.memory)
	}
	if o.enforce {
		words = append(words, "--enforce")
	}
	if o.testTimeout > 0 {
		words = append(words, "--test-timeout", o.testTimeout.String())
	}
	if o.noFreeze {
		words = append(words, "--no-gc-freeze")
	}
	if o.noRecover {
		words = append(words, "--no-recover")
	}
	if len(o.args) > 0 {
		words = append(append(words, "--"), o.args...)
	}
	return pytest.JoinWords(words...)
}

func findPytest(sys *system, given string) (pytest.Command, error) {
	here, err := dir()
	if err != nil {
		return pytest.Command{}, err
	}
	command, err := pytest.Find(pytest.FindOptions{
		Command:  given,
		Dir:      here,
		Getenv:   sys.getenv,
		LookPath: exec.LookPath,
		Exists:   func(path string) bool { _, err := os.Stat(path); return err == nil },
		Windows:  runtime.GOOS == "windows",
	})
	switch {
	case err != nil && given != "": // it cannot be read
		return pytest.Command{}, &failure{err: err, status: exitUsage}
	case err != nil:
		return pytest.Command{}, &failure{err: err, status: exitUnavailable}
	}
	return command, nil
}
