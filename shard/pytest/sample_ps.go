//go:build !linux && !windows

package pytest

import (
	"bytes"
	"fmt"
	"os/exec"
	"time"
)

// slowest is how often this system is looked at most: it takes a process.
const slowest = 2 * time.Second

// held returns what the processes hold that are there, as ps tells it.
func (*processes) held(_ time.Time, pids map[string]int) map[string]processMemory {
	text, err := exec.Command("ps", "-axo", "pid=,ppid=,rss=").Output()
	if err != nil {
		return nil
	}
	var entries []entry
	for line := range bytes.Lines(text) {
		var e entry
		if _, err := fmt.Sscan(string(line), &e.pid, &e.parent, &e.resident); err == nil {
			e.resident <<= 10
			entries = append(entries, e)
		}
	}
	return treeUsage(pids, entries)
}
