// A stand-in for GitHub, for the tests of the action: act in a repository of
// its own, and what it leaves behind.

package main

import (
	"archive/zip"
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wcshard/wcshard/timing"
)

var readmeWorkflow = regexp.MustCompile("(?s)<!-- workflow( \\w+)? -->\n```yaml\n(.*?)```\n")

// workflows are the workflows in README.md by name; the minimal one has none.
func workflows(t *testing.T) map[string]string {
	t.Helper()
	readme, err := os.ReadFile(filepath.Join(repository(t), "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, m := range readmeWorkflow.FindAllSubmatch(readme, -1) {
		all[strings.TrimSpace(string(m[1]))] = string(m[2])
	}
	if all[""] == "" {
		t.Fatal("README.md shows no workflow")
	}
	return all
}

// hub is a repository with the demo's suite and README's workflow, and act in
// the place of GitHub.
type hub struct {
	t         *testing.T
	act       string
	venv      string
	folder    string // the repository
	store     string // artifacts, by run
	caches    string
	action    string // the tree of wcshard's action
	workflow  string
	run       int
	attempt   int
	event     string
	eventJSON string
	env       []string // further --env
	log       string   // act's output
}

func newHub(t *testing.T) *hub {
	h := &hub{t: t, act: tool(t, actModule), venv: testVenv(t), folder: t.TempDir(), store: t.TempDir(), caches: t.TempDir(),
		action: tree(t), run: 100, attempt: 1, event: "push", workflow: workflows(t)[""]}
	// As README says: replace the line that installs your project.
	h.workflow = strings.ReplaceAll(h.workflow, "pip install . ", "pip install ")
	// It is this tree that is tested, not the release that it may be.
	h.edit(".github/release/SHA256SUMS", "\n", "\n#")
	if err := unpack(h.folder); err != nil {
		t.Fatal(err)
	}
	h.write("setup.cfg", "[metadata]\nname = weather\n")
	h.commit()
	return h
}

// tree copies this checkout without its history, as a runner gets an action.
func tree(t *testing.T) string {
	t.Helper()
	list := exec.Command("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	list.Dir = repository(t)
	names, err := list.Output()
	if err != nil {
		t.Skip("this is no git checkout: ", err)
	}
	folder := t.TempDir()
	for name := range strings.SplitSeq(strings.Trim(string(names), "\x00"), "\x00") {
		text, err := os.ReadFile(filepath.Join(list.Dir, name))
		if errors.Is(err, os.ErrNotExist) {
			continue // removed, and not yet in git
		}
		if err == nil {
			err = os.MkdirAll(filepath.Dir(filepath.Join(folder, name)), 0o777)
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(folder, name), text, 0o666)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

func (h *hub) write(name, text string) {
	h.t.Helper()
	path := filepath.Join(h.folder, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		h.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
		h.t.Fatal(err)
	}
}

func (h *hub) commit() {
	h.t.Helper()
	h.write(".github/workflows/tests.yml", h.workflow)
	for _, args := range [][]string{{"init", "-q", "-b", "main"}, {"add", "-A"},
		{"-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-q", "--allow-empty", "-m", "t"}} {
		git := exec.Command("git", args...)
		git.Dir = h.folder
		if out, err := git.CombinedOutput(); err != nil {
			h.t.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
}

// jobs is how jobs ended, by name: "success" or "failure".
type jobs map[string]string

// push runs the workflow, and returns how its jobs ended.
func (h *hub) push(more ...string) jobs {
	h.t.Helper()
	event := filepath.Join(h.t.TempDir(), "event.json")
	text := h.eventJSON
	if text == "" {
		text = `{"ref":"refs/heads/main","repository":{"default_branch":"main","full_name":"acme/weather"}}`
	}
	if err := os.WriteFile(event, []byte(text), 0o666); err != nil {
		h.t.Fatal(err)
	}
	stand := filepath.Join(repository(h.t), "cmd", "wcshard", "testdata", "action")
	args := []string{h.event, "--json", "-P", "ubuntu-latest=-self-hosted", "--pull=false", "-e", event,
		"--artifact-server-path", h.store, "--artifact-server-addr", "127.0.0.1", "--artifact-server-port", freePort(h.t),
		"--cache-server-path", h.caches, "--cache-server-addr", "127.0.0.1",
		"--env", fmt.Sprint("GITHUB_RUN_ID=", h.run), "--env", fmt.Sprint("GITHUB_RUN_ATTEMPT=", h.attempt),
		"--env", "GITHUB_REPOSITORY=acme/weather", "-s", "GITHUB_TOKEN=secret",
		// Nobody answers there: history comes from the cache.
		"--env", "GITHUB_API_URL=http://127.0.0.1:1"}
	for name, folder := range standIns(h.t, stand, h.workflow) {
		args = append(args, "--local-repository", name+"="+folder)
	}
	for _, m := range regexp.MustCompile(`wcshard/wcshard@\S+`).FindAllString(h.workflow, 1) {
		args = append(args, "--local-repository", m+"="+h.action)
	}
	for _, env := range h.env {
		args = append(args, "--env", env)
	}
	h.log = h.runAct(append(args, more...))
	h.logSeconds()
	return h.results()
}

// environ is a clean environment: act's host mode lets it through to the jobs.
func (h *hub) environ() []string {
	store := filepath.Join(repository(h.t), "cmd", "wcshard", "testdata", "action", "store.py")
	environ := []string{"HOME=" + h.t.TempDir(), "TEST_VENV=" + h.venv, "TEST_STORE=" + store, "PIP_NO_INDEX=1", "PIP_DISABLE_PIP_VERSION_CHECK=1"}
	for _, name := range []string{"PATH", "GOPATH", "GOMODCACHE", "GOCACHE", "GOROOT", "GOPROXY", "GOTOOLCHAIN"} {
		if value := os.Getenv(name); value != "" {
			environ = append(environ, name+"="+value)
		}
	}
	for _, name := range []string{"GOMODCACHE", "GOCACHE"} {
		value, err := exec.Command("go", "env", name).Output()
		if err != nil {
			h.t.Fatal(err)
		}
		environ = append(environ, name+"="+strings.TrimSpace(string(value)))
	}
	return environ
}

// standIns maps each action that the workflow or action.yml uses to the folder
// that stands in for it.
func standIns(t *testing.T, folder, workflow string) map[string]string {
	t.Helper()
	action, err := os.ReadFile(filepath.Join(repository(t), "action.yml"))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, m := range regexp.MustCompile(`uses: actions/([a-z-]+)((?:/[a-z]+)?)@(\S+)`).FindAllStringSubmatch(workflow+string(action), -1) {
		all["actions/"+m[1]+"@"+m[3]] = filepath.Join(folder, m[1])
	}
	return all
}

func freePort(t *testing.T) string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	return port
}

// entry is one line of act --json.
type entry struct {
	Job        string
	JobResult  string
	Stage      string
	StepID     []string // of a step in an action: the steps around it first
	StepResult string
	Command    string
	Content    string // of a summary
	Msg        string
	Time       time.Time
}

// job returns the name of an entry's job: act puts the workflow's before it, and at times
// its number in the matrix behind.
func (e *entry) job() string {
	_, name, _ := strings.Cut(e.Job, "/")
	return matrixNumber.ReplaceAllString(strings.TrimSpace(name), "")
}

func (h *hub) entries() []entry {
	var all []entry
	scanner := bufio.NewScanner(strings.NewReader(h.log))
	scanner.Buffer(nil, 16<<20)
	for scanner.Scan() {
		var e entry
		if json.Unmarshal(scanner.Bytes(), &e) == nil {
			all = append(all, e)
		}
	}
	return all
}

// matrixNumber is what act puts after the names of a matrix's jobs.
var matrixNumber = regexp.MustCompile(`-[0-9]+$`)

// results are how the jobs ended. act says of each job of a matrix that it
// failed when one of them did, so it is asked for their steps.
func (h *hub) results() jobs {
	all := jobs{}
	for _, e := range h.entries() {
		name := e.job()
		switch {
		case e.Stage == "Main" && len(e.StepID) == 1 && e.StepResult == "failure":
			all[name] = "failure"
		case e.JobResult != "" && all[name] == "":
			all[name] = "success"
		}
	}
	return all
}

// output is an output of the matrix job.
func (h *hub) output(name string) string {
	h.t.Helper()
	for _, e := range h.entries() {
		if _, value, ok := strings.Cut(e.Msg, "::set-output:: "+name+"="); ok {
			return strings.TrimSpace(value)
		}
	}
	h.t.Fatalf("no job put out %s:\n%s", name, h.text())
	return ""
}

// summarized reports whether a step summary has the text.
func (h *hub) summarized(text string) bool {
	return slices.ContainsFunc(h.entries(), func(e entry) bool {
		return e.Command == "summary" && strings.Contains(html.UnescapeString(e.Content), text)
	})
}

// saved counts the histories that went into the cache.
func (h *hub) saved() int {
	n := 0
	for _, e := range h.entries() {
		n += strings.Count(e.Msg, "Cache saved with key: wcshard-timings-")
	}
	return n
}

// built counts the jobs that have the program from elsewhere than the matrix job.
func (h *hub) built() int {
	n := 0
	for _, e := range h.entries() {
		n += strings.Count(e.Msg, "Success - Main Get the program [")
	}
	return n
}

// says reports whether the log of any job has the text in one line.
func (h *hub) says(text string) bool {
	return slices.ContainsFunc(h.entries(), func(e entry) bool { return strings.Contains(e.Msg, text) })
}

func (h *hub) want(got jobs, want jobs) {
	h.t.Helper()
	for name, result := range want {
		if got[name] != result {
			h.t.Errorf("job %s: %s, want %s", name, got[name], result)
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			h.t.Errorf("job %s ran (%s), want none of that name", name, got[name])
		}
	}
	if h.t.Failed() {
		h.t.Fatalf("act's log:\n%s", h.text())
	}
}

// text is the log as people see it.
func (h *hub) text() string {
	var b strings.Builder
	for _, e := range h.entries() {
		if text := strings.TrimSpace(e.Msg); text != "" && !strings.HasPrefix(text, "LocalRepositoryCache") {
			fmt.Fprintf(&b, "[%s] %s\n", e.Job, strings.TrimRight(e.Msg, "\n"))
		}
	}
	if b.Len() == 0 {
		return h.log
	}
	return b.String()
}

// artifacts lists the names in the store for this run.
func (h *hub) artifacts() []string {
	entries, err := os.ReadDir(filepath.Join(h.store, fmt.Sprint(h.run)))
	if err != nil && !os.IsNotExist(err) {
		h.t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func (h *hub) artifactPath(name string) string {
	return filepath.Join(h.store, fmt.Sprint(h.run), name, name+".zip")
}

// files returns the files of an artifact by name.
func (h *hub) files(name string) map[string][]byte {
	h.t.Helper()
	archive, err := zip.OpenReader(h.artifactPath(name))
	if err != nil {
		h.t.Fatal(err)
	}
	defer archive.Close()
	all := map[string][]byte{}
	for _, f := range archive.File {
		r, err := f.Open()
		if err != nil {
			h.t.Fatal(err)
		}
		if all[f.Name], err = io.ReadAll(r); err != nil {
			h.t.Fatal(err)
		}
		r.Close()
	}
	return all
}

// rewrite replaces an artifact's files; nil removes one.
func (h *hub) rewrite(name string, change map[string][]byte) {
	h.t.Helper()
	files := h.files(name)
	for file, text := range change {
		files[file] = text
	}
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for file, text := range files {
		if text == nil {
			continue
		}
		w, err := z.Create(file)
		if err != nil {
			h.t.Fatal(err)
		}
		w.Write(text)
	}
	if err := z.Close(); err != nil {
		h.t.Fatal(err)
	}
	if err := os.WriteFile(h.artifactPath(name), b.Bytes(), 0o666); err != nil {
		h.t.Fatal(err)
	}
}

// ran counts the finished tests in the run's artifacts, by shard.
func (h *hub) ran() map[string]int {
	h.t.Helper()
	counts := map[string]int{}
	for _, name := range h.artifacts() {
		if !strings.HasPrefix(name, "wcshard-results-") {
			continue
		}
		for file, text := range h.files(name) {
			results, err := timing.ReadResults(bytes.NewReader(text), file)
			if err != nil {
				h.t.Fatal(err)
			}
			for _, shard := range results.Header.Shards {
				counts[shard] += len(results.Tests)
			}
		}
	}
	return counts
}

var green = jobs{"matrix": "success", "pytest (pool-1)": "success", "pytest (pool-2)": "success", "pytest (pool-3)": "success", "pytest (pool-4)": "success",
	"pytest (mem-test_ensemble)": "success", "pytest (mem-test_multisite)": "success", "tests": "success"}

// but returns the results with some changed; "" leaves a job out.
func (j jobs) but(change jobs) jobs {
	all := jobs{}
	for _, from := range []jobs{j, change} {
		for name, result := range from {
			all[name] = result
			if result == "" {
				delete(all, name)
			}
		}
	}
	return all
}

// again replaces the matrix job by one that has run already: what "Re-run
// failed jobs" does with a job that was green. shard is the one that failed.
func (h *hub) again(matrix, shard string) jobs {
	h.t.Helper()
	before := h.workflow
	defer func() { h.workflow = before; h.commit() }()
	a, b := strings.Index(h.workflow, "    steps:\n"), strings.Index(h.workflow, "  pytest:\n")
	h.workflow = h.workflow[:a] + "    steps:\n      - id: wcshard\n        run: echo 'matrix=" + matrix + "' >> $GITHUB_OUTPUT\n" + h.workflow[b:]
	h.commit()
	var only []string
	if shard != "" {
		only = []string{"--matrix", "name:" + shard}
	}
	return h.push(only...)
}

// edit replaces text in a file of the action's tree.
func (h *hub) edit(name, from, to string) {
	h.t.Helper()
	path := filepath.Join(h.action, filepath.FromSlash(name))
	text, err := os.ReadFile(path)
	if err != nil {
		h.t.Fatal(err)
	}
	if !bytes.Contains(text, []byte(from)) {
		h.t.Fatalf("%s has no %q", name, from)
	}
	if err := os.WriteFile(path, bytes.ReplaceAll(text, []byte(from), []byte(to)), 0o666); err != nil {
		h.t.Fatal(err)
	}
}

// logSeconds logs how long each job took.
func (h *hub) logSeconds() {
	first, last := map[string]time.Time{}, map[string]time.Time{}
	var names []string
	for _, e := range h.entries() {
		if e.Job == "" || e.Time.IsZero() {
			continue
		}
		if _, ok := first[e.Job]; !ok {
			first[e.Job] = e.Time
			names = append(names, e.Job)
		}
		last[e.Job] = e.Time
	}
	for _, name := range names {
		h.t.Logf("run %d attempt %d: %s took %.0f s", h.run, h.attempt, strings.TrimSpace(name), last[name].Sub(first[name]).Seconds())
	}
}

// small is a suite of a few quick tests in two files, which fail as the files
// beside them say.
const small = `import os, pathlib, pytest

here = pathlib.Path(__file__).parent

@pytest.mark.parametrize("n", range(4))
def test_quick(n):
    assert n < 4

def test_told():
    if (here / "kill").exists():
        os.kill(os.getppid(), 9)  # wcshard itself: nobody is left to write an end
        os._exit(1)
    assert not (here / "fail").exists(), "told to::fail"

def test_last():
    pass
`

// newSmallHub has the small suite in two shards, and no xdist.
func newSmallHub(t *testing.T) *hub {
	h := newHub(t)
	for _, folder := range []string{"tests", "weather"} {
		if err := os.RemoveAll(filepath.Join(h.folder, folder)); err != nil {
			t.Fatal(err)
		}
	}
	h.write("a/test_a.py", small)
	h.write("b/test_b.py", small)
	h.write("conftest.py", compiling)
	const warm = "          warm: compiled\n"
	h.workflow = strings.Replace(h.workflow, "        id: wcshard\n", "        id: wcshard\n        with:\n          shards: 2\n          workers: 1\n"+warm, 1)
	h.workflow = regexp.MustCompile(`(?m)^(      - uses: wcshard/wcshard.*\n)(  tests:)`).ReplaceAllString(h.workflow, "$1        with:\n"+warm+"$2")
	h.workflow = noPip(h.workflow)
	h.commit()
	return h
}
