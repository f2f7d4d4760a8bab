package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain lets the scripts call this very test binary as wcshard.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"wcshard": func() { os.Exit(run(context.Background(), newSystem(), os.Args[1:])) },
	})
}

// TestScript runs testdata/script: what a user sees, verb by verb. These
// scripts need no Python.
func TestScript(t *testing.T) {
	runScripts(t, "testdata/script", "")
}

// TestPytestScript runs testdata/pytest, with the real pytest and xdist.
func TestPytestScript(t *testing.T) {
	runScripts(t, "testdata/pytest", testVenv(t))
}

// testVenv returns the demo's virtual environment, which is made in the user's
// cache where it is not there yet.
func testVenv(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("makes a virtual environment")
	}
	if deadline, ok := t.Deadline(); ok && time.Until(deadline) < 3*time.Minute {
		t.Skip("the time of go test is nearly over: go test -timeout 30m runs this one, too") // after ten minutes it is a panic
	}
	python, err := demoPython(t.Context())
	if err != nil {
		t.Skip(err)
	}
	venv, err := makeVenv(t.Context(), python, t.Output())
	if err != nil {
		t.Fatal(err)
	}
	return venv
}

// runScripts runs the scripts of a folder, with more variables as NAME=value.
func runScripts(t *testing.T, dir, venv string, more ...string) {
	testscript.Run(t, testscript.Params{
		Dir:                 dir,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		UpdateScripts:       os.Getenv("UPDATE_SCRIPTS") != "",
		Cmds:                map[string]func(*testscript.TestScript, bool, []string){"status": scriptStatus},
		Setup: func(env *testscript.Env) error {
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("VIRTUAL_ENV", venv)
			env.Vars = append(env.Vars, more...)
			return nil
		},
	})
}

// scriptStatus runs a command that has to end with a status: status N wcshard ….
func scriptStatus(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status N command [argument …]")
	}
	got := 0
	err := ts.Exec(args[1], args[2:]...)
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if strconv.Itoa(got) != args[0] {
		ts.Fatalf("status %d, want %s", got, args[0])
	}
}

// ofCaller matches what a CI or a developer has set for other runs than these.
var ofCaller = regexp.MustCompile(`^(CI|GITHUB|GITLAB|TF|WCSHARD|PYTEST)(_\w+)?=`)

// wcshard prepares a call of the program itself; testscript.Main has put it on
// the path.
func wcshard(t *testing.T, dir string, env []string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(t.Context(), "wcshard", args...)
	cmd.Dir = dir
	cmd.Env = append(slices.DeleteFunc(os.Environ(), ofCaller.MatchString), env...)
	return cmd
}

func mustRun(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v\n%s", cmd.Args, err, out)
	}
	return string(out)
}

func writeTestFile(t *testing.T, name, text string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o777), os.WriteFile(name, []byte(text), 0o666)); err != nil {
		t.Fatal(err)
	}
}

// repository is the top folder of this checkout.
func repository(t *testing.T) string {
	_, file, _, ok := runtime.Caller(0)
	if !ok {
		t.Fatal("no caller")
	}
	return filepath.Join(filepath.Dir(file), "..", "..")
}

// TestTopLevel keeps the visible top level to what was agreed.
func TestTopLevel(t *testing.T) {
	entries, err := os.ReadDir(repository(t))
	if err != nil {
		t.Fatal(err)
	}
	agreed := map[string]bool{"cmd": true, "shard": true, "timing": true, "action.yml": true, "go.mod": true, "go.sum": true, "README.md": true}
	for _, entry := range entries {
		if name := entry.Name(); !strings.HasPrefix(name, ".") && !agreed[name] {
			t.Errorf("%s stands at the top level", name)
		}
	}
}
