//go:build unix

package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/wcshard/wcshard/shard"
	"github.com/wcshard/wcshard/shard/pytest"
	"github.com/wcshard/wcshard/timing"
)

// recovered runs a session whose calls of pytest are shell scripts, which write
// to $results, and raise the kernel's counter of kills with kill_self.
func recovered(ctx context.Context, t *testing.T, tests []string, workers int, scripts ...string) (r *recovery, status int, said string) {
	t.Helper()
	dir := t.TempDir()
	script := "#!/bin/sh\ncd " + dir + "\nresults=results.jsonl\necho >> calls\nkill_self() { echo >> kills; kill -9 $$; }\ncase $(wc -l < calls | tr -d ' ') in\n"
	for i, text := range scripts {
		script += fmt.Sprintf("%d)\n%s\n;;\n", i+1, text)
	}
	writeTestFile(t, filepath.Join(dir, "pytest"), script+"*) exit 99;;\nesac\n")
	name := filepath.Join(dir, "results.jsonl")
	header := timing.ResultsHeader{Plan: "sha256:x", Run: "r", Shards: []string{"pool-1"}, Attempt: 1, Runner: "local", Workers: workers, Started: time.Unix(0, 0).UTC()}
	writeTestFile(t, name, string(header.Line()))
	var out bytes.Buffer
	j := &job{
		sys:     &system{stdout: &out, stderr: &out, environ: os.Environ()},
		plan:    &shard.Plan{},
		command: pytest.Command{Argv: []string{"/bin/sh", filepath.Join(dir, "pytest")}},
		dir:     dir,
		counter: func() (int64, int64) {
			kills, _ := os.ReadFile(filepath.Join(dir, "kills"))
			return int64(len(kills)), -1
		},
	}
	s := session{name: "pool-1", run: &shard.Shard{Workers: workers}}
	selection := pytest.Selection{Pieces: []shard.Piece{{File: "a.py", Tests: tests}}}
	first, err := j.try(ctx, s, call{results: name, selection: selection, workers: workers})
	if err != nil {
		t.Fatal(err)
	}
	r = &recovery{job: j, session: s, name: name, selection: selection}
	if status, err = r.run(ctx, first); err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	r.timedOut(ctx)
	if err := r.read(); err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	return r, status, out.String()
}

// ran is a script's line for a test that passed.
func ran(test, worker string) string {
	return fmt.Sprintf(`echo '{"t":"start","id":"a.py::%s","worker":"%s"}
{"t":"test","id":"a.py::%s","worker":"%s","outcome":"passed"}' >> $results`+"\n", test, worker, test, worker)
}

func began(test, worker string) string {
	return fmt.Sprintf(`echo '{"t":"start","id":"a.py::%s","worker":"%s"}' >> $results`+"\n", test, worker)
}

// TestRecoverBetweenTests: pytest is killed while no test runs, in the middle
// of a line. What had ended by then is progress, and the next call begins a new
// line.
func TestRecoverBetweenTests(t *testing.T) {
	r, status, said := recovered(t.Context(), t, []string{"::x", "::y"}, 1,
		ran("x", "main")+"printf '{\"t\":\"sta' >> $results\nkill_self",
		ran("y", "main"))
	if status != exitOK || len(r.results.Tests) != 2 || r.tries != 1 {
		t.Errorf("status %d, %d tests, %d more tries\n%s", status, len(r.results.Tests), r.tries, said)
	}
	// Without progress it ends.
	_, status, said = recovered(t.Context(), t, []string{"::x"}, 1, "kill_self")
	if status != exitKilled {
		t.Errorf("killed before any test: status %d\n%s", status, said)
	}
}

// TestRecoverRerun: what a rerun plugin has run again by itself does not run
// once more.
func TestRecoverRerun(t *testing.T) {
	r, status, said := recovered(t.Context(), t, []string{"::x"}, 2,
		began("x", "gw0")+"echo >> kills\n"+`echo '{"t":"down","worker":"gw0","signal":9}' >> $results`+"\n"+ran("x", "gw1"))
	if status != exitOK || r.tries != 0 || len(r.results.Killed) != 1 {
		t.Errorf("status %d, %d more tries, killed %v\n%s", status, r.tries, r.results.Killed, said)
	}
	// It died twice, and runs alone once.
	died := began("x", "gw0") + "echo >> kills\n" + `echo '{"t":"down","worker":"gw0","signal":9}' >> $results` + "\n"
	r, status, said = recovered(t.Context(), t, []string{"::x"}, 2, died+strings.ReplaceAll(died, "gw0", "gw1"), "kill_self")
	if r.tries != 1 {
		t.Errorf("status %d, %d more tries\n%s", status, r.tries, said)
	}
}

// TestRecoverTimeLimit: a limit that comes while a test runs alone is told.
func TestRecoverTimeLimit(t *testing.T) {
	ctx, cancel := context.WithDeadlineCause(t.Context(), time.Now().Add(2*time.Second), errTimeLimit)
	defer cancel()
	r, _, said := recovered(ctx, t, []string{"::x", "::y"}, 1,
		ran("x", "main")+began("y", "main")+"kill_self",
		began("y", "main")+"exec sleep 30")
	if notes := strings.Join(r.results.Notes, "\n"); !strings.Contains(notes, "stopped at the time limit while running a.py::y on main") {
		t.Errorf("the results note %q\n%s", notes, said)
	}
}

// TestRecoverLeftWorkers: the workers of a killed pytest are gone before the
// next try.
func TestRecoverLeftWorkers(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells when a process started")
	}
	r, status, said := recovered(t.Context(), t, []string{"::x"}, 2,
		"sleep 60 > /dev/null 2>&1 &\n"+`echo "{\"t\":\"worker\",\"worker\":\"gw0\",\"pid\":$!,\"imports_us\":{}}" >> $results`+"\nsleep 1\n"+began("x", "gw0")+"kill_self",
		ran("x", "main"))
	if status != exitOK || len(r.results.Workers) != 1 {
		t.Fatalf("status %d, workers %v\n%s", status, r.results.Workers, said)
	}
	if !strings.Contains(said, "ended 1 process that the last try had left") {
		t.Errorf("run says\n%s", said)
	}
}
