package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/exp/stats"

	"github.com/wcshard/wcshard/shard"
	"github.com/wcshard/wcshard/timing"
)

// A realRow is a made-up suite whose plan was really run.
type realRow struct {
	Seed      uint64    `json:"seed"`
	Kind      string    `json:"kind"`
	Jobs      int       `json:"jobs"`
	Workers   int       `json:"workers"`
	Tests     int       `json:"tests"`
	Predicted []float64 `json:"predicted_seconds"`
	Real      []float64 `json:"real_seconds"`
	Ratio     float64   `json:"ratio"` // the longest real job, without what a session takes by itself, over the optimum
}

// doRealTruth writes suites to disk that sleep for what they cost, and has pytest run
// what wcshard plans for them.
func doRealTruth(ctx context.Context, w io.Writer, o truthOptions) error {
	place, err := newWorkplace(ctx, o.keep, "")
	if err != nil {
		return err
	}
	defer place.clean()
	var rows []realRow
	for k := range o.real {
		c := newTruthCase(o.seed + uint64(k)).dearer()
		row, err := runTruth(ctx, place, c)
		if err != nil {
			return fmt.Errorf("running the suite of seed %d: %w", c.Seed, err)
		}
		rows = append(rows, row)
	}
	if o.json {
		return writeJSON(w, rows)
	}
	return printReal(w, rows, o.worst)
}

// longEnough is what the tests of the longest job take at least, that a session's start
// is not most of it.
const longEnough = 3 * time.Second

// dearer makes everything in a suite that takes too little so many times as dear.
func (c truth) dearer() truth {
	times := (longEnough + c.optimum - c.suite.Base - 1) / (c.optimum - c.suite.Base)
	for i := range c.suite.Tests {
		c.suite.Tests[i].Estimate.Wall *= times
	}
	for i := range c.suite.Setups {
		c.suite.Setups[i].Cost *= times
	}
	c.optimum *= times
	c.suite.Base *= times
	return c
}

func printReal(w io.Writer, rows []realRow, worst int) error {
	tw := newTable(w)
	fmt.Fprintln(tw, "optimum by\tcases\tjobs\tpredicted off by, median\t90th percentile\tlargest\treal over the optimum, median\tlargest\t")
	for _, kind := range truthKinds {
		var off, ratios []float64
		for _, r := range rows {
			if kind == r.Kind || kind == "all" {
				off, ratios = append(off, apart(r.Predicted, r.Real)...), append(ratios, r.Ratio)
			}
		}
		if len(ratios) > 0 {
			q := stats.Quantiles(off, 0.5, 0.9)
			fmt.Fprintf(tw, "%s\t%d\t%d\t%s\t%s\t%s\t%.3f\t%.3f\t\n", kind, len(ratios), len(off), percentOf(q[0]), percentOf(q[1]), percentOf(slices.Max(off)), stats.Median(ratios), slices.Max(ratios))
		}
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	slices.SortStableFunc(rows, func(a, b realRow) int { return cmp.Compare(b.off(), a.off()) })
	for _, r := range rows[:min(worst, len(rows))] {
		fmt.Fprintf(w, "seed %d: off by %s, predicted %.2f, real %.2f s, %d tests over %d jobs of %d workers (%s)\n", r.Seed, percentOf(r.off()), r.Predicted, r.Real, r.Tests, r.Jobs, r.Workers, r.Kind)
	}
	return nil
}

// off is how far the worst prediction of a row was off.
func (r *realRow) off() float64 { return slices.Max(apart(r.Predicted, r.Real)) }

// runTruth records a suite in one job, plans it, and runs the plan.
func runTruth(ctx context.Context, place workplace, c truth) (realRow, error) {
	row := realRow{Seed: c.Seed, Kind: c.Kind, Jobs: c.fleet.Shards, Workers: c.fleet.Workers, Tests: len(c.suite.Tests)}
	folder := fmt.Sprintf("truth-%d", c.Seed)
	s := &benchSuite{tool: "predictions", dir: filepath.Join(place.dir, folder), out: filepath.Join(place.dir, folder+"-out"), wcshard: place.wcshard}
	if err := s.install(ctx, "", recordingPackages); err != nil {
		return row, err
	}
	for _, dir := range []string{s.dir, s.out} { // of an earlier call, with --keep
		if err := os.RemoveAll(dir); err != nil {
			return row, err
		}
	}
	if err := os.MkdirAll(s.out, 0o755); err != nil {
		return row, err
	}
	if err := writeTruth(s.dir, c.suite); err != nil {
		return row, err
	}
	if _, _, err := s.round(ctx, c, 1, "recorded"); err != nil {
		return row, err
	}
	known, err := os.Open(s.file("timings.jsonl"))
	if err != nil {
		return row, err
	}
	defer known.Close()
	history, err := timing.ReadHistory(known, known.Name())
	if err != nil {
		return row, err
	}
	plan, walls, err := s.round(ctx, c, c.fleet.Shards, "planned")
	if err != nil {
		return row, err
	}
	longest := time.Duration(0)
	for i, wall := range walls {
		one := &plan.Shards[i]
		row.Predicted, row.Real = append(row.Predicted, one.Wall.Seconds()), append(row.Real, wall.Seconds())
		place := timing.Place{Runner: "local", Workers: one.Workers, CPUs: plan.Fleet.CPUs}
		longest = max(longest, wall-history.EstimatorAt(place).Session(one.Workers))
	}
	row.Ratio = longest.Seconds() / (c.optimum - c.suite.Base).Seconds()
	return row, nil
}

// round plans the suite for so many jobs from what is known, runs all of them, learns
// from them, and returns what each took.
func (s *benchSuite) round(ctx context.Context, c truth, jobs int, called string) (*shard.Plan, []time.Duration, error) {
	timings, name, results := s.file("timings.jsonl"), s.file(called+".json"), s.file(called)
	_, err := s.matrix(ctx, timings, name, "--shards", strconv.Itoa(jobs), "--workers", strconv.Itoa(c.fleet.Workers), "--runner", "local",
		"--runner-cpus", strconv.Itoa(max(c.fleet.Workers, runtime.NumCPU())))
	if err != nil {
		return nil, nil, err
	}
	plan, err := readPlanFile(name)
	if err != nil {
		return nil, nil, err
	}
	var walls []time.Duration
	for i := range plan.Shards {
		call := s.run(name, results, plan.Shards[i].Name)
		if _, err := s.call(ctx, s.dir, call[0], call[1:]...); err != nil {
			return nil, nil, err
		}
		wall, err := sessionWall(results, plan.Shards[i].Name)
		if err != nil {
			return nil, nil, err
		}
		walls = append(walls, wall)
	}
	_, err = s.call(ctx, s.dir, s.wcshard, "merge", "--timings", timings, results)
	return plan, walls, err
}

// A sleepingFile is a Python file in the making.
type sleepingFile struct {
	imports time.Duration
	params  map[string][]time.Duration // module fixtures with parameters: what each takes
	blocks  map[string][]string        // fixtures and tests, by class; "" is none
}

func sleepFor(d time.Duration) string { return fmt.Sprintf("time.sleep(%v)", d.Seconds()) }

// define adds a function to the file, or to a class of it.
func (x *sleepingFile) define(class, decorator, name string, args []string, body string) {
	if class != "" {
		args = append([]string{"self"}, args...)
	}
	text := fmt.Sprintf("def %s(%s):\n    %s\n", name, strings.Join(args, ", "), body)
	if decorator != "" {
		text = decorator + "\n" + text
	}
	x.blocks[class] = append(x.blocks[class], text)
}

func (x *sleepingFile) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "import time\n\nimport pytest\n\n%s\n", sleepFor(x.imports))
	for _, name := range slices.Sorted(maps.Keys(x.params)) {
		var costs []string
		for _, cost := range x.params[name] {
			costs = append(costs, fmt.Sprint(cost.Seconds()))
		}
		fmt.Fprintf(&b, "\n\n@pytest.fixture(scope=\"module\", params=range(%d))\ndef %s(request):\n    time.sleep([%s][request.param])\n", len(costs), name, strings.Join(costs, ", "))
	}
	for _, class := range slices.Sorted(maps.Keys(x.blocks)) {
		indent := ""
		if class != "" {
			indent = "    "
			fmt.Fprintf(&b, "\n\nclass %s:\n", class)
		}
		for _, text := range x.blocks[class] {
			b.WriteByte('\n')
			for line := range strings.Lines(text) {
				b.WriteString(indent + line)
			}
		}
	}
	return b.String()
}

// sleepingFiles makes the files of a suite whose imports, fixtures and tests sleep for
// what they cost.
func sleepingFiles(suite shard.Suite) map[string]*sleepingFile {
	files := map[string]*sleepingFile{"conftest.py": newSleepingFile()} // which marks pytest's root
	file := func(name string) *sleepingFile {
		if files[name] == nil {
			files[name] = newSleepingFile()
		}
		return files[name]
	}
	for _, setup := range suite.Setups {
		scope := setup.ID.Scope()
		if scope == "" {
			file(string(setup.ID)).imports = setup.Cost
			continue
		}
		place, name, parameters := setup.ID.Parts()
		where, class := place.File(), strings.TrimPrefix(place.Rest(), "::")
		if scope == timing.PackageScope {
			file(path.Join(where, "__init__.py"))
		}
		if setup.ID.OfFiles() {
			where = path.Join(where, "conftest.py")
		}
		x := file(where)
		if parameters != "" {
			x.params[name] = append(x.params[name], setup.Cost)
		} else {
			x.define(class, fmt.Sprintf("@pytest.fixture(scope=%q)", scope), name, nil, sleepFor(setup.Cost))
		}
	}
	for _, test := range suite.Tests {
		class, name := "", strings.TrimPrefix(test.ID.Rest(), "::")
		if before, after, ok := strings.Cut(name, "::"); ok {
			class, name = before, after
		}
		decorator := ""
		var args []string
		for _, k := range test.Setups {
			_, fixture, parameters := suite.Setups[k].ID.Parts()
			if fixture == "" {
				continue // its file's import
			}
			if args = append(args, fixture); parameters != "" {
				decorator = fmt.Sprintf("@pytest.mark.parametrize(%q, %s, indirect=True)", fixture, parameters)
			}
		}
		file(test.ID.File()).define(class, decorator, name, args, sleepFor(test.Estimate.Wall))
	}
	return files
}

func newSleepingFile() *sleepingFile {
	return &sleepingFile{params: map[string][]time.Duration{}, blocks: map[string][]string{}}
}

func writeTruth(dir string, suite shard.Suite) error {
	for name, file := range sleepingFiles(suite) {
		name = filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(name, []byte(file.String()), 0o644); err != nil {
			return err
		}
	}
	return nil
}
