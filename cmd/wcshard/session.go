package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/wcshard/wcshard/cmd/wcshard/internal/cgroup"
	"github.com/wcshard/wcshard/cmd/wcshard/internal/killed"
	"github.com/wcshard/wcshard/shard"
	"github.com/wcshard/wcshard/shard/pytest"
	"github.com/wcshard/wcshard/timing"
	"github.com/wcshard/wcshard/timing/artifact"
)

// job is what all pytest sessions of one call share.
type job struct {
	sys     *system
	options runOptions
	plan    *shard.Plan
	command pytest.Command
	dir     string
	budget  budget
	group   *cgroup.Group // that holds pytest within the budget; nil without --enforce
	counter func() (own, machine int64)
	stopped atomic.Bool // a signal came: no further session starts
	limited bool        // the time limit came
}

// newJob makes ready for the sessions. Release is to be called after the last
// one.
func newJob(sys *system, o runOptions, plan *shard.Plan, b budget) (j *job, release func(), err error) {
	command, err := findPytest(sys, o.pytest)
	if err != nil {
		return nil, nil, err
	}
	here, err := dir()
	if err != nil {
		return nil, nil, err
	}
	j = &job{sys: sys, options: o, plan: plan, command: command, dir: here, budget: b, counter: cgroup.Host{}.Kills()}
	release = func() {}
	if o.enforce {
		release = j.enforce()
	}
	return j, release, nil
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
	signal.Notify(signals, endingSignals()...)
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

// session runs one pytest session, and again what the kernel killed of it, and
// returns the status to exit with: pytest's own, or exitIncomplete where it
// says less than the truth.
func (j *job) session(ctx context.Context, s session) (int, error) {
	name, attempt, err := j.start(s)
	if err != nil {
		return 0, &failure{status: exitIO, err: fmt.Errorf("starting the results of %s: %w", s.name, err), hint: "pass --results FOLDER, one that can be written and has room"}
	}
	selection, err := j.selection(s)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	first, err := j.try(ctx, s, call{results: name, selection: selection, workers: s.run.Workers, args: j.plan.Collector.Args, extra: j.options.args})
	if err != nil {
		// Nothing ran, so nothing is lost with the header, which would count
		// as an attempt that ended early.
		os.Remove(name)
		return 0, &failure{status: exitUnavailable, err: fmt.Errorf("running %s: %w", s.name, err)}
	}
	status, err := j.recover(ctx, s, name, selection, first)
	if err != nil {
		return 0, err
	}
	if errors.Is(context.Cause(ctx), errTimeLimit) {
		j.limited = true
		if status >= 128 {
			status = exitInterrupted // by us: this is no lack of memory
		}
	}
	if err := closeResults(name, timing.EndLine(status, time.Since(began))); err != nil {
		return 0, advise(fmt.Errorf("closing the results of %s: %w", s.name, err), "is the disk full? Free some room, or pass --results FOLDER on another one that stays where it is")
	}
	results, err := readResultsFile(j.sys, name)
	if err != nil {
		return 0, fmt.Errorf("reading back the results of %s: %w", s.name, err)
	}
	if status == pytest.ExitUsage && len(results.Tests)+len(results.Running) == 0 {
		os.Remove(name) // pytest never began: this is no attempt
		if args := j.plan.Collector.Args; len(args) > 0 || len(j.options.args) == 0 {
			j.sys.say("hint: run this in the folder where the plan was made, and with the same --pytest%s", after("; the plan's arguments are ", pytest.JoinWords(args...)))
		}
		return status, nil
	}
	if status < 128 && len(results.Warnings) > 0 {
		j.sys.say("hint: the results end in the middle of a line: is the disk full? Free some room, or pass --results FOLDER on another one")
	}
	for _, note := range results.Notes {
		j.sys.say("%s", note)
	}
	j.sys.say("%s: results in %s (attempt %d)", s.name, name, attempt)
	if j.limited {
		hangs := ""
		if j.options.testTimeout == 0 {
			hangs = "--test-timeout 5m stops a test that hangs, and only that; "
		}
		j.sys.say("hint: %swhere all tests are only slow, plan more shards, or raise the job's timeout (timeout-minutes on GitHub) and pass a --time-limit of your own", hangs)
	}
	return j.judge(s, results, status), nil
}

// A call is what one call of pytest is to do.
type call struct {
	results     string // file
	selection   pytest.Selection
	workers     int
	args, extra []string // pytest's arguments as collected, and of this run
	again       int      // after a kill, which try this is: with so many workers, and beside what the first one has written
}

// A try is one call of pytest, and what was seen of it from outside.
type try struct {
	status int
	counts killed.Counts
	looks  []killed.Snapshot // at each kill
	peak   int64             // most memory that all processes held at once, as sampled; bytes
	born   map[int]string    // when each process started, by its ID
	room   int64             // what all processes could have when it began, bytes; 0 where unknown
}

// try runs pytest once.
func (j *job) try(ctx context.Context, s session, c call) (try, error) {
	command := j.command
	if j.group != nil {
		command.Argv = j.group.Command(command.Argv)
	}
	own, machine := j.kills()
	limit, room := j.memory()
	watch := killed.Start(os.Getpid(), limit, func() int64 {
		own, machine := j.kills()
		return max(own, machine)
	})
	t := try{room: room}
	open := j.sys.fence(j.sys.stdout)
	status, err := pytest.Run(ctx, command, pytest.RunOptions{
		Dir:        j.dir,
		Env:        j.sys.pytestEnviron(),
		Args:       c.args,
		Extra:      c.extra,
		Root:       j.plan.Collector.Root,
		Conftests:  j.plan.Collector.Conftests,
		Places:     j.plan.Collector.Places,
		LastPlaces: j.plan.Collector.LastPlaces,
		Parameters: j.plan.Collector.Parameters,
		Selection:  c.selection,
		Workers:    c.workers,
		Again:      c.again,
		Memory:     j.budget.admission(s.run),
		Timeout:    j.options.testTimeout,
		Unfrozen:   j.options.noFreeze,
		Seed:       j.plan.Collector.Seed,
		Results:    c.results,
		Stdin:      j.sys.stdin,
		Stdout:     j.sys.stdout,
		Stderr:     j.sys.stderr,

		DeadlineGrace: tearDown,
	})
	open()
	t.status = status
	t.looks, t.peak = watch.Stop()
	t.born = watch.Born()
	if ctx.Err() != nil && status >= 128 {
		// What did not end when it was told to was killed: of a wrapper, such as uv
		// run, that is the wrapper alone, and pytest would go on and write results.
		killed.End(t.born, leaving)
		if j.group != nil {
			j.group.Kill(leaving)
		}
	}
	ownAfter, machineAfter := j.kills()
	t.counts = killed.Counts{Own: since(own, ownAfter), Machine: since(machine, machineAfter)}
	if t.counts.Own == 0 && status == exitKilled && j.group != nil && j.group.Usage().Gone {
		t.counts.Own = killed.Unknown // it took its counter along
	}
	return t, err
}

// since is how far a counter rose, where it can be read.
func since(before, after int64) int64 {
	if before < 0 || after < 0 {
		return killed.Unknown
	}
	return max(0, after-before)
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
		CPUs:    runtime.NumCPU(),
	}
	if pytest.UserOptions(j.options.args).Workers {
		header.Workers = 0 // as many as these say: nothing is learned of the number that was planned
	} else {
		header.Tests, header.Predicted = j.predicted(s)
	}
	if j.sys.inCI() && !j.options.all {
		header.SetUp = header.Started.Sub(jobStart(j.sys, header.Started))
	}
	for _, one := range s.shards {
		header.Shards = append(header.Shards, one.Name)
	}
	for ; ; header.Attempt++ {
		name = filepath.Join(folder, artifact.ResultsName(s.name, header.Attempt)+".jsonl")
		file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
		if errors.Is(err, os.ErrExist) {
			continue
		}
		if err != nil {
			return "", 0, err
		}
		_, err = file.Write(header.Line())
		if err = errors.Join(err, file.Close()); err != nil {
			os.Remove(name) // without its header it would be in the way of the next attempt
		}
		return name, header.Attempt, err
	}
}

// predicted is what the plan says of a session, where that rests on measurements
// and all of a shard is to run.
func (j *job) predicted(s session) (tests int, wall time.Duration) {
	if len(s.shards) != 1 || s.run != s.shards[0] || j.options.from.failed || 2*s.run.Basis.Measured <= s.run.Len() {
		return 0, 0
	}
	return s.run.Len(), s.run.Wall
}

// attempts returns the newest attempt that the folder has of any of the
// session's shards: run --all and run --shard name their files differently.
func (j *job) attempts(folder string, s session) int {
	newest := 0
	entries, _ := os.ReadDir(folder)
	for _, entry := range entries {
		if !isResults(entry.Name()) {
			continue
		}
		header, err := readHeader(filepath.Join(folder, entry.Name()))
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
	return localRun + digest[:min(12, len(digest))]
}

// localRun is what the names of runs outside of CI begin with.
const localRun = "local-"

// runner is the class of the machine: durations of a laptop say little about a
// runner's, and a runner's little about those of one with more memory.
func (j *job) runner(s session) string {
	if j.sys.inCI() {
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
	selection.Reduced = j.options.from.failed
	selection.Gathered = len(s.shards) > 1
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
	listed(j.sys, verdict.Killed, killedText)
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
	switch {
	case status < 128 && !j.limited && len(results.Tests)+len(results.Running)+len(results.Missing)+len(results.Extra) == 0:
		j.sys.say("hint: pytest came to none of the tests, see what stands above: run this in the folder where the plan was made, and try %s --version", j.command)
	case len(results.Broken) > 0:
		j.sys.say("hint: see above why a file could not be imported; where the whole suite can import it: a shard imports its own files alone, so what others leave behind has to be in a conftest.py")
	case notFound(verdict) == verdict.Planned:
		j.sys.say("hint: none of the planned tests is here; %srun this in the folder where the plan was made, with the same checkout", j.deselecting())
	case len(results.Missing)+len(results.Extra) > 0:
		j.sys.say("hint: the tests are not those of the plan: %s%s", j.deselecting(), j.sys.otherTests())
	}
	if status == exitOK || status == exitTestsFailed || status == exitNoTests {
		return exitIncomplete
	}
	return status
}

// deselecting is what to do first where this run has arguments that the plan had not.
func (j *job) deselecting() string {
	if slices.ContainsFunc(j.options.args, deselects) {
		return fmt.Sprintf("if %s deselects tests, leave it out (in the action: pytest-args of this step); else ", pytest.JoinWords(strings.Join(j.options.args, " ")))
	}
	if more := j.sys.getenv("PYTEST_ADDOPTS"); slices.ContainsFunc(strings.Fields(more), deselects) {
		return fmt.Sprintf("if PYTEST_ADDOPTS (%s) deselects tests, and did not where the plan was made, unset it; else ", printable(more))
	}
	return ""
}

// deselects reports whether an argument may make pytest leave out tests.
func deselects(arg string) bool {
	for _, option := range []string{"-k", "-m", "--deselect", "--ignore"} {
		if strings.HasPrefix(arg, option) {
			return true
		}
	}
	return strings.Contains(arg, "::") || strings.HasSuffix(arg, ".py")
}

// otherTests is what to do where a shard finds other tests than were planned. In CI
// the plan is minutes old, and a new one would be no better.
func (sys *system) otherTests() string {
	const ids = "an ID must not hold a time, a random value or an address, which two runs of pytest --collect-only -q would show"
	if !sys.inCI() {
		return "make a new plan with wcshard matrix; if that does not help: " + ids
	}
	return "the job that makes the plan and this one must install the same, on the same system; what a set or a folder gives as parameters must be sorted; and " + ids
}

func notFound(v *shard.Verdict) int { return missing(v, shard.NotFound) }

// missing counts the tests that are missing for a reason.
func missing(v *shard.Verdict, reason shard.Reason) int {
	n := 0
	for _, m := range v.Missing {
		if m.Reason == reason {
			n++
		}
	}
	return n
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
