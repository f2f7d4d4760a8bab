//go:build !linux

package pytest

import "time"

// processes is what a sample remembers: nothing.
type processes struct{ spent time.Duration }

func newProcesses() processes { return processes{} }

// entry is a process as systems list them.
type entry struct {
	pid, parent int
	resident    int64 // bytes
}

// treeUsage sums resident memory over the descendants of each process. Memory
// that they share counts for each of them: these systems tell no better.
func treeUsage(pids map[string]int, entries []entry) map[string]processMemory {
	own := make(map[int]bool, len(pids))
	for _, pid := range pids {
		own[pid] = true
	}
	resident := map[int]int64{}
	children := map[int][]int{}
	for _, e := range entries {
		resident[e.pid] = e.resident
		if !own[e.pid] && e.pid != e.parent {
			children[e.parent] = append(children[e.parent], e.pid)
		}
	}
	held := make(map[string]processMemory, len(pids))
	for worker, pid := range pids {
		if resident[pid] == 0 {
			continue
		}
		m := processMemory{resident: resident[pid]}
		seen := map[int]bool{pid: true} // IDs are used again, so the tree may have loops
		for open := []int{pid}; len(open) > 0; {
			last := open[len(open)-1]
			open = open[:len(open)-1]
			for _, child := range children[last] {
				if !seen[child] {
					seen[child] = true
					m.children += resident[child]
					open = append(open, child)
				}
			}
		}
		held[worker] = m
	}
	return held
}
