package main

import (
	"bytes"
	"cmp"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wcshard/wcshard/cmd/wcshard/internal/cgroup"
	"github.com/wcshard/wcshard/timing"
)

const (
	mib = 1 << 20
	gib = 1 << 30
)

// long reports whether tests of minutes are wanted: WCSHARD_LONG_TESTS=1.
func long() bool { return os.Getenv("WCSHARD_LONG_TESTS") != "" }

// inGroup runs a command in a memory cgroup of its own, and returns what it
// printed, its exit status and what the kernel says of it.
func inGroup(t *testing.T, limit int64, cmd *exec.Cmd) (string, int, cgroup.Usage) {
	t.Helper()
	group, err := cgroup.Host{}.New(limit)
	if err != nil {
		t.Skip("no memory cgroup can be made here: ", err)
	}
	defer group.Close()
	argv := group.Command(append([]string{cmd.Path}, cmd.Args[1:]...))
	inside := exec.CommandContext(t.Context(), argv[0], argv[1:]...)
	inside.Dir, inside.Env = cmd.Dir, cmd.Env
	var out bytes.Buffer
	inside.Stdout, inside.Stderr = &out, &out
	inside.WaitDelay = 10 * time.Second
	_ = inside.Run()
	return out.String(), inside.ProcessState.ExitCode(), group.Usage()
}

// hungry copies the suite that does not fit.
func hungry(t *testing.T) string {
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("testdata/hungry")); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestOutOfMemory runs a suite of 200 light and 12 heavy tests in 2 GiB, where
// plain pytest -n dies. Without a history wcshard survives its kills, and with
// one it has none, keeps within the budget, and is nearly as fast as can be.
//
// By default all tests take a quarter, in 700 MiB on two workers, and the time
// is only told: a busy machine would fail it.
func TestOutOfMemory(t *testing.T) {
	venv := testVenv(t)
	dir := hungry(t)
	limit, workers, scale := int64(2*gib), "4", "1"
	if !long() {
		limit, workers, scale = 700*mib, "2", "0.25"
	}
	env := []string{"VIRTUAL_ENV=" + venv, "HUNGRY_SCALE=" + scale}

	for _, n := range []string{"4", "2"} {
		plain := exec.Command(filepath.Join(venv, "bin", "pytest"), "-q", "-pno:cacheprovider", "-n"+n, "--max-worker-restart=0")
		plain.Dir, plain.Env = dir, append(os.Environ(), env...)
		out, status, used := inGroup(t, limit, plain)
		if used.Kills == 0 || status == exitOK {
			t.Errorf("pytest -n %s lives: %d kills, status %d\n%s", n, used.Kills, status, out)
		}
	}

	mustRun(t, wcshard(t, dir, env, "matrix", "--shards", "2"))
	all := func(results string) (string, int, cgroup.Usage) {
		return inGroup(t, limit, wcshard(t, dir, env, "run", "--all", "--workers", workers, "--results", results, "--", "-q", "-pno:cacheprovider"))
	}
	out, status, used := all("first")
	verdict, err := wcshard(t, dir, env, "verify", "first").CombinedOutput()
	if status != exitOK || err != nil || !strings.Contains(string(verdict), "212 of 212 tests ran exactly once") {
		t.Fatalf("without a history: run exited with %d, verify with %v\n%s\n%s", status, err, verdict, out)
	}
	t.Logf("without a history: %d kills, peak %d MiB", used.Kills, used.Peak/mib)
	alone := len(regexp.MustCompile(`(?m)again, alone$`).FindAllString(out, -1))
	if got := strings.Contains(string(verdict), "passed after running alone"); got != (alone > 0) || int64(alone) > used.Kills {
		t.Errorf("%d kills, %d tests ran again alone, verify says\n%s\n%s", used.Kills, alone, verdict, out)
	}

	mustRun(t, wcshard(t, dir, env, "merge", "first"))
	out, status, used = all("second")
	if status != exitOK || used.Kills != 0 {
		t.Errorf("with a history: %d kills, exit status %d\n%s", used.Kills, status, out)
	}
	most := limit / 20 * 19
	if used.Peak > most {
		t.Errorf("with a history it took %d MiB, want at most %d\n%s", used.Peak/mib, most/mib, out)
	}
	results := readTestResults(t, filepath.Join(dir, "second", "wcshard-results-all-1.jsonl"))
	span, best := testsTook(results), oracle(results, limit)
	t.Logf("with a history: peak %d MiB, %.2f s, an oracle takes at least %.2f s", used.Peak/mib, span.Seconds(), best.Seconds())
	if long() && float64(best) < 0.9*float64(span) {
		t.Errorf("it took %s, an oracle takes %s", span, best)
		for _, r := range results.Tests {
			if r.Wall > 200*time.Millisecond {
				t.Logf("%s on %s from %s to %s, up to %d MiB", r.ID, r.Worker, r.Start, r.Start+r.Wall, r.Peak/mib)
			}
		}
	}
}

func readTestResults(t *testing.T, name string) *timing.Results {
	t.Helper()
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	results, err := timing.ReadResults(file, name)
	if err != nil {
		t.Fatal(err)
	}
	return results
}

// oracle is a lower bound of the time that any schedule takes, who knew all
// times and needs: all tests over all workers; time and memory as an area over
// what is there beside the workers' floors; and one after another the tests of
// which no two fit together.
func oracle(results *timing.Results, memory int64) time.Duration {
	floors := map[string]int64{}
	room := memory
	for _, w := range results.Workers {
		floors[w.Worker] = w.Floor
		room -= w.Floor
	}
	var work, serial time.Duration
	area := 0.0
	type test struct {
		need int64
		wall time.Duration
	}
	var tests []test
	for _, r := range results.Tests {
		need := max(0, r.Peak-floors[r.Worker])
		work += r.Wall
		area += float64(need) * r.Wall.Seconds()
		tests = append(tests, test{need, r.Wall})
	}
	slices.SortFunc(tests, func(a, b test) int { return cmp.Compare(b.need, a.need) })
	for i, one := range tests {
		if i > 0 && one.need+tests[i-1].need <= room {
			break
		}
		serial += one.wall
	}
	return max(work/time.Duration(len(floors)), time.Duration(area/float64(room)*1e9), serial)
}

// TestCulprit injects kills: one worker of two to four grows beyond what there
// is, while the others are of any size, fat from earlier tests, or growing as
// well. Who did it is named right in 19 of 20; of few kills, in all
// but one.
func TestCulprit(t *testing.T) {
	venv := testVenv(t)
	runs, wrong := 5, 0
	if long() {
		runs = 20
	}
	seed := uint64(1)
	if long() {
		seed = uint64(time.Now().UnixNano())
	}
	random := rand.New(rand.NewPCG(seed, 1))
	t.Log("seed", seed)
	for i := range runs {
		if named, out := injectKill(t, venv, random); named != "test_0.py::test_hog" {
			wrong++
			t.Logf("run %d names %q:\n%s", i, named, out)
		}
	}
	t.Logf("%d of %d kills are blamed on another test", wrong, runs)
	if wrong > max(1, runs/20) {
		t.Error("more than one, and one in 20")
	}
}

var culprit = regexp.MustCompile(`killed for lack of memory: .*; most was taken by (\S+) \(`)

func injectKill(t *testing.T, venv string, random *rand.Rand) (named, out string) {
	dir := t.TempDir()
	const limit = 640 // MiB
	workers := 2 + random.IntN(3)
	// The others hold at most half together, so that the hog is who takes most.
	share := limit / 2 / (workers - 1)
	for w := range workers {
		name, kept, grows, from := "test_hog", 0, 2*limit, 0.3+random.Float64()
		if w > 0 {
			name, kept = "test_other", random.IntN(share/2)
			grows, from = random.IntN(share/2), random.Float64()
		}
		writeTestFile(t, filepath.Join(dir, fmt.Sprintf("test_%d.py", w)), fmt.Sprintf(`import time

kept = []

def grow(mib, seconds):
    """Take memory evenly over some time."""
    held = bytearray(0)
    for n in range(mib // 4):
        held += b"x" * (4 << 20)
        time.sleep(seconds * 4 / max(mib, 4))
    return held

def test_early():
    kept.append(b"x" * (%d << 20))

def %s():
    time.sleep(%.2f)
    held = grow(%d, %.2f)
    time.sleep(1.5)
`, kept, name, from, grows, 0.2+random.Float64()))
	}
	env := []string{"VIRTUAL_ENV=" + venv}
	mustRun(t, wcshard(t, dir, env, "matrix", "--shards", "1", "--workers", fmt.Sprint(workers)))
	out, _, used := inGroup(t, limit*mib, wcshard(t, dir, env, "run", "--shard", "pool-1", "--no-recover", "--", "-q", "-pno:cacheprovider", "--max-worker-restart=0"))
	if used.Kills == 0 {
		t.Fatalf("nothing was killed:\n%s", out)
	}
	if found := culprit.FindStringSubmatch(out); found != nil {
		named = found[1]
	}
	return named, out
}

// TestRecoverOneProcess: pytest itself is killed, since one process keeps what
// its tests leave. What died passes alone, the rest goes on; what never fits is
// crashed, and no test is lost or runs twice.
func TestRecoverOneProcess(t *testing.T) {
	venv := testVenv(t)
	dir := t.TempDir()
	env := []string{"VIRTUAL_ENV=" + venv}
	writeTestFile(t, filepath.Join(dir, "test_fat.py"), `import pathlib

kept = []

def test_leaves_much():
    kept.append(b"x" * (150 << 20))

def test_victim():
    held = b"x" * (150 << 20)

def test_never_fits():
    pathlib.Path("tries").open("a").write("x")
    held = b"x" * (600 << 20)

def test_after():
    pass
`)
	mustRun(t, wcshard(t, dir, env, "matrix", "--shards", "1", "--workers", "1"))
	run := func(flags ...string) (string, int) {
		out, err := wcshard(t, dir, env, append(append([]string{"run", "--shard", "pool-1", "--enforce", "--memory", "300MiB"}, flags...), "--", "-q", "-pno:cacheprovider", "--junitxml=report.xml")...).CombinedOutput()
		if strings.Contains(string(out), "no memory cgroup can be made here") {
			t.Skipf("%s", out)
		}
		status := 0
		if exit, ok := err.(*exec.ExitError); ok {
			status = exit.ExitCode()
		}
		return string(out), status
	}
	out, status := run("--no-recover", "--results", "not")
	if status != exitKilled || !strings.Contains(out, "killed for lack of memory: pytest while running test_fat.py::test_victim") || strings.Contains(out, "again, alone") {
		t.Errorf("--no-recover: status %d\n%s", status, out)
	}
	out, status = run()
	for _, want := range []string{
		"killed for lack of memory: pytest while running test_fat.py::test_victim",
		"[certain: the kernel counted 1 kill in this cgroup]",
		"running test_fat.py::test_victim again, alone",
		"going on with the other 2 tests, 1 worker",
		"running test_fat.py::test_never_fits again, alone",
		"going on with the other 1 test, 1 worker",
		"MiB of 300 MiB used at most",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("run does not say %q", want)
		}
	}
	verify := wcshard(t, dir, env, "verify")
	verdict, _ := verify.CombinedOutput()
	for _, want := range []string{
		"4 of 4 tests ran exactly once", "2 passed, 1 passed after running alone, 1 crashed",
		"then passed after running alone: test_fat.py::test_victim", "(culprit), then crashed: test_fat.py::test_never_fits",
	} {
		if !strings.Contains(string(verdict), want) {
			t.Errorf("verify does not say %q", want)
		}
	}
	if got := verify.ProcessState.ExitCode(); got != exitTestsFailed || status != exitTestsFailed {
		t.Errorf("run exited with %d and verify with %d, want %d", status, got, exitTestsFailed)
	}
	if tries, _ := os.ReadFile(filepath.Join(dir, "tries")); len(tries) != 2 {
		t.Errorf("what never fits was tried %d times, want 2", len(tries))
	}
	if reports, _ := filepath.Glob(filepath.Join(dir, "report*.xml")); len(reports) < 2 {
		t.Errorf("the tries wrote over each other's reports: %q", reports)
	}
	// The next plan knows that it needs more than there is.
	mustRun(t, wcshard(t, dir, env, "merge"))
	samples := readTestHistory(t, filepath.Join(dir, defaultTimings)).Samples("test_fat.py::test_never_fits")
	if !slices.ContainsFunc(samples, func(s timing.Sample) bool { return s.Outcome == timing.Crashed && s.Peak > 250*mib }) {
		t.Errorf("the history learns nothing of what never fits: %+v", samples)
	}
	if t.Failed() {
		t.Logf("%s\n%s", out, verdict)
	}
}

// TestNotOutOfMemory: a test that kills its worker by itself is not run again,
// and nobody speaks of memory.
func TestNotOutOfMemory(t *testing.T) {
	venv := testVenv(t)
	dir := t.TempDir()
	env := []string{"VIRTUAL_ENV=" + venv}
	writeTestFile(t, filepath.Join(dir, "test_a.py"), "import os, signal, time\n\ndef test_suicide():\n    os.kill(os.getpid(), signal.SIGSEGV)\n")
	writeTestFile(t, filepath.Join(dir, "test_b.py"), "import time\n\ndef test_b():\n    time.sleep(0.1)\n\ndef test_c():\n    pass\n")
	mustRun(t, wcshard(t, dir, env, "matrix", "--shards", "1", "--workers", "2"))
	run := wcshard(t, dir, env, "run", "--shard", "pool-1", "--", "-q", "-pno:cacheprovider")
	out, _ := run.CombinedOutput()
	if got := run.ProcessState.ExitCode(); got != exitTestsFailed {
		t.Errorf("run exited with %d, want %d", got, exitTestsFailed)
	}
	if text := string(out); !strings.Contains(text, "was ended by signal 11 while running test_a.py::test_suicide: not for lack of memory") || strings.Contains(text, "again, alone") {
		t.Errorf("run says\n%s", text)
	}
}
