package pytest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wcshard/wcshard/shard"
	"github.com/wcshard/wcshard/timing"
)

// one plans a whole collection as one shard.
func one(c *Collection, workers int, cut bool) (*shard.Plan, shard.Shard) {
	s := shard.Shard{Name: "only", Workers: workers}
	for _, test := range c.Tests {
		if n := len(s.Pieces); n == 0 || s.Pieces[n-1].File != test.ID.File() {
			s.Pieces = append(s.Pieces, shard.Piece{File: test.ID.File(), Cut: cut})
		}
		piece := &s.Pieces[len(s.Pieces)-1]
		piece.Tests = append(piece.Tests, test.ID.Rest())
	}
	return &shard.Plan{Shards: []shard.Shard{s}}, s
}

// A test that kills its worker is told once, the worker is replaced, and
// nothing else is lost or run twice.
func TestWorkerCrash(t *testing.T) {
	for _, env := range []string{"old", "new", "plugins"} {
		for _, cut := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/cut=%v", env, cut), func(t *testing.T) {
				oneOfFew(t)
				p := proof{command: pytestIn(t, env), dir: suite(t, "crash"), args: []string{"-p", "no:randomly"}}
				c := p.collect(t)
				plan, s := one(c, 2, cut)
				o := p.shard(t, c, plan, s)
				if o.status != ExitFailed {
					t.Errorf("status %d, want %d", o.status, ExitFailed)
				}
				got := map[timing.NodeID][]timing.Outcome{}
				for _, test := range o.results.Tests {
					got[test.ID] = append(got[test.ID], test.Outcome)
				}
				for _, id := range s.IDs() {
					want := timing.Passed
					switch {
					case strings.Contains(string(id), "test_after[5]"):
						want = timing.Failed
					case !strings.Contains(string(id), "["):
						want = timing.Crashed
					}
					if !slices.Equal(got[id], []timing.Outcome{want}) {
						t.Errorf("%q: %v, want one %v\n%s", id, got[id], want, o.output)
					}
				}
				if len(o.results.Running) > 0 {
					t.Errorf("still running: %v", o.results.Running)
				}
			})
		}
	}
}

// A shard neither walks nor imports what belongs to others.
func TestPruning(t *testing.T) {
	for _, env := range []string{"old", "new"} {
		for _, args := range [][]string{nil, {"tests", "lib"}, {"tests/unit/test_u.py", "tests/other/test_o.py"}} {
			t.Run(fmt.Sprint(env, args), func(t *testing.T) {
				oneOfFew(t)
				trace := filepath.Join(t.TempDir(), "trace")
				p := proof{command: pytestIn(t, env), dir: filepath.Join(suite(t, "layout"), "proj"), args: args}
				c := p.collect(t)
				plan := &shard.Plan{Shards: []shard.Shard{
					{Name: "unit", Workers: 1, Pieces: []shard.Piece{{File: "tests/unit/test_u.py", Tests: []string{"::test_it[0]"}}}},
				}}
				p.env = []string{"WCSHARD_TRACE=" + trace}
				o := p.shard(t, c, plan, plan.Shards[0])
				data, err := os.ReadFile(trace)
				// The conftest of a directory that an argument names is
				// loaded before anybody can prevent it.
				if strings.Contains(string(data), "module") || args == nil && err == nil {
					t.Errorf("the shard imported %q", data)
				}
				if len(o.results.Workers) != 1 || len(o.results.Workers[0].Imports) != 1 {
					t.Errorf("workers %+v, want one that imported one file", o.results.Workers)
				}
				if want := []timing.NodeID{
					"tests/unit/test_u.py::TestIt::test_me", "tests/unit/test_u.py::test_it[1]", "tests/unit/test_u.py::test_it[2]",
				}; !slices.Equal(slices.Sorted(slices.Values(o.results.Extra)), want) {
					t.Errorf("extra %q, want %q", o.results.Extra, want)
				}
			})
		}
	}
}

// Planned tests that are not there, and tests of the shard's files that no
// shard has, are told; the former also when a whole file is gone.
func TestMissingAndExtra(t *testing.T) {
	for _, workers := range []int{1, 2} {
		t.Run(fmt.Sprint(workers), func(t *testing.T) {
			oneOfFew(t)
			p := proof{command: pytestIn(t, "new"), dir: suite(t, "crash"), args: []string{"test_crash.py", "test_whole.py"}}
			c := p.collect(t)
			plan := &shard.Plan{Shards: []shard.Shard{
				{Name: "a", Workers: workers, Pieces: []shard.Piece{
					{File: "test_crash.py", Tests: []string{"::test_before[1]", "::test_gone", "::test_before[0]", "::test_before[0]"}},
					{File: "test_gone.py", Tests: []string{"::test_x"}},
				}},
				{Name: "b", Workers: 1, Pieces: []shard.Piece{{File: "test_crash.py", Tests: []string{"::test_exits", "::test_killed"}}}},
			}}
			o := p.shard(t, c, plan, plan.Shards[0])
			missing := []timing.NodeID{"test_crash.py::test_gone", "test_crash.py::test_before[0]", "test_gone.py::test_x"}
			if !slices.Equal(o.results.Missing, missing) {
				t.Errorf("missing %q, want %q", o.results.Missing, missing)
			}
			if len(o.results.Extra) != 6+8+8 || len(o.results.Tests) != 2 {
				t.Errorf("%d extra tests %q, want 22; %d ran, want 2", len(o.results.Extra), o.results.Extra, len(o.results.Tests))
			}
		})
	}
}

const sleepy = `
import os, signal, time, pytest

@pytest.fixture
def slow_end():
    yield
    open("teardown", "w").close()

def test_first():
    pass

def test_sleeps(slow_end):
    open("sleeping", "w").close()
    for _ in range(600):
        time.sleep(0.1)  # a signal that comes just before one of them does not wake it
`

// When the context ends, pytest is interrupted: it tears down, keeps what it
// has and ends with its own status.
// Workers are ended by xdist, which waits for no teardown of theirs.
func TestRunInterrupted(t *testing.T) {
	for _, workers := range []int{1, 2} {
		t.Run(fmt.Sprint(workers), func(t *testing.T) { testRunInterrupted(t, workers) })
	}
}

func testRunInterrupted(t *testing.T, workers int) {
	oneOfFew(t)
	p := proof{command: pytestIn(t, "new"), dir: t.TempDir()}
	write(t, filepath.Join(p.dir, "test_sleepy.py"), sleepy)
	c := p.collect(t)
	plan, _ := one(c, workers, false)
	sel, err := Select(plan, "only")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	results := newResults(t, "only")
	go func() {
		waitFor(filepath.Join(p.dir, "sleeping"))
		// A worker's test may sleep before the controller has heard of it.
		wait(func() bool {
			data, _ := os.ReadFile(results)
			return bytes.Contains(data, []byte(`"t":"start","id":"test_sleepy.py::test_sleeps"`))
		})
		cancel()
	}()
	var output bytes.Buffer
	status, err := Run(ctx, p.command, RunOptions{
		Dir: p.dir, Env: testEnv(), Selection: sel, Workers: workers, Results: results, Stdout: &output, Stderr: &output,
		Grace: time.Minute})
	if status != ExitInterrupted || err != nil {
		t.Errorf("Run = %d, %v, want %d\n%s", status, err, ExitInterrupted, &output)
	}
	if _, err := os.Stat(filepath.Join(p.dir, "teardown")); err != nil && workers == 1 {
		t.Errorf("no teardown: %v", err)
	}
	r := readResults(t, results)
	if len(r.Tests) != 1 || len(r.Running) != 1 || r.Running[0].ID != "test_sleepy.py::test_sleeps" {
		t.Errorf("finished %+v, running %+v", r.Tests, r.Running)
	}
}

// A killed pytest is told by its signal, as a shell does.
func TestRunKilled(t *testing.T) {
	oneOfFew(t)
	p := proof{command: pytestIn(t, "new"), dir: suite(t, "crash"), args: []string{"test_crash.py"}}
	c := p.collect(t)
	plan := &shard.Plan{Shards: []shard.Shard{{Name: "a", Workers: 1, Pieces: []shard.Piece{
		{File: "test_crash.py", Tests: []string{"::test_before[0]", "::test_killed", "::test_before[1]"}}}}}}
	o := p.shard(t, c, plan, plan.Shards[0])
	if o.status != 137 {
		t.Errorf("status %d, want 137", o.status)
	}
	if len(o.results.Tests) != 1 || len(o.results.Running) != 1 {
		t.Errorf("finished %+v, running %+v, want one each", o.results.Tests, o.results.Running)
	}
}

// What is said of memory reaches the plugin; nothing said is nothing there.
func TestRunMemoryConfig(t *testing.T) {
	opts := RunOptions{Selection: Selection{Pieces: []shard.Piece{
		{File: "a.py", Tests: []string{"::x", "::y"}, Needs: []shard.TestNeed{{Test: 1, Need: 3 << 30, Kept: 1 << 20, Low: 5}}},
		{File: "b.py", Tests: []string{"::z"}},
	}}}
	config := func() string {
		data, err := json.Marshal(opts.config("out"))
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	if got := config(); strings.Contains(got, "memory") {
		t.Errorf("without memory: %s", got)
	}
	opts.Memory = &Memory{Budget: 7, Floor: 2, Reserve: 1}
	for _, want := range []string{
		`"memory":{"budget":7,"floor":2,"reserve":1}`,
		`{"file":"a.py","cut":false,"tests":["::x","::y"],"needs":[[1,5,3221225472,1048576]]}`,
		`{"file":"b.py","cut":false,"tests":["::z"]}`,
	} {
		if got := config(); !strings.Contains(got, want) {
			t.Errorf("config %s, want %s", got, want)
		}
	}
}

// A deadlined context has its deadline when done is closed.
type deadlined struct {
	context.Context
	done chan struct{}
}

func (d deadlined) Done() <-chan struct{} { return d.done }

func (d deadlined) Err() error {
	select {
	case <-d.done:
		return context.DeadlineExceeded
	default:
		return nil
	}
}

// A test that takes longer than it may fails, and the next one runs. What the user says
// of it wins, wherever pytest-timeout looks for that.
func TestRunTimeout(t *testing.T) {
	const brief, long = 500 * time.Millisecond, time.Hour
	for _, c := range []struct {
		name     string
		ini      string
		env, arg string
		limit    time.Duration
		workers  int
	}{
		{name: "ours", limit: brief, workers: 1},
		{name: "ours, for workers", limit: brief, workers: 2},
		{name: "of the ini", ini: "timeout = 0.5", limit: long, workers: 1},
		{name: "of the environment", env: "PYTEST_TIMEOUT=0.5", limit: long, workers: 2},
		{name: "an option", arg: "--timeout=0.5", limit: long, workers: 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			oneOfFew(t)
			p := proof{command: pytestIn(t, "new"), dir: t.TempDir()}
			writeAll(t, p.dir, map[string]string{
				"pytest.ini":   "[pytest]\n" + c.ini + "\n",
				"test_slow.py": "import time\n\n\ndef test_slow():\n    time.sleep(15)\n\n\ndef test_next():\n    pass\n",
			})
			collected := p.collect(t)
			plan, _ := one(collected, c.workers, false)
			sel, err := Select(plan, "only")
			if err != nil {
				t.Fatal(err)
			}
			env, args := testEnv(), []string{}
			if c.env != "" {
				env = append(env, c.env)
			}
			if c.arg != "" {
				args = append(args, c.arg)
			}
			var output bytes.Buffer
			results := newResults(t, "only")
			status, err := Run(t.Context(), p.command, RunOptions{Dir: p.dir, Env: env, Args: args, Selection: sel, Workers: c.workers, Timeout: c.limit, Results: results, Stdout: &output, Stderr: &output})
			if status != ExitFailed || err != nil {
				t.Fatalf("Run = %d, %v, want %d\n%s", status, err, ExitFailed, &output)
			}
			got := map[timing.NodeID]timing.Outcome{}
			for _, test := range readResults(t, results).Tests {
				got[test.ID] = test.Outcome
			}
			if len(got) != 2 || got["test_slow.py::test_slow"] != timing.Failed || got["test_slow.py::test_next"] != timing.Passed || !strings.Contains(output.String(), "Timeout") {
				t.Errorf("finished %v\n%s", got, &output)
			}
		})
	}
}

// A project may have an option --timeout of its own.
func TestRunTimeoutOfAnother(t *testing.T) {
	oneOfFew(t)
	p := proof{command: pytestIn(t, "new"), dir: t.TempDir()}
	writeAll(t, p.dir, map[string]string{
		"conftest.py": "def pytest_addoption(parser):\n    parser.addoption(\"--timeout\", default=None)\n",
		"test_one.py": "def test_one(request):\n    assert request.config.option.timeout is None\n",
	})
	var output bytes.Buffer
	results := newResults(t, "only")
	status, err := Run(t.Context(), p.command, RunOptions{
		Dir: p.dir, Env: testEnv(), Args: []string{"-p", "no:timeout"}, Workers: 1, Timeout: time.Minute, Results: results, Stdout: &output, Stderr: &output,
		Selection: Selection{Pieces: []shard.Piece{{File: "test_one.py", Tests: []string{"::test_one"}}}},
	})
	if notes := readResults(t, results).Notes; err != nil || status != ExitOK || len(notes) != 1 || !strings.Contains(notes[0], "pytest-timeout is not there") {
		t.Errorf("%d, %v, notes %q\n%s", status, err, notes, &output)
	}
}

// A pytest that does not stop is killed after the grace.
func TestRunGrace(t *testing.T) {
	dir := t.TempDir()
	script := filepath.Join(dir, "stubborn")
	write(t, script, "#!/bin/sh\ntrap '' INT\n: > "+filepath.Join(dir, "ready")+"\nwhile :; do sleep 0.05; done\n")
	if err := os.Chmod(script, 0o755); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		waitFor(filepath.Join(dir, "ready"))
		cancel()
	}()
	status, err := Run(ctx, Command{Argv: []string{script}}, RunOptions{
		Results: newResults(t, "x"), Grace: 100 * time.Millisecond, DeadlineGrace: time.Hour})
	if status != 137 || err != nil {
		t.Errorf("Run = %d, %v, want 137", status, err)
	}
	// It has longer where it is a deadline that has come.
	if err := os.Remove(filepath.Join(dir, "ready")); err != nil {
		t.Fatal(err)
	}
	limit := deadlined{t.Context(), make(chan struct{})}
	var began time.Time
	go func() {
		waitFor(filepath.Join(dir, "ready"))
		began = time.Now()
		close(limit.done)
	}()
	status, err = Run(limit, Command{Argv: []string{script}}, RunOptions{
		Results: newResults(t, "x"), Grace: time.Millisecond, DeadlineGrace: time.Second})
	if took := time.Since(began); status != 137 || err != nil || took < time.Second {
		t.Errorf("Run = %d, %v %v after the deadline, want 137 after a second", status, err, took)
	}
}

func TestRunNotFound(t *testing.T) {
	_, err := Run(t.Context(), Command{Argv: []string{"/nonexistent/pytest"}, Source: "--pytest"}, RunOptions{Results: "x"})
	var hint *HintError
	if !asHint(err, &hint) || !strings.Contains(err.Error(), `starting "/nonexistent/pytest" (--pytest)`) {
		t.Errorf("Run: %v, want a hint", err)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// waitFor returns when the file is there, as wait does.
func waitFor(path string) {
	wait(func() bool { _, err := os.Stat(path); return err == nil })
}

// wait returns when it is done, or after a minute, when whoever waits for more has
// failed anyway.
func wait(done func() bool) {
	for n := 0; n < 6000 && !done(); n++ {
		time.Sleep(10 * time.Millisecond)
	}
}

// Names that are not Unicode, such as of files that are not UTF-8, are spelt
// with escapes, at collection and in results alike. One worker only: xdist
// itself cannot send such a name.
func TestLoneSurrogates(t *testing.T) {
	for _, env := range []string{"old", "new"} {
		t.Run(env, func(t *testing.T) {
			oneOfFew(t)
			p := proof{command: pytestIn(t, env), dir: t.TempDir()}
			write(t, filepath.Join(p.dir, "pytest.ini"),
				"[pytest]\ndisable_test_id_escaping_and_forfeit_all_rights_to_community_support = true\n")
			write(t, filepath.Join(p.dir, "test_raw.py"), `import pytest
@pytest.mark.parametrize("text", ["a\udc80b", "\udcff", "ok"])
def test_raw(text):
    assert text != "\udcff"
`)
			c := p.collect(t)
			plan, s := one(c, 1, true)
			if want := timing.NodeID(`test_raw.py::test_raw[a\udc80b]`); c.Tests[0].ID != want {
				t.Errorf("collected %q, want %q", c.Tests[0].ID, want)
			}
			o := p.shard(t, c, plan, s)
			got := map[timing.NodeID]timing.Outcome{}
			for _, test := range o.results.Tests {
				got[test.ID] = test.Outcome
			}
			want := map[timing.NodeID]timing.Outcome{
				`test_raw.py::test_raw[a\udc80b]`: timing.Passed,
				`test_raw.py::test_raw[\udcff]`:   timing.Failed,
				`test_raw.py::test_raw[ok]`:       timing.Passed,
			}
			if !maps.Equal(got, want) {
				t.Errorf("outcomes %v, want %v\n%s", got, want, o.output)
			}
		})
	}
}

// What the run's own line says goes before the plan; what the ini says does
// not, and is told once.
func TestNotes(t *testing.T) {
	for _, test := range []struct {
		env, suite string
		workers    int
		args       []string
		extra      []string
		notes      []string
		tests      int
		processes  string
	}{
		{env: "new", suite: "options", workers: 2, notes: []string{"-x or --maxfail is on"}, tests: 24, processes: "gw0 gw1"},
		{env: "new", suite: "options", workers: 2, extra: []string{"-n0"}, notes: []string{"-x or --maxfail is on"}, tests: 24, processes: "main"},
		{env: "new", suite: "options", workers: 1, extra: []string{"--maxfail=1"}, tests: 1, processes: "main"},
		{env: "new", suite: "cached", workers: 1, args: []string{"-o", "addopts="}, tests: 36, processes: "main"},
		{env: "new", suite: "options", workers: 2, args: []string{"-p", "no:xdist", "-o", "addopts="},
			notes: []string{"pytest-xdist is not there: 2 workers were planned"}, tests: 24, processes: "main"},
		{env: "bare", suite: "options", workers: 3, args: []string{"-o", "addopts="},
			notes: []string{"pytest-xdist is not there: 3 workers were planned"}, tests: 24, processes: "main"},
	} {
		t.Run(fmt.Sprint(test.env, test.suite, test.workers, test.args, test.extra), func(t *testing.T) {
			oneOfFew(t)
			p := proof{command: pytestIn(t, test.env), dir: suite(t, test.suite), args: test.args, extra: test.extra}
			c := p.collect(t)
			plan, s := one(c, test.workers, true)
			o := p.shard(t, c, plan, s)
			if len(o.results.Notes) != len(test.notes) {
				t.Errorf("notes %q, want %q", o.results.Notes, test.notes)
			}
			for i, note := range test.notes {
				if i < len(o.results.Notes) && !strings.HasPrefix(o.results.Notes[i], note) {
					t.Errorf("note %q, want %q", o.results.Notes[i], note)
				}
			}
			var processes []string
			for _, w := range o.results.Workers {
				processes = append(processes, w.Worker)
			}
			slices.Sort(processes)
			if strings.Join(processes, " ") != test.processes || len(o.results.Tests) != test.tests {
				t.Errorf("%d tests on %q, want %d on %q\n%s", len(o.results.Tests), processes, test.tests, test.processes, o.output)
			}
		})
	}
}

// The tests of a group, and those of a file that is not cut, share a worker.
func TestScopes(t *testing.T) {
	for _, env := range []string{"old", "new"} {
		t.Run(env, func(t *testing.T) {
			oneOfFew(t)
			p := proof{command: pytestIn(t, env), dir: suite(t, "cached"), args: []string{"-o", "addopts="}}
			c := p.collect(t)
			plan, s := one(c, 2, false)
			s.Pieces[0].Cut = true
			plan.Shards[0] = s
			o := p.shard(t, c, plan, s)
			where := map[string]map[string]bool{}
			for _, test := range o.results.Tests {
				scope := test.ID.Function()
				if where[scope] == nil {
					where[scope] = map[string]bool{}
				}
				where[scope][test.Worker] = true
			}
			for _, scope := range []string{"test_groups.py::test_group", "test_more.py::test_group", "test_more.py::test_alone"} {
				if len(where[scope]) != 1 {
					t.Errorf("%s ran on %v, want one worker", scope, where[scope])
				}
			}
		})
	}
}

// Whenever workers are killed, every test is told once: as crashed if its
// worker died of it. xdist would give up after four a worker.
func TestRandomKills(t *testing.T) {
	const kills = 15 // in each of four sessions; of three workers xdist gives up at the 13th
	for _, env := range []string{"old", "new"} {
		for _, memory := range []*Memory{nil, {Budget: 1 << 40}} {
			t.Run(fmt.Sprint(env, memory != nil), func(t *testing.T) {
				if runtime.GOOS == "windows" {
					t.Skip("signals")
				}
				oneOfFew(t)
				p := proof{command: pytestIn(t, env), dir: suite(t, "kills"), memory: memory, env: []string{fmt.Sprint("KILLS=", kills)}}
				c := p.collect(t)
				plan, s := one(c, 3, true)
				s.Pieces[1].Cut = false
				if memory != nil {
					for i := range s.Pieces[0].Tests {
						if i%20 == 0 {
							s.Pieces[0].Needs = append(s.Pieces[0].Needs, shard.TestNeed{Test: i, Need: 1 << 39})
						}
					}
				}
				plan.Shards[0] = s
				o := p.shard(t, c, plan, s)
				killed, _ := filepath.Glob(filepath.Join(p.dir, "killed-*"))
				if o.status != ExitFailed || len(killed) != kills {
					t.Errorf("status %d after %d kills, want %d after %d\n%s", o.status, len(killed), ExitFailed, kills, o.output)
				}
				told := map[timing.NodeID]int{}
				crashed := 0
				for _, test := range o.results.Tests {
					told[test.ID]++
					if test.Outcome == timing.Crashed {
						crashed++
					} else if test.Outcome != timing.Passed {
						t.Errorf("%q: %s", test.ID, test.Outcome)
					}
				}
				for _, id := range s.IDs() {
					if told[id] != 1 {
						t.Errorf("%q was told %d times\n%s", id, told[id], o.output)
					}
				}
				if crashed == 0 || crashed > kills || len(o.results.Running) > 0 {
					t.Errorf("%d tests crashed of %d kills, still running %v", crashed, kills, o.results.Running)
				}
			})
		}
	}
}
