package pytest

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"
)

// slowest is how often this system is looked at most.
const slowest time.Duration = 0

// threadTime returns the CPU time of this thread. Wall time would count what
// others take on a busy machine, and samples would become rare when they matter.
func threadTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(rusageThread, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

const rusageThread = 1

var pageSize = int64(os.Getpagesize())

// processes remembers what is costly to find out.
type processes struct {
	trees  map[int]shares // by process ID
	credit time.Duration  // CPU time that may be spent on finding shares
	at     time.Time      // when that was reckoned
	spent  time.Duration  // on shares, lately
}

// shares is how much of the memory of a process and its descendants is counted
// more than once when their resident memory is summed.
type shares struct {
	processes int
	sum       int64
	twice     int64
}

const (
	shareCredit = 50 * time.Millisecond // at first; it takes some 25 µs a MiB
	mostCredit  = 200 * time.Millisecond
	creditEvery = 200 // of what time goes by, as in sampleShare
)

// usage returns what the processes hold that are there. Descendants that are
// processes of the session themselves are not counted as children.
func (p *processes) usage(now time.Time, pids map[string]int) map[string]processMemory {
	if p.trees == nil {
		p.trees, p.credit, p.at = map[int]shares{}, shareCredit, now
	}
	p.credit = min(p.credit+now.Sub(p.at)/creditEvery, mostCredit)
	p.at, p.spent = now, 0
	own := make(map[int]bool, len(pids))
	for _, pid := range pids {
		own[pid] = true
	}
	held := make(map[string]processMemory, len(pids))
	for worker, pid := range pids {
		resident := residentOf(pid)
		if resident == 0 {
			continue // it has ended
		}
		held[worker] = processMemory{resident, p.children(pid, resident, own)}
	}
	return held
}

// children returns what the descendants of a process hold. What they share
// with it and with each other, such as memory that was forked and not touched,
// counts once: proportional shares are asked for when the tree has changed.
func (p *processes) children(pid int, resident int64, own map[int]bool) int64 {
	tree := descendantsOf(nil, pid, own)
	if len(tree) == 0 {
		delete(p.trees, pid)
		return 0
	}
	sum := resident
	for _, child := range tree {
		sum += residentOf(child)
	}
	known := p.trees[pid]
	changed := known.processes != len(tree) || abs(sum-known.sum) > known.sum/8
	if changed && p.credit > 0 {
		before := threadTime()
		proportional := proportionalOf(pid)
		for _, child := range tree {
			proportional += proportionalOf(child)
		}
		known = shares{len(tree), sum, max(0, sum-proportional)}
		p.trees[pid] = known
		took := threadTime() - before
		p.credit -= took
		p.spent += took
	}
	return max(0, sum-known.twice-resident)
}

// residentOf returns the resident memory of a process, 0 for one that is gone.
func residentOf(pid int) int64 {
	var buffer [128]byte
	fields := bytes.Fields(readProc(buffer[:], "/proc/%d/statm", pid))
	if len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.ParseInt(string(fields[1]), 10, 64)
	return pages * pageSize
}

func descendantsOf(found []int, pid int, own map[int]bool) []int {
	threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		return found
	}
	var buffer [4096]byte
	for _, thread := range threads {
		for _, field := range bytes.Fields(readProc(buffer[:], "/proc/%d/task/%s/children", pid, thread.Name())) {
			child, err := strconv.Atoi(string(field))
			if err == nil && !own[child] {
				found = descendantsOf(append(found, child), child, own)
			}
		}
	}
	return found
}

// proportionalOf returns what a process holds, shared memory divided among its
// users.
func proportionalOf(pid int) int64 {
	var buffer [2048]byte
	_, rest, _ := bytes.Cut(readProc(buffer[:], "/proc/%d/smaps_rollup", pid), []byte("\nPss:"))
	number, _, _ := bytes.Cut(bytes.TrimLeft(rest, " "), []byte(" kB"))
	kib, err := strconv.ParseInt(string(number), 10, 64)
	if err != nil {
		return 0
	}
	return kib << 10
}

// readProc reads a file of /proc in one go, nothing where it is not there.
func readProc(buffer []byte, format string, args ...any) []byte {
	file, err := os.Open(fmt.Sprintf(format, args...))
	if err != nil {
		return nil
	}
	defer file.Close()
	n, _ := file.Read(buffer)
	return buffer[:n]
}
