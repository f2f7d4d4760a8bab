package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/wcshard/wcshard/timing"
)

func newScale() *cobra.Command {
	o := scaleOptions{tests: 1_000_000, files: 20_000, fixtures: 50_000, shards: 256, rounds: 3, steps: 3}
	verb := &cobra.Command{
		Use:   "scale",
		Short: "Plan a very large suite with the real command",
		Long: `Plan a very large suite from what pytest collects and a history, with the
real wcshard matrix, built on the spot: seconds, CPU seconds and peak memory,
reading and writing included. What pytest itself takes is not: in its place
stands a program that hands over a finished collection. With --fixtures 0 the
suite is a list of IDs instead. Shows the best of the rounds.

The steps before the last have a hundredth and a tenth of the tests, files and
fixtures. The growth is the CPU seconds for each n log n of the tests, over
those of the step before: above 1, the cost grows faster than that.`,
		Args: cobra.NoArgs,
		RunE: func(verb *cobra.Command, _ []string) error {
			return doScale(verb.Context(), verb.OutOrStdout(), o)
		},
	}
	f := verb.Flags()
	f.IntVar(&o.tests, "tests", o.tests, "tests of the suite")
	f.IntVar(&o.files, "files", o.files, "files they are in")
	f.IntVar(&o.fixtures, "fixtures", o.fixtures, "fixtures of all scopes that they share")
	f.IntVar(&o.steps, "steps", o.steps, "suites to plan, each with ten times the tests of the one before")
	f.IntVar(&o.shards, "shards", o.shards, "pool jobs")
	f.IntVar(&o.rounds, "rounds", o.rounds, "how often it is planned")
	f.BoolVar(&o.json, "json", false, "print JSON")
	f.StringVar(&o.wcshard, "wcshard", "", "a wcshard command to measure instead of building one")
	return verb
}

type scaleOptions struct {
	tests, files, fixtures int
	shards, rounds, steps  int
	json                   bool
	wcshard                string
}

// A scaleRow is what planning cost.
type scaleRow struct {
	Tests      int     `json:"tests"`
	Files      int     `json:"files"`
	Fixtures   int     `json:"fixtures"`
	Shards     int     `json:"shards"`
	Seconds    float64 `json:"seconds"`
	CPUSeconds float64 `json:"cpu_seconds"`
	PeakBytes  int64   `json:"peak_bytes"` // 0 where the system does not tell
	IDBytes    int64   `json:"id_bytes"`   // or of the collection
	TimeBytes  int64   `json:"timings_bytes"`
	PlanBytes  int64   `json:"plan_bytes"`
	Growth     float64 `json:"growth,omitempty"` // CPU seconds for each n log n over those of the step before
}

func doScale(ctx context.Context, w io.Writer, o scaleOptions) error {
	if o.tests < 1 || o.files < 1 || o.shards < 1 || o.rounds < 1 || o.fixtures < 0 {
		return fmt.Errorf("--tests, --files, --shards and --rounds want at least 1, --fixtures at least 0")
	}
	place, err := newWorkplace(ctx, "", o.wcshard)
	if err != nil {
		return err
	}
	defer place.clean()
	var rows []scaleRow
	for step := max(o.steps, 1) - 1; step >= 0; step-- {
		part := int(math.Pow10(step))
		row, err := o.one(ctx, place, max(1, o.tests/part), max(1, o.files/part), o.fixtures/part)
		if err != nil {
			return err
		}
		if n := len(rows); n > 0 {
			row.Growth = row.perTest() / rows[n-1].perTest()
		}
		rows = append(rows, row)
		if !o.json {
			row.print(w, o.rounds)
		}
	}
	if o.json {
		return json.NewEncoder(w).Encode(rows)
	}
	return nil
}

// one measures one size of suite.
func (o scaleOptions) one(ctx context.Context, place workplace, tests, files, fixtures int) (scaleRow, error) {
	s := place.scaleFiles(fixtures > 0)
	if err := s.write(tests, files, fixtures); err != nil {
		return scaleRow{}, fmt.Errorf("writing the suite: %w", err)
	}
	best := scaleRow{}
	for range o.rounds {
		row, err := s.plan(ctx, place.wcshard, o.shards)
		if err != nil {
			return scaleRow{}, fmt.Errorf("planning: %w", err)
		}
		if best.Seconds == 0 || row.Seconds < best.Seconds {
			best = row
		}
	}
	best.Tests, best.Files, best.Fixtures, best.Shards = tests, files, fixtures, o.shards
	best.IDBytes, best.TimeBytes, best.PlanBytes = size(s.ids), size(s.timings), size(s.out)
	return best, nil
}

// perTest is the CPU seconds for each n log n of the tests.
func (r scaleRow) perTest() float64 {
	n := float64(r.Tests)
	return r.CPUSeconds / (n * math.Log2(n+1))
}

func (r scaleRow) print(w io.Writer, rounds int) {
	const mib = 1 << 20
	fmt.Fprintf(w, "%d tests in %d files over %d shards: %.2f s, %.2f CPU seconds, peak %d MiB",
		r.Tests, r.Files, r.Shards, r.Seconds, r.CPUSeconds, r.PeakBytes/mib)
	if r.Fixtures > 0 {
		fmt.Fprintf(w, ", with %d fixtures", r.Fixtures)
	}
	if r.Growth > 0 {
		fmt.Fprintf(w, "; growth %.2f of n log n", r.Growth)
	}
	fmt.Fprintf(w, "\nlist of tests %d MiB, history %d MiB, plan %d MiB; best of %d rounds on %d cores\n",
		r.IDBytes/mib, r.TimeBytes/mib, r.PlanBytes/mib, rounds, runtime.NumCPU())
}

type scaleFiles struct {
	ids, timings, out string
	collected         bool // ids is a collection, as the plugin writes it
}

func (p workplace) scaleFiles(collected bool) scaleFiles {
	return scaleFiles{filepath.Join(p.dir, "ids.txt"), filepath.Join(p.dir, "timings.jsonl"), filepath.Join(p.dir, "plan.json"), collected}
}

// write makes a suite with times over four powers of ten, and a history of one
// run of it.
func (s scaleFiles) write(tests, files, fixtures int) error {
	ids, results := synthetic(tests, files)
	if fixtures > 0 {
		ids = addFixtures(results, files, fixtures)
	}
	if err := os.WriteFile(s.ids, ids, 0o644); err != nil {
		return err
	}
	f, err := os.Create(s.timings)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := timing.FromResults(results).Write(f); err != nil {
		return err
	}
	return f.Close()
}

// addFixtures gives fixtures of all scopes to the results of a synthetic suite,
// and imports to its files, and returns the suite as the plugin collects it.
func addFixtures(results *timing.Results, files, fixtures int) []byte {
	r := rand.New(rand.NewPCG(5, 6))
	about := func(mean time.Duration) time.Duration {
		return time.Duration(r.ExpFloat64() * float64(mean)).Truncate(time.Microsecond)
	}
	var b bytes.Buffer
	b.WriteString(`{"wcshard":"collection","version":1,"pytest":"9.0.0","python":"3.13.0","xdist":"3.8.0","root":".","order":"definition","seed":null}` + "\n")
	worker := timing.WorkerResult{Worker: "main", Startup: time.Second, Collect: time.Minute, Imports: map[string]time.Duration{}}
	made := map[timing.SetupID]bool{}
	for k := range results.Tests {
		t := &results.Tests[k]
		if file := t.ID.File(); worker.Imports[file] == 0 {
			worker.Imports[file] = time.Millisecond + about(100*time.Millisecond)
		}
		list := []string{}
		for _, f := range fixturesOf(k, len(results.Tests), files, fixtures, t.ID) {
			list = append(list, string(f.id))
			if !made[f.id] {
				made[f.id] = true
				t.Fixtures = append(t.Fixtures, timing.FixtureResult{ID: f.id, Setup: about(f.mean), Teardown: time.Millisecond})
			}
		}
		fmt.Fprintf(&b, `{"t":"test","id":%q,"markers":[],"group":"","fixtures":["%s"]}`+"\n", t.ID, strings.Join(list, `","`))
	}
	results.Workers = []timing.WorkerResult{worker}
	b.WriteString(`{"t":"end"}` + "\n")
	return bytes.ReplaceAll(b.Bytes(), []byte(`[""]`), []byte(`[]`))
}

// A scaleFixture is a fixture and what it costs on average.
type scaleFixture struct {
	id   timing.SetupID
	mean time.Duration
}

// fixturesOf returns what test k needs of so many fixtures: a thousandth of them
// are of the session, a hundredth of packages, two fifths of classes, and the
// others of modules. All tests of a class, which has ten, need the same; a
// fixture of the session is for one folder or a few.
func fixturesOf(k, tests, files, fixtures int, id timing.NodeID) []scaleFixture {
	sessions, packages, classes := fixtures/1000, fixtures/100, fixtures*2/5
	modules := fixtures - sessions - packages - classes
	class, file := k/10, int(int64(k)*int64(files)/int64(tests))
	var list []scaleFixture
	for m := file; m < modules; m += files {
		if (class+m)%3 > 0 {
			list = append(list, scaleFixture{timing.SetupID(fmt.Sprintf("module %s::m%d", id.File(), m)), 50 * time.Millisecond})
		}
	}
	if all := (tests + 9) / 10; class*classes/all != (class+1)*classes/all || classes >= all {
		list = append(list, scaleFixture{timing.SetupID(fmt.Sprintf("class %s::c", id.Class())), 20 * time.Millisecond})
	}
	folder := id.File()[:strings.LastIndexByte(id.File(), '/')]
	if packages > 0 && class%3 == 0 {
		list = append(list, scaleFixture{timing.SetupID(fmt.Sprintf("package %s::p%d", folder, class%max(1, packages/scaleFolders))), 200 * time.Millisecond})
	}
	if sessions > 0 && class%7 == 0 {
		list = append(list, scaleFixture{timing.SetupID(fmt.Sprintf("session ::s%d", file%scaleFolders%sessions)), 2 * time.Second})
	}
	return list
}

// scaleFolders is how many folders the files are in, one after another.
const scaleFolders = 97

// synthetic is a suite, its node IDs one a line, and the results of one run.
func synthetic(tests, files int) ([]byte, *timing.Results) {
	r := rand.New(rand.NewPCG(1, 2))
	started := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	results := &timing.Results{
		Name:   "synthetic",
		Header: timing.ResultsHeader{Plan: "sha256:0", Run: "1", Shards: []string{"pool-1"}, Attempt: 1, Runner: "ubuntu-latest", Workers: 1, Started: started},
		Ended:  true, Elapsed: time.Hour,
	}
	var ids bytes.Buffer
	at := time.Duration(0)
	for k := range tests {
		file := int(int64(k) * int64(files) / int64(tests))
		id := timing.NodeID(fmt.Sprintf("tests/unit/package_%d/test_module_%d.py::TestClass%d::test_case[%d]", file%scaleFolders, file, k/10, k))
		ids.WriteString(string(id) + "\n")
		call := time.Duration(200+2000*r.ExpFloat64()*r.ExpFloat64()*r.ExpFloat64()) * time.Microsecond
		results.Tests = append(results.Tests, timing.TestResult{
			ID: id, Worker: "main", Start: at, Outcome: timing.Passed,
			Setup: 100 * time.Microsecond, Call: call, Teardown: 50 * time.Microsecond, Wall: call + 400*time.Microsecond,
			Before: 100 << 20, Peak: 101 << 20, After: 100 << 20,
		})
		at += call
	}
	return ids.Bytes(), results
}

// plan runs wcshard matrix once.
func (s scaleFiles) plan(ctx context.Context, command string, shards int) (scaleRow, error) {
	args := []string{"matrix", "--timings", s.timings, "--shards", strconv.Itoa(shards), "--plan", s.out}
	if s.collected {
		self, err := os.Executable()
		if err != nil {
			return scaleRow{}, err
		}
		args = append(args, "--pytest", fmt.Sprintf("'%s' %s", self, fakePytest))
	} else {
		args = append(args, "--ids", s.ids)
	}
	cmd := exec.CommandContext(ctx, command, args...)
	cmd.Env = append(os.Environ(), collectionEnv+"="+s.ids)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	m, err := measure(cmd)
	if err != nil {
		return scaleRow{}, fmt.Errorf("running wcshard matrix: %w: %s", err, bytes.TrimSpace(stderr.Bytes()))
	}
	return scaleRow{Seconds: m.Seconds, CPUSeconds: m.CPU, PeakBytes: m.Peak}, nil
}

func size(name string) int64 {
	info, err := os.Stat(name)
	if err != nil {
		return 0
	}
	return info.Size()
}
