package main

import (
	"crypto/sha256"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/wcshard/wcshard/shard/pytest"
)

// TestAction runs README's own workflow on the demo's suite: first without
// history, then with it.
func TestAction(t *testing.T) {
	t.Parallel()
	h := newHub(t)
	h.want(h.push(), green)
	for _, want := range []string{"no durations in the cache, github or wcshard-timings.jsonl", "197 of 197 tests ran exactly once"} {
		if !h.says(want) {
			t.Errorf("the first run does not say %q:\n%s", want, h.text())
		}
	}
	if h.says("these inputs change nothing") {
		t.Errorf("README's workflow has an input in vain:\n%s", h.text())
	}
	counts := h.ran()
	total := 0
	for _, n := range counts {
		total += n
	}
	if len(counts) != 6 || total != 197 {
		t.Errorf("the artifacts have results of %v, want 197 tests of 6 shards", counts)
	}
	// What is large is kept for a day.
	program := fmt.Sprintf("wcshard-%s-%s", runtime.GOOS, runtime.GOARCH)
	for artifact, want := range map[string]struct {
		days  int
		files []string
	}{
		"wcshard-plan-1":    {90, []string{"wcshard-plan.json.gz"}},
		"wcshard-program-1": {1, []string{program}},
		"wcshard-timings-1": {90, []string{"wcshard-timings.jsonl.gz"}},
	} {
		if !slices.Contains(h.artifacts(), artifact) {
			t.Errorf("there is no artifact %s in %q", artifact, h.artifacts())
			continue
		}
		if got := slices.Sorted(maps.Keys(h.files(artifact))); !slices.Equal(got, want.files) {
			t.Errorf("artifact %s has %q, want %q", artifact, got, want.files)
		}
		if kept := fmt.Sprintf("Artifact %s has been successfully uploaded, to be kept for %d days", artifact, want.days); !h.says(kept) {
			t.Errorf("no job says %q", kept)
		}
	}
	if n := h.built(); n != 1 {
		t.Errorf("%d jobs built the program, want the one that makes the matrix", n)
	}

	h.run++
	h.want(h.push(), green)
	if !h.summarized("History: the cache, which covers 100 % of the tests") {
		t.Errorf("the second run does not name its history:\n%s", h.text())
	}
	if h.says("no durations in") {
		t.Error("the second run has no history")
	}
	if n := h.saved(); n != 1 {
		t.Errorf("a run of the default branch saved %d histories, want 1", n)
	}
}

func noPip(workflow string) string {
	return regexp.MustCompile(`(?m)^      - run: pip.*\n`).ReplaceAllString(workflow, "")
}

// compiling makes files at the first import, as weathercop does.
const compiling = `import pathlib

made = pathlib.Path(__file__).parent / "compiled" / "extension"
anew = not made.exists()
if anew:
    made.parent.mkdir(exist_ok=True)
    made.write_text("")

def pytest_report_header():  # what is printed at import, pytest throws away
    return "compiled anew" if anew else "compiled before"
`

func TestActionTrouble(t *testing.T) {
	t.Parallel()
	h := newSmallHub(t)
	h.write("a/fail", "")
	h.commit()
	good := jobs{"matrix": "success", "pytest (pool-1)": "success", "pytest (pool-2)": "success", "tests": "success"}
	// Which shard has a/test_a.py is the plan's to say.
	got := h.push()
	matrix := h.output("matrix")
	failed, other := "pool-1", "pool-2"
	if got["pytest (pool-2)"] == "failure" {
		failed, other = other, failed
	}
	h.want(got, good.but(jobs{"pytest (" + failed + ")": "failure", "tests": "failure"}))
	again := fmt.Sprintf("to run this shard again: wcshard run --from-run https://github.com/acme/weather/actions/runs/%d/attempts/1 --api-url http://127.0.0.1:1 --shard %s", h.run, failed)
	if !h.says("told to::fail") || !h.says("11 passed, 1 failed") || !h.says(again) {
		t.Errorf("the log does not say what failed:\n%s", h.text())
	}
	warm := map[string]bool{}
	for _, e := range h.entries() {
		warm[e.job()] = warm[e.job()] || strings.Contains(e.Msg, "compiled before")
	}
	for _, job := range []string{"pytest (pool-1)", "pytest (pool-2)"} {
		if !warm[job] {
			t.Errorf("%s compiled what the matrix job had saved:\n%s", job, h.text())
		}
	}
	if !h.says("Cache saved with key: wcshard-warm-linux-") || !h.says("Cache restored from key: ") {
		t.Errorf("warm files were not saved and restored:\n%s", h.text())
	}

	step := func(name string, change func(), want jobs, says ...string) {
		t.Helper()
		h.attempt++
		change()
		h.want(h.again(matrix, ""), want)
		for _, text := range says {
			if !h.says(text) {
				t.Fatalf("%s: the log does not say %q:\n%s", name, text, h.text())
			}
		}
	}
	red := good.but(jobs{"pytest (pool-1)": "failure", "pytest (pool-2)": "failure", "tests": "failure"})

	// The failed job alone is run again, and is well: so is the whole run.
	h.attempt++
	if err := os.Remove(filepath.Join(h.folder, "a", "fail")); err != nil {
		t.Fatal(err)
	}
	h.want(h.again(matrix, failed), good.but(jobs{"pytest (" + other + ")": ""}))
	if !h.says("12 of 12 tests ran exactly once") {
		t.Errorf("the second attempt is not green:\n%s", h.text())
	}

	marker := filepath.Join(t.TempDir(), "tampered")
	step("tampered program", func() {
		for name := range h.files("wcshard-program-1") {
			h.rewrite("wcshard-program-1", map[string][]byte{name: []byte("#!/bin/sh\ntouch " + marker + "\n")})
		}
	}, red, "is not the one that the matrix job passed on")
	if _, err := os.Stat(marker); err == nil {
		t.Error("the tampered program was run")
	}
	step("expired program", func() {
		if err := os.RemoveAll(filepath.Dir(h.artifactPath("wcshard-program-1"))); err != nil {
			t.Fatal(err)
		}
	}, good, "12 of 12 tests ran exactly once")
	if n := h.built(); n != 3 {
		t.Errorf("%d jobs built the program that was not there any more, want 3", n)
	}
	step("other plan", func() {
		h.rewrite("wcshard-plan-1", map[string][]byte{"wcshard-plan.json.gz": otherPlanFile(t)})
	}, red, "and this run is of plan sha256:")
	step("no plan", func() {
		if err := os.RemoveAll(filepath.Dir(h.artifactPath("wcshard-plan-1"))); err != nil {
			t.Fatal(err)
		}
	}, red, "looking for the plan: no wcshard-plan.json in")

	// A pull request reads what the default branch wrote, and writes nothing
	// that the default branch reads.
	h.run, h.attempt = h.run+1, 1
	h.event, h.eventJSON = "pull_request", `{"number":7,"pull_request":{"number":7,"head":{"ref":"b","sha":"0"},"base":{"ref":"main"}},"repository":{"default_branch":"main"}}`
	h.want(h.push(), good)
	if !h.summarized("History: the cache, which covers 100 % of the tests") {
		t.Errorf("the pull request has no history:\n%s", h.text())
	}
	if n := h.saved(); n != 0 {
		t.Errorf("a pull request saved %d histories, want 0", n)
	}
	h.event, h.eventJSON = "push", ""

	// A history in the cache that cannot be read is left out, and so is the plan beside
	// it; the next ones are good.
	const matrixSteps = "    # mode: matrix, and the first half of all\n"
	const damage = "    - if: steps.setup.outputs.mode != 'run'\n      shell: bash\n" +
		"      run: for file in .wcshard/history/*; do echo \"damaged $file\"; echo garbage > \"$file\"; done\n"
	h.run++
	h.edit("action.yml", matrixSteps, damage+matrixSteps)
	h.want(h.push(), good)
	for _, want := range []string{
		"damaged .wcshard/history/wcshard-plan.json.gz", "damaged .wcshard/history/wcshard-timings.jsonl.gz",
		"warning: the earlier plan is left out", "learning on top of the history from the cache failed, see above: it is left out",
	} {
		if !h.says(want) {
			t.Errorf("the log does not say %q:\n%s", want, h.text())
		}
	}
	if h.saved() != 1 {
		t.Errorf("%d histories were saved in place of a damaged one, want 1:\n%s", h.saved(), h.text())
	}
	h.edit("action.yml", damage, "")

	// Killed half-way: what it did is there, and what it was doing is named.
	h.run, h.attempt = h.run+1, 1
	h.write("b/kill", "")
	h.commit()
	got = h.push()
	killed := "pool-1"
	if got["pytest (pool-2)"] == "failure" {
		killed = "pool-2"
	}
	h.want(got, good.but(jobs{"pytest (" + killed + ")": "failure", "tests": "failure"}))
	if !h.says(killed+" ended early, ") || !h.says(", while running b/test_b.py::test_told") || !h.says("incomplete: ") {
		t.Errorf("the log does not say who was killed:\n%s", h.text())
	}
	if n := h.ran()[killed]; !h.says(fmt.Sprintf("%s ended early, %d of ", killed, n)) || n == 0 {
		t.Errorf("the artifact of the killed shard has %d tests, and the gate says:\n%s", n, h.text())
	}

	// No matrix, no tests, no green gate.
	h.run++
	h.write("a/test_a.py", "import nowhere_to_be_found\n")
	h.commit()
	h.want(h.push(), jobs{"matrix": "failure", "tests": "failure"})
	if !h.says("no job has put out a matrix, job matrix: failure, job pytest: skipped") {
		t.Errorf("the gate does not say that there was no matrix:\n%s", h.text())
	}
}

// TestActionOne runs README's workflow of one job, twice. Its name has letters that cannot
// stand in a key of the cache, and its tests' settings have names like the action's own.
func TestActionOne(t *testing.T) {
	t.Parallel()
	h := newSmallHub(t)
	h.workflow = strings.Replace(noPip(workflows(t)["one"]), "name: tests\n", "name: tests é\nenv: {MODE: mine, ROOT: mine, PROGRAM: mine, COMMITTED: mine}\n", 1)
	h.workflow = strings.Replace(h.workflow, "mode: all\n", "mode: all\n          needs: '{}'\n          schedule: phases\n          memory-workers: 2\n", 1)
	h.write("conftest.py", "import os\nassert [os.environ[n] for n in ('MODE', 'ROOT', 'PROGRAM', 'COMMITTED')] == ['mine'] * 4\n")
	h.commit()
	h.want(h.push(), jobs{"tests": "success"})
	for _, want := range []string{"in mode all these inputs change nothing: needs. They", "no durations in the cache", "all 12 tests ran exactly once", "slowest", "Cache saved with key: wcshard-timings-tests----1509073604="} {
		if !h.says(want) {
			t.Errorf("the log does not say %q:\n%s", want, h.text())
		}
	}
	for _, name := range []string{"wcshard-plan-1", "wcshard-results-all-1", "wcshard-timings-1"} {
		if !slices.Contains(h.artifacts(), name) {
			t.Errorf("there is no artifact %s in %q", name, h.artifacts())
		}
	}
	h.run++
	h.write("a/fail", "")
	h.commit()
	h.want(h.push(), jobs{"tests": "failure"})
	if !h.summarized("History: the cache, which covers 100 % of the tests") || !h.says("told to::fail") {
		t.Errorf("the second run does not know its history, or not its failure:\n%s", h.text())
	}
	if !h.says("to run this again: wcshard run ") || !h.says(" --all --memory-workers 2 ") {
		t.Errorf("the input memory-workers does not get to the run:\n%s", h.text())
	}
	if n := h.saved(); n != 1 {
		t.Errorf("a failed run saved %d histories, want 1", n)
	}
}

// TestActionRelease has the action download a release's program: only with the
// SHA-256 that stands in its own tree is it run, and from a cache no other.
func TestActionRelease(t *testing.T) {
	t.Parallel()
	h := newSmallHub(t)
	h.workflow = noPip(workflows(t)["one"])
	h.commit()
	asset := fmt.Sprintf("wcshard-v9.9.9-%s-%s", runtime.GOOS, runtime.GOARCH)
	program := filepath.Join(t.TempDir(), asset)
	build := exec.CommandContext(t.Context(), "go", "build", "-ldflags", "-X main.release=v9.9.9", "-o", program, ".")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	text, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	sums := filepath.Join(h.action, ".github", "release", "SHA256SUMS")
	if err := os.WriteFile(sums, fmt.Appendf(nil, "# sums\n%x  %s\n", sha256.Sum256(text), asset), 0o666); err != nil {
		t.Fatal(err)
	}
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		if r.URL.Path != "/v9.9.9/"+asset {
			t.Errorf("the action asks for %s", r.URL.Path)
		}
		w.Write(text)
	}))
	defer server.Close()
	h.edit("action.yml", "https://github.com/wcshard/wcshard/releases/download", server.URL)

	good := text
	text = append(slices.Clone(good), 0)
	h.want(h.push(), jobs{"tests": "failure"})
	if !h.says("the download " + asset + " has another SHA-256 than this action's SHA256SUMS says, so it was not run") {
		t.Errorf("another program was not refused:\n%s", h.text())
	}
	text = good
	h.run++
	h.want(h.push(), jobs{"tests": "success"})
	if asked != 2 || !h.says("Cache saved with key: "+asset) {
		t.Errorf("the program was asked for %d times, want 2:\n%s", asked, h.text())
	}
	h.run++
	h.want(h.push(), jobs{"tests": "success"})
	if asked != 2 {
		t.Errorf("the program was not taken from the cache:\n%s", h.text())
	}
	// The cache has another program: the download is taken instead.
	h.edit(".github/release/SHA256SUMS", fmt.Sprintf("%x", sha256.Sum256(good)), fmt.Sprintf("%x", sha256.Sum256(append(good, 1))))
	text = append(good, 1)
	h.run++
	h.want(h.push(), jobs{"tests": "success"})
	if asked != 3 {
		t.Errorf("the cached program was run, although the tree has another SHA-256:\n%s", h.text())
	}
}

func otherPlanFile(t *testing.T) []byte {
	t.Helper()
	name := filepath.Join(t.TempDir(), "wcshard-plan.json.gz")
	sys := &system{stdin: strings.NewReader("x.py::test_x\n"), stdout: io.Discard, stderr: t.Output()}
	if status := run(t.Context(), sys, []string{"matrix", "--ids", "-", "--plan", name}); status != exitOK {
		t.Fatalf("wcshard matrix: status %d", status)
	}
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestActionCoverage runs README's recipe for the coverage of all shards: what one test
// covers in one job and another one in another job is together the whole file.
func TestActionCoverage(t *testing.T) {
	t.Parallel()
	h := newSmallHub(t)
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Skip(err)
	}
	h.venv = filepath.Join(cache, "wcshard", "venv", "coverage")
	if _, err := pytest.Venv(t.Context(), pytest.VenvOptions{Dir: h.venv, Requirements: append(slices.Clone(demoRequirements), "pytest-cov==7.0.0"), Log: t.Output()}); err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile(filepath.Join(repository(t), "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, recipe, _ := strings.Cut(string(readme), "\n### Coverage of all shards\n")
	blocks := yamlBlock.FindAllStringSubmatch(recipe, 2)
	if len(blocks) < 2 {
		t.Fatal("README.md has no recipe for coverage")
	}
	run := regexp.MustCompile(`(?m)^      - uses: wcshard/wcshard.*\n( {8}.*\n)*(\n?  tests:)`)
	if !run.MatchString(h.workflow) {
		t.Fatalf("the workflow has no step that runs a shard\n%s", h.workflow)
	}
	h.workflow = run.ReplaceAllString(h.workflow, strings.ReplaceAll(blocks[0][1], "$", "$$")+"$2")
	h.workflow = strings.TrimRight(h.workflow, "\n") + "\n" + strings.ReplaceAll(blocks[1][1], "pip install coverage && ", "")
	h.write("mypackage/__init__.py", "def half(n):\n    if n > 6:\n        return 'much'\n    return 'little'\n")
	h.write("a/test_a.py", "import mypackage\n\ndef test_much():\n    assert mypackage.half(7) == 'much'\n")
	h.write("b/test_b.py", "import mypackage\n\ndef test_little():\n    assert mypackage.half(1) == 'little'\n")
	h.write("conftest.py", "")
	h.write("setup.cfg", "[coverage:run]\nrelative_files = true\n[coverage:report]\nfail_under = 100\n")
	h.commit()
	h.want(h.push(), jobs{"matrix": "success", "pytest (pool-1)": "success", "pytest (pool-2)": "success", "tests": "success", "coverage": "success"})
	if !h.says("mypackage/__init__.py") { // with less than 100 % the job had failed
		t.Errorf("coverage reports nothing:\n%s", h.text())
	}
}
