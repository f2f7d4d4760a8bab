package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/wcshard/wcshard/shard"
	"github.com/wcshard/wcshard/shard/pytest"
	"github.com/wcshard/wcshard/timing"
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
	memoryWorkers int
	timings       string
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

--all runs the whole plan on this machine in two phases: the pool in parallel,
then one memory module after another.

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
	f.BoolVar(&o.all, "all", false, "run all shards on this machine: the pool, then the memory modules")
	f.BoolVar(&o.list, "list", false, "print the shard's node IDs, one a line, and run nothing")
	f.BoolVarP(&o.null, "null", "0", false, "with --list: end each node ID with a NUL instead of a newline")
	f.StringVar(&o.results, "results", defaultResults, "`FOLDER` for the results")
	f.IntVar(&o.attempt, "attempt", 0, "`NUMBER` of this attempt (default: $GITHUB_RUN_ATTEMPT, or 1 above the attempts in --results)")
	f.StringVar(&o.run, "run-id", "", "`NAME` of the run that this shard belongs to (default: $GITHUB_RUN_ID, or the plan's digest)")
	f.StringVar(&o.pytest, "pytest", "", "`COMMAND` that calls pytest, such as \"uv run pytest\"")
	f.StringVar(&o.pytestArgs, "pytest-args", "", "more `ARGUMENTS` for pytest in one string, quoted as in a shell; those after -- follow")
	f.StringVar(&o.workers, "workers", "auto", "with --all: workers of the pool, `auto|N`; auto is one for each core of this machine")
	f.IntVar(&o.memoryWorkers, "memory-workers", 1, "with --all: `N` memory modules at a time")
	f.StringVar(&o.timings, "timings", defaultTimings, "with --all: history that puts the slowest tests first, a `FILE`")
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
	if o.memoryWorkers < 1 {
		return usagef("1 runs the memory modules one after another", "--memory-workers is %d, want at least 1", o.memoryWorkers)
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
	if o.workers != "auto" {
		if n, err := strconv.Atoi(o.workers); err != nil || n < 1 {
			return usagef("pass auto, or a number of workers from 1", "--workers is %q", o.workers)
		}
	}
	return nil
}

// runsNothing reports whether a pytest argument makes it do something else than
// run tests, which would look like a shard that lost all of its tests.
func runsNothing(arg string) bool {
	switch arg {
	case "--collect-only", "--co", "--collectonly", "--version", "-V", "--help", "-h", "--fixtures", "--funcargs", "--fixtures-per-test", "--markers", "--setup-plan":
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
	job, err := newJob(sys, o, plan)
	if err != nil {
		return err
	}
	ctx, stop := job.interrupts(ctx)
	defer stop()
	sys.say("%s: %s, %s, about %s s, with %s (%s)", s.Name, count(s.Len(), "test"), count(s.Workers, "worker"), seconds(s.Wall), job.command, job.command.Source)
	status, err := job.session(ctx, session{name: s.Name, shards: []*shard.Shard{s}, run: s})
	if err != nil {
		return err
	}
	if status == exitOK {
		return nil
	}
	sys.say("to run this shard again: %s", reproduce(o))
	return &failure{status: status}
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
		return nil, fmt.Errorf("reading the plan: %w", err)
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

// job is what all pytest sessions of one call share.
type job struct {
	sys     *system
	options runOptions
	plan    *shard.Plan
	command pytest.Command
	dir     string
	stopped atomic.Bool // a signal came: no further session starts
}

func newJob(sys *system, o runOptions, plan *shard.Plan) (*job, error) {
	command, err := findPytest(sys, o.pytest)
	if err != nil {
		return nil, err
	}
	here, err := dir()
	if err != nil {
		return nil, err
	}
	return &job{sys: sys, options: o, plan: plan, command: command, dir: here}, nil
}

// session is one pytest process: the tests of one shard, or of several under
// --all.
type session struct {
	name   string         // of the results file
	shards []*shard.Shard // whose tests these are
	run    *shard.Shard   // the tests, in running order, and the workers
}

// interrupts lets pytest end in good order: it gets one SIGINT, writes what it
// measured, and wcshard outlives it. A Ctrl-C on a terminal reaches pytest by
// itself, since it shares our process group, so only the second one is passed
// on. Everywhere else the signal was sent to wcshard alone, and the first is.
func (j *job) interrupts(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		shared := inForeground()
		for s := range signals {
			j.stopped.Store(true)
			if s == os.Interrupt && shared {
				shared = false
				continue
			}
			cancel()
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(signals)
		cancel()
	}
}

// session runs one pytest session and returns the status to exit with: pytest's
// own, or exitIncomplete where it says less than the truth.
func (j *job) session(ctx context.Context, s session) (int, error) {
	name, attempt, err := j.start(s)
	if err != nil {
		return 0, fmt.Errorf("starting the results of %s: %w", s.name, err)
	}
	selection, err := j.selection(s)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	open := j.sys.fence()
	status, err := pytest.Run(ctx, j.command, pytest.RunOptions{
		Dir:       j.dir,
		Env:       j.sys.environ,
		Args:      j.plan.Collector.Args,
		Extra:     j.options.args,
		Root:      j.plan.Collector.Root,
		Selection: selection,
		Workers:   s.run.Workers,
		Seed:      j.plan.Collector.Seed,
		Results:   name,
		Stdin:     j.sys.stdin,
		Stdout:    j.sys.stdout,
		Stderr:    j.sys.stderr,
	})
	open()
	if err != nil {
		// Nothing ran, so nothing is lost with the header, which would count
		// as an attempt that ended early.
		os.Remove(name)
		return 0, &failure{status: exitUnavailable, err: fmt.Errorf("running %s: %w", s.name, err)}
	}
	if err := closeResults(name, timing.EndLine(status, time.Since(began))); err != nil {
		return 0, fmt.Errorf("closing the results of %s: %w", s.name, err)
	}
	results, err := readResultsFile(j.sys, name)
	if err != nil {
		return 0, fmt.Errorf("reading back the results of %s: %w", s.name, err)
	}
	if status == pytest.ExitUsage && len(results.Tests)+len(results.Running) == 0 {
		os.Remove(name) // pytest never began: this is no attempt
		return status, nil
	}
	for _, note := range results.Notes {
		j.sys.say("%s", note)
	}
	j.sys.say("%s: results in %s (attempt %d)", s.name, name, attempt)
	return j.judge(s, results, status), nil
}

// start creates the results file with its header, under the first attempt that
// is free, and returns its absolute path: pytest may change the directory.
func (j *job) start(s session) (name string, attempt int, err error) {
	if err := os.MkdirAll(j.options.results, 0o777); err != nil {
		return "", 0, err
	}
	folder, err := filepath.Abs(j.options.results)
	if err != nil {
		return "", 0, err
	}
	header := timing.ResultsHeader{
		Plan:    j.plan.Digest,
		Run:     j.runID(),
		Attempt: max(j.options.attempt, 1+j.attempts(folder, s)),
		Runner:  j.runner(s),
		Workers: s.run.Workers,
		Started: time.Now().UTC().Truncate(time.Millisecond),
	}
	for _, one := range s.shards {
		header.Shards = append(header.Shards, one.Name)
	}
	for ; ; header.Attempt++ {
		name = filepath.Join(folder, fmt.Sprintf("wcshard-results-%s-%d.jsonl", s.name, header.Attempt))
		file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
		if errors.Is(err, os.ErrExist) {
			continue
		}
		if err != nil {
			return "", 0, err
		}
		_, err = file.Write(header.Line())
		return name, header.Attempt, errors.Join(err, file.Close())
	}
}

// attempts returns the newest attempt that the folder has of any of the
// session's shards: run --all and run --shard name their files differently.
func (j *job) attempts(folder string, s session) int {
	newest := 0
	names, _ := filepath.Glob(filepath.Join(folder, "wcshard-results-*.jsonl"))
	for _, name := range names {
		header, err := readHeader(name)
		if err != nil || header.Plan != j.plan.Digest {
			continue // verify says what is wrong with it
		}
		if slices.ContainsFunc(s.shards, func(one *shard.Shard) bool { return slices.Contains(header.Shards, one.Name) }) {
			newest = max(newest, header.Attempt)
		}
	}
	return newest
}

// readHeader reads the first line of a results file.
func readHeader(name string) (timing.ResultsHeader, error) {
	file, err := os.Open(name)
	if err != nil {
		return timing.ResultsHeader{}, err
	}
	defer file.Close()
	line, err := bufio.NewReader(file).ReadBytes('\n')
	if err != nil {
		return timing.ResultsHeader{}, err
	}
	results, err := timing.ReadResults(bytes.NewReader(line), name)
	if err != nil {
		return timing.ResultsHeader{}, err
	}
	return results.Header, nil
}

// runID names the run. All shards of one plan that run outside of CI count as
// one run: their results belong together whenever they are merged.
func (j *job) runID() string {
	if j.options.run != "" {
		return j.options.run
	}
	if id := j.sys.getenv("GITHUB_RUN_ID"); id != "" {
		return id
	}
	digest := strings.TrimPrefix(j.plan.Digest, "sha256:")
	return "local-" + digest[:min(12, len(digest))]
}

// runner is the class of the machine: durations of a laptop say little about a
// runner's.
func (j *job) runner(s session) string {
	if j.sys.getenv("GITHUB_ACTIONS") == "true" {
		return s.shards[0].Runner
	}
	return "local"
}

// selection is what the plugin has to know: the session's tests in running
// order, and which tests of the same files other shards have.
func (j *job) selection(s session) (pytest.Selection, error) {
	names := make([]string, len(s.shards))
	for i, one := range s.shards {
		names[i] = one.Name
	}
	selection, err := pytest.Select(j.plan, names...)
	selection.Pieces = s.run.Pieces
	return selection, err
}

// judge compares what ran with what was planned. pytest's own statuses for a
// run that it could not finish (2, 3, 4, a signal) tell more than ours and stay.
func (j *job) judge(s session, results *timing.Results, status int) int {
	part := *j.plan
	part.Shards = nil
	for _, one := range s.shards {
		part.Shards = append(part.Shards, *one)
	}
	verdict := shard.Verify(&part, []*timing.Results{results})
	j.publish(s, &part, verdict, results)
	if verdict.Complete() {
		if status == exitOK && !verdict.Green() {
			return exitTestsFailed
		}
		return status
	}
	if status >= 128 {
		j.sys.say("%s: pytest was killed (exit status %d)", s.name, status)
	}
	printIncomplete(j.sys, verdict)
	if notFound(verdict) == verdict.Planned {
		j.sys.say("hint: none of the planned tests is here; run this in the folder where the plan was made, with the same checkout")
	} else if len(results.Missing)+len(results.Extra) > 0 {
		j.sys.say("hint: the tests are not those of the plan; make a new one with wcshard matrix, or drop arguments after -- that deselect tests")
	}
	if status == exitOK || status == exitTestsFailed || status == exitNoTests {
		return exitIncomplete
	}
	return status
}

func notFound(v *shard.Verdict) int {
	n := 0
	for _, m := range v.Missing {
		if m.Reason == shard.NotFound {
			n++
		}
	}
	return n
}

// reproduce is the line that runs the same shard again.
func reproduce(o runOptions) string {
	words := []string{"wcshard", "run"}
	if o.plan != defaultPlan {
		words = append(words, "--plan", o.plan)
	}
	words = append(words, o.from.words()...)
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
	} else {
		words = append(words, "--shard", o.shard)
	}
	if len(o.args) > 0 {
		words = append(append(words, "--"), o.args...)
	}
	for i, word := range words {
		words[i] = quote(word)
	}
	return strings.Join(words, " ")
}

var plainWord = regexp.MustCompile(`^[A-Za-z0-9_@%+=:,./-]+$`)

// quote makes a word safe to paste into a POSIX shell and to print in a CI log,
// where "::" at the start of a line is a command.
func quote(word string) string {
	if plainWord.MatchString(word) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// closeResults appends the closing line, unless pytest was killed in the middle
// of a line: a torn last line is a warning, one in the middle would be an error.
func closeResults(name string, line []byte) error {
	file, err := os.OpenFile(name, os.O_RDWR|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	whole := make([]byte, 1)
	if info, err := file.Stat(); err == nil && info.Size() > 0 {
		_, err = file.ReadAt(whole, info.Size()-1)
		if err != nil {
			return errors.Join(err, file.Close())
		}
	}
	if whole[0] == '\n' {
		_, err = file.Write(line)
	}
	return errors.Join(err, file.Sync(), file.Close())
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
	if err != nil {
		return pytest.Command{}, &failure{err: err, status: exitUnavailable}
	}
	return command, nil
}
