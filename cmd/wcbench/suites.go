package main

import (
	"bytes"
	"cmp"
	"context"
	_ "embed"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/exp/stats"
)

// suitePackages are what all suites run with: pytest and the rivals.
var suitePackages = []string{"pytest==9.2.0", pytestSplit, "pytest-balance==0.1.0", "pytest-fsplit==0.1.0"}

//go:embed fixture_suite.py
var fixtureSuite string

type suitesOptions struct {
	suites     suiteChoice
	shards     []int
	rounds     int
	recordings int
	quick      bool
	wall       bool
	json       bool
	mark       bool
	keep       string
}

func newSuites() *cobra.Command {
	o := suitesOptions{suites: suiteChoice{names: []string{"networkx", "statsmodels", "sympy-physics", "sympy-series", "fixtures"}}, shards: []int{4, 8}, rounds: 1, recordings: 1}
	verb := &cobra.Command{
		Use:   "suites",
		Short: "Run real suites, sharded by wcshard and by its rivals",
		Long: `Run whole suites, sharded by wcshard and by each rival. wcshard records durations
in one run, the rivals in another, each in its own way; then each job of each
planner is really run, one after another, the planners taking turns. Figures are
the seconds that a job would take with a core to itself: CPU time of all its
processes, and on Linux the time in which they slept and their cores were idle;
as it would be at the pace of wcshard's recorded run: a machine that others share
is now faster and now slower, and a little work that is done over and over beside
the jobs tells how much. That is most exact on one core (taskset -c 1 wcbench
suites ..., on Linux). With --wall they are wall time instead, at that pace: for
suites whose tests leave processes behind, whose CPU time nobody is told, on a
machine that does nothing else. The made-up suites take what they take at any pace.
With --rounds all jobs are run again, and the median of what each took counts. With
--recordings durations are recorded again and again before, in turns: wcshard learns
from all of these runs, as it does in CI, and the rivals keep what they keep.

SUITES
Jobs find a fresh checkout: packages are compiled, the suite itself is not.
Lost and doubled tests are counted in JUnit files against the recording runs.
plan is what wcshard matrix takes, once for all jobs; rivals plan in each job.
The bound and predictions are such seconds as well: a plan's times, multiplied by
what share of their time the recorded runs would have taken with a core each.`,
		RunE: func(verb *cobra.Command, args []string) error {
			if o.quick {
				o.suites.names, o.shards = []string{"quick"}, []int{2}
			}
			if o.rounds < 1 || o.recordings < 1 {
				return fmt.Errorf("--rounds is %d and --recordings %d, want at least 1 of each", o.rounds, o.recordings)
			}
			specs, err := o.suites.specs(verb, args)
			if err != nil {
				return err
			}
			return doSuites(verb.Context(), verb.OutOrStdout(), specs, o)
		},
	}
	o.suites.bind(verb)
	f := verb.Flags()
	f.IntSliceVar(&o.shards, "shards", o.shards, "numbers of jobs")
	f.IntVar(&o.rounds, "rounds", o.rounds, "how often each job is run")
	f.IntVar(&o.recordings, "recordings", o.recordings, "how often durations are recorded")
	f.BoolVar(&o.quick, "quick", false, "only the smallest suite, over 2 jobs")
	f.BoolVar(&o.wall, "wall", false, "go by the clock, on a machine that does nothing else")
	f.BoolVar(&o.json, "json", false, "print JSON")
	f.BoolVar(&o.mark, "markdown", false, "print a table and a chart in Markdown, as README has them")
	f.StringVar(&o.keep, "keep", "", "leave suites, recorded durations and the rows so far in a `FOLDER`, and go on with those that are there")
	return verb
}

// A suiteRow is what the jobs of one planner come to.
type suiteRow struct {
	Suite      string    `json:"suite"`
	Planner    string    `json:"planner"`
	Shards     int       `json:"shards"`
	Rounds     int       `json:"rounds"`                 // of which the median of each job counts
	Recordings int       `json:"recordings,omitempty"`   // runs that durations are from; 0: one
	ByClock    bool      `json:"by_the_clock,omitempty"` // with --wall
	Jobs       []float64 `json:"job_seconds"`            // of each, with a core to itself
	Longest    float64   `json:"longest_seconds"`
	Sum        float64   `json:"sum_seconds"`
	Plan       float64   `json:"plan_seconds"`            // outside the jobs
	Bound      float64   `json:"bound_seconds,omitempty"` // no plan's longest job is predicted below it
	Tests      int       `json:"tests"`
	Lost       int       `json:"lost"`
	Doubled    int       `json:"doubled"`
	Wrong      []string  `json:"wrong_exits,omitempty"`
	Walls      []float64 `json:"job_wall_seconds"`
	Slower     []float64 `json:"job_slower,omitempty"`        // times that the machine was slower than at the pace of the seconds
	Busy       float64   `json:"busy,omitempty"`              // what the jobs took over what they would have with a core each
	Errors     []float64 `json:"prediction_errors,omitempty"` // |predicted - real| / real, by job
	Reason     string    `json:"reason,omitempty"`            // why there are no figures
}

// A benchSuite is a suite on disk, and the programs that run it.
type benchSuite struct {
	spec            suiteSpec
	dir, out        string // the suite; where durations and reports go
	tool            string // what the virtual environment is for
	python, wcshard string
	tests           map[string]int // test → how often it is in a whole run
	recorded        map[string]error
	runs            int     // recorded so far, by each planner
	byClock         bool    // whatever takes time is its own
	share           float64 // of their time that they would have taken with a core to themselves
	pace            *pacer
	beat            float64 // CPU seconds that one took at the pace that figures are given for; 0: they are as measured

	recordedShares, recordedBeats []float64 // share and beat, of each recorded run
}

func doSuites(ctx context.Context, w io.Writer, specs []suiteSpec, o suitesOptions) error {
	place, err := newWorkplace(ctx, o.keep, "")
	if err != nil {
		return err
	}
	defer place.clean()
	var rows []suiteRow
	for _, spec := range specs {
		s, err := place.suite(ctx, spec, "suites", o.suites.python, suitePackages)
		if err != nil {
			return err
		}
		more, err := s.overShards(ctx, w, o)
		if err != nil {
			return err
		}
		rows = append(rows, more...)
	}
	report := newReport(suitePackages, specs, rows, o.wall)
	switch {
	case o.json:
		if err := writeJSON(w, report); err != nil {
			return err
		}
	case o.mark:
		report.markdown(w)
	}
	return faults(rows)
}

// overShards compares the planners on one suite, and prints what each number of
// jobs comes to.
func (s *benchSuite) overShards(ctx context.Context, w io.Writer, o suitesOptions) (rows []suiteRow, err error) {
	if s.pace, err = s.startPacer(ctx); err != nil {
		return nil, err
	}
	defer s.pace.stop()
	s.byClock = o.wall
	if err := s.recordAll(ctx, o.recordings); err != nil {
		return nil, fmt.Errorf("recording %s: %w", s.spec.name, err)
	}
	for _, n := range o.shards {
		more, err := s.measure(ctx, n, o.rounds)
		if err != nil {
			return nil, fmt.Errorf("running %s over %d jobs: %w", s.spec.name, n, err)
		}
		rows = append(rows, more...)
		if !o.json && !o.mark {
			if err := printSuite(w, more); err != nil {
				return nil, err
			}
		}
	}
	return rows, nil
}

// measure runs all jobs of all planners, or takes the rows that an earlier run
// kept.
func (s *benchSuite) measure(ctx context.Context, n, rounds int) ([]suiteRow, error) {
	name := s.file(fmt.Sprintf("rows-%d.json", n))
	var rows []suiteRow
	if _, err := readKept(name, &rows); err != nil || len(rows) > 0 && max(rows[0].Rounds, 1) >= rounds {
		return rows, err
	}
	rows, err := s.compare(ctx, n, rounds)
	if err != nil {
		return nil, err
	}
	return rows, keepJSON(name, rows)
}

func readKept(name string, value any) (found bool, err error) {
	text, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	from := json.NewDecoder(bytes.NewReader(text))
	from.DisallowUnknownFields() // of an older wcbench
	if err := from.Decode(value); err != nil {
		return false, fmt.Errorf("reading %s: %w: pass another folder to --keep", name, err)
	}
	return true, nil
}

func keepJSON(name string, value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return os.WriteFile(name, text, 0o644)
}

// faults says what wcshard got wrong.
func faults(rows []suiteRow) error {
	for _, r := range rows {
		if r.Planner == suitePlanners[0].name && (r.Lost+r.Doubled+len(r.Wrong) > 0 || r.Reason != "") {
			return fmt.Errorf("wcshard on %s over %d jobs: %d tests lost, %d doubled, %d wrong exits; %s", r.Suite, r.Shards, r.Lost, r.Doubled, len(r.Wrong), cmp.Or(r.Reason, "it ran"))
		}
	}
	return nil
}

// call runs a program and says what it took.
func (s *benchSuite) call(ctx context.Context, dir, name string, args ...string) (u usage, err error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "PYTHONHASHSEED=0", "PYTHONDONTWRITEBYTECODE=1", "OMP_NUM_THREADS=1", "OPENBLAS_NUM_THREADS=1")
	cmd.Env = append(cmd.Env, s.spec.env...)
	clock := startIdleClock()
	out, err := cmd.CombinedOutput()
	u.wall, u.idle = time.Since(clock.began), clock.stop()
	if err != nil {
		text := strings.TrimSpace(string(out))
		err = fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args[:min(4, len(cmd.Args))], " "), err, text[max(0, len(text)-800):])
	}
	if cmd.ProcessState != nil {
		u.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	}
	if s.byClock {
		u.cpu = u.wall - u.idle
	}
	return u, err
}

// pytest runs the whole suite with pytest. The first such run says which tests
// there are. Files are given to options with an equals sign: beside a path of
// its own pytest would take them for tests, and look for its root above both.
func (s *benchSuite) pytest(ctx context.Context, name string, args ...string) error {
	report := filepath.Join(s.out, name+".xml")
	all := slices.Concat([]string{"-m", "pytest", "-q", "-p", "no:cacheprovider", "--junitxml=" + report}, args, s.spec.args)
	_, err := s.call(ctx, s.dir, s.python, all...)
	if err != nil {
		return err
	}
	tests, err := readTests(report)
	if s.tests == nil {
		s.tests = tests
	}
	return err
}

// A comparison is what the jobs so far came to, by planner.
type comparison struct {
	Rows  []suiteRow       `json:"rows"`
	Calls [][]jobCall      `json:"calls"` // of each job
	Runs  [][][]jobRun     `json:"runs"`  // of each job, by round
	Seen  []map[string]int `json:"seen"`  // how often each test ran
	Done  int              `json:"done"`  // turns taken
}

// A jobRun is what a job took in one round.
type jobRun struct {
	Seconds float64 `json:"seconds"` // with a core to itself, at the pace that figures are given for
	CPU     float64 `json:"cpu_seconds"`
	Idle    float64 `json:"idle_seconds"`
	Wall    float64 `json:"wall_seconds"`
	Slower  float64 `json:"slower"` // times that the machine was
}

// compare runs all jobs of all planners, taking turns, so many times. Each is kept
// as it ends, since all of them may take hours; so a later call with more rounds
// runs only those, of the same plans.
func (s *benchSuite) compare(ctx context.Context, n, rounds int) ([]suiteRow, error) {
	part := s.file(fmt.Sprintf("part-%d.json", n))
	var c comparison
	if found, err := readKept(part, &c); err != nil {
		return nil, err
	} else if !found {
		c = s.divide(ctx, n)
	} else if len(c.Calls) != len(c.Rows) {
		return nil, fmt.Errorf("%s is of an older wcbench, and does not say what it ran: pass another folder to --keep", part)
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	for rounds*n*len(suitePlanners) > c.Done {
		k, i := c.Done/len(suitePlanners)%n, c.Done%len(suitePlanners)
		if k < len(c.Calls[i]) {
			if err := s.job(ctx, &c, i, k); err != nil {
				return nil, err
			}
		}
		c.Done++
		if err := keepJSON(part, c); err != nil {
			return nil, err
		}
	}
	for i := range c.Rows {
		c.Rows[i].Rounds = rounds
		if c.Rows[i].Reason == "" {
			c.Rows[i].settle(c.Runs[i], c.Calls[i], s.share)
			c.Rows[i].count(s.tests, c.Seen[i])
		}
	}
	return c.Rows, nil
}

// divide has each planner divide the suite over n jobs.
func (s *benchSuite) divide(ctx context.Context, n int) (c comparison) {
	for _, r := range suitePlanners {
		var row suiteRow
		var jobs []jobCall
		err := s.recorded[r.name]
		if err == nil {
			row, jobs, err = r.jobs(ctx, s, n)
		}
		row.Suite, row.Planner, row.Shards, row.Recordings, row.ByClock = s.spec.name, r.name, n, s.runs, s.byClock
		if err != nil {
			row.Reason = err.Error()
		}
		c.Rows, c.Seen, c.Calls = append(c.Rows, row), append(c.Seen, map[string]int{}), append(c.Calls, jobs)
		c.Runs = append(c.Runs, make([][]jobRun, len(jobs)))
	}
	return c
}

// job runs the k-th job of the i-th planner once more. What ran counts once, however
// many rounds there are.
func (s *benchSuite) job(ctx context.Context, c *comparison, i, k int) error {
	call := c.Calls[i][k]
	o, err := s.once(ctx, call.Args)
	if err != nil {
		return err
	}
	row, runs := &c.Rows[i], &c.Runs[i][k]
	if o.wrong != nil {
		known := func(wrong string) bool { return strings.HasPrefix(wrong, call.Name+": ") }
		if !slices.ContainsFunc(row.Wrong, known) { // the times in its last lines differ from round to round
			row.Wrong = append(row.Wrong, call.Name+": "+o.wrong.Error())
		}
	}
	if len(*runs) == 0 {
		for id, n := range o.tests {
			c.Seen[i][id] += n
		}
	}
	*runs = append(*runs, jobRun{o.alone(o.slower), o.cpu.Seconds(), o.idle.Seconds(), o.wall.Seconds(), o.slower})
	return nil
}

// settle works out a row from the runs of its jobs. share is what part of the
// predicted times is left where each job has a core to itself.
func (row *suiteRow) settle(jobs [][]jobRun, calls []jobCall, share float64) {
	row.Jobs, row.Walls, row.Slower, row.Errors = nil, nil, nil, nil
	used, wall := 0.0, 0.0
	for k, runs := range jobs {
		var seconds, walls, slow []float64
		for _, r := range runs {
			seconds, walls, slow = append(seconds, r.Seconds), append(walls, r.Wall), append(slow, r.Slower)
			used, wall = used+r.CPU+r.Idle, wall+r.Wall
		}
		row.Jobs, row.Walls, row.Slower = append(row.Jobs, stats.Median(seconds)), append(row.Walls, stats.Median(walls)), append(row.Slower, stats.Median(slow))
		if p := calls[k].Predicted; p > 0 {
			row.Errors = append(row.Errors, math.Abs(share*p.Seconds()/row.Jobs[k]-1))
		}
	}
	row.Busy = wall / max(used, 1e-9)
}

// An outcome is what one call of pytest came to.
type outcome struct {
	usage
	slower float64        // times that the machine was, where a pace is known; else 1
	tests  map[string]int // how often each ran
	wrong  error          // why it did not end well
}

// once calls pytest, or what calls it.
func (s *benchSuite) once(ctx context.Context, args []string) (outcome, error) {
	report := s.file("job.xml")
	if err := os.Remove(report); err != nil && !errors.Is(err, os.ErrNotExist) {
		return outcome{}, err
	}
	began := time.Now()
	used, wrong := s.call(ctx, s.dir, args[0], append(slices.Clone(args[1:]), "--junitxml="+report)...)
	o := outcome{usage: used, wrong: wrong}
	if ctx.Err() != nil {
		return o, ctx.Err()
	}
	beat, err := s.pace.since(began)
	if err != nil {
		return o, err
	}
	o.slower = slower(beat, s.beat)
	if o.tests, err = readTests(report); err != nil && wrong == nil {
		return o, err
	}
	return o, nil
}

// count compares what ran with what a whole run has.
func (row *suiteRow) count(want, got map[string]int) {
	row.Longest, row.Sum = 0, 0
	for _, seconds := range row.Jobs {
		row.Longest = max(row.Longest, seconds)
		row.Sum += seconds
	}
	row.Tests, row.Lost, row.Doubled = countTests(want, got)
}

// countTests says how many tests there are, and how many of them ran too
// rarely and too often.
func countTests(want, got map[string]int) (tests, lost, doubled int) {
	for id, n := range want {
		tests += n
		lost += max(0, n-got[id])
	}
	for id, n := range got {
		doubled += max(0, n-want[id])
	}
	return tests, lost, doubled
}

// readTests returns how often each test is in a JUnit file. What has no class is
// a file that was skipped as a whole: it has no tests, and each job that looks
// into it says so.
func readTests(name string) (map[string]int, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	var report struct {
		Cases []struct {
			Class string `xml:"classname,attr"`
			Name  string `xml:"name,attr"`
		} `xml:"testsuite>testcase"`
	}
	if err := xml.Unmarshal(text, &report); err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	tests := map[string]int{}
	for _, c := range report.Cases {
		if c.Class == "" {
			continue
		}
		tests[c.Class+"::"+c.Name]++
	}
	return tests, nil
}

// file names a file that a planner writes for the suite.
func (s *benchSuite) file(name string) string { return filepath.Join(s.out, name) }

// matrix has wcshard plan the suite, with as many jobs as the rivals have: none of its
// own for what needs memory.
func (s *benchSuite) matrix(ctx context.Context, timings, plan string, options ...string) (u usage, err error) {
	return s.call(ctx, s.dir, s.wcshard, slices.Concat([]string{"matrix", "--pytest", s.python + " -m pytest", "--timings", timings, "--plan", plan,
		"--memory-share", "0", "--memory-marker", "none"},
		options, []string{"--", "-p", "no:cacheprovider"}, s.spec.args)...)
}

// run is how wcshard runs one shard of a plan.
func (s *benchSuite) run(plan, results, name string) []string {
	return []string{s.wcshard, "run", "--pytest", s.python + " -m pytest", "--plan", plan, "--results", results, "--shard", name, "--", "-q"}
}

var exitStatus = regexp.MustCompile(`exit status \d+|signal: [a-z ]+`)

// brief is how a job ended and the last line that it printed.
func brief(wrong string) string {
	how := exitStatus.FindStringIndex(wrong)
	if how == nil {
		return wrong
	}
	return wrong[:how[1]] + ": " + wrong[strings.LastIndexByte(wrong, '\n')+1:]
}

// printSuite prints the rows of one suite and number of jobs.
func printSuite(w io.Writer, rows []suiteRow) error {
	fmt.Fprintf(w, "%s over %d jobs, %d tests, seconds with a core to itself\n", rows[0].Suite, rows[0].Shards, slices.MaxFunc(rows, func(a, b suiteRow) int { return cmp.Compare(a.Tests, b.Tests) }).Tests)
	tw := newTable(w)
	fmt.Fprintln(tw, "planner\tlongest job\tsum of jobs\tplan\tlost\tdoubled\twrong exits\tpredicted off by\t")
	for _, r := range rows {
		if r.Reason != "" {
			continue // said below
		}
		off := "predicts nothing"
		if len(r.Errors) > 0 {
			off = fmt.Sprintf("%.1f %%, at most %.1f %%", 100*stats.Median(r.Errors), 100*slices.Max(r.Errors))
		}
		fmt.Fprintf(tw, "%s\t%.2f\t%.2f\t%.2f\t%d\t%d\t%d\t%s\t\n", r.Planner, r.Longest, r.Sum, r.Plan, r.Lost, r.Doubled, len(r.Wrong), off)
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	if r := rows[0]; r.Bound > 0 {
		fmt.Fprintf(w, "no plan is predicted below %.2f: the longest job of wcshard is %.2f of that\n", r.Bound, r.Longest/r.Bound)
	}
	if most := slices.MaxFunc(rows, func(a, b suiteRow) int { return cmp.Compare(a.Busy, b.Busy) }).Busy; most > 1.1 {
		fmt.Fprintf(w, "the machine was busy: jobs took up to %.1f times as long as with a core each\n", most)
	}
	for _, r := range rows {
		if r.Reason != "" {
			fmt.Fprintf(w, "%s: no figures: %s\n", r.Planner, r.Reason)
		}
		for _, wrong := range r.Wrong {
			fmt.Fprintf(w, "%s, %s\n", r.Planner, brief(wrong))
		}
	}
	fmt.Fprintln(w)
	return nil
}
