package main

import (
	"os/exec"
	"runtime"
	"strings"
	"testing"
)

// What this process holds is no part of what another one takes.
func TestMeasure(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the program is Linux's, and elsewhere a parent's memory does not count")
	}
	ballast := make([]byte, 256<<20)
	for i := 0; i < len(ballast); i += 4096 {
		ballast[i] = 1
	}
	var out strings.Builder
	cmd := exec.Command("sh", "-c", "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; cat")
	cmd.Stdin, cmd.Stdout = strings.NewReader("through"), &out
	m, err := measure(cmd)
	runtime.KeepAlive(ballast)
	if err != nil || out.String() != "through" {
		t.Fatalf("measure() = %v, printed %q", err, out.String())
	}
	if m.Peak < 1<<19 || m.Peak > 128<<20 || m.Seconds <= 0 || m.CPU <= 0 {
		t.Errorf("a shell took %+v", m)
	}
	if _, err := measure(exec.Command("sh", "-c", "exit 3")); err == nil {
		t.Error("exit status 3 is no error")
	}
}
