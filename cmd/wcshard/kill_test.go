//go:build unix

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/wcshard/wcshard/timing"
)

// TestKill kills wcshard, pytest and a worker in the middle of a run: what had
// finished by then is readable, and verify says what is missing.
func TestKill(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("finds the processes to kill in /proc")
	}
	venv := testVenv(t)
	for _, test := range []struct {
		name    string
		workers string
		victim  string // what stands in the command line of the process to kill
		whole   bool   // the run goes to its end all the same
	}{
		{"wcshard", "1", "wcshard\x00run\x00", false},
		{"pytest", "1", "-pwcshard_plugin", false},
		{"controller", "2", "-pwcshard_plugin", false},
		{"worker", "2", "import sys;exec(eval(sys.stdin.readline()))", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			env := []string{"VIRTUAL_ENV=" + venv, "WCSHARD_KILL_TEST=" + dir}
			writeTestFile(t, filepath.Join(dir, "test_slow.py"), "import time, pytest\n\n@pytest.mark.parametrize('n', range(12))\ndef test_slow(n):\n    time.sleep(0.4)\n")
			mustRun(t, wcshard(t, dir, env, "matrix", "--shards", "1", "--workers", test.workers))
			results := filepath.Join(dir, "wcshard-results", "wcshard-results-pool-1-1.jsonl")

			run := wcshard(t, dir, env, "run", "--shard", "pool-1")
			var out bytes.Buffer
			run.Stdout, run.Stderr = &out, &out
			run.WaitDelay = time.Second
			run.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
			if err := run.Start(); err != nil {
				t.Fatal(err)
			}
			waitFor(t, func() bool { return finished(results) >= 3 })
			victim := 0
			waitFor(t, func() bool { victim = findProcess(dir, test.victim); return victim != 0 })
			syscall.Kill(victim, syscall.SIGKILL)
			if test.name == "wcshard" {
				syscall.Kill(-run.Process.Pid, syscall.SIGKILL) // a job's end takes pytest along
			}
			failed := run.Wait()

			file, err := os.Open(results)
			if err != nil {
				t.Fatal(err)
			}
			defer file.Close()
			read, err := timing.ReadResults(file, results)
			if err != nil {
				t.Fatalf("after the kill: %v", err)
			}
			if len(read.Tests) < 3 {
				t.Errorf("%d tests are left of at least 3", len(read.Tests))
			}
			verify := wcshard(t, dir, env, "verify")
			verdict, _ := verify.CombinedOutput()
			if test.whole {
				// A worker that dies between two tests takes none along.
				text := string(verdict)
				crashed := failed != nil && strings.Contains(text, "11 passed, 1 crashed")
				none := failed == nil && strings.Contains(text, "12 passed")
				if !strings.Contains(out.String(), "node down") {
					t.Errorf("no worker died:\n%s", &out)
				}
				if !strings.Contains(text, "12 of 12 tests ran exactly once") || !crashed && !none {
					t.Errorf("after a worker's death: run: %v, verify:\n%s\n%s", failed, verdict, &out)
				}
				return
			}
			if got := verify.ProcessState.ExitCode(); got != exitIncomplete {
				t.Errorf("verify exited with %d, want %d\n%s", got, exitIncomplete, verdict)
			}
			want := fmt.Sprintf("incomplete: %d of 12 tests ran exactly once", len(read.Tests))
			if !strings.Contains(string(verdict), want) || !strings.Contains(string(verdict), "test_slow.py::test_slow[11]") {
				t.Errorf("verify says\n%s\nwant %q and the lost tests", verdict, want)
			}
			if test.name != "wcshard" && !strings.Contains(out.String(), "pytest was killed (exit status 137)") {
				t.Errorf("run says\n%s", &out)
			}
		})
	}
}

// slowTests have time to be interrupted, and tell whether they were torn down.
const slowTests = `import time, pytest

@pytest.fixture(scope="module")
def resource():
    yield
    open("torn-down", "w").close()

@pytest.mark.parametrize('n', range(100))
def test_slow(n, resource):
    time.sleep(0.3)
`

// TestInterrupt sends SIGTERM to wcshard alone, as a CI system does: pytest is
// interrupted, ends in good order, and what was measured is kept.
func TestInterrupt(t *testing.T) {
	venv := testVenv(t)
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		t.Run(signal.String(), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			env := []string{"VIRTUAL_ENV=" + venv}
			writeTestFile(t, filepath.Join(dir, "test_slow.py"), slowTests)
			mustRun(t, wcshard(t, dir, env, "matrix", "--shards", "1", "--workers", "1"))
			results := filepath.Join(dir, "wcshard-results", "wcshard-results-pool-1.jsonl")
			run := wcshard(t, dir, env, "run", "--all", "--workers", "1")
			var out bytes.Buffer
			run.Stdout, run.Stderr = &out, &out
			if err := run.Start(); err != nil {
				t.Fatal(err)
			}
			waitFor(t, func() bool { return finished(results) >= 2 })
			run.Process.Signal(signal)
			run.Wait()
			if got := run.ProcessState.ExitCode(); got != exitInterrupted {
				t.Errorf("run exited with %d, want pytest's %d\n%s", got, exitInterrupted, &out)
			}
			if _, err := os.Stat(filepath.Join(dir, "torn-down")); err != nil {
				t.Errorf("pytest did not tear down: %v\n%s", err, &out)
			}
			if !strings.Contains(out.String(), "KeyboardInterrupt") {
				t.Errorf("pytest was not interrupted:\n%s", &out)
			}
			verify := wcshard(t, dir, env, "verify")
			verdict, _ := verify.CombinedOutput()
			if !strings.Contains(string(verdict), "not reached: test_slow.py::test_slow[15]") {
				t.Errorf("verify says\n%s", verdict)
			}
		})
	}
}

// Where what calls pytest passes no signal on, as a shell script does not, pytest gets it
// all the same. What does not answer is killed, and pytest with what calls it: it would go
// on with the shard, and write after the end of its results.
func TestInterruptWrapper(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("finds the processes to kill in /proc")
	}
	venv := testVenv(t)
	for _, test := range []struct {
		name, first string // line of the wrapper
		status      int
	}{
		{"hears", "", exitInterrupted},
		{"deaf", "trap '' INT", exitKilled}, // Python leaves SIGINT alone where it starts with that ignored, as a call into C does
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			env := []string{"VIRTUAL_ENV=" + venv}
			writeTestFile(t, filepath.Join(dir, "test_slow.py"), slowTests)
			wrapper := filepath.Join(dir, "wrapper")
			writeTestFile(t, wrapper, "#!/bin/sh\n"+test.first+"\n\"$VIRTUAL_ENV/bin/python\" -m pytest \"$@\"\nexit $?\n")
			if err := os.Chmod(wrapper, 0o755); err != nil {
				t.Fatal(err)
			}
			mustRun(t, wcshard(t, dir, env, "matrix", "--shards", "1", "--workers", "1"))
			results := filepath.Join(dir, "wcshard-results", "wcshard-results-pool-1-1.jsonl")
			out, status := interrupted(t, wcshard(t, dir, env, "run", "--shard", "pool-1", "--pytest", wrapper), func() bool { return finished(results) >= 2 })
			if status != test.status {
				t.Errorf("run exited with %d, want %d\n%s", status, test.status, out)
			}
			livesOn(t, dir, out)
			if _, err := os.Stat(filepath.Join(dir, "torn-down")); (err == nil) != (test.status == exitInterrupted) {
				t.Errorf("torn down: %v\n%s", err, out)
			}
			verdict, _ := wcshard(t, dir, env, "verify").CombinedOutput()
			if want := fmt.Sprintf("incomplete: %d of 100 tests ran exactly once", finished(results)); !strings.Contains(string(verdict), want) {
				t.Errorf("verify says\n%s\nwant %q\n%s", verdict, want, out)
			}

			// Nor does it go on to collect.
			writeTestFile(t, filepath.Join(dir, "test_long.py"), "import time\nopen('began', 'w').close()\ntime.sleep(60)\n")
			out, status = interrupted(t, wcshard(t, dir, env, "matrix", "--pytest", wrapper), func() bool { _, err := os.Stat(filepath.Join(dir, "began")); return err == nil })
			if status != exitInterrupted || !strings.Contains(out, "interrupted") {
				t.Errorf("matrix exited with %d, want %d\n%s", status, exitInterrupted, out)
			}
			livesOn(t, dir, out)
		})
	}
}

// interrupted sends a command SIGTERM when it is ready for that, and returns what it
// printed and its exit status.
func interrupted(t *testing.T, command *exec.Cmd, ready func() bool) (output string, status int) {
	t.Helper()
	var out bytes.Buffer
	command.Stdout, command.Stderr = &out, &out
	command.WaitDelay = 30 * time.Second // more than the grace
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, ready)
	command.Process.Signal(syscall.SIGTERM)
	command.Wait()
	return out.String(), command.ProcessState.ExitCode()
}

// livesOn ends a pytest that works in a folder, which is an error.
func livesOn(t *testing.T, dir, output string) {
	t.Helper()
	if pid := findProcess(dir, "-pwcshard_plugin"); pid != 0 {
		syscall.Kill(pid, syscall.SIGKILL)
		t.Errorf("pytest lives on\n%s", output)
	}
}

// finished counts the finished tests in a results file.
func finished(name string) int {
	data, _ := os.ReadFile(name)
	return bytes.Count(data, []byte(`"t":"test"`))
}

func waitFor(t *testing.T, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it did not happen within a minute")
		}
	}
}

// findProcess returns a process whose command line holds text and which works
// in dir, 0 where there is none.
func findProcess(dir, text string) int {
	entries, _ := filepath.Glob("/proc/[0-9]*")
	for _, entry := range entries {
		cwd, _ := os.Readlink(filepath.Join(entry, "cwd"))
		line, _ := os.ReadFile(filepath.Join(entry, "cmdline"))
		if cwd == dir && bytes.Contains(line, []byte(text)) {
			var pid int
			fmt.Sscan(filepath.Base(entry), &pid)
			return pid
		}
	}
	return 0
}

// makeResults writes results of one test each, as so many shards.
func makeResults(t *testing.T, dir string, n int) {
	for i := range n {
		header := timing.ResultsHeader{Plan: "sha256:x", Run: fmt.Sprint("run", i), Shards: []string{"pool-1"}, Attempt: 1, Runner: "local", Workers: 1,
			Started: time.Date(2026, 11, 1, 0, 0, i, 0, time.UTC)}
		text := string(header.Line()) +
			fmt.Sprintf(`{"t":"start","id":"a.py::test_%d","worker":"main"}`+"\n", i) +
			fmt.Sprintf(`{"t":"test","id":"a.py::test_%d","worker":"main","start_us":1,"outcome":"passed","setup_us":1,"call_us":2,"teardown_us":3,"wall_us":9}`+"\n", i) +
			string(timing.EndLine(0, time.Second))
		writeTestFile(t, filepath.Join(dir, fmt.Sprint("shard", i), "wcshard-results-pool-1-1.jsonl"), text)
	}
}

func readTestHistory(t *testing.T, name string) *timing.History {
	t.Helper()
	file, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return new(timing.History)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	history, err := timing.ReadHistory(file, name)
	if err != nil {
		t.Fatalf("the history is torn: %v", err)
	}
	return history
}

// TestMergeAtOnce merges in many processes at the same time: no sample is lost.
func TestMergeAtOnce(t *testing.T) {
	const n = 12
	dir := t.TempDir()
	makeResults(t, dir, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			if out, err := wcshard(t, dir, nil, "merge", fmt.Sprint("shard", i)).CombinedOutput(); err != nil {
				t.Errorf("merge %d: %v\n%s", i, err, out)
			}
		})
	}
	all.Wait()
	if got := readTestHistory(t, filepath.Join(dir, defaultTimings)).Len(); got != n {
		t.Errorf("the history has %d tests, want %d", got, n)
	}
}

// TestMergeKilled kills merges at random moments: the history is always whole,
// and never has less than before.
func TestMergeKilled(t *testing.T) {
	const n = 40
	dir := t.TempDir()
	makeResults(t, dir, n)
	name := filepath.Join(dir, defaultTimings)
	before := 0
	for i := range n {
		merge := wcshard(t, dir, nil, "merge", fmt.Sprint("shard", i))
		if err := merge.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(rand.IntN(25)) * time.Millisecond)
		merge.Process.Kill()
		merge.Wait()
		after := readTestHistory(t, name).Len()
		if after < before || after > before+1 {
			t.Fatalf("after a kill the history has %d tests, before it had %d", after, before)
		}
		before = after
	}
	mustRun(t, wcshard(t, dir, nil, "merge", "."))
	if got := readTestHistory(t, name).Len(); got != n {
		t.Errorf("the history has %d tests, want %d", got, n)
	}
}
