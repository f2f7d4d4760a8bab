package main

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"

	"pgregory.net/rapid"

	"github.com/wcshard/wcshard/cmd/wcshard/internal/actions"
	"github.com/wcshard/wcshard/shard"
	"github.com/wcshard/wcshard/timing"
	"github.com/wcshard/wcshard/timing/artifact"
)

const (
	maxJobName       = 100 // GitHub cuts a longer one, and two may become the same
	notInArtifacts   = `":<>|*?` + "\r\n" + `\/`
	longestAttempt   = 51 // GitHub allows 50 re-runs of a run
	longestFileNames = 255
)

// jobName is README's: name: pytest (${{ matrix.name }}).
func jobName(shard string) string { return "pytest (" + shard + ")" }

// TestNames holds the names of all shards that can be made of any files against
// what GitHub allows in names of jobs and of artifacts.
func TestNames(t *testing.T) {
	long := strings.Repeat("long_", 40)
	file := rapid.OneOf(
		rapid.StringMatching(`([a-z]{1,8}/){0,3}test_[a-zA-Z0-9]{1,150}\.py`),
		rapid.StringMatching(`[^:]{1,90}\.py`),
		rapid.SampledFrom([]string{"tests/test_a.py", "tests/Test_A.py", "other/test_a.py", "tests/test:a.py", `tests\test?.py`, "tests/con.py", "é/测试 🌧.py", "...py", "tests/.py", "a/../b.py", "doc/readme.md",
			long + "a.py", long + "b.py", "tests/" + long + "a.py", "tests/" + long + "A.py"}),
	)
	rapid.Check(t, func(t *rapid.T) {
		suite := shard.Suite{}
		for i, name := range rapid.SliceOfNDistinct(file, 1, 12, rapid.ID).Draw(t, "files") {
			suite.Tests = append(suite.Tests, shard.Test{ID: timing.NodeID(name + "::test"), Order: i, Memory: rapid.Bool().Draw(t, "memory")})
		}
		plan, err := shard.Pack(suite, shard.Fleet{Shards: rapid.IntRange(1, 12).Draw(t, "shards"), MaxMemoryJobs: rapid.IntRange(0, 3).Draw(t, "jobs"), CPUs: 2})
		if err != nil {
			t.Fatal(err)
		}
		seen := map[string]bool{}
		for i := range plan.Shards {
			name := plan.Shards[i].Name
			if n := len(utf16.Encode([]rune(jobName(name)))); n > maxJobName {
				t.Errorf("the job of %q has a name of %d characters, want at most %d", name, n, maxJobName)
			}
			for _, text := range []string{artifact.ResultsName(name, 1), artifact.ResultsName(name, longestAttempt)} {
				if strings.ContainsAny(text, notInArtifacts) || len(text) > longestFileNames || text != strings.TrimSpace(text) {
					t.Errorf("%q is no name for an artifact", text)
				}
				if back, ok := artifact.ParseName(text); !ok || back.Kind != artifact.Results || back.Shard != name {
					t.Errorf("the artifact %q is read as %+v, %t", text, back, ok)
				}
			}
			if strings.HasPrefix(name, "-") || seen[strings.ToLower(name)] {
				t.Errorf("%q is taken, or an option", name)
			}
			seen[strings.ToLower(name)] = true
		}
	})
}

// longPlan has rows memory jobs with the longest names there are.
func longPlan(t *testing.T, rows int) (*shard.Plan, error) {
	t.Helper()
	suite := shard.Suite{}
	for i := range rows {
		id := fmt.Sprintf("tests/%s_%03d.py::test", strings.Repeat("very_", 20), i)
		suite.Tests = append(suite.Tests, shard.Test{ID: timing.NodeID(id), Order: i, Memory: true})
	}
	return shard.Pack(suite, shard.Fleet{Shards: 1, CPUs: 4, Runner: "ubuntu-latest", MemoryRunner: "ubuntu-24.04-arm-16-cores"})
}

// TestRows puts out the largest matrix that GitHub takes, with the longest
// names, within its limits for outputs and for an environment variable.
func TestRows(t *testing.T) {
	plan, err := longPlan(t, shard.MaxRows)
	if err != nil {
		t.Fatal(err)
	}
	longest := 0
	for i := range plan.Shards {
		longest = max(longest, len(jobName(plan.Shards[i].Name)))
	}
	if len(plan.Shards) != 256 || longest < 60 || longest > maxJobName {
		t.Fatalf("%d rows with names of up to %d characters", len(plan.Shards), longest)
	}
	output := filepath.Join(t.TempDir(), "output")
	sys := &system{environ: []string{"GITHUB_OUTPUT=" + output}, stdout: t.Output(), stderr: t.Output()}
	o := matrixOptions{output: "github"}
	if err := o.emit(sys, plan); err != nil {
		t.Errorf("256 rows: %v", err)
	}
	text, err := os.ReadFile(output)
	if err != nil {
		t.Fatal(err)
	}
	if n := 2 * len(utf16.Encode([]rune(string(text)))); n > actions.MaxOutput {
		t.Errorf("the outputs take %d bytes, want at most %d", n, actions.MaxOutput)
	}
	// Labels are the user's, and may be so long that the next job could not start.
	for i := range plan.Shards {
		plan.Shards[i].Runner = strings.Repeat("x", 300)
	}
	if err := o.emit(sys, plan); err == nil || exitStatus(err) != exitData || !strings.Contains(strings.Join(hints(err), ""), "shorter labels") {
		t.Errorf("labels of 300 characters: %v", err)
	}
	var rows *shard.TooManyRowsError
	if _, err := longPlan(t, shard.MaxRows+1); !errors.As(err, &rows) || !strings.Contains(strings.Join(hints(err), ""), "--max-memory-jobs") {
		t.Errorf("257 rows: %v", err)
	}
}

// fakeProgram puts a shell script of that name first on the path.
func fakeProgram(t *testing.T, name, script string) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("the program is a shell script")
	}
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, name), []byte("#!/bin/sh\n"+script), 0o777); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", folder+string(os.PathListSeparator)+os.Getenv("PATH"))
}

// TestLogins takes the token from gh and the repository from git, where the
// environment names neither.
func TestLogins(t *testing.T) {
	e := newEarlierRun(t)
	e.plan(a1)
	host := strings.TrimPrefix(e.server.URL, "http://")
	name, _, _ := strings.Cut(host, ":")
	var authorized string
	inner := e.server.Config.Handler
	e.server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, "/blob/") {
			authorized = r.Header.Get("Authorization")
		}
		inner.ServeHTTP(w, r)
	})
	fakeProgram(t, "gh", `[ "$*" = "auth token --hostname `+name+`" ] && echo secret-of-gh`)
	fakeProgram(t, "git", `case "$*" in
"remote get-url origin") echo "$ORIGIN" ;;
"rev-parse HEAD") echo 0123456789abcdef ;;
*) exit 1 ;;
esac`)
	args := []string{"run", "--from-run", "5", "--shard", "pool-1", "--list"}
	for _, c := range []struct {
		environ       []string
		authorization string
	}{
		{nil, "Bearer secret-of-gh"},
		{[]string{"GH_TOKEN= secret-2\n"}, "Bearer secret-2"},
		{[]string{"GH_TOKEN=secret-2", "GITHUB_TOKEN=secret-3"}, "Bearer secret-3"},
		{[]string{"WCSHARD_TOKEN=secret-4", "GITHUB_TOKEN=secret-3"}, "Bearer secret-4"},
	} {
		e.environ = append([]string{"PATH=" + os.Getenv("PATH"), "GITHUB_API_URL=" + e.server.URL, "ORIGIN=http://" + host + "/acme/weather.git"}, c.environ...)
		authorized = ""
		if got := e.call(exitOK, "wcshard-plan-1", args...); got != a1+"\n" {
			t.Errorf("the shard has %q", got)
		}
		if authorized != c.authorization {
			t.Errorf("with %q the request had Authorization %q, want %q", c.environ, authorized, c.authorization)
		}
	}
	// A gh that nobody has logged in to is as good as none.
	fakeProgram(t, "gh", "exit 1")
	e.environ = []string{"PATH=" + os.Getenv("PATH"), "GITHUB_API_URL=" + e.server.URL, "ORIGIN=http://" + host + "/acme/weather"}
	e.call(exitOK, "wcshard-plan-1", args...)
	if authorized != "" {
		t.Errorf("without a token the request had Authorization %q", authorized)
	}
	e.environ = []string{"GITHUB_API_URL=" + e.server.URL, "ORIGIN=/srv/git/weather"}
	e.call(exitUsage, "git's remote origin is no repository on GitHub", args...)
	e.environ = []string{"GITHUB_API_URL=" + e.server.URL, "ORIGIN=git@github.com:acme/weather"}
	e.call(exitUsage, "git's remote origin is on github.com, and the API is "+e.server.URL, args...)
}

// TestOwnServers reads runs of a GitHub Enterprise Server, and names the API to
// pass where it is not said.
func TestOwnServers(t *testing.T) {
	e := newEarlierRun(t)
	e.plan(a1)
	inner := e.server.Config.Handler
	e.server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/blob/") {
			inner.ServeHTTP(w, r)
			return
		}
		http.StripPrefix("/api/v3", inner).ServeHTTP(w, r)
	})
	url := e.server.URL + runURL
	e.environ = []string{"GITHUB_TOKEN=secret", "GITHUB_API_URL=https://api.github.com"}
	e.call(exitOK, "wcshard-plan-1", "run", "--from-run", url, "--shard", "pool-1", "--list", "--api-url", e.server.URL+"/api/v3")
	for host, api := range map[string]string{"ghe.acme.org": "https://ghe.acme.org/api/v3", "acme.ghe.com": "https://api.acme.ghe.com"} {
		e.call(exitUsage, "if you trust that host with your token: --api-url "+api+"\n", "run", "--from-run", "https://"+host+runURL, "--shard", "pool-1")
	}
}

// What a pull request's run tested is no commit of its branch.
func TestPullRequestsCommit(t *testing.T) {
	e := newEarlierRun(t)
	e.plan(a1)
	e.event = "pull_request"
	args := []string{"run", "--from-run", e.server.URL + runURL, "--shard", "pool-1", "--list"}
	const says = "to have the same tests, git fetch origin pull/NUMBER/merge && git checkout FETCH_HEAD"
	fakeProgram(t, "git", `[ "$*" = "rev-parse HEAD" ] && echo 0123456789abcdef`)
	e.environ = append(e.environ, "PATH="+os.Getenv("PATH"))
	e.call(exitOK, says, args...)
	fakeProgram(t, "git", `case "$*" in
"rev-parse HEAD") echo fedcba9876543210 ;;
"rev-parse --verify --quiet HEAD^2") echo 0123456789abcdef ;;
esac`)
	if e.call(exitOK, "wcshard-plan-1", args...); strings.Contains(e.said, says) {
		t.Errorf("the merge of the pull request is checked out, and run says\n%s", e.said)
	}
}

// A line to run a shard again names the run of an own server, too.
func TestAgainOnOwnServer(t *testing.T) {
	sys := &system{environ: []string{"GITHUB_ACTIONS=true", "GITHUB_RUN_ID=5", "GITHUB_API_URL=https://ghe.acme.org/api/v3"}}
	got := reproduce(fromHere(sys, runOptions{plan: "plan", shard: "pool-1"}))
	if !regexp.MustCompile(`--from-run 5 .*--api-url https://ghe\.acme\.org/api/v3`).MatchString(got) {
		t.Errorf("to run it again: %s", got)
	}
}

// TestAsksNobody has the jobs of a run work without a request to the API, of
// which all jobs of a repository have 1,000 an hour.
func TestAsksNobody(t *testing.T) {
	fakeProgram(t, "fake-pytest", "exit 1\n")
	e := newEarlierRun(t)
	asked := 0
	e.server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { asked++ })
	os.WriteFile("ids.txt", []byte(a1+"\n"), 0o666)
	e.environ = append(e.environ, "GITHUB_ACTIONS=true", "GITHUB_RUN_ID=5", "GITHUB_RUN_ATTEMPT=1", "GITHUB_REPOSITORY=acme/weather",
		"GITHUB_WORKFLOW_REF=acme/weather/.github/workflows/tests.yml@refs/heads/main", "GITHUB_OUTPUT=output", "GITHUB_STEP_SUMMARY=summary.md")
	e.call(exitOK, "1 job", "matrix", "--ids", "ids.txt", "--output", "github", "--timings", "cache:none")
	e.call(exitIncomplete, "to run this shard again", "run", "--row", `{"name":"pool-1"}`, "--pytest", "fake-pytest")
	e.call(exitIncomplete, "0 of 1 tests ran exactly once", "verify", "--needs", `{"matrix":{"result":"success","outputs":{"matrix":"{\"include\":[{\"name\":\"pool-1\"}]}"}}}`)
	e.call(exitOK, "tests from 1 run", "merge")
	if asked > 0 {
		t.Errorf("the jobs asked the API %d times, want never", asked)
	}
	e.call(exitOK, "", "matrix", "--ids", "ids.txt", "--timings", "github")
	if asked == 0 {
		t.Error("nobody asks this API at all")
	}
}

// A part of a shard knows what its own tests need.
func TestReduceNeeds(t *testing.T) {
	s := shard.Shard{Name: "pool-1", Pieces: []shard.Piece{{
		File: "a.py", Tests: []string{"::a", "::b", "::c"},
		Needs: []shard.TestNeed{{Test: 0, Need: 1 << 30}, {Test: 2, Need: 8 << 30}},
	}}}
	plan := &shard.Plan{Shards: []shard.Shard{s}}
	reduced, part, err := reduce(plan, &plan.Shards[0], map[timing.NodeID]bool{"a.py::c": true}, false)
	if err != nil {
		t.Fatal(err)
	}
	rest := reduced.Shards[1]
	if !slices.Equal(part.Pieces[0].Needs, []shard.TestNeed{{Test: 0, Need: 8 << 30}}) || !slices.Equal(rest.Pieces[0].Needs, []shard.TestNeed{{Test: 0, Need: 1 << 30}}) {
		t.Errorf("the part needs %v, the rest %v", part.Pieces[0].Needs, rest.Pieces[0].Needs)
	}
}
