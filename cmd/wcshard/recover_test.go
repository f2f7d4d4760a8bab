package main

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wcshard/wcshard/cmd/wcshard/internal/cgroup"
	"github.com/wcshard/wcshard/cmd/wcshard/internal/killed"
	"github.com/wcshard/wcshard/shard"
	"github.com/wcshard/wcshard/shard/pytest"
	"github.com/wcshard/wcshard/timing"
)

func TestNarrow(t *testing.T) {
	all := pytest.Selection{
		Pieces: []shard.Piece{
			{File: "a.py", Cut: true, Tests: []string{"::x", "::y", "::y", "::z"}, Needs: []shard.TestNeed{{Test: 0, Need: 1 << 30}, {Test: 3, Need: 2 << 30, Kept: 7}}},
			{File: "b.py", Tests: []string{"::x"}},
		},
		Elsewhere: []timing.NodeID{"a.py::w", "b.py::w"},
		Turns:     map[timing.NodeID][]int{"a.py::y": {1, 2}},
	}
	got := narrow(all, []timing.NodeID{"a.py::y", "a.py::z"})
	want := pytest.Selection{
		Pieces: []shard.Piece{
			{File: "a.py", Cut: true, Tests: []string{"::y", "::z"}, Needs: []shard.TestNeed{{Test: 1, Need: 2 << 30, Kept: 7}}},
		},
		Elsewhere: []timing.NodeID{"a.py::w", "a.py::x", "a.py::y"},
		Turns:     map[timing.NodeID][]int{"a.py::y": {2}}, // the first of the namesakes has run
		Partial:   true,
		Reduced:   true,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("narrow() =\n%+v, want\n%+v", got, want)
	}
	if len(all.Pieces[0].Tests) != 4 || all.Pieces[0].Needs[1].Test != 3 {
		t.Errorf("narrow changed what it was given: %+v", all)
	}
}

// TestAppendResults: a line that a kill tore goes, and nothing else.
func TestAppendResults(t *testing.T) {
	for _, test := range []struct{ before, want string }{
		{"one\n", "one\ntwo\n"},
		{"one\nto", "one\ntwo\n"},
		{"on", "two\n"},
	} {
		name := filepath.Join(t.TempDir(), "results")
		writeTestFile(t, name, test.before)
		if err := appendResults(name, []byte("two\n")); err != nil {
			t.Fatal(err)
		}
		if got, _ := os.ReadFile(name); string(got) != test.want {
			t.Errorf("after %q: %q, want %q", test.before, got, test.want)
		}
	}
	if err := appendResults(filepath.Join(t.TempDir(), "gone"), []byte("two\n")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

// TestRecoveryStatus: what the tries come to together.
func TestRecoveryStatus(t *testing.T) {
	passed, failed := timing.TestResult{ID: "a.py::x", Outcome: timing.Passed}, timing.TestResult{ID: "a.py::x", Outcome: timing.Failed}
	for _, test := range []struct {
		name  string
		first int
		tries []int
		tests []timing.TestResult
		want  int
	}{
		{"nothing happened", 1, nil, []timing.TestResult{passed}, 1},
		{"made good", 1, []int{0, 0}, []timing.TestResult{passed}, 0},
		{"pytest was killed, made good", 137, []int{0, 0}, []timing.TestResult{passed}, 0},
		{"failed alone", 137, []int{1}, []timing.TestResult{failed}, 1},
		{"no test failed, but pytest says so of the last", 1, []int{0, 1}, []timing.TestResult{passed}, 1},
		{"not all ran", 137, []int{137}, nil, 137},
		{"internal error", 1, []int{3, 0}, []timing.TestResult{passed}, 3},
		{"usage error", 137, []int{4}, []timing.TestResult{passed}, 4},
	} {
		r := &recovery{
			job:       &job{},
			selection: pytest.Selection{Pieces: []shard.Piece{{File: "a.py", Tests: []string{"::x"}}}},
			results:   &timing.Results{Tests: test.tests},
			statuses:  test.tries,
		}
		if got := r.status(test.first); got != test.want {
			t.Errorf("%s: status(%d) after %d = %d, want %d", test.name, test.first, test.tries, got, test.want)
		}
	}
}

// TestMainProcess: of several tries that of the last one dies.
func TestMainProcess(t *testing.T) {
	results := &timing.Results{Workers: []timing.WorkerResult{{Worker: "main", PID: 70}, {Worker: "gw0", PID: 71}, {Worker: "main", PID: 72}, {Worker: "gw0", PID: 73}}}
	if got := mainProcess(results); got != 72 {
		t.Errorf("mainProcess() = %d, want 72", got)
	}
}

// TestRest: what a session did not get to, unless it was told to stop early.
func TestRest(t *testing.T) {
	r := &recovery{
		job:       &job{},
		selection: pytest.Selection{Pieces: []shard.Piece{{File: "a.py", Tests: []string{"::x", "::y", "::y", "::gone"}}}},
		results:   &timing.Results{Tests: []timing.TestResult{{ID: "a.py::y"}}, Missing: []timing.NodeID{"a.py::gone"}},
	}
	if got, want := r.rest(1), []timing.NodeID{"a.py::x", "a.py::y"}; !slices.Equal(got, want) {
		t.Errorf("rest() = %q, want %q", got, want)
	}
	r.options.args = []string{"-x"}
	if got := r.rest(1); got != nil {
		t.Errorf("with -x: rest() = %q, want none", got)
	}
}

func TestTimeLimit(t *testing.T) {
	event := filepath.Join(t.TempDir(), "event.json")
	writeTestFile(t, event, "{}")
	now := time.Now()
	began := now.Add(-5 * time.Minute)
	if err := os.Chtimes(event, began, began); err != nil {
		t.Fatal(err)
	}
	started := "CI_JOB_STARTED_AT=" + began.UTC().Format(time.RFC3339)
	gitHub, gitLab := []string{"GITHUB_EVENT_PATH=" + event}, []string{"GITLAB_CI=true", started}
	for _, test := range []struct {
		limit   string
		timeout int
		environ []string
		want    time.Duration // from now; 0 for none
		refused string
	}{
		{"", 10, gitHub, 0, ""},
		{"20m", 10, gitHub, 20 * time.Minute, ""},
		{"plan", 10, gitHub, 4 * time.Minute, ""},
		{"plan", 10, nil, 9 * time.Minute, ""},
		{"plan", 0, gitHub, 0, ""},
		{"plan", 500, append(gitHub, "RUNNER_ENVIRONMENT=github-hosted"), 6*time.Hour - 6*time.Minute, ""},
		{"plan", 500, append(gitHub, "RUNNER_ENVIRONMENT=self-hosted"), 494 * time.Minute, ""},
		{"plan", 6, gitHub, 0, "set-up took 5 of 6 minutes, no time is left for tests"},
		{"plan", 3, gitHub, 0, "set-up took 5 of 3 minutes"},

		{"", 10, gitLab, 0, ""},
		{"plan", 10, gitLab, 4 * time.Minute, ""},
		{"plan", 10, []string{"GITLAB_CI=true", "CI_JOB_STARTED_AT=" + began.In(time.FixedZone("", 3600)).Format(time.RFC3339)}, 4 * time.Minute, ""},
		{"plan", 6, gitLab, 0, "set-up took 5 of 6 minutes"},
		{"plan", 10, slices.Concat(gitLab, gitHub), 4 * time.Minute, ""},
		{"plan", 10, []string{started}, 9 * time.Minute, ""}, // an image's, built in GitLab
		{"plan", 10, []string{"GITLAB_CI=true"}, 9 * time.Minute, ""},
		{"plan", 10, []string{"GITLAB_CI=true", "CI_JOB_STARTED_AT=yesterday"}, 9 * time.Minute, ""},
		{"plan", 10, []string{"GITLAB_CI=true", "CI_JOB_STARTED_AT=" + now.Add(time.Hour).UTC().Format(time.RFC3339)}, 9 * time.Minute, ""},
		{"plan", 20, append(gitLab, "CI_JOB_TIMEOUT=600"), 4 * time.Minute, ""}, // the runner's maximum
		{"plan", 10, append(gitLab, "CI_JOB_TIMEOUT=3600"), 4 * time.Minute, ""},
		{"plan", 10, append(gitLab, "CI_JOB_TIMEOUT=0"), 4 * time.Minute, ""},
		{"plan", 10, append(gitLab, "CI_JOB_TIMEOUT=1h"), 4 * time.Minute, ""},
		{"plan", 10, append(gitLab, "CI_JOB_TIMEOUT=330"), 0, "set-up took 5 of 6 minutes"},
		{"plan", 20, []string{started, "CI_JOB_TIMEOUT=600"}, 19 * time.Minute, ""},
	} {
		j := &job{sys: &system{environ: test.environ}, options: runOptions{timeLimit: test.limit}}
		ctx, cancel, err := j.within(t.Context(), test.timeout)
		if test.refused != "" {
			if err == nil || !strings.Contains(err.Error(), test.refused) || exitStatus(err) != exitIncomplete {
				t.Errorf("--time-limit %q of %d minutes with %q: %v, want %q", test.limit, test.timeout, test.environ, err, test.refused)
			}
			continue
		}
		if err != nil {
			t.Errorf("--time-limit %q of %d minutes with %q: %v", test.limit, test.timeout, test.environ, err)
			continue
		}
		deadline, ok := ctx.Deadline()
		cancel()
		if got := time.Until(deadline); ok != (test.want > 0) || ok && (got > test.want || got < test.want-time.Minute) {
			t.Errorf("--time-limit %q of %d minutes with %q: %s, want %s", test.limit, test.timeout, test.environ, got, test.want)
		}
	}
}

// TestRunnerClass: what jobs of a CI measure is of the plan's runners, each by
// itself; only elsewhere is it of a class of its own.
func TestRunnerClass(t *testing.T) {
	pool, memory := &shard.Shard{Runner: "docker"}, &shard.Shard{Runner: "large"}
	for _, test := range []struct {
		environ      []string
		pool, memory string
	}{
		{nil, "local", "local"},
		{[]string{"CI="}, "local", "local"},
		{[]string{"CI=false"}, "local", "local"},
		{[]string{"GITHUB_ACTIONS=true"}, "docker", "large"},
		{[]string{"CI=true", "GITLAB_CI=true"}, "docker", "large"},
		{[]string{"CI=woodpecker"}, "docker", "large"},
		{[]string{"TF_BUILD=True"}, "docker", "large"}, // Azure Pipelines
	} {
		j := &job{sys: &system{environ: test.environ}}
		if got := j.runner(session{shards: []*shard.Shard{pool}}); got != test.pool {
			t.Errorf("with %q the pool's class is %q, want %q", test.environ, got, test.pool)
		}
		if got := j.runner(session{shards: []*shard.Shard{memory}}); got != test.memory {
			t.Errorf("with %q the memory job's class is %q, want %q", test.environ, got, test.memory)
		}
	}
}

// TestTimeLimitReached stops pytest, keeps what is done and names what ran.
func TestTimeLimitReached(t *testing.T) {
	venv := testVenv(t)
	dir := t.TempDir()
	env := []string{"VIRTUAL_ENV=" + venv}
	writeTestFile(t, filepath.Join(dir, "test_slow.py"), "import time\n\ndef test_quick():\n    pass\n\ndef test_hangs():\n    time.sleep(600)\n")
	mustRun(t, wcshard(t, dir, env, "matrix", "--shards", "1", "--workers", "1"))
	run := wcshard(t, dir, env, "run", "--shard", "pool-1", "--time-limit", "5s", "--test-timeout", "1h")
	out, _ := run.CombinedOutput()
	text := string(out)
	for _, want := range []string{
		"stopped at the time limit while running test_slow.py::test_hangs on main",
		"pytest-timeout is not there: nothing stops a test that hangs",
		"hint: where all tests are only slow, plan more shards",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("run does not say %q:\n%s", want, text)
		}
	}
	if got := run.ProcessState.ExitCode(); got != exitInterrupted {
		t.Errorf("run exited with %d, want %d", got, exitInterrupted)
	}
	verdict, _ := wcshard(t, dir, env, "verify").CombinedOutput()
	if !strings.Contains(string(verdict), "incomplete: 1 of 2 tests ran exactly once") || !strings.Contains(string(verdict), "was running: test_slow.py::test_hangs") {
		t.Errorf("verify says\n%s", verdict)
	}
}

// TestDeathsUncounted: on a system without counters of kills SIGKILL is taken
// for a lack of memory where the samples come near the limit.
func TestDeathsUncounted(t *testing.T) {
	here, err := cgroup.Host{}.Memory()
	if err != nil {
		t.Skip(err)
	}
	unknown := killed.Counts{Own: killed.Unknown, Machine: killed.Unknown}
	for _, test := range []struct {
		held   int64
		signal int
		counts killed.Counts
		blamed bool
		want   string
	}{
		{here.Total / 10 * 9, 9, unknown, true, ""},
		{here.Total / 10, 9, unknown, false, "nothing here tells whether it was for lack of memory"},
		{here.Total / 10 * 9, 11, unknown, false, "not for lack of memory"},
		{here.Total / 10 * 9, 9, killed.Counts{Own: 0, Machine: killed.Unknown}, false, "not for lack of memory"},
	} {
		var out strings.Builder
		r := &recovery{
			job: &job{sys: &system{stderr: &out}},
			results: &timing.Results{
				Deaths: []timing.Death{{Worker: "gw0", Signal: test.signal}},
				Memory: []timing.WorkerMemory{{Worker: "gw0", Resident: test.held - 7}, {Worker: "gw1", Children: 7}},
			},
		}
		blames := r.blames(try{counts: test.counts})
		if (len(blames) > 0) != test.blamed || !strings.Contains(out.String(), test.want) {
			t.Errorf("%d held, signal %d, %+v: %v, says %q", test.held, test.signal, test.counts, blames, out.String())
		}
	}
}
