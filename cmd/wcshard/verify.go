package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"
	"golang.org/x/exp/stats"

	"github.com/wcshard/wcshard/shard"
	"github.com/wcshard/wcshard/timing"
	"github.com/wcshard/wcshard/timing/artifact"
)

// maxListed is how many tests of one sort are listed on a screen; --json has
// all of them.
const maxListed = 20

// verifyOptions are the flags of wcshard verify.
type verifyOptions struct {
	plan    string
	needs   string // --needs: how the other jobs ended, as JSON
	json    bool
	results []string
}

func newVerify(sys *system) *cobra.Command {
	var o verifyOptions
	verb := &cobra.Command{
		Use:   "verify [flags] [RESULTS…]",
		Short: "Check that each planned test ran exactly once, and how it went",
		Long: `Compare the results of all shards (files, or folders that hold them) with the
plan: which tests are missing, ran twice or were not planned, which shards never
reported, ran another plan or ended early. The newest run counts, and of each
shard its newest attempt.

In GitHub Actions the verdict also goes to the step summary. --needs makes it
the gate of a workflow: it fails, too, when a job that it waited for failed, was
cancelled or skipped, or when there was no matrix at all.

Exit status 0 only when each test ran exactly once and none failed; 1 when tests
failed; 75 when the run is incomplete.`,
		Example: `  wcshard verify wcshard-results
  wcshard verify --plan wcshard-plan.json --json pool-1.jsonl pool-2.jsonl`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.results = args; len(args) == 0 {
				o.results = []string{defaultResults}
			}
			if o.needs != "" {
				return doGate(sys, o)
			}
			return doVerify(sys, o, "", nil)
		},
	}
	f := verb.Flags()
	f.StringVar(&o.plan, "plan", defaultPlan, "plan `FILE` of wcshard matrix, or a folder with its artifact")
	f.StringVar(&o.needs, "needs", "", "in the last job of a workflow on GitHub: its context needs as `JSON`")
	f.BoolVar(&o.json, "json", false, "print the verdict as JSON on standard output")
	return verb
}

// doVerify judges the results. digest names the plan where it is known; bad
// jobs are those that did not succeed.
func doVerify(sys *system, o verifyOptions, digest string, bad []string) error {
	plan, err := findPlan(sys, o.plan, digest)
	if err != nil {
		return err
	}
	if o.needs != "" {
		// A folder that nobody has put a file into is not there at all; the
		// verdict on that is that no shard reported.
		o.results = slices.DeleteFunc(o.results, func(name string) bool { _, err := os.Stat(name); return absent(err) })
	}
	results, unread, err := readResults(sys, o.results)
	if err != nil {
		return err
	}
	results = current(sys, plan, results)
	verdict := shard.Verify(plan, results)
	if n := len(verdict.Earlier); n > 0 {
		sys.say("left out %s of earlier runs of this plan: run %s is the newest", count(n, "result file"), printable(verdict.Run))
	}
	for _, x := range unread {
		switch {
		case superseded(verdict, x.File):
			sys.warn("%s is left out, since a later attempt reported: %s", printable(x.File), x.Reason)
		case tornAtBirth(x.err) == nil: // it knows more than the verdict would say
			return x.failure()
		default:
			verdict.Refused = append(verdict.Refused, x.RefusedFile)
		}
	}
	if o.json {
		if err := sys.writeJSON(verdict); err != nil {
			return err
		}
	}
	printVerdict(sys, plan, verdict)
	sys.adviseOn(plan, verdict)
	lines := again(sys, o, verdict)
	for i, line := range lines {
		if i == maxNamed {
			sys.say("… and %d more", len(lines)-i)
			break
		}
		sys.say("to run it again: %s", line)
	}
	sys.publish(report{title: "wcshard", plan: plan, verdict: verdict, results: results, bad: bad, again: lines})
	switch {
	case !verdict.Complete():
		return &failure{status: exitIncomplete}
	case !verdict.Green():
		return &failure{status: exitTestsFailed}
	case len(bad) > 0:
		return &failure{status: exitTestsFailed, err: fmt.Errorf("all tests passed, but: %s", strings.Join(bad, ", ")),
			hint: "look at that job's log: a step beside wcshard's failed, or the job ran out of time"}
	}
	return nil
}

// doGate judges a whole workflow: how its jobs ended, then what they ran.
func doGate(sys *system, o verifyOptions) error {
	jobs, err := readNeeds(o.needs)
	if err != nil {
		return err
	}
	digest, empty, err := jobs.plan()
	if err != nil {
		return err
	}
	bad := jobs.bad(empty)
	switch {
	case empty && len(bad) == 0:
		sys.say("there were no tests to run")
		sys.publishLine("wcshard: there were no tests to run", true)
		if !o.json {
			return nil
		}
		return sys.writeJSON(&shard.Verdict{Outcomes: map[timing.Outcome]int{}})
	case digest == "" && len(bad) > 0:
		text := "no job has put out a matrix, "
		if empty {
			text = "there were no tests to run, but: "
		}
		text += strings.Join(bad, ", ")
		sys.publishLine("wcshard: "+text, false)
		return &failure{status: exitIncomplete, err: errors.New(text), hint: jobs.noMatrix()}
	}
	for _, job := range bad {
		sys.say("%s", job)
	}
	return doVerify(sys, o, digest, bad)
}

// superseded reports whether a results file that cannot be read is of an attempt whose
// shard has reported in a later one; or all have, where it is of a session of several.
func superseded(v *shard.Verdict, file string) bool {
	stem, _, _ := strings.Cut(filepath.Base(file), ".jsonl")
	name, ok := artifact.ParseName(stem)
	if !ok {
		return false
	}
	earlier := func(s shard.ShardVerdict) bool { return s.Attempt <= name.Attempt }
	if k := slices.IndexFunc(v.Shards, func(s shard.ShardVerdict) bool { return s.Name == name.Shard }); k >= 0 {
		return !earlier(v.Shards[k])
	}
	return !slices.ContainsFunc(v.Shards, earlier)
}

// current leaves out what stands in a folder from earlier plans. Results of
// another plan stay, and make the verdict incomplete, where a shard of this
// plan has reported nothing else.
func current(sys *system, plan *shard.Plan, results []*timing.Results) []*timing.Results {
	reported := map[string]bool{} // by shard of this plan
	for i := range plan.Shards {
		reported[plan.Shards[i].Name] = false
	}
	run := shard.NewestRun(plan, results)
	for _, r := range results {
		if r.Header.Plan == plan.Digest && r.Header.Run == run {
			for _, name := range r.Header.Shards {
				reported[name] = true
			}
		}
	}
	kept := slices.DeleteFunc(slices.Clone(results), func(r *timing.Results) bool {
		return r.Header.Plan != plan.Digest && !slices.ContainsFunc(r.Header.Shards, func(name string) bool {
			done, ours := reported[name]
			return ours && !done
		})
	})
	if n := len(results) - len(kept); n > 0 {
		sys.say("left out %s of earlier plans", count(n, "result file"))
	}
	return kept
}

// readResults reads results files and all of those in folders. Those that cannot be
// read are told apart: another attempt may have taken their place.
func readResults(sys *system, names []string) (all []*timing.Results, unread []unreadFile, err error) {
	for _, name := range names {
		files, err := resultsFiles(name)
		if err != nil {
			return nil, nil, &failure{err: fmt.Errorf("looking for results: %w", err), hint: "pass the folder that wcshard run --results wrote to"}
		}
		for _, file := range files {
			results, err := readResultsFile(sys, file)
			if err == nil {
				all = append(all, results)
				continue
			}
			syntax := new(timing.SyntaxError)
			if !errors.As(err, &syntax) || !isResults(filepath.Base(file)) {
				return nil, nil, &failure{err: err, hint: hintResults(file, err)}
			}
			unread = append(unread, unreadFile{shard.RefusedFile{File: file, Reason: syntax.Msg}, err})
		}
	}
	return all, unread, nil
}

// An unreadFile is a results file that cannot be read, and why.
type unreadFile struct {
	shard.RefusedFile
	err error
}

func (x *unreadFile) failure() error { return &failure{err: x.err, hint: hintResults(x.File, x.err)} }

// tornAtBirth returns what is wrong with a results file that has no good first line, and
// so knows nothing; nil for other errors and none.
func tornAtBirth(err error) *timing.SyntaxError {
	var syntax *timing.SyntaxError
	if errors.As(err, &syntax) && syntax.Line <= 1 {
		return syntax
	}
	return nil
}

// hintResults says what to do about a results file that is none. One by another
// name was named on the command line, so it may be another tool's.
func hintResults(file string, err error) string {
	var syntax *timing.SyntaxError
	if isResults(filepath.Base(file)) || !errors.As(err, &syntax) || syntax.Line > 1 {
		return "if the file cannot be mended, remove it and run its shard again"
	}
	return fmt.Sprintf("pass files that wcshard run --results wrote, or their folder; what other tools wrote goes to wcshard merge --import pytest-split:%s (or junit:, reportlog:)", file)
}

// resultsFiles returns a file itself, and the results files below a folder.
func resultsFiles(name string) ([]string, error) {
	info, err := os.Stat(name)
	if err != nil || !info.IsDir() {
		return []string{name}, err
	}
	var files []string
	err = filepath.WalkDir(name, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && isResults(entry.Name()) {
			files = append(files, path)
		}
		return err
	})
	return files, err
}

func isResults(name string) bool {
	return strings.HasPrefix(name, "wcshard-results-") &&
		(strings.HasSuffix(name, ".jsonl") || strings.HasSuffix(name, ".jsonl.gz"))
}

func readResultsFile(sys *system, name string) (*timing.Results, error) {
	file, err := sys.open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	results, err := timing.ReadResults(file, name)
	if err != nil {
		return nil, err
	}
	for _, warning := range results.Warnings {
		sys.warn("%v", warning)
	}
	return results, nil
}

// rank puts shards in which something went wrong before those that are ok.
func rank(s shard.ShardVerdict) int {
	if state(s) == "ok" {
		return 1
	}
	return 0
}

// printVerdict prints the verdict for people.
func printVerdict(sys *system, plan *shard.Plan, v *shard.Verdict) {
	table := tabwriter.NewWriter(sys.stderr, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "shard\ttests\tpredicted s\treal s\tpeak\tstate\t")
	shards := slices.Clone(v.Shards)
	if len(shards) > maxTableRows { // what went wrong is not to be among those left out
		slices.SortStableFunc(shards, func(a, b shard.ShardVerdict) int { return cmp.Compare(rank(a), rank(b)) })
	}
	for _, s := range shards[:min(len(shards), maxTableRows)] {
		fmt.Fprintf(table, "%s\t%d\t%s\t%s\t%s\t%s\t\n", s.Name, s.Planned, seconds(s.Predicted), realSeconds(s), bytesOf(s.Peak), state(s))
	}
	table.Flush()
	if more := len(shards) - maxTableRows; more > 0 {
		fmt.Fprintf(sys.stderr, "  … and %s\n", count(more, "more shard"))
	}
	printIncomplete(sys, v)
	listed(sys, v.Failures, func(f shard.Failure) string {
		return fmt.Sprintf("%s in %s: %s%s", f.Outcome, f.Shard, f.ID, after(": ", f.Message))
	})
	listed(sys, v.Killed, killedText)
	if text := predictionError(plan, v); text != "" {
		sys.say("%s", text)
	}
	if parts := outcomes(v); len(parts) > 0 {
		sys.say("%s", strings.Join(parts, ", "))
	}
	switch {
	case v.Complete():
		sys.say("%s ran exactly once", outOf(v.Planned, v.Planned))
	case v.Once == v.Planned:
		sys.say("incomplete, as said above, though %s ran exactly once", outOf(v.Once, v.Planned))
	default:
		sys.say("incomplete: %s ran exactly once", outOf(v.Once, v.Planned))
	}
}

// outcomes counts the tests of each outcome.
func outcomes(v *shard.Verdict) []string {
	var parts []string
	for _, outcome := range timing.Outcomes() {
		if n := v.Outcomes[outcome]; n > 0 {
			parts = append(parts, fmt.Sprintf("%s %s", humanize.Comma(int64(n)), outcome))
		}
	}
	return parts
}

// outOf writes a part of the tests.
func outOf(n, all int) string {
	return fmt.Sprintf("%s of %s tests", humanize.Comma(int64(n)), humanize.Comma(int64(all)))
}

// realSeconds is how long a shard took; unknown where it ran in one session
// with others.
func realSeconds(s shard.ShardVerdict) string {
	if s.Real == 0 || s.Together {
		return "-"
	}
	return seconds(s.Real)
}

// predictionError says how far the real times were from the predicted ones,
// over the shards that ran as planned, all of their tests in a session of their own and
// with so many workers, and were planned from measurements: how far a guess was off tells
// nothing.
func predictionError(plan *shard.Plan, v *shard.Verdict) string {
	var off []float64
	for i, s := range v.Shards {
		measured := 2*plan.Shards[i].Basis.Measured > s.Planned
		asPlanned := s.Ended && !s.Together && s.Ran == s.Planned && s.Workers == plan.Shards[i].Workers
		if measured && asPlanned && s.Real > 0 && s.Predicted > 0 {
			off = append(off, 100*math.Abs(s.Predicted.Seconds()/s.Real.Seconds()-1))
		}
	}
	if len(off) < 2 {
		return ""
	}
	q := stats.Quantiles(off, 0.5, 0.9)
	return fmt.Sprintf("predictions were off by %.0f %% (median), %.0f %% (90th percentile)", q[0], q[1])
}

// killedText says what became of a test whose try was killed.
func killedText(k shard.Killed) string {
	held, role := "", "victim"
	if k.Held > 0 {
		held = fmt.Sprintf(" at %s", bytesOf(k.Held))
	}
	if k.Culprit {
		role = "culprit"
	}
	return fmt.Sprintf("killed for lack of memory in %s%s (%s), then %s: %s", k.Shard, held, role, cmp.Or(string(k.Outcome), "not run again"), k.ID)
}

// joinHeld lists what ran when a shard ended early, and what it held then.
func joinHeld(s shard.ShardVerdict) string {
	var texts []string
	for i, id := range s.Running {
		text := printable(string(id))
		if s.Held[i] > 0 {
			text += " (" + bytesOf(s.Held[i]) + ")"
		}
		texts = append(texts, text)
	}
	return strings.Join(texts, ", ")
}

// state is a shard's verdict in few words.
func state(s shard.ShardVerdict) string {
	bad := 0
	for outcome, n := range s.Outcomes {
		if outcome.Bad() {
			bad += n
		}
	}
	switch {
	case !s.Reported:
		return "never reported"
	case !s.Ended:
		return "ended early"
	case s.Ran < s.Planned:
		return fmt.Sprintf("%d lost", s.Planned-s.Ran)
	case bad > 0:
		return fmt.Sprintf("%d failed", bad)
	case s.Exit != exitOK:
		return fmt.Sprintf("pytest exited %d", s.Exit)
	}
	return "ok"
}

// digest matches the digest of a plan, of which the start tells enough.
var digest = regexp.MustCompile(`(sha256:[0-9a-f]{12})[0-9a-f]+`)

// printIncomplete lists what keeps a verdict from being complete.
func printIncomplete(sys *system, v *shard.Verdict) {
	for _, s := range v.Shards {
		switch {
		case !s.Reported:
			sys.say("%s never reported", s.Name)
		case !s.Ended:
			sys.say("%s ended early, %d of %s done%s", s.Name, s.Ran, count(s.Planned, "test"), after(", while running ", joinHeld(s)))
		}
	}
	for _, r := range v.Refused {
		sys.say("%s does not count: %s", r.File, digest.ReplaceAllString(printable(r.Reason), "$1…"))
	}
	missing := slices.DeleteFunc(slices.Clone(v.Missing), func(m shard.Missing) bool { return m.Reason == shard.NotReported })
	listed(sys, missing, func(m shard.Missing) string {
		return fmt.Sprintf("lost in %s, %s: %s", m.Shard, m.Reason, m.ID)
	})
	listed(sys, v.Doubled, func(d shard.Doubled) string {
		return fmt.Sprintf("ran %d times, in %s: %s", d.Times, strings.Join(d.Shards, ", "), d.ID)
	})
	listed(sys, v.Unplanned, func(u shard.Unplanned) string {
		what := "is not in the plan, so it did not run"
		if u.Ran {
			what = "ran without being planned"
		}
		if function, is := u.Reordered(); is {
			return fmt.Sprintf("has its parameters in another order than planned, in %s: %s", u.Shard, function)
		}
		return fmt.Sprintf("%s, found in %s: %s", what, u.Shard, u.ID)
	})
}

// listed says the first of many things, and how many more there are.
func listed[T any](sys *system, all []T, text func(T) string) {
	for i, one := range all {
		if i == maxListed {
			sys.say("… and %d more", len(all)-i)
			return
		}
		sys.say("%s", printable(text(one)))
	}
}

func join(ids []timing.NodeID) string {
	var texts []string
	for _, id := range ids {
		texts = append(texts, printable(string(id)))
	}
	return strings.Join(texts, ", ")
}

// printable makes text that others made safe for a terminal and for a CI log,
// where control characters, "::" at the start of a line and "##[" anywhere are
// commands; our lines start with "wcshard: ".
func printable(text string) string {
	text = strings.ReplaceAll(text, "##[", `##\[`)
	if !slices.ContainsFunc([]rune(text), func(r rune) bool { return !strconv.IsPrint(r) }) {
		return text
	}
	quoted := strconv.Quote(text)
	return strings.ReplaceAll(quoted[1:len(quoted)-1], `\"`, `"`)
}

func after(separator, text string) string {
	if text == "" {
		return ""
	}
	return separator + text
}
