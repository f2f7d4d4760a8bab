package pytest

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wcshard/wcshard/shard"
	"github.com/wcshard/wcshard/timing"
)

// environments are what users run: both ends of the versions, the middle with
// the plugins that meddle, and one without xdist.
var environments = map[string]*environment{
	"old": {versions: []string{"3.9"}, requirements: []string{"pytest==7.0.1", "pytest-xdist==3.0.2", "pluggy==1.0.0"}},
	"new": {versions: []string{"3.15", "3.14", "3.13"}, requirements: []string{
		"pytest==9.2.0", "pytest-xdist==3.8.0", "pytest-timeout==2.4.0", "pytest-rerunfailures==16.7"}},
	"between": {versions: []string{"3.11"}, requirements: []string{"pytest==7.4.4", "pytest-xdist==3.3.1", "pluggy==1.3.0"}},
	"bare":    {versions: []string{"3.11"}, requirements: []string{"pytest==8.3.5"}},
	"plugins": {versions: []string{"3.12"}, requirements: []string{
		"pytest==8.4.2", "pytest-xdist==3.6.1", "pytest-randomly==3.16.0", "pytest-random-order==1.2.0",
		"pytest-subtests==0.14.2", "pytest-cov==6.2.1", "pytest-timeout==2.3.1", "pytest-rerunfailures==15.1"}},
	"meddling": {versions: []string{"3.12"}, requirements: []string{
		"pytest==8.4.2", "pytest-xdist==3.8.0", "freezegun==1.5.5", "pyfakefs==6.3.2", "pytest-dependency==0.6.1",
		"pytest-forked==1.6.0", "syrupy==7.0.2", "pytest-cov==6.2.1"}},
	// Its flaky has a marker of the name that pytest-rerunfailures has, too.
	"boxed": {versions: []string{"3.12"}, requirements: []string{
		"pytest==8.4.2", "pytest-xdist==3.8.0", "flaky==3.8.1", "pytest-order==1.3.0", "pytest-mypy==1.0.1", "mypy==1.18.2"}},
}

type environment struct {
	versions     []string // of Python: the first that there is
	requirements []string
	once         sync.Once
	python       string
	err          error
}

// pytestIn returns the pytest of an environment, which is made in the user's
// cache when it is not there.
func pytestIn(t *testing.T, name string) Command {
	t.Helper()
	if testing.Short() {
		t.Skip("-short: no real pytest")
	}
	env := environments[name]
	interpreter, err := "", error(nil)
	for _, version := range env.versions {
		if interpreter, err = FindPython(version); err == nil {
			break
		}
	}
	if err != nil {
		t.Skip(err)
	}
	env.once.Do(func() {
		cache, err := os.UserCacheDir()
		if err != nil {
			env.err = err
			return
		}
		key := sha256.Sum256([]byte(interpreter + "\n" + strings.Join(env.requirements, "\n")))
		dir := filepath.Join(cache, "wcshard", "venv", fmt.Sprintf("%x", key[:8]))
		env.python, env.err = Venv(t.Context(), VenvOptions{Dir: dir, Python: interpreter, Requirements: env.requirements})
	})
	if env.err != nil {
		t.Fatal(env.err)
	}
	return Command{Argv: []string{env.python, "-m", "pytest"}, Source: name}
}

// running bounds how many suites are proved at once: on two cores more only
// make each other late.
var running = make(chan struct{}, 2)

func oneOfFew(t *testing.T) {
	t.Helper()
	t.Parallel()
	running <- struct{}{}
	t.Cleanup(func() { <-running })
	if deadline, ok := t.Deadline(); ok && time.Until(deadline) < lastMinutes {
		t.Skip("the time of go test is nearly over: go test -timeout 30m runs this one, too")
	}
}

// lastMinutes are left alone on a machine that is slow or busy: go test ends the tests of a
// package after ten minutes, as a panic. On two quiet cores all of them take seven.
const lastMinutes = 100 * time.Second

// testEnv is an environment without what the caller's own would change.
func testEnv(more ...string) []string {
	env := slices.DeleteFunc(os.Environ(), func(entry string) bool {
		return strings.HasPrefix(entry, "PYTEST") || strings.HasPrefix(entry, "PYTHON")
	})
	return append(env, append(more, "PYTHONDONTWRITEBYTECODE=1", "PYTHONHASHSEED=0")...)
}

// suite copies a suite of testdata to where it may write its caches.
func suite(t *testing.T, name string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("testdata", "suites", name))); err != nil {
		t.Fatal(err)
	}
	return dir
}

// proof runs a suite in shards and holds it against one plain run of pytest.
type proof struct {
	command Command
	dir     string
	env     []string
	args    []string // of every run
	plain   []string // of the plain run alone
	extra   []string // of the shards' runs alone
	workers []int    // one shard each
	memory  *Memory
}

// outcome is what one shard's run came to.
type outcome struct {
	status  int
	results *timing.Results
	output  string
}

// run proves it and returns the collection and what each shard came to.
func (p proof) run(t *testing.T) (*Collection, []outcome) {
	t.Helper()
	want := p.truth(t)
	c := p.collect(t)
	plan := split(c, p.workers)
	var all []outcome
	got := map[timing.NodeID][]string{}
	for _, s := range plan.Shards {
		o := p.shard(t, c, plan, s)
		all = append(all, o)
		var ran []timing.NodeID
		for _, test := range o.results.Tests {
			got[test.ID] = append(got[test.ID], string(test.Outcome))
			ran = append(ran, test.ID)
		}
		if s.Workers == 1 && !UserOptions(p.extra).Workers && !slices.Equal(ran, s.IDs()) {
			t.Errorf("%s ran in the order\n%q, planned\n%q", s.Name, ran, s.IDs())
		}
		checkShard(t, s, o, ran)
	}
	for id := range got {
		slices.Sort(got[id])
	}
	if !maps.EqualFunc(got, want, slices.Equal) {
		for _, id := range slices.Sorted(maps.Keys(want)) {
			if !slices.Equal(got[id], want[id]) {
				t.Errorf("%q: the shards say %v, a plain run %v", id, got[id], want[id])
			}
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d names ran, want %d", len(got), len(want))
	}
	return c, all
}

// checkShard holds one shard's results against its plan.
func checkShard(t *testing.T, s shard.Shard, o outcome, ran []timing.NodeID) {
	t.Helper()
	r := o.results
	if len(r.Missing)+len(r.Extra)+len(r.Running)+len(r.Warnings) > 0 {
		t.Errorf("%s: missing %q, extra %q, running %v, warnings %v", s.Name, r.Missing, r.Extra, r.Running, r.Warnings)
	}
	want := s.IDs()
	slices.Sort(ran)
	slices.Sort(want)
	if !slices.Equal(ran, want) {
		t.Errorf("%s ran\n%q, planned\n%q\n%s", s.Name, ran, want, o.output)
	}
	wantStatus := ExitOK
	for _, test := range r.Tests {
		if test.Outcome.Bad() {
			wantStatus = ExitFailed
		}
		if test.Wall <= 0 || test.Wall < test.Setup+test.Call+test.Teardown-3*time.Microsecond {
			t.Errorf("%q: wall %v, set-up %v, call %v, teardown %v", test.ID, test.Wall, test.Setup, test.Call, test.Teardown)
		}
	}
	if o.status != wantStatus {
		t.Errorf("%s ended with status %d, want %d\n%s", s.Name, o.status, wantStatus, o.output)
	}
}

// truth is pytest's own count of a plain run: outcomes by node ID, sorted.
func (p proof) truth(t *testing.T) map[timing.NodeID][]string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "truth.json")
	plugins, err := filepath.Abs(filepath.Join("testdata", "truth"))
	if err != nil {
		t.Fatal(err)
	}
	env := testEnv(append(slices.Clone(p.env), "WCSHARD_TRUTH="+file)...)
	path := plugins
	for _, entry := range p.env {
		if value, ok := strings.CutPrefix(entry, "PYTHONPATH="); ok {
			path += string(os.PathListSeparator) + value
		}
	}
	cmd := execIn(t, p.dir, append(env, "PYTHONPATH="+path), p.command, slices.Concat([]string{"-pwcshard_truth"}, p.args, p.plain))
	output, err := cmd.CombinedOutput()
	data, readErr := os.ReadFile(file)
	if readErr != nil {
		t.Fatalf("plain run: %v, %v\n%s", err, readErr, output)
	}
	var counts map[string][]timing.NodeID
	if err := json.Unmarshal(data, &counts); err != nil {
		t.Fatal(err)
	}
	return judge(counts)
}

// judge makes one outcome a test of pytest's counts, which has two for a test
// that fails and cannot be torn down, and many for one with subtests.
func judge(counts map[string][]timing.NodeID) map[timing.NodeID][]string {
	by := map[timing.NodeID][]string{}
	for _, category := range slices.Sorted(maps.Keys(counts)) {
		outcome := category
		switch {
		case strings.Contains(category, "fail") && category != "xfailed":
			outcome = "failed"
		case strings.Contains(category, "subtests"), category == "", category == "rerun":
			continue
		}
		for _, id := range counts[category] {
			by[id] = append(by[id], outcome)
		}
	}
	for id, outcomes := range by {
		slices.Sort(outcomes)
		if strings.HasSuffix(string(id), "::twin") {
			continue // tests of one name, each with one outcome
		}
		for _, first := range []string{"failed", "error"} {
			if slices.Contains(outcomes, first) {
				outcomes = []string{first}
			}
		}
		if len(outcomes) > 1 && slices.Contains(outcomes, "skipped") && strings.Contains(string(id), "subtest") {
			outcomes = slices.DeleteFunc(outcomes, func(o string) bool { return o == "skipped" })
		}
		by[id] = outcomes
	}
	return by
}

func (p proof) collect(t *testing.T) *Collection {
	t.Helper()
	c, err := Collect(t.Context(), p.command, CollectOptions{Dir: p.dir, Args: p.args, Env: testEnv(p.env...)})
	if err != nil {
		var exit *ExitError
		if asExit(err, &exit) {
			t.Log(exit.Output)
		}
		t.Fatal(err)
	}
	return c
}

func (p proof) shard(t *testing.T, c *Collection, plan *shard.Plan, s shard.Shard) outcome {
	t.Helper()
	sel, err := Select(plan, s.Name)
	if err != nil {
		t.Fatal(err)
	}
	var output bytes.Buffer
	results := newResults(t, s.Name)
	status, err := Run(t.Context(), p.command, RunOptions{
		Dir: p.dir, Env: testEnv(p.env...), Args: c.Collector.Args, Extra: p.extra, Root: c.Collector.Root, Conftests: c.Collector.Conftests, Places: c.Collector.Places, LastPlaces: c.Collector.LastPlaces, Parameters: c.Collector.Parameters,
		Selection: sel, Workers: s.Workers, Seed: c.Collector.Seed, Memory: p.memory, Results: results,
		Stdout: &output, Stderr: &output,
	})
	if err != nil {
		t.Fatal(err)
	}
	o := outcome{status, readResults(t, results), output.String()}
	if testing.Verbose() {
		t.Logf("%s, %d tests on %d workers: status %d, notes %q", s.Name, s.Len(), s.Workers, status, o.results.Notes)
	}
	return o
}

// newResults starts a results file as Go does for the plugin.
func newResults(t *testing.T, name string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name+".jsonl")
	line := `{"wcshard":"results","version":1,"plan":"sha256:00","run":"r","shards":["` + name +
		`"],"attempt":1,"runner":"local","workers":2,"started":"2026-11-23T11:00:00.000Z"}` + "\n"
	if err := os.WriteFile(path, []byte(line), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func readResults(t *testing.T, path string) *timing.Results {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	r, err := timing.ReadResults(file, filepath.Base(path))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// split deals tests out by hand: every other file as a whole, the rest test by
// test.
func split(c *Collection, workers []int) *shard.Plan {
	plan := &shard.Plan{}
	for i, w := range workers {
		plan.Shards = append(plan.Shards, shard.Shard{Name: fmt.Sprint("shard-", i), Workers: w})
	}
	var files []string
	for _, test := range c.Tests {
		files = append(files, test.ID.File())
	}
	slices.Sort(files)
	files = slices.Compact(files)
	for i, test := range c.Tests {
		at := slices.Index(files, test.ID.File())
		cut := at%2 == 0
		to := at
		if cut {
			to = i
		}
		s := &plan.Shards[to%len(workers)]
		if n := len(s.Pieces); n == 0 || s.Pieces[n-1].File != test.ID.File() {
			s.Pieces = append(s.Pieces, shard.Piece{File: test.ID.File(), Cut: cut})
		}
		piece := &s.Pieces[len(s.Pieces)-1]
		piece.Tests = append(piece.Tests, test.ID.Rest())
	}
	plan.Shards = slices.DeleteFunc(plan.Shards, func(s shard.Shard) bool { return len(s.Pieces) == 0 })
	return plan
}

// TestProof runs suites in shards: every test exactly once, with the outcome
// that it has in a plain run.
func TestProof(t *testing.T) {
	for _, test := range []struct {
		suite, cwd string
		envs       string
		env        []string
		proof      proof
	}{
		{suite: "nasty", envs: "old new bare plugins", proof: proof{args: []string{"-p", "no:randomly"}}},
		{suite: "docs", envs: "old new", proof: proof{}},
		{suite: "options", envs: "old new", proof: proof{plain: []string{"-n0", "--maxfail=0"}}},
		{suite: "options", envs: "bare", proof: proof{args: []string{"-o", "addopts=-x"}, plain: []string{"--maxfail=0"}}},
		{suite: "cached", envs: "old new", proof: proof{plain: []string{"-o", "addopts="}}},
		{suite: "cached", envs: "new", proof: proof{
			plain: []string{"-o", "addopts="}, extra: []string{"--dist=loadgroup", "-n2"}}},
		{suite: "layout", cwd: "proj", envs: "old new"},
		{suite: "layout", cwd: "proj/tests/unit", envs: "old new"},
		{suite: "layout", envs: "old new", proof: proof{args: []string{"proj/tests", "proj/lib"}}},
		{suite: "layout", cwd: "proj", envs: "old new", proof: proof{
			args: []string{"tests/other", "tests/unit/test_u.py", "tests/unit/test_v.py::TestIt", "lib/wpkg/tests/test_x.py"}}},
		{suite: "layout", cwd: "proj", envs: "old new", env: []string{"PYTHONPATH=lib"}, proof: proof{
			args: []string{"--pyargs", "wpkg"}}},
		{suite: "layout", envs: "old new", env: []string{"PYTHONPATH=proj/lib"}, proof: proof{
			args: []string{"--pyargs", "wpkg.tests.test_x", "wpkg.tests.deep"}}},
		{suite: "layout", cwd: "proj/tests/other", envs: "new", env: []string{"PYTHONPATH=../../lib"}, proof: proof{
			args: []string{"--pyargs", "wpkg", "--rootdir=."}}},
		{suite: "flaky", envs: "new plugins", proof: proof{args: []string{"-p", "no:randomly"}}},
		{suite: "random", envs: "plugins", proof: proof{plain: []string{"-p", "randomly", "--randomly-seed=1"}}},
		{suite: "random", envs: "plugins", proof: proof{args: []string{"--randomly-seed=77"}}},
		{suite: "random", envs: "plugins", proof: proof{
			args: []string{"--random-order", "--randomly-seed=5", "--randomly-dont-reorganize"}}},
		{suite: "random", envs: "plugins", proof: proof{
			args: []string{"--random-order-seed=9", "--randomly-seed=5", "--randomly-dont-reorganize"}}},
	} {
		for env := range strings.FieldsSeq(test.envs) {
			name := cmp.Or(strings.Join(append(slices.Clone(test.proof.args), test.proof.extra...), " "), "plain")
			t.Run(fmt.Sprintf("%s/%s/%s/%s", env, test.suite, cmp.Or(test.cwd, "."), name), func(t *testing.T) {
				oneOfFew(t)
				p := test.proof
				p.command, p.env = pytestIn(t, env), test.env
				p.dir = filepath.Join(suite(t, test.suite), filepath.FromSlash(test.cwd))
				p.workers = []int{1, 2, 2}
				p.run(t)
			})
		}
	}
}
