package killed

import (
	"os"
	"time"

	"github.com/wcshard/wcshard/shard/pytest/procfs"
)

// startOf tells when a process started, in the kernel's own count, and whether
// it lives: one that is dead and waits for its parent does not.
func startOf(pid int) (start string, alive bool) {
	fields := procfs.Stat(pid)
	if len(fields) < 20 {
		return "", false
	}
	state := fields[0][0]
	return string(fields[19]), state != 'Z' && state != 'X'
}

// End kills processes that are still those that were seen to start then, and
// waits until they are gone, or for patience. It returns how many there were.
func End(born map[int]string, patience time.Duration) int {
	n := 0
	for pid, start := range born {
		if !lives(pid, start) {
			continue
		}
		process, err := os.FindProcess(pid)
		// Found, it stays that process where the system has handles for them.
		if err == nil && lives(pid, start) && process.Kill() == nil {
			n++
		}
	}
	for deadline := time.Now().Add(patience); time.Now().Before(deadline) && anyLives(born); {
		time.Sleep(10 * time.Millisecond)
	}
	return n
}

func lives(pid int, start string) bool {
	now, alive := startOf(pid)
	return alive && now == start
}

func anyLives(born map[int]string) bool {
	for pid, start := range born {
		if lives(pid, start) {
			return true
		}
	}
	return false
}
