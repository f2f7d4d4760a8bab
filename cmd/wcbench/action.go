package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/wcshard/wcshard/timing"
	"github.com/wcshard/wcshard/timing/artifact"
)

func newAction() *cobra.Command {
	o := actionOptions{tests: 100_000, files: 2_000, shards: 32, samples: timing.DefaultKeep, rounds: 3}
	verb := &cobra.Command{
		Use:   "action",
		Short: "What wcshard itself costs in the jobs of a workflow",
		Long: `Do what the jobs of the GitHub Action do, with the real wcshard, built on the
spot: matrix from a list of IDs and a restored history; run of each shard, with a
pytest that reports its tests at once instead of running them; verify of all
results with the gate's summary; merge into the history. Shows the best of the
rounds, and beside it how long this program takes to decode the files that were
read or written as plain JSON: less is not to be had.`,
		Args: cobra.NoArgs,
		RunE: func(verb *cobra.Command, _ []string) error {
			return doAction(verb.Context(), verb.OutOrStdout(), o)
		},
	}
	f := verb.Flags()
	f.IntVar(&o.tests, "tests", o.tests, "tests of the suite")
	f.IntVar(&o.files, "files", o.files, "files they are in")
	f.IntVar(&o.shards, "shards", o.shards, "pool jobs")
	f.IntVar(&o.samples, "samples", o.samples, "runs that the history knows of")
	f.IntVar(&o.rounds, "rounds", o.rounds, "how often each is done")
	f.DurationVar(&o.limit, "limit", 0, "fail when a job takes longer; 0 is no limit")
	f.BoolVar(&o.json, "json", false, "print JSON")
	f.StringVar(&o.wcshard, "wcshard", "", "a wcshard command to measure instead of building one")
	return verb
}

type actionOptions struct {
	tests, files, shards, samples, rounds int
	limit                                 time.Duration
	json                                  bool
	wcshard                               string
}

// An actionRow is what one command costs in a job.
type actionRow struct {
	Job        string  `json:"job"`
	Command    string  `json:"command"`
	Seconds    float64 `json:"seconds"`
	CPUSeconds float64 `json:"cpu_seconds"` // with those of its children
	FileBytes  int64   `json:"file_bytes"`  // of what it reads and writes, as stored
	Decode     float64 `json:"decode_seconds"`
}

// fakePytest is the verb of this program that stands in for pytest.
const fakePytest = "fake-pytest"

// collectionEnv names the file that it has collected, on the file system of the
// temporary folder.
const collectionEnv = "WCBENCH_COLLECTION"

// actionBench is a folder with what the jobs of one workflow hand on.
type actionBench struct {
	dir, command, fake string
	ids, history, plan string
	results            string
}

func doAction(ctx context.Context, w io.Writer, o actionOptions) error {
	if o.tests < 1 || o.files < 1 || o.shards < 1 || o.samples < 1 || o.rounds < 1 {
		return fmt.Errorf("--tests, --files, --shards, --samples and --rounds want at least 1")
	}
	place, err := newWorkplace(ctx, "", o.wcshard)
	if err != nil {
		return err
	}
	defer place.clean()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	dir := place.dir
	b := actionBench{
		dir: dir, command: place.wcshard, fake: fmt.Sprintf("'%s' %s", self, fakePytest),
		ids: filepath.Join(dir, "ids.txt"), history: filepath.Join(dir, "timings.jsonl.gz"),
		plan: filepath.Join(dir, "plan", "wcshard-plan-1", "wcshard-plan.json.gz"), results: filepath.Join(dir, "results"),
	}
	if err := b.write(o.tests, o.files, o.samples); err != nil {
		return fmt.Errorf("writing the suite: %w", err)
	}
	var best []actionRow
	for range o.rounds {
		rows, err := b.workflow(ctx, o.shards)
		if err != nil {
			return err
		}
		best = lower(best, rows)
	}
	if err := printAction(w, best, o); err != nil {
		return err
	}
	for _, row := range best {
		if o.limit > 0 && row.Seconds > o.limit.Seconds() {
			return fmt.Errorf("%s takes %.2f s, want at most %v", row.Command, row.Seconds, o.limit)
		}
	}
	return nil
}

// write makes a suite, and a history of so many runs of it, on runners that are
// up to a tenth faster or slower for each test.
func (b *actionBench) write(tests, files, runs int) error {
	ids, results := synthetic(tests, files)
	r := rand.New(rand.NewPCG(3, 4))
	history := new(timing.History)
	for i := range runs {
		results.Header.Run = fmt.Sprint("earlier-", i)
		results.Header.Started = results.Header.Started.Add(24 * time.Hour)
		for k := range results.Tests {
			t := &results.Tests[k]
			more := time.Duration((0.2*r.Float64() - 0.1) * float64(t.Call))
			t.Call, t.Wall = t.Call+more, t.Wall+more
			t.Peak += r.Int64N(1 << 20)
		}
		history.Merge(timing.FromResults(results))
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if err := errors.Join(history.Write(z), z.Close()); err != nil {
		return err
	}
	return errors.Join(os.WriteFile(b.ids, ids, 0o666), os.WriteFile(b.history, packed.Bytes(), 0o666))
}

// lower takes the faster one of two measurements of each command.
func lower(best, rows []actionRow) []actionRow {
	if best == nil {
		return rows
	}
	for i, row := range rows {
		decode := min(best[i].Decode, row.Decode)
		if row.Seconds < best[i].Seconds {
			best[i] = row
		}
		best[i].Decode = decode
	}
	return best
}

// workflow does the jobs of one run: the matrix, each shard, the gate.
func (b *actionBench) workflow(ctx context.Context, shards int) ([]actionRow, error) {
	for _, folder := range []string{b.results, filepath.Dir(b.plan), filepath.Join(b.dir, "learnt")} {
		if err := errors.Join(os.RemoveAll(folder), os.MkdirAll(folder, 0o777)); err != nil {
			return nil, err
		}
	}
	saved := filepath.Join(b.dir, "learnt", "saved.jsonl.gz")
	matrix, stdout, err := b.measure(ctx, "matrix", "matrix", []string{b.ids, b.history, b.plan, saved},
		"--ids", b.ids, "--shards", strconv.Itoa(shards), "--output", "github", "--plan", b.plan,
		"--timings", "cache:"+b.history, "--save-timings", saved)
	if err != nil {
		return nil, err
	}
	var table struct {
		Include []map[string]any `json:"include"`
	}
	if err := json.Unmarshal(stdout, &table); err != nil {
		return nil, fmt.Errorf("reading the matrix: %w", err)
	}
	var run actionRow // the slowest shard's
	var all []string
	for _, row := range table.Include {
		text, err := json.Marshal(row)
		if err != nil {
			return nil, err
		}
		folder := filepath.Join(b.results, artifact.ResultsName(fmt.Sprint(row["name"]), 1))
		file := filepath.Join(folder, filepath.Base(folder)+".jsonl")
		one, _, err := b.measure(ctx, "pytest", "run", []string{b.plan, file},
			"--row", string(text), "--plan", filepath.Dir(filepath.Dir(b.plan)), "--results", folder, "--pytest", b.fake)
		if err != nil {
			return nil, err
		}
		if one.Seconds > run.Seconds {
			run = one
		}
		all = append(all, file)
	}
	verify, _, err := b.measure(ctx, "tests", "verify", append(slices.Clone(all), b.plan), "--plan", filepath.Dir(filepath.Dir(b.plan)), b.results)
	if err != nil {
		return nil, err
	}
	learnt := filepath.Join(b.dir, "learnt", "wcshard-timings.jsonl.gz")
	if err := copyFile(learnt, b.history); err != nil {
		return nil, err
	}
	merge, _, err := b.measure(ctx, "tests", "merge", append(slices.Clone(all), b.history, learnt), "--timings", learnt, b.results)
	if err != nil {
		return nil, err
	}
	gate := actionRow{Job: "tests", Command: "verify and merge", Seconds: verify.Seconds + merge.Seconds, CPUSeconds: verify.CPUSeconds + merge.CPUSeconds,
		FileBytes: verify.FileBytes + merge.FileBytes, Decode: verify.Decode + merge.Decode}
	return []actionRow{matrix, run, verify, merge, gate}, nil
}

// measure calls wcshard once, as a step of a job would, and decodes the files
// that it read and wrote.
func (b *actionBench) measure(ctx context.Context, job, verb string, files []string, args ...string) (actionRow, []byte, error) {
	cmd := exec.CommandContext(ctx, b.command, append([]string{verb}, args...)...)
	cmd.Dir = b.dir
	cmd.Env = append(os.Environ(), "GITHUB_ACTIONS=true", "GITHUB_RUN_ID=1", "GITHUB_RUN_ATTEMPT=1", "GITHUB_WORKSPACE="+b.dir,
		"GITHUB_OUTPUT="+filepath.Join(b.dir, "output"), "GITHUB_STEP_SUMMARY="+filepath.Join(b.dir, "summary.md"))
	if err := os.Remove(filepath.Join(b.dir, "summary.md")); err != nil && !errors.Is(err, os.ErrNotExist) {
		return actionRow{}, nil, err
	}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	begin := time.Now()
	if err := cmd.Run(); err != nil {
		return actionRow{}, nil, fmt.Errorf("running wcshard %s: %w: %s%s", verb, err, stdout.Bytes(), stderr.Bytes())
	}
	row := actionRow{Job: job, Command: verb, Seconds: time.Since(begin).Seconds(),
		CPUSeconds: (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()}
	for _, name := range files {
		row.FileBytes += size(name)
	}
	var err error
	row.Decode, err = decodeSeconds(files)
	return row, stdout.Bytes(), err
}

// decodeSeconds is how long it takes to read files as JSON values, whatever is
// in them; of a list of IDs to read its lines.
func decodeSeconds(files []string) (float64, error) {
	begin := time.Now()
	for _, name := range files {
		if err := decode(name); err != nil {
			return 0, fmt.Errorf("decoding %s: %w", filepath.Base(name), err)
		}
	}
	return time.Since(begin).Seconds(), nil
}

func decode(name string) error {
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	var r io.Reader = file
	if strings.HasSuffix(name, ".gz") {
		if r, err = gzip.NewReader(file); err != nil {
			return err
		}
	}
	if strings.HasSuffix(name, ".txt") {
		_, err := io.Copy(io.Discard, r)
		return err
	}
	decoder := json.NewDecoder(r)
	for {
		var value any
		if err := decoder.Decode(&value); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
	}
}

func copyFile(to, from string) error {
	text, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, text, 0o666)
}

func printAction(w io.Writer, rows []actionRow, o actionOptions) error {
	if o.json {
		return json.NewEncoder(w).Encode(rows)
	}
	fmt.Fprintf(w, "%d tests in %d files over %d shards, a history of %d runs, best of %d rounds on %d cores\n", o.tests, o.files, o.shards, o.samples, o.rounds, runtime.NumCPU())
	table := newTable(w)
	fmt.Fprintln(table, "job\tcommand\tseconds\tCPU seconds\tfiles MiB\tplain decoding s\t")
	for _, r := range rows {
		fmt.Fprintf(table, "%s\t%s\t%.2f\t%.2f\t%.1f\t%.2f\t\n", r.Job, r.Command, r.Seconds, r.CPUSeconds, float64(r.FileBytes)/(1<<20), r.Decode)
	}
	return table.Flush()
}

// newFakePytest is what run and matrix call instead of pytest: it reports the
// tests that it was given as the plugin does, at once, or a collection that is
// there already.
func newFakePytest() *cobra.Command {
	return &cobra.Command{
		Use: fakePytest, Hidden: true, DisableFlagParsing: true,
		RunE: func(*cobra.Command, []string) error { return reportAtOnce() },
	}
}

func reportAtOnce() error {
	folder, _, _ := strings.Cut(os.Getenv("PYTHONPATH"), string(os.PathListSeparator)) // where wcshard's plugin is
	text, err := os.ReadFile(filepath.Join(folder, "config.json"))
	if err != nil {
		return err
	}
	var config struct {
		Mode   string `json:"mode"`
		Out    string `json:"out"`
		Pieces []struct {
			File  string   `json:"file"`
			Tests []string `json:"tests"`
		} `json:"pieces"`
	}
	if err := json.Unmarshal(text, &config); err != nil {
		return err
	}
	if config.Mode == "collect" {
		return os.Link(os.Getenv(collectionEnv), config.Out)
	}
	var b bytes.Buffer
	at := 0
	for _, piece := range config.Pieces {
		for _, test := range piece.Tests {
			id, err := json.Marshal(piece.File + test)
			if err != nil {
				return err
			}
			fmt.Fprintf(&b, `{"t":"start","id":%s,"worker":"main"}`+"\n", id)
			fmt.Fprintf(&b, `{"t":"test","id":%s,"worker":"main","start_us":%d,"outcome":"passed","setup_us":120,"call_us":1500,"teardown_us":80,"wall_us":2000,`+
				`"before":104857600,"peak":105906176,"after":104857600}`+"\n", id, at)
			at += 2000
		}
	}
	out, err := os.OpenFile(config.Out, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	_, err = out.Write(b.Bytes())
	return errors.Join(err, out.Close())
}
