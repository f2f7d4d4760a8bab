package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/rogpeppe/go-internal/lockedfile"
	"github.com/spf13/cobra"

	"github.com/wcshard/wcshard/timing"
)

// mergeOptions are the flags of wcshard merge.
type mergeOptions struct {
	timings string
	plan    string
	ids     string
	imports []string
	limits  timing.Limits
	from    remoteOptions
	results []string
}

func newMerge(sys *system) *cobra.Command {
	var o mergeOptions
	verb := &cobra.Command{
		Use:   "merge [flags] [RESULTS…]",
		Short: "Fold results into the history that plans are made from",
		Long: `Fold results (files, or folders that hold them) into the history. The order does
not matter, and merging the same results twice changes nothing. Of two merges at
once the second waits for the first.

--import brings an existing history in: junit:FILE (pytest --junitxml),
pytest-split:FILE (.test_durations) or reportlog:FILE (pytest-reportlog).
JUnit's names are mapped back to node IDs with the help of the plan, of --ids
and of the history.`,
		Example: `  wcshard merge wcshard-results
  wcshard merge --from-run 123456789
  wcshard merge --import pytest-split:.test_durations
  wcshard merge --import junit:report.xml --ids ids.txt`,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.results = args
			if len(args) == 0 && len(o.imports) == 0 && o.from.run == "" {
				o.results = []string{defaultResults}
			}
			if err := o.validate(); err != nil {
				return err
			}
			return doMerge(cmd.Context(), sys, o)
		},
	}
	f := verb.Flags()
	f.StringVar(&o.timings, "timings", defaultTimings, "history to fold into, a `FILE`; .gz compresses")
	f.StringArrayVar(&o.imports, "import", nil, "history of another tool, `KIND:FILE`: junit:FILE, pytest-split:FILE or reportlog:FILE; repeatable")
	f.StringVar(&o.plan, "plan", "", "plan `FILE` whose node IDs JUnit's names are mapped to (default: wcshard-plan.json if it is there)")
	f.StringVar(&o.ids, "ids", "", "`FILE` of node IDs, one a line, that JUnit's names are mapped to")
	f.IntVar(&o.limits.Keep, "keep", timing.DefaultKeep, "keep the newest `K` samples of each test and class of runner")
	f.IntVar(&o.limits.MaxAge, "max-age", timing.DefaultMaxAge, "drop what neither the last `N` runs nor 90 days have seen")
	o.from.flags(f, "fold in the results of")
	return verb
}

func (o *mergeOptions) validate() (err error) {
	if o.timings, err = historyFile(o.timings); err != nil {
		return err
	}
	if o.limits.Keep < 1 {
		return usagef(fmt.Sprintf("%d is the default", timing.DefaultKeep), "--keep is %d, want at least 1", o.limits.Keep)
	}
	if o.limits.MaxAge < 1 {
		return usagef(fmt.Sprintf("%d is the default", timing.DefaultMaxAge), "--max-age is %d, want at least 1", o.limits.MaxAge)
	}
	for _, text := range o.imports {
		if kind, file, ok := strings.Cut(text, ":"); !ok || file == "" || importers[kind] == nil {
			return usagef("pass junit:FILE, pytest-split:FILE or reportlog:FILE", "--import is %q", text)
		}
	}
	return nil
}

// importers read the histories of other tools.
var importers = map[string]func(r io.Reader, name string, known []timing.NodeID) (*timing.History, timing.ImportReport, error){
	"junit": timing.ImportJUnit,
	"pytest-split": func(r io.Reader, name string, _ []timing.NodeID) (*timing.History, timing.ImportReport, error) {
		return timing.ImportPytestSplit(r, name)
	},
	"reportlog": func(r io.Reader, name string, _ []timing.NodeID) (*timing.History, timing.ImportReport, error) {
		return timing.ImportReportLog(r, name)
	},
}

// importWriters write the files that importers read.
var importWriters = map[string]string{
	"junit": "pytest --junitxml=FILE", "pytest-split": "pytest --store-durations (.test_durations)", "reportlog": "pytest --report-log=FILE",
}

func doMerge(ctx context.Context, sys *system, o mergeOptions) error {
	results, unread, err := readResults(sys, o.results)
	if err != nil {
		return err
	}
	for _, x := range unread {
		if len(results) == 0 {
			return x.failure()
		}
		// The others tell what they measured all the same.
		sys.warn("%s does not count: %s", printable(x.File), x.Reason)
	}
	outside := new(timing.History)
	if o.from.run != "" {
		others, jobs, err := o.from.learn(ctx, sys)
		if err != nil {
			return err
		}
		results, outside = append(results, others...), jobs
	}
	if len(results) == 0 && len(o.imports) == 0 {
		return &failure{status: exitNoInput, err: fmt.Errorf("looking for results: no wcshard-results-*.jsonl in %s", strings.Join(o.results, ", ")),
			hint: "pass the folder that wcshard run --results wrote to"}
	}
	news := timing.FromResults(results...)
	news.Merge(outside)

	// The lock stands beside the history, since a rename gives the history
	// itself a new inode, which the next one to come would not find locked.
	lock := filepath.Join(filepath.Dir(o.timings), "."+filepath.Base(o.timings)+".lock")
	unlock, err := lockedfile.MutexAt(lock).Lock()
	if err != nil {
		return advise(fmt.Errorf("locking the history: %w", err), "pass --timings FILE, in a folder that is there and can be written")
	}
	defer unlock()
	history, err := readHistory(sys, o.timings, false)
	if err != nil {
		return err
	}
	for _, text := range o.imports {
		imported, err := o.read(sys, text, history)
		if err != nil {
			err, kind := fmt.Errorf("importing %s: %w", text, err), strings.Split(text, ":")[0]
			if inner := new(failure); errors.As(err, &inner) {
				return err // which has a better hint
			}
			return advise(err, "pass a file that was written by "+importWriters[kind])
		}
		news.Merge(imported)
	}
	history.Merge(news)
	history.Prune(o.limits)
	if err := writeFile(o.timings, history.Write); err != nil {
		return fmt.Errorf("writing the history: %w", err)
	}
	sys.say("%s: %s from %s", o.timings, count(history.Len(), "test"), count(len(history.Runs()), "run"))
	return nil
}

// read imports one history of another tool and says what it could not map.
func (o *mergeOptions) read(sys *system, text string, history *timing.History) (*timing.History, error) {
	kind, name, _ := strings.Cut(text, ":")
	known, err := o.known(sys, kind, history)
	if err != nil {
		return nil, err
	}
	file, err := sys.open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	imported, report, err := importers[kind](file, name, known)
	if err != nil {
		return nil, err
	}
	sys.say("%s: %s mapped to node IDs, %d not", name, count(report.Mapped, "test"), len(report.Unmapped)+len(report.Ambiguous))
	listNames(sys, "not mapped", report.Unmapped)
	listNames(sys, "not mapped, since several tests have this name", report.Ambiguous)
	const withFiles = "record with pytest -o junit_family=xunit1 --junit-xml FILE, which writes each test's file as well"
	switch {
	case report.Mapped == 0 && len(report.Unmapped) > 0:
		return nil, &failure{status: exitData, err: fmt.Errorf("none of its %s is known", count(len(report.Unmapped)+len(report.Ambiguous), "test")),
			hint: "pass the node IDs with --ids FILE (" + listIDs + "), or a plan with --plan FILE"}
	case report.Mapped == 0 && len(report.Ambiguous) > 0:
		return nil, &failure{status: exitData, err: fmt.Errorf("its %s cannot be told apart from others of the same name", count(len(report.Ambiguous), "test")), hint: withFiles}
	case len(report.Ambiguous) > 0:
		sys.say("hint: %s", withFiles)
	}
	if report.Mapped == 0 {
		sys.warn("%s holds no tests", name)
	}
	return imported, nil
}

// listNames prints names, a line each, up to maxListed, and how many more there are.
func listNames(sys *system, what string, names []string) {
	for i, name := range names {
		if i == maxListed {
			sys.say("… and %d more", len(names)-i)
			break
		}
		sys.say("%s: %s", what, printable(name))
	}
}

// known returns all node IDs there are to map JUnit's names to.
func (o *mergeOptions) known(sys *system, kind string, history *timing.History) ([]timing.NodeID, error) {
	if kind != "junit" {
		return nil, nil
	}
	known := history.Tests()
	if o.ids != "" {
		c, err := readIDs(sys, o.ids, nil)
		if err != nil {
			return nil, err
		}
		for _, test := range c.Tests {
			known = append(known, test.ID)
		}
	}
	name := o.plan
	if name == "" {
		name = defaultPlan
	}
	plan, err := readPlan(sys, name)
	if absent(err) && o.plan == "" {
		return known, nil
	}
	if err != nil {
		return nil, err
	}
	for i := range plan.Shards {
		known = append(known, plan.Shards[i].IDs()...)
	}
	return known, nil
}
