package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/wcshard/wcshard/cmd/wcshard/internal/actions"
	"github.com/wcshard/wcshard/shard"
	"github.com/wcshard/wcshard/timing"
)

// How many rows the parts of a step summary have: enough to work with, few
// enough to read on one page. The log and --json have all.
const (
	maxSummaryRows    = 100
	maxSummarySlowest = 20
)

// report is what GitHub Actions shows of a verdict beside the log.
type report struct {
	title   string
	plan    *shard.Plan // with the verdict's shards
	verdict *shard.Verdict
	results []*timing.Results
	bad     []string // jobs of the workflow that did not succeed
	again   []string // lines that run what went wrong again
	brief   bool     // of one shard: no more than a line where all is well
}

// publish appends the step summary to $GITHUB_STEP_SUMMARY and, in GitHub
// Actions, prints annotations.
//
// Annotations go to standard error: the runner reads commands from both
// streams, and standard output is for machines (verify --json, run --list).
// That nobody sees them is no reason to fail: the verdict is in the exit status.
func (sys *system) publish(r report) {
	sys.summarize(r.summary)
	if sys.getenv("GITHUB_ACTIONS") == "true" {
		if err := actions.WriteAnnotations(sys.stderr, sys.annotations(r)); err != nil {
			sys.warn("writing annotations: %v", err)
		}
	}
}

// publishLine shows a verdict of one line.
func (sys *system) publishLine(text string, good bool) {
	sys.summarize(func(limit int) string {
		s := actions.NewSummary(limit)
		s.Heading(marked(good, text))
		return s.String()
	})
	if !good && sys.getenv("GITHUB_ACTIONS") == "true" {
		if err := actions.WriteAnnotations(sys.stderr, []actions.Annotation{{Message: text}}); err != nil {
			sys.warn("writing annotations: %v", err)
		}
	}
}

// publishPlan shows in GitHub Actions what was planned, and what that rests on.
func (sys *system) publishPlan(plan *shard.Plan, source historySources, measured int) {
	sys.summarize(func(limit int) string { return planSummary(plan, source, measured, limit) })
}

func planSummary(plan *shard.Plan, source historySources, measured, limit int) string {
	tests := planned(plan)
	s := actions.NewSummary(limit)
	s.Heading(actions.Text("%s on %s, the longest %s s", count(tests, "test"), count(len(plan.Shards), "job"), seconds(plan.Makespan)))
	history := fmt.Sprintf("History: %s, which covers %s of the tests.", source, percent(measured, tests))
	if measured == 0 {
		history = fmt.Sprintf("History: none of these tests in %s. The split is even by count.", source)
	}
	if known := (timing.Accuracy{Jobs: plan.Error.Jobs, Median: plan.Error.Median, Ninth: plan.Error.Ninth}); known.Known() {
		history += " Predictions: " + expectedError(known) + "."
	}
	s.Paragraph(actions.Text("%s", history))
	var rows [][]actions.Inline
	for i := range plan.Shards {
		one := &plan.Shards[i]
		rows = append(rows, []actions.Inline{
			actions.Code(one.Name), actions.Code(one.Runner), actions.Text("%d", one.Len()), actions.Text("%d", one.Workers),
			actions.Text("%s", seconds(one.Wall)), actions.Text("%s", percent(one.Basis.Measured, one.Len())),
		})
	}
	s.Table([]actions.Column{
		{Name: "shard"}, {Name: "runner"}, {Name: "tests", Right: true}, {Name: "workers", Right: true},
		{Name: "predicted s", Right: true}, {Name: "measured", Right: true},
	}, rows)
	return s.String()
}

// summarize appends to $GITHUB_STEP_SUMMARY. That nobody sees it is no reason
// to fail.
func (sys *system) summarize(summary func(limit int) string) {
	if name := sys.getenv("GITHUB_STEP_SUMMARY"); name != "" {
		if err := appendSummary(name, summary); err != nil {
			sys.warn("writing the step summary: %v", err)
		}
	}
}

// appendSummary leaves the step's file below GitHub's limit, whatever stands
// in it already.
func appendSummary(name string, summary func(limit int) string) error {
	file, err := os.OpenFile(name, os.O_APPEND|os.O_WRONLY|os.O_CREATE, 0o666)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	text := summary(actions.MaxSummary - int(min(info.Size(), actions.MaxSummary)))
	if text == "" {
		return fmt.Errorf("%s holds %d bytes already, there is no room for more", name, info.Size())
	}
	if _, err := file.WriteString(text); err != nil {
		return err
	}
	return file.Close()
}

// summary is the step summary in at most limit bytes, what matters most first.
func (r report) summary(limit int) string {
	s := actions.NewSummary(limit)
	v := r.verdict
	s.Heading(marked(v.Complete() && v.Green() && len(r.bad) == 0, r.title+": "+headline(v)))
	if r.brief && v.Complete() && v.Green() {
		return s.String()
	}
	s.Table(shardColumns, shardRows(v))
	if text := predictionError(r.plan, v); text != "" {
		s.Paragraph(actions.Text("%s", text))
	}
	r.problems(s)
	r.failures(s)
	r.lost(s)
	if len(r.again) > 0 {
		s.Heading(actions.Text("Run it again on your machine"))
		s.Shell(r.again)
	}
	r.slowest(s)
	return s.String()
}

func marked(good bool, title string) actions.Inline {
	return actions.Text("%s %s", map[bool]string{true: "✅", false: "❌"}[good], title)
}

// headline says in one line how it went.
func headline(v *shard.Verdict) string {
	text := outOf(v.Once, v.Planned) + " ran exactly once"
	if !v.Complete() {
		text = "incomplete, " + text
	}
	return strings.Join(append([]string{text}, outcomes(v)...), ", ")
}

var shardColumns = []actions.Column{
	{Name: "shard"}, {Name: "tests", Right: true}, {Name: "predicted s", Right: true}, {Name: "real s", Right: true},
	{Name: "peak", Right: true}, {Name: "state"},
}

func shardRows(v *shard.Verdict) [][]actions.Inline {
	var rows [][]actions.Inline
	for _, s := range v.Shards {
		rows = append(rows, []actions.Inline{
			actions.Code(s.Name), actions.Text("%d", s.Planned), actions.Text("%s", seconds(s.Predicted)),
			actions.Text("%s", realSeconds(s)), actions.Text("%s", bytesOf(s.Peak)), actions.Text("%s", state(s)),
		})
	}
	return rows
}

// problems lists shards that did not get to their end, and files that do not
// count.
func (r report) problems(s *actions.Summary) {
	var items []actions.Inline
	for _, job := range r.bad {
		items = append(items, actions.Text("%s", job))
	}
	for _, one := range r.verdict.Shards {
		if one.Reported && !one.Ended && len(one.Running) > 0 {
			items = append(items, actions.Join(actions.Code(one.Name), actions.Text(" ended early, while running "), actions.Code(join(one.Running))))
		}
	}
	for _, one := range r.verdict.Refused {
		items = append(items, actions.Join(actions.Code(one.File), actions.Text(" does not count: "), actions.Code(digest.ReplaceAllString(one.Reason, "$1…"))))
	}
	if len(items) > 0 {
		s.List(items)
	}
}

func (r report) failures(s *actions.Summary) {
	section(s, "Failures", []actions.Column{{Name: "shard"}, {Name: "test"}, {Name: "first line"}}, r.verdict.Failures,
		func(f shard.Failure) []actions.Inline {
			return []actions.Inline{actions.Code(f.Shard), actions.Code(string(f.ID)), actions.Code(f.Message)}
		})
}

// lost lists the tests that did not run exactly once.
func (r report) lost(s *actions.Summary) {
	columns := []actions.Column{{Name: "shard"}, {Name: "test"}, {Name: "why"}}
	section(s, "Lost tests", columns, r.verdict.Missing, func(m shard.Missing) []actions.Inline {
		return []actions.Inline{actions.Code(m.Shard), actions.Code(string(m.ID)), actions.Text("%s", m.Reason)}
	})
	section(s, "Tests that ran too often", columns, r.verdict.Doubled, func(d shard.Doubled) []actions.Inline {
		return []actions.Inline{actions.Code(strings.Join(d.Shards, ", ")), actions.Code(string(d.ID)), actions.Text("ran %d times", d.Times)}
	})
	section(s, "Tests in no shard", columns, r.verdict.Unplanned, func(u shard.Unplanned) []actions.Inline {
		why := "collected, and did not run"
		if u.Ran {
			why = "ran without being planned"
		}
		return []actions.Inline{actions.Code(u.Shard), actions.Code(string(u.ID)), actions.Text("%s", why)}
	})
}

func (r report) slowest(s *actions.Summary) {
	slowest := slowestTests(r.verdict, r.results)
	if len(slowest) > maxSummarySlowest {
		slowest = slowest[:maxSummarySlowest]
	}
	section(s, "Slowest tests", []actions.Column{{Name: "seconds", Right: true}, {Name: "test"}}, slowest,
		func(t *timing.TestResult) []actions.Inline {
			return []actions.Inline{actions.Text("%s", seconds(t.Wall)), actions.Code(string(t.ID))}
		})
}

// slowestTests returns the tests of the results that count, slowest first; a
// test that took no 50 ms is not worth a row.
func slowestTests(v *shard.Verdict, results []*timing.Results) []*timing.TestResult {
	var all []*timing.TestResult
	for _, r := range results {
		if !slices.ContainsFunc(v.Shards, func(s shard.ShardVerdict) bool { return s.Reported && s.File == r.Name }) {
			continue
		}
		for i := range r.Tests {
			if seconds(r.Tests[i].Wall) != "0.0" {
				all = append(all, &r.Tests[i])
			}
		}
	}
	slices.SortStableFunc(all, func(a, b *timing.TestResult) int {
		return cmp.Or(cmp.Compare(b.Wall, a.Wall), cmp.Compare(a.ID, b.ID))
	})
	return slices.CompactFunc(all, func(a, b *timing.TestResult) bool { return a.ID == b.ID && a.Wall == b.Wall })
}

// section adds a heading and a table of the first of many things, and how many
// more there are; nothing where there are none.
func section[T any](s *actions.Summary, title string, columns []actions.Column, all []T, row func(T) []actions.Inline) {
	if len(all) == 0 {
		return
	}
	s.Heading(actions.Text("%s", title))
	var rows [][]actions.Inline
	for _, one := range all[:min(len(all), maxSummaryRows)] {
		rows = append(rows, row(one))
	}
	s.Table(columns, rows)
	if more := len(all) - maxSummaryRows; more > 0 {
		s.Paragraph(actions.Text("… and %d more", more))
	}
}

// annotations are the first errors of a verdict: that it is incomplete, then
// the tests that failed. A shard that came to its end has annotated its own
// failures in its own job; once is enough.
func (sys *system) annotations(r report) []actions.Annotation {
	var all []actions.Annotation
	if !r.verdict.Complete() {
		all = append(all, actions.Annotation{Title: "wcshard: " + r.title, Message: headline(r.verdict)})
	}
	for _, f := range r.verdict.Failures {
		if len(all) == actions.MaxAnnotations {
			break
		}
		if !r.brief && r.ended(f.Shard) {
			continue
		}
		file, line := sys.place(r.plan.Collector, f)
		message := cmp.Or(f.Message, string(f.Outcome))
		all = append(all, actions.Annotation{File: file, Line: line, Title: string(f.ID), Message: fmt.Sprintf("%s (%s)", message, f.Shard)})
	}
	return all
}

// ended reports whether a shard came to its end.
func (r report) ended(name string) bool {
	return slices.ContainsFunc(r.verdict.Shards, func(s shard.ShardVerdict) bool { return s.Name == name && s.Ended })
}

// place is where a test failed, relative to the repository. Where that is not
// in the repository (the standard library, another machine's folder) it is the
// test's own file, of which no line is known; node IDs are relative to pytest's root.
func (sys *system) place(from shard.Collector, f shard.Failure) (file string, line int) {
	if f.Path != "" {
		if file = sys.inRepository(from.Folder, f.Path); file != "" {
			return file, f.Line
		}
	}
	return sys.inRepository(from.Folder, filepath.Join(from.Root, filepath.FromSlash(f.ID.File()))), 0
}

// inRepository makes a path relative to $GITHUB_WORKSPACE, with forward
// slashes; "" where it lies outside. What is relative is so to a folder of that, or where
// none is given to this one: the job that judges a run was not where its tests ran.
func (sys *system) inRepository(folder, path string) string {
	here, err := dir()
	if err != nil {
		return ""
	}
	repository := cmp.Or(sys.getenv("GITHUB_WORKSPACE"), here)
	if folder != "" {
		here = filepath.Join(repository, filepath.FromSlash(folder))
	}
	path = filepath.FromSlash(path)
	if !filepath.IsAbs(path) {
		path = filepath.Join(here, path)
	}
	rel, err := filepath.Rel(repository, path)
	if err != nil || !filepath.IsLocal(rel) {
		return ""
	}
	return filepath.ToSlash(rel)
}

// publish shows in GitHub Actions how a session went.
func (j *job) publish(s session, part *shard.Plan, verdict *shard.Verdict, results *timing.Results) {
	r := report{title: s.name, plan: part, verdict: verdict, results: []*timing.Results{results}, brief: true}
	if !verdict.Complete() || !verdict.Green() {
		r.again = []string{reproduce(fromHere(j.sys, j.options))}
	}
	j.sys.publish(r)
}

// again returns the lines that run the shards again in which something went
// wrong, so that the same call of verify finds what they write.
func again(sys *system, o verifyOptions, v *shard.Verdict) []string {
	options := runOptions{plan: o.plan}
	if len(o.results) == 1 {
		if info, err := os.Stat(o.results[0]); err == nil && info.IsDir() {
			options.results = o.results[0]
		}
	}
	if !strings.HasPrefix(v.Run, localRun) {
		options.run = v.Run
	}
	var lines []string
	for _, s := range v.Shards {
		if state(s) != "ok" {
			options.shard = s.Name
			lines = append(lines, reproduce(fromHere(sys, options)))
		}
	}
	return lines
}

// fromHere makes a line to run a shard again good for another machine: in
// GitHub Actions the plan is an artifact of this run.
func fromHere(sys *system, o runOptions) runOptions {
	id := sys.getenv("GITHUB_RUN_ID")
	if sys.getenv("GITHUB_ACTIONS") != "true" || id == "" || o.from.run != "" {
		return o
	}
	o.plan, o.timings, o.results, o.from.run = defaultPlan, defaultTimings, defaultResults, id
	// A clone's origin may be a fork, which has no such run.
	if server, repository := sys.getenv("GITHUB_SERVER_URL"), sys.getenv("GITHUB_REPOSITORY"); server != "" && repository != "" {
		o.from.run = server + "/" + repository + "/actions/runs/" + id
		if attempt := sys.getenv("GITHUB_RUN_ATTEMPT"); attempt != "" { // a later one may have another plan
			o.from.run += "/attempts/" + attempt
		}
	}
	o.from.trustFork = sys.ofFork()
	if api := sys.getenv("GITHUB_API_URL"); api != "https://api.github.com" {
		o.from.api = api
	}
	return o
}

// ofFork reports whether this is the run of a pull request from a fork.
func (sys *system) ofFork() bool {
	text, err := os.ReadFile(sys.getenv("GITHUB_EVENT_PATH"))
	if err != nil {
		return false
	}
	var event struct {
		PullRequest *struct {
			Head struct {
				Repo struct {
					Name string `json:"full_name"`
				} `json:"repo"`
			} `json:"head"`
		} `json:"pull_request"`
	}
	err = json.Unmarshal(text, &event)
	return err == nil && event.PullRequest != nil && event.PullRequest.Head.Repo.Name != sys.getenv("GITHUB_REPOSITORY")
}
