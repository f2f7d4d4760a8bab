// act, which runs workflows as GitHub would: getting it, and calling it.

package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The tools that stand in for GitHub, by module and version.
const (
	actModule        = "github.com/nektos/act@v0.2.89"
	actionlintModule = "github.com/rhysd/actionlint/cmd/actionlint@v1.7.12"
)

// tool returns a program of a Go module, which is built into the user's cache
// where it is not there yet.
func tool(t *testing.T, module string) string {
	t.Helper()
	if testing.Short() {
		t.Skip("builds " + module)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Skip(err)
	}
	path, version, _ := strings.Cut(module, "@")
	folder := filepath.Join(cache, "wcshard", "tools", version)
	program := filepath.Join(folder, filepath.Base(path))
	if _, err := os.Stat(program); err == nil {
		return program
	}
	build := exec.CommandContext(t.Context(), "go", "install", module)
	build.Env = append(os.Environ(), "GOBIN="+folder, "GOFLAGS=")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go install %s: %v\n%s", module, err, out)
	}
	return program
}

// actTakes is more than any run of act takes here; one hung for a quarter of an
// hour.
const actTakes = 4 * time.Minute

// runAct returns what act prints. Where act hangs, it tells what of it was still
// running; where that is nothing but act itself, act is run once more.
func (h *hub) runAct(args []string) string {
	h.t.Helper()
	folders := []string{h.store, h.caches}
	before := make([]string, len(folders))
	for i, folder := range folders {
		before[i] = h.t.TempDir()
		if err := os.CopyFS(before[i], os.DirFS(folder)); err != nil {
			h.t.Fatal(err)
		}
	}
	out, hung := h.tryAct(args)
	if hung == nil {
		return out
	}
	h.t.Logf("act hangs\n%s\nof it there was:\n%s", out, strings.Join(hung, "\n"))
	if len(hung) > 1 {
		h.t.FailNow()
	}
	for i, folder := range folders {
		if err := errors.Join(os.RemoveAll(folder), os.CopyFS(folder, os.DirFS(before[i]))); err != nil {
			h.t.Fatal(err)
		}
	}
	if out, hung = h.tryAct(args); hung != nil {
		h.t.Fatalf("act hangs again\n%s", out)
	}
	return out
}

// tryAct runs act, and returns what it prints and, where it was ended since it
// hung, its processes by then, act itself first.
func (h *hub) tryAct(args []string) (out string, hung []string) {
	h.t.Helper()
	act := exec.Command(h.act, args...)
	act.Dir, act.Env = h.folder, h.environ()
	act.WaitDelay = 10 * time.Second
	var b bytes.Buffer
	act.Stdout, act.Stderr = &b, &b
	if err := act.Start(); err != nil {
		h.t.Fatal(err)
	}
	processes := make(chan []string, 1)
	timer := time.AfterFunc(actTakes, func() {
		processes <- descendants(act.Process.Pid)
		act.Process.Signal(syscall.SIGQUIT) // act is in Go: it tells where it is
	})
	err := act.Wait()
	if !timer.Stop() {
		return b.String(), <-processes
	}
	var died *exec.ExitError
	if err != nil && !errors.As(err, &died) {
		h.t.Fatal(err)
	}
	return b.String(), nil
}

// descendants lists a process, and all that it has started and that live.
func descendants(pid int) []string {
	ps, _ := exec.Command("ps", "-e", "-o", "pid=,ppid=,stat=,etime=,args=").Output()
	list := []string{fmt.Sprint(pid, " (act)")}
	known := map[string]bool{fmt.Sprint(pid): true}
	for more := true; more; {
		more = false
		for line := range strings.Lines(string(ps)) {
			f := strings.Fields(line)
			if len(f) > 2 && known[f[1]] && !known[f[0]] && !strings.HasPrefix(f[2], "Z") {
				known[f[0]], more = true, true
				list = append(list, strings.TrimSpace(line))
			}
		}
	}
	return list
}
