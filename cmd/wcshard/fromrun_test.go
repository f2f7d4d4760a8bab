package main

import (
	"archive/zip"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wcshard/wcshard/shard"
	"github.com/wcshard/wcshard/timing"
	"github.com/wcshard/wcshard/timing/artifact"
)

// earlierRun is GitHub with one run, 5, in a temporary folder that is this
// process's working directory. timing/artifact has the tests of the protocol.
type earlierRun struct {
	t         *testing.T
	server    *httptest.Server
	head      int // repository of the run's commit; 1 is our own
	artifacts []string
	zips      [][]byte
	workflow  string   // file name of the run's workflow; "" knows only of all runs
	asked     []string // the lists of runs
	jobs      string   // of the run, as JSON; "" is denied
	event     string   // that started the run
	environ   []string
	said      string // by the last call, on standard error
}

func newEarlierRun(t *testing.T) *earlierRun {
	e := &earlierRun{t: t, head: 1}
	e.server = httptest.NewServer(http.HandlerFunc(e.serve))
	t.Cleanup(e.server.Close)
	t.Chdir(t.TempDir())
	e.environ = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "GITHUB_TOKEN=secret", "GITHUB_API_URL=" + e.server.URL}
	return e
}

func (e *earlierRun) serve(w http.ResponseWriter, r *http.Request) {
	var id int
	const base = "/repos/acme/weather/actions/"
	if strings.HasSuffix(r.URL.Path, "/runs") {
		e.asked = append(e.asked, strings.TrimPrefix(r.URL.Path, base))
	}
	switch path := r.URL.Path; {
	case path == "/repos/acme/weather":
		io.WriteString(w, `{"id":1,"default_branch":"main"}`)
	case path == base+"runs", e.workflow != "" && path == base+"workflows/"+e.workflow+"/runs":
		fmt.Fprintf(w, `{"workflow_runs":[{"id":5,"event":"push","head_branch":"main","repository":{"id":1},"head_repository":{"id":%d}}]}`, e.head)
	case path == base+"runs/5":
		fmt.Fprintf(w, `{"id":5,"run_attempt":2,"event":%q,"head_sha":"0123456789abcdef","repository":{"id":1},"head_repository":{"id":%d,"full_name":"eve/weather"}}`, e.event, e.head)
	case path == base+"runs/5/artifacts":
		var list []string
		for i, name := range e.artifacts {
			list = append(list, fmt.Sprintf(`{"id":%d,"name":%q,"workflow_run":{"repository_id":1,"head_repository_id":%d}}`, i, name, e.head))
		}
		fmt.Fprintf(w, `{"artifacts":[%s]}`, strings.Join(list, ","))
	case path == base+"jobs/77":
		io.WriteString(w, `{"id":77,"run_id":5,"run_attempt":1}`)
	case path == base+"runs/5/jobs" && e.jobs == "":
		w.WriteHeader(http.StatusForbidden)
		io.WriteString(w, `{"message":"Resource not accessible by integration"}`)
	case path == base+"runs/5/jobs":
		fmt.Fprintf(w, `{"jobs":[%s]}`, e.jobs)
	case strings.HasSuffix(path, "/zip"):
		fmt.Sscanf(path, base+"artifacts/%d/zip", &id)
		http.Redirect(w, r, fmt.Sprint(e.server.URL, "/blob/", id), http.StatusFound)
	case strings.HasPrefix(path, "/blob/"):
		fmt.Sscanf(path, "/blob/%d", &id)
		w.Write(e.zips[id])
	default:
		w.WriteHeader(http.StatusNotFound)
		io.WriteString(w, `{"message":"Not Found"}`)
	}
}

// add uploads a file of the working directory.
func (e *earlierRun) add(artifact, file string) {
	e.t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		e.t.Fatal(err)
	}
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	w, err := z.Create(filepath.Base(file))
	if err != nil {
		e.t.Fatal(err)
	}
	w.Write(text)
	if err := z.Close(); err != nil {
		e.t.Fatal(err)
	}
	e.artifacts, e.zips = append(e.artifacts, artifact), append(e.zips, b.Bytes())
	os.Remove(file)
}

// call runs wcshard and checks its status and words of what it says.
func (e *earlierRun) call(status int, says string, args ...string) (stdout string) {
	e.t.Helper()
	var out, err bytes.Buffer
	sys := &system{stdin: strings.NewReader(""), stdout: &out, stderr: &err, environ: e.environ}
	got := run(e.t.Context(), sys, args)
	e.said = err.String()
	if got != status {
		e.t.Errorf("wcshard %s: status %d, want %d\n%s", strings.Join(args, " "), got, status, err.String())
	}
	if !strings.Contains(err.String(), says) {
		e.t.Errorf("wcshard %s says\n%swant %q in it", strings.Join(args, " "), err.String(), says)
	}
	if strings.Contains(err.String(), "wcshard: error: ") && !strings.Contains(err.String(), "wcshard: hint: ") {
		e.t.Errorf("wcshard %s says what is wrong, and not what to do:\n%s", strings.Join(args, " "), err.String())
	}
	if strings.Contains(out.String()+err.String(), "secret") {
		e.t.Error("the token is printed")
	}
	return out.String()
}

// plan uploads a plan of one shard, and returns it.
func (e *earlierRun) plan(ids ...string) *shard.Plan {
	e.t.Helper()
	os.WriteFile("ids.txt", []byte(strings.Join(ids, "\n")+"\n"), 0o666)
	e.call(exitOK, "1 job", "matrix", "--ids", "ids.txt", "--shards", "1")
	file, err := os.Open(defaultPlan)
	if err != nil {
		e.t.Fatal(err)
	}
	defer file.Close()
	plan, err := shard.ReadPlan(file, defaultPlan)
	if err != nil {
		e.t.Fatal(err)
	}
	e.add(artifact.PlanName(1), defaultPlan)
	return plan
}

// results uploads the results of an attempt at the plan's first shard.
func (e *earlierRun) results(plan *shard.Plan, attempt int, outcomes map[string]string, running ...string) {
	e.t.Helper()
	s := &plan.Shards[0]
	header := timing.ResultsHeader{Plan: plan.Digest, Run: "5", Shards: []string{s.Name}, Attempt: attempt, Runner: "ubuntu-latest", Workers: 1, Started: time.Unix(1_800_000_000, 0).UTC()}
	text := string(header.Line())
	for _, id := range s.IDs() {
		if outcome := outcomes[string(id)]; outcome != "" {
			text += fmt.Sprintf(resultLine, id, outcome) + "\n"
		}
	}
	for _, id := range running {
		text += fmt.Sprintf(startLine, id) + "\n"
	}
	if len(running) == 0 {
		text += string(timing.EndLine(1, time.Second))
	}
	name := fmt.Sprintf("wcshard-results-%s-%d.jsonl", s.Name, attempt)
	os.WriteFile(name, []byte(text), 0o666)
	e.add(artifact.ResultsName(s.Name, attempt), name)
}

const (
	resultLine = `{"t":"test","id":%q,"worker":"main","outcome":%q,"call_us":1000}`
	startLine  = `{"t":"start","id":%q,"worker":"main"}`
)

const (
	a1, a2, a3 = "tests/test_a.py::test_1", "tests/test_a.py::test_2", "tests/test_a.py::test_3"
	runURL     = "/acme/weather/actions/runs/5"
)

func TestRunFromRun(t *testing.T) {
	e := newEarlierRun(t)
	e.plan(a1, a2, a3)
	all := a1 + "\n" + a2 + "\n" + a3 + "\n"
	if got := e.call(exitOK, "no git checkout", "run", "--from-run", "5", "--repo", "acme/weather", "--shard", "pool-1", "--list"); got != all {
		t.Errorf("the shard has %q, want %q", got, all)
	}
	if got := e.call(exitOK, "wcshard-plan-1", "run", "--from-run", e.server.URL+runURL+"/job/77", "--shard", "pool-1", "--list"); got != all {
		t.Errorf("the shard has %q, want %q", got, all)
	}
	e.call(exitUsage, "the plan has pool-1", "run", "--from-run", e.server.URL+runURL, "--shard", "pool-9")
	if _, err := os.Stat(defaultPlan); err == nil {
		t.Error("the plan of this folder is overwritten")
	}
}

func TestRunFailed(t *testing.T) {
	e := newEarlierRun(t)
	plan := e.plan(a1, a2, a3)
	e.results(plan, 1, map[string]string{a1: "failed", a2: "passed", a3: "failed"})
	e.results(plan, 2, map[string]string{a1: "passed", a2: "failed", a3: "passed"})
	url := e.server.URL + runURL
	for _, c := range []struct {
		want string
		args []string
	}{
		{a2 + "\n", []string{"--from-run", url}},
		{a1 + "\n" + a2 + "\n", []string{"--from-run", url, "--with-context"}},
		{a1 + "\n" + a3 + "\n", []string{"--from-run", url + "/attempts/1"}},
		{a1 + "\n" + a3 + "\n", []string{"--from-run", url + "/job/77"}}, // of attempt 1
		{a2 + "\n", []string{"--from-run", url + "/attempts/2/job/77"}},
	} {
		if got := e.call(exitOK, "", append([]string{"run", "--shard", "pool-1", "--list", "--failed"}, c.args...)...); got != c.want {
			t.Errorf("with %q these failed: %q, want %q", c.args, got, c.want)
		}
	}
}

// A job's URL names its attempt's plan. Where GitHub does not know the job, it is the
// newest one's.
func TestRunOfJob(t *testing.T) {
	e := newEarlierRun(t)
	e.plan(a1)
	os.WriteFile("ids.txt", []byte(a2+"\n"), 0o666)
	e.call(exitOK, "1 job", "matrix", "--ids", "ids.txt", "--shards", "1")
	e.add(artifact.PlanName(2), defaultPlan)
	for job, want := range map[string]string{"77": a1, "78": a2} {
		if got := e.call(exitOK, "", "run", "--shard", "pool-1", "--list", "--from-run", e.server.URL+runURL+"/job/"+job); got != want+"\n" {
			t.Errorf("job %s ran %q, want %q", job, got, want)
		}
		if warned := strings.Contains(e.said, "warning: which attempt that job belongs to is not known, and the newest is taken: asking for job 78"); warned != (job == "78") {
			t.Errorf("job %s: %s", job, e.said)
		}
	}
}

// Mode all leaves one artifact for all shards.
func TestRunFailedOfAll(t *testing.T) {
	e := newEarlierRun(t)
	plan := e.plan(a1, a2, a3)
	e.results(plan, 1, map[string]string{a1: "passed", a2: "failed", a3: "passed"})
	e.artifacts[1] = artifact.ResultsName(allSession, 1)
	if got := e.call(exitOK, "", "run", "--shard", "pool-1", "--list", "--failed", "--from-run", e.server.URL+runURL); got != a2+"\n" {
		t.Errorf("these failed: %q, want %q", got, a2)
	}
}

// A file that was torn at birth keeps nobody from learning from the others.
func TestMergeFromRunTorn(t *testing.T) {
	e := newEarlierRun(t)
	plan := e.plan(a1, a2)
	os.WriteFile("wcshard-results-pool-9-1.jsonl", nil, 0o666)
	e.add(artifact.ResultsName("pool-9", 1), "wcshard-results-pool-9-1.jsonl")
	e.call(exitData, "run 5: reading results: wcshard-results-pool-9-1/wcshard-results-pool-9-1.jsonl: empty file", "merge", "--from-run", e.server.URL+runURL)
	e.results(plan, 1, map[string]string{a1: "passed", a2: "passed"})
	e.call(exitOK, "warning: a file is left out: run 5: reading results: wcshard-results-pool-9-1/", "merge", "--from-run", e.server.URL+runURL)
	e.call(exitOK, "2 tests from 1 run", "merge", "--from-run", e.server.URL+runURL)
}

// A test that the run died of counts as failed.
func TestRunFailedKilled(t *testing.T) {
	e := newEarlierRun(t)
	plan := e.plan(a1, a2, a3)
	e.results(plan, 1, map[string]string{a1: "passed"}, a2)
	got := e.call(exitOK, "pool-1 ended early in run 5", "run", "--shard", "pool-1", "--list", "--failed", "--from-run", e.server.URL+runURL)
	if got != a2+"\n" {
		t.Errorf("these failed: %q, want %q", got, a2)
	}
}

func TestRunFailedNone(t *testing.T) {
	e := newEarlierRun(t)
	plan := e.plan(a1)
	args := []string{"run", "--shard", "pool-1", "--list", "--failed", "--from-run", e.server.URL + runURL}
	e.call(exitNoInput, "run 5 has no artifact with a result of pool-1", args...)
	e.results(plan, 1, map[string]string{a1: "passed"})
	e.call(exitNoTests, "no test of pool-1 failed there", args...)
}

func TestFromRunHead(t *testing.T) {
	e := newEarlierRun(t)
	for _, args := range [][]string{{"init", "-q"}, {"-c", "user.name=a", "-c", "user.email=a@x", "commit", "-q", "--allow-empty", "-m", "x"}, {"remote", "add", "origin", "git@github.com:acme/weather.git"}} {
		if out, err := exec.Command("git", args...).CombinedOutput(); err != nil {
			t.Skipf("git %v: %v\n%s", args, err, out)
		}
	}
	e.plan(a1)
	e.call(exitOK, "run 5 ran 0123456789ab: to have the same tests, git checkout 0123456789abcdef", "run", "--from-run", e.server.URL+runURL, "--shard", "pool-1", "--list")
	// The token for one host is not for the host that a remote names.
	e.call(exitUsage, "git's remote origin is on github.com, and the API is "+e.server.URL, "run", "--from-run", "5", "--shard", "pool-1")
}

func TestFromRunErrors(t *testing.T) {
	e := newEarlierRun(t)
	url := e.server.URL + runURL
	for _, c := range []struct {
		status int
		says   string
		args   string
	}{
		{exitUsage, "--failed and --trust-fork go with --from-run", "run --shard pool-1 --failed"},
		{exitUsage, "--with-context goes with --failed", "run --shard pool-1 --with-context --from-run 5"},
		{exitUsage, "--failed and --all exclude each other", "run --all --failed --from-run 5"},
		{exitUsage, "--from-run and --plan exclude each other", "run --shard pool-1 --plan p.json --from-run 5"},
		{exitUsage, `"five" is not the number of a run`, "run --shard pool-1 --from-run five"},
		{exitUsage, "the run is on github.com, and the API is", "run --shard pool-1 --from-run https://github.com/a/b/actions/runs/5"},
		{exitUsage, "which repository is not known", "run --shard pool-1 --from-run 5"},
		{exitUsage, `the repository is "weather"`, "run --shard pool-1 --from-run 5 --repo weather"},
		{exitNoInput, "asking for run 6 of acme/weather: GitHub answered 404", "run --shard pool-1 --from-run 6 --repo acme/weather"},
		{exitNoInput, "run 5 has no artifact with a plan", "run --shard pool-1 --from-run " + url},
		{exitNoInput, "run 5 has no artifact with a shard's results", "merge --from-run " + url},
	} {
		e.call(c.status, c.says, strings.Fields(c.args)...)
	}
}

func TestFromRunFork(t *testing.T) {
	e := newEarlierRun(t)
	plan := e.plan(a1)
	e.results(plan, 1, map[string]string{a1: "passed"})
	e.head = 2
	url := e.server.URL + runURL
	e.call(exitData, "run 5 ran a commit of eve/weather", "run", "--shard", "pool-1", "--list", "--from-run", url)
	e.call(exitOK, "", "run", "--shard", "pool-1", "--list", "--from-run", url, "--trust-fork")
	e.call(exitData, "made from a fork's commit", "merge", "--from-run", url)
}

func TestMergeFromRun(t *testing.T) {
	e := newEarlierRun(t)
	plan := e.plan(a1, a2)
	e.results(plan, 1, map[string]string{a1: "passed", a2: "failed"})
	e.results(plan, 2, map[string]string{a1: "passed", a2: "passed"})
	e.call(exitOK, "2 tests from 1 run", "merge", "--from-run", e.server.URL+runURL)
	first, err := os.ReadFile(defaultTimings)
	if err != nil {
		t.Fatal(err)
	}
	e.call(exitOK, "2 tests from 1 run", "merge", "--from-run", e.server.URL+runURL)
	if again, err := os.ReadFile(defaultTimings); err != nil || !bytes.Equal(first, again) {
		t.Errorf("merged twice, the history is\n%swant\n%s (%v)", again, first, err)
	}
}

func TestSampled(t *testing.T) {
	var all []artifact.Artifact
	for _, kind := range []string{"mem", "pool"} { // as they are sorted
		for n := range 9 {
			all = append(all, artifact.Artifact{Name: artifact.Name{Kind: artifact.Results, Shard: fmt.Sprint(kind, "-", n+1), Attempt: 1}})
		}
	}
	var names []string
	for _, a := range sampled(all) {
		names = append(names, a.Shard)
	}
	if want := strings.Fields("mem-1 mem-2 mem-3 mem-4 pool-1 pool-2 pool-3 pool-4"); !slices.Equal(names, want) {
		t.Errorf("sampled() = %q, want %q", names, want)
	}
}

// What a job takes outside pytest comes from what GitHub says of the job, once:
// through merge, and through the history that a plan is made from.
func TestOverheadFromRun(t *testing.T) {
	e := newEarlierRun(t)
	plan := e.plan(a1, a2)
	e.results(plan, 1, map[string]string{a1: "passed", a2: "passed"}) // a session of 1 s
	merge := []string{"merge", "--from-run", e.server.URL + runURL}
	e.call(exitOK, "hint: in a workflow give the job permissions: actions: read", merge...)
	e.call(exitOK, "what jobs take outside pytest is not known: listing the jobs of run 5", merge...)
	without, err := os.ReadFile(defaultTimings)
	if err != nil {
		t.Fatal(err)
	}
	const job = `{"id":%d,"name":%q,"run_attempt":1,"status":%q,"conclusion":"success","created_at":"2026-11-01T10:59:57Z","started_at":"2026-11-01T11:00:00Z","completed_at":"2026-11-01T11:00:43Z"}`
	e.jobs = fmt.Sprintf(job, 1, "tests (pool-1)", "in_progress")
	e.call(exitOK, "0 of 1 job of run 5 found by name", merge...)
	e.jobs = fmt.Sprintf(job, 1, "tests (pool-1)", "completed") + "," + fmt.Sprintf(job, 2, "gate", "completed")
	e.call(exitOK, "2 tests from 1 run", merge...)
	const says = "each job takes 33.5 s outside pytest (measured on 1 job, with the usual 25.0 s as one more; before it, jobs waited 3.0 s for a runner)"
	matrix := []string{"matrix", "--ids", "ids.txt", "--shards", "1"}
	e.call(exitOK, says, matrix...)

	// A history that does not know yet learns it when a plan is made from it.
	if err := os.WriteFile(defaultTimings, without, 0o666); err != nil {
		t.Fatal(err)
	}
	e.add(artifact.TimingsName(1), defaultTimings)
	e.call(exitOK, says, append(matrix, "--timings", "github", "--repo", "acme/weather", "--save-timings", "saved.jsonl")...)
	e.call(exitOK, says, append(matrix, "--timings", "saved.jsonl")...)
	e.jobs = ""
	e.call(exitOK, "warning: what jobs take outside pytest is not known", append(matrix, "--timings", "github", "--repo", "acme/weather")...)
}

// With the real pytest: what failed there runs here, and only that.
func TestRunFailedReal(t *testing.T) {
	venv := testVenv(t)
	e := newEarlierRun(t)
	e.environ = append(e.environ, "VIRTUAL_ENV="+venv)
	if err := os.Mkdir("tests", 0o777); err != nil {
		t.Fatal(err)
	}
	os.WriteFile("tests/test_a.py", []byte("def test_1(): assert 0\ndef test_2(): pass\ndef test_3(): assert 0\n"), 0o666)
	plan := e.plan(a1, a2, a3)
	e.results(plan, 1, map[string]string{a1: "passed", a2: "failed", a3: "failed"})
	args := []string{"run", "--shard", "pool-1", "--failed", "--from-run", e.server.URL + runURL}
	out := e.call(exitTestsFailed, "to run this shard again: wcshard run --from-run ", args...)
	if strings.Contains(out, "about") {
		t.Errorf("what it takes is that of the whole shard:\n%s", out)
	}
	if !strings.Contains(out, "1 failed, 1 passed") {
		t.Errorf("pytest says\n%swant 1 failed, 1 passed", out)
	}
	e.call(exitIncomplete, "pool-1", "verify", "--plan", e.restored(0))
}

// restored writes an uploaded plan back to the working directory.
func (e *earlierRun) restored(id int) string {
	e.t.Helper()
	z, err := zip.NewReader(bytes.NewReader(e.zips[id]), int64(len(e.zips[id])))
	if err != nil {
		e.t.Fatal(err)
	}
	file, err := z.File[0].Open()
	if err != nil {
		e.t.Fatal(err)
	}
	defer file.Close()
	text, err := io.ReadAll(file)
	if err != nil {
		e.t.Fatal(err)
	}
	os.WriteFile(defaultPlan, text, 0o666)
	return defaultPlan
}

func TestMatrixTimingsGitHub(t *testing.T) {
	e := newEarlierRun(t)
	plan := e.plan(a1, a2)
	args := []string{"matrix", "--ids", "ids.txt", "--shards", "1", "--timings", "github", "--repo", "acme/weather"}
	e.call(exitOK, "there is no history from GitHub: none of the last 1 good runs", args...)
	e.results(plan, 1, map[string]string{a1: "passed", a2: "passed"})
	e.call(exitOK, "history from the results of run 5", args...)
	e.call(exitOK, "100 %", args...)
	e.call(exitOK, "2 tests from 1 run", "merge", "--from-run", e.server.URL+runURL)
	e.add(artifact.TimingsName(1), defaultTimings)
	e.call(exitOK, "history wcshard-timings-1 of run 5", args...)
	e.head = 2
	e.call(exitOK, "there is no history from GitHub: none of the last 0 good runs", args...)
	e.call(exitUsage, "the repository is \"weather\"", append(args, "--repo", "weather")...)
}

// In a job of a workflow its own runs are looked at first, then those of all.
func TestMatrixTimingsWorkflow(t *testing.T) {
	e := newEarlierRun(t)
	plan := e.plan(a1, a2)
	e.results(plan, 1, map[string]string{a1: "passed", a2: "passed"})
	args := []string{"matrix", "--ids", "ids.txt", "--shards", "1", "--timings", "github", "--repo", "acme/weather"}
	const all, own, other = "runs", "workflows/tests.yml/runs", "workflows/other.yml/runs"
	for _, c := range []struct {
		ref  string
		want []string // lists of runs that were asked for
	}{
		{"", []string{all}},
		{"acme/weather/.github/workflows/tests.yml@refs/heads/main", []string{own}},
		{"acme/weather/.github/workflows/other.yml@refs/heads/main", []string{other, all}}, // GitHub knows of none
		{"acme/rules/.github/workflows/tests.yml@refs/heads/main", []string{all}},
		{"no reference", []string{all}},
	} {
		e.workflow, e.asked = "tests.yml", nil
		e.environ = append(e.environ, "GITHUB_WORKFLOW_REF="+c.ref)
		e.call(exitOK, "history from the results of run 5", args...)
		if !slices.Equal(e.asked, c.want) {
			t.Errorf("a job of %q asked for %q, want %q", c.ref, e.asked, c.want)
		}
	}
}

// Artifacts that are not what their names say.
func TestFromRunGarbage(t *testing.T) {
	e := newEarlierRun(t)
	url := e.server.URL + runURL
	os.WriteFile(defaultPlan, []byte("garbage\n"), 0o666)
	e.add(artifact.PlanName(1), defaultPlan)
	e.call(exitData, "reading the plan of run 5: wcshard-plan-1/wcshard-plan.json:1: ", "run", "--shard", "pool-1", "--from-run", url)
	os.WriteFile(defaultPlan, []byte("{\n\"wcshard\":\"plan\",\"version\":9,\n"), 0o666)
	e.add(artifact.PlanName(2), defaultPlan)
	e.call(exitData, "hint: "+hintNewer, "run", "--shard", "pool-1", "--from-run", url)
	os.WriteFile("wcshard-results-pool-1-1.jsonl", []byte("garbage\n"), 0o666)
	e.add(artifact.ResultsName("pool-1", 1), "wcshard-results-pool-1-1.jsonl")
	e.call(exitData, "run 5: reading results: wcshard-results-pool-1-1/", "merge", "--from-run", url)
	os.WriteFile("other", nil, 0o666)
	e.add(artifact.ResultsName("pool-1", 2), "other")
	e.call(exitNoInput, "run 5 has no artifact with a shard's results", "merge", "--from-run", url)
}
