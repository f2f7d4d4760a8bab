package main

import (
	"time"

	"golang.org/x/sys/unix"
)

// adoptOrphans makes this process the parent of what its children leave behind
// (prctl(2)), and reports whether the system can.
func adoptOrphans() bool {
	return unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == nil
}

// reapOrphans waits for all children that have ended, and returns their CPU time.
func reapOrphans() (cpu time.Duration) {
	for {
		var took unix.Rusage
		pid, err := unix.Wait4(-1, nil, unix.WNOHANG, &took)
		if err == unix.EINTR {
			continue
		}
		if err != nil || pid <= 0 {
			return cpu
		}
		cpu += time.Duration(took.Utime.Nano() + took.Stime.Nano())
	}
}
