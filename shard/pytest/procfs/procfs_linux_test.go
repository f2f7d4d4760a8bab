package procfs

import (
	"os"
	"os/exec"
	"slices"
	"strconv"
	"testing"
)

// A process is told of while it is there, and not when it is gone.
func TestProcess(t *testing.T) {
	cmd := exec.Command("cat")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Skip("no program to start: ", err)
	}
	pid := cmd.Process.Pid
	if children := Children(os.Getpid()); !slices.Contains(children, pid) {
		t.Errorf("Children() = %d, want %d among them", children, pid)
	}
	if u := UsageOf(os.Getpid()); u.Files <= 0 || u.Resident <= u.Files {
		t.Errorf("UsageOf() = %+v, want some memory beside that of files", u)
	}
	if fields := Stat(pid); len(fields) < 30 || len(fields[0]) != 1 || string(fields[1]) != strconv.Itoa(os.Getpid()) {
		t.Errorf("Stat() = %q, want a state and %d, its parent", fields, os.Getpid())
	}
	in.Close()
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	if children, fields := Children(pid), Stat(pid); len(children)+len(fields) > 0 || UsageOf(pid) != (Usage{}) {
		t.Errorf("when it is gone: %d, %q, %+v", children, fields, UsageOf(pid))
	}
}
