package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// openTerminal returns the two ends of a new terminal.
func openTerminal(t *testing.T) (master, terminal *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { master.Close() })
	number, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		terminal, err = os.OpenFile(fmt.Sprint("/dev/pts/", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	return master, terminal
}

// TestUVInterrupt has pytest behind uv run end in good order, whoever sends the
// signal: on a terminal uv itself passes no SIGINT on.
func TestUVInterrupt(t *testing.T) {
	environ := uvEnvironment(t)
	dir := t.TempDir()
	writeTestFile(t, filepath.Join(dir, "pyproject.toml"), `[project]
name = "weather"
version = "0.1.0"
requires-python = ">=3.9"
dependencies = []

[dependency-groups]
dev = ["pytest>=7"]
`)
	writeTestFile(t, filepath.Join(dir, "test_slow.py"), `import time, pytest

@pytest.fixture(scope="module")
def resource():
    yield
    open("torn-down", "w").close()

@pytest.mark.parametrize('n', range(3))
def test_slow(n, resource):
    open("began", "w").close()
    time.sleep(60)
`)
	const uvRun = "uv run pytest"
	mustRun(t, wcshard(t, dir, environ, "matrix", "--shards", "1", "--workers", "1", "--pytest", uvRun))
	for _, test := range []struct {
		name     string
		terminal bool
		stop     func(master *os.File, process *os.Process)
	}{
		{"SIGTERM", false, func(_ *os.File, p *os.Process) { p.Signal(syscall.SIGTERM) }},
		{"SIGTERM on a terminal", true, func(_ *os.File, p *os.Process) { p.Signal(syscall.SIGTERM) }},
		{"Ctrl-C", true, func(master *os.File, _ *os.Process) { master.Write([]byte{3}) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			began, torn := filepath.Join(dir, "began"), filepath.Join(dir, "torn-down")
			os.Remove(began)
			os.Remove(torn)
			run := wcshard(t, dir, environ, "run", "--shard", "pool-1", "--pytest", uvRun, "--results", t.TempDir())
			var out bytes.Buffer
			var master *os.File
			var reading sync.WaitGroup
			if test.terminal {
				var terminal *os.File
				master, terminal = openTerminal(t)
				run.Stdin, run.Stdout, run.Stderr = terminal, terminal, terminal
				run.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
				reading.Go(func() { io.Copy(&out, master) }) // to the end, which is an error of a terminal
				defer terminal.Close()
			} else {
				run.Stdout, run.Stderr = &out, &out
			}
			if err := run.Start(); err != nil {
				t.Fatal(err)
			}
			if test.terminal {
				run.Stdin.(*os.File).Close()
			}
			waitFor(t, func() bool { _, err := os.Stat(began); return err == nil })
			stopped := time.Now()
			test.stop(master, run.Process)
			run.Wait()
			took := time.Since(stopped)
			reading.Wait()
			if got := run.ProcessState.ExitCode(); got != exitInterrupted || !strings.Contains(out.String(), "KeyboardInterrupt") {
				t.Errorf("run exited with %d after %v, want pytest's %d\n%s", got, took, exitInterrupted, &out)
			}
			if _, err := os.Stat(torn); err != nil {
				t.Errorf("pytest did not tear down: %v\n%s", err, &out)
			}
		})
	}
}
