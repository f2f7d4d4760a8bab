package cgroup

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const mib = 1 << 20

// newGroup makes a real group, or skips where none can be had.
func newGroup(t *testing.T, limit int64) *Group {
	group, err := Host{}.New(limit)
	if err != nil {
		t.Skip("no memory cgroup can be made here: ", err)
	}
	t.Cleanup(func() {
		if err := group.Close(); err != nil {
			t.Error(err)
		}
	})
	return group
}

func start(group *Group, argv ...string) *exec.Cmd {
	argv = group.Command(argv)
	return exec.Command(argv[0], argv[1:]...)
}

// hog touches so many MiB and tells so.
const hog = `import sys; b = bytearray(int(sys.argv[1]) << 20); b[::4096] = b"x" * len(b[::4096]); print("held")`

func TestGroup(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("allocates with python3: ", err)
	}
	group := newGroup(t, 128*mib)
	if out, err := start(group, python, "-c", hog, "60").CombinedOutput(); err != nil || strings.TrimSpace(string(out)) != "held" {
		t.Fatalf("60 of 128 MiB: %v: %s", err, out)
	}
	if u := group.Usage(); u.Kills != 0 || u.Peak != Unknown && (u.Peak < 60*mib || u.Peak > 128*mib) {
		t.Errorf("after 60 of 128 MiB: Usage() = %+v", u)
	}
	cmd := start(group, python, "-c", hog, "300")
	out, _ := cmd.CombinedOutput()
	if wait := cmd.ProcessState.Sys().(syscall.WaitStatus); !wait.Signaled() || wait.Signal() != syscall.SIGKILL {
		t.Errorf("300 of 128 MiB ended with %v: %s", cmd.ProcessState, out)
	}
	if u := group.Usage(); u.Kills != 1 || u.Peak > 128*mib {
		t.Errorf("after 300 of 128 MiB: Usage() = %+v, want one kill", u)
	}
}

// TestGroupInside: what runs in a group sees its limit.
func TestGroupInside(t *testing.T) {
	group := newGroup(t, 256*mib)
	cmd := start(group, os.Args[0], "-test.run=TestInside$")
	cmd.Env = append(os.Environ(), "CGROUP_TEST_INSIDE=1")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), fmt.Sprint("total ", 256*mib)) {
		t.Errorf("inside: %v\n%s", err, out)
	}
}

func TestInside(t *testing.T) {
	if os.Getenv("CGROUP_TEST_INSIDE") == "" {
		t.Skip("runs inside of TestGroupInside")
	}
	memory, err := Host{}.Memory()
	fmt.Println("total", memory.Total, "free", memory.Free, "from", memory.From, err)
	if memory.Free > 256*mib || memory.Free < 128*mib {
		t.Errorf("Memory() = %+v", memory)
	}
}

// TestClose: what a test left running lives on, and the group goes.
func TestClose(t *testing.T) {
	group, err := Host{}.New(128 * mib)
	if err != nil {
		t.Skip("no memory cgroup can be made here: ", err)
	}
	server := start(group, "sleep", "60")
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	defer server.Wait()
	defer server.Process.Kill()
	for readNumber(group.place.file("cgroup.procs"), 0) != int64(server.Process.Pid) {
		time.Sleep(time.Millisecond)
	}
	if err := group.Close(); err != nil {
		t.Error(err)
	}
	if err := server.Process.Signal(syscall.Signal(0)); err != nil {
		t.Errorf("what ran in the group is gone: %v", err)
	}
}

// TestGroupKill: what runs in the group ends.
func TestGroupKill(t *testing.T) {
	group := newGroup(t, 128*mib)
	server := start(group, "sleep", "60")
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Wait() }()
	for readNumber(group.place.file("cgroup.procs"), 0) != int64(server.Process.Pid) {
		time.Sleep(time.Millisecond)
	}
	if n := group.Kill(10 * time.Second); n != 1 {
		t.Errorf("%d processes ended, want 1", n)
	}
	if err := <-ended; err == nil {
		t.Error("it ended by itself")
	}
	if n := group.Kill(10 * time.Second); n != 0 {
		t.Errorf("%d processes in an empty group", n)
	}
}

// TestScope has a stand-in for systemd-run: the real one needs a session of
// systemd's.
func TestScope(t *testing.T) {
	bin := t.TempDir()
	log := filepath.Join(bin, "log")
	script := "#!/bin/sh\necho \"$*\" >> " + log + "\nwhile [ \"$1\" != -- ]; do shift; done; shift; exec \"$@\"\n"
	if err := os.WriteFile(filepath.Join(bin, "systemd-run"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	group, err := newScope(gib)
	if err != nil {
		t.Fatal(err)
	}
	if out, err := start(group, "echo", "two words").CombinedOutput(); err != nil || string(out) != "two words\n" {
		t.Errorf("a command in a scope: %v: %s", err, out)
	}
	if _, err := (Host{}).own(); err == nil && !group.find() {
		t.Error("the scope is not found")
	}
	if err := group.Close(); err != nil {
		t.Error(err)
	}
	said, _ := os.ReadFile(log)
	if !strings.Contains(string(said), "-p MemoryMax=1073741824 -p MemorySwapMax=0 -p OOMPolicy=continue -- ") {
		t.Errorf("systemd-run was called with %s", said)
	}
}

// TestScopeOld: systemd before 253 knows no OOMPolicy of scopes.
func TestScopeOld(t *testing.T) {
	bin := t.TempDir()
	script := "#!/bin/sh\ncase \"$*\" in *OOMPolicy*) echo Unknown assignment >&2; exit 1;; esac\nwhile [ \"$1\" != -- ]; do shift; done; shift; exec \"$@\"\n"
	if err := os.WriteFile(filepath.Join(bin, "systemd-run"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	group, err := newScope(gib)
	if err != nil {
		t.Fatal(err)
	}
	if out, err := start(group, "echo", "two words").CombinedOutput(); err != nil || string(out) != "two words\n" {
		t.Errorf("a command in a scope: %v: %s", err, out)
	}
	if err := group.Close(); err != nil {
		t.Error(err)
	}
}

// TestScopes: each try is a scope of its own, which vanishes with it; the
// group's usage is that of all.
func TestScopes(t *testing.T) {
	h := tree(t, map[string]string{
		"proc/self/mountinfo":           mountV2,
		"sys/fs/cgroup/a/memory.events": "oom_kill 2\n",
		"sys/fs/cgroup/a/memory.peak":   "500\n",
		"sys/fs/cgroup/b/memory.events": "oom_kill 1\n",
		"sys/fs/cgroup/b/memory.peak":   "300\n",
	})
	group := &Group{host: h, note: filepath.Join(t.TempDir(), "note")}
	look := func(place string, want Usage) {
		t.Helper()
		if err := os.WriteFile(group.note, []byte("0::/"+place+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := group.Usage(); got != want {
			t.Errorf("in scope %s: Usage() = %+v, want %+v", place, got, want)
		}
	}
	look("a", Usage{Peak: 500, Kills: 2})
	look("a", Usage{Peak: 500, Kills: 2})
	look("gone", Usage{Peak: 500, Kills: 2, Gone: true})
	look("b", Usage{Peak: 500, Kills: 3})
}

// TestSweep: the cgroups of dead calls go, those of living ones stay.
func TestSweep(t *testing.T) {
	parent := place{mount: t.TempDir(), path: "/"}
	dead := exec.Command("true")
	if err := dead.Run(); err != nil {
		t.Fatal(err)
	}
	gone := parent.file(fmt.Sprintf("wcshard-%d-1", dead.ProcessState.Pid()))
	stay := []string{parent.file(fmt.Sprintf("wcshard-%d-1", os.Getpid())), parent.file(fmt.Sprintf("wcshard-%d-1", os.Getppid())), parent.file("wcshard-x-1"), parent.file("other")}
	for _, dir := range append(stay, gone) {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	sweep(parent)
	for _, dir := range stay {
		if _, err := os.Stat(dir); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(gone); !os.IsNotExist(err) {
		t.Errorf("%s is still there", gone)
	}
}
